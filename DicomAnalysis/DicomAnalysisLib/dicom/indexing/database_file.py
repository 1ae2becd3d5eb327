"""Slicer's database, its tag cache and our memory: three SQLite files, one transaction."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from ...errors import OutputError, SourceError
from ..sqlite_files import connect
from . import schema
from .memory import attach_memory, make_memory

BUSY_SECONDS = 300
"""How long to wait for another program that writes the database."""
_PAGE_CACHE_KIB = 65_536
"""Pages of each file that SQLite may keep in memory; with its default of 2 MB, most time goes in paging."""
_CACHE_PAGE = 32_768
"""Bytes of a page in a new tag cache, whose rows are many and small; an old one keeps its own."""


class DatabaseFile:
    """The three files, open for writing.

    Parameters
    ----------
    folder : Path
        The database's; made when absent.

    Attributes
    ----------
    connection : sqlite3.Connection
        ``main`` is Slicer's database, ``cache`` its tag cache, ``seen`` our memory.
    is_empty : bool
        Whether nobody has written to it yet.

    Raises
    ------
    SourceError
        If what is there is no such database, or of another schema.
    OutputError
        If it cannot be written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"Cannot make the folder {folder}: {error.strerror}. Choose another one for the database."
            raise OutputError(msg) from error
        try:
            self.connection = connect(folder / schema.DATABASE_NAME, write=True, wait=BUSY_SECONDS)
        except sqlite3.Error as error:
            raise self.explain(error) from error
        try:
            self.is_empty = self._check()
            cache = folder / schema.TAG_CACHE_NAME
            self.connection.execute("ATTACH DATABASE ? AS cache", (os.fspath(cache),))
            attach_memory(self.connection, folder)
            self._tune()
        except sqlite3.Error as error:
            self.connection.close()
            raise self.explain(error) from error
        except SourceError:
            self.connection.close()
            raise

    def begin(self) -> None:
        """Take the lock on the files, unless it is held, and make the tables where there are none."""
        if self.connection.in_transaction:
            return
        self.connection.set_progress_handler(None, 0)
        self.connection.execute("BEGIN IMMEDIATE")
        self.is_empty = self._check()  # another process may have made it while we waited
        if self.is_empty:
            schema.create_database(self.connection)
        if not self._names("cache"):
            schema.create_tag_cache(self.connection, "cache")
        make_memory(self.connection)

    def close(self) -> None:
        """Undo what was not finished, and close the files."""
        with contextlib.suppress(sqlite3.Error):  # what is not undone now is when the file is next opened
            if self.connection.in_transaction:
                self.connection.rollback()
        self.connection.close()

    def totals(self) -> dict[str, int]:
        """How many rows there are of each kind."""
        kinds = ("Patients", "Studies", "Series", "Images")
        return {k.lower(): self.connection.execute(f"SELECT COUNT(*) FROM main.{k}").fetchone()[0] for k in kinds}

    def _tune(self) -> None:
        """Keep pages in memory, and let the main file alone wait for the disk.

        A row that is in the cache or the memory but not in the main file, or the other way round, does no
        harm: the cache is filled again from the files, and the memory is believed only where both agree.
        """
        for database in ("main", "cache"):
            self.connection.execute(f"PRAGMA {database}.cache_size = -{_PAGE_CACHE_KIB}")
            self.connection.execute(f"PRAGMA {database}.secure_delete = ON")  # a name that is replaced is gone
        for database in ("cache", "seen"):
            self.connection.execute(f"PRAGMA {database}.synchronous = OFF")
        self.connection.execute(f"PRAGMA cache.page_size = {_CACHE_PAGE}")

    def _names(self, database: str, kind: str = "%") -> set[str]:
        statement = f"SELECT name FROM {database}.sqlite_master WHERE type LIKE ?"
        return {row[0] for row in self.connection.execute(statement, (kind,))}

    def _check(self) -> bool:
        """Whether the database is empty; refuses one that is not Slicer's or of another schema."""
        names = self._names("main", "table")
        if not self._names("main"):
            return True
        path = self.folder / schema.DATABASE_NAME
        if "SchemaInfo" not in names:
            msg = f"{path} is an SQLite database, but not one of Slicer's; choose another folder."
            raise SourceError(msg)
        row = self.connection.execute("SELECT Version FROM main.SchemaInfo").fetchone()
        version = str(row[0]) if row else "unknown"
        if version != schema.VERSION:
            newer = _is_newer(version, schema.VERSION)
            hint = "update this program" if newer else "open it once in Slicer 5.8 or newer, which updates it"
            msg = f"{path} has schema {version}; this program writes schema {schema.VERSION}: {hint}."
            raise SourceError(msg)
        for table in ("Images", "Patients", "Studies", "Series"):
            present = {row[1] for row in self.connection.execute(f"PRAGMA main.table_info('{table}')")}
            missing = set(schema.columns(table)) - present
            if missing or table not in names or self._names("main", "trigger"):
                msg = f"{path} is not a whole database of Slicer's; choose another folder."
                raise SourceError(msg)
        return False

    def explain(self, error: sqlite3.Error) -> OutputError | SourceError:
        """What went wrong, for people."""
        path = self.folder / schema.DATABASE_NAME
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            msg = f"{path} has been in use by another program for {BUSY_SECONDS} s; run the command again later."
            return OutputError(msg)
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            msg = f"{path} or its tag cache is damaged or no SQLite database ({error}); choose another folder."
            return SourceError(msg)
        hint = "Free space on the disk" if code == sqlite3.SQLITE_FULL else "Check that the folder can be written"
        return OutputError(f"{path} cannot be written ({error}). {hint} and run the command again.")


def _is_newer(version: str, than: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) if part.isdigit() else 0 for part in text.split(".")]

    return numbers(version) > numbers(than)
