"""The headers of many files, for the few elements that a database keeps."""

from __future__ import annotations

import os
import stat
from collections import deque

from ..header import RefusedFileError, read_header
from ..window import FIRST_READ
from .conventions import INDEX_TAGS, CacheRows
from .layouts import Sample, learn_layout
from .rows import Facts, Record, check_identifiers

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Not to wait for ever where a file was replaced by a pipe."""
_WANTED = frozenset(INDEX_TAGS)
_ALIKE = 4
_MAX_SAMPLES = 512
_PATIENCE = 64
"""Headers whose layout is learned although none before was met again; from then on, one in sixteen."""


class Scanner:
    """Reads headers one after the other and remembers how they were laid out."""

    def __init__(self) -> None:
        self._rows = CacheRows()
        self._facts: dict[str, Facts] = {}
        self._by_size: dict[int, list[tuple[Sample, list[str]]]] = {}
        self._recent: deque[tuple[Sample, list[str]]] = deque(maxlen=_ALIKE)
        self._patience = _PATIENCE

    def scan(self, path: str) -> Record:
        """Read one header.

        Raises
        ------
        RefusedFileError
            As `read_header`; or if it is no regular file, or lacks an identifier that the database needs.
        """
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError as error:
            raise RefusedFileError(path, f"it cannot be read ({error.strerror})", is_dicom=False) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RefusedFileError(path, "it is not a file", is_dicom=False)
            data = os.read(descriptor, FIRST_READ)
        except OSError as error:
            raise RefusedFileError(path, f"it cannot be read ({error.strerror})", is_dicom=False) from error
        finally:
            os.close(descriptor)
        size = status.st_size
        known = self._by_size.get(size, ())
        for samples in (known, self._recent):
            for sample, row in samples:
                found = self._row_like(sample, row, data)
                if found is not None:
                    if samples is not known:
                        self._remember(sample, row, size)
                    return self._record(path, status, found, sample, data)
        return self._walk(path, status, data)

    def _row_like(self, sample: Sample, row: list[str], data: bytes) -> list[str] | None:
        """The row of a file that is laid out like a sample; None where it is not."""
        if sample.is_like(data):
            self._patience = _PATIENCE
            return self._rows.like(row, sample.character_set, sample.varying, data)
        values = sample.layout.values(data)
        if values is None:
            return None
        sample.learn(data)
        row = self._rows.row(values, False, True)
        return None if row[CacheRows.SOP].startswith("__") else row

    def _record(self, path: str, status: os.stat_result, row: list[str], sample: Sample, data: bytes) -> Record:
        facts = self._facts.get(row[CacheRows.SERIES])
        if facts is None:
            check_identifiers(path, row)
            present = tuple(place is not None for place in sample.layout.places)
            facts = self._new_facts(row, sample.layout.values(data) or (), present)
        return Record(path, status.st_size, status.st_mtime_ns, row, facts)

    def _walk(self, path: str, status: os.stat_result, data: bytes) -> Record:
        walked = read_header(path, _WANTED).walked
        values = tuple([walked.elements.get(tag, b"") for tag in INDEX_TAGS])
        row = self._rows.row(values, walked.big_endian, bool(walked.pixel_tag))
        check_identifiers(path, row)
        self._patience -= 1
        if walked.pixel_tag and (self._patience > 0 or self._patience % 16 == 0):
            layout = learn_layout(data, walked)
            if layout is not None:
                sample = Sample(layout, data)
                self._recent.appendleft((sample, row))
                self._remember(sample, row, status.st_size)
        facts = self._facts.get(row[CacheRows.SERIES])
        if facts is None:
            facts = self._new_facts(row, values, tuple(tag in walked.elements for tag in INDEX_TAGS))
        return Record(path, status.st_size, status.st_mtime_ns, row, facts)

    def _new_facts(self, row: list[str], values: tuple[bytes, ...], present: tuple[bool, ...]) -> Facts:
        facts = self._facts[row[CacheRows.SERIES]] = Facts(row, values, present)
        return facts

    def _remember(self, sample: Sample, row: list[str], size: int) -> None:
        """Try this sample first for files of this size."""
        if len(self._by_size) >= _MAX_SAMPLES:
            self._by_size.clear()
        known = self._by_size.setdefault(size, [])
        if len(known) < _ALIKE and all(sample is not other for other, _row in known):
            if known:
                sample.layout.tell_apart(known[-1][0].layout)
            known.append((sample, row))
