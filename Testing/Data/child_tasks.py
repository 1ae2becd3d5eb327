"""Tasks that misbehave, for tests of what becomes of a child process; and a program that knows them.

`program(folder)` writes an executable that stands in for Python on a worker's command line: it
adds these tasks to the worker's. With ``launcher=True`` it starts Python as a child of its own and
waits for it, as PythonSlicer does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "DicomAnalysis"

_PROGRAM = """#!{python}
import sys
sys.path[:0] = [{here!r}, {library!r}]
import child_tasks
from DicomAnalysisLib import jobs, worker
sys.modules["DicomAnalysisLib.jobs.child_tasks"] = child_tasks
jobs.TASKS["misbehave"] = "child_tasks"
sys.exit(worker.main(sys.argv[4:]))
"""

# Like Slicer's: standard input ends here, and a crash becomes a line and an exit code of 1.
_LAUNCHER = """#!{python}
import subprocess, sys
child = subprocess.Popen([{program!r}, *sys.argv[1:]], stdin=subprocess.PIPE)
ended = child.wait()
if ended < 0:
    print("error: [python-real] exit abnormally - Report the problem.", file=sys.stderr)
sys.exit(ended if ended >= 0 else 1)
"""


def program(folder: Path, *, launcher: bool = False) -> str:
    """An executable to be given as ``python`` to a JobProcess."""
    values = {"python": sys.executable, "here": str(HERE), "library": str(LIBRARY)}
    path = _write(folder / "worker", _PROGRAM.format(**values))
    if launcher:
        path = _write(folder / "launcher", _LAUNCHER.format(program=str(path), **values))
    return str(path)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def run(arguments, report):
    """Do what `arguments` says: the name of a function below, and what it takes."""
    return globals()[arguments["how"]](report, **arguments.get("with", {}))


def succeed(_report, seconds=0.0):
    time.sleep(seconds)
    return {"answer": 42}


def talk(report):
    """Write to standard output by every way there is; none of it may reach the events."""
    print("from Python")
    os.write(1, b"from the operating system\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    subprocess.run(["echo", "from a child"], check=True)
    report.progress(0.5, "talking")
    return {}


def count(report, steps=20, seconds=0.05):
    for step in range(steps):
        report.progress(step / steps, f"step {step}")
        time.sleep(seconds)
    return {"steps": steps}


def family(report, pids="", seconds=60):
    """Have a child and a grandchild that would live for a minute."""
    code = f"import subprocess, time; p = subprocess.Popen(['sleep', '{seconds}']); print(p.pid, flush=True); p.wait()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    Path(pids).write_text(f"{os.getpid()} {child.pid} {int(child.stdout.readline())}")
    report.progress(0.1, "waiting")
    time.sleep(seconds)


def stubborn(report, seconds=60):
    """Take no notice of being told to stop."""
    report.progress(0.1, "waiting")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            continue


def kill(_report, name="SIGKILL"):
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(10)


def segfault(_report):
    print("before the crash", file=sys.stderr)
    ctypes.string_at(0)


def leave(_report, status=0):
    """End without a word."""
    os._exit(status)


def garbage(report):
    """Write what is no event where events are read (only a broken library could)."""
    report._write(b"{not JSON}\n\xff\xfe\x00 binary \n[1, 2]\n" + b'{"type": "unheard of"}\n' + b'"text"\n')
    return {"answer": 42}


def eat_memory(_report):
    hoard = []
    while True:
        hoard.append(bytearray(50 * 2**20))


def want_module(_report, name):
    sys.modules[name] = None  # as where it is not installed
    __import__(name)


def stumble(_report, name):
    """An unexpected error whose text quotes a header."""
    raise ValueError(name)
