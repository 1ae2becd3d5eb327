"""Workers on this machine: a thread and a process for each."""

from __future__ import annotations

import queue
import threading

from ...errors import DicomAnalysisError, TaskError
from ...jobs.endings import describe_failure
from ..entries import Ending
from .messages import Chunk, Failed, Finished, Messages, Reported
from .supervisor import Supervisor


class LocalWorkers:
    """Some workers; chunks go in, messages come out.

    Parameters
    ----------
    count : int
    spec : str
        `TaskSpec` as JSON.
    limit_seconds, memory_limit
        As `Supervisor`.
    messages : queue
        Takes what becomes of the chunks.
    """

    def __init__(self, count: int, spec: str, limit_seconds: float, memory_limit: int, messages: Messages):
        self.capacity = count
        self._messages = messages
        self._chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._supervisors = [Supervisor(spec, limit_seconds, memory_limit) for _ in range(count)]
        self._threads = [threading.Thread(target=self._serve, args=(one,), daemon=True) for one in self._supervisors]
        for thread in self._threads:
            thread.start()

    def submit(self, chunk: Chunk) -> None:
        """Have a chunk done by the next worker that is free."""
        self._chunks.put(chunk)

    def look(self) -> None:
        """These workers are always there."""

    def close(self) -> None:
        """End all workers, at work or not."""
        for supervisor in self._supervisors:
            self._chunks.put(None)
            supervisor.close()
        for thread in self._threads:
            thread.join(10)

    def _serve(self, supervisor: Supervisor) -> None:
        def tell(endings: list[Ending]) -> None:
            self._messages.put(Finished(endings))

        try:
            while (chunk := self._chunks.get()) is not None:
                self._messages.put(Reported(chunk, supervisor.run(chunk.items, tell)))
        except DicomAnalysisError as error:
            self._messages.put(Failed(error))
        except Exception as error:  # noqa: BLE001 (whoever waits for the chunk must hear of it, whatever it is)
            self._messages.put(Failed(TaskError(describe_failure(error).message)))
        finally:
            supervisor.end()
