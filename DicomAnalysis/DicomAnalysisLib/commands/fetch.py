"""``dicom-analysis fetch --study UID --server URL --output DIR``: series from a PACS, by QIDO-RS and WADO-RS."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DicomAnalysisError, UsageError
from .console import Console, problem_lines, table
from .pacs_arguments import add_server, open_server

if TYPE_CHECKING:
    from ..dicomweb.client import DicomWeb
    from ..dicomweb.fetch import FetchReport
    from ..dicomweb.query import Wanted

NAME = "fetch"
HELP = "fetch studies or series from a PACS by DICOMweb; run again, it fetches what is missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    wanted = parser.add_argument_group("what to fetch, of which all must apply")
    wanted.add_argument("--study", action="append", default=[], metavar="UID", help="may be given more than once")
    wanted.add_argument("--series", action="append", default=[], metavar="UID", help="may be given more than once")
    wanted.add_argument("--patient-id", default="", metavar="ID", help="every study of this patient")
    wanted.add_argument("--modality", default="", metavar="CS", help="only series of this modality, CT for example")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="files go to DIR/<SeriesInstanceUID>/<SOPInstanceUID>.dcm"
    )
    parser.add_argument("--database", type=Path, metavar="DIR", help="then add them to a database, as `index` does")
    parser.add_argument("--list", action="store_true", help="only list what the server has")
    add_server(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Fetch, or list; 1 when something wanted is not there or could not be had."""
    from ..dicomweb.fetch import fetch
    from ..dicomweb.query import Wanted

    studies, series = tuple(arguments.study), tuple(arguments.series)
    wanted = Wanted(studies, series, arguments.patient_id.strip(), arguments.modality.upper())
    if arguments.output is None and not arguments.list:
        msg = "Where to? Give --output DIR, or --list to see what there is."
        raise UsageError(msg)
    with open_server(arguments, console.progress) as server:
        if arguments.list:
            return _list(server, wanted, console)
        report = fetch(server, wanted, arguments.output, console.progress)
    document = {
        "server": str(server),
        "output": arguments.output,
        "complete": report.complete,
        "series": report.series,
        "missing": report.missing,
    }
    lines = list(report_lines(report))
    complete = report.complete
    if arguments.database is not None:
        document["database"] = indexed = _index(report, arguments.database, console)
        complete = complete and "error" not in indexed
        lines += _index_lines(indexed)
    console.result(document, lines)
    return 0 if complete else 1


def _index(report: FetchReport, database: Path, console: Console) -> dict[str, object]:
    """Add what is there to a database; a failure of that does not take back what was fetched."""
    from ..dicom.indexing.indexer import index_files

    folders = [one.folder for one in report.series if one.fetched or one.already_there]
    document: dict[str, object] = {"database": database}
    if not folders:
        return document
    try:
        indexed = index_files(folders, database, progress=console.progress)
    except DicomAnalysisError as error:
        return document | {"error": str(error)}
    names = ("added", "updated", "unchanged", "duplicates", "problems", "warnings")
    return document | {name: getattr(indexed, name) for name in names}


def _index_lines(indexed: dict) -> Iterator[str]:
    if "error" in indexed:
        yield f"Not added to {indexed['database']}: {indexed['error']}"
    elif "added" in indexed:
        yield f"{indexed['database']}: {indexed['added']} objects added, {indexed['unchanged']} known before"
        yield from problem_lines(indexed["problems"])


def _list(server: DicomWeb, wanted: Wanted, console: Console) -> int:
    from ..dicomweb.query import find_series

    found, missing = find_series(server, wanted)
    rows = [(one.series_uid, one.modality, one.instances or "", one.study_uid) for one in found]
    lines = table(("Series Instance UID", "Modality", "Objects", "Study Instance UID"), rows, right=(2,))
    document = {"server": str(server), "complete": not missing, "series": found, "missing": missing}
    console.result(document, [*lines, *_missing_lines(missing)])
    return int(bool(missing))


def report_lines(report: FetchReport) -> Iterator[str]:
    """The report for people."""
    rows = [(one.series_uid, one.modality, one.status, one.fetched, one.already_there) for one in report.series]
    yield from table(("Series Instance UID", "Modality", "Status", "Fetched", "There before"), rows, right=(3, 4))
    for one in report.series:
        if one.reason:
            yield f"  {one.series_uid}: {one.reason}"
    yield from _missing_lines(report.missing)


def _missing_lines(missing: tuple[str, ...] | list[str]) -> Iterator[str]:
    yield from (f"  {one}: not on the server" for one in missing)
