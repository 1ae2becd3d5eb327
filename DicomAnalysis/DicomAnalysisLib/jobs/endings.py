"""How a task ended, in words for the user: one message for each way, with the log behind it."""

from __future__ import annotations

import os
import signal
import traceback

from ..errors import DicomAnalysisError
from .events import CANCELLED, CRASH, DEPENDENCY, MEMORY, USER, Failure

LOG_TAIL = 20_000
"""Characters of a log that go with a failure."""

_WINDOWS_OUT_OF_MEMORY = {0xC0000017, 0xC000012D, 0xC000009A}
"""STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT, STATUS_INSUFFICIENT_RESOURCES."""

_LAUNCHER_SAYS, _PYTHON_SAYS = "exit abnormally", "Fatal Python error"


def describe_failure(error: BaseException) -> Failure:
    """An exception as what a user is told.

    Of unexpected ones only kind and place are given: their text may quote a DICOM header.
    """
    where = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        return was_cancelled()
    if isinstance(error, DicomAnalysisError):
        return Failure(USER, str(error), where)
    if isinstance(error, OSError):
        msg = f"A file could not be used: {error.strerror or type(error).__name__}. Check the disk and the folder."
        return Failure(USER, msg, where)
    if isinstance(error, MemoryError):
        msg = (
            "There is not enough memory for this task. Close other programs or volumes, or choose a smaller volume, "
            "and start it again."
        )
        return Failure(MEMORY, msg, f"{where}: {error}")
    if isinstance(error, ImportError):
        from ..dependencies import explain_missing_module

        return Failure(DEPENDENCY, explain_missing_module(error.name or ""), f"{where}: {error}")
    msg = (
        f"The task stopped at an unexpected {type(error).__name__}. What was finished before is kept. "
        "Please report it with the log."
    )
    return Failure(CRASH, msg, where)


def was_cancelled() -> Failure:
    """The user wanted it so."""
    return Failure(CANCELLED, "Cancelled.")


def unexplained_ending(returncode: int, log: str) -> Failure:
    """What a child that said neither result nor error has died of, as far as its exit code tells.

    Parameters
    ----------
    returncode : int
        As `subprocess` gives it: negative for a signal on Linux and macOS. A shell between us and
        the child gives 128 + signal instead, Slicer's launcher 1.
    log : str
        What the child wrote to its standard error.
    """
    details = f"exit code {returncode}\n{log[-LOG_TAIL:]}".rstrip()
    number = -returncode if returncode < 0 else returncode - 128 if 128 < returncode < 160 and os.name != "nt" else 0
    # Slicer's launcher tells of every crash alike. Python says when it crashes; when it is killed it cannot.
    abnormal = _LAUNCHER_SAYS in log
    killed = number == getattr(signal, "SIGKILL", -1) or (abnormal and _PYTHON_SAYS not in log and os.name != "nt")
    if killed or returncode % 2**32 in _WINDOWS_OUT_OF_MEMORY or "MemoryError" in log or "bad_alloc" in log:
        return Failure(
            MEMORY,
            "The task was ended by the system, most likely because the memory was used up. Close other programs "
            "or volumes, or choose a smaller volume, and start it again.",
            details,
        )
    if returncode == 0:
        how = "ended without a result"
    elif number or abnormal:
        how = f"crashed ({_signal_name(number)})" if number else "crashed"
    elif returncode % 2**32 >= 0xC0000000:
        how = f"crashed (code 0x{returncode % 2**32:08X})"
    else:
        how = f"ended unexpectedly (exit code {returncode})"
    return Failure(
        CRASH,
        f"The task {how}. What was finished before is kept. "
        "Start it again; if that does not help, report it with the log.",
        details,
    )


def could_not_start(error: OSError, program: str) -> Failure:
    """The interpreter itself could not be started."""
    return Failure(
        USER if isinstance(error, FileNotFoundError) else CRASH,
        f"{program} could not be started ({error.strerror or type(error).__name__}); reinstall it.",
        repr(error),
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
