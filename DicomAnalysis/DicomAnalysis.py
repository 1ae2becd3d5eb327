"""DicomAnalysis in 3D Slicer: module, panel, logic and self-test.

Nothing heavy is imported here: Slicer reads this file at every start.
"""

import importlib.util
import tempfile
from collections import namedtuple

import slicer
from DicomAnalysisPanels import DicomAnalysisParameterNode, LoadPanel, SegmentPanel
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

SegmentationNodes = namedtuple("SegmentationNodes", "segmentationNode tableNode cleanedVolumeNode result")
"""What a run left in the scene (None where there is nothing) and the library's `SegmentationResult`."""


class DicomAnalysis(ScriptedLoadableModule):
    """Slicer's entry to the extension."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("DICOM Analysis")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SubjectHierarchy", "Tables", "Terminologies", "Volumes"]
        parent.contributors = ["The DicomAnalysis developers"]
        parent.helpText = _(
            "Finds the headrest, the table and metal in CT, makes a volume without the headrest, and measures what it "
            "found. Choose a CT volume, or load a series with this module's own reader, which keeps every slice where "
            "it was acquired; then click <b>Segment headrest</b> or <b>Segment metal</b>."
        )
        parent.acknowledgementText = _("Distributed under the Apache License, Version 2.0.")


class DicomAnalysisWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: what its pages share. The pages are in `DicomAnalysisPanels`."""

    def __init__(self, parent=None):
        self._parameterNode = None
        self._guiTag = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)  # may call setup()

    def setup(self):
        """Build the panel; Slicer calls it once, before the panel is shown."""
        super().setup()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DicomAnalysis.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = DicomAnalysisLogic()
        self.segmentPanel = SegmentPanel(self.ui, self.logic)
        self.loadPanel = LoadPanel(self.ui, self.logic, self.segmentPanel.select)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onParametersChanged)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onParametersChanged)
        self.initializeParameterNode()

    def cleanup(self):
        """Let go of the scene before the module is unloaded."""
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        """Bind the choices when the panel is opened."""
        self.initializeParameterNode()

    def exit(self):
        """Leave the choices alone while another module is open."""
        self.setParameterNode(None)

    def onSceneStartClose(self, _caller, _event):
        """The parameter node is about to go."""
        self.setParameterNode(None)
        self.segmentPanel.say("")

    def onSceneEndClose(self, _caller, _event):
        """A new scene gets new choices where the panel is open."""
        if getattr(self.parent, "isEntered", True):
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Bind the panel to the scene's choices; the first CT volume is chosen where none is."""
        self.setParameterNode(self.logic.getParameterNode())
        self.segmentPanel.choose_first()

    def setParameterNode(self, parameterNode):
        """Bind widgets and buttons to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, "ModifiedEvent", self.onParametersChanged)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, "ModifiedEvent", self.onParametersChanged)
        self.segmentPanel.set_parameters(parameterNode)

    def onParametersChanged(self, _caller, _event):
        """A choice changed or a node went: what can be clicked may have changed, too."""
        if self._parameterNode is not None:
            self.segmentPanel.update()


class DicomAnalysisLogic(ScriptedLoadableModuleLogic):
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

    @property
    def scene(self):
        """The scene that results go to."""
        return self._scene or slicer.mrmlScene

    def getParameterNode(self):
        """The panel's choices in Slicer's scene."""
        return DicomAnalysisParameterNode(super().getParameterNode())

    def databaseSeries(self, database=None):
        """CT series of Slicer's DICOM database: list of (Series Instance UID, label)."""
        from DicomAnalysisLib.mrml import ct_series

        database = database or getattr(slicer, "dicomDatabase", None)
        return ct_series(database) if database and database.isOpen else []

    def loadSeries(self, seriesInstanceUID, database=None):
        """Load a series of Slicer's DICOM database with our own reader; returns its volume node.

        Tilted, uneven, gapped and duplicated series become one volume with every slice in its place.
        Where a series holds several stacks of slices, all are loaded and the largest is returned.
        """
        from DicomAnalysisLib.mrml import load_series

        return load_series(self.scene, database or slicer.dicomDatabase, seriesInstanceUID)[0]

    def loadVolumeFromFiles(self, files):
        """Load DICOM files that are in no database; returns the node of the largest stack."""
        from DicomAnalysisLib.mrml import load_files

        return load_files(self.scene, files)[0]

    def segment(
        self,
        volumeNode,
        tasks=("headrest", "metal"),
        region="inside",
        createCleanedVolume=True,
        metalThreshold=None,
        replaceEarlier=True,
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

        Returns
        -------
        SegmentationNodes
            ``segmentationNode``, ``tableNode``, ``cleanedVolumeNode`` (or None) and ``result``.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If an option is unknown or the volume cannot be segmented; the message says why.
        """
        from DicomAnalysisLib.mrml import find_results, segment_node
        from DicomAnalysisLib.segmentation import SegmentationOptions

        options = SegmentationOptions(tuple(tasks), region, metal_threshold_hu=metalThreshold)
        earlier = find_results(self.scene, volumeNode) if replaceEarlier else None
        made = segment_node(self.scene, volumeNode, options, create_cleaned_volume=createCleanedVolume, update=earlier)
        return SegmentationNodes(*made)

    def segmentInBackground(
        self,
        volumeNode,
        tasks=("headrest", "metal"),
        region="inside",
        createCleanedVolume=True,
        metalThreshold=None,
        replaceEarlier=True,
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
        from DicomAnalysisLib.mrml import find_results, node_to_volume, result_to_nodes
        from DicomAnalysisLib.segmentation import SegmentationOptions
        from DicomAnalysisPanels.background import BackgroundJob, require_in_scene

        def intoScene(result):
            require_in_scene(volumeNode)
            earlier = find_results(self.scene, volumeNode) if replaceEarlier else None
            made = result_to_nodes(
                self.scene, result, volumeNode, create_cleaned_volume=createCleanedVolume, update=earlier
            )
            return SegmentationNodes(*made)

        options = SegmentationOptions(tuple(tasks), region, metal_threshold_hu=metalThreshold)
        job = segment_volume_job(node_to_volume(volumeNode), options)
        return BackgroundJob(job, intoScene, on_progress=onProgress, on_done=onDone)

    def segmentSeries(
        self,
        seriesInstanceUIDs,
        outputFolder,
        tasks=("headrest", "metal"),
        region="inside",
        metalThreshold=None,
        resume=False,
        database=None,
        onProgress=None,
        onSeries=None,
        onDone=None,
    ):
        """Segment series of Slicer's DICOM database into files, in a process of its own.

        Each series gets a folder in `outputFolder`, as from the command ``dicom-analysis segment``.
        What became of each is kept in a ledger there, so that a run that was cancelled, or that ended
        with the computer, is taken up again with `resume`.

        Parameters
        ----------
        seriesInstanceUIDs : sequence of str
        outputFolder : str or path
        tasks, region, metalThreshold
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
        from DicomAnalysisLib.jobs import segment_series_job
        from DicomAnalysisLib.segmentation import SegmentationOptions
        from DicomAnalysisPanels.background import BackgroundJob, database_source

        wanted = list(seriesInstanceUIDs)
        options = SegmentationOptions(tuple(tasks), region, metal_threshold_hu=metalThreshold)
        source = database_source(database or slicer.dicomDatabase, wanted)
        job = segment_series_job(source, outputFolder, options, series_uids=wanted, resume=resume)
        return BackgroundJob(job, on_progress=onProgress, on_series=onSeries, on_done=onDone)

    def segmentHeadrest(self, volumeNode):
        """`segment` with the headrest alone; also makes the cleaned volume."""
        return self.segment(volumeNode, ["headrest"])

    def segmentMetal(self, volumeNode, region="inside"):
        """`segment` with metal alone."""
        return self.segment(volumeNode, ["metal"], region)

    def results(self, volumeNode):
        """What earlier runs made of a volume: `SegmentationNodes`, None for what is not there."""
        from DicomAnalysisLib.mrml import find_results

        return SegmentationNodes(*find_results(self.scene, volumeNode))

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
        from DicomAnalysisPanels.installer import SlicerInstaller

        return ensure(feature, installer or SlicerInstaller())

    def volumeInformation(self, volumeNode):
        """Shape, spacing, place and values of a volume as a dict: see `DicomAnalysisLib.reporting.info.describe`."""
        from DicomAnalysisLib.mrml import node_to_volume
        from DicomAnalysisLib.reporting.info import describe

        return describe(node_to_volume(volumeNode))


class DicomAnalysisTest(ScriptedLoadableModuleTest):
    """The main job on a CT phantom whose truth is known: through the logic, the DICOM database and the panel."""

    phantom = None

    def setUp(self):
        """A fresh scene, and a tilted head phantom for all tests."""
        from DicomAnalysisLib.mrml import volume_to_node
        from DicomAnalysisLib.phantom import make_head_phantom

        slicer.mrmlScene.Clear()
        if DicomAnalysisTest.phantom is None:
            shape, spacing = (40, 128, 128), (3.75, 1.8, 1.8)
            DicomAnalysisTest.phantom = make_head_phantom(shape, spacing, tilt_degrees=12.0)
        self.volumeNode = volume_to_node(slicer.mrmlScene, self.phantom.volume, "Phantom")

    def runTest(self):
        """Run as few or as many tests as needed here."""
        for test in (self.test_logic, self.test_database, self.test_panel):
            self.setUp()
            test()

    def checkResults(self, volumeNode, nodes):
        """Segments where the truth has them, only the headrest gone from the cleaned volume, rows in the table."""
        import numpy as np
        from DicomAnalysisLib.mrml import node_to_volume, segmentation_node_to_masks

        masks = segmentation_node_to_masks(nodes.segmentationNode, volumeNode)
        for name, truth, least in (("Headrest", self.phantom.headrest, 0.9), ("Metal", self.phantom.metal, 0.7)):
            dice = 2 * np.count_nonzero(masks[name] & truth) / (np.count_nonzero(masks[name]) + np.count_nonzero(truth))
            self.assertGreater(dice, least, name)
        cleaned = node_to_volume(nodes.cleanedVolumeNode).voxels
        self.assertTrue((cleaned[masks["Headrest"]] == -1000).all())
        self.assertTrue((cleaned == self.phantom.volume.voxels)[~masks["Headrest"]].all())
        self.assertGreaterEqual(nodes.tableNode.GetNumberOfRows(), 3)
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        items = [hierarchy.GetItemByDataNode(node) for node in (volumeNode, *nodes[:3])]
        self.assertEqual(len({hierarchy.GetItemAncestorAtLevel(item, "Study") for item in items}), 1)

    def test_logic(self):
        """A volume node in; segments, table and cleaned volume out."""
        logic = DicomAnalysisLogic()
        self.checkResults(self.volumeNode, logic.segment(self.volumeNode, ["headrest", "metal"]))
        self.assertEqual(logic.volumeInformation(self.volumeNode)["shape"], [40, 128, 128])

    def test_database(self):
        """The phantom as DICOM files in a database of Slicer's own, read with our reader."""
        if importlib.util.find_spec("DICOMLib") is None:
            return  # outside the application there is no such database
        from DicomAnalysisLib.phantom import write_dicom_series
        from DICOMLib import DICOMUtils

        with tempfile.TemporaryDirectory() as folder, DICOMUtils.TemporaryDICOMDatabase() as database:
            write_dicom_series(self.phantom.volume, folder)
            DICOMUtils.importDicom(folder, database)
            logic = DicomAnalysisLogic()
            [(uid, _label)] = logic.databaseSeries(database)
            volumeNode = logic.loadSeries(uid, database)
            self.checkResults(volumeNode, logic.segment(volumeNode))

    def test_panel(self):
        """Each button does its job."""
        widget = slicer.util.getModuleWidget("DicomAnalysis")
        widget.enter()
        widget.ui.inputSelector.setCurrentNode(self.volumeNode)
        self.assertTrue(widget.ui.segmentBothButton.enabled)
        widget.ui.segmentBothButton.click()
        nodes = widget.logic.results(self.volumeNode)
        self.checkResults(self.volumeNode, nodes)
        self.assertIn("Headrest", widget.ui.statusLabel.text)
        for button in (widget.ui.showTableButton, widget.ui.show3DButton, widget.ui.compareButton):
            self.assertTrue(button.enabled)
            button.click()
        self.assertEqual(slicer.app.applicationLogic().GetSelectionNode().GetActiveTableID(), nodes.tableNode.GetID())
        self.assertTrue(nodes.segmentationNode.GetSegmentation().ContainsRepresentation("Closed surface"))
        widget.exit()
