"""``dicom-analysis cohort learn TABLE --labels CSV --output DIR``: labels learned from features."""

from __future__ import annotations

import argparse
from pathlib import Path

from .cohort_arguments import add_table, load_table
from .console import Console, table

NAME = "learn"
HELP = "learn labels from features by XGBoost, forest and logistic regression, and look for leakage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_table(parser)
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="CSV", help="labels by series_uid, patient_id or file"
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="COLUMN",
        help="which column is the label: finding, finding:multilabel, or sides=left,right; may be repeated",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="CSV",
        help="predictions.csv of a classifier: its split is taken, and compared",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: all cores")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same numbers; default: 0")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Learn, write boosters, tables and report."""
    from ..classification.targets import LabelColumns
    from ..cohort.learning.analysis import learn_table
    from ..cohort.learning.options import LearningOptions
    from ..cohort.learning.outputs import document, write_learning
    from ..reporting.cohort_learning_report import write_learning_report

    learned = learn_table(
        load_table(arguments),
        arguments.labels,
        tuple(LabelColumns.from_text(text) for text in arguments.target or ()),
        LearningOptions(seed=arguments.seed, threads=arguments.threads),
        arguments.predictions,
        console.progress,
    )
    written = write_learning(arguments.output, learned)
    written.append(write_learning_report(arguments.output, learned))
    rows = [
        (one.target.name, score.name, score.auroc.text(), score.balanced_accuracy.text())
        for one in learned.targets
        for score in one.scores
    ]
    lines = [
        *learned.findings(),
        "",
        *table(("Target", "Model", "AUROC", "Balanced accuracy"), rows),
        "",
        *(f"Written: {path}" for path in written),
    ]
    console.result({**document(learned), "files": written}, lines)
    return 0
