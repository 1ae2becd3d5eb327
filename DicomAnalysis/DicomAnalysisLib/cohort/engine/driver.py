"""A run over a cohort: what is to be done goes out in chunks, what became of it comes back, and the ledger knows."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path

from ...errors import UsageError
from ..deidentify import Pseudonyms, read_or_make_key
from ..entries import DONE, FAILED, SKIPPED, options_hash
from ..ledger import Ledger, open_ledger
from ..store import FeatureStore
from .agenda import Agenda
from .classifying import DescribedModel, describe_model
from .journal import remove_journals
from .messages import Chunk, Failed, Finished, Messages, Reported, Workers
from .options import PLURAL, SEGMENT, SERIES, STUDY, CohortOptions, recipe_of
from .plan import Plan
from .progress import RunProgress, Watch
from .records import COMMIT_SECONDS, RunRecords
from .report import CohortReport
from .run_file import mark_of_key, refuse_to_mix, write_run_file
from .spec import TaskSpec

Progress = Callable[[str], None]


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
    """Do a task on every series of a source, by several processes; with a model of several views, on every study.

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
        Only this series, or these; with a model of several views the studies that they are of.
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
    model = _model(options)
    unit = STUDY if len(model.views) > 1 else SERIES
    with open_ledger(output) as ledger, closing(Plan(source, output, tell, unit)) as plan:
        wanted = (series_uid,) if series_uid is not None else series_uids
        if wanted is not None:
            plan.choose(*wanted)
        if not plan.items:
            msg = f"There is no DICOM series in {source}; {plan.refused} files were left out."
            raise UsageError(msg)
        if key is not None:
            hide = Pseudonyms(key)
            plan.hide(lambda item: hide.series(item, unit))
        spec = _spec(options, output, key, model, unit)
        refuse_to_mix(ledger, spec)
        write_run_file(output, options, spec)
        run = _Run(plan, ledger, options, spec, RunProgress(tell, watch, PLURAL[unit]))
        return run.go()


class _Run:
    """One run, in one thread."""

    def __init__(self, plan: Plan, ledger: Ledger, options: CohortOptions, spec: TaskSpec, progress: RunProgress):
        self._plan, self._options, self._spec, self._progress = plan, options, spec, progress
        self._records = RunRecords(ledger, spec, plan.items)
        self._agenda = Agenda()
        self._messages: Messages = Messages()

    def go(self) -> CohortReport:
        started = time.monotonic()
        options, records, progress = self._options, self._records, self._progress
        store = FeatureStore(Path(self._spec.output) / options.task)
        self._agenda = records.open(store, anew=options.anew, retry_failed=options.retry_failed)
        progress.begin(len(self._plan.items), records.gone_through)
        if len(self._agenda):
            workers = self._workers()
            try:
                self._work(workers)
            finally:
                workers.close()
                self._take_rest()
                records.close()
        table = tuple(store.compact())
        remove_journals(self._spec.output)
        return CohortReport(
            done=records.ended[DONE],
            skipped=records.ended[SKIPPED],
            kept=records.kept,
            failed=dict(sorted(records.failed.items())),
            partial=records.partial,
            unit=self._spec.unit,
            seconds=round(time.monotonic() - started, 3),
            memory=progress.memory,
            table=table,
            refused=self._plan.refused,
            model_hash=self._spec.model_hash,
            recipe_hash=self._spec.recipe_hash,
            memory_over_time=tuple(progress.memory_over_time),
        )

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

        count = min(options.processes, len(self._agenda))
        spec = replace(spec, decoders=max(1, (os.cpu_count() or 1) // count))
        return LocalWorkers(count, spec.to_json(), options.limit_seconds, options.memory_limit, self._messages)

    def _work(self, workers: Workers) -> None:
        while not self._agenda.is_over:
            while self._agenda.in_work < workers.capacity and (items := self._agenda.next_chunk(workers.capacity)):
                self._records.start(items)
                workers.submit(Chunk([(item, self._plan.files(item)) for item in items]))
            with suppress(queue.Empty):
                self._take(self._messages.get(timeout=COMMIT_SECONDS))
            if self._records.commit(now=False):
                workers.look()
                self._progress.update(self._records.gone_through)

    def _take(self, message: object) -> None:
        if isinstance(message, Failed):
            raise message.error
        if isinstance(message, Finished):
            self._finished(message)
        elif isinstance(message, Reported):
            report = message.report
            self._progress.saw_memory(report.memory)
            self._agenda.settle(report.left, report.doubtful)
            if report.suspect:
                tries = self._agenda.suspect(report.suspect)
                self._progress.tell(f"{report.suspect}: {self._records.suspect(report.suspect, report.reason, tries)}")

    def _take_rest(self) -> None:
        """What came in while the workers were ended."""
        while not self._messages.empty():
            message = self._messages.get()
            if isinstance(message, Finished):
                self._finished(message)

    def _finished(self, message: Finished) -> None:
        for ending in self._records.finish(message.endings):
            if ending.state == FAILED:
                self._progress.tell(f"{ending.item}: failed: {ending.reason}")
            self._agenda.took(float(ending.outcome.get("seconds", 0.0)))


def _model(options: CohortOptions) -> DescribedModel:
    found = describe_model(options.model) if options.model else DescribedModel("", {}, ("",))
    if options.views and len(found.views) == 1:
        msg = "How views are known is for models of several views; this one looks at one series."
        raise UsageError(msg)
    return found


def _spec(options: CohortOptions, output: Path, key: bytes | None, model: DescribedModel, unit: str) -> TaskSpec:
    recipe = recipe_of(options, model.depends)
    everything = {"model": model.sha256, "recipe": recipe, "hidden": mark_of_key(key), "device": options.device}
    return TaskSpec(
        task=options.task,
        output=str(output.absolute()),
        number=FeatureStore(output / options.task).next_number(),
        options_hash=options_hash(everything),
        model_hash=model.sha256,
        recipe_hash=recipe,
        model=str(Path(options.model).absolute()) if options.model and Path(options.model).is_dir() else options.model,
        device=options.device,
        segmentation=asdict(options.segmentation) if options.task == SEGMENT else {},
        key="" if key is None else key.hex(),
        memory_limit=options.memory_limit,
        unit=unit,
        views=options.views,
    )


def _require_arrow() -> None:
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        msg = "Tables of cohorts need the package pyarrow; install it with: pip install pyarrow"
        raise UsageError(msg)
