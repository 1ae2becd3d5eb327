"""``dicom-analysis cohort …``: a whole cohort, from features to clusters. One module for each sub-command."""

from __future__ import annotations

import argparse
import importlib
import importlib.util

from .arguments import add_common
from .console import Console

NAME = "cohort"
HELP = "a task on every series of a cohort by several processes, and what its features say"

MODULES = ("cohort_run", "cohort_status", "cohort_cluster", "cohort_learn", "cohort_report")
"""Sub-commands, in the order of the help text; modules of `commands` like those of the commands themselves."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands, each with its own arguments."""
    subparsers = parser.add_subparsers(dest="cohort_command", metavar="COMMAND", required=True)
    for name in MODULES:
        if importlib.util.find_spec(f".{name}", __package__) is None:
            continue
        module = importlib.import_module(f".{name}", __package__)
        command = subparsers.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        add_common(command)
        command.set_defaults(run_cohort_command=module.run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the sub-command."""
    return arguments.run_cohort_command(arguments, console)
