"""``dicom-analysis train-segmentation SOURCE --task headrest --output DIR``: a network from series."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..networks.fit_options import LOSSES, TrainingError
from ..segmentation.options import DEVICES
from ..segmentation.training.options import CLASSICAL, SIZES, TRAINED_TASKS, TrainingOptions
from .arguments import add_source
from .console import Console, table

if TYPE_CHECKING:
    from ..segmentation.training.result import TrainingProgress

NAME = "train-segmentation"
HELP = "train a network for headrest or metal on the series of a source"

SECONDS_BETWEEN_LINES = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    defaults = TrainingOptions()
    add_source(parser)
    parser.add_argument("--task", choices=TRAINED_TASKS, required=True, help="what the network is to find")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the model, its curves and its score"
    )
    parser.add_argument(
        "--labels",
        action="append",
        metavar="classical|FOLDER",
        help="classical: the program's own segmentation (default); a folder with segmentations, named by Series "
        "Instance UID; given twice, both: the folder's where there is one",
    )
    parser.add_argument("--size", choices=SIZES, default=defaults.size, help="small: a first look; default: standard")
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="at most; default: %(default)s")
    parser.add_argument("--batch", type=int, default=defaults.batch, help="samples a step; default: %(default)s")
    parser.add_argument("--learning-rate", type=float, metavar="RATE", help="default: what suits the size")
    parser.add_argument(
        "--loss", choices=LOSSES, default=defaults.loss, help="default: %(default)s; ce alone is there for comparison"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="the same seed gives the same numbers")
    parser.add_argument("--device", choices=DEVICES, default=defaults.device, help="default: auto")
    parser.add_argument(
        "--patience",
        type=int,
        default=defaults.patience,
        metavar="EPOCHS",
        help="stop after so many epochs without improvement; default: %(default)s",
    )
    parser.add_argument("--minutes", type=float, help="begin no epoch after this time")
    parser.add_argument(
        "--workers", type=int, default=defaults.workers, help="processes that make samples, for a fast graphics card"
    )
    parser.add_argument(
        "--validation-fraction",
        type=float,
        default=defaults.validation_fraction,
        metavar="SHARE",
        help="of the patients; default: %(default)s",
    )
    parser.add_argument(
        "--test-fraction",
        type=float,
        default=defaults.test_fraction,
        metavar="SHARE",
        help="of the patients, kept apart for a score; default: none",
    )
    parser.add_argument(
        "--test-patient", action="append", metavar="ID", help="a patient to test on; may be given more than once"
    )
    parser.add_argument("--tensorboard", action="store_true", help="also write logs for TensorBoard")
    parser.add_argument("--resume", action="store_true", help="go on with the training in the output folder")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train; 0 when there is a model."""
    from ..dependencies import explain_missing_module
    from ..segmentation.training.outputs import summary

    names = ("size", "epochs", "batch", "learning_rate", "loss", "seed", "device", "patience", "minutes", "workers")
    options = TrainingOptions(
        labels=tuple(arguments.labels or (CLASSICAL,)),
        validation_fraction=arguments.validation_fraction,
        test_fraction=arguments.test_fraction,
        test_patients=tuple(arguments.test_patient or ()),
        tensorboard=arguments.tensorboard,
        **{name: getattr(arguments, name) for name in names},
    )
    try:
        from ..segmentation.training.run import train_segmentation

        result = train_segmentation(
            arguments.source,
            arguments.task,
            options,
            arguments.output,
            _told(console.progress),
            resume=arguments.resume,
            series_uids=None if arguments.series is None else [arguments.series],
        )
    except ImportError as error:
        raise TrainingError(explain_missing_module(error.name or "")) from error
    document = summary(result)
    console.result(document, report_lines(document))
    return 0


def report_lines(document: Mapping[str, object]) -> Iterator[str]:
    """The result for people."""
    patients = document["patients"]
    yield (
        f"{document['task']}: {document['series']} series of {sum(patients.values())} patients "
        f"({', '.join(f'{count} {side}' for side, count in patients.items() if count)})."
    )
    why = {"epochs": "all epochs", "patience": "no more improvement", "minutes": "time was up"}[document["stopped"]]
    yield (
        f"Best epoch {document['best_epoch']} of {document['epochs']} ({why}): "
        f"Dice {document['best_score']:.4f} on the validation patients."
    )
    scores = document["test_scores"]
    if scores:
        baselines = tuple(scores[0]["baselines"])
        rows = []
        for score in scores:
            known = score["low"] is not None
            interval = f"{score['low']:.4f} to {score['high']:.4f}" if known else ""
            others = (f"{score['baselines'][name]:.4f}" for name in baselines)
            rows.append((score["name"], f"{score['value']:.4f}", interval, *others))
        yield from ("", *table(("Dice on test patients", "Network", "95 % interval", *baselines), rows))
    if document["left_out"]:
        yield from ("", f"Left out: {len(document['left_out'])} (see {document['files']['left_out']})")
    yield from ("", f"{document['model']}", *(f"  warning: {warning}" for warning in document["warnings"]))


def _told(write: Callable[[str], None]) -> Callable[[TrainingProgress], None]:
    """A line for every stage and every epoch, and one now and then in between."""
    last = ["", 0.0]

    def tell(progress: TrainingProgress) -> None:
        now = time.monotonic()
        if progress.record is None and progress.stage == last[0] and now - last[1] < SECONDS_BETWEEN_LINES:
            return
        last[:] = [progress.stage, now]
        left = progress.seconds_left
        rest = "" if left is None else f"; {_duration(left)} left at most"
        stage = "epoch done" if progress.record is not None else progress.stage
        write(f"[{progress.value:4.0%}] {stage}{f': {progress.message}' if progress.message else ''}{rest}")

    return tell


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
