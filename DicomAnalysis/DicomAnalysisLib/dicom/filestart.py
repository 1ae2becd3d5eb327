"""How a DICOM file begins: prefix, file meta group, and the encoding of what follows (PS3.10 section 7.1)."""

from __future__ import annotations

import struct

from .window import NotDicomError, Window

EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
GE_PRIVATE_IMPLICIT = "1.2.840.113619.5.2"
"""GE's private syntax: the header is implicit little endian, the pixels big endian."""

LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations with a length of four bytes (PS3.5 section 7.1.2)."""
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
VRS = LONG_VRS | SHORT_VRS

_unpack, _unpack_long = struct.Struct("<HH2sH").unpack_from, struct.Struct("<L").unpack_from


def find_start(window: Window) -> int:
    """Position of the first element.

    Raises
    ------
    NotDicomError
        If the file does not begin like DICOM; the message says what it seems to be.
    """
    data = window.data
    if data[128:132] == b"DICM":
        return 132
    if data[:4] == b"DICM":
        return 4
    # Files of the nineties lack preamble and prefix: their first element is of group 2 or 8.
    group, element, length = struct.unpack_from("<HHL", data) if len(data) >= 8 else (0, 0, 0)
    explicit = data[4:6] in VRS
    if group in (2, 8) and element < 0x0100 and (explicit or length <= 1024):
        return 0
    raise NotDicomError(_what_else(data))


def _what_else(data: bytes) -> str:
    """Say what a file that is not DICOM seems to be."""
    if not data:
        return "it is empty"
    known = {
        b"\x89PNG": "a PNG picture",
        b"\xff\xd8\xff": "a JPEG picture",
        b"\x1f\x8b": "gzip-compressed; unpack it first",
        b"PK\x03\x04": "a ZIP archive; unpack it first",
        b"version https://git-lfs": "a git-lfs pointer; fetch the data first",
        b"SQLite format 3": "an SQLite database",
        b"NRRD": "an NRRD file",
        b"%PDF": "a PDF",
    }
    for magic, what in known.items():
        if data.startswith(magic):
            return f"it is {what}"
    return "it has no DICOM prefix and does not begin with a DICOM element"


def walk_meta(window: Window, position: int) -> tuple[str, int]:
    """The transfer syntax from the file meta group (always explicit little endian), and the position after it."""
    syntax = ""
    while True:
        offset = position - window.base
        if offset + 12 > len(window.data):
            offset = window.load(position, 12)
        data = window.data
        if len(data) - offset < 8:
            return syntax, position
        group, element, vr, length = _unpack(data, offset)
        if group != 2:
            return syntax, position
        value = position + 8
        if vr in LONG_VRS and len(data) - offset >= 12:
            length = _unpack_long(data, offset + 8)[0]
            value += 4
        elif vr not in VRS:  # some writers encode the meta group implicitly as well
            length = _unpack_long(data, offset + 4)[0]
        position = value + length
        if position > window.size:
            window.check_length(group << 16 | element, value, length)
        if element == 0x0010:
            length = min(length, 64)
            offset = window.load(value, length)
            syntax = window.data[offset : offset + length].decode("ascii", "replace").strip("\0 ")


def detect_encoding(window: Window, position: int, syntax: str) -> tuple[bool, bool, list[str]]:
    """Whether elements are implicit and whether they are big endian, and remarks.

    The first element is believed rather than the transfer syntax where the two disagree.
    """
    big_endian = syntax == EXPLICIT_BIG_ENDIAN
    implicit = syntax in (IMPLICIT_LITTLE_ENDIAN, GE_PRIVATE_IMPLICIT)
    remarks: list[str] = []
    offset = window.load(position, 8)
    first = window.data[offset : offset + 8]
    if len(first) == 8:
        little, big = struct.unpack_from("<H", first)[0], struct.unpack_from(">H", first)[0]
        stated, other = (big, little) if big_endian else (little, big)
        if stated > 0x00FF >= other:
            big_endian = not big_endian
            remarks.append("its byte order is not the one its transfer syntax states")
        if implicit != (first[4:6] not in VRS):
            implicit = not implicit
            if syntax:
                remarks.append("its value representations are not encoded as its transfer syntax states")
    return implicit, big_endian, remarks
