"""``train-classifier``: a classifier from labelled series, with the numbers of every epoch while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..classification.options import ClassifierOptions
from ..errors import UsageError
from .events import EpochUpdate, Reporter
from .job import Job

TASK = "train-classifier"


def train_classifier_job(
    source: str | Path | Iterable[str | Path],
    labels: str | Path | tuple[Sequence[str], Sequence[Sequence[str]]],
    output: str | Path,
    options: ClassifierOptions | None = None,
    *,
    targets: Sequence[str] = (),
    views: Sequence[str] | None = None,
    modalities: Sequence[str] = (),
    description: str = "",
    exclude: str = "",
    body_parts: Sequence[str] = (),
    group_column: str = "",
    resume: bool = False,
) -> Job:
    """The job of training a classifier, as the command ``train-classifier`` does.

    Its value is what ``train-classifier --json`` prints (see `classification.training_outputs.summary`). Every epoch
    is told by an `EpochUpdate` while it runs; its ``score`` is the mean AUROC of validation patients. A job that was
    cancelled or killed leaves its last full epoch in the output folder, and is gone on with by `resume`.

    Parameters
    ----------
    source : path or iterable of paths
        A file, a folder, a DICOM database (its folder or its ``.sql`` file), or a list of files.
    labels : path, or (header, rows)
        A CSV file, or a table's header and its rows of text.
    output : path
    options : ClassifierOptions, optional
    targets : sequence of str
        As ``--target``: ``column``, ``column:kind`` or ``name=column,column``; empty for the only label column.
    views : sequence of str, optional
        As ``--view``.
    modalities, body_parts : sequence of str
    description, exclude : str
        Regular expressions of series descriptions.
    group_column : str
        See `classification.labels.CohortOptions`.
    resume : bool
        Go on with the training in the output folder.
    """
    files = None if isinstance(source, (str, Path)) else [str(Path(path).absolute()) for path in source]
    if isinstance(labels, (str, Path)):
        table: object = str(Path(labels).absolute())
    else:
        table = {"header": list(labels[0]), "rows": [list(row) for row in labels[1]]}
    arguments = {
        "source": str(Path(source).absolute()) if files is None else None,
        "files": files,
        "labels": table,
        "output": str(Path(output).absolute()),
        "options": (options or ClassifierOptions()).to_dict(),
        "targets": list(targets),
        "views": None if views is None else list(views),
        "modalities": list(modalities),
        "description": description,
        "exclude": exclude,
        "body_parts": list(body_parts),
        "group_column": group_column,
        "resume": resume,
    }
    return Job(TASK, arguments)


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do the job: the child's side."""
    report.progress(0.0, "starting")
    from ..classification.labels import build_cohort
    from ..classification.outcome import ClassifierProgress
    from ..classification.training import train_classifier
    from ..classification.training_outputs import summary
    from ..reporting.classification_report import write_report

    def tell(progress: ClassifierProgress) -> None:
        stage = f"{progress.fold}: {progress.stage}" if progress.fold else progress.stage
        report.progress(progress.value, stage, progress.message)
        if progress.record is not None:
            report.send(EpochUpdate(asdict(progress.record), ""))

    options = _options(arguments["options"])
    report.progress(0.0, "reading labels and headers")
    labels, files = arguments["labels"], arguments.get("files")
    cohort = build_cohort(
        arguments["source"] if files is None else files,
        (labels["header"], labels["rows"]) if isinstance(labels, Mapping) else labels,
        _cohort_options(arguments),
    )
    outcome = train_classifier(
        cohort, options, arguments["output"], tell, resume=bool(arguments.get("resume")), write_report=write_report
    )
    return summary(outcome)


def _options(values: object) -> ClassifierOptions:
    if not isinstance(values, Mapping):
        msg = "The options of the training are not understood."
        raise UsageError(msg)
    return ClassifierOptions.from_dict(values)


def _cohort_options(arguments: Mapping[str, object]) -> object:
    from ..classification.finding import SeriesFilter
    from ..classification.labels import CohortOptions
    from ..classification.targets import LabelColumns
    from ..classification.views import ViewRule

    views = arguments.get("views")
    return CohortOptions(
        labels=tuple(LabelColumns.from_text(text) for text in arguments.get("targets", ())),
        filter=SeriesFilter(
            tuple(arguments.get("modalities", ())),
            str(arguments.get("description", "")),
            str(arguments.get("exclude", "")),
            tuple(arguments.get("body_parts", ())),
        ),
        views=None if views is None else tuple(ViewRule.from_text(text) for text in views),
        group_column=str(arguments.get("group_column", "")),
    )
