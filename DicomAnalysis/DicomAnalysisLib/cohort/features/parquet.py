"""Feature tables as they are stored: Parquet files, each complete or not there at all.

Columns: ``series``, ``patient``, ``model_hash``, ``recipe_hash``, the features (float32, null where
not measured), ``tag.<name>`` (text) and ``files`` (list of text).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import OutputError, SourceError, UsageError
from ...files.atomic import atomic_path
from ...files.json_text import plain
from .table import FeatureTable

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = ("series", "patient", "model_hash", "recipe_hash")
_TAG, _FILES = "tag.", "files"


def to_arrow(table: FeatureTable) -> pa.Table:
    """A feature table as it is stored.

    Raises
    ------
    UsageError
        If a feature has the name of another column.
    """
    import pyarrow as pa

    taken = [name for name in table.names if name in (*IDENTITY, _FILES) or name.startswith(_TAG)]
    if taken:
        msg = f"A feature cannot be called {taken[0]}: the store has a column of that name for something else."
        raise UsageError(msg)
    count = len(table)
    text = pa.string()

    def texts(values: Iterable[str]) -> list[str]:  # names of files may be bytes that are no text
        return [value if value.isascii() else plain(value) for value in values]

    columns: dict[str, pa.Array] = {
        "series": pa.array(table.series, text),
        "patient": pa.array(texts(table.patients), text),
        "model_hash": pa.array([table.model_hash] * count, text),
        "recipe_hash": pa.array([table.recipe_hash] * count, text),
    }
    for k, name in enumerate(table.names):
        values = np.ascontiguousarray(table.values[:, k])
        columns[name] = pa.array(values, pa.float32(), mask=np.isnan(values))
    columns |= {_TAG + name: pa.array(texts(table.tags[name]), text) for name in sorted(table.tags)}
    columns[_FILES] = pa.array([texts(table.sources.get(uid, ())) for uid in table.series], pa.list_(text))
    return pa.table(columns)


def from_arrow(rows: pa.Table) -> FeatureTable:
    """A feature table from how it is stored; all rows are of one model and recipe."""
    names = [name for name in rows.column_names if name not in (*IDENTITY, _FILES) and not name.startswith(_TAG)]
    values = np.full((rows.num_rows, len(names)), np.nan, np.float32)
    for k, name in enumerate(names):
        values[:, k] = rows[name].to_numpy(zero_copy_only=False)
    series = tuple(rows["series"].to_pylist())
    tags = {
        name.removeprefix(_TAG): tuple(value or "" for value in rows[name].to_pylist())
        for name in rows.column_names
        if name.startswith(_TAG)
    }
    files = rows[_FILES].to_pylist() if _FILES in rows.column_names else [None] * len(series)
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


def in_order(rows: pa.Table) -> pa.Table:
    """Identity first, then features, tags and files; in one piece, so that equal rows are equal bytes."""
    names = rows.column_names
    features = [name for name in names if name not in (*IDENTITY, _FILES) and not name.startswith(_TAG)]
    tags = sorted(name for name in names if name.startswith(_TAG))
    return rows.select([*IDENTITY, *features, *tags, _FILES]).combine_chunks()


def write_rows(path: Path, rows: pa.Table) -> None:
    """Write stored rows in one step.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        try:
            pq.write_table(rows, temporary, compression="zstd")
            # Before it takes the place of others: a power cut must not leave an empty file and the others removed.
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        except pa.ArrowException as error:
            msg = f"Cannot write {path} ({error}). Choose an output folder that can be written."
            raise OutputError(msg) from error


def read_rows(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Stored rows, or some columns of them.

    Raises
    ------
    SourceError
        If they cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=False).read(columns)
    except (pa.ArrowException, OSError) as error:
        msg = f"The features in {path} cannot be read ({error}). Remove the file and run the cohort again."
        raise SourceError(msg) from error
