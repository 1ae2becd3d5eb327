"""What sets a cluster apart, and which series show it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..features.table import FeatureTable
from .prepare import Prepared

FEATURES = 8
_WORTH = 0.5
"""Standard deviations from which a difference is told."""


@dataclass(frozen=True)
class Difference:
    """A feature by which a cluster differs from the others.

    Attributes
    ----------
    feature : str
    effect : float
        Difference of the means in standard deviations (pooled); positive: higher in the cluster.
    inside, outside : tuple of float
        Median and quartiles (first, median, third) in the feature's own unit.
    """

    feature: str
    effect: float
    inside: tuple[float, float, float]
    outside: tuple[float, float, float]


@dataclass(frozen=True)
class ClusterDescription:
    """One cluster.

    Attributes
    ----------
    cluster : int
    size, patients : int
    differences : tuple of Difference
        The largest first.
    examples : tuple of str
        Series nearest to its centre, the nearest first, of different patients while there are any.
    silhouette : float or None
    stability : float or None
        Mean Jaccard index over the bootstraps.
    """

    cluster: int
    size: int
    patients: int
    differences: tuple[Difference, ...]
    examples: tuple[str, ...]
    silhouette: float | None = None
    stability: float | None = None

    @property
    def words(self) -> str:
        """For people: "higher lung_volume_ml, lower mean_hu"."""
        told = [one for one in self.differences if abs(one.effect) >= _WORTH][:4]
        if not told:
            return "no single feature sets it apart"
        return ", ".join(f"{'higher' if one.effect > 0 else 'lower'} {one.feature}" for one in told)


def describe_clusters(
    table: FeatureTable,
    prepared: Prepared,
    labels: np.ndarray,
    examples: int,
    silhouettes: Sequence[float] = (),
    stable: Sequence[float] = (),
) -> tuple[ClusterDescription, ...]:
    """Describe every cluster by its largest differences and its nearest examples."""
    found = []
    for cluster in range(int(labels.max(initial=-1)) + 1):
        inside = labels == cluster
        rows = np.flatnonzero(inside)
        found.append(
            ClusterDescription(
                cluster,
                len(rows),
                len({table.patients[k] for k in rows}),
                _differences(table, prepared, inside),
                tuple(table.series[k] for k in _nearest(prepared.scores, rows, table.patients, examples)),
                silhouettes[cluster] if cluster < len(silhouettes) else None,
                stable[cluster] if cluster < len(stable) else None,
            )
        )
    return tuple(found)


def _differences(table: FeatureTable, prepared: Prepared, inside: np.ndarray) -> tuple[Difference, ...]:
    if inside.all():
        return ()
    mine, others = prepared.standard[inside], prepared.standard[~inside]
    pooled = np.sqrt((mine.var(axis=0) + others.var(axis=0)) / 2)
    effect = (mine.mean(axis=0) - others.mean(axis=0)) / np.maximum(pooled, 0.05)
    best = np.argsort(-np.abs(effect), kind="stable")[:FEATURES]
    found = []
    for k in best:
        column = table.values[:, prepared.columns[k]]
        name = table.names[prepared.columns[k]]
        found.append(Difference(name, float(effect[k]), _quartiles(column[inside]), _quartiles(column[~inside])))
    return tuple(found)


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return (float("nan"),) * 3
    return tuple(np.quantile(known.astype(np.float64), (0.25, 0.5, 0.75)).tolist())


def _nearest(scores: np.ndarray, rows: np.ndarray, patients: Sequence[str], count: int) -> list[int]:
    centre = np.median(scores[rows], axis=0)
    order = rows[np.argsort(np.linalg.norm(scores[rows] - centre, axis=1), kind="stable")].tolist()
    seen: set[str] = set()
    first = [k for k in order if not (patients[k] in seen or seen.add(patients[k]))]
    chosen = first[:count]
    if len(chosen) < count:
        chosen += [k for k in order if k not in set(chosen)][: count - len(chosen)]
    return chosen
