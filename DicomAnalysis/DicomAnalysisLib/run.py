"""The main job on a batch: source -> series -> volume -> task -> result -> files.

One series at a time, one stack in memory at a time. A series that fails never stops the
others; what was done, skipped and refused stands in the report.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .dicom.series import Problem, Series
from .dicom.sources import SeriesSource, open_source
from .dicom.stacks import Stack
from .errors import DicomAnalysisError, TaskError, UsageError
from .files.names import safe_name
from .segmentation.options import SegmentationOptions

logger = logging.getLogger(__name__)

DONE, SKIPPED, FAILED = "done", "skipped", "failed"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class SeriesOutcome:
    """What became of one stack of one series.

    Attributes
    ----------
    series_uid : str
    status : str
        ``done``, ``skipped`` (a scout and the like) or ``failed``.
    stack : int
        1 for the main stack of the series.
    folder : Path or None
        Where the results are.
    reason : str
        Why it was skipped or failed.
    segments : dict of str to float
        Name and volume in ml.
    warnings : tuple of str
    seconds : float
        Reading, segmenting and writing.
    """

    series_uid: str
    status: str
    stack: int = 1
    folder: Path | None = None
    reason: str = ""
    segments: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class RunReport:
    """What became of a batch.

    Attributes
    ----------
    outcomes : tuple of SeriesOutcome
    problems : tuple of Problem
        Files that were refused, each with its reason.
    """

    outcomes: tuple[SeriesOutcome, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether something was done and nothing failed."""
        statuses = {outcome.status for outcome in self.outcomes}
        return DONE in statuses and FAILED not in statuses and not any(map(is_damaged_image, self.problems))


def is_damaged_image(problem: Problem) -> bool:
    """Whether a refused file is an image series' own that could not be read.

    Other files and DICOM objects of other kinds (indexes, reports, screenshots) lie in
    most folders; leaving them out is no failure.
    """
    return problem.is_dicom and not problem.reason.startswith(("it is a ", "it is an "))


def choose_series(source: SeriesSource, series_uid: str | None = None) -> list[Series]:
    """The series of a source, or the one that was asked for.

    Raises
    ------
    UsageError
        If the series asked for is not there.
    """
    found = source.series(series_uid)
    if series_uid is not None and not found:
        msg = f"There is no readable series {series_uid} in the source; `list` shows those there are."
        reasons = [problem.reason for problem in source.problems if problem.series_uid == series_uid]
        if reasons:
            msg += f" Its files were refused: {reasons[0]}."
        raise UsageError(msg)
    return found


def segment_source(
    source: str | Path | SeriesSource,
    output: str | Path,
    options: SegmentationOptions | None = None,
    *,
    series_uid: str | None = None,
    masks_png: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Segment every series of a source and write one result folder for each.

    The main stack of a series goes to ``output/<SeriesInstanceUID>``, further stacks to
    ``stack-2`` and so on inside it. Series of other modalities than CT fail with a reason;
    scouts, and results of an earlier run that lie inside the source, are skipped.

    Parameters
    ----------
    source : path or SeriesSource
        A file, a folder of anything, a database folder, or an open source.
    output : path
        Made when missing; results of an earlier run there are replaced.
    options : SegmentationOptions, optional
    series_uid : str, optional
        Only this series.
    masks_png : bool
        Also write each slice's mask as PNG.
    progress : callable, optional
        Called with one line of text now and then; the lines carry UIDs, never names.

    Raises
    ------
    SourceError
        If the source cannot be opened.
    UsageError
        If there is no series of the UID asked for, or source and output are the same folder.
    """
    options = options or SegmentationOptions()
    tell = progress or (lambda _line: None)
    output = Path(output)
    origin = Path(source) if isinstance(source, (str, Path)) else None
    opened = open_source(source) if origin is not None else source
    inside = _output_inside_source(origin, output)
    series = choose_series(opened, series_uid)
    problems = tuple(problem for problem in opened.problems if not _lies_in(problem.path, inside))
    outcomes: list[SeriesOutcome] = []
    jobs = list(_jobs(series, output))
    for number, (one, index, folder) in enumerate(jobs, start=1):
        stack = one.stacks[index]
        name = one.identity.series_uid or folder.name
        tell(f"[{number}/{len(jobs)}] {name}" + (f", stack {index + 1}" if index else ""))
        outcome = SeriesOutcome(one.identity.series_uid, FAILED, index + 1)
        reason = _reason_to_skip(stack, inside)
        if reason:
            outcome = replace(outcome, status=SKIPPED, reason=reason)
        else:
            outcome = _segment_stack(one, stack, folder, options, masks_png, outcome, tell)
        tell(f"    {describe_outcome(outcome)}")
        outcomes.append(outcome)
    return RunReport(tuple(outcomes), problems)


def describe_outcome(outcome: SeriesOutcome) -> str:
    """One line for people."""
    if outcome.status != DONE:
        return f"{outcome.status}: {outcome.reason}"
    found = ", ".join(f"{name} {volume:.1f} ml" for name, volume in outcome.segments.items())
    warnings = f", {len(outcome.warnings)} warning(s)" if outcome.warnings else ""
    return f"done in {outcome.seconds:.1f} s: {found}{warnings} -> {outcome.folder}"


def _jobs(series: list[Series], output: Path) -> Iterator[tuple[Series, int, Path]]:
    """Every stack with a result folder of its own."""
    taken: set[str] = set()
    for one in series:
        name = one.key
        if name in taken:
            # One series UID in two studies: the study and patient tell them apart.
            name = safe_name(f"{name}/{one.identity.study_uid}/{one.identity.patient_id}")
        taken.add(name)
        for index in range(len(one.stacks)):
            yield one, index, output / name / (f"stack-{index + 1}" if index else "")


def _segment_stack(
    series: Series,
    stack: Stack,
    folder: Path,
    options: SegmentationOptions,
    masks_png: bool,
    outcome: SeriesOutcome,
    tell: Progress,
) -> SeriesOutcome:
    started = time.perf_counter()
    try:
        _refuse_to_write_among(stack.paths, folder)
        outcome = _read_segment_write(series, stack, folder, options, masks_png, outcome, tell)
    except DicomAnalysisError as error:
        outcome = replace(outcome, reason=str(error))
    except MemoryError:
        slices, rows, columns = stack.shape
        outcome = replace(outcome, reason=f"there is not enough memory for {slices} slices of {rows} x {columns}")
    except Exception as error:  # a bug met on one series must not stop the others
        # The message may quote the header; the traceback goes to the log only when it is asked for.
        logger.debug("unexpected error", exc_info=True)
        outcome = replace(outcome, reason=f"an unexpected {type(error).__name__}; please report it")
    return replace(outcome, seconds=time.perf_counter() - started)


def _read_segment_write(
    series: Series,
    stack: Stack,
    folder: Path,
    options: SegmentationOptions,
    masks_png: bool,
    outcome: SeriesOutcome,
    tell: Progress,
) -> SeriesOutcome:
    from .dicom.reader import read_stack
    from .files.result_folder import write_result
    from .segmentation import segment

    modality = series.identity.modality
    if modality != "CT":
        msg = f"it is {modality or 'of unknown modality'}; {', '.join(options.tasks)} need the Hounsfield units of CT"
        raise TaskError(msg)
    slices, rows, columns = stack.shape
    tell(f"    reading {slices} slices of {rows} x {columns}")
    volume = read_stack(stack, series.identity, series.warnings)
    tell("    segmenting " + ", ".join(options.tasks))
    result = segment(volume, options)
    tell("    writing")
    extra = {"stack": outcome.stack, "stacks": len(series.stacks)}
    written = write_result(folder, volume, result, options=options, masks_png=masks_png, extra=extra)
    return replace(
        outcome,
        status=DONE,
        folder=folder,
        segments={s.kind.name: float(s.measurements.get("volume_ml") or 0.0) for s in result.segments},
        warnings=tuple(json.loads(written["result"].read_text("utf-8"))["warnings"]),
    )


def _reason_to_skip(stack: Stack, inside: Path | None) -> str:
    if stack.is_localizer:
        return "a scout image"
    if inside is not None and any(_lies_in(path, inside) for path in stack.paths):
        return "it lies in the output folder"
    return ""


def _output_inside_source(source: Path | None, output: Path) -> Path | None:
    """The output folder, where it lies inside the source and is therefore not to be read again."""
    if source is None or not source.is_dir():
        return None
    source, output = source.resolve(), output.resolve()
    if source == output:
        msg = f"The output folder {output} is the source; choose another one."
        raise UsageError(msg)
    return output if output.is_relative_to(source) else None


def _lies_in(path: str | Path, folder: Path | None) -> bool:
    return folder is not None and Path(path).resolve().is_relative_to(folder)


def _refuse_to_write_among(paths: tuple[str, ...], folder: Path) -> None:
    if any(Path(path).resolve().parent.is_relative_to(folder.resolve()) for path in paths[:1]):
        msg = f"the results would be written among the images in {folder}; choose another output folder"
        raise UsageError(msg)
