"""Long work for scripts and the Python console: started, then watched by a timer while Slicer stays usable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import slicer

POLL_MS = 100
POLL_SECONDS = 0.02


class Timer(Protocol):
    """What is used of `qt.QTimer`."""

    def setInterval(self, milliseconds: int) -> None: ...  # noqa: D102, N802
    def connect(self, signal: str, slot: Callable[[], None]) -> None: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102


class BackgroundJob:
    """One job that runs beside Slicer.

    Parameters
    ----------
    job : DicomAnalysisLib.jobs.Job
    finish : callable, optional
        Makes the job's value into `result`, on the main thread: puts it into the scene, for example.
    on_progress, on_series, on_epoch, on_done : callable, optional
        Called on the main thread with this object; `on_series` with a `SeriesUpdate`, `on_epoch` with an `EpochUpdate`.
    timer : Timer, optional
        A new `qt.QTimer` by default.
    new_process : callable, optional
        `DicomAnalysisLib.jobs.JobProcess` by default.

    Attributes
    ----------
    result : object
        What was made, once `state` is ``done``.
    failure : DicomAnalysisLib.jobs.Failure or None
        Why there is none, once it is ``failed`` or ``cancelled``.
    """

    _alive: set[BackgroundJob] = set()  # noqa: RUF012 (all jobs that run: nobody else may hold them)

    def __init__(
        self,
        job: Any,
        finish: Callable[[Any], Any] | None = None,
        on_progress: Callable[[BackgroundJob], object] | None = None,
        on_series: Callable[[Any], object] | None = None,
        on_epoch: Callable[[Any], object] | None = None,
        on_done: Callable[[BackgroundJob], object] | None = None,
        timer: Timer | None = None,
        new_process: Callable[..., Any] | None = None,
    ):
        from DicomAnalysisLib.jobs import JobProcess

        self.result: Any = None
        self.failure: Any = None
        self._finish, self._on_progress, self._on_done = finish or (lambda value: value), on_progress, on_done
        self._over = False
        self._process = (new_process or JobProcess)(
            job,
            on_progress=self._progressed,
            on_series=on_series,
            on_epoch=on_epoch,
            on_done=self._ended,
            temporary=getattr(slicer.app, "temporaryPath", None) or None,  # as set in the application's settings
        )
        self._timer = timer or _qt_timer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._process.poll)
        self._alive.add(self)
        self._process.start()
        self._timer.start()

    @property
    def state(self) -> str:
        """``preparing``, ``running`` or ``cancelling``; at the end ``done``, ``failed`` or ``cancelled``."""
        return "failed" if self._over and self.failure and self._process.state == "done" else self._process.state

    @property
    def progress(self) -> Any:
        """How far it is: ``value`` from 0 to 1, ``stage`` and ``message``."""
        return self._process.progress

    @property
    def remaining_seconds(self) -> float | None:
        """An estimate of the time left; None while there is too little to go by."""
        return self._process.remaining_seconds

    @property
    def log(self) -> str:
        """The end of what the child wrote to its log."""
        return self._process.log

    def cancel(self) -> None:
        """Stop; within two seconds the child is gone, with its children and whatever it left unfinished."""
        self._process.cancel()

    def close(self) -> None:
        """Cancel, and wait until nothing is left (two seconds at most); events are not processed meanwhile.

        For the end of the application or of the panel.
        """
        self._process.close()

    def wait(self, seconds: float | None = None) -> Any:
        """Wait for the end, with Slicer's window alive, and return the result.

        Parameters
        ----------
        seconds : float, optional
            Longest time to wait; None is returned where that is not enough.

        Raises
        ------
        DicomAnalysisLib.errors.TaskError
            If the job failed or was cancelled; the message says why.
        """
        from DicomAnalysisLib.errors import TaskError

        end = None if seconds is None else time.monotonic() + seconds
        while not self._over and (end is None or time.monotonic() < end):
            slicer.app.processEvents()
            self._process.poll()
            time.sleep(0 if self._over else POLL_SECONDS)
        if self.failure is not None:
            raise TaskError(self.failure.message)
        return self.result

    def _progressed(self, _progress: Any) -> None:
        if self._on_progress is not None:
            self._on_progress(self)

    def _ended(self, process: Any) -> None:
        self._timer.stop()
        self._alive.discard(self)
        self.failure = process.failure
        if self.failure is None:
            from DicomAnalysisLib.worker import describe_failure

            try:
                self.result = self._finish(process.value)
            except Exception as error:  # noqa: BLE001 (whatever it is, the caller is told)
                self.failure = describe_failure(error)
        self._over = True
        if self._on_done is not None:
            self._on_done(self)


def _qt_timer() -> Timer:
    import qt

    return qt.QTimer()


def require_in_scene(volume_node: slicer.vtkMRMLNode) -> None:
    """Refuse to put results beside a volume that is gone.

    Raises
    ------
    TaskError
        If the node was removed from its scene.
    """
    from DicomAnalysisLib.errors import TaskError

    if volume_node.GetScene() is None:
        msg = "The volume was removed while it was being segmented, so there is nothing to put the result beside."
        raise TaskError(msg)


def database_source(database: Any, series_uids: list[str]) -> str | list[str]:
    """What a child process reads the series from: the database's own file, or the names of their files.

    A database in memory, or one whose file is elsewhere, is asked for the files; that takes longer.
    """
    name = getattr(database, "databaseFilename", "")
    if name and Path(name).is_file():
        return name
    return series_files(database, series_uids)


def series_files(database: Any, series_uids: Iterable[str]) -> list[str]:
    """The names of all files of some series of a database."""
    return [path for uid in series_uids for path in database.filesForSeries(uid) if path]


def source_and_files(source: str | Path | Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """A source as requests keep it: a place without files, or files without a place."""
    return (str(source), ()) if isinstance(source, (str, Path)) else ("", tuple(source))
