"""What a child process says while it works: one JSON object a line, each with a ``type``.

``progress`` (value from 0 to 1, stage, message), ``series`` (what becomes of one stack of one
series), ``epoch`` (what an epoch of a training reached), ``result`` (at the end, all was done) or
``error`` (at the end, it was not).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from ..files.json_text import plain

USER, CRASH, MEMORY, DEPENDENCY, CANCELLED = "user", "crash", "memory", "dependency", "cancelled"
KINDS_OF_FAILURE = (USER, CRASH, MEMORY, DEPENDENCY, CANCELLED)


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    value : float
        From 0 to 1.
    stage : str
        What is being done, in a word or two.
    message : str
        More about it; empty, or with a series UID, never with a name.
    """

    value: float = 0.0
    stage: str = ""
    message: str = ""


@dataclass(frozen=True)
class SeriesUpdate:
    """What becomes of one stack of one series of a batch.

    Attributes
    ----------
    series_uid : str
    stack : int
        1 for the main stack.
    status : str
        ``running``, then ``done``, ``skipped`` or ``failed``.
    folder : str
        Where its results are or will be; empty where there are none.
    reason : str
        Why it was skipped or failed.
    segments : mapping of str to float
        Name and volume in ml.
    warnings : tuple of str
    seconds : float
    kept : bool
        Whether an earlier run, which this one resumed, has done it.
    """

    series_uid: str
    stack: int = 1
    status: str = "running"
    folder: str = ""
    reason: str = ""
    segments: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    kept: bool = False


@dataclass(frozen=True)
class EpochUpdate:
    """What an epoch of a training reached.

    Attributes
    ----------
    record : mapping
        As `networks.fit_options.EpochRecord` has it: ``epoch`` (from 1), ``training_loss``, ``validation_loss``,
        ``score``, ``class_scores``, ``learning_rate``, ``seconds``, ``is_best``.
    strip : str
        Path of the picture of its predictions; empty where there is none.
    """

    record: Mapping[str, object] = field(default_factory=dict)
    strip: str = ""


@dataclass(frozen=True)
class Result:
    """All was done; `values` are the task's own."""

    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a job ended without a result.

    Attributes
    ----------
    kind : str
        ``user`` (the data or an option), ``memory``, ``dependency`` (a package is missing),
        ``cancelled`` or ``crash`` (a bug, ours or a library's).
    message : str
        For the user: what happened and what to do.
    details : str
        For a report: where in the program; the end of the log.
    """

    kind: str
    message: str
    details: str = ""


Event = Progress | SeriesUpdate | EpochUpdate | Result | Failure
_TYPES = {"progress": Progress, "series": SeriesUpdate, "epoch": EpochUpdate, "result": Result, "error": Failure}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def to_line(event: Event) -> bytes:
    """An event as one line of ASCII."""
    values = {"values": dict(event.values)} if isinstance(event, Result) else asdict(event)
    document = {"type": _NAMES[type(event)]} | (values.pop("values", {}) | values)
    return json.dumps(plain(document), allow_nan=False).encode("ascii") + b"\n"


def from_line(line: bytes) -> Event | None:
    """The event that a line holds; None for a line that is no event."""
    try:
        document = json.loads(line)
        name = document.pop("type")
        if name == "result":
            return Result(document)
        if name == "series":
            document["warnings"] = tuple(document.get("warnings", ()))
        return _TYPES[name](**document)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Reporter:
    """A task's way to say how far it is.

    Parameters
    ----------
    write : callable
        Takes one line of bytes.
    interval : float
        Seconds between progress lines of one stage: a thousand slices are no thousand lines.
    """

    def __init__(self, write: Callable[[bytes], object], interval: float = 0.05):
        self._write = write
        self._interval = interval
        self._last = ("", -1.0)
        self._furthest = 0.0

    def progress(self, value: float, stage: str, message: str = "") -> None:
        """Say how far the task is (0 to 1); it never goes back."""
        now = time.monotonic()
        self._furthest = min(1.0, max(self._furthest, float(value)))
        if stage != self._last[0] or now - self._last[1] >= self._interval:
            self._last = (stage, now)
            self.send(Progress(self._furthest, stage, message))

    def send(self, event: Event) -> None:
        """Write one event at once."""
        self._write(to_line(event))
