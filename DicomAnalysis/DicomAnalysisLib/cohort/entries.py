"""What a ledger says of an item: its state, and what became of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import __version__
from ..files.json_text import plain

PENDING, RUNNING, DONE, FAILED, SKIPPED = "pending", "running", "done", "failed", "skipped"
STATES = (PENDING, RUNNING, DONE, FAILED, SKIPPED)


@dataclass(frozen=True)
class Entry:
    """One item of a batch and what became of it.

    Attributes
    ----------
    item : str
        A series (and stack), a study, whatever the batch goes through.
    task : str
        What is done to it.
    state : str
        ``pending``, ``running``, ``done``, ``failed`` or ``skipped``.
    reason : str
        Why it failed or was skipped.
    options_hash, version : str
        Of the run that made it: `options_hash` of its options and this library's version.
    folder : str
        Its results, relative to the folder of the ledger.
    interruptions : int
        How often the process ended while the item was running.
    started, finished : float or None
        Seconds since the epoch.
    outcome : mapping
        What the batch wants to remember about it, with a JSON form.
    """

    item: str
    task: str
    state: str = PENDING
    reason: str = ""
    options_hash: str = ""
    version: str = ""
    folder: str = ""
    interruptions: int = 0
    started: float | None = None
    finished: float | None = None
    outcome: Mapping[str, object] = field(default_factory=dict)

    def is_current(self, options: str) -> bool:
        """Whether it was made with the same options (`options_hash`) by this version."""
        return (self.options_hash, self.version) == (options, __version__)


@dataclass(frozen=True)
class Ending:
    """What became of one item, for `Ledger.finish_many`.

    Attributes
    ----------
    item : str
    state : str
        ``done``, ``failed``, ``skipped``; ``pending`` where it is to be tried again.
    reason : str
        Why it failed or was skipped.
    outcome : mapping
        What is to be remembered about it, with a JSON form.
    interruptions : int
        How often a process ended over it.
    """

    item: str
    state: str
    reason: str = ""
    outcome: Mapping[str, object] = field(default_factory=dict)
    interruptions: int = 0


def options_hash(options: object) -> str:
    """A short digest of options (a dataclass, a mapping): equal for equal options, on every machine."""
    text = json.dumps(plain(options), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
