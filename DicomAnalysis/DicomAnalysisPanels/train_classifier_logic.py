"""The logic's part for training classifiers: from labelled series of the DICOM database or of a folder."""

from pathlib import Path

import slicer

from .background import BackgroundJob, series_files, source_and_files
from .training_logic import epochs_of

SCORE = "AUROC"
"""What the score of an epoch is."""


class ClassifierTrainingLogic:
    """Calls of `DicomAnalysisLogic` that train classifiers; `scene` is where curves are."""

    def trainClassifier(
        self,
        source,
        labels,
        outputFolder,
        network="volume3d/densenet121",
        size="small",
        epochs=30,
        columns=(),
        views=None,
        resume=False,
        database=None,
        onProgress=None,
        onEpoch=None,
        onDone=None,
        **options,
    ):
        """Train a classifier on labelled series, in a process of its own.

        Labels are joined to series by identifier, never by their order. Patients, never slices, are split into those
        that are learned from, those by which the best epoch is chosen, and those that the score is told of. The
        folder gets the model (``model``), predictions, curves and a report; a training that was cancelled is gone on
        with by `resumeClassifierTraining`.

        Parameters
        ----------
        source : str, path or sequence of str
            A folder with images, or Series Instance UIDs of Slicer's DICOM database.
        labels : str, path or vtkMRMLTableNode
            A CSV file or a table with a column series_uid, study_uid, patient_id or file, and columns of labels.
        outputFolder : str or path
            Of its own for every training.
        network : str
            One of `DicomAnalysisLib.classification.architectures.NETWORKS`.
        size : str
            ``"small"`` (minutes on two CPU cores) or ``"standard"`` (the published network, for a graphics card).
        epochs : int
            At most.
        columns : sequence of str
            Label columns, ``"finding"`` or ``"finding:binary"``; by default the only one there is.
        views : sequence of str, optional
            For networks of several views, ``"LCC:laterality=L,position=CC"`` each.
        resume : bool
            Go on with the training in the folder; the other choices have to be those it was begun with.
        database : ctkDICOMDatabase, optional
            Slicer's own by default.
        onProgress, onDone : callable, optional
            As for `segmentInBackground`.
        onEpoch : callable, optional
            Called on the main thread with a `DicomAnalysisLib.jobs.EpochUpdate` after every epoch; its score is the
            mean AUROC of the validation patients.
        **options
            Further ones of `DicomAnalysisLib.classification.options.ClassifierOptions`: ``recipe``, ``folds``,
            ``seed``, ``patience``, ``device``, ``pooling`` ...

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            ``wait()`` waits and returns a dict: ``model`` (its folder), ``best_score``, ``test_scores``,
            ``warnings``, ``files`` and more, as ``dicom-analysis train-classifier --json`` prints.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If an option is unknown, or the folder holds something else.
        """
        from DicomAnalysisLib.classification.options import ClassifierOptions
        from DicomAnalysisLib.classification.training_outputs import training_in
        from DicomAnalysisLib.classification.training_request import ClassifierRequest
        from DicomAnalysisLib.errors import UsageError

        chosen = ClassifierOptions.from_dict({"network": network, "size": size, "epochs": epochs, **options})
        # What was only asked for, and never begun, may be asked for otherwise: the labels had another mistake in them.
        if not resume and training_in(Path(outputFolder)) is not None:
            msg = f"{outputFolder} holds a training already. Resume it, or choose another folder."
            raise UsageError(msg)
        if not isinstance(source, (str, Path)):
            # The files, not the whole database: of that every labelled series would be learned from.
            source = series_files(database or slicer.dicomDatabase, source)
        request = ClassifierRequest(
            *source_and_files(source),
            **_table(labels),
            options=chosen,
            columns=tuple(columns),
            views=None if views is None else tuple(views),
        )
        request.save(outputFolder)
        return self._trainClassifier(request, outputFolder, resume, onProgress, onEpoch, onDone)

    def resumeClassifierTraining(self, outputFolder, onProgress=None, onEpoch=None, onDone=None):
        """Go on with the training that `trainClassifier` began in a folder, in this session or an earlier one.

        Returns what `trainClassifier` returns; callables are those of `trainClassifier`.

        Raises
        ------
        DicomAnalysisLib.errors.UsageError
            If no training was begun there.
        """
        from DicomAnalysisLib.classification.training_request import read_request

        return self._trainClassifier(read_request(outputFolder), outputFolder, True, onProgress, onEpoch, onDone)

    def canResumeClassifierTraining(self, outputFolder):
        """Whether `trainClassifier` began a training in a folder."""
        from DicomAnalysisLib.classification.training_request import is_request

        return is_request(outputFolder)

    def classifierTrainingHistory(self, outputFolder):
        """The epochs of a training, as a list of mappings; empty where there is none yet.

        Raises
        ------
        DicomAnalysisLib.errors.SourceError
            If the history cannot be read.
        """
        return epochs_of(outputFolder)

    def classifierTrainingCurves(self, outputFolder, history):
        """Show epochs (mappings as ``EpochUpdate.record``) as a chart that later calls let grow; returns its nodes."""
        from DicomAnalysisLib.mrml import training_curves

        return training_curves(self.scene, str(outputFolder), history, SCORE)

    def labelColumns(self, labels):
        """Columns of a CSV file or a table node that can be labels: those that are no identifiers.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If the table cannot be read.
        """
        from DicomAnalysisLib.classification.tables import FACT_COLUMNS, IDENTIFIERS, VIEW_COLUMN, read_table

        table = _table(labels)
        read = read_table(table.get("labels") or (table["header"], table["rows"]))
        known = [read.like(names) for names in (*IDENTIFIERS.values(), VIEW_COLUMN, *FACT_COLUMNS.values())]
        return [title for index, title in enumerate(read.header) if index not in known]

    def _trainClassifier(self, request, outputFolder, resume, onProgress, onEpoch, onDone):
        from DicomAnalysisLib.jobs import train_classifier_job

        job = train_classifier_job(
            request.source or request.files,
            request.table,
            outputFolder,
            request.options,
            targets=request.columns,
            views=request.views,
            resume=resume,
        )
        return BackgroundJob(job, on_progress=onProgress, on_epoch=onEpoch, on_done=onDone)


def _table(labels):
    """Labels as the fields of a `ClassifierRequest`."""
    if isinstance(labels, (str, Path)):
        return {"labels": str(labels)}
    from DicomAnalysisLib.mrml.table_cells import table_cells

    header, rows = table_cells(labels)
    return {"header": header, "rows": rows}
