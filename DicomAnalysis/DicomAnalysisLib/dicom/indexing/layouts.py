"""Headers that are laid out like one seen before, read without walking them again.

The files of a series mostly have their elements at the same places: the same tags, value
representations and lengths, only other values. Where a walk goes depends on nothing but the element
headers it meets; so, when a file has the same bytes at every place where the walk through
an earlier file met a header, the walk through it would be the same, and its values are where
that file's values are (`Layout`). Most values are the same, too: when all that never differed before
is the same again, only what did is looked at (`Sample`). Both comparisons are exact, and take a
tenth of the time of a walk; any difference, and the file is walked.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from operator import itemgetter

from .. import tags
from ..filestart import EXPLICIT_BIG_ENDIAN, LONG_VRS, SHORT_VRS
from ..walker import DEFLATED, UNDEFINED_LENGTH, Walked
from .conventions import INDEX_TAGS

MAX_MARKS = 4096
"""A header with more elements is walked each time."""

_unpack, _unpack_long = struct.Struct("<HH2sH").unpack_from, struct.Struct("<L").unpack_from
_PIXELS = frozenset((tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA))
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_START = 132


class _UnusualError(Exception):
    """The header is not one of the simple kind."""


class Layout:
    """Where the elements of one header lie.

    Attributes
    ----------
    marks : list of slice
        The element headers that the walk met, and the values that say how to read the others.
    places : list of slice or None
        The values of `INDEX_TAGS`; None where absent.
    """

    __slots__ = ("_expected", "_headers", "_probe", "_probed", "_values", "length", "marks", "places")

    def __init__(self, data: bytes, marks: list[slice], places: list[slice | None]):
        self.marks, self.places = marks, places
        self.length = marks[-1].stop
        self._headers = itemgetter(*marks)
        self._expected = self._headers(data)
        self._values = itemgetter(*(place or slice(0, 0) for place in places))
        self._probe, self._probed = marks[-1], self._expected[-1]

    def values(self, data: bytes) -> tuple[bytes, ...] | None:
        """The values of `INDEX_TAGS` in a file that begins with `data`; None where it is laid out differently."""
        if data[self._probe] != self._probed or len(data) < self.length or self._headers(data) != self._expected:
            return None
        return self._values(data)

    def tell_apart(self, other: Layout) -> None:
        """Look first, in both, at the header in which they differ: up to there the two lie at the same places."""
        for place, (mine, others) in enumerate(zip(self._expected, other._expected, strict=False)):
            if mine != others:
                self._probe, self._probed = self.marks[place], mine
                other._probe, other._probed = other.marks[place], others
                return


class Sample:
    """A file whose values serve for others that are the same but for those values that were seen to differ.

    Parameters
    ----------
    layout : Layout
    data : bytes
        The beginning of the file.

    Attributes
    ----------
    character_set : bytes
    varying : list of (int, slice)
        Number (in `INDEX_TAGS`) and place of the values that differ.
    """

    __slots__ = ("_data", "_expected", "_same", "_varies", "character_set", "layout", "varying")

    def __init__(self, layout: Layout, data: bytes):
        self.layout, self._data = layout, data[: layout.length]
        self.character_set = data[layout.places[0] or slice(0, 0)]
        self._varies: set[int] = set()
        self._same: itemgetter | None = None
        self.varying: list[tuple[int, slice]] = []

    def is_like(self, data: bytes) -> bool:
        """Whether a file that begins with `data` is laid out alike, and the same but for the values in `varying`."""
        return self._same is not None and self._same(data) == self._expected

    def learn(self, data: bytes) -> None:
        """Take in what differs in another file of the same layout."""
        marks = self.layout.marks
        gaps = [slice(mark.stop, following.start) for mark, following in pairwise(marks)]
        self._varies |= {place for place, gap in enumerate(gaps) if data[gap] != self._data[gap]}
        runs, start = [], marks[0].start
        for place in sorted(self._varies):
            runs.append(slice(start, gaps[place].start))
            start = gaps[place].stop
        runs.append(slice(start, marks[-1].stop))
        # With a single run itemgetter gives no tuple, but its result can be compared all the same.
        self._same = itemgetter(*runs)
        self._expected = self._same(self._data)
        varying = [gaps[place] for place in self._varies]
        self.varying = [
            (number, place)
            for number, place in enumerate(self.layout.places)
            if place and any(gap.start <= place.start and place.stop <= gap.stop for gap in varying)
        ]


def learn_layout(data: bytes, walked: Walked) -> Layout | None:
    """The layout of a header that was walked, if it is simple and lies within `data`.

    Parameters
    ----------
    data : bytes
        The beginning of the file.
    walked : Walked
        What the walk found in it; the layout must lead to the same values.
    """
    if walked.big_endian or walked.transfer_syntax in (DEFLATED, EXPLICIT_BIG_ENDIAN) or walked.remarks:
        return None
    marks = [slice(128, _START)]
    spans: dict[int, slice] = {}
    try:
        start = _outline_meta(data, marks)
        if start != walked.dataset_start:
            return None
        _outline(data, start, walked.implicit, marks, spans)
    except (_UnusualError, struct.error):
        return None
    places = [spans.get(tag) for tag in INDEX_TAGS]
    for tag, place in zip(INDEX_TAGS, places, strict=True):
        value = walked.elements.get(tag)
        if (value is None) != (place is None) or (place is not None and data[place] != value):
            return None
    return Layout(data, marks, places)


def _outline_meta(data: bytes, marks: list[slice]) -> int:
    """Mark the file meta group; the position after it."""
    offset = _START
    while True:
        group, element, vr, length = _unpack(data, offset)
        if group != 2:
            return offset
        value = offset + 8
        if vr in LONG_VRS:
            length, value = _unpack_long(data, value)[0], offset + 12
        elif vr not in SHORT_VRS:
            raise _UnusualError
        # The transfer syntax decides how all that follows is read: its value must be the same.
        marks.append(slice(offset, value + length if element == 0x0010 else value))
        offset = value + length


def _outline(data: bytes, offset: int, implicit: bool, marks: list[slice], spans: dict[int, slice]) -> None:
    """Mark the elements from `offset` to the pixel data."""
    while len(marks) < MAX_MARKS:
        tag, vr, length, value = _element(data, offset, implicit)
        marks.append(slice(offset, value))
        if tag in _PIXELS:
            return
        if tag >> 16 > tags.PIXEL_DATA >> 16:
            break
        if length == UNDEFINED_LENGTH:
            if vr == b"UN":
                break
            offset = _outline_items(data, value, implicit, marks)
            spans[tag] = slice(0, 0)
            continue
        offset = value + length
        if offset > len(data):
            break
        spans[tag] = slice(value, offset)
        if tag == tags.SPECIFIC_CHARACTER_SET:  # it decides how texts are read: it must be the same
            marks[-1] = slice(marks[-1].start, offset)
    raise _UnusualError


def _outline_items(data: bytes, offset: int, implicit: bool, marks: list[slice]) -> int:
    """Mark what lies in a sequence of undefined length; the position behind its delimiter."""
    depth = 1
    while len(marks) < MAX_MARKS:
        tag, vr, length, value = _element(data, offset, implicit)
        marks.append(slice(offset, value))
        offset = value
        if tag == _SEQUENCE_END:
            depth -= 1
            if not depth:
                return offset
        elif length == UNDEFINED_LENGTH and tag != _ITEM:
            if vr == b"UN":
                break
            depth += 1
        elif length != UNDEFINED_LENGTH and tag != _ITEM_END:
            offset += length
    raise _UnusualError


def _element(data: bytes, offset: int, implicit: bool) -> tuple[int, bytes, int, int]:
    """Tag, VR, length and position of the value."""
    group, element, vr, length = _unpack(data, offset)
    tag = group << 16 | element
    if implicit or group == 0xFFFE:
        return tag, b"", _unpack_long(data, offset + 4)[0], offset + 8
    if vr in SHORT_VRS:
        return tag, vr, length, offset + 8
    if vr in LONG_VRS:
        return tag, vr, _unpack_long(data, offset + 8)[0], offset + 12
    raise _UnusualError
