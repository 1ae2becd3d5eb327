"""``compare-segmentations``: two sets of segmentation files, measured beside Slicer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .events import Reporter
from .job import Job

TASK = "compare-segmentations"


def compare_segmentations_job(
    first: str | Path,
    second: str | Path,
    *,
    segments: Sequence[str] = (),
    pattern: str = "",
    names: tuple[str, str] = ("first", "second"),
) -> Job:
    """The job of comparing two folders of segmentations; the second is the reference.

    Its value is a document from which `reporting.agreement.segment_study.study_from` makes the `SegmentStudy`.
    Parameters are those of `reporting.agreement.segment_comparison.compare_segmentations`.
    """
    arguments = {
        "first": str(Path(first).absolute()),
        "second": str(Path(second).absolute()),
        "segments": list(segments),
        "pattern": pattern,
        "names": list(names),
    }
    return Job(TASK, arguments)


def run(arguments: Mapping[str, object], report: Reporter) -> object:
    """Do the job: the child's side."""
    report.progress(0.0, "starting")
    from ..files.json_text import plain
    from ..reporting.agreement.segment_comparison import compare_segmentations

    def tell(done: int, total: int, identifier: str) -> None:
        report.progress(done / total, "comparing segmentations", identifier)

    return plain(
        compare_segmentations(
            arguments["first"],
            arguments["second"],
            tuple(arguments["segments"]),
            arguments["pattern"],
            tuple(arguments["names"]),
            tell,
        )
    )
