"""``classify-volume`` and ``classify-series``: a trained classifier on volumes in memory, or on DICOM files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..batch.records import tidy_up
from ..classification.result import ClassificationResult, Explanation
from ..errors import SourceError
from ..volume import Volume
from .events import Reporter, SeriesUpdate
from .job import Job

if TYPE_CHECKING:
    from ..batch.case_outcomes import CaseOutcome
    from ..classification.explained import Explain

VOLUME_TASK, SERIES_TASK = "classify-volume", "classify-series"

_RESULT = "classification.json"


def classify_volume_job(
    volumes: Mapping[str, Volume], model: str | Path, *, explain: Explain = False, device: str = "auto"
) -> Job:
    """The job of classifying what is in memory; its value is a `ClassificationResult`.

    Parameters
    ----------
    volumes : mapping of str to Volume
        By the name of the view; ``""`` for the only one. Their voxels go to the child through memory-mapped
        files; they must not change while the job is being prepared (the first polls).
    model : str or path
        A classifier's folder, or the name of one that is shipped.
    explain : bool, str or sequence of str
        As for `Classifier.predict`.
    device : str
    """
    names = list(volumes)
    arguments = {"views": names, "model": str(model), "explain": explain, "device": device}
    return Job(
        VOLUME_TASK, arguments, prepare=lambda folder: _write_volumes(folder, list(volumes.values())), collect=_collect
    )


def classify_series_job(
    source: str | Path | Iterable[str | Path],
    output: str | Path,
    model: str | Path,
    *,
    series_uids: Sequence[str] | None = None,
    explain: Explain = False,
    device: str = "auto",
    views: Sequence[str] = (),
    resume: bool = False,
) -> Job:
    """The job of classifying series into result folders, as the command ``classify`` does.

    Its value is a dict: ``output``, ``complete`` (whether something was done and nothing failed), ``counts`` by
    status, ``table`` (of all results), ``left_out`` (images that no view of the model fits), ``problems``.
    What becomes of each case is told by `SeriesUpdate` while it runs, and kept in the ledger of the output folder.

    Parameters
    ----------
    source : path or iterable of paths
        A file, a folder, a DICOM database (its folder or its ``.sql`` file), or a list of files.
    output : path
        One folder a case is made in it.
    model : str or path
    series_uids : sequence of str, optional
        Only these series.
    explain : bool, str or sequence of str
    device : str
    views : sequence of str
        For models of several views, how series are known to be one, as ``--view`` takes them.
    resume : bool
        Leave alone what was done with the same model and options (see `batch.classification.classify_source`).
    """
    output = Path(output).absolute()
    files = None if isinstance(source, (str, Path)) else [str(Path(path).absolute()) for path in source]
    return Job(
        SERIES_TASK,
        {
            "source": str(Path(source).absolute()) if files is None else None,
            "files": files,
            "output": output,
            "model": str(model),
            "series_uids": None if series_uids is None else list(series_uids),
            "explain": explain,
            "device": device,
            "view_rules": list(views),
            "resume": resume,
        },
        clean=lambda cancelled: tidy_up(output, blame=not cancelled),
    )


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do either job: the child's side."""
    report.progress(0.0, "loading the model")
    from ..classification.prediction import load_classifier

    classifier = load_classifier(arguments["model"], arguments["device"])
    if "views" in arguments:
        return _run_volumes(arguments, classifier, report)
    return _run_series(arguments, classifier, report)


def _run_volumes(arguments: Mapping[str, object], classifier: object, report: Reporter) -> Mapping[str, object]:
    from ..files.atomic import write_text
    from ..files.json_text import json_text
    from ..files.raw_volume import read_raw_volume

    folder = Path(arguments["workspace"])
    volumes = {name: read_raw_volume(_place(folder, n)) for n, name in enumerate(arguments["views"])}
    if tuple(arguments["views"]) == ("",) and len(classifier.view_names) == 1:
        volumes = {classifier.view_names[0]: volumes[""]}
    result = classifier.predict(
        volumes, arguments["explain"], lambda share, stage: report.progress(0.2 + 0.75 * share, stage)
    )
    report.progress(0.95, "handing over")
    document = result.to_dict()
    for n, one in enumerate(result.explanations):
        np.save(folder / f"explanation-{n}.npy", one.values, allow_pickle=False)
    write_text(folder / _RESULT, json_text(document))
    return {"result": _RESULT}


def _run_series(arguments: Mapping[str, object], classifier: object, report: Reporter) -> Mapping[str, object]:
    from ..batch.classification import classify_source
    from ..batch.units import FileList
    from ..classification.views import ViewRule
    from ..cohort.ledger import open_ledger

    report.progress(0.0, "reading headers")
    files = arguments.get("files")
    with open_ledger(arguments["output"]) as ledger:
        done = classify_source(
            arguments["source"] if files is None else FileList(files),
            arguments["output"],
            classifier,
            series_uids=arguments.get("series_uids"),
            explain=arguments["explain"],
            view_rules=[ViewRule.from_text(text) for text in arguments.get("view_rules", ())],
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
        "table": None if done.table is None else str(done.table),
        "left_out": list(done.left_out),
        "problems": [asdict(problem) for problem in done.problems],
    }


class _Watch:
    """Hands what a batch tells on to the parent."""

    def __init__(self, report: Reporter):
        self._report = report

    def share(self, value: float, stage: str, message: str) -> None:
        self._report.progress(value, stage, message)

    def outcome(self, outcome: CaseOutcome) -> None:
        folder = str(outcome.folder or "")
        self._report.send(
            SeriesUpdate(
                outcome.case_id,
                status=outcome.status,
                folder=folder,
                reason=outcome.reason,
                warnings=outcome.warnings,
                seconds=outcome.seconds,
                kept=outcome.kept,
            )
        )


def _place(folder: Path, number: int) -> Path:
    return folder / f"view-{number}"


def _write_volumes(folder: Path, volumes: Sequence[Volume]) -> Iterable[float]:
    from ..files.raw_volume import write_raw_volume

    for number, volume in enumerate(volumes):
        _place(folder, number).mkdir()
        for share in write_raw_volume(_place(folder, number), volume):
            yield (number + share) / len(volumes)


def _collect(_values: Mapping[str, object], folder: Path) -> ClassificationResult:
    """The result in memory of our own: the files may go."""
    try:
        document = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        explanations = tuple(
            Explanation(
                np.load(folder / f"explanation-{n}.npy", allow_pickle=False),
                one["target"],
                one["class"],
                one["method"],
                one["view"],
            )
            for n, one in enumerate(document["explanations"])
        )
        return ClassificationResult.from_dict(document, explanations)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"The result handed back in {folder} cannot be read ({type(error).__name__}); classify again."
        raise SourceError(msg) from error
