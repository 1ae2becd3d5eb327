"""A chunk on its way through a worker: how far it is, by what the worker says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import TaskError
from ..entries import Ending

Items = Sequence[tuple[str, Sequence[str]]]
Done = Callable[[list[Ending]], None]


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


class ChunkCourse:
    """What is known of a chunk while it is in work.

    Parameters
    ----------
    items : sequence of (str, sequence of str)
    on_done : callable
        Takes the endings of series that are safely on disk.

    Attributes
    ----------
    report : ChunkReport
    """

    def __init__(self, items: Items, on_done: Done):
        self.report = ChunkReport()
        self._items, self._on_done = [item for item, _ in items], on_done
        self._done: set[str] = set()
        self._at, self._since = -1, time.monotonic()

    @property
    def seconds(self) -> float:
        """For how long the worker has been at a series, or has said of none that it is."""
        return time.monotonic() - self._since

    def hear(self, message: Mapping[str, object]) -> bool:
        """Take what the worker says; whether it is through.

        Raises
        ------
        TaskError
            If it cannot go on, through no fault of a series.
        """
        if "at" in message:
            self._at, self._since = int(message["at"]), time.monotonic()
        elif "done" in message:
            endings = [Ending(**ending) for ending in message["done"]]
            self._done |= {ending.item for ending in endings}
            self._on_done(endings)
        elif "error" in message:
            raise TaskError(str(message["error"]))
        elif "suspect" in message:
            self.report.reason = str(message["suspect"])
        return "end" in message

    def worker_ended(self, how: str) -> ChunkReport:
        """The worker is no more.

        Parameters
        ----------
        how : str
            What is said of the series that it was at, where nothing is known of it yet; empty where nobody is to blame.
        """
        report = self.report
        report.worker_ended = True
        # What it did too long without a word was to begin.
        at = max(self._at, 0) if report.reason else self._at
        if how and at >= 0 and self._items[at] not in self._done:
            report.suspect, report.reason = self._items[at], report.reason or how
        report.left = [item for item in self._items if item not in self._done and item != report.suspect]
        return report
