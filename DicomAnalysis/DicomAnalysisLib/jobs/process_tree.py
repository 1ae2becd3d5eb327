"""Ending a child process together with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess


def popen_arguments() -> dict[str, object]:
    """What makes a child the head of a group of its own, without a console window."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def kill_tree(pid: int) -> None:
    """End a process started with `popen_arguments`, its children and their children, at once.

    On Linux and macOS its process group is ended, on Windows its tree. Returns without waiting;
    whoever is gone already is no failure.
    """
    if os.name == "nt":
        subprocess.Popen(
            ["taskkill", "/F", "/T", "/PID", str(pid)],
            creationflags=subprocess.CREATE_NO_WINDOW,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
