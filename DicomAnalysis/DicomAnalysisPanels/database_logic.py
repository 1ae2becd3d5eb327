"""The logic's part for Slicer's DICOM database: its list, one series of it, and batches over many."""

import slicer

from .background import BackgroundJob, database_source, source_and_files


class DatabaseLogic:
    """Calls of `DicomAnalysisLogic` that work on the DICOM database; `scene` is where series are loaded into."""

    def databaseSeries(self, database=None):
        """Every series of Slicer's DICOM database: list of `DicomAnalysisLib.dicom.database.SeriesSummary`."""
        from DicomAnalysisLib.dicom.database import ApplicationSource

        database = database or getattr(slicer, "dicomDatabase", None)
        return ApplicationSource(database).summaries() if database and database.isOpen else []

    def loadSeries(self, seriesInstanceUID, database=None, resultFolder=None):
        """Load a series of Slicer's DICOM database with our own reader; returns its volume node.

        Tilted, uneven, gapped and duplicated series become one volume with every slice in its place.
        Where a series holds several stacks of slices, all are loaded and the largest is returned.
        With `resultFolder`, what a batch found in the series comes into the scene, too.
        """
        from DicomAnalysisLib.mrml import load_result, load_series

        volumeNode = load_series(self.scene, database or slicer.dicomDatabase, seriesInstanceUID)[0]
        if resultFolder:
            load_result(self.scene, volumeNode, resultFolder)
        return volumeNode

    def segmentSeries(
        self,
        seriesInstanceUIDs,
        outputFolder,
        tasks=("headrest", "metal"),
        region="inside",
        metalThreshold=None,
        resume=False,
        database=None,
        method="auto",
        models=(),
        onProgress=None,
        onSeries=None,
        onDone=None,
    ):
        """Segment series of Slicer's DICOM database into files, in a process of its own.

        Each series gets a folder in `outputFolder`, as from the command ``dicom-analysis segment``.
        What became of each is kept in a ledger there, so that a run that was cancelled, or that ended
        with the computer, is taken up again: with `resume`, or with `resumeSeries`.

        Parameters
        ----------
        seriesInstanceUIDs : sequence of str
        outputFolder : str or path
        tasks, region, metalThreshold, method, models
            As for `segment`.
        resume : bool
            Do only what is left of an earlier run with the same options.
        database : ctkDICOMDatabase, optional
            Slicer's own by default.
        onProgress, onDone : callable, optional
            As for `segmentInBackground`.
        onSeries : callable, optional
            Called with a `DicomAnalysisLib.jobs.SeriesUpdate` when a series begins and when it ends.

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            Its result is a dict: ``output``, ``complete``, ``counts`` by status, ``problems``.
        """
        from DicomAnalysisLib.batch.request import BatchRequest
        from DicomAnalysisLib.segmentation import SegmentationOptions

        wanted = tuple(seriesInstanceUIDs)
        options = SegmentationOptions(
            tuple(tasks), region, method, metal_threshold_hu=metalThreshold, models=tuple(models)
        )
        source, files = source_and_files(database_source(database or slicer.dicomDatabase, list(wanted)))
        request = BatchRequest(source, wanted, options, files)
        request.save(outputFolder)
        return self._runBatch(request, outputFolder, resume, onProgress, onSeries, onDone)

    def resumeSeries(self, outputFolder, onProgress=None, onSeries=None, onDone=None):
        """Do what is left of the batch that `segmentSeries` began in a folder, in this session or an earlier one.

        Returns what `segmentSeries` returns; callables are those of `segmentSeries`.

        Raises
        ------
        DicomAnalysisLib.errors.UsageError
            If no batch was begun there.
        """
        from DicomAnalysisLib.batch.request import require_request

        request = require_request(outputFolder)
        return self._runBatch(request, outputFolder, True, onProgress, onSeries, onDone)

    def _runBatch(self, request, outputFolder, resume, onProgress, onSeries, onDone):
        from DicomAnalysisLib.jobs import segment_series_job

        job = segment_series_job(
            request.source or request.files,
            outputFolder,
            request.options,
            series_uids=request.series_uids,
            resume=resume,
        )
        return BackgroundJob(job, on_progress=onProgress, on_series=onSeries, on_done=onDone)
