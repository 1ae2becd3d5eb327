"""Long work in a child process, watched without waiting: the parent's side, and the kinds of work there are.

A `Job` says what to do, a `JobProcess` does it in a child (`DicomAnalysisLib.worker`) and tells
how far it is. No thread and no timer of its own: whoever has an event loop calls `poll` ten
times a second, and everything that is reported is reported from there.

Examples
--------
>>> from DicomAnalysisLib.jobs import JobProcess, segment_volume_job
>>> from DicomAnalysisLib.phantom import make_head_phantom
>>> process = JobProcess(segment_volume_job(make_head_phantom().volume))
>>> process.start()
>>> process.wait().state
'done'
>>> [segment.kind.name for segment in process.value.segments]
['Headrest', 'Metal']
"""

from importlib import import_module

_HOMES = {
    "EpochUpdate": "events",
    "Failure": "events",
    "Job": "job",
    "JobProcess": "process",
    "Progress": "events",
    "Result": "events",
    "SeriesUpdate": "events",
    "classify_series_job": "classify",
    "classify_volume_job": "classify",
    "cohort_cluster_job": "cohort_cluster",
    "cohort_learn_job": "cohort_learn",
    "cohort_run_job": "cohort_run",
    "find_python": "command",
    "remove_abandoned_workspaces": "workspace",
    "segment_series_job": "segment_series",
    "segment_volume_job": "segment_volume",
    "train_classifier_job": "train_classifier",
    "train_segmentation_job": "train_segmentation",
}

__all__ = list(_HOMES)

TASKS = {
    "classify-series": "classify",
    "classify-volume": "classify",
    "cohort-cluster": "cohort_cluster",
    "cohort-learn": "cohort_learn",
    "cohort-run": "cohort_run",
    "compare-segmentations": "agreement",
    "segment-volume": "segment_volume",
    "segment-series": "segment_series",
    "train-classifier": "train_classifier",
    "train-segmentation": "train_segmentation",
}
"""Names of the kinds of work and the modules of this package that do them: each has ``run(arguments, report)``."""


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
