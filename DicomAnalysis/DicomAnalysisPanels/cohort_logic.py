"""The logic's part for cohorts: features of many series, clusters as points to be opened, labels learned."""

import json
from collections import namedtuple
from pathlib import Path

import slicer

from .background import BackgroundJob, database_source

CLUSTERS, LEARNING = "clusters", "learning"
"""Folders of results, in the output folder of the features."""
REQUEST = "measured-series.json"
_STACK = "/stack-"

CohortClusters = namedtuple("CohortClusters", "explorer featuresFolder outputFolder report montages")
"""Clusters of a cohort: the library's `Explorer` (points, clusters, sentences), the folder of the features, that of
the results, the path of the report (HTML), and the pictures of each cluster's nearest examples by its number."""


class CohortLogic:
    """Calls of `DicomAnalysisLogic` that work on a whole cohort; `scene` is where tables and plots go."""

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
            File with a key: tables get keyed hashes for identifiers. Such series cannot be opened from a plot.
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

        request = {"model": str(model), "key": None if key is None else str(Path(key).absolute()), "series": None}
        if isinstance(source, (str, Path)):
            request["source"] = str(Path(source).absolute())
        else:
            request["series"] = list(source)
            request["source"] = database_source(database or slicer.dicomDatabase, request["series"])
        write_text(Path(outputFolder) / REQUEST, json_text(request))
        return self._measure(request, outputFolder, workers, retryFailed, onProgress, onDone)

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

    def findClusters(
        self,
        featuresFolder,
        outputFolder="",
        labels=None,
        targets=(),
        onProgress=None,
        onDone=None,
        **options,
    ):
        """Find groups of alike series without labels, beside Slicer; judged, described, and told from scanners.

        Parameters
        ----------
        featuresFolder : str or path
            Output folder of `measureFeatures`, or a Parquet file of features.
        outputFolder : str or path
            By default ``clusters`` in the folder of the features.
        labels : str or path, optional
            CSV file of labels by series, patient or file, to compare the clusters with and to colour points by.
        targets : sequence of str
            Its columns; by default the only one that is no identifier.
        onProgress, onDone : callable, optional
            As for `segmentInBackground`.
        **options
            Of `DicomAnalysisLib.cohort.clustering.options.ClusteringOptions`: ``method`` (``"density"`` or
            ``"kmeans"``), ``clusters``, ``display``, ``seed`` ...

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            Its result is a `CohortClusters`.

        Raises
        ------
        DicomAnalysisLib.errors.UsageError
            If an option makes no sense.
        """
        from DicomAnalysisLib.cohort.clustering.options import ClusteringOptions
        from DicomAnalysisLib.errors import UsageError
        from DicomAnalysisLib.jobs import cohort_cluster_job

        try:
            chosen = ClusteringOptions(**options)
        except TypeError as error:
            msg = f"The options of the clusters are not understood ({error})."
            raise UsageError(msg) from error
        output = Path(outputFolder or _beside(featuresFolder, CLUSTERS))
        job = cohort_cluster_job(featuresFolder, output, chosen, labels=labels or None, targets=tuple(targets))
        return BackgroundJob(
            job, lambda _values: self.readClusters(output, featuresFolder), on_progress=onProgress, on_done=onDone
        )

    def readClusters(self, outputFolder, featuresFolder=""):
        """The clusters that `findClusters`, or the command ``cohort cluster``, left in a folder: `CohortClusters`.

        Parameters
        ----------
        outputFolder : str or path
        featuresFolder : str or path
            By default the folder around `outputFolder`.

        Raises
        ------
        DicomAnalysisLib.errors.SourceError
            If there are none.
        """
        from DicomAnalysisLib.cohort.clustering.explorer import read_explorer
        from DicomAnalysisLib.jobs.cohort_cluster import montage_path

        folder = Path(outputFolder)
        explorer = read_explorer(folder)
        paths = {one.number: montage_path(folder, one.number) for one in explorer.clusters}
        report = folder / "report.html"
        return CohortClusters(
            explorer,
            Path(featuresFolder or folder.parent),
            folder,
            report if report.is_file() else None,
            {number: path for number, path in paths.items() if path.is_file()},
        )

    def showEmbedding(self, result, colorBy=""):
        """Put a cohort into the scene: a table with a row, and a plot with a point, for each series.

        Parameters
        ----------
        result : CohortClusters
        colorBy : str
            A label that was given to `findClusters`; by default the cluster.

        Returns
        -------
        DicomAnalysisLib.mrml.cohort.CohortNodes
            ``table_node``, ``chart_node``, ``series_nodes`` and how many points are drawn. Nodes of an earlier
            call for the same folder are updated.

        Raises
        ------
        DicomAnalysisLib.errors.UsageError
            If there is no such label.
        """
        from DicomAnalysisLib.errors import UsageError
        from DicomAnalysisLib.mrml.cohort import explorer_to_nodes

        if colorBy and colorBy not in result.explorer.labels:
            known = ", ".join(result.explorer.labels) or "none"
            msg = f"There is no label {colorBy!r} to colour by; the labels of these clusters are: {known}."
            raise UsageError(msg)
        name, features = str(Path(result.outputFolder).absolute()), str(Path(result.featuresFolder).absolute())
        return explorer_to_nodes(self.scene, result.explorer, colorBy, name, features)

    def loadExample(self, result, series, database=None):
        """Load a series of a cohort: from Slicer's DICOM database, or from its files where that does not know it.

        Parameters
        ----------
        result : CohortClusters or vtkMRMLTableNode
            Of `findClusters`, or the table of `showEmbedding`, also in a scene that was opened again.
        series : str
            As the table names it: a Series Instance UID, with ``/stack-2`` and so on for further stacks.
        database : ctkDICOMDatabase, optional
            Slicer's own by default.

        Returns
        -------
        vtkMRMLScalarVolumeNode

        Raises
        ------
        DicomAnalysisLib.errors.SourceError
            If its files are not known or cannot be read.
        """
        from DicomAnalysisLib.cohort.features.files import series_files
        from DicomAnalysisLib.mrml import load_files, load_series
        from DicomAnalysisLib.mrml.cohort import features_of

        uid, _slash, number = series.partition(_STACK)
        database = database or getattr(slicer, "dicomDatabase", None)
        if database and database.isOpen and any(database.filesForSeries(uid)):
            nodes = load_series(self.scene, database, uid)
        else:
            features = result.featuresFolder if isinstance(result, CohortClusters) else features_of(result)
            nodes = load_files(self.scene, series_files(features, series))
        place = int(number) - 1 if number.isdigit() else 0
        return nodes[place if place < len(nodes) else 0]

    def learnLabels(
        self,
        featuresFolder,
        labels,
        outputFolder="",
        targets=(),
        predictions=None,
        threads=0,
        seed=0,
        onProgress=None,
        onDone=None,
    ):
        """Learn labels from features beside Slicer, by XGBoost, forest and logistic regression; leakage is told.

        Parameters
        ----------
        featuresFolder : str or path
            Output folder of `measureFeatures`, or a Parquet file of features.
        labels : str or path
            CSV file of labels by series, patient or file.
        outputFolder : str or path
            By default ``learning`` in the folder of the features.
        targets : sequence of str
            Columns of labels; by default the only one that is no identifier.
        predictions : str or path, optional
            ``predictions.csv`` of a classifier's training: its split is taken, and it is compared.
        threads, seed : int
        onProgress, onDone : callable, optional
            As for `segmentInBackground`.

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            Its result is a dict: ``findings``, ``is_leaking``, ``report`` ...
        """
        from DicomAnalysisLib.jobs import cohort_learn_job

        output = outputFolder or _beside(featuresFolder, LEARNING)
        job = cohort_learn_job(
            featuresFolder,
            labels,
            output,
            targets=tuple(targets),
            predictions=predictions,
            threads=threads,
            seed=seed,
        )
        return BackgroundJob(job, on_progress=onProgress, on_done=onDone)

    def _measure(self, request, outputFolder, workers, retryFailed, onProgress, onDone):
        from DicomAnalysisLib.cohort.engine.options import CohortOptions
        from DicomAnalysisLib.jobs import cohort_run_job

        options = CohortOptions(
            model=request["model"],
            workers=workers,
            retry_failed=retryFailed,
            key=None if request["key"] is None else Path(request["key"]),
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
        return {name: known[name] for name in ("source", "series", "model", "key")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"No series were measured from Slicer into {outputFolder} ({type(error).__name__}); measure them anew."
        raise UsageError(msg) from error


def _beside(featuresFolder, name):
    """A folder for results; beside the table where that is a file."""
    folder = Path(featuresFolder)
    return (folder.parent if folder.is_file() else folder) / name
