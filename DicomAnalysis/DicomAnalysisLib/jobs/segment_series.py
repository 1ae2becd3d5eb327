"""``segment-series``: headrest, metal and bone of many series, from DICOM files to result folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..batch.records import tidy_up
from ..run import BatchWatch, SeriesOutcome, segment_source
from ..segmentation.options import SegmentationOptions
from .events import Reporter, SeriesUpdate
from .job import Job
from .options import options_from

TASK = "segment-series"


def segment_series_job(
    source: str | Path | Iterable[str | Path],
    output: str | Path,
    options: SegmentationOptions | None = None,
    *,
    series_uids: Sequence[str] | None = None,
    masks_png: bool = False,
    write_dicom: bool = False,
    resume: bool = False,
) -> Job:
    """The job of segmenting series into result folders, as the command ``segment`` does.

    Its value is a dict: ``output``, ``complete`` (whether something was done and nothing failed),
    ``counts`` by status, ``problems`` (files refused). What becomes of each series is told by
    `SeriesUpdate` while it runs, and kept in the ledger of the output folder.

    Parameters
    ----------
    source : path or iterable of paths
        A file, a folder, a DICOM database (its folder or its ``.sql`` file), or a list of files.
    output : path
        One folder a series is made in it.
    options : SegmentationOptions, optional
    series_uids : sequence of str, optional
        Only these series.
    masks_png : bool
        Also write each slice's mask as PNG.
    write_dicom : bool
        Also write each series without its headrest as a new DICOM series.
    resume : bool
        Leave alone what the ledger says was done with the same options.
    """
    output = Path(output).absolute()
    files = None if isinstance(source, (str, Path)) else [str(Path(path).absolute()) for path in source]
    arguments = {
        "source": str(Path(source).absolute()) if files is None else None,
        "files": files,
        "output": output,
        "options": asdict(options or SegmentationOptions()),
        "series_uids": None if series_uids is None else list(series_uids),
        "masks_png": masks_png,
        "write_dicom": write_dicom,
        "resume": resume,
    }
    return Job(TASK, arguments, clean=lambda cancelled: tidy_up(output, blame=not cancelled))


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do the job: the child's side."""
    from ..batch.units import FileList
    from ..cohort.ledger import open_ledger

    report.progress(0.0, "reading headers")
    files = arguments.get("files")
    with open_ledger(arguments["output"]) as ledger:
        done = segment_source(
            arguments["source"] if files is None else FileList(files),
            arguments["output"],
            options_from(arguments["options"]),
            series_uid=arguments.get("series_uids"),
            masks_png=bool(arguments.get("masks_png")),
            write_dicom=bool(arguments.get("write_dicom")),
            watch=_Watch(report),
            ledger=ledger,
            resume=bool(arguments.get("resume")),
        )
    report.progress(1.0, "done")
    statuses = [outcome.status for outcome in done.outcomes]
    return {
        "output": arguments["output"],
        "complete": done.complete,
        "counts": {status: statuses.count(status) for status in dict.fromkeys(statuses)},
        "problems": [asdict(problem) for problem in done.problems],
    }


class _Watch(BatchWatch):
    """Hands what a batch tells on to the parent."""

    def __init__(self, report: Reporter):
        self._report = report

    def share(self, value: float, stage: str, message: str) -> None:
        self._report.progress(value, stage, message)

    def outcome(self, outcome: SeriesOutcome) -> None:
        values = {**vars(outcome), "folder": str(outcome.folder or "")}
        self._report.send(SeriesUpdate(**values))
