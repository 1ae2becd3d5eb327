"""One long task at a time: in a child process that is watched, or at once in this one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from .log import Log


class Job(Protocol):
    """What is used of a running `BackgroundJob`."""

    state: str
    progress: Any
    result: Any
    failure: Any
    log: str
    remaining_seconds: float | None

    def cancel(self) -> None: ...  # noqa: D102
    def wait(self, seconds: float | None = None) -> Any: ...  # noqa: D102


class TaskRunner:
    """Starts tasks and tells what becomes of them; results arrive on the main thread, once.

    Parameters
    ----------
    log : Log

    Attributes
    ----------
    title : str
        What is running, in words for the user; empty when nothing is.
    job : Job or None
        The one that runs in a child process, where one does.
    message : str
        How the last task failed; empty where it did not.
    listeners : list of callable
        Called without arguments whenever one of these, or the progress, changed.
    """

    def __init__(self, log: Log):
        self.log = log
        self.title = ""
        self.job: Job | None = None
        self.message = ""
        self.listeners: list[Callable[[], None]] = []
        self._on_result: Callable[[Any], None] | None = None
        self._on_end: Callable[[], None] = _nothing

    def start(
        self,
        title: str,
        begin: Callable[..., Job],
        on_result: Callable[[Any], None] | None = None,
        on_end: Callable[[], None] | None = None,
        about: str = "",
    ) -> None:
        """Do work in a child process.

        Parameters
        ----------
        title : str
            For the user.
        begin : callable
            ``begin(onProgress=…, onDone=…)`` starts it: a call of the logic. Its errors are told as
            those of the work are.
        on_result : callable, optional
            Given the job's result, once, if it succeeds.
        on_end : callable, optional
            Called when the task has ended, however it did.
        about : str
            What it works on, for the log: a UID or node ID, never a name.
        """
        self._begin(title, about)
        self._on_result, self._on_end = on_result, on_end or _nothing
        try:
            self.job = begin(onProgress=lambda _job: self._changed(), onDone=self._ended)
        except Exception as error:  # noqa: BLE001 (whatever it is, the user is told)
            self._fail(error)
            self._end()
        self._changed()

    def run_here(self, title: str, work: Callable[[], Any], about: str = "") -> Any:
        """Do short work at once, in this process; returns its value, or None where it failed (the user is told)."""
        self._begin(title, about)
        self._changed()
        slicer.app.processEvents()  # buttons are disabled already: what is being done is to be seen
        value = None
        try:
            with slicer.util.tryWithErrorDisplay(show=False, waitCursor=True):
                value = work()
            self.log.add(_("Done: {title}").format(title=title))
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(error)
        self._end()
        return value

    def cancel(self) -> None:
        """Stop the child; within two seconds it is gone, with all that it started and left unfinished."""
        if self.job is not None:
            self.job.cancel()
            self._changed()

    def close(self) -> None:
        """Stop what runs and wait for its end (two seconds at most): the panel goes away."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        job = self.job
        if job is not None:
            self.listeners, self._on_end = [], _nothing
            job.cancel()
            with contextlib.suppress(DicomAnalysisError):  # it was cancelled, as it tells
                job.wait(2.0)

    def say(self, message: str) -> None:
        """Show a message, or take it away."""
        self.message = message
        self._changed()

    def _begin(self, title: str, about: str) -> None:
        if self.title:
            msg = f"Still busy: {self.title}"
            raise RuntimeError(msg)
        self.title, self.message = title, ""
        self.log.add(_("Started: {title}").format(title=f"{title} ({about})" if about else title))

    def _ended(self, job: Job) -> None:
        if job.failure is None:
            self.log.add(_("Done: {title}").format(title=self.title))
            try:
                if self._on_result is not None:
                    self._on_result(job.result)
            except Exception as error:  # noqa: BLE001 (else everything would wait for a task that is over)
                self._fail(error)
        else:
            self._tell(job.failure, job.log)
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, _nothing
        self.title, self.job = "", None
        try:
            on_end()
        finally:
            self._changed()

    def _fail(self, error: BaseException) -> None:
        from DicomAnalysisLib.worker import describe_failure

        self._tell(describe_failure(error))

    def _tell(self, failure: Any, child_log: str = "") -> None:
        self.message = _("{title}: {message}").format(title=self.title, message=failure.message)
        lines = [self.message, failure.details, child_log]
        self.log.add("\n".join(line for line in lines if line), error=failure.kind != "cancelled")

    def _changed(self) -> None:
        for listener in self.listeners:
            listener()


def _nothing() -> None:
    """What there is to do at the end, where nobody asked for more."""
