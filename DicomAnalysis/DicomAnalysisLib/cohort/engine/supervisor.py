"""One worker under watch: started when needed, ended when a series takes too long or too much, and replaced.

The same on this machine, where a thread has one, and on a cluster, where every Dask worker has one of its own:
a crash, a hang or a lack of memory costs the series that caused it and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time

from ...errors import TaskError
from ...jobs.command import LIBRARY_PARENT, child_environment, find_python
from ...jobs.endings import unexplained_ending
from ...jobs.events import MEMORY
from ...jobs.process_tree import kill_tree, popen_arguments
from .course import ChunkCourse, ChunkReport, Done, Items
from .memory import tree_memory

START_SECONDS = 300.0
"""A worker may have to load a model from a slow disk."""
START_TRIES = 3
LOOK_SECONDS = 0.1
MEMORY_SECONDS = 0.5
RECYCLE_SHARE = 0.75
"""A worker that holds so much of its memory after a chunk is replaced: what it holds on to does not grow for ever."""
RECYCLE_SERIES = 5000

_START = "import sys; sys.path.insert(0, sys.argv[1]); from DicomAnalysisLib.cohort.engine.child import main; main()"
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "ITK_GLOBAL_DEFAULT")}
"""Workers are many; each uses one core."""


class Supervisor:
    """Starts a worker, gives it chunks and watches it.

    Parameters
    ----------
    spec : str
        `TaskSpec` as JSON.
    limit_seconds : float
        Longest that one series may take.
    memory_limit : int
        Bytes that the worker and its children may hold; 0: as much as there is.
    log : path, optional
        Where it may write what libraries print.
    """

    def __init__(self, spec: str, limit_seconds: float, memory_limit: int, log: str = os.devnull):
        self._spec, self._limit_seconds, self._memory_limit, self._log = spec, limit_seconds, memory_limit, log
        self._child: subprocess.Popen | None = None
        self._messages: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self._series = 0
        self._closed = False

    def run(self, items: Items, on_done: Done) -> ChunkReport:
        """Do a chunk; returns when it is done or the worker has ended.

        Parameters
        ----------
        items : sequence of (str, sequence of str)
            Items and their files.
        on_done : callable
            Takes the endings of series that are safely on disk.

        Raises
        ------
        TaskError
            If the task cannot be begun at all (a model cannot be read, a package is missing), or its results
            cannot be written.
        """
        self._start()
        request = json.dumps({"items": [[item, list(files)] for item, files in items]}) + "\n"
        with contextlib.suppress(OSError):  # it has ended: the loop below finds out
            self._child.stdin.write(request.encode("ascii"))
            self._child.stdin.flush()
        try:
            report = self._watch(ChunkCourse(items, on_done))
        except TaskError:
            self.end()
            raise
        self._series += len(items)
        if report.worker_ended or self._series >= RECYCLE_SERIES or self._is_full(report):
            self.end()
        return report

    def end(self) -> None:
        """End the worker; the next chunk starts another."""
        if self._child is not None:
            kill_tree(self._child)
            with contextlib.suppress(OSError):  # what it was sent and never read
                self._child.stdin.close()
            self._child.wait()
            self._child = None
        self._series = 0

    def close(self) -> None:
        """End the worker from another thread: what runs comes back with all that is left."""
        self._closed = True
        child = self._child
        if child is not None:
            kill_tree(child)

    def _start(self) -> None:
        if self._child is not None:
            return
        how = ""
        for _ in range(START_TRIES):  # somebody may end it while it starts
            if self._closed:
                msg = "The run was ended."
                raise TaskError(msg)
            self._launch()
            how = self._why_not_ready()
            if not how:
                return
            self.end()
        msg = f"No worker could be started: it {how}. Start the run again; reinstall the program if that does not help."
        raise TaskError(msg)

    def _launch(self) -> None:
        command = [find_python(), "-c", _START, str(LIBRARY_PARENT)]
        with open(self._log, "ab") as log:  # noqa: PTH123 (may be the null device)
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=child_environment(_ONE_THREAD),
                **popen_arguments(),
            )
        self._messages = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(child, self._messages), daemon=True).start()
        self._child = child
        if self._closed:  # meanwhile
            kill_tree(child)
        with contextlib.suppress(OSError):
            child.stdin.write(self._spec.encode("utf-8") + b"\n")
            child.stdin.flush()

    def _why_not_ready(self) -> str:
        """Wait until the worker is ready; how it ended where it is not.

        Raises
        ------
        TaskError
            If it says that it cannot do the task.
        """
        try:
            message = self._messages.get(timeout=START_SECONDS)
        except queue.Empty:
            return f"said nothing for {START_SECONDS:g} s"
        if message is None:
            return _how(self._child.wait())
        if "error" in message:
            self.end()
            raise TaskError(str(message["error"]))
        size = tree_memory(self._child.pid)
        if 0 < self._memory_limit < size:
            self.end()
            msg = (
                f"A worker takes {_megabytes(size)} before its first series, more than the "
                f"{_megabytes(self._memory_limit)} that it may have; give it more memory."
            )
            raise TaskError(msg)
        return ""

    def _watch(self, course: ChunkCourse) -> ChunkReport:
        looked = 0.0
        while (message := self._next_message()) is not None:
            if course.hear(message):
                return course.report
            if time.monotonic() - looked > MEMORY_SECONDS:
                looked = time.monotonic()
                self._look(course.report)
            if course.seconds > self._limit_seconds:
                self._stop(course.report, f"it took longer than {self._limit_seconds:g} s")
        how = _how(self._child.wait())
        return course.worker_ended("" if self._closed else f"the worker {how}")

    def _next_message(self) -> dict | None:
        """What the worker says, nothing for a while; None where it has ended."""
        try:
            return self._messages.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return {}

    def _look(self, report: ChunkReport) -> None:
        report.memory = max(report.memory, tree_memory(self._child.pid))
        if 0 < self._memory_limit < report.memory:
            self._stop(report, f"it took more than the {_megabytes(self._memory_limit)} that a worker may have")

    def _stop(self, report: ChunkReport, reason: str) -> None:
        report.reason = report.reason or reason
        kill_tree(self._child)

    def _is_full(self, report: ChunkReport) -> bool:
        return self._child is not None and 0 < RECYCLE_SHARE * self._memory_limit < report.memory


def _listen(child: subprocess.Popen, messages: queue.SimpleQueue[dict | None]) -> None:
    """Hand on what a worker says; None at its end."""
    with child.stdout:
        for line in child.stdout:
            with contextlib.suppress(ValueError):  # the last line of a worker that was killed
                messages.put(json.loads(line))
    messages.put(None)


def _how(code: int) -> str:
    """How a process ended."""
    how = f"ended with exit code {code}"
    if code < 0:
        import signal

        with contextlib.suppress(ValueError):
            how = f"was ended by {signal.Signals(-code).name}"
    return how + (", for want of memory perhaps" if unexplained_ending(code, "").kind == MEMORY else "")


def _megabytes(size: int) -> str:
    return f"{size // 1024**2:,} MB"
