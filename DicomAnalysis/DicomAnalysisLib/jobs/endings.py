"""How a child ended, in words for the user: one message for each way, with the log behind it."""

from __future__ import annotations

import os
import signal

from .events import CRASH, MEMORY, USER, Failure

LOG_TAIL = 20_000
"""Characters of a log that go with a failure."""

_WINDOWS_OUT_OF_MEMORY = {0xC0000017, 0xC000012D, 0xC000009A}
"""STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT, STATUS_INSUFFICIENT_RESOURCES."""


def unexplained_ending(returncode: int, log: str) -> Failure:
    """What a child that said neither result nor error has died of, as far as its exit code tells.

    Parameters
    ----------
    returncode : int
        As `subprocess` gives it: negative for a signal on Linux and macOS. A launcher between us
        and the child gives 128 + signal instead.
    log : str
        What the child wrote to its standard error.
    """
    details = f"exit code {returncode}\n{log[-LOG_TAIL:]}".rstrip()
    number = -returncode if returncode < 0 else returncode - 128 if 128 < returncode < 160 and os.name != "nt" else 0
    memory = number == getattr(signal, "SIGKILL", -1) or returncode % 2**32 in _WINDOWS_OUT_OF_MEMORY
    if memory or "MemoryError" in log or "bad_alloc" in log:
        return Failure(
            MEMORY,
            "The task was ended by the system, most likely because the memory was used up. Close other programs "
            "or volumes, or choose a smaller volume, and start it again.",
            details,
        )
    if returncode == 0:
        how = "ended without a result"
    elif number:
        how = f"crashed ({_signal_name(number)})"
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
