"""A worker: a process that does series after series, as told on its standard input.

The first line is the `TaskSpec`; each further one a chunk, ``{"items": [[item, [file, …]], …]}``. On its
standard output it says, one JSON object a line: ``ready``, or ``error`` where the task cannot be done at
all, or its results cannot be written; ``at`` with the place in the chunk before each series; ``done`` with
endings that are safely on disk; ``suspect`` with what was wrong with the series that it was at, before it ends over
that; ``end`` after the chunk.
What it has finished goes to disk once a second: the rows as a file of the store, then the endings as
a line of its journal, then the message.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..entries import Ending
    from .work import Row, SeriesTask

FLUSH_SECONDS = 1.0
"""What is finished waits no longer than this for the disk, once the series in work is through.

Every time is a file of the table, which costs as much as several small series."""
FLUSH_ROWS = 512
IDLE_SECONDS = 900.0
"""A worker without work ends: on a cluster nobody may come back for it."""
OUT_OF_MEMORY = 77
"""Exit status."""


def main() -> None:
    """Work until standard input ends, and end with it at once, in the middle of a series, too."""
    write = _reserved_output()
    _end_with_parent()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    spec_line = sys.stdin.readline()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()

    from ...dicom.decoding.pool import limit_decoders
    from ...errors import DicomAnalysisError
    from ...jobs.endings import describe_failure
    from ...logs import set_up_logging
    from .memory import bound_memory
    from .spec import TaskSpec
    from .work import make_task, unexpected

    set_up_logging()
    try:
        spec = TaskSpec.from_json(spec_line)
        limit_decoders(spec.decoders)
        task = make_task(spec)
        worker = Worker(task, write)
        bound_memory(spec.memory_limit)
    except Exception as error:  # noqa: BLE001 (whatever it is, whoever started this is told)
        write({"error": describe_failure(error).message})
        return
    write({"ready": True})
    while True:
        try:
            worker.run(json.loads(lines.get(timeout=IDLE_SECONDS))["items"])
        except queue.Empty:
            return
        except MemoryError:
            write({"suspect": f"it needs more than the {spec.memory_limit // 1024**2:,} MB that a worker may have"})
            os._exit(OUT_OF_MEMORY)
        except (DicomAnalysisError, OSError) as error:  # what was found cannot be written: no series is at fault
            write({"error": describe_failure(error).message})
            return
        except Exception as error:  # noqa: BLE001 (the series over which a worker ends is told with the reason)
            write({"suspect": unexpected(error)})
            sys.exit(1)


class Worker:
    """Does chunks of series and puts what it finds on disk.

    Parameters
    ----------
    task : SeriesTask
    write : callable
        Takes each message.
    """

    def __init__(self, task: SeriesTask, write: Callable[[dict[str, object]], None]):
        from ..store import FeatureStore
        from .journal import Journal

        self._task, self._write = task, write
        self._store = FeatureStore(Path(task.spec.output) / task.spec.task)
        self._journal = Journal(task.spec.output, task.spec.task, task.spec.options_hash)
        self._endings: list[Ending] = []
        self._rows: list[Row] = []
        self._flushed = time.monotonic()

    def run(self, items: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Do the series of a chunk.

        Raises
        ------
        OutputError
            If what was found cannot be written.
        MemoryError
            If there is not enough of it for a series; those before it are on disk.
        """
        self._flushed = time.monotonic()
        for place, (item, files) in enumerate(items):
            self._journal.at(item)
            self._write({"at": place})
            try:
                ending, rows = self._task.run(item, files)
            except MemoryError:
                self._flush()
                raise
            self._endings.append(ending)
            self._rows += rows
            if time.monotonic() - self._flushed > FLUSH_SECONDS or len(self._rows) > FLUSH_ROWS:
                self._flush()
        self._flush()
        self._journal.at("")
        self._write({"end": True})

    def _flush(self) -> None:
        if self._rows:
            self._store.append(self._task.table(self._rows), self._task.spec.number)
        if self._endings:
            self._journal.add(self._endings)
            self._write({"done": [asdict(ending) for ending in self._endings]})
        self._endings, self._rows = [], []
        self._flushed = time.monotonic()


def _reserved_output() -> Callable[[dict[str, object]], None]:
    """Keep standard output for messages: what else is written to it goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def write(message: dict[str, object]) -> None:
        data = (json.dumps(message) + "\n").encode("ascii")
        while data:
            data = data[os.write(kept, data) :]

    return write


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    _end_group()


def _end_group() -> None:
    """End this process and the children it has started."""
    if os.name != "nt" and os.getpgrp() == os.getpid():
        import signal

        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _end_with_parent() -> None:
    """On Linux, where a library that hangs may never let the listening thread run: the kernel sees to it."""
    if sys.platform == "linux":
        import ctypes
        import signal

        parent = os.getppid()
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(0)
