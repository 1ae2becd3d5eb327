"""DICOM Segmentation objects as masks on the slices of a volume.

Frames are laid on the slices they refer to, so that gantry tilt and uneven spacing are as right as they are in
the source. (dcmqi, with which Slicer reads DICOM SEG, refuses or shifts frames that do not stand on top of each
other.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from ..errors import GeometryError, UnreadableFileError
from ..segments import Code, SegmentKind
from ..volume import POSITION_TOLERANCE_MM, Volume

DEFAULT_COLOR = (0.5, 0.68, 0.5)
MAX_FRAMES = 100_000


@dataclass(frozen=True, eq=False)
class StoredSegment:
    """A segment of a file.

    Attributes
    ----------
    kind : SegmentKind
        Name, segment number, recommended colour and codes as the file states them.
    mask : array of bool, shape (k, j, i)
        On the slices of the volume.
    """

    kind: SegmentKind
    mask: np.ndarray


def read_segmentation(path: str | Path, volume: Volume) -> tuple[StoredSegment, ...]:
    """Read a binary DICOM SEG onto the slices of the volume it was made of.

    Parameters
    ----------
    path : path
    volume : Volume
        Read from the images that the segmentation refers to, or from others of the same geometry.

    Returns
    -------
    tuple of StoredSegment
        In the order of the file; a segment without frames has an empty mask.

    Raises
    ------
    UnreadableFileError
        If the file is no binary segmentation or is damaged.
    GeometryError
        If a frame refers to no slice of the volume and lies at the place of none.
    """
    dataset = _read(Path(path))
    shape = volume.shape
    if (dataset.Rows, dataset.Columns) != shape[1:]:
        msg = f"The segmentation has frames of {dataset.Rows} x {dataset.Columns}, the volume {shape[1]} x {shape[2]}."
        raise GeometryError(msg)
    masks = {int(item.SegmentNumber): np.zeros(shape, bool) for item in dataset.SegmentSequence}
    frames = _unpack(dataset)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    slices = _SliceFinder(volume, shared)
    for group, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        identification = (group if "SegmentIdentificationSequence" in group else shared).SegmentIdentificationSequence
        masks[int(identification[0].ReferencedSegmentNumber)][slices.find(group)] |= frame
    return tuple(StoredSegment(_kind(item), masks[int(item.SegmentNumber)]) for item in dataset.SegmentSequence)


def _read(path: Path) -> Dataset:
    try:
        dataset = pydicom.dcmread(path)
        is_binary = dataset.get("SOPClassUID") == SegmentationStorage and dataset.get("SegmentationType") == "BINARY"
        if not is_binary or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            msg = f"{path} is not an uncompressed binary DICOM segmentation."
            raise UnreadableFileError(msg)
        count = int(dataset.NumberOfFrames)
        if not len(dataset.PerFrameFunctionalGroupsSequence) == count <= MAX_FRAMES or "PixelData" not in dataset:
            msg = f"{path} declares {count} frames and describes {len(dataset.PerFrameFunctionalGroupsSequence)}."
            raise UnreadableFileError(msg)
    except UnreadableFileError:
        raise
    except Exception as error:  # pydicom documents no limit to what damaged input may raise
        msg = f"{path} cannot be read as a DICOM segmentation ({type(error).__name__})."
        raise UnreadableFileError(msg) from error
    needed = -(-count * dataset.Rows * dataset.Columns // 8)
    if len(dataset.PixelData) < needed:
        msg = f"{path} is cut short: {needed} bytes of pixels declared, {len(dataset.PixelData)} present."
        raise UnreadableFileError(msg)
    return dataset


def _unpack(dataset: Dataset) -> np.ndarray:
    """The frames, bool of shape (n, rows, columns): one bit a pixel, without gaps between frames (PS3.5 8.1.1)."""
    count = int(dataset.NumberOfFrames)
    bits = np.frombuffer(dataset.PixelData, np.uint8)
    pixels = np.unpackbits(bits, count=count * dataset.Rows * dataset.Columns, bitorder="little")
    return pixels.view(bool).reshape(count, dataset.Rows, dataset.Columns)


class _SliceFinder:
    """Which slice a frame belongs to: the one it refers to, else the one at its place."""

    def __init__(self, volume: Volume, shared: Dataset):
        self._by_source = {
            source: k for k, source in enumerate(zip(volume.sop_instance_uids, volume.frame_numbers, strict=False))
        }
        self._positions = volume.geometry.positions
        axes = np.array([volume.geometry.row_direction, volume.geometry.column_direction]).reshape(-1)
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        self._is_parallel = np.abs(axes - orientation).max() < 1e-3

    def find(self, group: Dataset) -> int:
        for derivation in group.get("DerivationImageSequence") or ():
            for source in derivation.get("SourceImageSequence") or ():
                if source.get("SpatialLocationsPreserved", "YES") == "YES":
                    number = int(source.get("ReferencedFrameNumber") or 1)
                    k = self._by_source.get((str(source.ReferencedSOPInstanceUID), number))
                    if k is not None:
                        return k
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        distances = np.linalg.norm(self._positions - position, axis=1)
        if not self._is_parallel or distances.min() > POSITION_TOLERANCE_MM:
            msg = (
                "A frame of the segmentation refers to no slice of the volume and lies at the place of none; "
                "load it together with the series it was made of."
            )
            raise GeometryError(msg)
        return int(distances.argmin())


def _kind(item: Dataset) -> SegmentKind:
    return SegmentKind(
        name=str(item.SegmentLabel),
        label=int(item.SegmentNumber),
        color=_color(item.get("RecommendedDisplayCIELabValue")),
        category=_code(item.SegmentedPropertyCategoryCodeSequence[0]),
        type=_code(item.SegmentedPropertyTypeCodeSequence[0]),
    )


def _code(item: Dataset) -> Code:
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


def _color(value: object) -> tuple[float, float, float]:
    """RGB from 0 to 1 of a CIELab value as DICOM encodes it (PS3.3 C.10.7.1.1)."""
    if value is None or len(value) != 3:
        return DEFAULT_COLOR
    from highdicom.color import CIELabColor

    red, green, blue = CIELabColor.from_dicom_value([int(part) for part in value]).to_rgb(clip=True)
    return red / 255, green / 255, blue / 255
