"""Where series come from: a file, a folder of anything, a Slicer database, or the application's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ..errors import SourceError
from .database import ApplicationSource, DatabaseSource, SeriesSummary
from .series import Problem, Series, series_from_files

DATABASE_NAME = "ctkDICOM.sql"

__all__ = [
    "ApplicationSource",
    "DatabaseSource",
    "FolderSource",
    "Problem",
    "Series",
    "SeriesSource",
    "SeriesSummary",
    "open_source",
    "series_from_files",
]


class SeriesSource(Protocol):
    """Anything that can name its series."""

    def series(self, uid: str | None = None) -> list[Series]:
        """The readable series, in an order that does not depend on the file system; only `uid` where given."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Files refused so far, each with its reason."""


class FolderSource:
    """A folder of anything, searched to the bottom, or one file.

    Links to files are followed, links to folders are not (they may lead in circles or out of
    the folder); pipes, sockets and devices are refused. What is refused is listed.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    SourceError
        If there is no such file or folder, or it may not be listed.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.exists():
            msg = f"There is no file or folder {self.path}; check the path."
            raise SourceError(msg)
        self._series: list[Series] | None = None
        self._problems: tuple[Problem, ...] = ()

    def series(self, uid: str | None = None) -> list[Series]:
        """The readable series, read once."""
        if self._series is None:
            unlisted: list[Problem] = []
            paths = _walk(self.path, unlisted) if self.path.is_dir() else [os.fspath(self.path)]
            self._series, problems = series_from_files(paths)
            self._problems = (*unlisted, *problems)
        return [one for one in self._series if uid is None or one.identity.series_uid == uid]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Files refused, each with its reason."""
        self.series()
        return self._problems


def _walk(folder: Path, unlisted: list[Problem]) -> Iterator[str]:
    def note(error: OSError) -> None:
        unlisted.append(Problem(str(error.filename), f"the folder cannot be listed ({error.strerror})", is_dicom=False))

    for root, folders, files in os.walk(folder, onerror=note):
        folders.sort()
        for name in folders:
            path = os.path.join(root, name)  # noqa: PTH118 (hot: a folder may hold a million files)
            if os.path.islink(path):  # noqa: PTH114
                unlisted.append(Problem(path, "it is a link to a folder, which is not followed", is_dicom=False))
        for name in files:
            yield os.path.join(root, name)  # noqa: PTH118


def open_source(path: str | Path) -> SeriesSource:
    """Open a file, a folder of anything, or a Slicer DICOM database (its folder or ``ctkDICOM.sql`` itself).

    Raises
    ------
    SourceError
        If there is nothing at `path`, or the database cannot be read.
    """
    path = Path(path)
    if path.is_dir() and (path / DATABASE_NAME).is_file():
        return DatabaseSource(path / DATABASE_NAME)
    if path.is_file() and (path.name == DATABASE_NAME or path.suffix == ".sql"):
        return DatabaseSource(path)
    return FolderSource(path)
