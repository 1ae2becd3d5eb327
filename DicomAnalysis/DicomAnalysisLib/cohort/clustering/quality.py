"""How good clusters are: silhouette in the full feature space, Davies–Bouldin, sizes. Noise is left out.

The distances of all pairs are never held: a block of series at a time is compared with all others.
Where there are many series a random sample of them is judged, each against all others, and the
silhouette has an interval for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 256
"""Series whose distances to all others are held at a time: 20 MB for 20,000 series."""


@dataclass(frozen=True)
class Quality:
    """How good a partition is.

    Attributes
    ----------
    clusters : int
    sizes : tuple of int
    noise : int
        Series of no cluster.
    silhouette : float or None
        Mean over series in clusters, from -1 to 1; None with fewer than two clusters.
    silhouette_low, silhouette_high : float or None
        95 % interval for the sampling alone; equal to the value where all series were judged.
    judged : int
        Series whose silhouette was computed.
    cluster_silhouettes : tuple of float
    davies_bouldin : float or None
        The smaller the better.
    """

    clusters: int
    sizes: tuple[int, ...]
    noise: int
    silhouette: float | None
    silhouette_low: float | None
    silhouette_high: float | None
    judged: int
    cluster_silhouettes: tuple[float, ...]
    davies_bouldin: float | None


def judge(standard: np.ndarray, labels: np.ndarray, sample: int = 2000, seed: int = 0) -> Quality:
    """Judge a partition in the full space of standardised features.

    Parameters
    ----------
    standard : float32 array, (series, features)
    labels : int array, (series,)
        Negative for series of no cluster.
    sample : int
        Series judged where there are more than twice as many.
    seed : int
    """
    rows = np.flatnonzero(labels >= 0)
    clusters = int(labels.max(initial=-1)) + 1
    sizes = tuple(np.bincount(labels[rows], minlength=clusters).tolist())
    noise = len(labels) - len(rows)
    if clusters < 2:
        return Quality(clusters, sizes, noise, None, None, None, 0, (), None)
    inside, of = standard[rows], labels[rows]
    chosen = np.arange(len(rows))
    if len(rows) > 2 * sample:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), sample, replace=False))
    values = silhouettes(inside, of, chosen)
    mean = float(values.mean())
    left = 1 - len(chosen) / len(rows)  # of the population: with nothing left out there is no error of sampling
    half = 1.96 * float(values.std()) / np.sqrt(len(values)) * np.sqrt(left)
    each = tuple(float(values[of[chosen] == k].mean()) if (of[chosen] == k).any() else 0.0 for k in range(clusters))
    return Quality(
        clusters, sizes, noise, mean, mean - half, mean + half, len(chosen), each, davies_bouldin(inside, of)
    )


def silhouettes(values: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Silhouette of the chosen rows against all rows, float64 (chosen,); 0 in a cluster of one.

    Parameters
    ----------
    values : float32 array, (rows, features)
    labels : int array, (rows,)
        0, 1, …
    chosen : int array
    """
    clusters = int(labels.max()) + 1
    sizes = np.bincount(labels, minlength=clusters).astype(np.float64)
    member = (labels[:, None] == np.arange(clusters)).astype(np.float32)
    squares = np.einsum("ij,ij->i", values, values)
    found = []
    for start in range(0, len(chosen), _BLOCK):
        block = chosen[start : start + _BLOCK]
        distances = values[block] @ values.T
        distances *= -2
        distances += squares[block, None]
        distances += squares
        np.maximum(distances, 0, out=distances)
        distances[np.arange(len(block)), block] = 0
        np.sqrt(distances, out=distances)
        sums = (distances @ member).astype(np.float64)
        own, place = labels[block], np.arange(len(block))
        inner = sums[place, own] / np.maximum(sizes[own] - 1, 1)
        outer = sums / sizes
        outer[place, own] = np.inf
        near = outer.min(axis=1)
        value = (near - inner) / np.maximum(np.maximum(near, inner), 1e-12)
        found.append(np.where(sizes[own] > 1, value, 0.0))
    return np.concatenate(found)


def davies_bouldin(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clusters of the worst ratio of widths to distance of centres (Davies and Bouldin 1979)."""
    clusters = int(labels.max()) + 1
    centres = np.stack([values[labels == k].mean(axis=0) for k in range(clusters)])
    widths = np.array([np.linalg.norm(values[labels == k] - centres[k], axis=1).mean() for k in range(clusters)])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(((widths[:, None] + widths) / np.maximum(distances, 1e-12)).max(axis=1).mean())
