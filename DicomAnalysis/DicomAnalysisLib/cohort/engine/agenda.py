"""What a run has still to do, in chunks: no ledger, no worker, only names."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

TRIES = 2
"""A series over which so many workers ended is put aside."""
CHUNK_SECONDS, LEAST_SECONDS = 2.0, 0.2
LARGEST_CHUNK, FIRST_CHUNK = 512, 4


class Agenda:
    """What is to be done, then, each alone, what a worker ended over.

    Parameters
    ----------
    todo : iterable of str
        Items, in the order in which they are to be done.
    suspects : mapping of str to int
        Items that may be what ends a worker, and how often one has ended over each.

    Attributes
    ----------
    in_work : int
        Chunks that are with a worker.
    """

    def __init__(self, todo: Iterable[str] = (), suspects: Mapping[str, int] | None = None):
        self._todo = deque(todo)
        self._tries = dict(suspects or {})
        self._suspects = deque(self._tries)
        self._seconds_each = 0.0
        self.in_work = 0

    def __len__(self) -> int:
        """How many items are with no worker."""
        return len(self._todo) + len(self._suspects)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, nor in work."""
        return not (self._todo or self._suspects or self.in_work)

    def next_chunk(self, workers: int) -> list[str]:
        """A chunk of about two seconds, less near the end; what a worker ended over goes alone and last.

        Parameters
        ----------
        workers : int
            How many there are.

        Returns
        -------
        list of str
            In work from now on; empty where nothing is left.
        """
        if self._todo:
            items = [self._todo.popleft() for _ in range(self._size(workers))]
        else:
            items = [self._suspects.popleft()] if self._suspects else []
        self.in_work += bool(items)
        return items

    def settle(self, left: Iterable[str] = (), doubtful: Iterable[str] = ()) -> None:
        """A worker is through with a chunk, or has ended over it.

        Parameters
        ----------
        left : iterable of str
            What was not done, through no fault of its own: it comes first.
        doubtful : iterable of str
            Of which one may be at fault: each goes alone.
        """
        self.in_work -= 1
        self._todo.extendleft(reversed([*left]))
        self._suspects.extend(doubtful)

    def suspect(self, item: str) -> int:
        """A worker ended over an item: it is tried once more, alone, until there were `TRIES`.

        Returns
        -------
        int
            How often that happened; from `TRIES` on the item is not tried again.
        """
        tries = self._tries[item] = self._tries.get(item, 0) + 1
        if tries < TRIES:
            self._suspects.append(item)
        return tries

    def took(self, seconds: float) -> None:
        """An item took so long."""
        self._seconds_each = 0.95 * self._seconds_each + 0.05 * seconds if self._seconds_each else seconds

    def _size(self, workers: int) -> int:
        size, least = FIRST_CHUNK, 1
        if self._seconds_each:
            size, least = (int(seconds / self._seconds_each) for seconds in (CHUNK_SECONDS, LEAST_SECONDS))
        share = max(least, -(-len(self._todo) // (2 * workers)))
        return max(1, min(size, LARGEST_CHUNK, share, len(self._todo)))
