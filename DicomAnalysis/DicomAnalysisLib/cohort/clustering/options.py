"""How clusters are looked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import UsageError

DENSITY, KMEANS = "density", "kmeans"
METHODS = (DENSITY, KMEANS)
UMAP, PCA = "umap", "pca"
FEWEST_MEMBERS = 3
"""Of a cluster, where nothing else is asked for."""


@dataclass(frozen=True)
class ClusteringOptions:
    """How clusters are looked for.

    Parameters
    ----------
    method : str
        "density" (UMAP, then HDBSCAN: clusters of unequal density, and series that belong to none) or
        "kmeans" (every series belongs to one). Both are computed; this says which one is described.
    components : int
        Principal components kept of the standardised features.
    clusters : int
        For k-means; 0: as many as the gap statistic says.
    most_clusters : int
        Tried by the gap statistic.
    smallest_cluster : int
        Series; 0: one in a hundred, at least 10 (fewer where there are fewer than 100 series).
    neighbours : int
        Of each series, in UMAP's graph.
    dimensions : int
        Of UMAP, for HDBSCAN.
    display : str
        "umap" or "pca": the two coordinates that are drawn.
    landmarks : int
        Series that UMAP embeds; the others join the nearest of them.
    sample : int
        Series on which gap statistic and silhouette are computed where there are more.
    references : int
        Of the gap statistic.
    repeats : int
        Seeds, and bootstraps, for stability; 0: stability is not computed.
    examples : int
        Nearest examples of each cluster.
    seed : int

    Raises
    ------
    UsageError
        If a value cannot be used.
    """

    method: str = DENSITY
    components: int = 50
    clusters: int = 0
    most_clusters: int = 12
    smallest_cluster: int = 0
    neighbours: int = 15
    dimensions: int = 10
    display: str = UMAP
    landmarks: int = 5000
    sample: int = 2000
    references: int = 5
    repeats: int = 5
    examples: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"'{self.method}' is no way to cluster; choose {' or '.join(METHODS)}.")
        if self.display not in (UMAP, PCA):
            raise UsageError(f"'{self.display}' is no display; choose {UMAP} or {PCA}.")
        limits = {
            "components": 2,
            "clusters": 0,
            "most_clusters": 2,
            "smallest_cluster": 0,
            "neighbours": 2,
            "dimensions": 2,
            "landmarks": 100,
            "sample": 50,
            "references": 2,
            "repeats": 0,
            "examples": 1,
            "seed": 0,
        }
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.clusters == 1:
            raise UsageError("One cluster is no clustering; choose 0 (as the gap statistic says) or at least 2.")

        if self.smallest_cluster == 1:
            raise UsageError("One series is no cluster; choose 0 (one in a hundred) or at least 2 for the smallest.")

    def smallest(self, series: int) -> int:
        """The smallest cluster, in series."""
        return self.smallest_cluster or max(min(10, series // 10), round(series / 100), FEWEST_MEMBERS)

    def of_sample(self, series: int, whole: int) -> ClusteringOptions:
        """The same for so many of all series: they hold fewer of each cluster, by as much as they are fewer."""
        if not self.smallest_cluster or series == whole:
            return self
        return replace(self, smallest_cluster=max(FEWEST_MEMBERS, round(self.smallest_cluster * series / whole)))
