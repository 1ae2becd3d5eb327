"""Files into a database of Slicer's own format: what ``dicom-analysis index`` does."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..header import RefusedFileError
from ..problem import Problem
from .files import ChangedFileError, Copier, copy_name, find_files, stored_name
from .memory import Remembered, recall
from .rows import Record
from .scanner import Scanner
from .schema import DATABASE_NAME
from .writer import DatabaseWriter

_BATCH = 100_000
"""Files whose headers are read before the first are written: about 120 MB."""
_OWN_FILES = ("ctkDICOM.sql", "ctkDICOMTagCache.sql", "dicom-analysis-index.sqlite")


@dataclass(frozen=True)
class IndexReport:
    """What became of the files.

    Attributes
    ----------
    database : Path
        ``ctkDICOM.sql``.
    files : int
        Files looked at.
    added, updated, unchanged : int
        Images that are new, that were written anew because their file has changed or moved, and that were left alone.
    patients, studies, series, images : int
        What the database holds now.
    duplicates : tuple of Problem
        Files whose SOP Instance UID is in the database from another file, which stays.
    problems : tuple of Problem
        Files that are not in the database, each with its reason.
    warnings : tuple of str
    seconds : float
    """

    database: Path
    files: int
    added: int
    updated: int
    unchanged: int
    patients: int
    studies: int
    series: int
    images: int
    duplicates: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    seconds: float


def index_files(
    paths: Iterable[str | Path],
    database: str | Path,
    *,
    copy: bool = False,
    progress: Callable[[str], None] | None = None,
) -> IndexReport:
    """Add DICOM files to a database that Slicer opens; make the database where there is none.

    All is written in one transaction: a run that is killed leaves the database as it was. A file
    that has not changed since an earlier run is not opened.

    Parameters
    ----------
    paths : iterable of path
        Files, and folders that are searched to the bottom.
    database : path
        The database's folder, or ``ctkDICOM.sql`` in it.
    copy : bool
        Copy the files into the database, as Slicer's import does, rather than leave them where they are.
    progress : callable, optional
        Takes a line now and then.

    Returns
    -------
    IndexReport

    Raises
    ------
    SourceError
        If there is nothing at a path, or the database is not Slicer's or of another schema.
    OutputError
        If the database or a copy cannot be written.
    """
    start = time.perf_counter()
    folder = Path(os.path.abspath(database))  # noqa: PTH100 (resolve() would follow links)
    folder = folder.parent if folder.name == DATABASE_NAME else folder
    problems: list[Problem] = []
    found = find_files(paths, problems)
    first = next(found, None)  # so that a wrong path makes no database
    writer = DatabaseWriter(folder)
    try:
        run = _Run(writer, copy, progress or (lambda _line: None))
        with _no_garbage_search():
            for records in run.batches(_chain(first, found)):
                writer.begin()  # not before there is something to write: the lock is held for moments
                writer.add(records)
            writer.begin()
            writer.finish(run.refused)
        problems += run.problems
        return IndexReport(
            database=folder / DATABASE_NAME,
            files=run.files,
            added=writer.added,
            updated=writer.updated,
            unchanged=run.unchanged + writer.unchanged,
            **writer.totals(),
            duplicates=tuple(_duplicate(*item) for item in sorted(writer.duplicates.items())),
            problems=tuple(sorted(problems, key=lambda problem: problem.path)),
            warnings=tuple(_shared(uid) for uid in sorted(writer.shared)),
            seconds=round(time.perf_counter() - start, 3),
        )
    except sqlite3.Error as error:
        raise writer.explain(error) from error
    finally:
        writer.close()


class _Run:
    """One run over the files: what was refused, and how many were seen."""

    def __init__(self, writer: DatabaseWriter, copy: bool, progress: Callable[[str], None]):
        self.files = self.unchanged = 0
        self.problems: list[Problem] = []
        self.refused: list[tuple[Problem, int, int]] = []
        self._writer, self._folder = writer, os.fspath(writer.folder)
        self._copier = Copier(writer.folder) if copy else None
        self._copied: set[str] = set()
        self._progress = progress
        self._remembered = {} if writer.is_empty else recall(writer.connection)

    def batches(self, paths: Iterable[str]) -> Iterator[list[Record]]:
        """Records of the files that are new or have changed."""
        scanner = Scanner()
        records: list[Record] = []
        shown = time.perf_counter()
        for path in paths:
            self.files += 1
            if self._remembered and self._is_known(path):
                continue
            try:
                record = scanner.scan(path)
                record.name = self._name(record)
                record.is_changed = path in self._remembered
            except RefusedFileError as error:
                self._refuse(error)
                continue
            records.append(record)
            if len(records) == _BATCH:
                yield records
                records = []
            if self.files % 1000 == 0 and time.perf_counter() - shown > 2:
                shown = time.perf_counter()
                self._progress(f"{self.files} files read")
        if records:
            yield records

    def _is_known(self, path: str) -> bool:
        """Whether a file is as it was when an earlier run read it."""
        known: Remembered | None = self._remembered.get(path)
        if known is None:
            return False
        try:
            status = os.stat(path)  # noqa: PTH116 (once a file)
        except OSError:
            return False
        if (status.st_size, status.st_mtime_ns) != (known.size, known.mtime_ns):
            return False
        if known.problem is not None:
            if self._copier is not None and known.problem.is_dicom:
                return False  # what has no place in a database where it is may still be copied
            self.problems.append(known.problem)
            return True
        if self._copier is not None:
            name = self._writer.file_of(known.sop_uid)
            if not name or os.path.isabs(name) or not self._writer.is_there(name):  # noqa: PTH117 (a string will do)
                return False
        self.unchanged += 1
        return True

    def _name(self, record: Record) -> str:
        """What the database calls the file; copies it where copies are wanted and there is none yet."""
        if self._copier is None:
            return stored_name(record.path, self._folder)
        name = copy_name(record.study_uid, record.series_uid, record.sop_uid)
        if name in self._copied:
            return name
        known = None if self._writer.is_empty else self._writer.file_of(record.sop_uid)
        if known and known != name and not os.path.isabs(known) and self._writer.is_there(known):  # noqa: PTH117
            return name  # a copy of it is there under another name: the writer lists a duplicate
        self._copier.copy(record.path, name, record.size, record.mtime_ns)
        self._copied.add(name)
        return name

    def _refuse(self, error: RefusedFileError) -> None:
        if os.path.basename(error.path).startswith(_OWN_FILES) and error.path.startswith(self._folder):  # noqa: PTH119
            self.files -= 1  # the database itself
            return
        problem = Problem(error.path, error.reason, error.series_uid, error.is_dicom)
        self.problems.append(problem)
        if isinstance(error, ChangedFileError) or isinstance(error.__cause__, OSError):
            return  # it may be otherwise next time
        try:
            status = os.stat(error.path)  # noqa: PTH116 (once a file)
        except OSError:
            return
        self.refused.append((problem, status.st_size, status.st_mtime_ns))


@contextlib.contextmanager
def _no_garbage_search() -> Iterator[None]:
    """Leave out the search for cyclic garbage: records hold none, and searching many costs a tenth of the run."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _chain(first: str | None, rest: Iterator[str]) -> Iterator[str]:
    if first is not None:
        yield first
        yield from rest


def _duplicate(path: str, known: str) -> Problem:
    return Problem(path, f"its SOP instance UID is in the database from {known}, which stays")


def _shared(uid: str) -> str:
    return f"Series {uid}: several studies or patients use its UID; its images stand under the first."
