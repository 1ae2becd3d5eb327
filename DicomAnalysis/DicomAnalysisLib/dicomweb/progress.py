"""Lines about a long transfer, not too many of them."""

from __future__ import annotations

import time
from collections.abc import Callable

Tell = Callable[[str], None]


class Ticker:
    """Tells how far a transfer is, at most every few seconds.

    Parameters
    ----------
    tell : callable
        Called with a line of text.
    total : int
        Objects to be transferred.
    every_s : float
    """

    def __init__(self, tell: Tell, total: int, every_s: float = 2.0):
        self._tell, self._total, self._every_s = tell, total, every_s
        self._started = self._last = time.monotonic()

    def at(self, done: int, transferred: int) -> None:
        """`done` objects and `transferred` bytes so far."""
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            rate = transferred / max(now - self._started, 1e-3)
            self._tell(f"    {done} of {self._total} objects, {amount(transferred)}, {amount(rate)} per second")


def amount(count: float) -> str:
    """Bytes for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"
