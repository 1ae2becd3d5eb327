"""The logic's part for features: a whole cohort measured, by several processes beside Slicer."""

import json
from pathlib import Path

import slicer

from .background import BackgroundJob, database_source

REQUEST = "measured-series.json"
"""What was asked for, in the output folder: whoever resumes it has nothing to remember."""


class MeasuringLogic:
    """Calls of `DicomAnalysisLogic` that measure features of every series of a cohort."""

    def measureFeatures(
        self,
        source,
        outputFolder,
        model="",
        workers=0,
        retryFailed=False,
        key=None,
        database=None,
        onProgress=None,
        onDone=None,
    ):
        """Measure features of every series, by several processes beside Slicer.

        What an earlier run into the same folder has measured stays; only the rest is done.

        Parameters
        ----------
        source : str, path or sequence of str
            A folder of DICOM files or a database; or Series Instance UIDs of Slicer's DICOM database.
        outputFolder : str or path
            Gets the table of features and the ledger of what became of each series.
        model : str
            Folder of a classifier, whose features are wanted instead of interpretable ones.
        workers : int
            Processes; 0: one for each core, fewer where there is little memory.
        retryFailed : bool
            Try again what failed, or was put aside, in an earlier run.
        key : str or path, optional
            File with a key: tables get keyed hashes for identifiers. Such series cannot be opened from a plot, and
            nothing in the folder says which were measured: to go on with them, call this again as before.
        database : ctkDICOMDatabase, optional
            Slicer's own by default.
        onProgress, onDone : callable, optional
            As for `segmentInBackground`.

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            Its result is a dict: ``done``, ``kept``, ``skipped``, ``failed`` (reasons by series) ...

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If an option makes no sense, or the output folder cannot be written.
        """
        from DicomAnalysisLib.files.atomic import write_text
        from DicomAnalysisLib.files.json_text import json_text

        request = {"model": str(model), "series": None}
        if isinstance(source, (str, Path)):
            request["source"] = str(Path(source).absolute())
        else:
            request["series"] = list(source)
            request["source"] = database_source(database or slicer.dicomDatabase, request["series"])
        if key is None:
            write_text(Path(outputFolder) / REQUEST, json_text(request))
        return self._measure(request, outputFolder, workers, retryFailed, onProgress, onDone, key)

    def resumeFeatures(self, outputFolder, workers=0, retryFailed=False, onProgress=None, onDone=None):
        """Do what is left of what `measureFeatures` began in a folder, in this session or an earlier one.

        Parameters are those of `measureFeatures`.

        Raises
        ------
        DicomAnalysisLib.errors.UsageError
            If nothing was begun there.
        """
        return self._measure(_request(outputFolder), outputFolder, workers, retryFailed, onProgress, onDone)

    def cohortStatus(self, outputFolder):
        """How far the features of a folder are: the library's `TaskStatus` (``counts``, ``failed``), or None."""
        from DicomAnalysisLib.cohort.engine.status import look_at_run
        from DicomAnalysisLib.errors import SourceError

        try:
            return next((one for one in look_at_run(outputFolder) if one.task == "features"), None)
        except SourceError:
            return None  # nothing was begun there

    def _measure(self, request, outputFolder, workers, retryFailed, onProgress, onDone, key=None):
        from DicomAnalysisLib.cohort.engine.options import CohortOptions
        from DicomAnalysisLib.jobs import cohort_run_job

        options = CohortOptions(
            model=request["model"],
            workers=workers,
            retry_failed=retryFailed,
            key=None if key is None else Path(key),
        )
        job = cohort_run_job(request["source"], outputFolder, options, series_uids=request["series"])
        return BackgroundJob(job, on_progress=onProgress, on_done=onDone)


def is_begun(outputFolder):
    """Whether `measureFeatures` was begun in a folder."""
    return (Path(outputFolder) / REQUEST).is_file()


def _request(outputFolder):
    from DicomAnalysisLib.errors import UsageError

    path = Path(outputFolder) / REQUEST
    try:
        known = json.loads(path.read_text("utf-8"))
        return {name: known[name] for name in ("source", "series", "model")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"No series were measured from Slicer into {outputFolder} ({type(error).__name__}); measure them anew."
        raise UsageError(msg) from error
