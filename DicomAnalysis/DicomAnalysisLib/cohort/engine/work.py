"""What every worker does, on this machine and on a cluster: one series in, rows of a table and an ending out.

A `TaskSpec` says what is done; a worker makes its `SeriesTask` of it once.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ...batch.outcomes import is_damaged_image
from ...dicom.problem import Problem
from ...dicom.series import Series, series_from_files
from ...errors import DicomAnalysisError, TaskError
from ...volume import Volume
from ..deidentify import Pseudonyms
from ..entries import DONE, FAILED, SKIPPED, Ending
from ..features.acquisition import ACQUISITION_TAGS
from ..features.table import FeatureTable
from ..store import base_of
from .options import FEATURES, SEGMENT
from .rows import Row, flat_rows, row_of, volumes_of
from .spec import TaskSpec

logger = logging.getLogger(__name__)

_HIDDEN = re.compile(r"\S*[/\\]\S*|\b\d+(?:\.\d+){2,}\b|\b\d{4}[-/.]?\d{2}[-/.]?\d{2}\b")
"""Paths, UIDs and dates in a message."""


class Measurement(Protocol):
    """What one task measures of a series.

    Attributes
    ----------
    names : tuple of str
        Columns.
    takes_flat : bool
        Whether images that lie nowhere in space (mammography, angiography) can be measured, too, by `measure`.
    """

    names: tuple[str, ...]
    takes_flat: bool

    def measure(self, volume: Volume) -> Mapping[str, float]:
        """The columns of one stack."""

    def rows(self, series: Sequence[Series], problems: Sequence[Problem]) -> list[Row]:
        """The rows of the series of one item; errors of the family where it cannot be done."""


def make_task(spec: TaskSpec) -> SeriesTask:
    """The task of a worker; what is heavy (models, libraries) is loaded here, once.

    Raises
    ------
    ModelError, UsageError
        If a model cannot be used.
    """
    if spec.task == SEGMENT:
        from .segmenting import Segments

        return SeriesTask(spec, Segments(spec))
    if not spec.model:
        return SeriesTask(spec, InterpretableFeatures())
    from .classifying import NetworkFeatures, Probabilities

    measurement = (NetworkFeatures if spec.task == FEATURES else Probabilities)(spec.model, spec.device)
    if len(measurement.view_names) == 1:
        return SeriesTask(spec, measurement)
    from .cases import CaseTask

    return CaseTask(spec, measurement)


class SeriesTask:
    """One task on one series after the other."""

    def __init__(self, spec: TaskSpec, measurement: Measurement):
        self.spec, self.measurement = spec, measurement
        self._pseudonyms = Pseudonyms(bytes.fromhex(spec.key)) if spec.key else None

    def run(self, item: str, files: Sequence[str]) -> tuple[Ending, list[Row]]:
        """Do one series; whatever goes wrong with it stands in the ending.

        Raises
        ------
        MemoryError
            If there is not enough of it: the worker is not to go on as it is.
        """
        started = time.perf_counter()
        rows: list[Row] = []
        try:
            state, reason, rows = self._measure(files)
        except SkippedError as error:
            state, reason = SKIPPED, str(error)
        except DicomAnalysisError as error:
            state, reason = FAILED, str(error)
        except MemoryError:
            raise
        except Exception as error:  # a bug met on one series must not stop the others
            logger.debug("unexpected error", exc_info=True)
            state, reason = FAILED, unexpected(error)
        outcome = {"rows": len(rows), "seconds": round(time.perf_counter() - started, 4)}
        bases = sorted({base_of(row.series) for row in rows} - {item})
        return Ending(item, state, self._said(reason, files), outcome | ({"series": bases} if bases else {})), rows

    def _measure(self, files: Sequence[str]) -> tuple[str, str, list[Row]]:
        series, problems = series_from_files(files)
        refuse_lost(files, problems)
        if series:
            rows = self.measurement.rows(series, problems)
        else:
            rows = flat_rows(files, self.measurement.measure) if self.measurement.takes_flat else []
            if not rows:
                return *nothing_to_read(problems), []
        refuse_lost(files)
        if not rows:
            return SKIPPED, "scout images only", []
        used = {path for row in rows for path in row.files}
        return DONE, left_out(files, problems, used), [self._hidden(row) for row in rows]

    def table(self, rows: Sequence[Row]) -> FeatureTable:
        """Rows as what is stored."""
        names = self.measurement.names
        nan = float("nan")
        return FeatureTable(
            tuple(row.series for row in rows),
            tuple(row.patient for row in rows),
            names,
            [[row.values.get(name, nan) for name in names] for row in rows],
            {name: tuple(row.tags.get(name, "") for row in rows) for name in ACQUISITION_TAGS},
            {row.series: row.files for row in rows if row.files},
            self.spec.model_hash,
            self.spec.recipe_hash,
        )

    def _hidden(self, row: Row) -> Row:
        hide = self._pseudonyms
        if hide is None:
            return row
        series, patient = hide.series(row.series, self.spec.unit), hide.of("patient", row.patient)
        return Row(series, patient, row.values, hide.tags(row.tags), ())

    def _said(self, reason: str, files: Sequence[str]) -> str:
        if self._pseudonyms is None or not reason:
            return reason
        # A name with blanks is more than the pattern finds.
        names = {part for path in map(Path, files) for part in (str(path), path.name, *map(str, path.parents))}
        for name in sorted(names - {"", "/", "."}, key=len, reverse=True):
            reason = reason.replace(name, "(hidden)")
        return _HIDDEN.sub("(hidden)", reason)


class SkippedError(DicomAnalysisError):
    """There is nothing to do on a series, and that is no failure."""


class ReadSeries:
    """A source of series that are read already."""

    def __init__(self, series: Sequence[Series], problems: Sequence[Problem]):
        self._series, self.problems = list(series), tuple(problems)

    def series(self, uid: str | None = None) -> list[Series]:
        """All of them, or those of one UID."""
        return [one for one in self._series if uid is None or one.identity.series_uid == uid]


class InterpretableFeatures:
    """Features that people can read, of every stack."""

    takes_flat = True

    def __init__(self) -> None:
        from ..features.interpretable import FEATURE_NAMES, interpretable_features

        self.names: tuple[str, ...] = FEATURE_NAMES
        self.measure = interpretable_features

    def rows(self, series: Sequence[Series], _problems: Sequence[Problem]) -> list[Row]:
        """One row for each stack but scouts."""
        return [row_of(one, name, stack, self.measure(volume)) for one, name, stack, volume in volumes_of(series)]


def refuse_lost(files: Sequence[str], problems: Sequence[Problem] = ()) -> None:
    """Refuse a series of which a file has gone, or is no DICOM any more: the rest of it is another series.

    Raises
    ------
    TaskError
        If that is so.
    """
    lost = {problem.path: problem.reason for problem in problems if not problem.is_dicom}
    lost |= {path: "the file is missing" for path in files if not os.path.isfile(path)}  # noqa: PTH113 (many strings)
    if lost:
        msg = (
            f"{len(lost)} of its {len(files)} files cannot be read any more ({next(iter(lost.values()))}); when they "
            "are back, run again with --retry-failed"
        )
        raise TaskError(msg)


def left_out(files: Sequence[str], problems: Sequence[Problem], used: Collection[str]) -> str:
    """What is to be said of an item that was measured without some of its files; empty where it was not."""
    damaged = [problem for problem in problems if problem.path not in used and is_damaged_image(problem)]
    return f"{len(damaged)} of its {len(files)} files were left out: {damaged[0].reason}" if damaged else ""


def nothing_to_read(problems: Sequence[Problem]) -> tuple[str, str]:
    """State and reason of an item without any image."""
    damaged = [problem for problem in problems if is_damaged_image(problem)]
    if damaged:
        return FAILED, f"none of its files can be read: {damaged[0].reason}"
    return SKIPPED, f"no image: {problems[0].reason}" if problems else "it has no files"


def unexpected(error: Exception) -> str:
    """What is said of a bug: its kind and place in this library, without its text, which may quote a header."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if "DicomAnalysisLib" in file.parts:
            place = f" ({file.stem}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"an unexpected {type(error).__name__}{place}; please report it"


def require_ct(series: Sequence[Series], what: str) -> None:
    """Refuse what has no Hounsfield units.

    Raises
    ------
    TaskError
        If no series is CT.
    """
    if not any(one.identity.modality == "CT" for one in series):
        msg = f"it is {series[0].identity.modality or 'of unknown modality'}; {what} need the Hounsfield units of CT"
        raise TaskError(msg)
