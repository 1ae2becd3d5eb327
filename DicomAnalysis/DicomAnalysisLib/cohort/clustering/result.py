"""What clustering found, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..features.table import FeatureTable
from .association import Agreement, Identity
from .describe import ClusterDescription
from .gap import GapStatistic
from .options import ClusteringOptions
from .quality import Quality
from .stability import FEWEST_PATIENTS, Stability

_GIANT, _STABLE = 0.9, 0.5
CLUSTERS, ONE, NONE, UNSTABLE = "clusters", "one giant cluster", "no structure", "unstable clusters"


@dataclass(frozen=True, eq=False)
class Partition:
    """One way of dividing the series.

    Attributes
    ----------
    method : str
        "density" or "kmeans".
    labels : int array, (series,)
        0, 1, … by size; -1 for series of no cluster.
    quality : Quality
    stability : Stability
    """

    method: str
    labels: np.ndarray
    quality: Quality
    stability: Stability


@dataclass(frozen=True, eq=False)
class Clustering:
    """What clustering found.

    Attributes
    ----------
    table : FeatureTable
    options : ClusteringOptions
    verdict : str
        "clusters", "one giant cluster", "no structure" or "unstable clusters".
    partition : Partition
        The one that is described. With "no structure" all series are in no cluster.
    others : tuple of Partition
        Other methods, for comparison, whatever the verdict.
    between_methods : float or None
        Adjusted Rand index of the two methods' partitions, on series that both put into clusters.
    gap : GapStatistic
    embedding : float32 array, (series, 2)
        For display.
    display : str
        How it was made: "umap" or "pca".
    explained : float
        Share of the variance that the principal components hold.
    clusters : tuple of ClusterDescription
    agreements : tuple of Agreement
        With labels and with acquisition tags.
    identities : tuple of Identity
        Clusters that are one value of a label or tag.
    labels : mapping of str to tuple of str
        That were given; one text for each series, empty where not known.
    notes : tuple of str
    seconds : mapping of str to float
        Spent on each step.
    """

    table: FeatureTable
    options: ClusteringOptions
    verdict: str
    partition: Partition
    others: tuple[Partition, ...]
    between_methods: float | None
    gap: GapStatistic
    embedding: np.ndarray
    display: str
    explained: float
    clusters: tuple[ClusterDescription, ...]
    agreements: tuple[Agreement, ...] = ()
    identities: tuple[Identity, ...] = ()
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def findings(self) -> tuple[str, ...]:
        """What a reader must know first, in sentences; the verdict is the first."""
        return (self._verdict_text(), *self._tag_texts(), *self._quality_texts())

    def _verdict_text(self) -> str:
        quality = self.partition.quality
        if self.verdict == NONE and self.gap.best > 1:
            return (
                f"No clusters by density: every series belongs to none, though k-means sees {self.gap.best} groups "
                f"(gap statistic on {self.gap.series:,} series). Allow smaller clusters, or describe those of k-means."
            )
        if self.verdict == NONE:
            return (
                "No structure: the series are one cloud. k-means cuts them no better than it cuts data without any "
                f"structure (gap statistic on {self.gap.series:,} series), so no clusters are reported."
            )
        if self.verdict == ONE:
            share = max(quality.sizes, default=0) / len(self.table)
            rest = "" if quality.clusters < 2 else f"; the other {quality.clusters - 1} are small"
            return f"One giant cluster holds {share:.0%} of the series{rest}. Scores of such a partition flatter it."
        noise = f"; {quality.noise:,} series ({quality.noise / len(self.table):.0%}) belong to none" * bool(
            quality.noise
        )
        text = f"{quality.clusters} clusters in {len(self.table):,} series{noise}."
        if self.verdict == UNSTABLE:
            stability = self.partition.stability
            again = {"bootstraps of the patients": stability.mean, "other seeds": stability.seeds_mean}
            where = " and ".join(
                f"with {name} (mean adjusted Rand index {agreement:.2f})"
                for name, agreement in again.items()
                if agreement is not None and agreement < _STABLE
            )
            text += f" They do not come out again {where}: do not build on them."
        return text

    def _tag_texts(self) -> list[str]:
        texts = []
        for one in self.agreements:
            if one.follows:
                what = "" if one.kind == "label" else " They may say how the images were made, not what is in them."
                name = one.name.replace("_", " ")
                texts.append(
                    f"The clusters follow the {one.kind} '{name}' (adjusted Rand index {one.ari:.2f}, "
                    f"NMI {one.nmi:.2f}, of the {one.series:,} series that state it).{what}"
                )
        return texts + [one.text() for one in self.identities if one.same or one.kind == "tag"]

    def _quality_texts(self) -> list[str]:
        quality = self.partition.quality
        if quality.silhouette is None:
            return []
        small = quality.silhouette < 0.1
        words = " Clusters overlap widely in the full feature space." if small else ""
        texts = [f"Silhouette {quality.silhouette:.2f} in the full feature space, noise left out.{words}"]
        if len(set(self.table.patients)) < FEWEST_PATIENTS:
            texts.append(
                "All series are of one patient, or name none: whether the clusters come out again with other patients "
                "cannot be said."
            )
        return texts


def verdict_of(partition: Partition, gap: GapStatistic, series: int) -> str:
    """What a partition amounts to, judged by gap statistic, sizes, bootstraps and other seeds."""
    agreements = partition.stability.mean, partition.stability.seeds_mean
    if gap.best == 1 or not partition.quality.clusters:
        return NONE
    if is_giant(partition, series):
        return ONE
    if any(agreement is not None and agreement < _STABLE for agreement in agreements):
        return UNSTABLE
    return CLUSTERS


def is_giant(partition: Partition, series: int) -> bool:
    """Whether one cluster holds almost all series."""
    return partition.quality.clusters < 2 or max(partition.quality.sizes) >= _GIANT * series
