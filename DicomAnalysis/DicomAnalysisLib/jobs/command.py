"""How to start a Python of one's own: its program, its arguments, its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..dicom.decoding.interpreter import find_interpreter
from ..errors import UsageError

LIBRARY_PARENT = Path(__file__).resolve().parents[2]
"""The folder that holds this library: the child finds it there, whatever its own paths are."""

_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from DicomAnalysisLib.worker import main; sys.exit(main(sys.argv[2:]))"
)


def find_python() -> str:
    """The interpreter that runs this library outside the application (see `dicom.decoding.interpreter`).

    Raises
    ------
    UsageError
        If there is none.
    """
    found = find_interpreter()
    if found is None:
        msg = "PythonSlicer, which runs long tasks beside the application, was not found; reinstall Slicer."
        raise UsageError(msg)
    return found


def worker_command(job_file: Path, python: str | None = None) -> list[str]:
    """The command line of a child that does the job in a file, and stops when it is told so in the file's folder."""
    program = python or find_python()
    return [program, "-c", _START, str(LIBRARY_PARENT), str(job_file), "--watch", str(job_file.parent)]


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own variables, with what makes a child's text and crashes readable."""
    # Text of a crashed interpreter is the only trace that it leaves.
    return {**os.environ, "PYTHONUTF8": "1", "PYTHONFAULTHANDLER": "1", **extra}
