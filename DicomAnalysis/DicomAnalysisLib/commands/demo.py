"""``dicom-analysis demo``: the main job on a phantom that the program makes itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from .console import Console

NAME = "demo"
HELP = "the main job on a CT phantom that the program makes itself"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--output", type=Path, default=Path("dicom-analysis-demo"), metavar="DIR", help="default: %(default)s"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the demo; its lines are the result, or progress where JSON is asked for."""
    from ..demo import run_demo

    document = run_demo(arguments.output, console.progress if console.as_json else console.line)
    if console.as_json:
        console.result(document, ())
    return 0
