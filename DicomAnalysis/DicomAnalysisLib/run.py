"""The main job on a batch: source -> series -> volume -> task -> result -> files.

One series at a time, one stack in memory at a time. A series that fails never stops the
others; what was done, skipped and refused stands in the report. With a ledger, a run that was
ended can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from .batch.outcomes import (
    DONE,
    FAILED,
    RUNNING,
    SKIPPED,
    RunReport,
    SeriesOutcome,
    describe_outcome,
    is_damaged_image,
)
from .batch.places import lies_in, output_inside
from .batch.records import SeriesRecords
from .batch.stack import Work, segment_stack
from .batch.units import Unit, choose_series, units_of, why_unreadable
from .cohort.ledger import Ledger
from .dicom.series import Problem, Series
from .dicom.sources import SeriesSource, open_source
from .dicom.stacks import Stack
from .files.names import safe_name
from .segmentation.options import SegmentationOptions, require_available

__all__ = [
    "DONE",
    "FAILED",
    "RUNNING",
    "SKIPPED",
    "BatchWatch",
    "RunReport",
    "SeriesOutcome",
    "choose_series",
    "describe_outcome",
    "is_damaged_image",
    "segment_source",
]

Progress = Callable[[str], None]


class BatchWatch(Protocol):
    """Who is told how far a batch is."""

    def share(self, value: float, stage: str, message: str) -> None:
        """How much of the batch is done (0 to 1), what is being done, and on which series."""

    def outcome(self, outcome: SeriesOutcome) -> None:
        """A stack is ``running``, or what became of it."""


def segment_source(
    source: str | Path | SeriesSource,
    output: str | Path,
    options: SegmentationOptions | None = None,
    *,
    series_uid: str | Sequence[str] | None = None,
    masks_png: bool = False,
    write_dicom: bool = False,
    progress: Progress | None = None,
    watch: BatchWatch | None = None,
    ledger: Ledger | None = None,
    resume: bool = False,
) -> RunReport:
    """Segment every series of a source and write one result folder for each.

    The main stack of a series goes to ``output/<SeriesInstanceUID>``, further stacks to
    ``stack-2`` and so on inside it. Series of other modalities than CT fail with a reason;
    scouts, and results of an earlier run that lie inside the source, are skipped.

    Parameters
    ----------
    source : path or SeriesSource
        A file, a folder of anything, a database folder, or an open source. The files of a database
        are opened one series at a time.
    output : path
        Made when missing; results of an earlier run there are replaced.
    options : SegmentationOptions, optional
    series_uid : str or sequence of str, optional
        Only this series, or these.
    masks_png : bool
        Also write each slice's mask as PNG.
    write_dicom : bool
        Also write the series without its headrest as a new DICOM series.
    progress : callable, optional
        Called with one line of text now and then; the lines carry UIDs, never names.
    watch : BatchWatch, optional
        Told the same in numbers.
    ledger : Ledger, optional
        Of the output folder (`cohort.ledger.open_ledger`): keeps what became of each stack.
    resume : bool
        With a ledger, leave alone what it says was done, with the same options and by this
        version, and whose results are there. A change of the input since is not noticed.

    Raises
    ------
    SourceError
        If the source cannot be opened.
    UsageError
        If there is no series of the one UID asked for, source and output are the same folder, or the
        method is not available.
    """
    output = Path(output)
    options = options or SegmentationOptions()
    require_available(options)
    origin = Path(source) if isinstance(source, (str, Path)) else None
    opened = open_source(source) if origin is not None else source
    batch = _Batch(output, output_inside(origin, output), progress or (lambda _line: None), watch)
    batch.work = Work(options, masks_png, batch.tell, batch.share, write_dicom)
    asked = {"options": options, "masks_png": masks_png, "write_dicom": write_dicom}
    batch.records = SeriesRecords(ledger, output, asked, resume)
    try:
        return batch.run(opened, units_of(opened, series_uid))
    except KeyboardInterrupt:
        batch.records.tidy_up(blame=False)
        raise


class _Batch:
    """One run over the series of a source."""

    work: Work
    records: SeriesRecords

    def __init__(self, output: Path, inside: Path | None, tell: Progress, watch: BatchWatch | None):
        self.output, self.inside, self.tell, self.watch = output, inside, tell, watch
        self.outcomes: list[SeriesOutcome] = []
        self.present, self.number, self.of = "", 0, 1

    def run(self, source: SeriesSource, units: Sequence[Unit]) -> RunReport:
        """Every series, one after the other."""
        self.of = len(units)
        self.records.open(unit.series_uid for unit in units)
        problems: list[Problem] = []
        taken: set[str] = set()
        units = self.records.suspects_last(units)
        for number, unit in enumerate(units):
            self.number, self.present = number, unit.series_uid
            self.tell(f"[{self.number + 1}/{self.of}] {unit.series_uid or '(no UID)'}")
            kept = self.records.kept_series(unit.series_uid) if unit.is_lazy else []
            for outcome in kept:
                self.note(outcome)
            if not kept:
                series, refused = unit.read()
                problems += refused
                if not series:
                    self.note(SeriesOutcome(unit.series_uid, FAILED, reason=why_unreadable(unit.series_uid, refused)))
                for one in series:
                    self.segment_series(one, taken)
        if not any(unit.is_lazy for unit in units):
            problems = list(source.problems)
        problems = [problem for problem in problems if not lies_in(problem.path, self.inside)]
        return RunReport(tuple(self.outcomes), tuple(problems))

    def segment_series(self, series: Series, taken: set[str]) -> None:
        """Every stack of a series, each into a result folder of its own."""
        name = series.key
        if name in taken:
            # One series UID in two studies: the study and patient tell them apart.
            name = safe_name(f"{name}/{series.identity.study_uid}/{series.identity.patient_id}")
        taken.add(name)
        folders = [self.output / name / (f"stack-{k + 1}" if k else "") for k in range(len(series.stacks))]
        self.records.expect(folders)
        for index, (stack, folder) in enumerate(zip(series.stacks, folders, strict=True)):
            if index:
                self.tell(f"  stack {index + 1}")
            outcome = SeriesOutcome(series.identity.series_uid, RUNNING, index + 1, folder)
            self.note(self.records.kept(folder) or self.segment_stack(series, stack, outcome))

    def segment_stack(self, series: Series, stack: Stack, outcome: SeriesOutcome) -> SeriesOutcome:
        """One stack; the ledger knows before and after."""
        folder = outcome.folder
        self.records.start(folder)
        if self.watch is not None:
            self.watch.outcome(outcome)
        reason = _reason_to_skip(stack, self.inside)
        if reason:
            outcome = replace(outcome, status=SKIPPED, folder=None, reason=reason)
        else:
            outcome = segment_stack(series, stack, self.work, outcome)
        self.records.finish(folder, outcome)
        return outcome

    def note(self, outcome: SeriesOutcome) -> None:
        """Keep an outcome and tell of it."""
        self.outcomes.append(outcome)
        self.tell(f"    {describe_outcome(outcome)}")
        if self.watch is not None:
            self.watch.outcome(outcome)

    def share(self, part: float, stage: str) -> None:
        """Tell how far the batch is, when `part` of the present stack is done."""
        if self.watch is not None:
            self.watch.share((self.number + part) / self.of, stage, self.present)


def _reason_to_skip(stack: Stack, inside: Path | None) -> str:
    if stack.is_localizer:
        return "a scout image"
    if any(lies_in(path, inside) for path in stack.paths):
        return "it lies in the output folder"
    return ""
