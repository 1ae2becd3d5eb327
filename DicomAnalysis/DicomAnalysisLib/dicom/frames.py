"""Where each frame lies and how its stored values become Hounsfield units.

Single-frame instances state it at the top of the header; enhanced multi-frame instances
in shared and per-frame functional groups (PS3.3 C.7.6.16).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from . import tags
from .header import Header, RefusedFileError

MAX_COORDINATE_MM = 1e6
"""A position further away than a kilometre is not one."""
MAX_RESCALE = 1e6
"""A larger slope or intercept is not one of an image in Hounsfield or similar units."""
_NOWHERE = (math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Frame:
    """Plane and rescale of one frame.

    Attributes
    ----------
    position : tuple of float
        Image Position (Patient): centre of the first voxel, LPS mm.
    orientation : tuple of float
        Image Orientation (Patient): row direction, column direction, LPS.
    spacing : tuple of float
        Between rows, between columns, mm.
    thickness : float
        Slice thickness, mm; 0 where absent.
    slope, intercept : float
        value = slope x stored + intercept.
    phase : tuple
        What tells apart images taken of one place: acquisition, temporal position, tube voltage, kernel.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float
    slope: float
    intercept: float
    phase: tuple

    def at(self, position: tuple[float, float, float]) -> Frame:
        """The same plane and rescale at a position."""
        return Frame(position, self.orientation, self.spacing, self.thickness, self.slope, self.intercept, self.phase)


def read_single_frame(header: Header, modality: str, remarks: list[str]) -> Frame:
    """Plane and rescale of a single-frame image, at no position yet.

    Raises
    ------
    ValueError
        If its plane or rescale is unknown, or it has several frames; the message is the reason.
    """
    if tags.NUMBER_OF_FRAMES in header:
        count = _frame_count(header)
        if count != 1:
            msg = f"it declares {count} frames but not where each of them lies"
            raise ValueError(msg)
    phase = (
        header.text(tags.ACQUISITION_NUMBER),
        header.text(tags.TEMPORAL_POSITION_IDENTIFIER),
        header.text(tags.KVP),
        header.text(tags.CONVOLUTION_KERNEL),
    )
    return _frame(header.numbers, lambda tag: bool(header.text(tag)), phase, modality, remarks)


def read_position(header: Header) -> tuple[float, float, float]:
    """Where a single-frame image lies.

    Raises
    ------
    ValueError
        If it does not say so in three plausible numbers.
    """
    return _position(header.numbers(tags.IMAGE_POSITION_PATIENT), tags.IMAGE_POSITION_PATIENT in header)


def _frame_count(header: Header) -> int:
    counts = header.numbers(tags.NUMBER_OF_FRAMES) if header.text(tags.NUMBER_OF_FRAMES) else [1.0]
    if not counts or not 1 <= counts[0] < 2**31:
        msg = f"its number of frames is {header.text(tags.NUMBER_OF_FRAMES)[:16]!r}"
        raise ValueError(msg)
    return int(counts[0])


def _frame(
    numbers: Callable[[int], Sequence[float] | None],
    stated: Callable[[int], bool],
    phase: tuple,
    modality: str,
    remarks: list[str],
) -> Frame:
    thickness = numbers(tags.SLICE_THICKNESS) or (0.0,)
    return Frame(
        position=_NOWHERE,
        orientation=_orientation(numbers(tags.IMAGE_ORIENTATION_PATIENT), stated(tags.IMAGE_ORIENTATION_PATIENT)),
        spacing=_spacing(numbers(tags.PIXEL_SPACING), stated(tags.PIXEL_SPACING)),
        thickness=thickness[0] if 0 < thickness[0] < MAX_COORDINATE_MM else 0.0,
        slope=_slope(numbers(tags.RESCALE_SLOPE), stated(tags.RESCALE_SLOPE), modality, remarks),
        intercept=_intercept(numbers(tags.RESCALE_INTERCEPT), stated(tags.RESCALE_INTERCEPT), modality, remarks),
        phase=phase,
    )


def _position(values: Sequence[float] | None, stated: bool) -> tuple[float, float, float]:
    if not values or len(values) < 3 or not all(abs(value) < MAX_COORDINATE_MM for value in values[:3]):
        what = "its image position is not three plausible numbers" if stated else "it states no image position"
        msg = f"{what}, so it cannot be placed in space"
        raise ValueError(msg)
    return values[0], values[1], values[2]


def _orientation(values: Sequence[float] | None, stated: bool) -> tuple[float, ...]:
    if not stated:
        msg = "it states no image orientation, so it cannot be placed in space"
        raise ValueError(msg)
    if values and len(values) >= 6 and all(abs(value) < 2 for value in values[:6]):
        row, column = values[:3], values[3:6]
        row_length, column_length = math.hypot(*row), math.hypot(*column)
        if abs(row_length - 1) < 0.01 and abs(column_length - 1) < 0.01:
            across = sum(r * c for r, c in zip(row, column, strict=True))
            if abs(across) < 0.01:
                return (*(value / row_length for value in row), *(value / column_length for value in column))
    msg = "its image orientation is not two perpendicular unit vectors, so it cannot be placed in space"
    raise ValueError(msg)


def _spacing(values: Sequence[float] | None, stated: bool) -> tuple[float, float]:
    if not values or len(values) < 2 or not all(1e-4 < value < 1e3 for value in values[:2]):
        what = "its pixel spacing is not two positive numbers" if stated else "it states no pixel spacing"
        msg = f"{what}, so nothing in it can be measured"
        raise ValueError(msg)
    return values[0], values[1]


def _slope(values: Sequence[float] | None, stated: bool, modality: str, remarks: list[str]) -> float:
    slope = values[0] if values else math.nan
    if math.isnan(slope) or slope == 0:
        if stated:
            remarks.append("rescale slope is 0 or not a number: taken as 1")
        elif modality == "CT":
            remarks.append("no rescale slope: taken as 1")
        return 1.0
    if not 1e-9 < abs(slope) < MAX_RESCALE:
        msg = f"its rescale slope {slope:g} cannot be right"
        raise ValueError(msg)
    return slope


def _intercept(values: Sequence[float] | None, stated: bool, modality: str, remarks: list[str]) -> float:
    if not stated:
        if modality == "CT":
            remarks.append("no rescale intercept: taken as 0")
        return 0.0
    if not values or not abs(values[0]) < MAX_RESCALE:
        msg = "its rescale intercept cannot be right, so its values are unknown"
        raise ValueError(msg)
    return values[0]


def read_grouped_frames(header: Header, modality: str, remarks: list[str]) -> tuple[Frame, ...]:
    """The frames of an enhanced multi-frame instance, in the order of the file.

    Raises
    ------
    ValueError
        If a frame cannot be placed in space or rescaled; the message is the reason.
    RefusedFileError
        If the functional groups cannot be parsed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's words on odd values; what matters is judged here
        try:
            return tuple(_grouped_frames(header, modality, remarks))
        except (ValueError, RefusedFileError):
            raise
        except Exception as error:
            # pydicom converts values when they are looked at, and documents no limit to what that may raise.
            msg = f"its functional groups cannot be read ({type(error).__name__})"
            raise ValueError(msg) from error


def _grouped_frames(header: Header, modality: str, remarks: list[str]) -> Iterator[Frame]:
    count = _frame_count(header)
    dataset = header.dataset()
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    if len(per_frame) != count:
        msg = f"it declares {count} frames but describes {len(per_frame)}"
        raise ValueError(msg)
    seen = set(remarks)
    for group in per_frame:
        macros = _Macros(group, shared, dataset)
        frame_remarks: list[str] = []
        frame = _frame(macros.numbers, macros.stated, macros.phase(), modality, frame_remarks)
        position = tags.IMAGE_POSITION_PATIENT
        yield frame.at(_position(macros.numbers(position), macros.stated(position)))
        remarks.extend(remark for remark in frame_remarks if remark not in seen)
        seen.update(frame_remarks)


class _Macros:
    """Attributes of one frame: from its own groups, else from the shared ones, else from the top level."""

    _HOME = {  # noqa: RUF012 (a constant)
        tags.IMAGE_POSITION_PATIENT: "PlanePositionSequence",
        tags.IMAGE_ORIENTATION_PATIENT: "PlaneOrientationSequence",
        tags.PIXEL_SPACING: "PixelMeasuresSequence",
        tags.SLICE_THICKNESS: "PixelMeasuresSequence",
        tags.RESCALE_SLOPE: "PixelValueTransformationSequence",
        tags.RESCALE_INTERCEPT: "PixelValueTransformationSequence",
    }

    def __init__(self, group: Dataset, shared: Dataset, top: Dataset):
        self._group, self._shared, self._top = group, shared, top

    def _value(self, tag: int) -> object:
        for source in (self._group, self._shared):
            items = source.get(self._HOME[tag])
            if items and tag in items[0]:
                return items[0][tag].value
        return self._top[tag].value if tag in self._top else None

    def stated(self, tag: int) -> bool:
        return self._value(tag) is not None

    def numbers(self, tag: int) -> list[float] | None:
        value = self._value(tag)
        if value is None:
            return None
        values = [value] if isinstance(value, (str, int, float)) else value
        try:
            return [float(number) for number in values]
        except (TypeError, ValueError):
            return None

    def phase(self) -> tuple:
        content = (self._group.get("FrameContentSequence") or [Dataset()])[0]
        keys = ("FrameAcquisitionNumber", "TemporalPositionIndex", "StackID")
        return tuple(str(content.get(key, "")) for key in keys)
