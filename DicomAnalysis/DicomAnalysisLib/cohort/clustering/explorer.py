"""Clusters as a table and a plot need them: one point for each series, and what each cluster is.

The same from a clustering in memory and from the folder that a run left, so that a program that shows
clusters needs none of the packages that find them: numpy is enough.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import SourceError
from .partition import NOISE
from .result import Clustering

TABLE, SUMMARY = "clusters.csv", "clustering.json"
COLUMNS = ("series_uid", "patient_id", "cluster", "x", "y")
NO_CLUSTER = "none"
LABEL_COLUMN = "label "


@dataclass(frozen=True)
class ExplorerCluster:
    """One cluster, for people.

    Attributes
    ----------
    number : int
        From 1, by size.
    size, patients : int
    words : str
        What sets it apart.
    examples : tuple of str
        Nearest series, the nearest first.
    is_value : str
        Where it is one scanner, site, protocol or label: the sentence that says so; else empty.
    """

    number: int
    size: int
    patients: int
    words: str
    examples: tuple[str, ...]
    is_value: str = ""


@dataclass(frozen=True, eq=False)
class Explorer:
    """Clusters of a cohort as points.

    Attributes
    ----------
    series, patients : tuple of str
        One for each point.
    positions : float32 array, (series, 2)
        Where to draw each.
    cluster : int array, (series,)
        Number from 1; 0 for series of no cluster.
    labels : dict of str to tuple of str
        Known classes by target, empty where not known: what points may be coloured by instead.
    clusters : tuple of ExplorerCluster
    verdict : str
        "clusters", "one giant cluster", "no structure" or "unstable clusters".
    findings : tuple of str
        Sentences to show above the plot.
    display : str
        How positions were made: "umap" or "pca".
    """

    series: tuple[str, ...]
    patients: tuple[str, ...]
    positions: np.ndarray
    cluster: np.ndarray
    labels: dict[str, tuple[str, ...]]
    clusters: tuple[ExplorerCluster, ...]
    verdict: str
    findings: tuple[str, ...]
    display: str


def explorer_of(clustering: Clustering) -> Explorer:
    """The points and clusters of a clustering."""
    told = {one.cluster: one.text() for one in reversed(clustering.identities)}
    return Explorer(
        clustering.table.series,
        clustering.table.patients,
        clustering.embedding,
        np.where(clustering.partition.labels == NOISE, 0, clustering.partition.labels + 1),
        dict(clustering.labels),
        tuple(
            ExplorerCluster(one.cluster + 1, one.size, one.patients, one.words, one.examples, told.get(one.cluster, ""))
            for one in clustering.clusters
        ),
        clustering.verdict,
        clustering.findings(),
        clustering.display,
    )


def read_explorer(folder: Path | str) -> Explorer:
    """The points and clusters that ``cohort cluster`` left in a folder.

    Raises
    ------
    SourceError
        If they are not there, or not what that command writes.
    """
    folder = Path(folder)
    try:
        known = json.loads((folder / SUMMARY).read_text("utf-8"))
        with (folder / TABLE).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        numbers = [0 if row["cluster"] == NO_CLUSTER else int(row["cluster"]) for row in rows]
        return Explorer(
            tuple(_unquoted(row["series_uid"]) for row in rows),
            tuple(_unquoted(row["patient_id"]) for row in rows),
            np.array([(float(row["x"]), float(row["y"])) for row in rows], np.float32).reshape(-1, 2),
            np.array(numbers, np.int64),
            {name: tuple(_unquoted(row[LABEL_COLUMN + name]) for row in rows) for name in known["labels"]},
            tuple(
                ExplorerCluster(
                    one["number"], one["size"], one["patients"], one["words"], tuple(one["examples"]), one["is_value"]
                )
                for one in known["clusters"]
            ),
            known["verdict"],
            tuple(known["findings"]),
            known["display"],
        )
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        msg = f"{folder} does not hold clusters ({error}); make them with `cohort cluster`."
        raise SourceError(msg) from error


def _unquoted(text: str) -> str:
    """Without the apostrophe that keeps a spreadsheet from running a text as a formula."""
    return text[1:] if text[:1] == "'" and text[1:2] in "=+-@\t\r" else text
