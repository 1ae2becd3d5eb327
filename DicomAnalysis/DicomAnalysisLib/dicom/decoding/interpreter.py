"""The Python interpreter that a child process runs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

_PYTHON = re.compile(r"(python(w|-real|[0-9.]*)|pypy[0-9.]*|PythonSlicer)(\.exe)?", re.IGNORECASE)


def find_interpreter() -> str | None:
    """Path of an interpreter that has our packages; None where there is none.

    An embedding application's ``sys.executable`` is the application: it is told by its name, for
    starting it would open a second one. Slicer brings ``PythonSlicer``, which starts Python as Slicer would.
    """
    executable = Path(sys.executable) if sys.executable else None
    if executable is not None and _PYTHON.fullmatch(executable.name):
        return str(executable)
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    found = shutil.which(name)
    if found:
        return found
    near = [Path(os.environ["SLICER_HOME"])] if os.environ.get("SLICER_HOME") else []
    near += [executable.parent, executable.parent.parent] if executable is not None else []
    candidates = (folder / part / name for folder in near for part in ("", "bin"))
    return next((str(path) for path in candidates if path.is_file()), None)
