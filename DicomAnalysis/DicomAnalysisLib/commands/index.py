"""``dicom-analysis index PATH... --database DIR``: files into a database that Slicer opens."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console, problem_lines

if TYPE_CHECKING:
    from ..dicom.indexing.indexer import IndexReport

NAME = "index"
HELP = "add DICOM files to a database that 3D Slicer opens"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="DICOM files, and folders of anything")
    parser.add_argument(
        "--database", type=Path, required=True, metavar="DIR", help="the database's folder; made when absent"
    )
    parser.add_argument(
        "--copy", action="store_true", help="copy the files into the database instead of leaving them where they are"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Index the files; 1 when a DICOM file could not be, or there is none."""
    from ..dicom.indexing.indexer import index_files

    report = index_files(arguments.paths, arguments.database, copy=arguments.copy, progress=console.progress)
    failed = [problem for problem in report.problems if problem.is_dicom and not problem.reason.startswith("it is a ")]
    console.result(_document(report), report_lines(report))
    return int(bool(failed) or not report.images)


def _document(report: IndexReport) -> dict[str, object]:
    names = ("database", "files", "added", "updated", "unchanged", "duplicates", "problems", "warnings", "seconds")
    totals = ("patients", "studies", "series", "images")
    return {name: getattr(report, name) for name in names} | {"totals": {n: getattr(report, n) for n in totals}}


def report_lines(report: IndexReport) -> Iterator[str]:
    """The report for people."""
    yield (
        f"{report.files} files in {report.seconds:.1f} s: {report.added} added, {report.updated} updated, "
        f"{report.unchanged} unchanged, {len(report.duplicates)} duplicates, {len(report.problems)} not read"
    )
    yield (
        f"{report.database} holds {report.patients} patients, {report.studies} studies, "
        f"{report.series} series, {report.images} images"
    )
    for warning in report.warnings:
        yield f"warning: {warning}"
    if report.duplicates:
        yield from ("", "Left as they are in the database:", *(f"  {d.path}: {d.reason}" for d in report.duplicates))
    yield from problem_lines(report.problems)
