"""One DICOM image file as facts: identity, pixel format, and where each of its frames lies.

What a file lacks or states wrongly is decided here, once: a documented default with a
remark, or a refusal that says why. The rules:

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
from pathlib import Path

from . import tags
from .filestart import EXPLICIT_BIG_ENDIAN, GE_PRIVATE_IMPLICIT
from .frames import Frame, read_frames
from .header import Header, RefusedFileError, read_header
from .walker import UNDEFINED_LENGTH

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MAX_SLICE_BYTES = 512 * 1024 * 1024
"""Largest slice that is believed: 16384 x 16384 of two bytes."""
NATIVE_SYNTAXES = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", EXPLICIT_BIG_ENDIAN)


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
class Instance:
    """One image file.

    Attributes
    ----------
    path : str
    header : Header
        For whoever needs a further element.
    sop_instance_uid, series_uid, study_uid, patient_id, frame_of_reference_uid, transfer_syntax : str
    image_type : tuple of str
    acquisition_number, instance_number : int
        0 where absent.
    pixels : PixelFormat
    frames : tuple of Frame
        At least one; frame number n is ``frames[n - 1]``.
    padding : tuple of int or None
        Stored pixel padding value and range limit, lowest first.
    remarks : tuple of str
        What was odd and how it was taken.
    """

    path: str
    header: Header
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    patient_id: str
    frame_of_reference_uid: str
    modality: str
    transfer_syntax: str
    image_type: tuple[str, ...]
    acquisition_number: int
    instance_number: int
    pixels: PixelFormat
    frames: tuple[Frame, ...]
    padding: tuple[int, int] | None
    remarks: tuple[str, ...]

    @property
    def is_encapsulated(self) -> bool:
        """Whether the pixel data are compressed frames."""
        return self.header.walked.pixel_length == UNDEFINED_LENGTH

    @property
    def is_localizer(self) -> bool:
        """Whether this is a scout image."""
        return "LOCALIZER" in self.image_type or "SCOUT" in self.image_type


def read_instance(path: str | Path) -> Instance:
    """Read the facts of one image file; pixels are not touched.

    Raises
    ------
    RefusedFileError
        If the file is not an image that can be placed in space and read as values; the reason says why.
    """
    header = read_header(path)
    try:
        return _instance(header)
    except _RefusalError as error:
        series_uid = header.text(tags.SERIES_INSTANCE_UID)
        raise RefusedFileError(header.path, str(error), series_uid) from None


class _RefusalError(Exception):
    """A reason, before the file's name is put to it."""


def _instance(header: Header) -> Instance:
    remarks = list(header.walked.remarks)
    _refuse_what_is_no_image(header)
    modality = _modality(header, remarks)
    pixels = _pixel_format(header, remarks)
    try:
        frames = read_frames(header, modality, remarks)
    except ValueError as error:
        raise _RefusalError(error) from None
    _check_size(header, pixels, len(frames))
    return Instance(
        path=header.path,
        header=header,
        sop_instance_uid=header.text(tags.SOP_INSTANCE_UID),
        series_uid=header.text(tags.SERIES_INSTANCE_UID),
        study_uid=header.text(tags.STUDY_INSTANCE_UID),
        patient_id=header.text(tags.PATIENT_ID),
        frame_of_reference_uid=header.text(tags.FRAME_OF_REFERENCE_UID),
        modality=modality,
        transfer_syntax=header.walked.transfer_syntax,
        image_type=tuple(header.texts(tags.IMAGE_TYPE)),
        acquisition_number=_whole(header, tags.ACQUISITION_NUMBER),
        instance_number=_whole(header, tags.INSTANCE_NUMBER),
        pixels=pixels,
        frames=frames,
        padding=_padding(header, pixels.signed),
        remarks=tuple(remarks),
    )


def _refuse_what_is_no_image(header: Header) -> None:
    sop_class = header.text(tags.SOP_CLASS_UID)
    modality = header.text(tags.MODALITY)
    walked = header.walked
    reason = ""
    if sop_class.startswith("1.2.840.10008.1.3.10"):
        reason = "it is a DICOMDIR, an index of other files"
    elif sop_class == SECONDARY_CAPTURE or sop_class.startswith(SECONDARY_CAPTURE + "."):
        reason = "it is a secondary capture (a picture of a screen or film), not measured values"
    elif modality in ("RTDOSE", "SEG", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG"):
        reason = f"it is a {modality} object, not image slices"
    elif not walked.pixel_tag:
        reason = "it has no pixel data"
    elif walked.pixel_tag != tags.PIXEL_DATA:
        reason = "its pixels are floating-point numbers, which are not supported"
    elif header.integer(tags.SAMPLES_PER_PIXEL, 1) != 1:
        reason = "it is a colour image"
    elif tags.MODALITY_LUT_SEQUENCE in header:
        reason = "its values go through a look-up table, which is not supported"
    if reason:
        raise _RefusalError(reason)


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
        raise _RefusalError(msg)
    if header.text(tags.PIXEL_PRESENTATION) in ("COLOR", "TRUE_COLOR"):
        remarks.append("a colour map of derived values: its numbers are not Hounsfield units")
    elif modality == "CT" and not _means_hounsfield(header.text(tags.RESCALE_TYPE)):
        remarks.append(f"rescale type {header.text(tags.RESCALE_TYPE)[:16]}: its numbers are not Hounsfield units")
    return modality


def _means_hounsfield(rescale_type: str) -> bool:
    """Whether a rescale type is HU (written in several ways), or unspecified, which is HU for CT (PS3.3 C.11.1.1.2)."""
    name = rescale_type.upper()
    return name in ("", "US") or name.startswith(("HU", "HOUNSFIELD", "HOUNDSFIELD"))


def _pixel_format(header: Header, remarks: list[str]) -> PixelFormat:
    rows, columns = header.integer(tags.ROWS, 0), header.integer(tags.COLUMNS, 0)
    if not rows or not columns:
        msg = f"it has {rows} rows and {columns} columns"
        raise _RefusalError(msg)
    allocated = header.integer(tags.BITS_ALLOCATED, 16)
    stored = header.integer(tags.BITS_STORED, allocated)
    high = header.integer(tags.HIGH_BIT, stored - 1)
    if allocated not in (8, 16, 32):
        msg = f"its pixels have {allocated} bits allocated; 8, 16 and 32 are supported"
        raise _RefusalError(msg)
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


def _check_size(header: Header, pixels: PixelFormat, frames: int) -> None:
    """Refuse what declares more pixels than the file can hold, before anything is allocated."""
    walked = header.walked
    left = walked.size - walked.pixel_offset
    if pixels.frame_bytes > MAX_SLICE_BYTES:
        msg = f"a slice of {pixels.rows} x {pixels.columns} pixels is not plausible"
        raise _RefusalError(msg)
    if walked.pixel_length == UNDEFINED_LENGTH:
        if walked.transfer_syntax in NATIVE_SYNTAXES:
            msg = f"its pixel data are encapsulated, but its transfer syntax is {walked.transfer_syntax or 'absent'}"
            raise _RefusalError(msg)
        if 8 * frames > left:
            msg = f"{frames} frames cannot be in {left} bytes of pixel data"
            raise _RefusalError(msg)
        return
    if walked.transfer_syntax not in (*NATIVE_SYNTAXES, GE_PRIVATE_IMPLICIT):
        msg = f"its pixel data are not encapsulated as transfer syntax {walked.transfer_syntax} demands"
        raise _RefusalError(msg)
    declared = pixels.frame_bytes * frames
    if min(walked.pixel_length, left) < declared:
        msg = f"its pixel data are cut short: {declared} bytes declared, {min(walked.pixel_length, left)} present"
        raise _RefusalError(msg)


def _padding(header: Header, signed: bool) -> tuple[int, int] | None:
    values = header.integers(tags.PIXEL_PADDING_VALUE, signed)
    if not values:
        return None
    limits = header.integers(tags.PIXEL_PADDING_RANGE_LIMIT, signed) or values
    return min(values[0], limits[0]), max(values[0], limits[0])


def _whole(header: Header, tag: int) -> int:
    values = header.numbers(tag)
    return int(values[0]) if values and abs(values[0]) < 2**31 else 0
