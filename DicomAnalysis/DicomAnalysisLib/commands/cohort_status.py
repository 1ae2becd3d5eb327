"""``dicom-analysis cohort status DIR``: how far a run is, or what became of it; nothing is written."""

from __future__ import annotations

import argparse
from pathlib import Path

from .console import Console, table

NAME = "status"
HELP = "how far a run is, or what became of it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("output", type=Path, metavar="DIR", help="output folder of a run")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Tell of every task; 1 where a series failed."""
    from ..cohort.engine.status import look_at_run

    tasks = look_at_run(arguments.output)
    lines = []
    for one in tasks:
        counts = ", ".join(f"{number:,} {state}" for state, number in one.counts.items() if number)
        lines.append(f"{one.task}: {counts}" + ("; a run is at work" if one.is_running else ""))
        if one.rate:
            lines.append(f"  {one.rate * 60:.1f} series a minute lately")
        for heads, found in ((("Series", "Why"), one.failed), (("Done in part", "Why"), one.partial)):
            lines += [f"  {line}" for line in table(heads, list(found.items()))] if found else []
    console.result({"output": arguments.output, "tasks": tasks}, lines)
    return 1 if any(one.failed for one in tasks) else 0
