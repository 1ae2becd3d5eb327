"""How far a run is: rate, remaining time, memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...jobs.remaining import RemainingTime

Watch = Callable[[float, int, int], object]
LINE_SECONDS = 5.0
_MOST_SAMPLES = 100_000


class RunProgress:
    """Tells people and programs how far a run is.

    Parameters
    ----------
    tell : callable
        Takes one line for people.
    watch : callable, optional
        Takes the share done, series done and series in all.
    what : str
        What they are called.

    Attributes
    ----------
    memory : int
        Largest worker seen, bytes.
    memory_over_time : list of (float, int)
        Seconds since the start, and the worker that was measured then.
    """

    def __init__(self, tell: Callable[[str], None], watch: Watch | None, what: str = "series"):
        self.tell, self._watch, self._what = tell, watch, what
        self.memory = 0
        self.memory_over_time: list[tuple[float, int]] = []
        self._remaining = RemainingTime()
        self._total, self._first = 0, 0
        self._started = self._told = time.monotonic()

    def begin(self, total: int, known: int) -> None:
        """There are so many series, of which earlier runs have gone through some."""
        self._total, self._first = total, known
        self._started = self._told = time.monotonic()
        self._remaining.add(self._started, known / max(total, 1))
        more = f", {known:,} of them by an earlier run" if known else ""
        self.tell(f"{total:,} {self._what}{more}")

    def saw_memory(self, size: int) -> None:
        """A worker was seen to hold so much."""
        if size:
            self.memory = max(self.memory, size)
            if len(self.memory_over_time) < _MOST_SAMPLES:
                self.memory_over_time.append((round(time.monotonic() - self._started, 2), size))

    def update(self, done: int) -> None:
        """So many series are gone through."""
        now = time.monotonic()
        share = done / max(self._total, 1)
        self._remaining.add(now, share)
        if self._watch is not None:
            self._watch(share, done, self._total)
        if now - self._told >= LINE_SECONDS:
            self._told = now
            self.tell(self._line(done, now))

    def _line(self, done: int, now: float) -> str:
        rate = (done - self._first) / max(now - self._started, 1e-9)
        left = self._remaining.seconds(now)
        parts = [f"{done:,} of {self._total:,} {self._what}"]
        if done > self._first:
            parts.append(f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute")
        if left is not None:
            parts.append(f"{duration(left)} left")
        if self.memory:
            parts.append(f"largest worker {self.memory // 1024**2:,} MB")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
