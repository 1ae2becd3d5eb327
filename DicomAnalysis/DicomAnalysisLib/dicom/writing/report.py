"""Measurements of segments as a structured report (TID 1500, Comprehensive 3D SR, PS3.16)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from pydicom import Dataset

from ... import __version__
from ...segments import Code, SegmentKind
from .identifiers import MEASUREMENTS, PROGRAM, UnfitSourceError, derived_uid, series_description, series_number
from .origin import Origin
from .references import evidence, tracking_id, tracking_uid
from .saving import finish
from .seg import concept

MAX_PIECES = 50
"""Pieces of a segment that are reported one by one, largest first: highdicom takes 20 ms for each."""

VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN, MAXIMUM = Code("373098007", "SCT", "Mean"), Code("56851009", "SCT", "Maximum")
MILLILITER, HOUNSFIELD = Code("ml", "UCUM", "milliliter"), Code("[hnsf'U]", "UCUM", "Hounsfield unit")
COMPUTED_TOMOGRAPHY = Code("77477000", "SCT", "Computed tomography")
LOCATION = Code("location", "99DICOMANALYSIS", "Location relative to the body")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")


class PieceLike(Protocol):
    """What a piece must have to be reported (see `segmentation.result.Piece`)."""

    volume_ml: float
    centroid_ras_mm: tuple[float, float, float]
    max_hu: float
    mean_hu: float
    location: str


class MeasuredSegment(Protocol):
    """What a segment must have to be reported (see `segmentation.result.Segment`)."""

    kind: SegmentKind
    measurements: Mapping[str, object]
    pieces: Sequence[PieceLike]


def make_report(origin: Origin, segmentation: Dataset, segments: Sequence[MeasuredSegment]) -> Dataset:
    """A structured report of volume and Hounsfield units of segments and their pieces.

    Each segment is a measurement group (TID 1411) that refers to its segment in `segmentation` and is
    tracked by the same identifier and UID. Each piece is one of its own, at the point of its centroid in the
    source's frame of reference, with its location relative to the body.

    Parameters
    ----------
    origin : Origin
    segmentation : Dataset
        The DICOM SEG of the same segments.
    segments : sequence of MeasuredSegment

    Returns
    -------
    highdicom.sr.Comprehensive3DSR
        Ready for `saving.save`.

    Raises
    ------
    UnfitSourceError
        If highdicom cannot make it of this source; the message says why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = _make(origin, segmentation, segments)
    except Exception as error:  # highdicom documents no limit to what an odd source may raise
        # Its message may quote the header.
        msg = f"highdicom cannot make a structured report of series {origin.series_uid} ({type(error).__name__})."
        raise UnfitSourceError(msg) from error
    finish(report, origin)
    return report


def _make(origin: Origin, segmentation: Dataset, segments: Sequence[MeasuredSegment]) -> Dataset:
    import highdicom as hd

    numbers = {str(item.SegmentLabel): int(item.SegmentNumber) for item in segmentation.SegmentSequence}
    groups = []
    for segment in segments:
        groups.append(_segment_group(origin, segmentation, numbers[segment.kind.name], segment))
        for number, piece in enumerate(segment.pieces[:MAX_PIECES], start=1):
            groups.append(_piece_group(origin, segment.kind, number, piece))
    uid = derived_uid("report", segmentation.SOPInstanceUID, *(_fingerprint(segment) for segment in segments))
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device"), name=PROGRAM, manufacturer_name=PROGRAM, model_name=PROGRAM
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(
                observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
                observer_identifying_attributes=device,
            )
        ),
        procedure_reported=concept(COMPUTED_TOMOGRAPHY),
        imaging_measurements=groups,
        title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(concept(ENGLISH)),
    )
    description = str(origin.header.get("SeriesDescription") or "")
    return hd.sr.Comprehensive3DSR(
        evidence=evidence(origin, segmentation),
        content=content[0],
        series_instance_uid=derived_uid("report series", uid),
        series_number=series_number(origin.header.get("SeriesNumber"), MEASUREMENTS, origin.stack_number),
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name=PROGRAM,
        software_versions=__version__,
        device_serial_number="0",
        series_description=series_description(description, "[measurements]"),
        is_complete=True,
    )


def _fingerprint(segment: MeasuredSegment) -> str:
    """All that the report says of a segment, as text."""
    measured = {name: segment.measurements.get(name) for name in ("volume_ml", "mean_hu", "max_hu")}
    pieces = [(p.volume_ml, p.centroid_ras_mm, p.mean_hu, p.max_hu, p.location) for p in segment.pieces]
    return f"{segment.kind.name} {measured} {pieces}"


def _segment_group(origin: Origin, segmentation: Dataset, number: int, segment: MeasuredSegment) -> object:
    import highdicom as hd

    kind, measured = segment.kind, segment.measurements
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=tracking_uid(origin, kind.name), identifier=tracking_id(origin, kind.name)
        ),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(origin.series_uid),
        ),
        finding_type=concept(kind.type),
        finding_category=concept(kind.category),
        measurements=_measurements(measured.get("volume_ml"), measured.get("mean_hu"), measured.get("max_hu")),
    )


def _piece_group(origin: Origin, kind: SegmentKind, number: int, piece: PieceLike) -> object:
    import highdicom as hd

    name = f"{kind.name} piece {number}"
    right, anterior, superior = piece.centroid_ras_mm
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=tracking_uid(origin, name), identifier=tracking_id(origin, name)
        ),
        referenced_volume_surface=hd.sr.VolumeSurface(
            graphic_type=hd.sr.GraphicTypeValues3D.POINT,
            graphic_data=np.array([[-right, -anterior, superior]]),
            frame_of_reference_uid=origin.frame_of_reference_uid,
            source_series=hd.sr.SourceSeriesForSegmentation(origin.series_uid),
        ),
        finding_type=concept(kind.type),
        finding_category=concept(kind.category),
        measurements=_measurements(piece.volume_ml, piece.mean_hu, piece.max_hu),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(concept(LOCATION), _location(piece.location))],
    )


def _location(text: str) -> object:
    """A place relative to the body as a code of our own scheme."""
    return concept(Code(text.replace(" ", "-")[:16], "99DICOMANALYSIS", text.capitalize()[:64]))


def _measurements(volume_ml: object, mean_hu: object, max_hu: object) -> list[object]:
    """Volume, mean and maximum; what was not measured (of an empty segment) is left out."""
    import highdicom as hd

    wanted = ((VOLUME, volume_ml, MILLILITER, None), (ATTENUATION, mean_hu, HOUNSFIELD, MEAN))
    wanted += ((ATTENUATION, max_hu, HOUNSFIELD, MAXIMUM),)
    return [
        hd.sr.Measurement(
            name=concept(name),
            value=round(float(value), 5),
            unit=concept(unit),
            derivation=concept(derivation) if derivation else None,
        )
        for name, value, unit, derivation in wanted
        if value is not None
    ]
