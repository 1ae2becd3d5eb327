"""From a feature table to clusters: everything in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...errors import UsageError
from ..features.table import FeatureTable
from .association import LABEL, TAG, agreements
from .describe import describe_clusters
from .gap import gap_statistic
from .options import DENSITY, KMEANS, UMAP, ClusteringOptions
from .partition import NOISE, Landmarks, kmeans, landmarks, placed, typical_clusters, umap_embedding
from .prepare import Prepared, prepare
from .quality import judge
from .result import NONE, ONE, UNSTABLE, Clustering, Partition, is_giant, verdict_of
from .stability import Stability, stability

_NO_STABILITY = Stability((), (), (), 0)
_DISPLAY_SPREAD, _DISPLAY_EPOCHS = 0.1, 100


def cluster_table(
    table: FeatureTable,
    options: ClusteringOptions | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> Clustering:
    """Find, judge and describe the clusters of a cohort.

    Parameters
    ----------
    table : FeatureTable
    options : ClusteringOptions, optional
    labels : mapping of str to sequence of str, optional
        What is known of each series, empty where nothing is. Clusters are compared with them; they are
        not used to find clusters.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    Clustering

    Raises
    ------
    UsageError
        If there are too few series or features, more clusters than series, or labels of another number of series.
    """
    from threadpoolctl import threadpool_limits

    options, labels = options or ClusteringOptions(), dict(labels or {})
    if options.clusters > len(table):
        raise UsageError(f"{options.clusters} clusters of {len(table)} series cannot be made; choose fewer.")
    for name, column in labels.items():
        if len(column) != len(table):
            raise UsageError(f"The label {name} has {len(column)} values for {len(table)} series.")
    # Hundreds of small fits: threads of one wait for each other longer than they work, and add in another order.
    with threadpool_limits(1):
        return _clustered(table, options, labels, _Watch(progress))


def _clustered(
    table: FeatureTable, options: ClusteringOptions, labels: Mapping[str, Sequence[str]], watch: _Watch
) -> Clustering:
    prepared = watch("standardising and reducing", lambda: prepare(table, options.components))
    scores = prepared.scores
    gap = watch(
        "asking whether there is structure",
        lambda: gap_statistic(scores, options.most_clusters, options.references, options.sample, options.seed),
    )
    near = watch("finding neighbours", lambda: landmarks(scores, options.landmarks, options.neighbours, options.seed))
    typical, seeds = watch("clusters by density", lambda: typical_clusters(scores, prepared.residual, near, options))
    found = {
        DENSITY: typical,
        KMEANS: watch(
            "clusters by k-means", lambda: kmeans(scores, options.clusters or max(2, gap.best), options.seed)[0]
        ),
    }
    partitions = {
        method: watch(f"judging {method}", lambda m=method: _judged(m, found[m], prepared.standard, options))
        for method in found
    }
    if gap.best > 1:  # else nothing is reported whose stability could be asked for
        partitions = {
            method: watch(
                f"stability of {method}",
                lambda m=method: _with_stability(partitions[m], prepared, table, options, seeds),
            )
            for method in found
        }
    chosen = partitions[options.method]
    verdict = verdict_of(chosen, gap, len(table))
    if verdict == UNSTABLE and is_giant(partitions[KMEANS], len(table)):
        # Density cuts one cloud into pieces that do not come out again; the centres see the cloud.
        chosen = partitions[KMEANS]
        verdict = ONE
    others = tuple(partitions[method] for method in found if method != chosen.method)
    embedding = watch("display", lambda: _display(scores, near, chosen.labels, options))
    if verdict == NONE:
        others = (partitions[options.method], *others)
        empty = np.full(len(table), NOISE)
        chosen = Partition(options.method, empty, judge(prepared.standard, empty), _NO_STABILITY)
    compared = [agreements(chosen.labels, labels, LABEL), agreements(chosen.labels, table.tags, TAG)]
    described = describe_clusters(
        table,
        prepared,
        chosen.labels,
        options.examples,
        chosen.quality.cluster_silhouettes,
        chosen.stability.clusters,
    )
    return Clustering(
        table,
        options,
        verdict,
        chosen,
        others,
        _between(found[DENSITY], found[KMEANS]),
        gap,
        embedding,
        options.display,
        prepared.explained,
        described,
        tuple(one for found_agreements, _ in compared for one in found_agreements),
        tuple(one for _, identities in compared for one in identities),
        {name: tuple(column) for name, column in labels.items()},
        (*prepared.notes, *_notes(len(table), options)),
        watch.seconds,
    )


class _Watch:
    """Says what is done, and keeps how long it took."""

    def __init__(self, progress: Callable[[str], None]):
        self._progress = progress
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable):
        self._progress(name)
        start = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[name] = time.perf_counter() - start


def _judged(method: str, labels: np.ndarray, standard: np.ndarray, options: ClusteringOptions) -> Partition:
    return Partition(method, labels, judge(standard, labels, options.sample, options.seed), _NO_STABILITY)


def _with_stability(
    partition: Partition,
    prepared: Prepared,
    table: FeatureTable,
    options: ClusteringOptions,
    seeds: tuple[float, ...],
) -> Partition:
    known = seeds if partition.method == DENSITY else None
    stable = stability(prepared, table.patients, partition.labels, partition.method, options, known)
    return Partition(partition.method, partition.labels, partition.quality, stable)


def _display(scores: np.ndarray, near: Landmarks, labels: np.ndarray, options: ClusteringOptions) -> np.ndarray:
    if options.display == UMAP:
        drawn = umap_embedding(scores, near, 2, options.seed, spread=_DISPLAY_SPREAD, epochs=_DISPLAY_EPOCHS)
        return placed(drawn, near, labels)
    return scores[:, :2].copy()


def _between(density: np.ndarray, by_means: np.ndarray) -> float | None:
    from sklearn.metrics import adjusted_rand_score

    both = density >= 0
    return float(adjusted_rand_score(density[both], by_means[both])) if both.any() else None


def _notes(count: int, options: ClusteringOptions) -> tuple[str, ...]:
    if count <= options.landmarks:
        return ()
    return (
        f"UMAP embedded {options.landmarks:,} of the {count:,} series, drawn at random; each of the others joined "
        "the cluster of its nearest ones.",
    )
