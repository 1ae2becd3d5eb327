"""``dicom-analysis segment SOURCE --output DIR``: the main job on every series of a source."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..segmentation.options import DEVICES, METHODS, REGIONS, TASKS, SegmentationOptions
from .arguments import add_source
from .console import Console, problem_lines, table

if TYPE_CHECKING:
    from ..cohort.ledger import Ledger
    from ..run import RunReport

NAME = "segment"
HELP = "headrest, metal and bone of every series, one result folder each"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    defaults = SegmentationOptions()
    add_source(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--task", action="append", choices=TASKS, help="may be given more than once; default: headrest and metal"
    )
    parser.add_argument(
        "--region",
        choices=REGIONS,
        default=defaults.region,
        help="which metal: inside or at the skin (default), outside, all",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=defaults.method,
        help="auto (default): the network where it measures better and can be had; classical; network: everywhere",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="FOLDER",
        help="a network of your own: a folder that train-segmentation wrote, or a name; may be repeated",
    )
    parser.add_argument("--device", choices=DEVICES, default=defaults.device, help="for networks; default: auto")
    parser.add_argument(
        "--threshold-hu", type=float, metavar="HU", help="threshold of metal; default: derived from the data"
    )
    parser.add_argument("--masks-png", action="store_true", help="also write the mask of every slice as PNG")
    parser.add_argument(
        "--write-dicom", action="store_true", help="also write the series without its headrest as a new DICOM series"
    )
    parser.add_argument(
        "--resume", action="store_true", help="do only what an earlier run with the same options left undone"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Segment the series; 1 when one failed or nothing was done."""
    from ..run import segment_source

    options = SegmentationOptions(
        tasks=tuple(arguments.task or SegmentationOptions().tasks),
        region=arguments.region,
        method=arguments.method,
        device=arguments.device,
        metal_threshold_hu=arguments.threshold_hu,
        models=tuple(arguments.model),
    )
    with ledger_for(arguments.output, required=arguments.resume) as ledger:
        report = segment_source(
            arguments.source,
            arguments.output,
            options,
            series_uid=arguments.series,
            masks_png=arguments.masks_png,
            write_dicom=arguments.write_dicom,
            progress=console.progress,
            ledger=ledger,
            resume=arguments.resume,
        )
        # A single series that is done is no batch: its result folder alone says all there is to know.
        if ledger is not None:
            ledger.is_temporary = report.complete and len(report.outcomes) == 1
    document = {
        "source": arguments.source,
        "output": arguments.output,
        "options": options,
        "complete": report.complete,
        "series": report.outcomes,
        "problems": report.problems,
    }
    console.result(document, report_lines(report))
    return 0 if report.complete else 1


@contextmanager
def ledger_for(output: Path, *, required: bool) -> Iterator[Ledger | None]:
    """The ledger of the output folder; None where none can be written, which every series then says of its results."""
    from ..cohort.ledger import BusyFolderError, open_ledger

    with ExitStack() as stack:
        try:
            ledger = stack.enter_context(open_ledger(output))
        except BusyFolderError:
            raise
        except OutputError:
            if required:
                raise
            ledger = None
        yield ledger


def report_lines(report: RunReport) -> Iterator[str]:
    """The report for people."""
    if not report.outcomes:
        yield "No readable series."
    else:
        rows = []
        for outcome in report.outcomes:
            found = ", ".join(f"{name} {volume:.1f} ml" for name, volume in outcome.segments.items())
            stack = f" stack {outcome.stack}" if outcome.stack > 1 else ""
            rows.append((f"{outcome.series_uid or '(no UID)'}{stack}", outcome.status, found or outcome.reason))
        yield from table(("Series Instance UID", "Status", "Found"), rows)
        for outcome in report.outcomes:
            if outcome.folder is not None:
                yield from ("", f"{outcome.folder}", *(f"  warning: {warning}" for warning in outcome.warnings))
    yield from problem_lines(report.problems)
