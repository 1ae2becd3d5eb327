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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...errors import TaskError
from ...jobs.command import LIBRARY_PARENT, child_environment, find_python
from ...jobs.endings import unexplained_ending
from ...jobs.events import MEMORY
from ...jobs.process_tree import kill_tree, popen_arguments
from ..entries import Ending
from .memory import tree_memory

Items = Sequence[tuple[str, Sequence[str]]]
Done = Callable[[list[Ending]], None]

START_SECONDS = 300.0
"""A worker may have to load a model from a slow disk."""
LOOK_SECONDS = 0.1
MEMORY_SECONDS = 0.5
RECYCLE_SHARE = 0.75
"""A worker that holds so much of its memory after a chunk is replaced: what it holds on to does not grow for ever."""
RECYCLE_SERIES = 5000

_START = "import sys; sys.path.insert(0, sys.argv[1]); from DicomAnalysisLib.cohort.engine.child import main; main()"
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "ITK_GLOBAL_DEFAULT")}
"""Workers are many; each uses one core."""


@dataclass
class ChunkReport:
    """What became of a chunk.

    Attributes
    ----------
    left : list of str
        Items that were not done, through no fault of theirs.
    suspect : str
        The item over which the worker ended; empty where none did.
    reason : str
        How.
    memory : int
        Largest resident memory seen, bytes.
    doubtful : list of str
        Items of which one may be at fault; each is to be tried alone.
    worker_ended : bool
        Whether the worker is no more.
    """

    left: list[str] = field(default_factory=list)
    suspect: str = ""
    reason: str = ""
    memory: int = 0
    doubtful: list[str] = field(default_factory=list)
    worker_ended: bool = False


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
            If the task cannot be begun at all: a model cannot be read, a package is missing.
        """
        self._start()
        request = json.dumps({"items": [[item, list(files)] for item, files in items]}) + "\n"
        with contextlib.suppress(OSError):  # it has ended: the loop below finds out
            self._child.stdin.write(request.encode("ascii"))
            self._child.stdin.flush()
        report = self._watch(items, on_done)
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
        if self._closed:
            msg = "The run was ended."
            raise TaskError(msg)
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
        with contextlib.suppress(OSError):
            child.stdin.write(self._spec.encode("utf-8") + b"\n")
            child.stdin.flush()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        try:
            message = self._messages.get(timeout=START_SECONDS)
        except queue.Empty:
            message = None
        if message is not None and "ready" in message:
            return
        code = self._child.poll()
        self.end()
        msg = str(message["error"]) if message else f"A worker did not start (exit code {code}); reinstall the program."
        raise TaskError(msg)

    def _watch(self, items: Items, on_done: Done) -> ChunkReport:
        report = ChunkReport()
        done: set[str] = set()
        at, since, looked = -1, time.monotonic(), 0.0
        while True:
            message = self._next_message()
            if message is None:
                break
            if "at" in message:
                at, since = int(message["at"]), time.monotonic()
            elif "done" in message:
                endings = [Ending(**ending) for ending in message["done"]]
                done |= {ending.item for ending in endings}
                on_done(endings)
            elif "memory" in message:
                report.reason = f"it needs more than the {_megabytes(self._memory_limit)} that a worker may have"
            elif "end" in message:
                return report
            if time.monotonic() - looked > MEMORY_SECONDS:
                looked = time.monotonic()
                self._look(report)
            if at >= 0 and time.monotonic() - since > self._limit_seconds:
                self._stop(report, f"it took longer than {self._limit_seconds:g} s")
        report.worker_ended = True
        if at >= 0 and items[at][0] not in done:
            self._blame(report, items[at][0])
        report.left = [item for item, _ in items if item not in done and item != report.suspect]
        return report

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

    def _blame(self, report: ChunkReport, item: str) -> None:
        """Name the series over which the worker ended, and how it ended; nobody is to blame where we ended it."""
        code = self._child.wait()
        if self._closed:
            return
        report.suspect = item
        if not report.reason:
            want = unexplained_ending(code, "").kind == MEMORY
            report.reason = f"the worker {_how(code)}" + (", for want of memory perhaps" if want else "")

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
    if code < 0:
        import signal

        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _megabytes(size: int) -> str:
    return f"{size // 1024**2:,} MB"
