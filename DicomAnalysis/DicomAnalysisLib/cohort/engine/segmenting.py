"""Segmentation as a task of a cohort: result folders, and a row of measurements for each stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...dicom.problem import Problem
from ...dicom.series import Series
from ...errors import TaskError
from ...files.result_folder import RESULT
from ...run import segment_source
from ...segmentation.options import SegmentationOptions
from .rows import Row, row_of, stacks_of, volumes_of
from .spec import TaskSpec
from .work import ReadSeries, SkippedError, require_ct

MEASURED = ("volume_ml", "voxels", "components", "mean_hu", "max_hu")


class Segments:
    """Segment every stack.

    Without pseudonyms each series gets its result folder, as by the command ``segment``; with them only
    the rows of measurements are made, for images and DICOM objects say whose they are.
    """

    takes_flat = False

    def __init__(self, spec: TaskSpec):
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in spec.segmentation.items()}
        self._options = SegmentationOptions(**fields)
        self._output = None if spec.key else Path(spec.output)
        self.names = tuple(f"{task}_{name}" for task in self._options.tasks for name in MEASURED)

    def rows(self, series: Sequence[Series], problems: Sequence[Problem]) -> list[Row]:
        """One row for each stack but scouts."""
        require_ct(series, ", ".join(self._options.tasks))
        if self._output is None:
            return list(self._measured_only(series))
        report = segment_source(ReadSeries(series, problems), self._output, self._options)
        failed = [outcome.reason for outcome in report.outcomes if outcome.status == "failed"]
        if failed:
            raise TaskError("; ".join(dict.fromkeys(failed)))
        done = [outcome.folder for outcome in report.outcomes if outcome.folder is not None]
        if not done:
            raise SkippedError("; ".join(dict.fromkeys(outcome.reason for outcome in report.outcomes)))
        stacks = stacks_of(series)
        return [
            row_of(one, name, stack, _values(json.loads((folder / RESULT).read_text("utf-8"))["segments"]))
            for (one, name, stack), folder in zip(stacks, done, strict=True)
        ]

    def _measured_only(self, series: Sequence[Series]) -> Iterator[Row]:
        from ...segmentation import segment

        for one, name, stack, volume in volumes_of(series):
            found = segment(volume, self._options)
            yield row_of(one, name, stack, _values([{"name": s.kind.name, **s.measurements} for s in found.segments]))


def _values(segments: Sequence[Mapping[str, object]]) -> dict[str, float]:
    return {
        f"{segment['name'].lower()}_{name}": float(segment[name])
        for segment in segments
        for name in MEASURED
        if segment.get(name) is not None
    }
