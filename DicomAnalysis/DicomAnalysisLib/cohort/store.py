"""Feature tables on disk: one folder of Parquet files to which tables are appended, each in one step.

Every append is a file of its own, complete or not there at all, so processes that are killed leave
nothing half-written and several can append at the same time. Reading merges the files: of a series
that stands in several, the row of the highest number wins. `FeatureStore.compact` makes one file of
each model and recipe, sorted by series: the same rows give the same bytes, in whatever order and by
however many processes they were appended.

Columns: ``series``, ``patient``, ``model_hash``, ``recipe_hash``, the features (float32, null where
not measured), ``tag.<name>`` (text) and ``files`` (list of text).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SourceError
from ..files.atomic import is_temporary
from .features.parquet import IDENTITY, from_arrow, in_order, read_rows, to_arrow, write_rows
from .features.table import FeatureTable

if TYPE_CHECKING:
    import pyarrow as pa

_PART = re.compile(r"(?:part|features)-(\d{8})-[0-9a-f-]+\.parquet")


@dataclass(frozen=True)
class StoredVersion:
    """What a store holds that was made by one model and one recipe.

    Attributes
    ----------
    model_hash, recipe_hash : str
    rows : int
        Series, each counted once.
    newest : int
        Highest number of the files that hold any of it.
    """

    model_hash: str
    recipe_hash: str
    rows: int
    newest: int


class FeatureStore:
    """A folder of feature tables.

    Parameters
    ----------
    folder : path
        Made with the first table.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def append(self, table: FeatureTable, number: int | None = None) -> Path:
        """Add a table in one step: a reader sees all of it or nothing.

        Parameters
        ----------
        table : FeatureTable
        number : int, optional
            Decides which row of a series wins, the highest; by default one more than there is.

        Returns
        -------
        Path
            Of the file; its name is like no other.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        number = self.next_number() if number is None else number
        path = self.folder / f"part-{number:08d}-{secrets.token_hex(8)}.parquet"
        write_rows(path, to_arrow(table))
        return path

    def next_number(self) -> int:
        """One more than the highest number in the store."""
        return 1 + max((number for number, _ in self._parts()), default=0)

    def versions(self) -> list[StoredVersion]:
        """The models and recipes of which there are rows, the newest last."""
        series: dict[tuple[str, str], set[str]] = {}
        newest: dict[tuple[str, str], int] = {}
        for number, uid, *key in self._identities():
            series.setdefault(tuple(key), set()).add(uid)
            newest[tuple(key)] = number
        found = [StoredVersion(*key, len(uids), newest[key]) for key, uids in series.items()]
        return sorted(found, key=lambda v: (v.newest, v.model_hash, v.recipe_hash))

    def series(self, model_hash: str, recipe_hash: str) -> set[str]:
        """The series of which there is a row by one model and recipe; the features themselves are not read."""
        return {uid for _, uid, *key in self._identities() if key == [model_hash, recipe_hash]}

    def read(self, model_hash: str | None = None, recipe_hash: str | None = None) -> FeatureTable:
        """The table of one model and recipe, sorted by series.

        Parameters
        ----------
        model_hash, recipe_hash : str, optional
            Which, where there are several; by default the newest (of those that fit what is given).

        Raises
        ------
        SourceError
            If there are no features (of that model and recipe), or a file cannot be read.
        """
        fitting = [
            version
            for version in self.versions()
            if model_hash in (None, version.model_hash) and recipe_hash in (None, version.recipe_hash)
        ]
        if not fitting:
            msg = f"There are no features in {self.folder}; make them with `cohort run --task features`."
            raise SourceError(msg)
        wanted = fitting[-1]
        return from_arrow(self._merged(wanted.model_hash, wanted.recipe_hash))

    def compact(self) -> list[Path]:
        """Put all files of each model and recipe into one, sorted by series; nobody else may append meanwhile.

        Returns
        -------
        list of Path
            One file for each model and recipe, the newest last. A process that is killed in the middle
            leaves rows twice, never none: the next reader finds the same table.
        """
        old = [path for _, path in self._parts()]
        made = []
        for version in self.versions():
            name = f"features-{version.newest:08d}-{_short(version.model_hash)}-{_short(version.recipe_hash)}.parquet"
            write_rows(self.folder / name, self._merged(version.model_hash, version.recipe_hash))
            made.append(self.folder / name)
        for path in old:
            if path not in made:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(".*.parquet"):  # of those that were killed while they wrote
            if is_temporary(path):
                path.unlink(missing_ok=True)
        return made

    def remove(self, model_hash: str, recipe_hash: str, series: Collection[str]) -> None:
        """Remove the rows of some series, of all their stacks, by one model and recipe.

        Nobody else may append meanwhile.
        """
        if not any(base_of(name) in series for name in self.series(model_hash, recipe_hash)):
            return
        versions = zip(self.versions(), self.compact(), strict=True)
        path = next(path for v, path in versions if (v.model_hash, v.recipe_hash) == (model_hash, recipe_hash))
        rows = read_rows(path)
        kept = [k for k, name in enumerate(rows["series"].to_pylist()) if base_of(name) not in series]
        if kept:
            write_rows(path, rows.take(kept))
        else:
            path.unlink()

    def _identities(self) -> Iterator[tuple[int, str, str, str]]:
        """Number, series, model and recipe of every row."""
        for number, path in self._parts():
            columns = read_rows(path, list(IDENTITY)).to_pydict()
            for row in zip(columns["series"], columns["model_hash"], columns["recipe_hash"], strict=True):
                yield number, *row

    def _parts(self) -> list[tuple[int, Path]]:
        """All files with their numbers, lowest first."""
        if not self.folder.is_dir():
            return []
        found = [(match, path) for path in self.folder.iterdir() if (match := _PART.fullmatch(path.name))]
        return sorted((int(match[1]), path) for match, path in found)

    def _merged(self, model_hash: str, recipe_hash: str) -> pa.Table:
        """The rows of one model and recipe: of each series the last, sorted by series."""
        import pyarrow as pa
        import pyarrow.compute as pc

        tables = []
        for _, path in self._parts():
            rows = read_rows(path)
            wanted = pc.and_(pc.equal(rows["model_hash"], model_hash), pc.equal(rows["recipe_hash"], recipe_hash))
            rows = rows.filter(wanted)
            if rows.num_rows:  # another model's columns are not this one's
                tables.append(rows)
        merged = pa.concat_tables(tables, promote_options="default")
        last = {uid: row for row, uid in enumerate(merged["series"].to_pylist())}
        return in_order(merged.take([last[uid] for uid in sorted(last)]))


def base_of(series: str) -> str:
    """The series of a row, without what names its stack."""
    return series.partition("/")[0]


def _short(digest: str) -> str:
    """Enough of a digest to tell files apart, and nothing that a file name cannot hold."""
    return "".join(c for c in digest.lower() if c in "0123456789abcdef")[:12] or "0"
