"""``dicom-analysis send PATH... --server URL``: DICOM objects to a PACS, by STOW-RS."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console, problem_lines, table
from .pacs_arguments import add_server, open_server

if TYPE_CHECKING:
    from ..dicomweb.send import SendReport

NAME = "send"
HELP = "send DICOM files to a PACS by DICOMweb; what it has already is not sent again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="DICOM files, and folders to be searched to the bottom"
    )
    add_server(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Send; 1 when an object is not on the server at the end."""
    from ..dicomweb.send import send

    with open_server(arguments, console.progress) as server:
        report = send(server, arguments.paths, console.progress)
    document = {
        "server": str(server),
        "complete": report.complete,
        "series": report.series,
        "problems": report.problems,
    }
    console.result(document, report_lines(report))
    return 0 if report.complete else 1


def report_lines(report: SendReport) -> Iterator[str]:
    """The report for people."""
    from ..dicomweb.send import NOT_TRIED

    rows = [(one.series_uid, one.status, one.sent, one.already_there, len(one.failures)) for one in report.series]
    yield from table(("Series Instance UID", "Status", "Sent", "There before", "Failed"), rows, right=(2, 3, 4))
    for one in report.series:
        yield from (f"  {one.series_uid}: {text}" for text in (one.reason, *one.warnings) if text)
        yield from (f"  {failure.path}: {failure.reason}" for failure in one.failures if failure.reason != NOT_TRIED)
    yield from problem_lines(report.problems)
