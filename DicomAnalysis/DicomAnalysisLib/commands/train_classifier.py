"""``dicom-analysis train-classifier SOURCE --labels FILE --output DIR``: a classifier from labelled series."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..classification.architectures import NETWORKS, POOLINGS, SIZES
from ..classification.augmentation import FLIPS, Augmentation
from ..classification.losses import BALANCES
from ..classification.options import ClassifierOptions
from ..networks.fit_options import TrainingError
from ..segmentation.options import DEVICES
from .arguments import add_source
from .console import Console, table

if TYPE_CHECKING:
    from ..classification.outcome import ClassifierProgress

NAME = "train-classifier"
HELP = "train a classifier on labelled series, with scores on patients kept apart"

SECONDS_BETWEEN_LINES = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_source(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the model and its report")
    _add_cohort(parser)
    _add_network(parser)
    _add_training(parser)


def _add_cohort(parser: argparse.ArgumentParser) -> None:
    defaults = ClassifierOptions()
    group = parser.add_argument_group("cohort")
    group.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="CSV",
        help="a table with a column series_uid, study_uid, patient_id or file, and columns of labels",
    )
    group.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="COLUMN[:KIND]",
        help="a column to tell; KIND is binary, multiclass or multilabel; NAME=COLUMN,COLUMN for several of 0 and 1; "
        "may be given more than once",
    )
    group.add_argument(
        "--view",
        action="append",
        metavar="NAME[:RULE]",
        help="a view of every case, for example LCC:laterality=L,position=CC; in the order of the network's input",
    )
    group.add_argument("--modality", action="append", default=[], help="only series of this modality")
    group.add_argument("--body-part", action="append", default=[], help="only series of this body part")
    group.add_argument("--description", default="", metavar="REGEX", help="only series whose description fits")
    group.add_argument("--exclude", default="", metavar="REGEX", help="no series whose description fits")
    group.add_argument("--group-column", default="", metavar="COLUMN", help="says which rows are of one person")
    group.add_argument("--recipe", default="", help="how images are prepared; default: what suits the network")
    for name, help_text in (("validation", "choose the epoch"), ("test", "are kept apart for the score")):
        share = getattr(defaults, f"{name}_fraction")
        group.add_argument(
            f"--{name}-fraction",
            type=float,
            default=share,
            metavar="SHARE",
            help=f"of the patients, that {help_text}; default: %(default)s",
        )
    group.add_argument("--folds", type=int, default=0, help="cross-validation; every patient is tested; default: none")
    group.add_argument("--repeats", type=int, default=1, help="of the cross-validation; default: %(default)s")


def _add_network(parser: argparse.ArgumentParser) -> None:
    defaults = ClassifierOptions()
    group = parser.add_argument_group("network")
    group.add_argument("--network", choices=tuple(NETWORKS), default=defaults.network, help="default: %(default)s")
    group.add_argument(
        "--size", choices=SIZES, default=defaults.size, help="small fits two CPU cores; default: %(default)s"
    )
    group.add_argument(
        "--pooling", choices=POOLINGS, default=defaults.pooling, help="of slices networks; default: %(default)s"
    )
    group.add_argument("--weights", default="", metavar="FILE|URL", help="pretrained weights; default: random start")
    group.add_argument("--sha256", default="", help="of the weights; a URL needs it")


def _add_training(parser: argparse.ArgumentParser) -> None:
    defaults = ClassifierOptions()
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=int, default=defaults.epochs, help="at most; default: %(default)s")
    group.add_argument("--batch", type=int, default=defaults.batch, help="cases a step; default: %(default)s")
    group.add_argument("--learning-rate", type=float, metavar="RATE", help="default: what suits the size")
    group.add_argument(
        "--balance", choices=BALANCES, default=defaults.balance, help="of rare classes; default: %(default)s"
    )
    group.add_argument(
        "--flip",
        action="append",
        default=[],
        choices=tuple(FLIPS),
        help="mirror training images, where the anatomy and the label allow it; default: none",
    )
    group.add_argument("--no-augmentation", action="store_true", help="train on the images as they are")
    group.add_argument(
        "--patience", type=int, metavar="EPOCHS", help="stop after so many without improvement; default: half of them"
    )
    group.add_argument("--minutes", type=float, help="begin no epoch after this time")
    group.add_argument("--seed", type=int, default=defaults.seed, help="the same seed gives the same numbers")
    group.add_argument("--device", choices=DEVICES, default=defaults.device, help="default: auto")
    group.add_argument("--resume", action="store_true", help="go on with the training in the output folder")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train; 0 when there is a model."""
    from ..dependencies import explain_missing_module

    options = _options(arguments)
    try:
        from ..classification.labels import CohortOptions, build_cohort
        from ..classification.training import train_classifier
        from ..classification.training_outputs import summary
        from ..reporting.classification_report import write_report

        console.progress(f"Reading {arguments.labels} and the series of {arguments.source}")
        cohort = build_cohort(arguments.source, arguments.labels, CohortOptions(**_cohort_options(arguments)))
        for line in cohort.problems:
            console.progress(f"note: {line}")
        outcome = train_classifier(
            cohort,
            options,
            arguments.output,
            _told(console.progress),
            resume=arguments.resume,
            write_report=write_report,
        )
    except ImportError as error:
        raise TrainingError(explain_missing_module(error.name or "")) from error
    document = summary(outcome)
    console.result(document, report_lines(document))
    return 0


def report_lines(document: Mapping[str, object]) -> Iterator[str]:
    """The result for people."""
    names = ", ".join(one["name"] for one in document["targets"])
    patients = document["patients"]
    yield (
        f"{names}: {document['cases']} cases of {sum(patients.values())} patients "
        f"({', '.join(f'{count} {part}' for part, count in patients.items() if count)})."
    )
    yield f"Start: {document['start']}."
    why = {"epochs": "all epochs", "patience": "no more improvement", "minutes": "time was up"}[document["stopped"]]
    yield (
        f"Best epoch {document['best_epoch']} of {document['epochs']} ({why}): "
        f"AUROC {document['best_score']:.3f} on the validation patients."
    )
    scores = document["test_scores"]
    if scores:
        rows = [(one["name"], *_area(one)) for one in scores]
        yield from ("", *table(("Test patients", "AUROC", "95 % interval"), rows))
    for key, words in (
        ("unmatched_labels", "Labels without an image"),
        ("unmatched_series", "Images without a label"),
        ("left_out", "Cases left out"),
    ):
        if document[key]:
            yield f"{words}: {len(document[key])} (see {document['files']['left_out']})"
    yield ""
    for name in ("report", "predictions", "curves"):
        if name in document["files"]:
            yield document["files"][name]
    yield from (f"{document['model']}", *(f"  warning: {warning}" for warning in document["warnings"]))


def _area(score: Mapping[str, object]) -> tuple[str, str]:
    if score["auroc"] is None:
        return "–", str(score["note"])
    known = score["low"] is not None and score["high"] is not None
    return f"{score['auroc']:.3f}", f"{score['low']:.3f} to {score['high']:.3f}" if known else str(score["note"])


def _options(arguments: argparse.Namespace) -> ClassifierOptions:
    given = {
        field.name: getattr(arguments, field.name) for field in fields(ClassifierOptions) if field.name in arguments
    }
    flips = tuple(arguments.flip)
    augmentation = Augmentation(0, 0, 0, 0, 0, flips) if arguments.no_augmentation else Augmentation(flips=flips)
    return ClassifierOptions(augmentation=augmentation, **given)


def _cohort_options(arguments: argparse.Namespace) -> dict[str, object]:
    from ..classification.finding import SeriesFilter
    from ..classification.targets import LabelColumns
    from ..classification.views import ViewRule

    wanted = SeriesFilter(
        tuple(arguments.modality), arguments.description, arguments.exclude, tuple(arguments.body_part)
    )
    views = None if arguments.view is None else tuple(ViewRule.from_text(text) for text in arguments.view)
    return {
        "labels": tuple(LabelColumns.from_text(text) for text in arguments.target),
        "filter": wanted,
        "views": views,
        "group_column": arguments.group_column,
    }


def _told(write: Callable[[str], None]) -> Callable[[ClassifierProgress], None]:
    """A line for every stage and every epoch, and one now and then in between."""
    last = ["", 0.0]

    def tell(progress: ClassifierProgress) -> None:
        now = time.monotonic()
        same = progress.fold + progress.stage == last[0]
        if progress.record is None and same and now - last[1] < SECONDS_BETWEEN_LINES:
            return
        last[:] = [progress.fold + progress.stage, now]
        left = progress.seconds_left
        rest = "" if left is None else f"; {_duration(left)} left at most"
        stage = "epoch done" if progress.record is not None else progress.stage
        fold = f"{progress.fold}: " if progress.fold else ""
        write(f"[{progress.value:4.0%}] {fold}{stage}{f': {progress.message}' if progress.message else ''}{rest}")

    return tell


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
