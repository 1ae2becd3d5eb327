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


def kill_tree(process: subprocess.Popen) -> None:
    """End a process started with `popen_arguments`, its children and their children, at once.

    On Linux and macOS its process group is ended, also where the process itself is gone; on Windows
    its tree, while the process is there. Returns without waiting.
    """
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:  # afterwards its number may be another's
        subprocess.Popen(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            creationflags=subprocess.CREATE_NO_WINDOW,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
