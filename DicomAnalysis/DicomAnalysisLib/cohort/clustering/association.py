"""Are clusters labels, or are they scanners? Agreement of a partition with labels and acquisition tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LABEL, TAG = "label", "tag"
FOLLOWS = 0.5
"""Adjusted Rand index from which a partition is said to follow a tag."""
PURE = 0.9
"""Share of a cluster with one value, and of that value in the cluster, from which the one is said to be the other."""
_MORE = 1.5
"""How many times its share of the whole cohort a value must be in a cluster to be said of it."""
_MOST_VALUES = 50
"""A tag of more values (and more than one for every five series) names series, not groups of them."""


@dataclass(frozen=True)
class Agreement:
    """How well clusters agree with one grouping; series of no cluster and without a value are left out.

    Attributes
    ----------
    name : str
    kind : str
        "label" or "tag".
    values : int
        Different values.
    series : int
        Compared.
    ari, nmi : float
        Adjusted Rand index and normalised mutual information (arithmetic mean).
    """

    name: str
    kind: str
    values: int
    series: int
    ari: float
    nmi: float

    @property
    def follows(self) -> bool:
        """Whether the clusters are said to follow it."""
        return self.ari >= FOLLOWS


@dataclass(frozen=True)
class Identity:
    """A cluster that is, or consists of, one value of a tag or label.

    Attributes
    ----------
    cluster : int
    name, kind, value : str
    share : float
        Of the cluster's series that have the value.
    of_value : float
        Of the value's series (in any cluster) that are in the cluster.
    overall : float
        Of all clustered series that have the value.
    """

    cluster: int
    name: str
    kind: str
    value: str
    share: float
    of_value: float
    overall: float

    @property
    def same(self) -> bool:
        """Whether cluster and value are the same series, nearly."""
        return self.share >= PURE and self.of_value >= PURE

    def text(self) -> str:
        """For people: "Cluster 3 is the station CT07: …"."""
        name = self.name.replace("_", " ")
        numbers = f"{self.share:.0%} of the cluster, {self.of_value:.0%} of all such series"
        if self.same:
            return f"Cluster {self.cluster + 1} is the {name} '{self.value}' ({numbers})."
        return (
            f"Cluster {self.cluster + 1} consists of the {name} '{self.value}' ({numbers}; {self.overall:.0%} overall)."
        )


def agreements(
    labels: np.ndarray, groupings: Mapping[str, Sequence[str]], kind: str
) -> tuple[list[Agreement], list[Identity]]:
    """Compare a partition with groupings of the same series.

    Parameters
    ----------
    labels : int array, (series,)
        Negative for series of no cluster.
    groupings : mapping of str to sequence of str
        One text for each series; empty: not known.
    kind : str
        "label" or "tag".

    Returns
    -------
    agreements : list of Agreement
        The highest adjusted Rand index first; groupings with one value, or with a value for almost each
        series, are left out.
    identities : list of Identity
        Clusters that are one value.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    found, identities = [], []
    sizes = np.bincount(labels[labels >= 0])
    for name, column in groupings.items():
        texts = np.array([str(text) for text in column])
        rows = np.flatnonzero((labels >= 0) & (texts != ""))
        values, index = np.unique(texts[rows], return_inverse=True)
        if len(values) < 2 or len(values) > max(_MOST_VALUES, len(rows) // 5) or len(values) > len(rows) // 2:
            continue
        of = labels[rows]
        found.append(
            Agreement(
                name,
                kind,
                len(values),
                len(rows),
                float(adjusted_rand_score(index, of)),
                float(normalized_mutual_info_score(index, of)),
            )
        )
        identities += _identities(name, kind, values, index, of, sizes)
    found.sort(key=lambda one: (-one.ari, one.name))
    identities.sort(key=lambda one: (one.cluster, -one.share * one.of_value, one.name))
    return found, identities


def _identities(
    name: str, kind: str, values: np.ndarray, index: np.ndarray, labels: np.ndarray, sizes: np.ndarray
) -> list[Identity]:
    table = np.zeros((len(sizes), len(values)))
    np.add.at(table, (labels, index), 1)
    found = []
    for cluster, row in enumerate(table):
        value = int(row.argmax())
        # Of all series of the cluster: the few that state a value do not speak for the others.
        share, overall = row[value] / sizes[cluster], float(table[:, value].sum() / sizes.sum())
        if share >= PURE and (share >= _MORE * overall):
            of_value = row[value] / table[:, value].sum()
            found.append(Identity(cluster, name, kind, str(values[value]), float(share), float(of_value), overall))
    return found
