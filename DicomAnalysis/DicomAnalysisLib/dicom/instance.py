"""One DICOM image file: where its frames lie in space and where their pixels lie in the file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from . import tags
from .facts import Facts, PixelFormat, read_facts
from .filestart import EXPLICIT_BIG_ENDIAN, GE_PRIVATE_IMPLICIT
from .frames import Frame, read_grouped_frames, read_position
from .header import Header, RefusedFileError, open_pixels, read_header
from .walker import UNDEFINED_LENGTH

MAX_SLICE_BYTES = 512 * 1024 * 1024
"""Largest slice that is believed: 16384 x 16384 of two bytes."""
MAX_INFLATED_BYTES = 8 * 1024**3
"""Each frame of a deflated file means inflating all before it; more than this in all is refused."""
NATIVE_SYNTAXES = frozenset(
    (
        "",
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        EXPLICIT_BIG_ENDIAN,
        GE_PRIVATE_IMPLICIT,
    )
)


@dataclass(frozen=True, slots=True)
class PixelLocation:
    """Where the pixel data element lies.

    Attributes
    ----------
    offset, length : int
        Of its value; `UNDEFINED_LENGTH` for encapsulated frames.
    size : int
        Bytes in the file (for deflated data an upper bound).
    vr : bytes
        Empty for implicit encodings.
    deflated_from : int
        Position from which the file is deflated; 0 where it is not.
    offset_table : bytes
        Extended Offset Table.
    """

    offset: int
    length: int
    size: int
    vr: bytes = b""
    deflated_from: int = 0
    offset_table: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One image file.

    Attributes
    ----------
    path : str
    sop_instance_uid : str
    instance_number : int
        0 where absent.
    facts : Facts
        What it shares with its neighbours: identity, pixel format, acquisition, remarks.
    frames : tuple of Frame
        At least one; frame number n is ``frames[n - 1]``.
    location : PixelLocation
    remarks : tuple of str
        What was odd and how it was taken.
    """

    path: str
    sop_instance_uid: str
    instance_number: int
    facts: Facts
    frames: tuple[Frame, ...]
    location: PixelLocation
    remarks: tuple[str, ...]

    @property
    def pixels(self) -> PixelFormat:
        """How stored values are laid out."""
        return self.facts.pixels

    @property
    def is_encapsulated(self) -> bool:
        """Whether the pixel data are compressed frames."""
        return self.location.length == UNDEFINED_LENGTH

    @property
    def is_localizer(self) -> bool:
        """Whether this is a scout image."""
        return "LOCALIZER" in self.facts.image_type or "SCOUT" in self.facts.image_type

    def open(self) -> io.RawIOBase:
        """The file, or its inflated contents, with positions as in `location`."""
        return open_pixels(self.path, self.location.deflated_from)


def read_instance(path: str | Path) -> Instance:
    """Read the facts of one image file; pixels are not touched.

    Raises
    ------
    RefusedFileError
        If the file is not an image that can be placed in space and read as values; the reason says why.
    """
    header = read_header(path)
    try:
        facts = read_facts(header)
        remarks = facts.remarks
        if facts.frame is not None:
            frames: tuple[Frame, ...] = (facts.frame.at(read_position(header)),)
        else:
            new_remarks = list(remarks)
            frames = read_grouped_frames(header, facts.identity.modality, new_remarks)
            remarks = tuple(new_remarks)
        location = locate(header, facts, len(frames))
    except ValueError as error:
        raise RefusedFileError(header.path, str(error), header.text(tags.SERIES_INSTANCE_UID)) from None
    return Instance(
        header.path,
        header.text(tags.SOP_INSTANCE_UID),
        header.whole(tags.INSTANCE_NUMBER),
        facts,
        frames,
        location,
        remarks,
    )


def locate(header: Header, facts: Facts, frames: int) -> PixelLocation:
    """Where the pixels lie; refuses what declares more than the file can hold, before anything is allocated."""
    walked, frame_bytes, syntax = header.walked, facts.pixels.frame_bytes, facts.transfer_syntax
    left = walked.size - walked.pixel_offset
    is_native = syntax in NATIVE_SYNTAXES
    reason = ""
    if frame_bytes > MAX_SLICE_BYTES:
        reason = f"a slice of {facts.pixels.rows} x {facts.pixels.columns} pixels is not plausible"
    elif walked.pixel_length == UNDEFINED_LENGTH:
        if is_native:
            reason = f"its pixel data are encapsulated, but its transfer syntax is {syntax or 'absent'}"
        elif 8 * frames > left:
            reason = f"{frames} frames cannot be in {left} bytes of pixel data"
    elif not is_native:
        reason = f"its pixel data are not encapsulated as transfer syntax {syntax} demands"
    elif min(walked.pixel_length, left) < frame_bytes * frames:
        present = min(walked.pixel_length, left)
        reason = f"its pixel data are cut short: {frame_bytes * frames} bytes declared, {present} present"
    elif header.is_deflated and frames * (walked.pixel_offset + frames * frame_bytes / 2) > MAX_INFLATED_BYTES:
        reason = f"its {frames} frames are deflated as one, which takes too long to read; convert it first"
    if reason:
        raise ValueError(reason)
    return PixelLocation(
        walked.pixel_offset,
        walked.pixel_length,
        walked.size,
        walked.pixel_vr,
        walked.dataset_start if header.is_deflated else 0,
        walked.elements.get(tags.EXTENDED_OFFSET_TABLE, b""),
    )
