"""Partitions of series: made by k-means, or by density after UMAP. All from a seed.

UMAP runs on one thread, for only then a seed gives one answer, and takes most of the time. So where there
are more series than `ClusteringOptions.landmarks`, a random sample of them is embedded and clustered, and
every other series joins the cluster of its nearest sampled ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from .options import ClusteringOptions

NOISE = -1
_EPOCHS = 60
"""Of UMAP: clusters of 300 to 20,000 planted series are as right after 60 as after 100 or 200."""
_OTHER_SEEDS = 2
"""Whose clusters the first seed's are compared with: one seed in several may see something else."""
_FAR = 6.0
"""Robust standard deviations from its cluster at which a series is said to belong to none."""
_MOST_FAR = 1 / 3
_VOTES = 5


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The series that are embedded, and which of them are near every series.

    Attributes
    ----------
    rows : int array, (landmarks,)
    indices, distances : arrays, (series, neighbours)
        The nearest landmarks of every series, as places in `rows`; a landmark is not its own neighbour.
    """

    rows: np.ndarray
    indices: np.ndarray
    distances: np.ndarray

    @property
    def graph(self) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours of the landmarks with themselves first, as UMAP wants them."""
        own = np.arange(len(self.rows))[:, None]
        indices = np.concatenate([own, self.indices[self.rows]], axis=1)
        distances = np.concatenate([np.zeros_like(own, np.float32), self.distances[self.rows]], axis=1)
        return indices, distances


def landmarks(scores: np.ndarray, most: int, neighbours: int, seed: int = 0) -> Landmarks:
    """Choose landmarks and find those near every series: exactly, by Euclidean distance.

    Parameters
    ----------
    scores : float32 array, (series, components)
    most : int
        Landmarks; all series where there are no more.
    neighbours : int
    seed : int
    """
    from sklearn.neighbors import NearestNeighbors

    rows = np.arange(len(scores))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    count = min(neighbours, len(rows) - 1)
    model = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(scores[rows])
    distances, indices = model.kneighbors(scores)
    own = np.full(len(scores), -1)
    own[rows] = np.arange(len(rows))
    is_own = indices == own[:, None]
    # A series that equals others may not come first, or not at all: then the last one gives way.
    is_own[~is_own.any(axis=1), -1] = True
    keep = ~is_own
    shape = (len(scores), count)
    return Landmarks(rows, indices[keep].reshape(shape), distances[keep].reshape(shape).astype(np.float32))


def kmeans(scores: np.ndarray, clusters: int, seed: int = 0, starts: int = 3) -> tuple[np.ndarray, float]:
    """Cluster of each series, numbered by size, and the sum of squared distances to the centres."""
    from sklearn.cluster import KMeans

    model = KMeans(clusters, n_init=starts, random_state=seed).fit(scores)
    return by_size(model.labels_), float(model.inertia_)


def umap_embedding(
    scores: np.ndarray, near: Landmarks, dimensions: int, seed: int = 0, *, spread: float = 0.0, epochs: int = _EPOCHS
) -> np.ndarray:
    """UMAP of the landmarks, float32 (landmarks, dimensions); it starts from the principal components.

    Parameters
    ----------
    scores : float32 array, (series, components)
    near : Landmarks
    dimensions : int
    seed : int
    spread : float
        UMAP's min_dist: 0 packs clusters, 0.1 and more is nicer to look at.
    epochs : int
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that new series cannot be added later; nobody wants to
        import umap

        _keep_compiled(umap.umap_, umap.layouts)
        indices, distances = near.graph
        scores = scores[near.rows]
        dimensions = min(dimensions, scores.shape[1])
        start = scores[:, :dimensions] / max(float(scores[:, 0].std()), 1e-6)
        # Series that are equal must not start at one place.
        start = start + np.random.default_rng(seed).normal(0, 1e-3, start.shape).astype(np.float32)
        model = umap.UMAP(
            n_components=dimensions,
            n_neighbors=indices.shape[1],
            min_dist=spread,
            n_epochs=epochs,
            init=start,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(indices, distances, None),
            force_approximation_algorithm=True,
        )
        return np.asarray(model.fit_transform(scores), np.float32)


@cache  # once a process
def _keep_compiled(*modules: ModuleType) -> None:
    """Let numba keep on disk what it compiles of these modules (6 s of every process that clusters, else).

    It goes where numba puts what other packages keep: beside the module, or in the user's cache folder.
    """
    for module in modules:
        for function in vars(module).values():
            if hasattr(function, "enable_caching") and not function.signatures:  # numba's, not compiled yet
                with suppress(RuntimeError):  # there is no place where it may write
                    function.enable_caching()


def density_clusters(
    scores: np.ndarray, residual: np.ndarray, near: Landmarks, options: ClusteringOptions, seed: int
) -> np.ndarray:
    """UMAP, then HDBSCAN, then those that are far from their own cluster are taken out.

    UMAP draws series that belong nowhere into the nearest cluster; in the features themselves they are
    far from it. So a series whose neighbours are much farther away than is usual in its cluster is noise,
    and one of which the components leave much more.

    Parameters
    ----------
    scores : float32 array, (series, components)
    residual : float32 array, (series,)
        Length of what the components leave of each series.
    near : Landmarks
    options : ClusteringOptions
    seed : int

    Returns
    -------
    int array, (series,)
        0, 1, … by size; `NOISE` for series of no cluster.
    """
    import hdbscan

    embedding = umap_embedding(scores, near, options.dimensions, seed)
    smallest = options.of_sample(len(near.rows), len(scores)).smallest(len(near.rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside of the package
        model = hdbscan.HDBSCAN(min_cluster_size=smallest, min_samples=min(10, smallest), core_dist_n_jobs=1)
        found = np.asarray(model.fit_predict(embedding.astype(np.float64)), np.int64)
    labels = _joined(found, near, len(scores))
    smallest = options.smallest(len(scores))
    far = far_from_cluster(labels, near.distances[:, -1]) | far_from_cluster(labels, residual)
    labels[far] = NOISE
    for cluster in range(int(labels.max(initial=NOISE)) + 1):
        if (labels == cluster).sum() < smallest:
            labels[labels == cluster] = NOISE
    return by_size(labels)


def typical_clusters(
    scores: np.ndarray, residual: np.ndarray, near: Landmarks, options: ClusteringOptions
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Clusters by density of the seed whose clusters are most like those of the other seeds.

    Parameters
    ----------
    scores, residual, near, options
        As for `density_clusters`; without repeats there is one seed.

    Returns
    -------
    labels : int array, (series,)
    agreements : tuple of float
        Adjusted Rand indices with the clusters of the other seeds.
    """
    seeds = range(options.seed, options.seed + 1 + min(_OTHER_SEEDS, options.repeats))
    found = [density_clusters(scores, residual, near, options, seed) for seed in seeds]
    chosen, agreements = most_typical(found)
    return found[chosen], agreements


def most_typical(partitions: Sequence[np.ndarray]) -> tuple[int, tuple[float, ...]]:
    """Which partition is most like the others (of equals the first), and its adjusted Rand indices with them."""
    from sklearn.metrics import adjusted_rand_score

    agreements = [
        tuple(float(adjusted_rand_score(one, other)) for m, other in enumerate(partitions) if m != n)
        for n, one in enumerate(partitions)
    ]
    chosen = max(range(len(partitions)), key=lambda k: sum(agreements[k]))
    return chosen, agreements[chosen]


def placed(values: np.ndarray, near: Landmarks, labels: np.ndarray) -> np.ndarray:
    """Coordinates of every series from those of the landmarks, float32 (series, dimensions).

    A series that is no landmark is put at the mean of its nearest landmarks, of its own cluster where
    one is among them.
    """
    positions = np.empty((len(labels), values.shape[1]), np.float32)
    votes = near.indices[:, :_VOTES]
    same = labels[near.rows[votes]] == labels[:, None]
    same[~same.any(axis=1)] = True
    weights = same / np.maximum(near.distances[:, :_VOTES], 1e-9)
    weights /= weights.sum(axis=1, keepdims=True)
    np.einsum("sv,svd->sd", weights.astype(np.float32), values[votes], out=positions)
    positions[near.rows] = values
    return positions


def _joined(found: np.ndarray, near: Landmarks, count: int) -> np.ndarray:
    """The landmarks' clusters, and for every other series what most of its nearest landmarks are."""
    labels = np.full(count, NOISE, np.int64)
    votes = found[near.indices[:, :_VOTES]]
    clusters = int(found.max(initial=NOISE)) + 1
    counts = np.stack([(votes == k).sum(axis=1) for k in range(NOISE, clusters)], axis=1)
    labels[:] = counts.argmax(axis=1) + NOISE
    labels[near.rows] = found
    return labels


def far_from_cluster(labels: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Series that are much farther away than is usual in their cluster, bool (series,).

    Much: the logarithm of the distance is more than 6 robust standard deviations above the median of the
    cluster, so that a loose cluster is allowed its width. Where more than a third of a cluster is so
    far, it is no noise but of two densities, and stays.

    Parameters
    ----------
    labels : int array, (series,)
    distances : float array, (series,)
    """
    far = np.zeros(len(labels), bool)
    lengths = np.log(np.maximum(distances.astype(np.float64), 1e-6 * max(float(distances.max()), 1e-12)))
    for cluster in range(int(labels.max(initial=NOISE)) + 1):
        rows = np.flatnonzero(labels == cluster)
        if not len(rows):
            continue
        middle = np.median(lengths[rows])
        below = lengths[rows][lengths[rows] <= middle]
        # The lower half alone tells the spread: the upper one may hold the noise.
        spread = max(1.4826 * float(np.median(middle - below)), 0.02)
        outside = lengths[rows] > middle + _FAR * spread
        if outside.mean() <= _MOST_FAR:
            far[rows[outside]] = True
    return far


def by_size(labels: np.ndarray) -> np.ndarray:
    """Clusters numbered 0, 1, … from the largest; of equal ones that of the first series first. Noise stays."""
    names, first, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    renamed = np.full(int(labels.max(initial=-1)) + 2, NOISE)
    renamed[names[order]] = np.arange(len(names))
    return renamed[labels]
