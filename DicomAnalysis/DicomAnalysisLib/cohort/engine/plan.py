"""Which series or studies there are, and the files of each: found once, kept in a temporary database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...batch.places import output_inside
from ...dicom import tags
from ...dicom.database import DatabaseSource
from ...dicom.header import RefusedFileError, is_regular_file, read_header
from ...dicom.problem import Problem
from ...dicom.sources import DATABASE_NAME
from ...errors import OutputError, SourceError, UsageError
from ...files.names import safe_name
from .options import SERIES, STUDY

_WANTED = frozenset((tags.SERIES_INSTANCE_UID, tags.STUDY_INSTANCE_UID, tags.SPECIFIC_CHARACTER_SET))
_GROUP = 0x0020
_AT_ONCE = 5000
_SHOWN_PROBLEMS = 1000


class Plan:
    """The series of a source, or its studies, and their files. To be closed.

    Parameters
    ----------
    source : path or sequence of path
        A file, a folder of anything, a database, or the files themselves.
    output : path
        Left out where it lies in the source.
    tell : callable
        Takes a line for people now and then.
    unit : str
        ``series`` or ``study``: what an item is.

    Attributes
    ----------
    items : list of str
        One name for each (`name_of_item`), in an order that does not depend on the file system.
    problems : list of Problem
        Files that are DICOM and could not be read; the first thousand.
    refused : int
        How many files were left out, those among them that are no DICOM.

    Raises
    ------
    SourceError
        If there is nothing at `source`, or the database cannot be read.
    UsageError
        If source and output are the same folder.
    """

    def __init__(
        self,
        source: Path | str | Sequence[Path | str],
        output: Path | str,
        tell: Callable[[str], None] = lambda _line: None,
        unit: str = SERIES,
    ):
        self.items: list[str] = []
        self.problems: list[Problem] = []
        self.refused = 0
        self._listed = None if isinstance(source, (str, Path)) else [os.fspath(path) for path in source]
        self._source, self._output = Path() if self._listed is not None else Path(source), Path(output).resolve()
        self._files: sqlite3.Connection | None = None
        self._database = _open_database(self._source) if self._listed is None else None
        self._unit = unit
        self._uids: dict[str, list[str]] = {}
        self._hidden: dict[str, str] = {}
        if self._database is not None:
            for one in self._database.summaries():
                if one.files:
                    uid = one.identity.study_uid if unit == STUDY else one.identity.series_uid
                    self._uids.setdefault(name_of_item(uid), []).append(one.identity.series_uid)
            self.items = sorted(self._uids)
        else:
            self._search(tell)

    def files(self, item: str) -> list[str]:
        """The files of an item, in an order that does not depend on the file system."""
        item = self._hidden.get(item, item)
        if self._database is not None:
            return [path for uid in self._uids[item] for path in self._database.paths(uid)]
        with _told():
            rows = self._files.execute("SELECT path FROM files WHERE item = ? ORDER BY path", (item,))
            return [os.fsdecode(row[0]) for row in rows]

    def choose(self, *series_uids: str) -> None:
        """Leave only some series, or the studies that these are of, with all that belongs to them.

        Raises
        ------
        UsageError
            If one is not there.
        """
        wanted = {name_of_item(uid): uid for uid in series_uids}
        found = [(series, item) for series, item in self._series() if series in wanted]
        lost = [wanted[series] for series in wanted.keys() - {series for series, _ in found}]
        if lost:
            more = f" (and {len(lost) - 1} more that were asked for)" if len(lost) > 1 else ""
            msg = f"There is no series {min(lost)} in the source{more}; `list` shows those there are."
            raise UsageError(msg)
        self.items = sorted({item for _, item in found})

    def hide(self, pseudonym: Callable[[str], str]) -> None:
        """Call the items by their pseudonyms from now on."""
        self._hidden = {pseudonym(item): item for item in self.items}
        self.items = sorted(self._hidden)

    def close(self) -> None:
        """Remove the temporary database."""
        if self._files is not None:
            self._files.close()
            self._files = None

    def _series(self) -> list[tuple[str, str]]:
        """Every series, and the item that it is or is part of."""
        if self._database is not None:
            return [(name_of_item(uid), item) for item, uids in self._uids.items() for uid in uids]
        with _told():
            return self._files.execute("SELECT DISTINCT series, item FROM files").fetchall()

    def _search(self, tell: Callable[[str], None]) -> None:
        if self._listed is None and not self._source.exists():
            msg = f"There is no file or folder {self._source}; check the path."
            raise SourceError(msg)
        output_inside(self._source if self._listed is None else None, self._output)  # refuses that both are one
        # Without a name it is in memory, and from two megabytes on in a file that goes with this process.
        self._files = connection = sqlite3.connect("")
        with _told():
            connection.execute("CREATE TABLE files (item TEXT NOT NULL, series TEXT NOT NULL, path BLOB NOT NULL)")
            known: list[tuple[str, str, bytes]] = []
            for number, (item, series, path) in enumerate(self._headers(), start=1):
                known.append((item, series, os.fsencode(path)))
                if len(known) == _AT_ONCE:
                    connection.executemany("INSERT INTO files VALUES (?, ?, ?)", known)
                    known.clear()
                if number % 20_000 == 0:
                    tell(f"{number:,} files looked at")
            connection.executemany("INSERT INTO files VALUES (?, ?, ?)", known)
            connection.execute("CREATE INDEX by_item ON files (item)")
            connection.commit()
            self.items = [row[0] for row in connection.execute("SELECT DISTINCT item FROM files ORDER BY item")]

    def _headers(self) -> Iterator[tuple[str, str, str]]:
        """The item and the series of every readable file, and its path."""
        for path in self._paths():
            if not is_regular_file(path):
                self._refuse(Problem(path, "it is not a file", is_dicom=False))
                continue
            try:
                header = read_header(path, _WANTED, _GROUP)
            except RefusedFileError as error:
                self._refuse(Problem(path, error.reason, error.series_uid, error.is_dicom))
                continue
            series = name_of_item(header.text(tags.SERIES_INSTANCE_UID), path)
            study = name_of_item(header.text(tags.STUDY_INSTANCE_UID), path) if self._unit == STUDY else series
            yield study, series, path

    def _paths(self) -> Iterator[str]:
        if self._listed is not None:
            yield from self._listed
            return
        if not self._source.is_dir():
            yield os.fspath(self._source)
            return
        for root, folders, files in os.walk(self._source, onerror=self._unlisted):
            folders[:] = [name for name in sorted(folders) if not self._is_output(root, name)]
            for name in files:
                yield os.path.join(root, name)  # noqa: PTH118 (a folder may hold a million files)

    def _is_output(self, root: str, name: str) -> bool:
        return name == self._output.name and Path(root, name).resolve() == self._output

    def _unlisted(self, error: OSError) -> None:
        self._refuse(Problem(str(error.filename), f"the folder cannot be listed ({error.strerror})"))

    def _refuse(self, problem: Problem) -> None:
        self.refused += 1
        if problem.is_dicom and len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(problem)


def name_of_item(uid: str, path: str = "") -> str:
    """A series' or study's UID, or a safe name for it; without one, the files of one folder are one, as everywhere."""
    return safe_name(uid) if uid else safe_name("folder " + os.path.dirname(path))  # noqa: PTH120 (a string will do)


@contextmanager
def _told() -> Iterator[None]:
    """Say what to do where the temporary database finds no room."""
    try:
        yield
    except sqlite3.Error as error:
        msg = (
            f"The list of files does not fit among the temporary files ({error}); make room there, or name another "
            "folder for them in the environment variable TMPDIR."
        )
        raise OutputError(msg) from error


def _open_database(path: Path) -> DatabaseSource | None:
    if path.is_dir() and (path / DATABASE_NAME).is_file():
        return DatabaseSource(path / DATABASE_NAME)
    if path.is_file() and (path.name == DATABASE_NAME or path.suffix == ".sql"):
        return DatabaseSource(path)
    return None
