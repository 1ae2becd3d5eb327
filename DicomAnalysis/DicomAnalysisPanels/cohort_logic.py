"""The logic's part for cohorts that were measured: clusters as points to be opened, and labels learned."""

from collections import namedtuple
from pathlib import Path

import slicer

from .background import BackgroundJob

CLUSTERS, LEARNING = "clusters", "learning"
"""Folders of results, in the output folder of the features."""
_STACK = "/stack-"

CohortClusters = namedtuple("CohortClusters", "explorer featuresFolder outputFolder report montages")
"""Clusters of a cohort: the library's `Explorer` (points, clusters, sentences), the folder of the features, that of
the results, the path of the report (HTML), and the pictures of each cluster's nearest examples by its number."""


class CohortLogic:
    """Calls of `DicomAnalysisLogic` that work on the features of a cohort; `scene` is where tables and plots go."""

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


def _beside(featuresFolder, name):
    """A folder for results; beside the table where that is a file."""
    folder = Path(featuresFolder)
    return (folder.parent if folder.is_file() else folder) / name
