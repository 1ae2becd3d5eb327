"""Segments as a DICOM Segmentation object on the slices as acquired (PS3.3 A.51)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from pydicom import Dataset

from ... import __version__
from ...segments import Code, SegmentKind
from ...volume import POSITION_TOLERANCE_MM
from .identifiers import (
    PROGRAM,
    SEGMENTATION,
    UnfitSourceError,
    derived_uid,
    masks_digest,
    series_description,
    series_number,
)
from .origin import Origin
from .references import (
    SOURCE_IMAGE,
    code_item,
    decimal,
    instance_references,
    source_reference,
    stand_in,
    thickness,
    tracking_id,
    tracking_uid,
)
from .saving import finish

CLUSTER_ANALYSIS = Code("123107", "DCM", "Cluster Analysis")
SEGMENTED = Code("113076", "DCM", "Segmentation")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")


class SegmentLike(Protocol):
    """What a segment must have to be written (see `segmentation.result.Segment`)."""

    kind: SegmentKind
    mask: np.ndarray


def make_segmentation(
    origin: Origin,
    segments: Sequence[SegmentLike],
    *,
    method: str = "classical",
    parameters: dict[str, str] | None = None,
) -> Dataset:
    """A binary DICOM SEG of some segments.

    Each frame refers to the source image, and the frame of it, whose voxels it covers one to one;
    frames without a voxel are left out. A segment without any voxel is described all the same, behind
    the others (Slicer's reader takes names from segments in their order); where no segment has a voxel, the
    first slice stands for all with an empty frame, for an object without frames is not allowed.

    Parameters
    ----------
    origin : Origin
    segments : sequence of SegmentLike
        Masks of bool, shape (k, j, i), on the origin's slices. They may overlap.
    method : str
        ``classical`` or ``network``: the family of the algorithm.
    parameters : dict of str to str, optional
        Stated as the algorithm's parameters.

    Returns
    -------
    highdicom.seg.Segmentation
        Ready for `saving.save`.

    Raises
    ------
    UnfitSourceError
        If highdicom cannot make it of this source; the message says why.
    """
    ordered = sorted(segments, key=lambda segment: not segment.mask.any())  # stable: empty ones go last
    shape = (len(origin.slices), *origin.rows_columns)
    if any(segment.mask.shape != shape for segment in ordered):
        msg = f"The masks have shape {ordered[0].mask.shape}, the source {shape}."
        raise UnfitSourceError(msg)
    digest = masks_digest(segment.mask for segment in ordered)
    identity = (origin.series_uid, origin.stack_number, digest, *(segment.kind.name for segment in ordered), parameters)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seg = _make(origin, ordered, method, parameters, identity)
    except Exception as error:  # highdicom documents no limit to what an odd source may raise
        # Its message may quote the header.
        msg = f"highdicom cannot make a DICOM SEG of series {origin.series_uid} ({type(error).__name__})."
        raise UnfitSourceError(msg) from error
    _refer_to_source(seg, origin)
    _state_geometry(seg, origin)
    _fix_organization_uid(seg, derived_uid("dimension organization", *identity))
    if origin.header.get("BodyPartExamined"):
        seg.BodyPartExamined = origin.header.BodyPartExamined
    finish(seg, origin)
    return seg


def _make(
    origin: Origin,
    segments: Sequence[SegmentLike],
    method: str,
    parameters: dict[str, str] | None,
    identity: tuple[object, ...],
) -> Dataset:
    import highdicom as hd
    from highdicom.seg import Segmentation, SegmentationTypeValues

    pixels, is_empty = _pixel_array(segments), not segments[0].mask.any()
    if is_empty:
        pixels = pixels[:1]
    image = stand_in(origin)
    patient = hd.CoordinateSystemNames.PATIENT
    positions = [
        hd.PlanePositionSequence(patient, [decimal(value) for value in position])
        for position in origin.geometry.positions[: len(pixels)]
    ]
    names = ", ".join(segment.kind.name for segment in segments)
    return Segmentation(
        [image],
        pixels,
        SegmentationTypeValues.BINARY,
        _describe(origin, segments, method, parameters),
        series_instance_uid=derived_uid("segmentation series", *identity),
        series_number=series_number(origin.header.get("SeriesNumber"), SEGMENTATION, origin.stack_number),
        sop_instance_uid=derived_uid("segmentation", *identity),
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name=PROGRAM,
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description=f"{names} by {PROGRAM}"[:64],
        content_creator_name=f"{PROGRAM}^",
        series_description=series_description(str(origin.header.get("SeriesDescription") or ""), "[segmentation]"),
        omit_empty_frames=not is_empty,
        plane_positions=positions,
        plane_orientation=hd.PlaneOrientationSequence(patient, image.ImageOrientationPatient),
        pixel_measures=hd.PixelMeasuresSequence(image.PixelSpacing, image.SliceThickness),
    )


def _pixel_array(segments: Sequence[SegmentLike]) -> np.ndarray:
    """Segment numbers in one uint8 array (k, j, i), or, where segments overlap, one bool layer a segment."""
    labels = segments[0].mask.astype(np.uint8)
    for number, segment in enumerate(segments[1:], start=2):
        for plane, mask in zip(labels, segment.mask, strict=True):
            if not mask.any():
                continue
            if plane[mask].any():
                return np.stack([one.mask for one in segments], axis=-1)
            plane[mask] = number
    return labels


def _describe(
    origin: Origin, segments: Sequence[SegmentLike], method: str, parameters: dict[str, str] | None
) -> list[Dataset]:
    import highdicom as hd

    family = ARTIFICIAL_INTELLIGENCE if method == "network" else CLUSTER_ANALYSIS
    algorithm = hd.AlgorithmIdentificationSequence(
        name=PROGRAM, family=concept(family), version=__version__, parameters=parameters or None
    )
    descriptions = []
    for number, segment in enumerate(segments, start=1):
        kind = segment.kind
        description = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=kind.name,
            segmented_property_category=concept(kind.category),
            segmented_property_type=concept(kind.type),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_id=tracking_id(origin, kind.name),
            tracking_uid=tracking_uid(origin, kind.name),
            display_color=hd.color.CIELabColor.from_rgb(*(round(255 * part) for part in kind.color)),
        )
        descriptions.append(description)
    return descriptions


def concept(code: Code) -> object:
    """A code as highdicom wants it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _refer_to_source(seg: Dataset, origin: Origin) -> None:
    """Let every frame refer to the source image, and the frame of it, that it covers voxel by voxel."""
    slices = {tuple(decimal(value) for value in place): k for k, place in enumerate(origin.geometry.positions)}
    derivations: dict[int, Dataset] = {}
    for group in seg.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0].ImagePositionPatient
        k = slices[tuple(decimal(value) for value in place)]
        if k not in derivations:
            derivations[k] = _derivation(source_reference(origin, k))
        group.DerivationImageSequence = [derivations[k]]
    series = Dataset()
    series.SeriesInstanceUID = origin.series_uid
    series.ReferencedInstanceSequence = instance_references(origin)
    seg.ReferencedSeriesSequence = [series]
    if "SourceImageSequence" in seg:
        seg.SourceImageSequence = instance_references(origin)


def _derivation(source: Dataset) -> Dataset:
    """That a frame was segmented from a source image of the same matrix in the same place."""
    source.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
    source.SpatialLocationsPreserved = "YES"
    item = Dataset()
    item.DerivationCodeSequence = [code_item(SEGMENTED)]
    item.SourceImageSequence = [source]
    return item


def _state_geometry(seg: Dataset, origin: Origin) -> None:
    """State the distance of the slices where there is one: readers guess it from the thickness otherwise."""
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.pop("SpacingBetweenSlices", None)
    step = _common_step(origin)
    if step:
        measures.SpacingBetweenSlices = decimal(step)


def _common_step(origin: Origin) -> float:
    """The distance along the normal of which all distances are multiples (gaps are allowed); 0 where there is none."""
    distances = origin.geometry.distances
    if len(distances) == 1:
        return thickness(origin)
    step = float(np.median(np.diff(distances)))
    along = (distances - distances[0]) / step
    return step if np.abs(along - np.rint(along)).max() * step <= POSITION_TOLERANCE_MM else 0.0


def _fix_organization_uid(seg: Dataset, uid: str) -> None:
    """One UID for the dimensions that follows from the content, where highdicom takes one by chance."""
    for item in seg.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid
