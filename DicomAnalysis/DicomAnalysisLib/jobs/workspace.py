"""Temporary folders of jobs: removed at the end, at a cancel, and at the next start after a crash."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from pathlib import Path

from ..errors import OutputError
from ..files.folder_lock import FolderLock

PREFIX, LOCK = "DicomAnalysis-job-", ".in-use"

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

    def remove(self) -> bool:
        """Remove the folder; False where something in it is still held (tried again at the next start)."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)
        return not self.path.exists()


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
