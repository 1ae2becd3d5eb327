"""Clusters of Hounsfield units: exact weighted 1-D k-means on a histogram.

k-means over voxels is slow, memory hungry and stops in a local optimum; over a
histogram the global optimum is cheap, because optimal 1-D clusters are intervals.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def integer_histogram(values: np.ndarray, low: int, high: int, bin_width: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Histogram of whole numbers between two bounds.

    Parameters
    ----------
    values : array
        Any shape; values outside ``[low, high)`` are left out.
    low, high, bin_width : int
        Bounds and width of a bin.

    Returns
    -------
    centers, counts : arrays of shape (bins,)
        Bin centres (mean of the whole numbers in the bin) and voxel counts.
    """
    flat = np.asarray(values).reshape(-1)
    flat = flat[(flat >= low) & (flat < high)].astype(np.int32)
    bins = -(-(high - low) // bin_width)
    counts = np.bincount((flat - low) // bin_width, minlength=bins)
    centers = low + np.arange(bins) * bin_width + (bin_width - 1) / 2
    return centers, counts


def kmeans_1d(values: np.ndarray, weights: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted k-means in one dimension, the global optimum by dynamic programming.

    Parameters
    ----------
    values : array of shape (n,)
        Sorted positions (bin centres).
    weights : array of shape (n,)
        Non-negative weights (voxel counts).
    k : int
        Number of clusters wanted; fewer come back when fewer distinct values have weight.

    Returns
    -------
    centers : array of shape (k,)
        Weighted means, ascending.
    boundaries : array of shape (k - 1,)
        Midpoints between neighbouring centres.

    Raises
    ------
    ValueError
        If no value has weight.

    Notes
    -----
    O(k n^2), vectorised over one axis. H. Wang and M. Song, "Ckmeans.1d.dp: optimal
    k-means clustering in one dimension by dynamic programming", The R Journal 3/2, 2011.
    """
    keep = np.asarray(weights) > 0
    x, w = np.asarray(values, float)[keep], np.asarray(weights, float)[keep]
    if not len(x):
        msg = "k-means needs at least one value with weight"
        raise ValueError(msg)
    k = min(k, len(x))
    origin = np.average(x, weights=w)
    x = x - origin  # sums of squares of centred values lose no precision
    w0 = np.concatenate([[0.0], np.cumsum(w)])
    w1 = np.concatenate([[0.0], np.cumsum(w * x)])
    w2 = np.concatenate([[0.0], np.cumsum(w * x * x)])
    n = len(x)

    def cost(start: np.ndarray, end: int) -> np.ndarray:
        """Sum of squares about the mean of the values start..end (end excluded)."""
        mass = w0[end] - w0[start]
        return (w2[end] - w2[start]) - (w1[end] - w1[start]) ** 2 / mass

    best = np.array([0.0] + [float(cost(np.array([0]), end)[0]) for end in range(1, n + 1)])
    cuts = np.zeros((k, n + 1), int)
    for cluster in range(1, k):
        previous, best = best, np.full(n + 1, np.inf)
        for end in range(cluster + 1, n + 1):
            start = np.arange(cluster, end)
            total = previous[start] + cost(start, end)
            at = int(np.argmin(total))
            best[end], cuts[cluster, end] = total[at], start[at]
    edges = [n]
    for cluster in range(k - 1, 0, -1):
        edges.append(int(cuts[cluster, edges[-1]]))
    edges = [0, *reversed(edges)]
    centers = np.array([np.average(x[a:b], weights=w[a:b]) for a, b in pairwise(edges)]) + origin
    return centers, (centers[:-1] + centers[1:]) / 2
