"""Opening SQLite files that may hold anything."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

QUERY_SECONDS = 60.0
"""Longest that one statement may take; only a file that is made to is slower."""
_STEPS = 100_000
_TEXT = partial(str, encoding="utf-8", errors="surrogateescape")
"""File names need not be valid UTF-8; called for every text of every row, so a function in C."""


def connect(path: Path, *, write: bool = False, wait: float = 10.0) -> sqlite3.Connection:
    """Open an SQLite file without believing what it says of itself.

    Functions that its schema names cannot touch anything outside it, text need not be UTF-8
    (what is not is kept as surrogates), and no statement runs for longer than `QUERY_SECONDS`.

    Parameters
    ----------
    path : Path
        Absolute.
    write : bool
        Make the file where it is absent. Else it must exist and is only read.
    wait : float
        Seconds to wait for another program that holds a lock.

    Raises
    ------
    sqlite3.Error
        If it cannot be opened.
    """
    mode = "rwc" if write else "ro"
    connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", wait, isolation_level=None, uri=True)
    connection.text_factory = _TEXT
    connection.execute("PRAGMA trusted_schema = OFF")
    limit_time(connection)
    return connection


def limit_time(connection: sqlite3.Connection, seconds: float = QUERY_SECONDS) -> None:
    """Stop statements that run when `seconds` from now have passed; called again, the time starts anew."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)


def is_interrupted(error: sqlite3.Error) -> bool:
    """Whether a file cannot be read because a program that wrote it was ended in the middle."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_ROLLBACK


def undo_interrupted(path: Path) -> None:
    """Put a file back as it was before a program that wrote it was ended in the middle, as the next writer would.

    Raises
    ------
    sqlite3.Error
        If the file may not be written.
    """
    with closing(connect(path, write=True)) as connection:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
