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
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError, SourceError, UsageError
from ..files.atomic import atomic_path, is_temporary
from .features.table import FeatureTable

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = ("series", "patient", "model_hash", "recipe_hash")
TAG, FILES = "tag.", "files"
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
        _write(path, to_arrow(table))
        return path

    def next_number(self) -> int:
        """One more than the highest number in the store."""
        return 1 + max((number for number, _ in self._parts()), default=0)

    def versions(self) -> list[StoredVersion]:
        """The models and recipes of which there are rows, the newest last."""
        series: dict[tuple[str, str], set[str]] = {}
        newest: dict[tuple[str, str], int] = {}
        for number, path in self._parts():
            columns = _read(path, list(IDENTITY)).to_pydict()
            for uid, model, recipe in zip(
                columns["series"], columns["model_hash"], columns["recipe_hash"], strict=True
            ):
                series.setdefault((model, recipe), set()).add(uid)
                newest[model, recipe] = number
        found = [StoredVersion(*key, len(uids), newest[key]) for key, uids in series.items()]
        return sorted(found, key=lambda v: (v.newest, v.model_hash, v.recipe_hash))

    def series(self, model_hash: str, recipe_hash: str) -> set[str]:
        """The series of which there is a row by one model and recipe; the features themselves are not read."""
        found: set[str] = set()
        for _, path in self._parts():
            columns = _read(path, list(IDENTITY)).to_pydict()
            rows = zip(columns["series"], columns["model_hash"], columns["recipe_hash"], strict=True)
            found |= {uid for uid, model, recipe in rows if (model, recipe) == (model_hash, recipe_hash)}
        return found

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
            _write(self.folder / name, self._merged(version.model_hash, version.recipe_hash))
            made.append(self.folder / name)
        for path in old:
            if path not in made:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(".*.parquet"):  # of those that were killed while they wrote
            if is_temporary(path):
                path.unlink(missing_ok=True)
        return made

    def remove(self, model_hash: str, recipe_hash: str) -> None:
        """Remove the rows of one model and recipe; nobody else may append meanwhile."""
        if any((v.model_hash, v.recipe_hash) == (model_hash, recipe_hash) for v in self.versions()):
            versions = {
                (v.model_hash, v.recipe_hash): path for v, path in zip(self.versions(), self.compact(), strict=True)
            }
            versions[model_hash, recipe_hash].unlink()

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
            rows = _read(path)
            wanted = pc.and_(pc.equal(rows["model_hash"], model_hash), pc.equal(rows["recipe_hash"], recipe_hash))
            rows = rows.filter(wanted)
            if rows.num_rows:  # another model's columns are not this one's
                tables.append(rows)
        merged = pa.concat_tables(tables, promote_options="default")
        last = {uid: row for row, uid in enumerate(merged["series"].to_pylist())}
        return _ordered(merged.take([last[uid] for uid in sorted(last)]))


def to_arrow(table: FeatureTable) -> pa.Table:
    """A feature table as it is stored.

    Raises
    ------
    UsageError
        If a feature has the name of another column.
    """
    import pyarrow as pa

    taken = [name for name in table.names if name in (*IDENTITY, FILES) or name.startswith(TAG)]
    if taken:
        msg = f"A feature cannot be called {taken[0]}: the store has a column of that name for something else."
        raise UsageError(msg)
    count = len(table)
    text = pa.string()
    columns: dict[str, pa.Array] = {
        "series": pa.array(table.series, text),
        "patient": pa.array(table.patients, text),
        "model_hash": pa.array([table.model_hash] * count, text),
        "recipe_hash": pa.array([table.recipe_hash] * count, text),
    }
    for k, name in enumerate(table.names):
        values = np.ascontiguousarray(table.values[:, k])
        columns[name] = pa.array(values, pa.float32(), mask=np.isnan(values))
    columns |= {TAG + name: pa.array(table.tags[name], text) for name in sorted(table.tags)}
    columns[FILES] = pa.array([list(table.sources.get(uid, ())) for uid in table.series], pa.list_(text))
    return pa.table(columns)


def from_arrow(rows: pa.Table) -> FeatureTable:
    """A feature table from how it is stored; all rows are of one model and recipe."""
    names = [name for name in rows.column_names if name not in (*IDENTITY, FILES) and not name.startswith(TAG)]
    values = np.full((rows.num_rows, len(names)), np.nan, np.float32)
    for k, name in enumerate(names):
        values[:, k] = rows[name].to_numpy(zero_copy_only=False)
    series = tuple(rows["series"].to_pylist())
    tags = {
        name.removeprefix(TAG): tuple(value or "" for value in rows[name].to_pylist())
        for name in rows.column_names
        if name.startswith(TAG)
    }
    files = rows[FILES].to_pylist() if FILES in rows.column_names else [None] * len(series)
    first = rows.slice(0, 1).to_pydict()
    return FeatureTable(
        series,
        tuple(rows["patient"].to_pylist()),
        tuple(names),
        values,
        tags,
        {uid: tuple(paths) for uid, paths in zip(series, files, strict=True) if paths},
        first["model_hash"][0] if series else "",
        first["recipe_hash"][0] if series else "",
    )


def join_columns(tables: list[FeatureTable]) -> FeatureTable:
    """The columns of several tables side by side, for the series that all of them hold, in the order of the first.

    Raises
    ------
    UsageError
        If two tables have a column of the same name.
    """
    first, *others = tables
    shared = [uid for uid in first.series if all(uid in set(other.series) for other in others)]
    tables = [table.select(shared) for table in tables]
    names = [name for table in tables for name in table.names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        msg = f"Two of the feature tables have a column {twice[0]}; give the same table once."
        raise UsageError(msg)
    return FeatureTable(
        tables[0].series,
        tables[0].patients,
        tuple(names),
        np.concatenate([table.values for table in tables], axis=1),
        {name: column for table in reversed(tables) for name, column in table.tags.items()},
        {uid: files for table in reversed(tables) for uid, files in table.sources.items()},
        "+".join(table.model_hash for table in tables if table.model_hash),
        "+".join(table.recipe_hash for table in tables if table.recipe_hash),
    )


def _ordered(rows: pa.Table) -> pa.Table:
    """Identity first, then features, tags and files; in one piece, so that equal rows are equal bytes."""
    names = rows.column_names
    features = [name for name in names if name not in (*IDENTITY, FILES) and not name.startswith(TAG)]
    tags = sorted(name for name in names if name.startswith(TAG))
    return rows.select([*IDENTITY, *features, *tags, FILES]).combine_chunks()


def _write(path: Path, rows: pa.Table) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        try:
            pq.write_table(rows, temporary, compression="zstd")
        except pa.ArrowException as error:
            msg = f"Cannot write {path} ({error}). Choose an output folder that can be written."
            raise OutputError(msg) from error


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=False).read(columns)
    except (pa.ArrowException, OSError) as error:
        msg = f"The features in {path} cannot be read ({error}). Remove the file and run the cohort again."
        raise SourceError(msg) from error


def _short(digest: str) -> str:
    """Enough of a digest to tell files apart, and nothing that a file name cannot hold."""
    return "".join(c for c in digest.lower() if c in "0123456789abcdef")[:12] or "0"
