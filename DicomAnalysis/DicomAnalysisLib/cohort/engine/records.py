"""What becomes of the items of a run: what its ledger knew, what it is told, what the report says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ...files.names import is_safe_uid
from ...files.result_folder import RESULT
from ..entries import DONE, FAILED, PENDING, SKIPPED, Ending, Entry
from ..ledger import Ledger
from ..store import FeatureStore, base_of
from .agenda import TRIES, Agenda
from .journal import read_journals, read_notes, remove_journals
from .options import SEGMENT
from .spec import TaskSpec

QUARANTINED = "quarantined"
COMMIT_SECONDS = 1.0


class RunRecords:
    """The records of one run.

    Parameters
    ----------
    ledger : Ledger
    spec : TaskSpec
    items : collection of str
        All that the run is about.

    Attributes
    ----------
    kept : int
        Items that an earlier run has done or skipped.
    ended : dict of str to int
        How many this run has done and skipped.
    failed : dict of str to str
        Items that failed, now or earlier, and why.
    partial : int
        Items done, now or earlier, of which the ledger says what is missing.
    """

    def __init__(self, ledger: Ledger, spec: TaskSpec, items: Collection[str]):
        self._ledger, self._spec, self._items = ledger, spec, frozenset(items)
        self._task = ledger_task(spec.task)
        self._known: set[str] = set()
        self._endings: list[Ending] = []
        self._committed = time.monotonic()
        self.kept = 0
        self.ended = {DONE: 0, SKIPPED: 0}
        self.failed: dict[str, str] = {}
        self.partial = 0

    @property
    def gone_through(self) -> int:
        """Items that need no more work, whoever did it."""
        return sum(self.ended.values()) + len(self.failed) + self.kept

    def open(self, store: FeatureStore, *, anew: bool, retry_failed: bool) -> Agenda:
        """Bring the ledger up to date with what an earlier run has finished, and say what is left to do.

        Parameters
        ----------
        store : FeatureStore
        anew : bool
            Do again what was done.
        retry_failed : bool
            Do again what failed.
        """
        self._catch_up(anew)
        return self._choose(store, retry_failed)

    def start(self, items: Iterable[str]) -> None:
        """Work on items begins."""
        self._ledger.start_many(items, self._task, self._spec.options_hash, dated=not self._spec.key)

    def finish(self, endings: Iterable[Ending]) -> list[Ending]:
        """Take what became of items; answers with what was not known yet."""
        # Something is done twice when a worker could not say any more that it was.
        new = {ending.item: ending for ending in endings if ending.item not in self._known}
        for ending in new.values():
            if ending.state == FAILED:
                self.failed[ending.item] = ending.reason
            elif ending.state in self.ended:
                self.ended[ending.state] += 1
                self.partial += _is_partial(ending)
        self._known |= new.keys()
        self._endings += new.values()
        return list(new.values())

    def suspect(self, item: str, reason: str, tries: int) -> str:
        """Note that a worker ended over an item so many times; answers with what is to be said of it."""
        if tries < TRIES:
            self._endings.append(Ending(item, PENDING, reason, interruptions=tries))
            return f"{reason}; it is tried once more at the end"
        reason = f"{QUARANTINED} after {tries} tries: {reason}"
        self.failed[item] = reason
        self._endings.append(Ending(item, FAILED, reason, interruptions=tries))
        return reason

    def commit(self, *, now: bool = True) -> bool:
        """Tell the ledger, `now` or when it was not told for a second; whether it was told."""
        if not now and time.monotonic() - self._committed <= COMMIT_SECONDS:
            return False
        endings, self._endings = self._endings, []
        if endings:
            self._ledger.finish_many(endings, self._task, self._spec.options_hash, dated=not self._spec.key)
        self._committed = time.monotonic()
        return True

    def close(self) -> None:
        """Tell the ledger all that is known; what was in work is to be done."""
        self.commit()
        self._ledger.release(blame=False)

    def _catch_up(self, anew: bool) -> None:
        """Bring the ledger up to date with what an earlier run has finished and could not say any more."""
        task, spec = self._task, self._spec
        self._ledger.add(self._items, task, anew=anew)
        self._ledger.release(blame=False)
        finished = read_journals(spec.output)
        if anew:
            finished.pop((spec.task, spec.options_hash), None)
        for (other, options), endings in finished.items():
            self._ledger.finish_many(endings, ledger_task(other), options, dated=not spec.key)
        if not anew:
            ended = {ending.item for endings in finished.values() for ending in endings}
            self._ledger.blame([item for item in read_notes(spec.output) if item not in ended], task)
        remove_journals(spec.output)

    def _choose(self, store: FeatureStore, retry_failed: bool) -> Agenda:
        """What is to be done: all that is not done with the same options; last what a process ended over."""
        made_by = self._spec.model_hash, self._spec.recipe_hash
        stored = Counter(map(base_of, store.series(*made_by)))
        todo: list[str] = []
        suspects: dict[str, int] = {}
        stale: set[str] = set()
        for entry in self._ledger.entries(self._task):
            if entry.item not in self._items:
                continue
            if self._is_kept(entry, stored, retry_failed):
                if entry.state == FAILED:
                    self.failed[entry.item] = entry.reason
                else:
                    self.kept += 1
                    self.partial += _is_partial(entry)
                continue
            stale.update(_bases(entry))
            if entry.interruptions and not retry_failed:
                # A worker ended over it, which gave a reason; or it was only in work when the run itself was ended.
                suspects[entry.item] = 1 if entry.reason else 0
            else:
                todo.append(entry.item)
        # Of what fails this time, or has fewer stacks, nothing is to stay.
        store.remove(*made_by, stale)
        return Agenda(todo, suspects)

    def _is_kept(self, entry: Entry, stored: Mapping[str, int], retry_failed: bool) -> bool:
        """Whether an item needs not be done: it was, and what it gave is still there; or it failed for good."""
        current = entry.is_current(self._spec.options_hash)
        if entry.state == FAILED:
            return not retry_failed and (entry.reason.startswith(QUARANTINED) or current)
        if entry.state == DONE:
            rows = sum(stored.get(base, 0) for base in _bases(entry))
            return current and rows >= entry.outcome.get("rows", 1) and self._has_folder(entry.item)
        return entry.state == SKIPPED and current

    def _has_folder(self, item: str) -> bool:
        if self._spec.task != SEGMENT or self._spec.key or not is_safe_uid(item):
            return True
        return (Path(self._spec.output) / item / RESULT).is_file()


def _is_partial(known: Entry | Ending) -> bool:
    """Whether an item was done without something of it: the reason says what."""
    return known.state == DONE and bool(known.reason)


def _bases(entry: Entry) -> Sequence[str]:
    """What the rows of an item are called in the table: like it, where its series has a UID."""
    return entry.outcome.get("series") or (entry.item,)


def ledger_task(task: str) -> str:
    """What the ledger calls a task: not as the command `segment`, which may have the same output folder."""
    return f"cohort {task}"
