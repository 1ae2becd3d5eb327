"""``dicom-analysis cohort cluster TABLE --output DIR``: clusters of a cohort's series, judged and described."""

from __future__ import annotations

import argparse
from pathlib import Path

from .cohort_arguments import add_table, load_table
from .console import Console, table

NAME = "cluster"
HELP = "groups of alike series, found without labels, judged, described, and told from scanners and protocols"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_table(parser)
    parser.add_argument("--labels", type=Path, metavar="CSV", help="labels to compare the clusters with")
    parser.add_argument(
        "--target", action="append", metavar="COLUMN", help="which column of the labels; may be repeated"
    )
    parser.add_argument(
        "--method",
        choices=("density", "kmeans"),
        default="density",
        help="density: UMAP, then HDBSCAN (default); both are computed, this one is described",
    )
    parser.add_argument("--clusters", type=int, default=0, metavar="N", help="for k-means; default: what the data say")
    parser.add_argument("--smallest", type=int, default=0, metavar="N", help="smallest cluster; default: 1 %% of all")
    parser.add_argument("--display", choices=("umap", "pca"), default="umap", help="how series are drawn")
    parser.add_argument("--examples", type=int, default=8, metavar="N", help="of each cluster; default: 8")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same clusters; default: 0")
    parser.add_argument("--no-pictures", action="store_true", help="leave the slices of the examples out of the report")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Find the clusters; 0 also where there are none, for that is an answer."""
    from dataclasses import replace

    from ..classification.targets import LabelColumns
    from ..cohort.clustering.analysis import cluster_table
    from ..cohort.clustering.options import ClusteringOptions
    from ..cohort.clustering.outputs import document, write_clustering
    from ..cohort.learning.labelled import label_table, label_texts
    from ..reporting.cohort_report import write_clustering_report

    features = load_table(arguments)
    options = ClusteringOptions(
        method=arguments.method,
        clusters=arguments.clusters,
        smallest_cluster=arguments.smallest,
        display=arguments.display,
        examples=arguments.examples,
        seed=arguments.seed,
    )
    labels = {}
    if arguments.labels is not None:
        columns = tuple(LabelColumns.from_text(text) for text in arguments.target or ())
        labels = label_texts(features, label_table(features, arguments.labels, columns))
    found = cluster_table(features, options, labels, console.progress)
    written = write_clustering(arguments.output, found)
    shown = replace(found, table=replace(features, sources={})) if arguments.no_pictures else found
    written.append(write_clustering_report(arguments.output, shown, console.progress))
    lines = [*found.findings(), ""]
    if found.clusters:
        rows = [(one.cluster + 1, one.size, one.patients, one.words) for one in found.clusters]
        lines += [*table(("Cluster", "Series", "Patients", "Set apart by"), rows, right=(0, 1, 2)), ""]
    lines += [f"Written: {path}" for path in written]
    console.result({**document(found), "files": written}, lines)
    return 0
