"""The child process that does long work for the panel: a JSON job in, JSON lines out.

``python -m DicomAnalysisLib.worker JOB.json`` (or ``-``: the job on standard input) does one job,
``{"task": NAME, "arguments": {…}, "memory_limit": BYTES or null}``. Standard output carries
events, one JSON object a line (see `jobs.events`), and nothing else; what libraries print goes to
standard error. The last line is a ``result`` or an ``error``. Exit status: 0 with a result,
1 with an error, 130 when told to stop, 2 for a usage error.

With ``--watch FOLDER`` the task stops when a file ``stop`` appears there, when the folder goes, or
when its lock is let go (see `jobs.workspace`): a parent that dies takes its child with it, also
where a launcher stands between the two and passes on neither signals nor standard input.
"""

from __future__ import annotations

import _thread
import argparse
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import UsageError
from .jobs import TASKS
from .jobs.endings import describe_failure
from .jobs.events import CANCELLED, Reporter, Result
from .jobs.workspace import is_told_to_stop
from .logs import set_up_logging

WATCH_SECONDS = 0.1
"""How often a task looks whether it is to stop."""

STOP_SECONDS = 5.0
"""How long a task that is told to stop may take before the process ends itself."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do one job and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m DicomAnalysisLib.worker", description="Do one job, for a panel.")
    parser.add_argument("job", help="file that holds the job as JSON; - for standard input")
    parser.add_argument("--watch", type=Path, metavar="FOLDER", help="stop when told so in this folder")
    arguments = parser.parse_args(argv)
    with _reserved_output() as write:
        report = Reporter(write)
        try:
            job = _read_job(arguments.job)
            if arguments.watch is not None:
                # A child of a shell's background job ignores interrupts unless told otherwise.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                threading.Thread(target=_stop_when_told, args=(arguments.watch,), daemon=True).start()
            report.send(Result(run_job(job, report)))
        except BaseException as error:  # noqa: BLE001 (whatever it is, the parent is told)
            failure = describe_failure(error)
            report.send(failure)
            return 130 if failure.kind == CANCELLED else 1
    return 0


def run_job(job: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do one job in this process.

    Parameters
    ----------
    job : mapping
        ``task``, ``arguments`` and optionally ``memory_limit`` (bytes).
    report : Reporter
        Told how far the task is.

    Returns
    -------
    mapping
        The task's own values, with a JSON form.

    Raises
    ------
    UsageError
        If there is no such task.
    """
    try:
        module, arguments = TASKS[job["task"]], job["arguments"]
    except (KeyError, TypeError) as error:
        msg = f"The job has no task that is known; there are {', '.join(TASKS)}."
        raise UsageError(msg) from error
    set_up_logging()
    _limit_memory(job.get("memory_limit"))
    return importlib.import_module(f".jobs.{module}", __package__).run(arguments, report)


def _read_job(name: str) -> Mapping[str, object]:
    try:
        # One line: standard input stays open as the sign that the parent lives.
        return json.loads(sys.stdin.buffer.readline() if name == "-" else Path(name).read_bytes())
    except (OSError, ValueError) as error:
        msg = f"The job cannot be read ({type(error).__name__})."
        raise UsageError(msg) from error


@contextmanager
def _reserved_output() -> Iterator[Callable[[bytes], object]]:
    """Keep standard output for events: all else that is written to it, by C libraries too, goes to standard error."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    python_output, sys.stdout = sys.stdout, sys.stderr
    try:
        yield lambda line: os.write(kept, line)
    finally:
        sys.stdout = python_output
        os.dup2(kept, 1)
        os.close(kept)


def _stop_when_told(folder: Path) -> None:
    """Interrupt the task when the parent wants it or is gone; end the process where the task does not yield."""
    told = is_told_to_stop(folder)
    while not next(told):
        time.sleep(WATCH_SECONDS)
    _thread.interrupt_main()
    time.sleep(STOP_SECONDS)
    if os.name != "nt" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(130)


def _limit_memory(limit: object) -> None:
    if limit is None or os.name == "nt":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))


if __name__ == "__main__":
    sys.exit(main())
