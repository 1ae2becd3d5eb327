"""``cohort-learn``: labels learned from a cohort's features, with their report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .cohort_cluster import Steps
from .events import Reporter
from .job import Job

TASK = "cohort-learn"


def cohort_learn_job(
    features: str | Path,
    labels: str | Path,
    output: str | Path,
    *,
    targets: Sequence[str] = (),
    predictions: str | Path | None = None,
    threads: int = 0,
    seed: int = 0,
) -> Job:
    """The job of learning labels from features, as the command ``cohort learn`` does.

    Its value holds ``output``, ``findings``, ``is_leaking``, ``report`` and ``files``.

    Parameters
    ----------
    features : path
        Output folder of ``cohort run --task features``, or a Parquet file.
    labels : path
        CSV file of labels by series, patient or file.
    output : path
    targets : sequence of str
        Columns of labels, as `classification.targets.LabelColumns.from_text` reads them.
    predictions : path, optional
        ``predictions.csv`` of a classifier: its split is taken, and compared.
    threads : int
        0: all cores.
    seed : int
    """
    arguments = {
        "features": str(Path(features).absolute()),
        "labels": str(Path(labels).absolute()),
        "output": str(Path(output).absolute()),
        "targets": list(targets),
        "predictions": None if predictions is None else str(Path(predictions).absolute()),
        "threads": threads,
        "seed": seed,
    }
    return Job(TASK, arguments)


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do the job: the child's side."""
    report.progress(0.0, "reading features")
    from ..classification.targets import LabelColumns
    from ..cohort.features.loading import load_features
    from ..cohort.learning.analysis import learn_table
    from ..cohort.learning.options import LearningOptions
    from ..cohort.learning.outputs import write_learning
    from ..reporting.cohort_learning_report import write_learning_report

    output, predictions = Path(arguments["output"]), arguments["predictions"]
    learned = learn_table(
        load_features(arguments["features"]),
        Path(arguments["labels"]),
        tuple(LabelColumns.from_text(text) for text in arguments["targets"]),
        LearningOptions(seed=arguments["seed"], threads=arguments["threads"]),
        None if predictions is None else Path(predictions),
        Steps(report),
    )
    written = write_learning(output, learned)
    written.append(write_learning_report(output, learned))
    report.progress(1.0, "done")
    return {
        "output": str(output),
        "findings": list(learned.findings()),
        "is_leaking": learned.is_leaking,
        "report": str(written[-1]),
        "files": [str(path) for path in written],
    }
