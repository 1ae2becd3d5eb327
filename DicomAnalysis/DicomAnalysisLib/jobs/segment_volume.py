"""``segment-volume``: headrest, metal and bone of one volume that the parent has in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ..segmentation.options import SegmentationOptions
from ..segmentation.result import SegmentationResult
from ..volume import Volume
from .events import Reporter
from .job import Job
from .options import options_from

TASK = "segment-volume"


def segment_volume_job(volume: Volume, options: SegmentationOptions | None = None) -> Job:
    """The job of segmenting a volume; its value is a `SegmentationResult`, as `segmentation.segment` gives it.

    Parameters
    ----------
    volume : Volume
        Its voxels go to the child through a memory-mapped file; they must not change while the
        job is being prepared (the first polls).
    options : SegmentationOptions, optional
    """
    from ..files.raw_volume import write_raw_volume

    return Job(
        TASK,
        {"options": asdict(options or SegmentationOptions())},
        prepare=lambda folder: write_raw_volume(folder, volume),
        collect=_collect,
    )


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do the job: the child's side."""
    from ..files.raw_result import write_raw_result
    from ..files.raw_volume import read_raw_volume
    from ..segmentation import segment

    folder = Path(arguments["workspace"])
    volume = read_raw_volume(folder)
    result = segment(
        volume, options_from(arguments["options"]), lambda share, stage: report.progress(0.95 * share, stage)
    )
    report.progress(0.95, "handing over")
    path = write_raw_result(folder, result)
    return {"result": path.name}


def _collect(_values: Mapping[str, object], folder: Path) -> SegmentationResult:
    from ..files.raw_result import read_raw_result

    return read_raw_result(folder)
