"""How much memory processes use, and how it is bounded."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def bound_memory(limit: int) -> None:
    """Let an allocation beyond `limit` bytes fail in this process (and its children), where the system can do that.

    On Linux data are bounded, not address space: libraries and drivers map far more than they use.
    """
    if limit and sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 where that cannot be known."""
    if sys.platform == "linux":
        return sum(_resident(one) for one in _tree(pid))
    try:
        import psutil
    except ImportError:
        return 0
    try:
        process = psutil.Process(pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


def _tree(pid: int) -> list[int]:
    found, at = [pid], 0
    while at < len(found):
        with contextlib.suppress(OSError, ValueError):
            for tasks in Path(f"/proc/{found[at]}/task").iterdir():
                found += map(int, (tasks / "children").read_text().split())
        at += 1
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
