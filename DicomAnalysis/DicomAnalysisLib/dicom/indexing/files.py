"""Finding files to index, and copying them into a database."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import OutputError, SourceError
from ..header import RefusedFileError
from ..problem import Problem

COPIES = "dicom"
"""Folder, inside the database's, of the files that were copied into it."""
_STALE_SECONDS = 3600.0


def find_files(paths: Iterable[str | Path], problems: list[Problem]) -> Iterator[str]:
    """Absolute paths of the files that are named or lie in folders that are, each once.

    Links to files are followed; links to folders are not, for they may lead in circles, and are listed.

    Parameters
    ----------
    paths : iterable of path
    problems : list of Problem
        Takes folders that cannot be listed.

    Raises
    ------
    SourceError
        If there is nothing at one of the paths.
    """
    roots = [os.path.abspath(path) for path in paths]  # noqa: PTH100 (resolve() would follow links)
    for root in roots:
        if not os.path.lexists(root):
            msg = f"There is no file or folder {root}; check the path."
            raise SourceError(msg)
    several = len(roots) > 1
    seen: set[str] = set()
    for root in roots:
        for path in _walk(root, problems) if Path(root).is_dir() else (root,):
            if several:
                if path in seen:
                    continue
                seen.add(path)
            yield path


def _walk(folder: str, problems: list[Problem]) -> Iterator[str]:
    stack = [folder]
    while stack:
        folder = stack.pop()
        try:
            with os.scandir(folder) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(Problem(folder, f"the folder cannot be listed ({error.strerror})", is_dicom=False))
            continue
        folders = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_symlink() and entry.is_dir():
                reason = "it is a link to a folder, which is not followed"
                problems.append(Problem(entry.path, reason, is_dicom=False))
            else:
                yield entry.path
        stack.extend(reversed(folders))


def stored_name(path: str, folder: str) -> str:
    """What ``Images.Filename`` holds for a file in place: relative inside the database folder, else absolute.

    Raises
    ------
    RefusedFileError
        If the name cannot be written in a database, whose text is UTF-8.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        reason = "its name is not UTF-8, which Slicer's database cannot hold; rename it or use --copy"
        raise RefusedFileError(path, reason) from error
    name = path
    if path.startswith(folder + os.sep):
        name = path[len(folder) + 1 :]
    return name.replace(os.sep, "/")


def copy_name(study_uid: str, series_uid: str, sop_uid: str) -> str:
    """Where Slicer puts a copy, relative to the database folder: digests, which are short and safe names."""
    study, series, sop = (
        hashlib.md5(uid.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        for uid in (study_uid, series_uid, sop_uid)
    )
    return f"{COPIES}/{study[:8]}/{series[:8]}/{sop}.dcm"


class ChangedFileError(RefusedFileError):
    """A file that somebody writes while it is read."""


class Copier:
    """Copies files into a database folder.

    Parameters
    ----------
    folder : Path
        The database's.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._tidied: set[Path] = set()

    def copy(self, path: str, name: str, size: int, mtime_ns: int) -> None:
        """Copy a file whole or not at all; a copy that is there and the same is left alone.

        Parameters
        ----------
        path : str
        name : str
            See `copy_name`.
        size, mtime_ns : int
            Of the file when its header was read.

        Raises
        ------
        RefusedFileError
            If the file cannot be read or has changed meanwhile.
        OutputError
            If the copy cannot be written.
        """
        target = self._folder / name
        temporary = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            self._prepare(target.parent)
            if target.exists() and filecmp.cmp(path, target, shallow=False):
                return
            with open(path, "rb") as source:  # noqa: PTH123 (named as given in the messages of errors)
                with temporary.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                status = os.fstat(source.fileno())
            if (status.st_size, status.st_mtime_ns) != (size, mtime_ns) or temporary.stat().st_size != size:
                raise ChangedFileError(path, "it changed while it was copied; index it again", is_dicom=False)
            temporary.replace(target)
        except OSError as error:
            if error.filename == path:
                raise RefusedFileError(path, f"it cannot be read ({error.strerror})", is_dicom=False) from error
            msg = f"Cannot write {target}: {error.strerror or error}. Free space or choose another folder."
            raise OutputError(msg) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _prepare(self, folder: Path) -> None:
        """Make the folder, and remove what a run that was killed an hour ago or earlier left in it."""
        if folder in self._tidied:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("*.part"):
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink(missing_ok=True)
        self._tidied.add(folder)
