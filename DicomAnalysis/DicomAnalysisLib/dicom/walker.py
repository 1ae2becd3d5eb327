"""A bounded walk over the elements of a DICOM file: finds wanted tags, skips the rest.

The walk understands explicit and implicit VR, both byte orders and deflated data
(PS3.5 sections 7 and 10, annex A). It never recurses, never allocates what a length
field merely claims, and stops after `MAX_ELEMENTS`; whatever it does not understand
raises `NotUnderstoodError`, and the caller may ask pydicom.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Container
from dataclasses import dataclass, field

from . import tags
from .filestart import LONG_VRS, SHORT_VRS, detect_encoding, find_start, walk_meta
from .window import FIRST_READ, ImplausibleError, InflatedStream, NotUnderstoodError, Window

MAX_VALUE = 8 * 1024 * 1024
"""Longest value kept of a wanted element (an offset table of a million frames)."""
MAX_ELEMENTS = 2_000_000
"""Elements walked over before a file is given up as hostile: about a second."""
UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_GROUP = 0x7FE0
DEFLATED = "1.2.840.10008.1.2.1.99"

_PIXELS = frozenset((tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA))
_SEQUENCES = frozenset((tags.MODALITY_LUT_SEQUENCE, tags.SHARED_FUNCTIONAL_GROUPS, tags.PER_FRAME_FUNCTIONAL_GROUPS))
_STRUCTS = {
    order: (struct.Struct(order + "HH2sH").unpack_from, struct.Struct(order + "L").unpack_from) for order in "<>"
}
_DONE = -1
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


@dataclass(slots=True)
class Walked:
    """What one walk found.

    Attributes
    ----------
    elements : dict
        Tag to raw value bytes; wanted sequences are present with an empty value.
    transfer_syntax : str
        Empty where the file does not say.
    implicit, big_endian : bool
        How the elements are encoded in fact.
    dataset_start : int
        Position of the first element after the file meta group.
    pixel_tag, pixel_vr, pixel_offset, pixel_length
        The pixel data element (0 where there is none), in the inflated stream for a deflated file;
        a length of `UNDEFINED_LENGTH` means encapsulated frames.
    size : int
        Bytes of the stream; for deflated data an upper bound.
    remarks : list of str
        What was unusual.
    """

    elements: dict[int, bytes] = field(default_factory=dict)
    transfer_syntax: str = ""
    implicit: bool = False
    big_endian: bool = False
    dataset_start: int = 0
    pixel_tag: int = 0
    pixel_vr: bytes = b""
    pixel_offset: int = 0
    pixel_length: int = 0
    size: int = 0
    remarks: list[str] = field(default_factory=list)


def walk(stream: io.RawIOBase, size: int, wanted: Container[int], stop_group: int = PIXEL_GROUP) -> Walked:
    """Walk over a file's elements up to its pixel data.

    Parameters
    ----------
    stream : binary file, unbuffered, at its start
    size : int
        Its length in bytes.
    wanted : set of int
        Tags whose values are kept.
    stop_group : int
        The walk ends at the first element of a later group (elements are in ascending order),
        so that whoever needs no pixel data does not look for them.

    Raises
    ------
    NotDicomError
        If the file does not begin like DICOM.
    NotUnderstoodError
        If a length goes beyond the end of the file or the structure makes no sense.
    ImplausibleError
        If there are more elements, or a longer value, than a header can have.
    """
    window = Window(stream, size, stream.read(FIRST_READ) or b"", 0)
    syntax, start = walk_meta(window, find_start(window))
    if syntax == DEFLATED:
        size = start + 1032 * (size - start)  # deflate cannot do better than 1032 to 1
        stream = InflatedStream(stream, start)
        window = Window(stream, size, stream.read(FIRST_READ), start)
    implicit, big_endian, remarks = detect_encoding(window, start, syntax)
    found = Walked({}, syntax, implicit, big_endian, start, size=size, remarks=remarks)
    _walk_dataset(window, start, found, wanted, stop_group)
    return found


def _walk_dataset(window: Window, position: int, found: Walked, wanted: Container[int], stop_group: int) -> None:
    """Walk the part of the data set that is in memory, load the next part, and so on to the pixel data."""
    left = MAX_ELEMENTS
    while left > 0:
        offset = window.load(position, 12)
        available = len(window.data) - offset
        if available < 8:
            if available > 0 and any(window.data[offset:]):
                msg = "it ends inside an element's header"
                raise NotUnderstoodError(msg)
            return
        position, walked = _walk_loaded(window, offset, found, wanted, stop_group, left)
        if position == _DONE:
            return
        if walked == 0 and available < 12:
            msg = "it ends inside an element's header"
            raise NotUnderstoodError(msg)
        left -= walked
    msg = f"its header has more than {MAX_ELEMENTS} elements"
    raise ImplausibleError(msg)


def _walk_loaded(  # noqa: C901 (one loop on purpose: a call for each element would double its time)
    window: Window, offset: int, found: Walked, wanted: Container[int], stop_group: int, limit: int
) -> tuple[int, int]:
    """Walk on while element headers are in memory: where to go on, or `_DONE`, and how many elements were seen."""
    order = ">" if found.big_endian else "<"
    unpack, unpack_long = _STRUCTS[order]
    short_vrs = frozenset() if found.implicit else SHORT_VRS
    elements, data, base = found.elements, window.data, window.base
    tag = value = length = count = 0
    try:
        for count in range(limit):
            group, element, vr, length = unpack(data, offset)
            tag = group << 16 | element
            if vr in short_vrs:
                value = offset + 8
            else:
                implicit = found.implicit or not b"AA" <= vr <= b"ZZ"
                value = offset + 8
                if implicit:  # also a VR that is none: the element was written implicitly; pydicom reads it so, too
                    length = unpack_long(data, offset + 4)[0]
                elif vr in LONG_VRS:
                    length = unpack_long(data, offset + 8)[0]
                    value = offset + 12
                if tag in _PIXELS:
                    found.pixel_tag, found.pixel_vr = tag, b"" if implicit else vr
                    found.pixel_offset, found.pixel_length = base + value, length
                    return _DONE, count
                if length == UNDEFINED_LENGTH:
                    if tag in wanted:
                        elements[tag] = b""
                    return _skip_sequence(window, base + value, implicit, vr, order), count + 1
            if group > stop_group:
                return _DONE, count
            offset = value + length
            if tag in wanted:
                if tag in _SEQUENCES:
                    elements[tag] = b""
                elif offset <= len(data):
                    elements[tag] = data[value:offset]
                else:
                    elements[tag] = _value(window, tag, base + value, length)
                    return base + offset, count + 1
    except struct.error:  # the next header is not in memory
        window.check_length(tag, base + value, length if base + offset > window.size else 0)
        return base + offset, count
    return base + offset, limit


def _value(window: Window, tag: int, position: int, length: int) -> bytes:
    window.check_length(tag, position, length)
    if length > MAX_VALUE:
        msg = f"the element {tags.name(tag)} is {length} bytes long, more than such an element can be"
        raise ImplausibleError(msg)
    offset = window.load(position, length)
    value = window.data[offset : offset + length]
    if len(value) < length:
        msg = f"it ends inside the element {tags.name(tag)}"
        raise NotUnderstoodError(msg)
    return value


def _skip_sequence(window: Window, position: int, implicit: bool, vr: bytes, order: str) -> int:
    """Skip a sequence of undefined length; the position behind its delimiter.

    Nesting is counted, not recursed into.
    """
    levels = [_inside(implicit, vr, order)]
    for _ in range(MAX_ELEMENTS):
        implicit, order = levels[-1]
        offset = window.load(position, 12)
        tag, vr, length, header = _nested_header(window.data, offset, implicit, order)
        value = position + header
        if tag == _SEQUENCE_END:
            levels.pop()
            if not levels:
                return value
        elif length == UNDEFINED_LENGTH and tag != _ITEM:
            levels.append(_inside(implicit, vr, order))
        elif length != UNDEFINED_LENGTH and tag != _ITEM_END:
            window.check_length(tag, value, length)
            value += length
        position = value
    msg = f"a sequence in it has more than {MAX_ELEMENTS} elements"
    raise ImplausibleError(msg)


def _inside(implicit: bool, vr: bytes, order: str) -> tuple[bool, str]:
    """How the items of a sequence are encoded.

    An element of VR UN and undefined length holds implicit little-endian items,
    whatever surrounds it (PS3.5 section 6.2.2 note 4).
    """
    return (True, "<") if vr == b"UN" and not implicit else (implicit, order)


def _nested_header(data: bytes, offset: int, implicit: bool, order: str) -> tuple[int, bytes, int, int]:
    """Tag, VR, length of the value and length of the header of one element or delimiter."""
    available = len(data) - offset
    if available < 8:
        msg = "it ends inside a sequence"
        raise NotUnderstoodError(msg)
    group, element, vr, length = struct.unpack_from(order + "HH2sH", data, offset)
    tag = group << 16 | element
    if implicit or group == 0xFFFE or not b"AA" <= vr <= b"ZZ":
        return tag, vr, struct.unpack_from(order + "L", data, offset + 4)[0], 8
    if vr not in LONG_VRS:
        return tag, vr, length, 8
    if available < 12:
        msg = "it ends inside a sequence"
        raise NotUnderstoodError(msg)
    return tag, vr, struct.unpack_from(order + "L", data, offset + 8)[0], 12
