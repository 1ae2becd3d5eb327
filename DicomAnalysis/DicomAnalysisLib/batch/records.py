"""The ledger's side of a batch: rows for result folders, outcomes for rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ..cohort import ledger as states
from ..cohort.ledger import MAX_INTERRUPTIONS, NAME, Entry, Ledger, open_ledger, options_hash
from ..files.names import is_safe_uid
from ..files.result_folder import RESULT
from .leftovers import remove_unfinished
from .outcomes import DONE, FAILED, SEGMENT, SeriesOutcome
from .units import Unit


class Outcome(Protocol):
    """What became of one item, as a dataclass; ``folder`` says where its results are."""

    status: str
    reason: str
    folder: Path | None


class Records:
    """What a batch notes in its ledger; without a ledger, nothing.

    An item of the ledger is a result folder, relative to the output folder.

    Parameters
    ----------
    ledger : Ledger or None
    output : Path
    task : str
    options : object
        What the results depend on; with others, an item is not done.
    resume : bool
        Whether what was done is to be kept.
    """

    def __init__(self, ledger: Ledger | None, output: Path, task: str, options: object, resume: bool):
        self._ledger, self._output, self._task, self._resume = ledger, output, task, resume
        self._options = options_hash(options)

    def tidy_up(self, *, blame: bool) -> None:
        """Put back what was running and remove what it left half-written."""
        if self._ledger is not None:
            for entry in self._ledger.release(blame=blame):
                remove_unfinished(self._output, self._output / entry.folder)

    def expect(self, folders: Iterable[Path]) -> None:
        """Note folders before the work on the first of them begins."""
        if self._ledger is not None:
            self._ledger.add(map(self._item, folders), self._task, anew=not self._resume)

    def start(self, folder: Path) -> None:
        """Work on an item begins."""
        if self._ledger is not None:
            item = self._item(folder)
            self._ledger.start(item, self._task, self._options, item)

    def finish(self, folder: Path, outcome: Outcome) -> None:
        """Work on an item has ended."""
        if self._ledger is not None:
            remembered = replace(outcome, folder=None)
            self._ledger.finish(self._item(folder), self._task, outcome.status, outcome.reason, vars(remembered))

    def known(self, folder: Path) -> Entry | None:
        """What the run that is resumed noted of an item."""
        if self._ledger is None or not self._resume:
            return None
        return self._ledger.entry(self._item(folder), self._task)

    def known_interruptions(self) -> dict[str, int]:
        """How often the process ended over each item, in the run that is resumed."""
        if self._ledger is None or not self._resume:
            return {}
        return {entry.item: entry.interruptions for entry in self._ledger.entries(self._task)}

    def _item(self, folder: Path) -> str:
        return folder.relative_to(self._output).as_posix()


class SeriesRecords(Records):
    """The records of a batch that segments series; see `Records`."""

    def __init__(self, ledger: Ledger | None, output: Path, options: object, resume: bool):
        super().__init__(ledger, output, SEGMENT, options, resume)

    def open(self, series_uids: Iterable[str]) -> None:
        """Tidy up after a run that was ended, and note what is to come."""
        if self._ledger is not None:
            self.tidy_up(blame=True)
            self._ledger.add(filter(is_safe_uid, series_uids), self._task, anew=not self._resume)

    def suspects_last(self, units: Sequence[Unit]) -> list[Unit]:
        """The units in their order, but those last during which the process ended: one of them may be what ends it."""
        known = {item.partition("/")[0]: count for item, count in self.known_interruptions().items()}
        return sorted(units, key=lambda unit: known.get(unit.series_uid, 0))

    def kept_series(self, series_uid: str) -> list[SeriesOutcome]:
        """The outcomes of a series of which nothing is left to do; empty where something is."""
        if self._ledger is None or not self._resume or not is_safe_uid(series_uid):
            return []
        kept = [self._kept(entry) for entry in self._ledger.family(series_uid, self._task)]
        return kept if all(kept) else []

    def kept(self, folder: Path) -> SeriesOutcome | None:
        """The outcome of a stack that needs not be done again, or None."""
        return self._kept(self.known(folder))

    def _kept(self, entry: Entry | None) -> SeriesOutcome | None:
        if entry is None:
            return None
        if is_put_aside(entry):
            stack = int(entry.item.rpartition("/stack-")[2]) if "/stack-" in entry.item else 1
            return SeriesOutcome(entry.item.partition("/")[0], FAILED, stack, reason=entry.reason, kept=True)
        folder = self._output / entry.folder
        there = entry.state == states.SKIPPED or (entry.state == states.DONE and (folder / RESULT).is_file())
        if not there or not entry.is_current(self._options):
            return None
        values = {**entry.outcome, "folder": folder if entry.state == DONE else None, "kept": True}
        return SeriesOutcome(**{**values, "warnings": tuple(values["warnings"])})


def is_put_aside(entry: Entry) -> bool:
    """Whether the process ended so often over an item that it is not tried again."""
    return entry.state == states.FAILED and entry.interruptions >= MAX_INTERRUPTIONS


def tidy_up(output: Path, *, blame: bool) -> None:
    """Remove what an ended run left half-written in its output folder, and free its ledger for the next one.

    Parameters
    ----------
    output : Path
    blame : bool
        Whether the run ended by itself (see `Ledger.release`).
    """
    if (output / NAME).is_file():
        with open_ledger(output, patience=1.0) as ledger:  # a child that was just ended may still be letting go
            Records(ledger, output, "", {}, resume=True).tidy_up(blame=blame)
