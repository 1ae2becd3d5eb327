"""What earlier runs have seen, so that a second one over the same files takes seconds.

It stands in a small SQLite file of our own beside Slicer's, whose tables are left as they
are. Deleting it does no harm: the next run reads every file again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..problem import Problem

MEMORY_NAME = "dicom-analysis-index.sqlite"
_VERSION = 1


class Remembered(NamedTuple):
    """A file as it was when it was last read.

    Attributes
    ----------
    size, mtime_ns : int
    sop_uid : str
        Of its image in the database.
    problem : Problem or None
        Why it is not in the database, where it is not.
    """

    size: int
    mtime_ns: int
    sop_uid: str
    problem: Problem | None


def attach_memory(connection: sqlite3.Connection, folder: Path) -> None:
    """Attach the memory as ``seen``, empty where there is none or it is not ours.

    Raises
    ------
    sqlite3.Error
        If the file cannot be made or is locked by another process.
    """
    path = folder / MEMORY_NAME
    try:
        _attach(connection, path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        path.unlink(missing_ok=True)
        _attach(connection, path)


def _attach(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("ATTACH DATABASE ? AS seen", (os.fspath(path),))
    try:
        connection.execute("SELECT COUNT(*) FROM seen.sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        connection.execute("DETACH DATABASE seen")
        raise


def make_memory(connection: sqlite3.Connection) -> None:
    """Make the table of an empty memory, or of one that another version of this program made."""
    if connection.execute("PRAGMA seen.user_version").fetchone()[0] != _VERSION:
        connection.execute("DROP TABLE IF EXISTS seen.Files")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS seen.Files (Path BLOB PRIMARY KEY, Size INT, ModifiedNs INT, "
        "SOPInstanceUID TEXT, SeriesInstanceUID TEXT, Reason TEXT, IsDicom INT) WITHOUT ROWID"
    )
    connection.execute(f"PRAGMA seen.user_version = {_VERSION}")


def recall(connection: sqlite3.Connection) -> dict[str, Remembered]:
    """The files seen before, except those whose images have since been taken out of the database."""
    if connection.execute("PRAGMA seen.user_version").fetchone()[0] != _VERSION:
        return {}
    statement = (
        "SELECT Path, Size, ModifiedNs, SOPInstanceUID, Reason, SeriesInstanceUID, IsDicom FROM seen.Files AS f "
        "WHERE f.Reason IS NOT NULL "
        "OR EXISTS (SELECT 1 FROM main.Images AS i WHERE i.SOPInstanceUID = f.SOPInstanceUID)"
    )
    with contextlib.suppress(sqlite3.DatabaseError):
        return dict(_remembered(connection.execute(statement)))
    return {}


def _remembered(rows: Iterable[tuple]) -> Iterator[tuple[str, Remembered]]:
    for name, size, mtime_ns, sop_uid, reason, series_uid, is_dicom in rows:
        path = os.fsdecode(name)
        problem = None if reason is None else Problem(path, reason, series_uid or "", bool(is_dicom))
        yield path, Remembered(size, mtime_ns, sop_uid or "", problem)


REMEMBER_IMAGE = (
    "INSERT OR REPLACE INTO seen.Files (Path, Size, ModifiedNs, SOPInstanceUID, IsDicom) VALUES (?, ?, ?, ?, 1)"
)
"""Remembers a file whose image is in the database."""


def remember_problems(connection: sqlite3.Connection, files: Iterable[tuple[Problem, int, int]]) -> None:
    """Remember files that are not in the database, with size and modification time."""
    connection.executemany(
        "INSERT OR REPLACE INTO seen.Files VALUES (?, ?, ?, NULL, ?, ?, ?)",
        [(os.fsencode(p.path), size, mtime_ns, p.series_uid, p.reason, int(p.is_dicom)) for p, size, mtime_ns in files],
    )
