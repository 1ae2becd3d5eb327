r"""The series without its headrest as a new DICOM series.

What is changed and what is not:

- Stored values of the masked voxels become air by each slice's own slope and intercept, clamped to what the bits
  stored can hold and kept out of the padding range; **every other stored value stays as it is**.
- Geometry and frame of reference are the source's, instance numbers and windows too.
- Series and SOP Instance UIDs are new; Image Type is ``DERIVED\SECONDARY``; derivation description, code and source
  image say what was done to which image, Contributing Equipment by which program.
- Private elements are left out: they describe the image before, and nobody can say what of them still holds.
- Compressed sources are written uncompressed; that an image was once lossy stays stated.
- Multi-frame instances stay multi-frame, with the frames of the stack in the order of the file.
- Slices that the reader left out (at the place of another one, or unreadable) are not written; the volume's
  warnings name them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from ... import __version__
from ...preprocessing.cleaning import AIR_HU
from ...segments import Code
from ..instance import Instance
from ..pixels import read_stored
from .complete import describe_pixels
from .identifiers import (
    CLEANED,
    PROGRAM,
    UnfitSourceError,
    derived_uid,
    masks_digest,
    series_description,
    series_number,
)
from .origin import Origin, read_repaired
from .references import SOURCE_IMAGE, code_item
from .saving import MAX_PIXEL_BYTES, save_with_pixels
from .stored import (
    Air,
    air_of,
    drop_overlay_in_pixels,
    frame_bytes,
    has_overlay_in_pixels,
    is_copied,
    native_words,
    output_format,
)

VOLUME_EDITING = Code("113077", "DCM", "Volume editing")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
DESCRIPTION = (
    f"Voxels of headrest and table set to air ({AIR_HU} HU) by {PROGRAM} {__version__}; "
    "all other stored values are those of the source."
)


class CleanedSeries:
    """A series to be written.

    Parameters
    ----------
    origin : Origin
    voxels : array of shape (k, j, i)
        Rescaled values of the origin's slices; they tell how many bits decoded values need.
    mask : array of bool, shape (k, j, i)
        Voxels that become air.

    Attributes
    ----------
    series_uid : str
    series_number : int
    warnings : list of str
        What had to be done otherwise than asked; complete after `write`.

    Raises
    ------
    UnfitSourceError
        If shapes differ.
    """

    def __init__(self, origin: Origin, voxels: np.ndarray, mask: np.ndarray):
        if not mask.shape == voxels.shape == (len(origin.slices), *origin.rows_columns):
            msg = f"The mask has shape {mask.shape}, the volume {voxels.shape}, the source {len(origin.slices)} slices."
            raise UnfitSourceError(msg)
        self._origin, self._voxels, self._mask = origin, voxels, mask
        self._digest = masks_digest([mask])
        self.series_uid = derived_uid("cleaned series", origin.series_uid, origin.stack_number, self._digest)
        self.series_number = series_number(origin.header.get("SeriesNumber"), CLEANED, origin.stack_number)
        self.warnings: list[str] = []

    def write(self, folder: Path, progress: Callable[[int, int], None] | None = None) -> list[Path]:
        """Write one file for each source file into `folder`, which exists; named 0001.dcm and so on, foot to head.

        Raises
        ------
        UnfitSourceError
            If a header cannot be taken over or pixel data would exceed 4 GB in one file.
        DecodingError
            If pixel data cannot be read again.
        OSError
            If a file cannot be written.
        """
        jobs = list(self._jobs())
        paths = [folder / f"{number:04d}.dcm" for number in range(1, len(jobs) + 1)]
        airs: list[Air] = []
        with warnings.catch_warnings(), ThreadPoolExecutor(min(os.cpu_count() or 1, len(jobs))) as pool:
            warnings.simplefilter("ignore")  # pydicom's words on odd values: they are put right
            written = pool.map(self._write_instance, paths, jobs, range(1, len(jobs) + 1))
            for done, used in enumerate(written, start=1):
                airs.extend(used)
                if progress is not None:
                    progress(done, len(jobs))
        self._warn_of_air(airs)
        return paths

    def _jobs(self) -> Iterator[list[int]]:
        """The slices of each source file, ordered by frame number, files in the order of their lowest slice."""
        files: dict[str, list[int]] = {}
        for k, (instance, _) in enumerate(self._origin.slices):
            files.setdefault(instance.path, []).append(k)
        for members in files.values():
            yield sorted(members, key=lambda k: self._origin.slices[k][1])

    def _write_instance(self, path: Path, members: list[int], number: int) -> list[Air]:
        slices = [self._origin.slices[k] for k in members]
        instance = slices[0][0]
        header = read_repaired(slices[0])
        overlay = has_overlay_in_pixels(header) and is_copied(instance)
        if not is_copied(instance):
            drop_overlay_in_pixels(header)
        if header.get("PixelPresentation") in ("COLOR", "TRUE_COLOR"):
            msg = f"{instance.path} is a colour map of derived values, in which air has no value of its own."
            raise UnfitSourceError(msg)
        read = native_words if is_copied(instance) else read_stored
        pixels = output_format(instance, *self._ends(members))
        if pixels.frame_bytes * len(slices) > MAX_PIXEL_BYTES:
            msg = f"{instance.path} holds more than 4 GB of pixels, which one uncompressed file cannot."
            raise UnfitSourceError(msg)
        self._describe(header, instance, [n for _, n in slices], number)
        padding = _restate_padding(header, instance, pixels.signed)
        describe_pixels(header, pixels)
        airs = [air_of(pixels, instance.frames[n - 1], padding) for _, n in slices]
        frames = (
            frame_bytes(read(instance, n), pixels, self._mask[k], air, overlay)
            for (_, n), k, air in zip(slices, members, airs, strict=True)
        )
        save_with_pixels(header, path, frames, pixels.frame_bytes, len(slices))
        return [air for air, k in zip(airs, members, strict=True) if self._mask[k].any()]

    def _ends(self, members: list[int]) -> tuple[int, int]:
        """Lowest and highest stored value of some slices, from their rescaled values."""
        ends = []
        for k in members:
            instance, number = self._origin.slices[k]
            frame = instance.frames[number - 1]
            values = self._voxels[k].min(), self._voxels[k].max()
            ends.extend(round((float(value) - frame.intercept) / frame.slope) for value in values)
        return min(ends), max(ends)

    def _describe(self, header: Dataset, instance: Instance, numbers: list[int], place: int) -> None:
        """State that this is a new, derived image of a new series."""
        origin = self._origin
        header.SOPInstanceUID = derived_uid(
            "cleaned", self.series_uid, instance.sop_instance_uid, *(numbers if instance.facts.frame is None else ())
        )
        header.SeriesInstanceUID = self.series_uid
        header.SeriesNumber = self.series_number
        header.SeriesDescription = series_description(str(header.get("SeriesDescription") or ""), "[headrest removed]")
        header.FrameOfReferenceUID = origin.frame_of_reference_uid
        if not instance.instance_number:
            header.InstanceNumber = place
        equipment = list(header.get("ContributingEquipmentSequence") or [])
        header.ContributingEquipmentSequence = [*equipment, _equipment()]
        source = _source_image(header.SOPClassUID, instance.sop_instance_uid)
        if instance.facts.frame is not None:
            header.ImageType = derived_type(header.get("ImageType"), "SECONDARY")
            header.DerivationDescription = DESCRIPTION
            header.DerivationCodeSequence = [code_item(VOLUME_EDITING)]
            header.SourceImageSequence = [source]
        else:
            _describe_frames(header, numbers, source, origin)

    def _warn_of_air(self, airs: list[Air]) -> None:
        off = [air.hu for air in airs if abs(air.hu - AIR_HU) > 1]
        if off:
            values = f"{min(off):g}" if min(off) == max(off) else f"{min(off):g} to {max(off):g}"
            self.warnings.append(
                f"Cleaned DICOM series: {AIR_HU} HU cannot be stored in {len(off)} slice(s); {values} HU was written."
            )


def derived_type(stated: object, second: str) -> list[str]:
    """Image Type of what was derived from an image of type `stated`: its further values stay."""
    values = [str(value) for value in stated] if isinstance(stated, (MultiValue, list)) else []
    return ["DERIVED", second, *(values[2:] or ["AXIAL"])]


def _source_image(class_uid: str, instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
    item.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
    item.SpatialLocationsPreserved = "YES"
    return item


def _equipment() -> Dataset:
    item = Dataset()
    item.Manufacturer = item.ManufacturerModelName = PROGRAM
    item.SoftwareVersions = __version__
    item.ContributionDescription = "Headrest removed"
    item.PurposeOfReferenceCodeSequence = [code_item(PROCESSING_EQUIPMENT)]
    return item


def _restate_padding(header: Dataset, instance: Instance, signed: bool) -> tuple[int, int] | None:
    """State the padding values in the sign that the pixels are written in; lowest and highest of them."""
    stated = instance.facts.padding
    if stated is None or "PixelPaddingValue" not in header:
        return stated
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = header.get(keyword)
        if isinstance(value, int):
            word = value & 0xFFFF
            value = word - 0x10000 if signed and word & 0x8000 else word
            del header[keyword]
            header.add_new(keyword, "SS" if signed else "US", value)
    values = [header.PixelPaddingValue, header.get("PixelPaddingRangeLimit", header.PixelPaddingValue)]
    if not all(isinstance(value, int) for value in values):
        return stated
    return min(values), max(values)


def _describe_frames(header: Dataset, numbers: list[int], source: Dataset, origin: Origin) -> None:
    """The same for a multi-frame image: its functional groups say it for each frame (PS3.3 C.7.6.16)."""
    header.NumberOfFrames = len(numbers)
    header.ImageType = derived_type(header.get("ImageType"), "PRIMARY")
    shared = header.get("SharedFunctionalGroupsSequence") or []
    groups = [header.PerFrameFunctionalGroupsSequence[number - 1] for number in numbers]
    for group in (*shared, *groups):
        group.pop("DerivationImageSequence", None)
        for item in group.get("CTImageFrameTypeSequence") or []:
            item.FrameType = derived_type(item.get("FrameType"), "PRIMARY")
    for number, group in zip(numbers, groups, strict=True):
        item = Dataset()
        item.update(source)
        item.ReferencedFrameNumber = number
        derivation = Dataset()
        derivation.DerivationDescription = DESCRIPTION
        derivation.DerivationCodeSequence = [code_item(VOLUME_EDITING)]
        derivation.SourceImageSequence = [item]
        group.DerivationImageSequence = [derivation]
    header.PerFrameFunctionalGroupsSequence = groups
    header.SourceImageEvidenceSequence = [_evidence(origin, source)]


def _evidence(origin: Origin, source: Dataset) -> Dataset:
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = source.ReferencedSOPClassUID
    instance.ReferencedSOPInstanceUID = source.ReferencedSOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = origin.series_uid, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = origin.study_uid, [series]
    return study
