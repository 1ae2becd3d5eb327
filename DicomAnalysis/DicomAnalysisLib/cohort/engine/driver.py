"""A run over a cohort: what is to be done goes out in chunks, what became of it comes back, and the ledger knows."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ... import __version__
from ...errors import UsageError
from ...files.atomic import write_text
from ...files.json_text import json_text
from ...files.names import is_safe_uid
from ...files.result_folder import RESULT
from ..deidentify import Pseudonyms, read_or_make_key
from ..ledger import DONE, FAILED, PENDING, SKIPPED, Ending, Entry, Ledger, open_ledger, options_hash
from ..store import FeatureStore
from .journal import read_journals, read_notes, remove_journals
from .messages import Chunk, Failed, Finished, Messages, Reported, Workers
from .options import SEGMENT, TRIES, CohortOptions, recipe_of
from .plan import Plan
from .progress import RunProgress, Watch
from .work import TaskSpec

RUN_FILE = "run.json"
QUARANTINED = "quarantined"
COMMIT_SECONDS = 1.0
CHUNK_SECONDS, LEAST_SECONDS = 2.0, 0.2
LARGEST_CHUNK, FIRST_CHUNK = 512, 4

Progress = Callable[[str], None]


@dataclass(frozen=True)
class CohortReport:
    """What became of a run.

    Attributes
    ----------
    done, skipped, kept : int
        Series done by this run, skipped by it (no images, scouts), and done or skipped by earlier ones.
    failed : dict of str to str
        Series that failed, now or earlier, and why; those put aside among them begin with "quarantined".
    seconds : float
    memory : int
        Largest resident memory of one worker that was seen, bytes.
    table : tuple of Path
        The Parquet files of the task's rows.
    refused : int
        Files that are no DICOM or could not be read.
    model_hash, recipe_hash : str
    memory_over_time : tuple of (float, int)
        Seconds since the start, and the largest worker then.
    """

    done: int
    skipped: int
    kept: int
    failed: dict[str, str]
    seconds: float
    memory: int
    table: tuple[Path, ...]
    refused: int = 0
    model_hash: str = ""
    recipe_hash: str = ""
    memory_over_time: tuple[tuple[float, int], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether something was done, now or earlier, and nothing failed."""
        return bool(self.done + self.kept) and not self.failed


def run_cohort(
    source: Path | str | Sequence[Path | str],
    output: Path | str,
    options: CohortOptions | None = None,
    *,
    series_uid: str | None = None,
    series_uids: Sequence[str] | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> CohortReport:
    """Do a task on every series of a source, by several processes.

    What an earlier run with the same options has done stays, however that ended; only the rest is done.

    Parameters
    ----------
    source : path or sequence of path
        A folder of anything, a database, or the files themselves. On a cluster, every worker must see them under
        these paths.
    output : path
        Gets the ledger, the table (``output/<task>``, see `cohort.store`) and, for ``segment``, result folders.
    options : CohortOptions, optional
    series_uid, series_uids : str and sequence of str, optional
        Only this series, or these.
    progress : callable, optional
        Called with one line now and then; the lines carry UIDs (pseudonyms, where those are wanted).
    watch : callable, optional
        Called with the share that is done, series done, and series in all.

    Raises
    ------
    SourceError, UsageError, OutputError, ModelError
        If the run cannot begin.
    TaskError
        If no worker can do the task at all.
    """
    output, options = Path(output), options or CohortOptions()
    tell = progress or (lambda _line: None)
    _require_arrow()
    key = read_or_make_key(options.key, output) if options.key is not None else None
    with open_ledger(output) as ledger, closing(Plan(source, output, tell)) as plan:
        wanted = (series_uid,) if series_uid is not None else series_uids
        if wanted is not None:
            plan.choose(*wanted)
        if not plan.items:
            msg = f"There is no DICOM series in {source}; {plan.refused} files were left out."
            raise UsageError(msg)
        spec = _spec(options, output, key)
        _write_run_file(output, options, spec)
        run = _Run(plan, ledger, options, spec, RunProgress(tell, watch))
        return run.go()


class _Run:
    """One run, in one thread."""

    def __init__(self, plan: Plan, ledger: Ledger, options: CohortOptions, spec: TaskSpec, progress: RunProgress):
        self._plan, self._ledger, self._options, self._spec, self._progress = plan, ledger, options, spec, progress
        self._output, self._dated = Path(spec.output), not spec.key
        self._task = ledger_task(options.task)
        self._store = FeatureStore(self._output / options.task)
        hide = Pseudonyms(bytes.fromhex(spec.key)) if spec.key else None
        self._names = {hide.series(item) if hide else item: item for item in plan.items}
        self._messages: Messages = Messages()
        self._endings: list[Ending] = []
        self._tries: dict[str, int] = {}
        self._todo: deque[str] = deque()
        self._suspects: deque[str] = deque()
        self._out: dict[int, list[str]] = {}
        self._chunks = 0
        self._seconds_each = 0.0
        self._committed = time.monotonic()
        self._done = {DONE: 0, SKIPPED: 0}
        self._ended: set[str] = set()
        self._failed: dict[str, str] = {}
        self._kept = 0

    def go(self) -> CohortReport:
        started = time.monotonic()
        self._catch_up()
        self._choose()
        self._progress.begin(len(self._names), self._kept + len(self._failed))
        if self._todo or self._suspects:
            workers = self._workers()
            try:
                self._work(workers)
            finally:
                workers.close()
                self._take_rest()
                self._commit()
                self._ledger.release(blame=False)
        table = tuple(self._store.compact())
        remove_journals(self._output)
        return CohortReport(
            done=self._done[DONE],
            skipped=self._done[SKIPPED],
            kept=self._kept,
            failed=dict(sorted(self._failed.items())),
            seconds=round(time.monotonic() - started, 3),
            memory=self._progress.memory,
            table=table,
            refused=self._plan.refused,
            model_hash=self._spec.model_hash,
            recipe_hash=self._spec.recipe_hash,
            memory_over_time=tuple(self._progress.memory_over_time),
        )

    def _catch_up(self) -> None:
        """Bring the ledger up to date with what an earlier run has finished and could not say any more."""
        task, options = self._task, self._spec.options_hash
        self._ledger.add(self._names, task, anew=self._options.anew)
        self._ledger.release(blame=False)
        if self._options.anew:
            self._store.remove(self._spec.model_hash, self._spec.recipe_hash)
        else:
            finished = read_journals(self._output, options)
            self._ledger.finish_many(finished, task, options, dated=self._dated)
            ended = {ending.item for ending in finished}
            self._ledger.blame([item for item in read_notes(self._output) if item not in ended], task)
        remove_journals(self._output)

    def _choose(self) -> None:
        """What is to be done: all that is not done with the same options; last what a process ended over."""
        stored = bool(self._store.series(self._spec.model_hash, self._spec.recipe_hash))
        for entry in self._ledger.entries(self._task):
            if entry.item not in self._names:
                continue
            if self._is_kept(entry, stored):
                if entry.state == FAILED:
                    self._failed[entry.item] = entry.reason
                else:
                    self._kept += 1
            elif entry.interruptions and not self._options.retry_failed:
                # A worker ended over it, which gave a reason; or it was only in work when the run itself was ended.
                self._tries[entry.item] = 1 if entry.reason else 0
                self._suspects.append(entry.item)
            else:
                self._todo.append(entry.item)

    def _is_kept(self, entry: Entry, stored: bool) -> bool:
        """Whether an item needs not be done: it was, and what it gave is still there; or it failed for good."""
        current = entry.is_current(self._spec.options_hash)
        if entry.state == FAILED:
            return not self._options.retry_failed and (entry.reason.startswith(QUARANTINED) or current)
        if entry.state == DONE:
            return current and stored and self._has_folder(entry.item)
        return entry.state == SKIPPED and current

    def _has_folder(self, item: str) -> bool:
        if self._options.task != SEGMENT or self._spec.key or not is_safe_uid(item):
            return True
        return (self._output / item / RESULT).is_file()

    def _workers(self) -> Workers:
        options, spec = self._options, self._spec
        if options.scheduler:
            from .cluster import DaskWorkers

            return DaskWorkers(
                options.scheduler,
                spec,
                options.limit_seconds,
                options.memory_limit,
                self._messages,
                self._progress.tell,
            )
        from .local import LocalWorkers

        count = min(options.processes, len(self._todo) + len(self._suspects))
        return LocalWorkers(count, spec.to_json(), options.limit_seconds, options.memory_limit, self._messages)

    def _work(self, workers: Workers) -> None:
        while self._todo or self._suspects or self._out:
            while len(self._out) < workers.capacity and (items := self._next_items(workers.capacity)):
                self._send(items, workers)
            with suppress(queue.Empty):
                self._take(self._messages.get(timeout=COMMIT_SECONDS))
            if time.monotonic() - self._committed > COMMIT_SECONDS:
                self._commit()
                self._progress.update(sum(self._done.values()) + len(self._failed) + self._kept)

    def _next_items(self, workers: int) -> list[str]:
        """A chunk of about two seconds, less near the end; what a process ended over goes alone and last."""
        if not self._todo:
            return [self._suspects.popleft()] if self._suspects else []
        size, least = FIRST_CHUNK, 1
        if self._seconds_each:
            size, least = (int(seconds / self._seconds_each) for seconds in (CHUNK_SECONDS, LEAST_SECONDS))
        share = max(least, -(-len(self._todo) // (2 * workers)))
        size = max(1, min(size, LARGEST_CHUNK, share))
        return [self._todo.popleft() for _ in range(min(size, len(self._todo)))]

    def _send(self, items: list[str], workers: Workers) -> None:
        self._ledger.start_many(items, self._task, self._spec.options_hash, dated=self._dated)
        self._chunks += 1
        self._out[self._chunks] = items
        workers.submit(Chunk(self._chunks, [(item, self._plan.files(self._names[item])) for item in items]))

    def _take(self, message: object) -> None:
        if isinstance(message, Failed):
            raise message.error
        if isinstance(message, Finished):
            self._finished(message.endings)
        elif isinstance(message, Reported):
            self._out.pop(message.chunk.number, None)
            report = message.report
            self._progress.saw_memory(report.memory)
            self._todo.extendleft(reversed(report.left))
            self._suspects.extend(report.doubtful)
            if report.suspect:
                self._suspect(report.suspect, report.reason)

    def _take_rest(self) -> None:
        """What came in while the workers were ended."""
        while not self._messages.empty():
            message = self._messages.get()
            if isinstance(message, Finished):
                self._finished(message.endings)

    def _finished(self, endings: Iterable[Ending]) -> None:
        for ending in endings:
            if ending.item in self._ended:  # done twice, by a worker that could not say so any more
                continue
            self._ended.add(ending.item)
            self._endings.append(ending)
            if ending.state == FAILED:
                self._failed[ending.item] = ending.reason
                self._progress.tell(f"{ending.item}: failed: {ending.reason}")
            elif ending.state in self._done:
                self._done[ending.state] += 1
            seconds = float(ending.outcome.get("seconds", 0.0))
            self._seconds_each = 0.95 * self._seconds_each + 0.05 * seconds if self._seconds_each else seconds

    def _suspect(self, item: str, reason: str) -> None:
        """A worker ended over a series: once more, alone; then it is put aside."""
        tries = self._tries[item] = self._tries.get(item, 0) + 1
        if tries < TRIES:
            self._progress.tell(f"{item}: {reason}; it is tried once more at the end")
            self._endings.append(Ending(item, PENDING, reason, interruptions=tries))
            self._suspects.append(item)
            return
        reason = f"{QUARANTINED} after {tries} tries: {reason}"
        self._progress.tell(f"{item}: {reason}")
        self._failed[item] = reason
        self._endings.append(Ending(item, FAILED, reason, interruptions=tries))

    def _commit(self) -> None:
        endings, self._endings = self._endings, []
        if endings:
            self._ledger.finish_many(endings, self._task, self._spec.options_hash, dated=self._dated)
        self._committed = time.monotonic()


def ledger_task(task: str) -> str:
    """What the ledger calls a task: not as the command `segment`, which may have the same output folder."""
    return f"cohort {task}"


def _spec(options: CohortOptions, output: Path, key: bytes | None) -> TaskSpec:
    model_hash, described = "", {}
    if options.model:
        from .classifying import describe_model

        model_hash, described = describe_model(options.model)
    recipe = recipe_of(options, described)
    hidden = "" if key is None else Pseudonyms(key).of("key", "which")
    everything = {"model": model_hash, "recipe": recipe, "hidden": hidden, "device": options.device}
    return TaskSpec(
        task=options.task,
        output=str(output.absolute()),
        number=FeatureStore(output / options.task).next_number(),
        options_hash=options_hash(everything),
        model_hash=model_hash,
        recipe_hash=recipe,
        model=str(Path(options.model).absolute()) if options.model and Path(options.model).is_dir() else options.model,
        device=options.device,
        segmentation=asdict(options.segmentation) if options.task == SEGMENT else {},
        key="" if key is None else key.hex(),
        memory_limit=options.memory_limit,
    )


def _write_run_file(output: Path, options: CohortOptions, spec: TaskSpec) -> None:
    """What the results in the folder were made with; without paths, for the folder may be given away."""
    write_text(
        output / RUN_FILE,
        json_text(
            {
                "task": options.task,
                "version": __version__,
                "model_hash": spec.model_hash,
                "recipe_hash": spec.recipe_hash,
                "options_hash": spec.options_hash,
                "identifiers": "pseudonyms" if spec.key else "as in the data",
                "segmentation": options.segmentation if options.task == SEGMENT else None,
            }
        ),
    )


def _require_arrow() -> None:
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        msg = "Tables of cohorts need the package pyarrow; install it with: pip install pyarrow"
        raise UsageError(msg)
