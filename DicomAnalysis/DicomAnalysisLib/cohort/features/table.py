"""The table of features that everything about cohorts passes on. Plain data: no files are read or written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import UsageError


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of the series of a cohort, one row a series.

    Parameters
    ----------
    series : tuple of str
        Series Instance UID, with ``/stack-2`` and so on for further stacks; of a model of several views the Study
        Instance UID. Each stands once.
    patients : tuple of str
        Patient ID of each series; what splits and intervals are drawn over.
    names : tuple of str
        Of the columns.
    values : array of float32, shape (series, names)
        NaN where a feature was not measured. Read-only.
    tags : mapping of str to tuple of str
        Acquisition tags of each series (manufacturer, station, institution, protocol, kernel …): never
        features, but what features and clusters are checked against. Empty where the header says nothing.
    sources : mapping of str to tuple of str
        Files of each series, for opening it; may be empty.
    model_hash : str
        Of the network that made the features; empty for interpretable ones.
    recipe_hash : str
        Of everything else that the numbers depend on.

    Raises
    ------
    UsageError
        If the sizes do not agree, or a series stands twice.
    """

    series: tuple[str, ...]
    patients: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    model_hash: str = ""
    recipe_hash: str = ""

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float32).view()
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        wanted = (len(self.series), len(self.names))
        if values.shape != wanted or len(self.patients) != wanted[0]:
            msg = (
                f"A feature table of {wanted[0]} series, {len(self.patients)} patients and {wanted[1]} columns cannot "
                f"hold values of shape {values.shape}."
            )
            raise UsageError(msg)
        if len(set(self.series)) != len(self.series) or len(set(self.names)) != len(self.names):
            msg = "A series or a column stands twice in the feature table; each may stand once."
            raise UsageError(msg)
        for name, column in self.tags.items():
            if len(column) != wanted[0]:
                msg = f"The tag {name} has {len(column)} values for {wanted[0]} series."
                raise UsageError(msg)

    def __len__(self) -> int:
        return len(self.series)

    def column(self, name: str) -> np.ndarray:
        """One feature of every series, shape (series,).

        Raises
        ------
        UsageError
            If there is no such column.
        """
        if name not in self.names:
            msg = f"The feature table has no column {name}; it has {', '.join(self.names[:20])}."
            raise UsageError(msg)
        return self.values[:, self.names.index(name)]

    def rows(self, chosen: Iterable[int]) -> FeatureTable:
        """The table of some of the series, by row number, in the order given."""
        index = [int(k) for k in chosen]
        series = tuple(self.series[k] for k in index)
        return FeatureTable(
            series,
            tuple(self.patients[k] for k in index),
            self.names,
            self.values[index],
            {name: tuple(column[k] for k in index) for name, column in self.tags.items()},
            {uid: self.sources[uid] for uid in series if uid in self.sources},
            self.model_hash,
            self.recipe_hash,
        )

    def select(self, series: Iterable[str]) -> FeatureTable:
        """The table of some series, in the order given; those it does not hold are left out."""
        place = {uid: k for k, uid in enumerate(self.series)}
        return self.rows(place[uid] for uid in series if uid in place)

    def measured(self) -> FeatureTable:
        """Without the columns that no series has a value in."""
        keep = np.flatnonzero(~np.isnan(self.values).all(axis=0)) if len(self) else np.arange(len(self.names))
        return FeatureTable(
            self.series,
            self.patients,
            tuple(self.names[k] for k in keep),
            self.values[:, keep],
            self.tags,
            self.sources,
            self.model_hash,
            self.recipe_hash,
        )


def join_columns(tables: Sequence[FeatureTable]) -> FeatureTable:
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
