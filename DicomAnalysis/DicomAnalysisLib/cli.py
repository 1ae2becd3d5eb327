"""The terminal face: ``dicom-analysis COMMAND …`` or ``python -m DicomAnalysisLib COMMAND …``.

Exit status: 0 when all was done, 1 when something failed, 2 for a usage error.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from . import __version__
from .commands import MODULES
from .commands.arguments import add_common
from .commands.console import Console, silence_closed_output
from .errors import DicomAnalysisError, UsageError
from .logs import set_up_logging


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = make_parser().parse_args(argv)
    set_up_logging(arguments.verbose)
    console = Console(arguments.json)
    try:
        return arguments.run(arguments, console)
    except UsageError as error:
        console.error(str(error))
        return 2
    except DicomAnalysisError as error:
        console.error(str(error))
        return 1
    except KeyboardInterrupt:
        console.error("interrupted; what was written so far is complete")
        return 130
    except BrokenPipeError:
        # The reader of our output, `head` for example, has seen enough.
        silence_closed_output()
        return 1


def make_parser() -> argparse.ArgumentParser:
    """The parser with every command of `commands.MODULES`."""
    parser = argparse.ArgumentParser(
        prog="dicom-analysis", description="Headrest, table and metal in CT, from DICOM to segments and tables."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in MODULES:
        module = importlib.import_module(f".commands.{name}", __package__)
        command = subparsers.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        add_common(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
