"""Workers of a Dask cluster: the same supervised worker, beside each of Dask's own.

A chunk is a Dask task. The Dask worker starts our worker process (`supervisor`) and keeps it for the
next chunk, so that a crash, a hang or a lack of memory is met there as on one machine, and Dask's worker
lives on. Where that dies itself (`KilledWorker`: a node that went away), the chunk's series go out again
one by one, and a series over which it happens twice is put aside.

Where the cluster sees the output folder, workers write into it; else what they made is sent back.
Dask sends its messages as pickles within the cluster: use one of your own, with TLS on a network that
others share.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ... import __version__
from ...errors import DicomAnalysisError, TaskError, UsageError
from ...files.atomic import write_bytes, write_text
from ...jobs.endings import describe_failure
from ..entries import Ending
from .course import ChunkReport
from .journal import WORK
from .messages import Chunk, Failed, Finished, Messages, Reported
from .spec import TaskSpec
from .supervisor import Supervisor

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 30
_TOKEN = "seen-by-all.txt"
_supervisors: dict[str, list[Supervisor]] = {}
_lock = threading.Lock()


class DaskWorkers:
    """The workers of an existing cluster.

    Parameters
    ----------
    address : str
        Of the scheduler.
    spec : TaskSpec
    limit_seconds, memory_limit
        As `Supervisor`.
    messages : queue
        Takes what becomes of the chunks.
    tell : callable
        Takes lines for people.

    Raises
    ------
    UsageError
        If there is no such cluster, it has no workers, or Dask is not installed.
    """

    def __init__(
        self,
        address: str,
        spec: TaskSpec,
        limit_seconds: float,
        memory_limit: int,
        messages: Messages,
        tell: Callable[[str], None],
    ):
        self._client, self._address = _connect(address), address
        self._messages, self._spec, self._tell = messages, spec, tell
        self._is_over = False
        self._limits = {"limit_seconds": limit_seconds, "memory_limit": memory_limit}
        self._token = secrets.token_hex(16)
        write_text(Path(spec.output) / WORK / _TOKEN, self._token)
        self._futures: set[Future] = set()
        self.capacity = -1
        self.look()

    def submit(self, chunk: Chunk) -> None:
        """Have a chunk done by some worker of the cluster."""
        request = {
            "spec": asdict(self._spec),
            "version": __version__,
            "token": self._token,
            "items": [[item, list(files)] for item, files in chunk.items],
            **self._limits,
        }
        try:
            future = self._client.submit(do_chunk, json.dumps(request), pure=False, retries=0)
        except Exception as error:
            raise self._gone() from error
        self._futures.add(future)
        future.add_done_callback(lambda done: self._take(chunk, done))

    def look(self) -> None:
        """See how many there are by now: a cluster grows while its jobs are started, and shrinks."""
        try:
            threads = sum(self._client.nthreads(callback_timeout=CONNECT_SECONDS).values())
        except Exception as error:
            raise self._gone() from error
        # Two chunks for each thread: one in work, one waiting.
        if self.capacity != 2 * threads:
            self.capacity = 2 * threads
            self._tell(f"{threads} worker threads at {self._address}" + ("" if threads else "; waiting for some"))

    def close(self) -> None:
        """Take back what is not done and leave the cluster as it was."""
        self._is_over = True
        with contextlib.suppress(Exception):  # a scheduler that has gone away has nothing to take back
            if self._client.status == "running":
                self._client.cancel(list(self._futures))
                self._client.run(forget_supervisors)
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)
        (Path(self._spec.output) / WORK / _TOKEN).unlink(missing_ok=True)

    def _take(self, chunk: Chunk, future: Future) -> None:
        """What became of a chunk, in a thread of Dask's."""
        self._futures.discard(future)
        try:
            answer = future.result()
        except CancelledError as error:
            if not self._is_over:  # nobody here has taken it back: the connection was lost
                self._messages.put(Failed(self._gone(error)))
            return
        except Exception as error:  # noqa: BLE001 (Dask documents no limit to what a lost task may raise)
            self._messages.put(self._lost(chunk, error))
            return
        try:
            for name, data in answer["files"].items():
                write_bytes(_inside(Path(self._spec.output), name), data)
        except DicomAnalysisError as error:
            self._messages.put(Failed(error))
            return
        self._messages.put(Finished([Ending(**ending) for ending in answer["endings"]]))
        if answer["error"]:
            self._messages.put(Failed(TaskError(answer["error"])))
        else:
            self._messages.put(Reported(chunk, ChunkReport(**answer["report"])))

    def _gone(self, error: Exception | None = None) -> TaskError:
        gone = TaskError(
            f"The connection to the Dask scheduler at {self._address} was lost. What was finished is kept; start the "
            "scheduler, and the same command again does the rest."
        )
        gone.__cause__ = error
        return gone

    def _lost(self, chunk: Chunk, error: Exception) -> Reported | Failed:
        """A Dask worker died over a chunk: of several series nobody knows which, so each goes out alone."""
        if isinstance(error, OSError):  # a chunk answers with its errors: this is the connection's
            return Failed(self._gone(error))
        if type(error).__name__ != "KilledWorker":
            return Failed(TaskError(f"The cluster could not do the work ({type(error).__name__}); see its logs."))
        items = [item for item, _ in chunk.items]
        if len(items) == 1:
            return Reported(chunk, ChunkReport(suspect=items[0], reason="the workers of the cluster died over it"))
        return Reported(chunk, ChunkReport(doubtful=items))


def do_chunk(request: str) -> dict[str, object]:
    """Do a chunk in a Dask worker; what every worker of a cluster runs.

    Parameters
    ----------
    request : str
        JSON: the task, the items and their files, limits, and a token.

    Returns
    -------
    dict
        ``report``, ``endings``, ``error`` (why the task cannot be done at all), ``files`` (name and contents
        of what was made, where this worker does not see the output folder).
    """
    asked = json.loads(request)
    answer: dict[str, object] = {"report": {}, "endings": [], "error": "", "files": {}}
    if asked["version"] != __version__:
        answer["error"] = (
            f"A worker of the cluster has version {__version__} of this program, the run is of {asked['version']}; "
            "install the same everywhere."
        )
        return answer
    try:
        _do_items(asked, answer)
    except Exception as error:  # noqa: BLE001 (what Dask would report of it does not say what to do)
        answer["error"] = describe_failure(error).message
    return answer


def _do_items(asked: Mapping[str, object], answer: dict[str, object]) -> None:
    """Do the items of a request; what was finished stands in the answer also where the rest cannot be done."""
    spec = TaskSpec(**asked["spec"])
    with contextlib.ExitStack() as stack:
        is_shared = _reads(Path(spec.output) / WORK / _TOKEN) == asked["token"]
        if not is_shared:
            spec = replace(spec, output=stack.enter_context(tempfile.TemporaryDirectory(prefix="dicom-analysis-")))
        endings: list[Ending] = []
        supervisor = _borrow(spec, asked["limit_seconds"], asked["memory_limit"])
        try:
            answer["report"] = asdict(supervisor.run(asked["items"], endings.extend))
        finally:
            if is_shared:
                _give_back(spec, supervisor)
            else:
                supervisor.end()
            answer["endings"] = [asdict(ending) for ending in endings]
            if not is_shared:
                answer["files"] = _made(Path(spec.output))


def forget_supervisors() -> None:
    """End the worker processes that a Dask worker keeps."""
    with _lock:
        kept = [one for some in _supervisors.values() for one in some]
        _supervisors.clear()
    for one in kept:
        one.end()


def _borrow(spec: TaskSpec, limit_seconds: float, memory_limit: int) -> Supervisor:
    text = spec.to_json()
    with _lock:
        # Those of other runs, which will not come again.
        others = [one for key in _supervisors if key != text for one in _supervisors[key]]
        for key in [key for key in _supervisors if key != text]:
            del _supervisors[key]
        kept = _supervisors.get(text)
        found = kept.pop() if kept else None
    for one in others:
        one.end()
    return found or Supervisor(text, limit_seconds, memory_limit)


def _give_back(spec: TaskSpec, supervisor: Supervisor) -> None:
    with _lock:
        _supervisors.setdefault(spec.to_json(), []).append(supervisor)


def _made(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but journals, whose endings travel beside."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if path.relative_to(folder).parts[0] != WORK
    }


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        msg = "A worker of the cluster sent a file that leads out of the output folder; it was not written."
        raise TaskError(msg)
    return path


def _reads(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _connect(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        msg = "A Dask cluster needs the package distributed; install it with: pip install 'dicom-analysis[dask]'"
        raise UsageError(msg) from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        msg = f"There is no Dask scheduler with workers at {address} ({type(error).__name__}); start them first."
        raise UsageError(msg) from error
    return client
