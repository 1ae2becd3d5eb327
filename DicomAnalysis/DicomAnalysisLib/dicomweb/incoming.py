"""Files that are being received: hidden and locked until they are whole, then given their name in one step."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError
from .progress import amount

_PREFIX, _SUFFIX = ".receiving-", ".part"


class IncomingFile:
    """A file being received.

    Attributes
    ----------
    path : Path
        Where it is until it is kept.
    size : int
        Bytes written.
    """

    def __init__(self, path: Path, stream: BinaryIO):
        self.path, self._stream, self.size = path, stream, 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        with _named_errors(self.path.parent):
            self._stream.write(data)
        self.size += len(data)

    def finish(self) -> None:
        """Bring everything into the file, so that it can be read."""
        with _named_errors(self.path.parent):
            self._stream.flush()

    def keep(self, target: Path) -> None:
        """Give it its name; an older file of that name is replaced."""
        with _named_errors(self.path.parent):
            if os.name == "nt":  # there an open file cannot be renamed
                self._stream.close()
            self.path.replace(target)


@contextlib.contextmanager
def receive_file(folder: Path) -> Iterator[IncomingFile]:
    """A file in `folder`, which is removed again at the end of the block unless it was kept.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    make_folder(folder)
    path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
    stream = None
    try:  # before the file is there, so that an interrupt just after that removes it, too
        with _named_errors(folder):
            stream = path.open("xb")
        with contextlib.suppress(OSError):  # some network drives know no locks
            _lock(stream)
        yield IncomingFile(path, stream)
    finally:
        with _named_errors(folder):
            if os.name == "nt" and stream is not None:  # there an open file cannot be removed
                stream.close()
            path.unlink(missing_ok=True)
            if stream is not None:
                stream.close()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises
    ------
    OutputError
    """
    with _named_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def check_room(folder: Path, announced: int) -> None:
    """Refuse what cannot fit before any of it is received.

    Raises
    ------
    OutputError
    """
    with _named_errors(folder):
        free = shutil.disk_usage(folder).free
    if announced > free:
        msg = f"The server announces {amount(announced)}, but {folder} has room for {amount(free)} only; make room."
        raise OutputError(msg)


def remove_leftovers(folder: Path) -> int:
    """Remove what killed runs left in `folder`; files that another run is receiving stay.

    Returns
    -------
    int
        How many were removed.
    """
    removed = 0
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # still locked, or just gone: not ours to remove
            with path.open("rb") as stream:
                _lock(stream)
            path.unlink()
            removed += 1
    return removed


def _lock(stream: BinaryIO) -> None:
    """Lock an open file until it is closed or the process ends.

    On Windows an open file cannot be removed, which is lock enough.
    """
    if os.name != "nt":
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"Cannot write into {folder}: {error.strerror or error}. Choose a writable folder with room."
        raise OutputError(msg) from error
