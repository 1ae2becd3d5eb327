"""Trying again what may go away by itself, with growing pauses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently.

    Attributes
    ----------
    retries : int
        Attempts after the first.
    first_wait_s, longest_wait_s : float
        The pause doubles from one to the other; a server's Retry-After is kept up to the longest.
    """

    retries: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0

    def wait_s(self, attempt: int, asked_s: float = 0.0) -> float:
        """The pause after an attempt (0 for the first), with a fifth of chance so that clients do not march in step."""
        planned = self.first_wait_s * 2**attempt * random.uniform(0.8, 1.2)
        return min(max(planned, asked_s), self.longest_wait_s)


def with_retries(policy: RetryPolicy, action: Callable[[], T], tell: Callable[[str], None]) -> T:
    """The result of `action`, which is tried again when it raises a `TransientError`.

    Raises
    ------
    TransientError
        The last one, when no attempt is left. Other errors at once.
    """
    for attempt in range(policy.retries):
        try:
            return action()
        except TransientError as error:
            wait = policy.wait_s(attempt, error.retry_after_s)
            tell(f"    {error} Trying again in {wait:.1f} s ({attempt + 1} of {policy.retries}).")
            time.sleep(wait)
    return action()
