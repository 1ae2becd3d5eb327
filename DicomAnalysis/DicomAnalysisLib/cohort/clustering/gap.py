"""Is there structure at all? The gap statistic, against data that have none.

Tibshirani, Walther and Hastie, J R Stat Soc B 2001;63:411–423: how much tighter k clusters are than k
clusters of reference data. The reference is uniform along each principal component, as in the paper's
second kind, with the component's variance in place of its range (a single far series would stretch
a range). Series that are far from all others are left out here, for a centre for each would look like
structure. Among spreads with one peak the uniform one is the easiest to cut up, so a single cloud of
another shape has no gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .partition import far_from_cluster, kmeans, landmarks

_NEIGHBOURS = 5
_SURE = 2.0
"""Standard errors that the gap of several clusters must be above that of one."""


@dataclass(frozen=True)
class GapStatistic:
    """The gap of 1, 2, … clusters.

    Attributes
    ----------
    gaps, errors : tuple of float
        For 1, 2, … clusters, in logarithms, with their standard errors.
    best : int
        Clusters that k-means should make; 1: no structure.
    series : int
        It was computed on so many.
    """

    gaps: tuple[float, ...]
    errors: tuple[float, ...]
    best: int
    series: int


def gap_statistic(scores: np.ndarray, most: int, references: int, sample: int, seed: int = 0) -> GapStatistic:
    """The gap statistic of k-means.

    Parameters
    ----------
    scores : float32 array, (series, components)
        Principal components.
    most : int
        Clusters, at most.
    references : int
        Data without structure that are compared.
    sample : int
        Series drawn where there are more.
    seed : int
    """
    random = np.random.default_rng(seed)
    if len(scores) > sample:
        scores = scores[np.sort(random.choice(len(scores), sample, replace=False))]
    scores = scores[~_isolated(scores)]
    most = max(2, min(most, len(scores) // 5))
    spread = np.sqrt(3) * scores.std(axis=0)
    found = _log_sums(scores, most, seed)
    reference = np.array(
        [
            _log_sums(random.uniform(-spread, spread, scores.shape).astype(np.float32), most, seed + 1 + k)
            for k in range(references)
        ]
    )
    gaps = reference.mean(axis=0) - found
    errors = reference.std(axis=0) * np.sqrt(1 + 1 / references)
    return GapStatistic(tuple(gaps.tolist()), tuple(errors.tolist()), _choose(gaps, errors), len(scores))


def _choose(gaps: np.ndarray, errors: np.ndarray) -> int:
    """The fewest clusters that the next one does not improve on; 1 unless some are surely better than one.

    The paper's rule stops at the first k that is not surely worse than k + 1, which misses clusters of
    clusters: the search begins at the best of all.
    """
    better = gaps - gaps[0] > _SURE * np.maximum(np.sqrt(errors**2 + errors[0] ** 2), 1e-3)
    better[0] = False
    if not better.any():
        return 1
    top = int(np.argmax(np.where(better, gaps, -np.inf)))
    close = np.flatnonzero(better[: top + 1] & (gaps[: top + 1] >= gaps[top] - errors[top]))
    return int(close[0]) + 1


def _isolated(scores: np.ndarray) -> np.ndarray:
    """Series much farther from their neighbours than is usual, bool (series,)."""
    reach = landmarks(scores, len(scores), _NEIGHBOURS).distances[:, -1]
    return far_from_cluster(np.zeros(len(scores), np.int64), reach)


def _log_sums(scores: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Logarithm of the squared distances to the centres for 1 … `most` clusters."""
    whole = float(((scores - scores.mean(axis=0)) ** 2).sum())
    sums = [whole, *(kmeans(scores, k, seed, starts=2)[1] for k in range(2, most + 1))]
    return np.log(np.maximum(sums, 1e-12))
