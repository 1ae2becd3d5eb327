"""The files of one series of a feature table, for opening it: the features themselves are not read."""

from __future__ import annotations

from pathlib import Path

from ...errors import SourceError
from .loading import FOLDER


def series_files(features: Path | str, series: str) -> tuple[str, ...]:
    """The files of a series, as the run that measured it found them.

    Parameters
    ----------
    features : path
        Output folder of ``cohort run --task features``, its store, or a Parquet file.
    series : str
        As the table names it: with ``/stack-2`` and so on for further stacks.

    Raises
    ------
    SourceError
        If the table does not hold the series or its files, or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(features)
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    tables = [path] if path.is_file() else [one for one in sorted(folder.glob("*.parquet")) if one.name[0] != "."]
    for table in reversed(tables):  # the newest last
        try:
            rows = pq.read_table(table, columns=["files"], filters=[("series", "=", series)], memory_map=False)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            msg = f"{table} is no table of features ({error}); make one with `cohort run --task features`."
            raise SourceError(msg) from error
        found = [paths for paths in rows["files"].to_pylist() if paths]
        if found:
            return tuple(found[0])
    msg = (
        f"The features in {path} do not say which files series {series} has: import it into the DICOM database "
        "to open it. A table without identifiers never says."
    )
    raise SourceError(msg)
