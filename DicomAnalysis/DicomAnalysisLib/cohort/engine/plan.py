"""Which series there are, and the files of each: found once, kept in a temporary database and not in memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...dicom import tags
from ...dicom.database import DatabaseSource
from ...dicom.header import RefusedFileError, is_regular_file, read_header
from ...dicom.problem import Problem
from ...dicom.sources import DATABASE_NAME
from ...errors import OutputError, SourceError, UsageError
from ...files.names import safe_name

_WANTED = frozenset((tags.SERIES_INSTANCE_UID, tags.SPECIFIC_CHARACTER_SET))
_GROUP = 0x0020
_AT_ONCE = 5000
_SHOWN_PROBLEMS = 1000


class Plan:
    """The series of a source. To be closed.

    Parameters
    ----------
    source : path or sequence of path
        A file, a folder of anything, a database, or the files themselves.
    output : path
        Left out where it lies in the source.
    tell : callable
        Takes a line for people now and then.

    Attributes
    ----------
    items : list of str
        One name for each series, in an order that does not depend on the file system: its UID, or a safe name.
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
    ):
        self.items: list[str] = []
        self.problems: list[Problem] = []
        self.refused = 0
        self._listed = None if isinstance(source, (str, Path)) else [os.fspath(path) for path in source]
        self._source, self._output = Path() if self._listed is not None else Path(source), Path(output).resolve()
        self._files: sqlite3.Connection | None = None
        self._database = _open_database(self._source) if self._listed is None else None
        self._uids: dict[str, str] = {}
        self._hidden: dict[str, str] = {}
        if self._database is not None:
            summaries = self._database.summaries()
            self._uids = {safe_name(s.identity.series_uid): s.identity.series_uid for s in summaries if s.files}
            self.items = sorted(self._uids)
        else:
            self._search(tell)

    def files(self, item: str) -> list[str]:
        """The files of a series, in an order that does not depend on the file system."""
        item = self._hidden.get(item, item)
        if self._database is not None:
            return self._database.paths(self._uids[item])
        with _told():
            rows = self._files.execute("SELECT path FROM files WHERE item = ? ORDER BY path", (item,))
            return [os.fsdecode(row[0]) for row in rows]

    def choose(self, *series_uids: str) -> None:
        """Leave only some series.

        Raises
        ------
        UsageError
            If one is not there.
        """
        there, wanted = set(self.items), {safe_name(uid): uid for uid in series_uids}
        lost = [uid for item, uid in wanted.items() if item not in there]
        if lost:
            more = f" (and {len(lost) - 1} more that were asked for)" if len(lost) > 1 else ""
            msg = f"There is no series {lost[0]} in the source{more}; `list` shows those there are."
            raise UsageError(msg)
        self.items = sorted(wanted)

    def hide(self, pseudonym: Callable[[str], str]) -> None:
        """Call the items by their pseudonyms from now on."""
        self._hidden = {pseudonym(item): item for item in self.items}
        self.items = sorted(self._hidden)

    def close(self) -> None:
        """Remove the temporary database."""
        if self._files is not None:
            self._files.close()
            self._files = None

    def _search(self, tell: Callable[[str], None]) -> None:
        if self._listed is None and not self._source.exists():
            msg = f"There is no file or folder {self._source}; check the path."
            raise SourceError(msg)
        if self._listed is None and self._source.is_dir() and self._source.resolve() == self._output:
            msg = f"The output folder {self._output} is the source; choose another one."
            raise UsageError(msg)
        # Without a name it is in memory, and from two megabytes on in a file that goes with this process.
        self._files = connection = sqlite3.connect("")
        with _told():
            connection.execute("CREATE TABLE files (item TEXT NOT NULL, path BLOB NOT NULL)")
            known: list[tuple[str, bytes]] = []
            for number, (item, path) in enumerate(self._headers(), start=1):
                known.append((item, os.fsencode(path)))
                if len(known) == _AT_ONCE:
                    connection.executemany("INSERT INTO files VALUES (?, ?)", known)
                    known.clear()
                if number % 20_000 == 0:
                    tell(f"{number:,} files looked at")
            connection.executemany("INSERT INTO files VALUES (?, ?)", known)
            connection.execute("CREATE INDEX by_item ON files (item)")
            connection.commit()
            self.items = [row[0] for row in connection.execute("SELECT DISTINCT item FROM files ORDER BY item")]

    def _headers(self) -> Iterator[tuple[str, str]]:
        """Every readable file and the name of its series."""
        for path in self._paths():
            if not is_regular_file(path):
                self._refuse(Problem(path, "it is not a file", is_dicom=False))
                continue
            try:
                uid = read_header(path, _WANTED, _GROUP).text(tags.SERIES_INSTANCE_UID)
            except RefusedFileError as error:
                self._refuse(Problem(path, error.reason, error.series_uid, error.is_dicom))
                continue
            # Without a UID the files of one folder are one series, as everywhere in this program.
            yield safe_name(uid) if uid else safe_name("folder " + os.path.dirname(path)), path  # noqa: PTH120

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
