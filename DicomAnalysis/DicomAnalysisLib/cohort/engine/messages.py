"""What workers and the driver of a run say to each other."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Protocol

from ..entries import Ending
from .course import ChunkReport, Items


@dataclass(frozen=True)
class Chunk:
    """Series that one worker does one after the other."""

    items: Items


@dataclass(frozen=True)
class Finished:
    """Some series are done, and what they gave is on disk."""

    endings: list[Ending]


@dataclass(frozen=True)
class Reported:
    """A worker is through with a chunk, or has ended over it."""

    chunk: Chunk
    report: ChunkReport


@dataclass(frozen=True)
class Failed:
    """The task cannot be done at all."""

    error: Exception


Messages = queue.SimpleQueue


class Workers(Protocol):
    """Who does chunks: processes of this machine, or a cluster.

    Attributes
    ----------
    capacity : int
        How many chunks they can have at once.
    """

    capacity: int

    def submit(self, chunk: Chunk) -> None:
        """Have a chunk done; messages tell what becomes of it."""

    def look(self) -> None:
        """See whether they are still there, and how many; called once a second.

        Raises
        ------
        TaskError
            If they are not.
        """

    def close(self) -> None:
        """Stop."""
