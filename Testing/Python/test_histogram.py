"""Exact k-means on a histogram."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from DicomAnalysisLib.segmentation.histogram import integer_histogram, kmeans_1d
from hypothesis import given, settings
from hypothesis import strategies as st


def cost(values: np.ndarray, weights: np.ndarray, edges: tuple[int, ...]) -> float:
    """Sum of squares about the means of consecutive runs."""
    total = 0.0
    for a, b in pairwise(edges):
        mean = np.average(values[a:b], weights=weights[a:b])
        total += float((weights[a:b] * (values[a:b] - mean) ** 2).sum())
    return total


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-1024, 3071), min_size=2, max_size=9, unique=True).map(sorted),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_no_partition_is_better(values, k, random):
    x = np.array(values, float)
    w = np.array([random.randint(1, 1000) for _ in values], float)
    k = min(k, len(x))
    centers, boundaries = kmeans_1d(x, w, k)
    group = np.searchsorted(boundaries, x)
    found = sum(float((w[group == g] * (x[group == g] - centers[g]) ** 2).sum()) for g in range(k))
    every = [cost(x, w, (0, *cuts, len(x))) for cuts in combinations(range(1, len(x)), k - 1)]
    assert found <= min(every) * (1 + 1e-9) + 1e-6
    assert (np.diff(centers) > 0).all()


def test_agrees_with_voxelwise_kmeans():
    """On three well separated tissues the centres are the tissues' means."""
    rng = np.random.default_rng(0)
    voxels = np.concatenate([rng.normal(m, 30, n) for m, n in ((-1000, 5000), (40, 3000), (1200, 500))]).astype(
        np.int16
    )
    centers, _ = kmeans_1d(*integer_histogram(voxels, -1200, 2000), 3)
    parts = voxels[voxels < -500], voxels[(voxels > -500) & (voxels < 600)], voxels[voxels > 600]
    np.testing.assert_allclose(centers, [part.mean() for part in parts], atol=0.01)


def test_fewer_values_than_clusters():
    centers, boundaries = kmeans_1d(np.array([1.0, 5.0]), np.array([3, 1]), 4)
    assert centers.tolist() == [1.0, 5.0]
    assert boundaries.tolist() == [3.0]


def test_nothing_to_cluster():
    with pytest.raises(ValueError, match="weight"):
        kmeans_1d(np.arange(3.0), np.zeros(3), 2)


def test_histogram_counts_what_lies_between_the_bounds():
    centers, counts = integer_histogram(np.array([[-5, 0, 1], [2, 3, 9]]), 0, 4, 2)
    assert centers.tolist() == [0.5, 2.5]
    assert counts.tolist() == [2, 2]
