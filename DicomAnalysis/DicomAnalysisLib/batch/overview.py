"""How far a batch is, by a look at its output folder: nothing is written, nobody at work there is disturbed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..cohort.ledger import DONE, FAILED, SKIPPED
from ..cohort.ledger import NAME as LEDGER
from ..files.result_folder import RESULT
from .outcomes import SEGMENT


@dataclass(frozen=True)
class Overview:
    """What an output folder holds.

    Attributes
    ----------
    done : dict of str to str
        Series UID and what was segmented ("Headrest, Metal"; empty where only the folder tells).
    failed : dict of str to str
        Series UID and why.
    skipped : frozenset of str
        Series in which there is nothing to segment (scouts).
    """

    done: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()

    def left(self, series_uids: Iterable[str]) -> list[str]:
        """Which of some series have not been gone through, in their order."""
        return [uid for uid in series_uids if uid not in self.done | self.failed and uid not in self.skipped]


def look_at(folder: Path | str) -> Overview:
    """What is done in an output folder, which may be missing.

    A series counts as done when its main stack is. The ledger tells; result folders that it does not
    know (of the command line without one) count as done, too.
    """
    folder = Path(folder)
    done, failed, skipped = dict.fromkeys(_result_folders(folder), ""), {}, set()
    for item, state, reason, outcome in _ledger_rows(folder):
        if state == DONE and item in done:
            done[item] = ", ".join(_segments(outcome))
        elif state == FAILED:
            failed[item] = reason
            done.pop(item, None)
        elif state == SKIPPED:
            skipped.add(item)
        else:  # pending, running, or its results are gone
            done.pop(item, None)
    return Overview(done, failed, frozenset(skipped))


def _result_folders(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir() if (entry / RESULT).is_file()]
    except OSError:
        return []


def _ledger_rows(folder: Path) -> list[tuple[str, str, str, str]]:
    path = (folder / LEDGER).absolute()
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            statement = "SELECT item, state, reason, outcome FROM entries WHERE task = ? AND item NOT LIKE '%/%'"
            return connection.execute(statement, (SEGMENT,)).fetchall()
    except sqlite3.Error:
        return []  # whoever goes on with the batch is told by the ledger itself


def _segments(outcome: str) -> list[str]:
    try:
        return list(json.loads(outcome).get("segments", ()))
    except (ValueError, AttributeError):
        return []
