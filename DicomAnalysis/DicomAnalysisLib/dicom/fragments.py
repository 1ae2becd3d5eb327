"""Which bytes of an encapsulated pixel data element belong to which frame (PS3.5 annex A.4)."""

from __future__ import annotations

import io
import struct

from .window import read_fully

MAX_FRAGMENTS = 1_000_000
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_FRAME_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0c\x6a\x50")
"""How a JPEG, a JPEG 2000 stream and a JP2 container begin."""

Span = tuple[int, int]
"""Position and length of a fragment."""


class FragmentError(Exception):
    """The encapsulated frames cannot be told apart; the message says why."""


def index_frames(stream: io.RawIOBase, start: int, size: int, frames: int, extended: bytes = b"") -> list[list[Span]]:
    """Find the fragments of each frame, without reading them.

    Parameters
    ----------
    stream : binary file
    start : int
        Position of the first item of the pixel data element.
    size : int
        Bytes in the file: no fragment may go beyond it.
    frames : int
        Number of frames declared.
    extended : bytes
        Extended Offset Table, where there is one.

    Returns
    -------
    list of list of (position, length)
        One list of fragments for each frame.

    Raises
    ------
    FragmentError
        If a fragment goes beyond the end of the file or the frames cannot be told apart.
    """
    table, fragments = _index_fragments(stream, start, size)
    if not fragments:
        msg = "its pixel data hold no frame"
        raise FragmentError(msg)
    if frames == 1:
        return [fragments]
    if len(fragments) == frames:
        return [[fragment] for fragment in fragments]
    if len(extended) == 8 * frames:
        starts = list(struct.unpack(f"<{frames}Q", extended))
    elif len(table) == 4 * frames:
        starts = list(struct.unpack(f"<{frames}L", table))
    else:
        first = fragments[0][0]
        starts = [position - first for position, _ in fragments if _begins_frame(stream, position)]
    return _group(fragments, starts, frames)


def _index_fragments(stream: io.RawIOBase, start: int, size: int) -> tuple[bytes, list[Span]]:
    """The basic offset table and the span of each fragment."""
    spans: list[Span] = []
    position = start
    while len(spans) <= MAX_FRAGMENTS:
        stream.seek(position)
        item = read_fully(stream, 8)
        if item[:4] == _SEQUENCE_END or len(item) < 8:
            break  # a missing delimiter at the very end does no harm
        if item[:4] != _ITEM:
            msg = "its pixel data are not a sequence of fragments"
            raise FragmentError(msg)
        length = struct.unpack_from("<L", item, 4)[0]
        position += 8
        if position + length > size:
            msg = f"its pixel data are cut short: a fragment of {length} bytes, {size - position} present"
            raise FragmentError(msg)
        spans.append((position, length))
        position += length
    if not spans:
        return b"", []
    stream.seek(spans[0][0])
    return read_fully(stream, spans[0][1]), spans[1:]


def _begins_frame(stream: io.RawIOBase, position: int) -> bool:
    stream.seek(position)
    return read_fully(stream, 6).startswith(_FRAME_STARTS)


def _group(fragments: list[Span], starts: list[int], frames: int) -> list[list[Span]]:
    """Deal the fragments out to frames that begin at offsets counted from the first fragment."""
    first = fragments[0][0]
    begins = set(starts)
    groups: list[list[Span]] = []
    for fragment in fragments:
        if fragment[0] - first in begins:
            groups.append([])
        if groups:
            groups[-1].append(fragment)
    if len(groups) != frames:
        msg = f"it declares {frames} frames, but its {len(fragments)} fragments make {len(groups)}"
        raise FragmentError(msg)
    return groups
