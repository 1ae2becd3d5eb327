"""``dicom-analysis list SOURCE``: which series there are, and which files are not readable.

The headers of a file or folder are read. A database is asked instead, without opening the
files it names, for it may hold very many; with ``--series`` the files of that one are opened.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .arguments import add_source
from .console import Console, problem_lines, table

if TYPE_CHECKING:
    from ..dicom.series import Series
    from ..volume import SeriesIdentity

NAME = "list"
HELP = "series of a file, folder or database"
_HEADER = ("Series Instance UID", "Modality", "Slices", "Columns x rows", "Patient ID", "Description")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_source(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """List the series; always 0 when the source could be opened."""
    from ..dicom.database import DatabaseSource
    from ..dicom.sources import open_source
    from ..run import choose_series

    source = open_source(arguments.source)
    if isinstance(source, DatabaseSource) and arguments.series is None:
        known = source.summaries()
        documents = [identity_document(one.identity) | {"slices": one.files, "files": one.files} for one in known]
        rows = [_row(one.identity, one.files, "") for one in known]
        problems = ()
    else:
        found = choose_series(source, arguments.series)
        documents = [series_document(series) for series in found]
        rows = [row for series in found for row in _stack_rows(series)]
        problems = source.problems
    document = {"source": arguments.source, "series": documents, "problems": problems}
    lines = table(_HEADER, rows, right=(2,)) if rows else ["No readable series."]
    console.result(document, [*lines, *problem_lines(problems)])
    return 0


def identity_document(identity: SeriesIdentity) -> dict[str, object]:
    """Whose series it is and what it is called, for JSON."""
    return {
        "series_uid": identity.series_uid,
        "study_uid": identity.study_uid,
        "patient_id": identity.patient_id,
        "frame_of_reference_uid": identity.frame_of_reference_uid,
        "modality": identity.modality,
        "series_description": identity.series_description,
    }


def series_document(series: Series) -> dict[str, object]:
    """A series whose headers were read, for JSON."""
    return identity_document(series.identity) | {
        "slices": sum(len(stack) for stack in series.stacks),
        "files": len(series.paths),
        "stacks": [
            {"shape": stack.shape, "localizer": stack.is_localizer, "warnings": stack.warnings}
            for stack in series.stacks
        ],
        "warnings": series.warnings,
    }


def _row(identity: SeriesIdentity, slices: int, size: str) -> tuple[object, ...]:
    uid = identity.series_uid or "(none)"
    return uid, identity.modality, slices, size, identity.patient_id[:24], identity.series_description[:40]


def _stack_rows(series: Series) -> Iterator[tuple[object, ...]]:
    for number, stack in enumerate(series.stacks, start=1):
        slices, rows, columns = stack.shape
        uid, modality, _, size, patient, description = _row(series.identity, slices, f"{columns} x {rows}")
        remark = "scout" if stack.is_localizer else f"stack {number}" if number > 1 else description
        yield uid if number == 1 else "", modality, slices, size, patient, remark
