"""``train-segmentation``: a network from series, with the numbers of every epoch while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..errors import UsageError
from ..segmentation.training.options import TrainingOptions
from ..segmentation.training.outputs import remove_work, summary
from .events import EpochUpdate, Reporter
from .job import Job

TASK = "train-segmentation"


def train_segmentation_job(
    source: str | Path | Iterable[str | Path],
    task: str,
    output: str | Path,
    options: TrainingOptions | None = None,
    *,
    series_uids: Sequence[str] | None = None,
    resume: bool = False,
) -> Job:
    """The job of training a network, as the command ``train-segmentation`` does.

    Its value is what ``train-segmentation --json`` prints (see `segmentation.training.outputs.summary`).
    Every epoch is told by an `EpochUpdate` while it runs. A job that was cancelled or killed leaves its
    last full epoch in the output folder, and is gone on with by `resume`.

    Parameters
    ----------
    source : path or iterable of paths
        A file, a folder, a DICOM database (its folder or its ``.sql`` file), or a list of files.
    task : str
        ``headrest`` or ``metal``.
    output : path
    options : TrainingOptions, optional
    series_uids : sequence of str, optional
        Only these series.
    resume : bool
        Go on with the training in the output folder.
    """
    output = Path(output).absolute()
    files = None if isinstance(source, (str, Path)) else [str(Path(path).absolute()) for path in source]
    arguments = {
        "source": str(Path(source).absolute()) if files is None else None,
        "files": files,
        "task": task,
        "output": output,
        "options": asdict(options or TrainingOptions()),
        "series_uids": None if series_uids is None else list(series_uids),
        "resume": resume,
    }
    return Job(TASK, arguments, clean=lambda _cancelled: remove_work(output))


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do the job: the child's side."""
    report.progress(0.0, "starting")
    from ..batch.units import FileList
    from ..segmentation.training.result import TrainingProgress
    from ..segmentation.training.run import train_segmentation

    def tell(progress: TrainingProgress) -> None:
        report.progress(progress.value, progress.stage, progress.message)
        if progress.record is not None:
            report.send(EpochUpdate(asdict(progress.record), str(progress.strip or "")))

    files = arguments.get("files")
    result = train_segmentation(
        arguments["source"] if files is None else FileList(files),
        arguments["task"],
        _options(arguments["options"]),
        arguments["output"],
        tell,
        resume=bool(arguments.get("resume")),
        series_uids=arguments.get("series_uids"),
    )
    return summary(result)


def _options(values: Mapping[str, object]) -> TrainingOptions:
    try:
        return TrainingOptions(**values)
    except TypeError as error:
        msg = f"The options of the training are not understood ({error})."
        raise UsageError(msg) from error
