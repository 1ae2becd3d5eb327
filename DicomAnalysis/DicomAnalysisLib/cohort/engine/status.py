"""How far a run is, by a look at its ledger: nobody at work there is disturbed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import SourceError
from ..ledger import DONE, FAILED, LOCK, NAME, STATES

_PREFIX = "cohort "
_RECENT = 200


@dataclass(frozen=True)
class TaskStatus:
    """How far one task is.

    Attributes
    ----------
    task : str
    counts : dict of str to int
        Series in each state.
    failed : dict of str to str
        Series that failed, and why.
    partial : dict of str to str
        Series that were done without something of them, and without what.
    rate : float
        Series a second, of the last 200; 0 where the ledger holds no times.
    is_running : bool
        Whether a process is at work in the folder.
    """

    task: str
    counts: dict[str, int]
    failed: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    rate: float = 0.0
    is_running: bool = False


def look_at_run(output: Path | str) -> list[TaskStatus]:
    """Every task of a cohort in an output folder.

    Raises
    ------
    SourceError
        If there is no ledger of a cohort.
    """
    path = Path(output) / NAME
    found: list[TaskStatus] = []
    if path.is_file():
        try:
            # Not read-only: what a killed run has left half-written in it is put right first.
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=30)) as connection:
                tasks = connection.execute("SELECT DISTINCT task FROM entries ORDER BY task").fetchall()
                found = [
                    _status(connection, task, _is_held(path.parent)) for (task,) in tasks if task.startswith(_PREFIX)
                ]
        except sqlite3.Error as error:
            msg = f"The ledger {path} cannot be read ({error})."
            raise SourceError(msg) from error
    if not found:
        msg = f"There is no run of a cohort in {output}; `cohort run --output` begins one."
        raise SourceError(msg)
    return found


def _status(connection: sqlite3.Connection, task: str, is_running: bool) -> TaskStatus:
    counts = connection.execute("SELECT state, COUNT(*) FROM entries WHERE task = ? GROUP BY state", (task,)).fetchall()
    reasons = "SELECT item, reason FROM entries WHERE task = ? AND state = ? AND reason <> '' ORDER BY item"
    failed, partial = (dict(connection.execute(reasons, (task, state)).fetchall()) for state in (FAILED, DONE))
    times = connection.execute(
        "SELECT finished FROM entries WHERE task = ? AND finished IS NOT NULL ORDER BY finished DESC LIMIT ?",
        (task, _RECENT),
    ).fetchall()
    span = times[0][0] - times[-1][0] if len(times) > 1 else 0.0
    rate = (len(times) - 1) / span if span > 0 else 0.0
    states = dict.fromkeys(STATES, 0) | dict(counts)
    return TaskStatus(task.removeprefix(_PREFIX), states, failed, partial, round(rate, 3), is_running)


def _is_held(folder: Path) -> bool:
    """Whether another process holds the folder."""
    lock = folder / LOCK
    if not lock.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{lock.resolve().as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return False
