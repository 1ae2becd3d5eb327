"""The logic's part for training: networks from series of the DICOM database or of a folder."""

from pathlib import Path

import slicer

from .background import BackgroundJob, database_source, source_and_files

OWN_LABELS = "my-segmentations"


class TrainingLogic:
    """Calls of `DicomAnalysisLogic` that train networks; `scene` is where segmentations and curves are."""

    def trainSegmentation(
        self,
        source,
        outputFolder,
        task="headrest",
        labels="classical",
        size="standard",
        epochs=40,
        resume=False,
        database=None,
        onProgress=None,
        onEpoch=None,
        onDone=None,
        **options,
    ):
        """Train a network for a task, in a process of its own.

        The folder gets the model with its card (``model``), the history, curves, strips of predictions and a
        checkpoint after every epoch: a training that was cancelled, or that ended with the computer, is gone
        on with by `resume`, to the same numbers.

        Parameters
        ----------
        source : str, path or sequence of str
            A folder with DICOM files, or Series Instance UIDs of Slicer's DICOM database.
        outputFolder : str or path
            Of its own for every training.
        task : str
            ``"headrest"`` or ``"metal"``.
        labels : str
            ``"classical"`` (the program's own; slices it is not sure of are left out), ``"own"`` (the segments
            *Headrest* or *Metal* of the segmentations in the scene) or ``"both"`` (own where there are some).
        size : str
            ``"small"`` (a first look) or ``"standard"``.
        epochs : int
            At most.
        resume : bool
            Go on with the training in the folder; the other choices have to be those it was begun with.
        database : ctkDICOMDatabase, optional
            Slicer's own by default.
        onProgress, onDone : callable, optional
            As for `segmentInBackground`.
        onEpoch : callable, optional
            Called on the main thread with a `DicomAnalysisLib.jobs.EpochUpdate` after every epoch.
        **options
            Further ones of `DicomAnalysisLib.segmentation.training.options.TrainingOptions`: ``test_fraction``,
            ``seed``, ``patience``, ``device`` ...

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            ``wait()`` waits and returns a dict: ``model`` (its folder), ``best_score``, ``test_scores``,
            ``left_out``, ``warnings`` and more, as ``dicom-analysis train-segmentation --json`` prints.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If an option is unknown, or there are no own segmentations.
        """
        from DicomAnalysisLib.segmentation.training.options import TrainingOptions
        from DicomAnalysisLib.segmentation.training.outputs import require_free
        from DicomAnalysisLib.segmentation.training.request import TrainingRequest

        if not resume:
            require_free(Path(outputFolder))
        uids = None if isinstance(source, (str, Path)) else list(source)
        if uids is not None:
            source = database_source(database or slicer.dicomDatabase, uids)
        chosen = self._labels(labels, task, Path(outputFolder), uids, resume)
        request = TrainingRequest(
            *source_and_files(source),
            None if uids is None else tuple(uids),
            task,
            TrainingOptions(labels=chosen, size=size, epochs=epochs, **options),
        )
        request.save(outputFolder)
        return self._train(request, outputFolder, resume, onProgress, onEpoch, onDone)

    def resumeTraining(self, outputFolder, onProgress=None, onEpoch=None, onDone=None):
        """Go on with the training that `trainSegmentation` began in a folder, in this session or an earlier one.

        Returns what `trainSegmentation` returns; callables are those of `trainSegmentation`.

        Raises
        ------
        DicomAnalysisLib.errors.UsageError
            If no training was begun there.
        """
        from DicomAnalysisLib.segmentation.training.request import read_request

        return self._train(read_request(outputFolder), outputFolder, True, onProgress, onEpoch, onDone)

    def canResumeTraining(self, outputFolder):
        """Whether `trainSegmentation` began a training in a folder."""
        from DicomAnalysisLib.segmentation.training.request import is_request

        return is_request(outputFolder)

    def trainingHistory(self, outputFolder):
        """The epochs of a training, as a list of mappings, and the path of the last strip (empty where there is none).

        Raises
        ------
        DicomAnalysisLib.errors.SourceError
            If the history cannot be read.
        """
        from DicomAnalysisLib.networks.strips import strip_path

        history = epochs_of(outputFolder)
        strip = strip_path(Path(outputFolder), history[-1]["epoch"]) if history else Path()
        return history, str(strip) if strip.is_file() else ""

    def _train(self, request, outputFolder, resume, onProgress, onEpoch, onDone):
        from DicomAnalysisLib.jobs import train_segmentation_job

        job = train_segmentation_job(
            request.source or request.files,
            request.task,
            outputFolder,
            request.options,
            series_uids=request.series_uids,
            resume=resume,
        )
        return BackgroundJob(job, on_progress=onProgress, on_epoch=onEpoch, on_done=onDone)

    def trainingCurves(self, outputFolder, history):
        """Show epochs (mappings as ``EpochUpdate.record``) as a chart that later calls let grow; returns its nodes."""
        from DicomAnalysisLib.mrml import training_curves

        return training_curves(self.scene, str(outputFolder), history)

    def modelCard(self, nameOrFolder):
        """The card of a model as a text node: what it is for, learned from, how well it does and where it fails.

        Parameters
        ----------
        nameOrFolder : str or path
            ``"headrest"`` or ``"metal"`` for a network that comes with the program, or the folder of another.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If there is no such model, or if it was changed.
        """
        from DicomAnalysisLib.mrml import model_card_node

        return model_card_node(self.scene, nameOrFolder)

    def _labels(self, labels, task, outputFolder, uids, resume):
        """The option `labels`; own segmentations are written into the output folder, where a resumed run finds them."""
        from DicomAnalysisLib.errors import UsageError
        from DicomAnalysisLib.mrml import write_own_labels

        if labels not in ("classical", "own", "both"):
            msg = f"Unknown labels {labels!r}; choose classical, own or both."
            raise UsageError(msg)
        if labels == "classical":
            return ("classical",)
        folder = outputFolder.absolute() / OWN_LABELS
        name = {"headrest": "Headrest", "metal": "Metal"}.get(task, task)
        if not (resume and folder.is_dir()) and not write_own_labels(self.scene, folder, name, uids):
            msg = (
                f"There is no segmentation in the scene with a segment {name} of one of the series. Load the series "
                "with this module, segment it, correct the segment in the Segment Editor, and train again."
            )
            raise UsageError(msg)
        return (str(folder),) if labels == "own" else ("classical", str(folder))


def epochs_of(outputFolder):
    """The epochs that a training kept in its output folder, as a list of mappings; empty where there is none yet.

    Raises
    ------
    DicomAnalysisLib.errors.SourceError
        If the history cannot be read.
    """
    from dataclasses import asdict

    from DicomAnalysisLib.networks.history import JSON_NAME, read_history

    folder = Path(outputFolder)
    return [asdict(record) for record in read_history(folder)] if (folder / JSON_NAME).is_file() else []
