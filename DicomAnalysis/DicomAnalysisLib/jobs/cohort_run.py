"""``cohort-run``: a task on every series of a source, by several processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..cohort.engine.options import CohortOptions
from ..errors import UsageError
from ..segmentation.options import SegmentationOptions
from .events import Reporter
from .job import Job

TASK = "cohort-run"


def cohort_run_job(
    source: str | Path | Sequence[str | Path],
    output: str | Path,
    options: CohortOptions | None = None,
    *,
    series_uid: str | None = None,
    series_uids: Sequence[str] | None = None,
) -> Job:
    """The job of running a task over a cohort, as the command ``cohort run`` does.

    Its value holds what `cohort.engine.driver.CohortReport` does. A job that was cancelled or killed loses
    nothing that was finished; the same job again does the rest.

    Parameters
    ----------
    source : path or sequence of path
        A folder, a DICOM database (its folder or its ``.sql`` file), or the files themselves.
    output : path
    options : CohortOptions, optional
    series_uid, series_uids : str and sequence of str, optional
        Only this series, or these.
    """
    one = isinstance(source, (str, Path))
    arguments = {
        "source": str(Path(source).absolute()) if one else [str(Path(path).absolute()) for path in source],
        "output": str(Path(output).absolute()),
        "options": asdict(options or CohortOptions()),
        "series_uid": series_uid,
        "series_uids": None if series_uids is None else list(series_uids),
    }
    return Job(TASK, arguments)


def run(arguments: Mapping[str, object], report: Reporter) -> Mapping[str, object]:
    """Do the job: the child's side."""
    report.progress(0.0, "looking for series")
    from ..cohort.engine.driver import run_cohort

    options = _options(arguments["options"])
    found = run_cohort(
        arguments["source"],
        arguments["output"],
        options,
        series_uid=arguments.get("series_uid"),
        series_uids=arguments.get("series_uids"),
        watch=lambda share, done, total: report.progress(share, options.task, f"{done} of {total} series"),
    )
    return {**asdict(found), "memory_over_time": [], "complete": found.complete}


def _options(values: Mapping[str, object]) -> CohortOptions:
    try:
        segmentation = dict(values["segmentation"])
        segmentation |= {name: tuple(segmentation[name]) for name in ("tasks", "models")}
        key = values["key"]
        return CohortOptions(
            **{
                **values,
                "segmentation": SegmentationOptions(**segmentation),
                "key": None if key is None else Path(key),
                "views": tuple(values["views"]),
            }
        )
    except (TypeError, KeyError) as error:
        msg = f"The options of the run are not understood ({error})."
        raise UsageError(msg) from error
