"""A child process that does one job, watched by `poll` and never waited for."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import DicomAnalysisError
from ..files.json_text import json_text
from .command import child_environment, find_python, worker_command
from .endings import LOG_TAIL, could_not_start, describe_failure, unexplained_ending, was_cancelled
from .events import EpochUpdate, Event, Failure, Progress, Result, SeriesUpdate, from_line
from .job import Job
from .process_tree import kill_tree, popen_arguments
from .remaining import RemainingTime
from .workspace import Workspace, remove_abandoned_workspaces

NEW, PREPARING, RUNNING, CANCELLING = "new", "preparing", "running", "cancelling"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"

PREPARE_SECONDS = 0.05
"""Longest that one `poll` writes to files for the child."""

GRACE_SECONDS = 0.7
"""How long a child that is told to stop may tidy up before it is ended."""


class JobProcess:
    """One job in a child process.

    The child's events and log go through files in a temporary folder, so that nothing blocks,
    no pipe fills up while nobody looks, and what a killed child said last can still be read.

    Parameters
    ----------
    job : Job
    on_progress, on_series, on_epoch, on_done : callable, optional
        Called inside `poll` with a `Progress`, a `SeriesUpdate`, an `EpochUpdate`, and at the end with this object.
    python : str, optional
        The interpreter; found by itself (`find_python`).
    temporary : path, optional
        Where the temporary folder is made; the system's own by default.

    Attributes
    ----------
    state : str
        ``new``, ``preparing``, ``running``, ``cancelling``, and at the end ``done``, ``failed`` or ``cancelled``.
    progress : Progress
        The last one.
    value : object
        What the job is for (see `Job.collect`), where it is done.
    failure : Failure or None
        Why it is not, where it failed or was cancelled.
    """

    def __init__(
        self,
        job: Job,
        *,
        on_progress: Callable[[Progress], object] | None = None,
        on_series: Callable[[SeriesUpdate], object] | None = None,
        on_epoch: Callable[[EpochUpdate], object] | None = None,
        on_done: Callable[[JobProcess], object] | None = None,
        python: str | None = None,
        temporary: Path | str | None = None,
    ):
        self.job = job
        self.state = NEW
        self.progress = Progress()
        self.value: object = None
        self.failure: Failure | None = None
        self._on_progress, self._on_done = on_progress, on_done
        self._on_series, self._on_epoch = on_series, on_epoch
        self._python, self._temporary = python, temporary
        self._workspace: Workspace | None = None
        self._preparation: Iterator[object] = iter(())
        self._child: subprocess.Popen | None = None
        self._remaining = RemainingTime()
        self._read = 0
        self._result: Result | None = None
        self._kill_at: float | None = None
        self._log = ""
        self._untold: deque[tuple[Callable[[object], object], object]] = deque()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def remaining_seconds(self) -> float | None:
        """An estimate of the time left; None while there is too little to go by."""
        return self._remaining.seconds(time.monotonic()) if self.state == RUNNING else None

    @property
    def log(self) -> str:
        """The end of what the child wrote to its standard error (and what on its standard output was no event)."""
        if self._workspace is None or self.is_over:
            return self._log
        return (self._log + _tail(self._workspace.path / "log.txt"))[-LOG_TAIL:]

    def start(self) -> None:
        """Begin; the rest happens in `poll`. A failure to begin is told as every other failure is, by `poll`."""
        if self.state != NEW:
            msg = "A JobProcess can be started once."
            raise RuntimeError(msg)
        self.state = PREPARING

    def poll(self) -> None:
        """Do what there is to do and return at once (0.05 s and less); to be called about ten times a second.

        What a callback raises comes out of here; the job goes on with the next call.
        """
        try:
            if self.state == PREPARING:
                self._prepare()
            if self.state in (RUNNING, CANCELLING):
                self._watch()
        except Exception as error:  # noqa: BLE001 (a timer that dies would leave the user waiting for ever)
            self._finish(FAILED, describe_failure(error))
        # Last, so that a callback that runs an event loop of its own finds everything as it should be.
        while self._untold:
            call, argument = self._untold.popleft()
            call(argument)

    def cancel(self) -> None:
        """Stop; returns at once. `poll` sees to it that all is gone within two seconds."""
        if self.state == RUNNING:
            self.state = CANCELLING
            self._kill_at = time.monotonic() + GRACE_SECONDS
            self._workspace.ask_to_stop()
        elif self.state in (NEW, PREPARING):
            self._finish(CANCELLED, was_cancelled())

    def wait(self, seconds: float | None = None, meanwhile: Callable[[], object] | None = None) -> JobProcess:
        """Poll until the job is over, for scripts.

        Parameters
        ----------
        seconds : float, optional
            Return after so many seconds, over or not.
        meanwhile : callable, optional
            Called between polls, to keep a window alive.
        """
        end = None if seconds is None else time.monotonic() + seconds
        self.poll()
        while not self.is_over and (end is None or time.monotonic() < end):
            if meanwhile is not None:
                meanwhile()
            time.sleep(0.02)
            self.poll()
        return self

    def close(self) -> None:
        """Cancel where something is still going on, and wait until it is gone (two seconds at most)."""
        self.cancel()
        self.wait(2.0)

    def _prepare(self) -> None:
        if self._workspace is None:
            remove_abandoned_workspaces(self._temporary)
            self._workspace = Workspace(self._temporary)
            if self.job.prepare is not None:
                self._preparation = self.job.prepare(self._workspace.path)
        until = time.monotonic() + PREPARE_SECONDS
        for _ in self._preparation:
            if time.monotonic() > until:
                return
        self._launch()

    def _launch(self) -> None:
        folder = self._workspace.path
        arguments = {**self.job.arguments, "workspace": folder}
        document = {"task": self.job.task, "arguments": arguments, "memory_limit": self.job.memory_limit}
        (folder / "job.json").write_text(json_text(document), encoding="utf-8")
        program = self._python or find_python()
        with (folder / "events.jsonl").open("wb") as events, (folder / "log.txt").open("wb") as log:
            try:
                self._child = subprocess.Popen(
                    worker_command(folder / "job.json", program),
                    stdin=subprocess.DEVNULL,
                    stdout=events,
                    stderr=log,
                    cwd=folder,
                    env=child_environment(self.job.environment),
                    **popen_arguments(),
                )
            except OSError as error:
                self._finish(FAILED, could_not_start(error, program))
                return
        self.state = RUNNING

    def _watch(self) -> None:
        returncode = self._child.poll()  # before reading: nothing is written after the end
        for event in self._new_events(ended=returncode is not None):
            self._take(event)
        if returncode is None:
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                kill_tree(self._child)
                self._kill_at = time.monotonic() + GRACE_SECONDS
            return
        if self.state == CANCELLING:
            self._finish(CANCELLED, was_cancelled())
        elif self._result is not None and returncode == 0:
            self._collect()
        else:
            self._finish(FAILED, self.failure or unexplained_ending(returncode, self.log))

    def _new_events(self, ended: bool) -> Iterator[Event]:
        with (self._workspace.path / "events.jsonl").open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text if ended else text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            event = from_line(line)
            if event is not None:
                yield event
            elif line.strip():
                self._log += line.decode("utf-8", "replace") + "\n"

    def _take(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._remaining.add(time.monotonic(), event.value)
            self._tell(self._progressed, event)
        elif isinstance(event, SeriesUpdate):
            self._tell(self._on_series, event)
        elif isinstance(event, EpochUpdate):
            self._tell(self._on_epoch, event)
        elif isinstance(event, Result):
            self._result = event
        else:
            self.failure = event

    def _progressed(self, progress: Progress) -> None:
        """Several may come at once; each is the present one while it is told."""
        self.progress = progress
        if self._on_progress is not None:
            self._on_progress(progress)

    def _collect(self) -> None:
        collect = self.job.collect
        values, folder = self._result.values, self._workspace.path
        self.value = values if collect is None else collect(values, folder)
        self._finish(DONE)

    def _finish(self, state: str, failure: Failure | None = None) -> None:
        self._log = self.log
        self.state, self.failure = state, failure
        if self._child is not None:
            kill_tree(self._child)  # whom the child left behind, or the child itself where we failed
            self._clean()
        if self._workspace is not None:
            self._workspace.remove()
        self._tell(self._on_done, self)

    def _clean(self) -> None:
        if self.state == DONE or self.job.clean is None:
            return
        try:
            self._child.wait(GRACE_SECONDS)
            self.job.clean(self.state == CANCELLED)
        except (DicomAnalysisError, OSError, subprocess.TimeoutExpired) as error:
            self._log += f"\nWhat was left unfinished could not be removed: {error}"

    def _tell(self, callback: Callable[[object], object] | None, argument: object) -> None:
        if callback is not None:
            self._untold.append((callback, argument))


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_TAIL))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
