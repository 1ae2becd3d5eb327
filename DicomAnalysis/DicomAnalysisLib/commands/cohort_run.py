"""``dicom-analysis cohort run SOURCE --task … --output DIR``: a task on every series, by several processes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..segmentation.options import DEVICES, METHODS, SegmentationOptions
from ..segmentation.options import TASKS as SEGMENTS
from .arguments import add_source
from .console import Console, table

if TYPE_CHECKING:
    from ..cohort.engine.driver import CohortReport

NAME = "run"
HELP = "segment, classify or measure every series of a source; what an earlier run did stays"
_SHOWN_FAILURES = 50
_UNITS = {"": 1024**2, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_source(parser)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for ledger, table and results"
    )
    parser.add_argument("--task", required=True, choices=("segment", "classify", "features"))
    parser.add_argument(
        "--model", default="", metavar="FOLDER", help="a classifier: needed to classify; for features of a network"
    )
    parser.add_argument(
        "--view",
        action="append",
        default=[],
        metavar="NAME:RULE",
        help="for models of several views, as for the command classify; may be repeated",
    )
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes; default: one for each core")
    parser.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="workers of a Dask cluster instead: tcp://host:8786"
    )
    parser.add_argument(
        "--memory-per-worker",
        type=_size,
        default=0,
        metavar="SIZE",
        help="such as 4G; a series that needs more is put aside; default: a share of this machine's memory",
    )
    parser.add_argument(
        "--limit-seconds", type=float, default=900.0, metavar="S", help="longest that one series may take; default: 900"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="for networks; default: auto")
    parser.add_argument("--segment", action="append", choices=SEGMENTS, help="for --task segment; may be repeated")
    parser.add_argument("--method", choices=METHODS, default="auto", help="for --task segment; default: auto")
    parser.add_argument(
        "--resume", action="store_true", help="do only what is left undone; this is what it always does"
    )
    parser.add_argument("--anew", action="store_true", help="do again what was done")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed or was put aside")
    parser.add_argument(
        "--deidentify", action="store_true", help="tables with keyed hashes for identifiers, and no dates"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the key of --deidentify, kept by you; made where missing"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the task; 1 when a series failed or nothing was done."""
    from ..cohort.engine.driver import run_cohort
    from ..cohort.engine.options import CohortOptions
    from ..errors import UsageError

    if arguments.deidentify != (arguments.key is not None):
        msg = "--deidentify and --key FILE go together: the key makes the pseudonyms, and stays with you."
        raise UsageError(msg)
    if arguments.anew and arguments.resume:
        msg = "--resume and --anew contradict each other; give one."
        raise UsageError(msg)
    defaults = SegmentationOptions()
    options = CohortOptions(
        task=arguments.task,
        model=arguments.model,
        views=tuple(arguments.view),
        segmentation=SegmentationOptions(
            tasks=tuple(arguments.segment or defaults.tasks), method=arguments.method, device=arguments.device
        ),
        device=arguments.device,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        memory_per_worker=arguments.memory_per_worker,
        limit_seconds=arguments.limit_seconds,
        key=arguments.key,
        anew=arguments.anew,
        retry_failed=arguments.retry_failed,
    )
    report = run_cohort(
        arguments.source, arguments.output, options, series_uid=arguments.series, progress=console.progress
    )
    document = {
        "task": options.task,
        "output": arguments.output,
        "complete": report.complete,
        "unit": report.unit,
        "done": report.done,
        "kept": report.kept,
        "skipped": report.skipped,
        "failed": report.failed,
        "partial": report.partial,
        "files_left_out": report.refused,
        "seconds": report.seconds,
        "largest_worker_bytes": report.memory,
        "table": report.table,
        "model_hash": report.model_hash,
        "recipe_hash": report.recipe_hash,
    }
    console.result(document, report_lines(report))
    return 0 if report.complete else 1


def report_lines(report: CohortReport) -> Iterator[str]:
    """The report for people."""
    from ..cohort.engine.options import PLURAL

    rate = f", {report.done / report.seconds:.1f} a second" if report.done and report.seconds else ""
    yield (
        f"{report.done:,} {PLURAL[report.unit]} done{rate}; {report.kept:,} done earlier; "
        f"{report.skipped:,} without images; {len(report.failed):,} failed."
    )
    if report.partial:
        yield f"{report.partial:,} of those done lack some of their files or views: `cohort status` says which."
    if report.memory:
        yield f"Largest worker: {report.memory // 1024**2:,} MB."
    for path in report.table:
        yield f"Table: {path}"
    if report.refused:
        yield f"{report.refused:,} files were left out: no DICOM, or not readable."
    if report.failed:
        rows = list(report.failed.items())
        yield from ("", *table(("Series", "Why"), rows[:_SHOWN_FAILURES]))
        if len(rows) > _SHOWN_FAILURES:
            yield f"… and {len(rows) - _SHOWN_FAILURES:,} more; `cohort status` lists all."


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if match is None:
        msg = f"{text!r} is no size; write 4G or 800M"
        raise argparse.ArgumentTypeError(msg)
    return int(float(match[1]) * _UNITS[match[2].upper()])
