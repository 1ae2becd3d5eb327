"""The ledger of a batch: what became of every item, kept in the output folder so that a run can go on.

One SQLite file, one row an item and task. Each change is one transaction, so a process that is
killed at any moment, by kill -9 or a power cut, leaves the ledger as it was before or after, and
every finished item stays finished. One process at a time writes a ledger (`open_ledger` locks it).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from .. import __version__
from ..errors import OutputError, UsageError
from ..files.atomic import make_folder
from ..files.folder_lock import FolderLock
from ..files.json_text import plain
from .entries import DONE, FAILED, PENDING, RUNNING, SKIPPED, STATES, Ending, Entry, options_hash

__all__ = [
    "DONE",
    "FAILED",
    "LOCK",
    "MAX_INTERRUPTIONS",
    "NAME",
    "PENDING",
    "RUNNING",
    "SKIPPED",
    "STATES",
    "BusyFolderError",
    "Ending",
    "Entry",
    "Ledger",
    "open_ledger",
    "options_hash",
]

NAME, LOCK = "ledger.sqlite", ".ledger.lock"
SCHEMA = 1

MAX_INTERRUPTIONS = 5
"""An item during which the process ended so often is put aside as failed: it may be what ends it."""

_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    item TEXT NOT NULL,
    task TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed', 'skipped')),
    reason TEXT NOT NULL DEFAULT '',
    options_hash TEXT NOT NULL DEFAULT '',
    version TEXT NOT NULL DEFAULT '',
    folder TEXT NOT NULL DEFAULT '',
    interruptions INTEGER NOT NULL DEFAULT 0,
    started REAL,
    finished REAL,
    outcome TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (item, task)
) WITHOUT ROWID
"""
_COLUMNS = "item, task, state, reason, options_hash, version, folder, interruptions, started, finished, outcome"


class BusyFolderError(OutputError):
    """Another process is at work in an output folder."""


class Ledger:
    """The rows of a ledger file; see `open_ledger` for writing one.

    Parameters
    ----------
    path : path
        Made where it is missing.

    Attributes
    ----------
    is_temporary : bool
        Set to have `open_ledger` remove the file at the end: nothing is left that could be resumed.

    Raises
    ------
    OutputError
        If the file is no ledger, is of a newer version of this program, or cannot be written.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.is_temporary = False
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                msg = f"The ledger {self.path} was written by a newer version of this program; use that one."
                raise OutputError(msg)
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def add(self, items: Iterable[str], task: str, *, anew: bool = False) -> None:
        """Note items as pending; those that are known stay as they are, or with `anew` are forgotten."""
        with self._connection() as connection:
            connection.executemany(
                f"INSERT OR {'REPLACE' if anew else 'IGNORE'} INTO entries (item, task, state) "
                "VALUES (?, ?, 'pending')",
                [(item, task) for item in items],
            )

    def start(self, item: str, task: str, options: str, folder: str = "") -> None:
        """Note that work on an item begins; a process that ends now leaves it as ``running``."""
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO entries (item, task, state, options_hash, version, folder, started) "
                "VALUES (?, ?, 'running', ?, ?, ?, ?) ON CONFLICT (item, task) DO UPDATE SET "
                "state = 'running', reason = '', options_hash = excluded.options_hash, version = excluded.version, "
                "folder = excluded.folder, started = excluded.started, finished = NULL, outcome = '{}'",
                (item, task, options, __version__, folder, time.time()),
            )

    def finish(
        self, item: str, task: str, state: str, reason: str = "", outcome: Mapping[str, object] | None = None
    ) -> None:
        """Note what became of an item; from here on a killed process does not lose it."""
        with self._connection() as connection:
            connection.execute(
                "UPDATE entries SET state = ?, reason = ?, finished = ?, outcome = ?, interruptions = 0 "
                "WHERE item = ? AND task = ?",
                (state, plain(reason), time.time(), json.dumps(plain(outcome or {})), item, task),
            )

    def start_many(self, items: Iterable[str], task: str, options: str, *, dated: bool = True) -> None:
        """As `start`, for many items in one transaction; without times where not `dated`."""
        now = time.time() if dated else None
        with self._connection() as connection:
            connection.executemany(
                "UPDATE entries SET state = 'running', reason = '', options_hash = ?, version = ?, started = ?, "
                "finished = NULL, outcome = '{}' WHERE item = ? AND task = ?",
                [(options, __version__, now, item, task) for item in items],
            )

    def finish_many(self, endings: Iterable[Ending], task: str, options: str, *, dated: bool = True) -> None:
        """Note what became of many items in one transaction; without times where not `dated`."""
        now = time.time() if dated else None
        rows = [
            (
                e.state,
                plain(e.reason),
                options,
                __version__,
                now,
                json.dumps(plain(e.outcome)),
                e.interruptions,
                e.item,
                task,
            )
            for e in endings
        ]
        with self._connection() as connection:
            connection.executemany(
                "UPDATE entries SET state = ?, reason = ?, options_hash = ?, version = ?, finished = ?, outcome = ?, "
                "interruptions = ? WHERE item = ? AND task = ?",
                rows,
            )

    def blame(self, items: Iterable[str], task: str, limit: int = MAX_INTERRUPTIONS) -> None:
        """Count one more interruption against items; those that reach `limit` are failed, the others pending."""
        reason = f"quarantined: the program ended {limit} times while working on it"
        with self._connection() as connection:
            for item in items:
                connection.execute(
                    "UPDATE entries SET interruptions = interruptions + 1, state = 'pending' "
                    "WHERE item = ? AND task = ? AND state IN ('pending', 'running')",
                    (item, task),
                )
                connection.execute(
                    "UPDATE entries SET state = 'failed', reason = ? "
                    "WHERE item = ? AND task = ? AND state = 'pending' AND interruptions >= ?",
                    (reason, item, task, limit),
                )

    def release(self, *, blame: bool) -> list[Entry]:
        """Put what is running back to pending, after the process that ran it is gone.

        Parameters
        ----------
        blame : bool
            Whether the process ended by itself: then the interruption counts against the item, and
            after `MAX_INTERRUPTIONS` it is failed. False after a cancel.

        Returns
        -------
        list of Entry
            What was running: its folder may hold half-written files.
        """
        left = self.entries(state=RUNNING)
        reason = f"the program ended {MAX_INTERRUPTIONS} times while working on it"
        with self._connection() as connection:
            connection.execute(
                "UPDATE entries SET interruptions = interruptions + ? WHERE state = 'running'", (int(blame),)
            )
            connection.execute(
                "UPDATE entries SET state = 'failed', reason = ? WHERE state = 'running' AND interruptions >= ?",
                (reason, MAX_INTERRUPTIONS),
            )
            connection.execute("UPDATE entries SET state = 'pending' WHERE state = 'running'")
        return left

    def entry(self, item: str, task: str) -> Entry | None:
        """What is known about an item."""
        return next(self._entries("item = ? AND task = ?", (item, task)), None)

    def entries(self, task: str | None = None, state: str | None = None) -> list[Entry]:
        """All entries, or those of a task or state, ordered by item."""
        wanted = [(name, value) for name, value in (("task", task), ("state", state)) if value is not None]
        where = " AND ".join(f"{name} = ?" for name, _ in wanted) or "1"
        return list(self._entries(where, tuple(value for _, value in wanted)))

    def counts(self, task: str | None = None) -> dict[str, int]:
        """How many entries are in each state; states without any are there with 0."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT state, COUNT(*) FROM entries WHERE ? IS NULL OR task = ? GROUP BY state", (task, task)
            ).fetchall()
        return dict.fromkeys(STATES, 0) | dict(rows)

    def family(self, item: str, task: str) -> list[Entry]:
        """An item and those whose names begin with it and a slash, ordered by name."""
        return list(
            self._entries("task = ? AND (item = ? OR item >= ? AND item < ?)", (task, item, f"{item}/", f"{item}0"))
        )

    def _entries(self, where: str, values: tuple) -> Iterator[Entry]:
        with self._connection() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM entries WHERE {where} ORDER BY item, task", values)
            rows = rows.fetchall()
        for row in rows:
            yield Entry(*row[:-1], json.loads(row[-1]))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            # The primary code is the lowest byte.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                advice = "Make room on the disk, or mend it, and start again: what was finished is kept."
            else:
                advice = "Choose another output folder, or remove the file to start from the beginning."
            msg = f"The ledger {self.path} cannot be used ({error}). {advice}"
            raise OutputError(msg) from error


@contextmanager
def open_ledger(folder: Path | str, patience: float = 0.0) -> Iterator[Ledger]:
    """The ledger of an output folder, held for this process alone while the block lasts.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    patience : float
        Seconds to wait for another process to let go of it.

    Raises
    ------
    BusyFolderError
        If another process is at work in the folder.
    OutputError
        If it cannot be written.
    """
    folder = make_folder(folder)
    lock = FolderLock(folder / LOCK)
    until = time.monotonic() + patience
    while not (held := lock.acquire()) and time.monotonic() < until:
        time.sleep(0.02)
    if not held:
        msg = f"Another run is at work in {folder}; wait until it has ended, or choose another output folder."
        raise BusyFolderError(msg)
    ledger = None
    try:
        ledger = Ledger(folder / NAME)
        yield ledger
    except UsageError:
        # Nothing was begun: a folder named by mistake, which may hold images, is left as it was.
        if ledger is not None and not ledger.entries():
            ledger.is_temporary = True
        raise
    finally:
        lock.release()
        if ledger is not None and ledger.is_temporary:
            for path in (ledger.path, lock.path):
                path.unlink(missing_ok=True)
