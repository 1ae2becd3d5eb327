"""Temporary folders of jobs: removed at the end, at a cancel, and at the next start after a crash."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError
from ..files.folder_lock import FolderLock

PREFIX, LOCK, STOP = "DicomAnalysis-job-", ".in-use", "stop"

NEWBORN_SECONDS = 10.0
"""A folder younger than this may not be locked yet; its owner's child may not have noticed yet that it is alone."""


class Workspace:
    """A temporary folder of one job, locked while its owner lives.

    Parameters
    ----------
    root : path, optional
        Where to make it; the system's temporary folder by default.

    Raises
    ------
    OutputError
        If it cannot be made.
    """

    def __init__(self, root: Path | str | None = None):
        self.path = _root(root) / f"{PREFIX}{secrets.token_hex(6)}"
        try:
            self.path.mkdir(mode=0o700, parents=True)
        except OSError as error:
            msg = (
                f"The temporary folder {self.path.parent} cannot be written ({error.strerror or error}); "
                "choose another one."
            )
            raise OutputError(msg) from error
        self._lock = FolderLock(self.path / LOCK)
        self._lock.acquire()

    def ask_to_stop(self) -> None:
        """Tell whoever works here to stop (see `is_told_to_stop`)."""
        with contextlib.suppress(OSError):  # then it is ended without being asked
            (self.path / STOP).touch()

    def remove(self) -> bool:
        """Remove the folder; False where something in it is still held (tried again at the next start)."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)
        return not self.path.exists()


def is_told_to_stop(folder: Path) -> Iterator[bool]:
    """Whether the one who works in a workspace should stop, as often as it is asked (ten times a second will do).

    That is when the owner said so, when the owner is gone (its lock is free), or when the folder is.
    """
    lock = FolderLock(folder / LOCK)
    # The owner lives now. Where its lock can be taken all the same, this disk keeps no locks and tells nothing.
    keeps_locks = not _is_free(lock)
    for turn in itertools.count():
        yield (folder / STOP).exists() or not folder.exists() or (keeps_locks and turn % 10 == 0 and _is_free(lock))


def _is_free(lock: FolderLock) -> bool:
    try:
        return lock.acquire()
    except OutputError:
        return False
    finally:
        lock.release()


def remove_abandoned_workspaces(root: Path | str | None = None) -> int:
    """Remove the temporary folders whose owner is gone, and say how many there were."""
    removed = 0
    for folder in sorted(_root(root).glob(f"{PREFIX}*")):
        lock = FolderLock(folder / LOCK)
        try:
            abandoned = time.time() - folder.stat().st_mtime > NEWBORN_SECONDS and lock.acquire()
        except (OSError, OutputError):  # gone meanwhile, or another user's
            continue
        lock.release()
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)
            removed += not folder.exists()
    return removed


def _root(root: Path | str | None) -> Path:
    return Path(root) if root is not None else Path(tempfile.gettempdir())
