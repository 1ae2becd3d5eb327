"""A lock on a folder that the operating system releases when its holder ends, however it ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError, UsageError
from .atomic import make_folder


class FolderLock:
    """Holds a folder for one process.

    SQLite's own file locks are used: they work alike on Linux, macOS and Windows, and a process
    that is killed no longer holds them. The lock file stays, empty.

    Parameters
    ----------
    path : path
        The lock file; its folder exists.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another process (or another lock in this one) has it.

        Raises
        ------
        OutputError
            If the lock file cannot be written.
        """
        try:
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise self._failure(error) from error
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return False
            raise self._failure(error) from error
        self._connection = connection
        return True

    def release(self) -> None:
        """Let go; harmless where nothing is held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failure(self, error: sqlite3.Error) -> OutputError:
        return OutputError(f"Cannot write {self.path} ({error}). Choose a folder that can be written.")


@contextmanager
def one_training(output: Path, name: str) -> Iterator[None]:
    """Hold the output folder of a training, made where it is missing, by its lock file of that name.

    Raises
    ------
    UsageError
        If another training is writing to it.
    OutputError
        If it cannot be written.
    """
    lock = FolderLock(make_folder(output) / name)
    if not lock.acquire():
        msg = f"Another training is writing to {output}. Wait for it, or choose another folder."
        raise UsageError(msg)
    try:
        yield
    finally:
        lock.release()
