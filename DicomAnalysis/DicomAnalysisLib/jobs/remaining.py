"""How long a job will still take, from how far it has come."""

from __future__ import annotations

from collections import deque

SMALLEST_SHARE, SMALLEST_SECONDS = 0.02, 0.5
WINDOW = 40


class RemainingTime:
    """An estimate of the seconds left.

    The rate is that of the recent past where it is known, so that a job whose first tenth was
    slow (reading from a cold disk) is not held to that for long.
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float]] = deque(maxlen=WINDOW)

    def add(self, seconds: float, value: float) -> None:
        """Note that the share `value` (0 to 1) was reached at `seconds` (any monotonic clock)."""
        if not self._steps or value > self._steps[-1][1]:
            self._steps.append((seconds, value))

    def seconds(self, now: float) -> float | None:
        """Seconds left at `now`; None while there is too little to go by."""
        if len(self._steps) < 2:
            return None
        (first, start), (last, value) = self._steps[0], self._steps[-1]
        if value - start < SMALLEST_SHARE or last - first < SMALLEST_SECONDS:
            return None
        rate = (value - start) / (last - first)
        return max(0.0, (1.0 - value) / rate - (now - last))
