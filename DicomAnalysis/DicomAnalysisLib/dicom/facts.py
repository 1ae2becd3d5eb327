"""What the slices of a series have in common, and the rules for headers that lack it or state it wrongly.

Each rule is a documented default with a remark, or a refusal that says why:

==============================================  =====================================================
What is odd                                     What is done
==============================================  =====================================================
no Modality                                     taken as CT, remark
no SOP class, no photometric interpretation     taken as CT image, MONOCHROME2, remark
MONOCHROME1                                     HU stay slope x stored + intercept, never inverted, remark
rescale slope absent, 0, NaN or not a number    1, as every CT scanner writes; remark
rescale slope or intercept infinite or absurd   refused: a value was stated and it cannot be right
rescale intercept absent                        0, remark for CT
rescale intercept NaN or not a number           refused: values could be 1000 HU off
no, non-finite or degenerate position,          refused: a voxel could be anywhere
orientation or pixel spacing
secondary capture, colour, 1-bit, LUT, RTDOSE   refused: values are no measurements of one quantity
pixel data absent or shorter than declared      refused
==============================================  =====================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..volume import SeriesIdentity
from . import tags
from .filestart import GE_PRIVATE_IMPLICIT
from .frames import Frame, read_single_frame
from .header import Header
from .walker import Walked

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
NO_IMAGES = ("RTDOSE", "SEG", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG")
LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 52, 53, 54, 55, 56, 81))
"""Transfer syntaxes that never give back the acquired values; others may, and the header says."""

_OF_ONE_FILE = frozenset(
    (
        tags.SOP_INSTANCE_UID,
        tags.INSTANCE_NUMBER,
        tags.IMAGE_POSITION_PATIENT,
        tags.EXTENDED_OFFSET_TABLE,
        tags.EXTENDED_OFFSET_TABLE_LENGTHS,
    )
)
_SHARED = tuple(sorted(tags.IMAGE_TAGS - _OF_ONE_FILE))


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How stored values are laid out (PS3.5 section 8, PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    big_endian: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What a header says apart from the place of its slice; one object for all files that say the same.

    Attributes
    ----------
    identity : SeriesIdentity
    transfer_syntax : str
    image_type : tuple of str
    acquisition_number : int
        0 where absent.
    pixels : PixelFormat
    frame : Frame or None
        Plane and rescale of a single-frame image, without position; None for functional groups.
    padding : tuple of int or None
        Stored pixel padding value and range limit, lowest first.
    is_lossy : bool
        Whether the pixels went through lossy compression.
    remarks : tuple of str
        What was odd and how it was taken.
    """

    identity: SeriesIdentity
    transfer_syntax: str
    image_type: tuple[str, ...]
    acquisition_number: int
    pixels: PixelFormat
    frame: Frame | None
    padding: tuple[int, int] | None
    is_lossy: bool
    remarks: tuple[str, ...]


def read_facts(header: Header) -> Facts:
    """The facts of one header; equal headers are interpreted once.

    Raises
    ------
    ValueError
        If the file is not an image that can be read as values in space; the message is the reason.
    """
    walked = header.walked
    key = tuple(map(walked.elements.get, _SHARED))
    return _facts(key, walked.transfer_syntax, walked.big_endian, walked.pixel_tag, tuple(walked.remarks))


@lru_cache(maxsize=1024)
def _facts(
    values: tuple[bytes | None, ...], transfer_syntax: str, big_endian: bool, pixel_tag: int, remarks: tuple[str, ...]
) -> Facts:
    elements = {tag: value for tag, value in zip(_SHARED, values, strict=True) if value is not None}
    header = Header("", Walked(elements, transfer_syntax, big_endian=big_endian, pixel_tag=pixel_tag))
    _refuse_what_is_no_image(header)
    new_remarks = list(remarks)
    modality = _modality(header, new_remarks)
    pixels = pixel_format(header, new_remarks)
    is_grouped = tags.PER_FRAME_FUNCTIONAL_GROUPS in header
    frame = None if is_grouped else read_single_frame(header, modality, new_remarks)
    is_lossy = transfer_syntax in LOSSY or header.text(tags.LOSSY_IMAGE_COMPRESSION) == "01"
    if is_lossy:
        new_remarks.append("lossy compression: values differ from those acquired")
    return Facts(
        identity=read_identity(header, modality),
        transfer_syntax=transfer_syntax,
        image_type=tuple(header.texts(tags.IMAGE_TYPE)),
        acquisition_number=header.whole(tags.ACQUISITION_NUMBER),
        pixels=pixels,
        frame=frame,
        padding=_padding(header, pixels.signed),
        is_lossy=is_lossy,
        remarks=tuple(new_remarks),
    )


def read_identity(header: Header, modality: str = "") -> SeriesIdentity:
    """Who and what a file says it belongs to."""
    return SeriesIdentity(
        series_uid=header.text(tags.SERIES_INSTANCE_UID),
        study_uid=header.text(tags.STUDY_INSTANCE_UID),
        patient_id=header.text(tags.PATIENT_ID),
        frame_of_reference_uid=header.text(tags.FRAME_OF_REFERENCE_UID),
        modality=modality or header.text(tags.MODALITY),
        series_description=header.text(tags.SERIES_DESCRIPTION),
        body_part=header.text(tags.BODY_PART_EXAMINED),
        patient_position=header.text(tags.PATIENT_POSITION),
    )


def _refuse_what_is_no_image(header: Header) -> None:
    sop_class = header.text(tags.SOP_CLASS_UID)
    modality = header.text(tags.MODALITY)
    pixel_tag = header.walked.pixel_tag
    reason = ""
    if sop_class.startswith("1.2.840.10008.1.3.10"):
        reason = "it is a DICOMDIR, an index of other files"
    elif sop_class == SECONDARY_CAPTURE or sop_class.startswith(SECONDARY_CAPTURE + "."):
        reason = "it is a secondary capture (a picture of a screen or film), not measured values"
    elif modality in NO_IMAGES:
        reason = f"it is a {modality} object, not image slices"
    elif not pixel_tag:
        reason = "it has no pixel data"
    elif pixel_tag != tags.PIXEL_DATA:
        reason = "its pixels are floating-point numbers, which are not supported"
    elif header.integer(tags.SAMPLES_PER_PIXEL, 1) != 1:
        reason = "it is a colour image"
    elif tags.MODALITY_LUT_SEQUENCE in header:
        reason = "its values go through a look-up table, which is not supported"
    if reason:
        raise ValueError(reason)


def _modality(header: Header, remarks: list[str]) -> str:
    if not header.text(tags.SOP_CLASS_UID):
        remarks.append("no SOP class: taken as a CT image")
    modality = header.text(tags.MODALITY)
    if not modality:
        remarks.append("no modality: taken as CT")
        modality = "CT"
    photometric = header.text(tags.PHOTOMETRIC_INTERPRETATION)
    if not photometric:
        remarks.append("no photometric interpretation: taken as MONOCHROME2")
    elif photometric == "MONOCHROME1":
        remarks.append("MONOCHROME1 (meant to be shown inverted): values are kept as slope x stored + intercept")
    elif photometric != "MONOCHROME2":
        msg = f"it is a colour image ({photometric})"
        raise ValueError(msg)
    if header.text(tags.PIXEL_PRESENTATION) in ("COLOR", "TRUE_COLOR"):
        remarks.append("a colour map of derived values: its numbers are not Hounsfield units")
    elif modality == "CT" and not _means_hounsfield(header.text(tags.RESCALE_TYPE)):
        remarks.append(f"rescale type {header.text(tags.RESCALE_TYPE)[:16]}: its numbers are not Hounsfield units")
    return modality


def _means_hounsfield(rescale_type: str) -> bool:
    """Whether a rescale type is HU (written in several ways), or unspecified, which is HU for CT (PS3.3 C.11.1.1.2)."""
    name = rescale_type.upper()
    return name in ("", "US") or name.startswith(("HU", "HOUNSFIELD", "HOUNDSFIELD"))


def pixel_format(header: Header, remarks: list[str]) -> PixelFormat:
    """How a header says that its stored values are laid out; ValueError with the reason where they cannot be read."""
    rows, columns = header.integer(tags.ROWS, 0), header.integer(tags.COLUMNS, 0)
    if not rows or not columns:
        msg = f"it has {rows} rows and {columns} columns"
        raise ValueError(msg)
    allocated = header.integer(tags.BITS_ALLOCATED, 16)
    stored = header.integer(tags.BITS_STORED, allocated)
    high = header.integer(tags.HIGH_BIT, stored - 1)
    if allocated not in (8, 16, 32):
        msg = f"its pixels have {allocated} bits allocated; 8, 16 and 32 are supported"
        raise ValueError(msg)
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        remarks.append(f"{stored} bits stored up to bit {high} of {allocated} make no sense: all bits are taken")
        stored, high = allocated, allocated - 1
    if tags.PIXEL_REPRESENTATION not in header:
        remarks.append("no pixel representation: taken as unsigned")
    return PixelFormat(
        rows=rows,
        columns=columns,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=header.integer(tags.PIXEL_REPRESENTATION, 0) == 1,
        big_endian=header.walked.big_endian or header.walked.transfer_syntax == GE_PRIVATE_IMPLICIT,
    )


def _padding(header: Header, signed: bool) -> tuple[int, int] | None:
    values = header.integers(tags.PIXEL_PADDING_VALUE, signed)
    if not values:
        return None
    limits = header.integers(tags.PIXEL_PADDING_RANGE_LIMIT, signed) or values
    return min(values[0], limits[0]), max(values[0], limits[0])
