"""Would the clusters come out again? With other seeds, and with other patients.

Both methods are repeated on all series with other seeds (clusters by density when they were made, for of
several seeds the most typical is kept). Bootstraps are of the patients, each drawn patient once, with all
of their series; clusters by density are looked for in at most `SAMPLE` series of them. Agreement is the
adjusted Rand index on the series that both have; of each cluster also the largest Jaccard index with a new
one (Hennig 2007, Comput Stat Data Anal 52:258–271: above 0.75 is stable, below 0.5 is dissolved).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .options import KMEANS, ClusteringOptions
from .partition import NOISE, density_clusters, kmeans, landmarks
from .prepare import Prepared

SAMPLE = 1000
STABLE, DISSOLVED = 0.75, 0.5
FEWEST_PATIENTS = 2
"""Bootstraps of one patient are all the same series."""


@dataclass(frozen=True)
class Stability:
    """How well clusters come out again.

    Attributes
    ----------
    seeds, bootstraps : tuple of float
        Adjusted Rand index of each repetition.
    clusters : tuple of float
        Mean Jaccard index of each cluster over the bootstraps.
    series : int
        In each repetition, at most.
    """

    seeds: tuple[float, ...]
    bootstraps: tuple[float, ...]
    clusters: tuple[float, ...]
    series: int

    @property
    def mean(self) -> float | None:
        """Mean agreement over the bootstraps; None where there were none."""
        return float(np.mean(self.bootstraps)) if self.bootstraps else None

    @property
    def seeds_mean(self) -> float | None:
        """The same over the seeds."""
        return float(np.mean(self.seeds)) if self.seeds else None


def stability(
    prepared: Prepared,
    patients: Sequence[str],
    labels: np.ndarray,
    method: str,
    options: ClusteringOptions,
    seeds: Sequence[float] | None = None,
) -> Stability:
    """Repeat the clustering.

    Parameters
    ----------
    prepared : Prepared
    patients : sequence of str
    labels : int array, (series,)
        The clusters whose stability is asked for.
    method : str
        How they were made.
    options : ClusteringOptions
    seeds : sequence of float, optional
        Agreement with other seeds, where it is known.
    """
    from sklearn.metrics import adjusted_rand_score

    clusters = int(labels.max(initial=NOISE)) + 1
    if not options.repeats or not clusters:
        return Stability((), (), (), 0)
    random = np.random.default_rng(options.seed + 7919)
    if seeds is None:
        whole = np.arange(len(labels))
        others = [
            _again(prepared, whole, method, clusters, options, options.seed + 1 + k) for k in range(options.repeats)
        ]
        seeds = [float(adjusted_rand_score(labels, other)) for other in others]
    if len(set(patients)) < FEWEST_PATIENTS:
        return Stability(tuple(seeds), (), (), 0)
    bootstraps, overlaps = [], []
    for k in range(options.repeats):
        seed = options.seed + 1 + k
        drawn = _patients_drawn(patients, random)
        found = _again(prepared, drawn, method, clusters, options, seed)
        bootstraps.append(float(adjusted_rand_score(labels[drawn], found)))
        overlaps.append(_jaccard(labels[drawn], found, clusters))
    # A cluster of which a bootstrap holds nobody says nothing there.
    known = np.ma.masked_invalid(overlaps).mean(axis=0).filled(0.0)
    return Stability(tuple(seeds), tuple(bootstraps), tuple(known.tolist()), min(SAMPLE, len(labels)))


def _again(
    prepared: Prepared, rows: np.ndarray, method: str, clusters: int, options: ClusteringOptions, seed: int
) -> np.ndarray:
    scores, residual = prepared.scores[rows], prepared.residual[rows]
    if method == KMEANS:
        return kmeans(scores, min(clusters, len(scores)), seed, starts=1)[0]
    near = landmarks(scores, SAMPLE, options.neighbours, seed)
    return density_clusters(scores, residual, near, options.of_sample(len(rows), len(prepared.scores)), seed)


def _patients_drawn(patients: Sequence[str], random: np.random.Generator) -> np.ndarray:
    """Series of patients drawn with replacement, each once: equal points would look like a dense cluster."""
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    there = np.zeros(len(names), bool)
    there[random.integers(0, len(names), len(names))] = True
    rows = np.flatnonzero(there[index])
    return np.sort(random.permutation(rows)[:SAMPLE])


def _jaccard(labels: np.ndarray, found: np.ndarray, clusters: int) -> np.ndarray:
    best = np.full(clusters, np.nan)
    for k in range(clusters):
        mine = labels == k
        if mine.any():
            others = (found == other for other in range(int(found.max(initial=NOISE)) + 1))
            best[k] = max(((mine & other).sum() / (mine | other).sum() for other in others), default=0.0)
    return best
