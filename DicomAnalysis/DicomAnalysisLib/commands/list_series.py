"""``dicom-analysis list SOURCE``: which series there are, and which files are not readable."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .arguments import add_source
from .console import Console, problem_lines, table

if TYPE_CHECKING:
    from ..dicom.series import Series

NAME = "list"
HELP = "series of a file, folder or database"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_source(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """List the series; always 0 when the source could be opened."""
    from ..dicom.sources import open_source
    from ..run import choose_series

    source = open_source(arguments.source)
    found = choose_series(source, arguments.series)
    document = {
        "source": arguments.source,
        "series": [series_document(series) for series in found],
        "problems": source.problems,
    }
    lines = ["No readable series."]
    if found:
        header = ("Series Instance UID", "Modality", "Slices", "Columns x rows", "Patient ID", "Description")
        lines = table(header, (row for series in found for row in _rows(series)), right=(2,))
    console.result(document, [*lines, *problem_lines(source.problems)])
    return 0


def series_document(series: Series) -> dict[str, object]:
    """A series without its pixels, for JSON."""
    identity = series.identity
    return {
        "series_uid": identity.series_uid,
        "study_uid": identity.study_uid,
        "patient_id": identity.patient_id,
        "frame_of_reference_uid": identity.frame_of_reference_uid,
        "modality": identity.modality,
        "series_description": identity.series_description,
        "slices": sum(len(stack) for stack in series.stacks),
        "files": len(series.paths),
        "stacks": [
            {"shape": stack.shape, "localizer": stack.is_localizer, "warnings": stack.warnings}
            for stack in series.stacks
        ],
        "warnings": series.warnings,
    }


def _rows(series: Series) -> Iterator[tuple[object, ...]]:
    identity = series.identity
    for number, stack in enumerate(series.stacks, start=1):
        slices, rows, columns = stack.shape
        uid = identity.series_uid or "(none)"
        remark = "scout" if stack.is_localizer else f"stack {number}" if number > 1 else identity.series_description
        yield (
            uid if number == 1 else "",
            identity.modality,
            slices,
            f"{columns} x {rows}",
            identity.patient_id[:24],
            remark[:40],
        )
