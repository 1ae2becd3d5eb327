"""``dicom-analysis classify SOURCE --model MODEL --output DIR``: a trained classifier on every series of a source."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..segmentation.options import DEVICES
from .arguments import add_source
from .console import Console, problem_lines, table
from .segment import ledger_for

if TYPE_CHECKING:
    from ..batch.case_outcomes import ClassificationReport

NAME = "classify"
HELP = "what a trained classifier says about every series, one result folder each"

EXPLANATIONS = ("grad-cam", "occlusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_source(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|FOLDER",
        help="a classifier: the folder that train-classifier wrote, or the name of one that is shipped",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--explain",
        nargs="?",
        const=EXPLANATIONS[0],
        default="",
        choices=EXPLANATIONS,
        help="also write where the network looked, as a volume in the place of the series (default: grad-cam)",
    )
    parser.add_argument(
        "--explain-target",
        action="append",
        default=[],
        metavar="TARGET[:CLASS]",
        help="what to explain: a target (the class that is told of it), one of its classes, or all (every target); "
        "may be given more than once; default: the model's first target",
    )
    parser.add_argument(
        "--view",
        action="append",
        default=[],
        metavar="NAME:RULE",
        help="for models of several views: how a series is known to be one, for example LCC:laterality=L,position=CC "
        "or lateral:primary=90; default: as in training, or what the headers state",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="do only what an earlier run with the same model and options left undone",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Classify the series; 1 when one failed or nothing was done."""
    from ..dependencies import explain_missing_module
    from ..errors import TaskError

    try:
        report, classifier = _classify(arguments, console)
    except ImportError as error:
        raise TaskError(explain_missing_module(error.name or "")) from error
    document = {
        "source": arguments.source,
        "output": arguments.output,
        "model": vars(classifier.model),
        "device": classifier.device,
        "complete": report.complete,
        "table": report.table,
        "series": report.outcomes,
        "left_out": report.left_out,
        "problems": report.problems,
    }
    console.result(document, report_lines(report, str(classifier.model)))
    return 0 if report.complete else 1


def _classify(arguments: argparse.Namespace, console: Console) -> tuple[ClassificationReport, object]:
    from ..batch.classification import classify_source
    from ..classification.prediction import load_classifier
    from ..classification.views import ViewRule

    rules = [ViewRule.from_text(text) for text in arguments.view]
    explain = tuple(filter(None, (arguments.explain, *arguments.explain_target)))
    classifier = load_classifier(arguments.model, arguments.device)
    with ledger_for(arguments.output, required=arguments.resume) as ledger:
        report = classify_source(
            arguments.source,
            arguments.output,
            classifier,
            series_uids=arguments.series,
            explain=explain,
            view_rules=rules,
            progress=console.progress,
            ledger=ledger,
            resume=arguments.resume,
        )
        # A single series that is done is no batch: its result folder alone says all there is to know.
        if ledger is not None:
            ledger.is_temporary = report.complete and len(report.outcomes) == 1
    return report, classifier


def report_lines(report: ClassificationReport, model: str) -> Iterator[str]:
    """The report for people."""
    if not report.outcomes:
        yield "No readable series."
    else:
        yield f"Model: {model}"
        rows = [(one.case_id or "(no UID)", one.status, one.result or one.reason) for one in report.outcomes]
        yield from ("", *table(("Series Instance UID", "Status", "Result"), rows))
        for outcome in report.outcomes:
            if outcome.warnings:
                yield from ("", f"{outcome.folder}", *(f"  warning: {warning}" for warning in outcome.warnings))
        if report.table is not None:
            yield from ("", f"{report.table}")
    if report.left_out:
        yield from ("", "Left out:", *(f"  {line}" for line in report.left_out))
    yield from problem_lines(report.problems)
