"""Features from wherever they lie: the output of a run, a store, or a single Parquet file."""

from __future__ import annotations

from pathlib import Path

from ...errors import SourceError
from ..store import FeatureStore
from .parquet import from_arrow
from .table import FeatureTable

FOLDER = "features"
"""Of the store, in the output folder of a run."""


def load_features(path: Path | str, model_hash: str | None = None, recipe_hash: str | None = None) -> FeatureTable:
    """The feature table at a place.

    Parameters
    ----------
    path : path
        The output folder of ``cohort run --task features``, a store, or a Parquet file of one.
    model_hash, recipe_hash : str, optional
        Which, where there are several; by default the newest.

    Raises
    ------
    SourceError
        If there are no features.
    """
    path = Path(path)
    if path.is_file():
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            rows = pq.ParquetFile(path, memory_map=False).read()
            return from_arrow(rows)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            msg = f"{path} is no table of features ({error}); make one with `cohort run --task features`."
            raise SourceError(msg) from error
    inner = path / FOLDER
    return FeatureStore(inner if inner.is_dir() else path).read(model_hash, recipe_hash)
