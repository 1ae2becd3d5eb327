"""The logic: all that the panel does, one documented call each, for Slicer's Python console and for scripts."""

from collections import namedtuple

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from .agreement_logic import AgreementLogic
from .background import BackgroundJob, require_in_scene
from .classify_logic import ClassificationLogic
from .cohort_logic import CohortLogic
from .database_logic import DatabaseLogic
from .measuring_logic import MeasuringLogic
from .parameters import DicomAnalysisParameterNode
from .train_classifier_logic import ClassifierTrainingLogic
from .training_logic import TrainingLogic

SegmentationNodes = namedtuple("SegmentationNodes", "segmentationNode tableNode cleanedVolumeNode result")
"""What a run left in the scene (None where there is nothing) and the library's `SegmentationResult`."""


class DicomAnalysisLogic(
    AgreementLogic,
    DatabaseLogic,
    TrainingLogic,
    ClassificationLogic,
    ClassifierTrainingLogic,
    MeasuringLogic,
    CohortLogic,
    ScriptedLoadableModuleLogic,
):
    """All that the panel does, for Slicer's Python console and for scripts.

    `parent` is as for every scripted module logic; `scene` is where to work, Slicer's own by default.

    Examples
    --------
    >>> from DicomAnalysis import DicomAnalysisLogic
    >>> logic = DicomAnalysisLogic()
    >>> volumeNode = logic.loadSeries(seriesInstanceUID)          # from Slicer's DICOM database
    >>> nodes = logic.segment(volumeNode, ["headrest", "metal"])
    >>> nodes.segmentationNode.GetSegmentation().GetNumberOfSegments()
    2
    >>> nodes.cleanedVolumeNode.GetName() == volumeNode.GetName() + " cleaned"
    True
    """

    def __init__(self, parent=None, scene=None):
        super().__init__(parent)
        self._scene = scene
        self._undo = None

    @property
    def scene(self):
        """The scene that results go to."""
        return self._scene or slicer.mrmlScene

    def getParameterNode(self):
        """The panel's choices in Slicer's scene."""
        return DicomAnalysisParameterNode(super().getParameterNode())

    def loadVolumeFromFiles(self, files):
        """Load DICOM files that are in no database; returns the node of the largest stack."""
        from DicomAnalysisLib.mrml import load_files

        return load_files(self.scene, files)[0]

    def loadPhantom(self, kind="head"):
        """Make a CT phantom, ``"head"`` (with metal, in its holder) or ``"body"`` (on a table); returns its node."""
        from DicomAnalysisLib.mrml import volume_to_node
        from DicomAnalysisLib.phantom import make_body_phantom, make_head_phantom

        phantom = {"head": make_head_phantom, "body": make_body_phantom}[kind](metal=True)
        return volume_to_node(self.scene, phantom.volume, phantom.volume.identity.series_description)

    def segment(
        self,
        volumeNode,
        tasks=("headrest", "metal"),
        region="inside",
        createCleanedVolume=True,
        metalThreshold=None,
        replaceEarlier=True,
        method="auto",
        models=(),
    ):
        """Segment a CT volume; results go under the volume's study.

        Parameters
        ----------
        volumeNode : vtkMRMLScalarVolumeNode
            Hounsfield units; gantry tilt and parent transforms that keep slices flat are allowed.
        tasks : sequence of str
            ``"headrest"``, ``"metal"``, ``"bone"``.
        region : str
            Which metal: ``"inside"`` (implants, also at the skin), ``"outside"`` or ``"all"``.
        createCleanedVolume : bool
            With the headrest, make a volume in which it is air (-1000 HU).
        metalThreshold : float, optional
            HU; derived from the data by default.
        replaceEarlier : bool
            Update the nodes of an earlier run on this volume instead of making new ones.
        method : str
            ``"auto"``, ``"classical"`` or ``"network"``.
        models : sequence of str
            Folders of networks of the user's own, each for the task that it was trained for.

        Returns
        -------
        SegmentationNodes
            ``segmentationNode``, ``tableNode``, ``cleanedVolumeNode`` (or None) and ``result``.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If an option is unknown or the volume cannot be segmented; the message says why.
        """
        result = self.computeSegments(volumeNode, tasks, region, metalThreshold, method, models)
        return self.applyResult(volumeNode, result, createCleanedVolume, replaceEarlier)

    def segmentHeadrest(self, volumeNode):
        """`segment` with the headrest alone; also makes the cleaned volume."""
        return self.segment(volumeNode, ["headrest"])

    def segmentMetal(self, volumeNode, region="inside"):
        """`segment` with metal alone."""
        return self.segment(volumeNode, ["metal"], region)

    def computeSegments(
        self,
        volumeNode,
        tasks=("headrest", "metal"),
        region="inside",
        metalThreshold=None,
        method="auto",
        models=(),
    ):
        """The first half of `segment`, which takes the time: a `SegmentationResult`; the scene stays as it is."""
        from DicomAnalysisLib.mrml import node_to_volume
        from DicomAnalysisLib.segmentation import SegmentationOptions, segment

        options = SegmentationOptions(
            tuple(tasks), region, method, metal_threshold_hu=metalThreshold, models=tuple(models)
        )
        return segment(node_to_volume(volumeNode), options)

    def segmentInBackground(
        self,
        volumeNode,
        tasks=("headrest", "metal"),
        region="inside",
        createCleanedVolume=True,
        metalThreshold=None,
        replaceEarlier=True,
        method="auto",
        models=(),
        onProgress=None,
        onDone=None,
    ):
        """`segment` in a process of its own, so that Slicer stays usable.

        Parameters are those of `segment`, and

        onProgress, onDone : callable, optional
            Called on the main thread with the `BackgroundJob`: ``job.progress.value`` (0 to 1),
            ``job.progress.stage``, ``job.remaining_seconds``; at the end ``job.result`` or ``job.failure``.

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            ``cancel()`` stops it; ``wait()`` waits for it and returns the `SegmentationNodes`.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If an option is unknown or the volume cannot be segmented.
        """
        from DicomAnalysisLib.jobs import segment_volume_job
        from DicomAnalysisLib.mrml import node_to_volume
        from DicomAnalysisLib.segmentation import SegmentationOptions

        def intoScene(result):
            require_in_scene(volumeNode)
            return self.applyResult(volumeNode, result, createCleanedVolume, replaceEarlier)

        options = SegmentationOptions(
            tuple(tasks), region, method, metal_threshold_hu=metalThreshold, models=tuple(models)
        )
        job = segment_volume_job(node_to_volume(volumeNode), options)
        return BackgroundJob(job, intoScene, on_progress=onProgress, on_done=onDone)

    def applyResult(self, volumeNode, result, createCleanedVolume=True, replaceEarlier=True):
        """The second half of `segment`: put a result into the scene; returns `SegmentationNodes`."""
        from DicomAnalysisLib.mrml import NodeResults, UndoPoint, find_results, result_to_nodes

        earlier = find_results(self.scene, volumeNode) if replaceEarlier else NodeResults()
        undo = UndoPoint(self.scene, earlier)
        made = result_to_nodes(
            self.scene, result, volumeNode, create_cleaned_volume=createCleanedVolume, update=earlier
        )
        undo.note(made[:3])
        self._undo = undo
        return SegmentationNodes(*made)

    def canUndo(self):
        """Whether there is a last result to take back."""
        return self._undo is not None and self._undo.is_possible

    def undo(self):
        """Take the last result back: nodes that it made are removed, nodes that it changed are as they were."""
        if self._undo is not None:
            self._undo.undo()
        self._undo = None

    def forgetUndo(self):
        """The scene was closed: there is nothing to take back."""
        self._undo = None

    def results(self, volumeNode):
        """What earlier runs made of a volume: `SegmentationNodes`, None for what is not there."""
        from DicomAnalysisLib.mrml import find_results

        return SegmentationNodes(*find_results(self.scene, volumeNode))

    def sliceMaximum(self, volumeNode):
        """The largest value of every slice, as ``chart_node``, ``series_node`` and ``table_node`` under the study."""
        from DicomAnalysisLib.mrml import slice_maximum_curve

        return slice_maximum_curve(self.scene, volumeNode)

    def volumeInformation(self, volumeNode):
        """Shape, spacing, place and values of a volume as a dict: see `DicomAnalysisLib.reporting.info.describe`."""
        from DicomAnalysisLib.mrml import node_to_volume
        from DicomAnalysisLib.reporting.info import describe

        return describe(node_to_volume(volumeNode))

    def ensurePackages(self, feature, installer=None):
        """Have the packages of a feature, asking once and installing where some are missing.

        Parameters
        ----------
        feature : str
            ``"segmentation"`` (needs none), ``"decoding"``, ``"plots"``, ``"network"``, ``"cohort"``:
            the names of `DicomAnalysisLib.dependencies.FEATURES`.
        installer : DicomAnalysisLib.dependencies.Installer, optional
            Slicer's own ways by default.

        Returns
        -------
        bool
            False where the user said no.

        Raises
        ------
        DicomAnalysisLib.dependencies.DependencyError
            If they could not be installed; the message says why and how else to get them.
        """
        from DicomAnalysisLib.dependencies import ensure

        from .installer import SlicerInstaller

        return ensure(feature, installer or SlicerInstaller())
