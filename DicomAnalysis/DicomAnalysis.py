"""DicomAnalysis in 3D Slicer: module and panel. The pages, the logic and the self-test are in `DicomAnalysisPanels`.

Nothing heavy is imported here: Slicer reads this file at every start.
"""

from pathlib import Path

import slicer
from DicomAnalysisPanels import (
    DicomAnalysisLogic,
    Log,
    Pages,
    ProgressPanel,
    Shared,
    TaskRunner,
    bind,
    register_sample_data,
)
from DicomAnalysisPanels.selftest import DicomAnalysisTest  # noqa: F401 (Slicer looks for it here)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin


def loadSample(kind):
    """Make a phantom and show it: what the module Sample Data calls."""
    volumeNode = DicomAnalysisLogic().loadPhantom(kind)
    slicer.util.setSliceViewerLayers(background=volumeNode, fit=slicer.app.layoutManager() is not None)
    return volumeNode


def registerSampleData():
    """Offer the phantoms in the module Sample Data."""
    register_sample_data(loadSample, Path(__file__).parent / "Resources" / "Icons")


class DicomAnalysis(ScriptedLoadableModule):
    """Slicer's entry to the extension."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("DICOM Analysis")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Plots", "Segmentations", "SubjectHierarchy", "Tables", "Terminologies", "Volumes"]
        parent.contributors = ["The DicomAnalysis developers"]
        parent.helpText = _(
            "Finds the headrest, the table and metal in CT, makes a volume without the headrest, and measures what it "
            "found. Choose a CT volume, or load a series of the DICOM database with this module's own reader, which "
            "keeps every slice where it was acquired; then click <b>Segment headrest</b> or <b>Segment metal</b>. "
            "Many series of the database are segmented as a batch on the page <b>DICOM database</b>."
        )
        parent.acknowledgementText = _("Distributed under the Apache License, Version 2.0.")
        slicer.app.connect("startupCompleted()", registerSampleData)


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
        self.logic = DicomAnalysisLogic()
        self.log = Log()
        self.tasks = TaskRunner(self.log)
        self.pages = Pages(slicer.util.childWidgetVariables(uiWidget).pageTabs, self.resourcePath)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.pages.build(self.ui, Shared(self.logic, self.tasks, self.log, self.select))
        self.progress = ProgressPanel(self.ui, self.tasks, lambda: self.pages.show("SettingsPanel"))
        self.pages.set_scene(slicer.mrmlScene)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onSceneChanged)
        registerSampleData()
        self.initializeParameterNode()

    def cleanup(self):
        """Let go of the scene, and of what runs, before the module is unloaded."""
        self.tasks.close()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        """The panel is opened."""
        self.initializeParameterNode()
        self.pages.entered()

    def select(self, volumeNode):
        """Choose a volume and show the page that works on it."""
        self.pages.show("SegmentPanel")
        self.pages.panels[0].select(volumeNode)

    def onSceneStartClose(self, _caller, _event):
        """The parameter node is about to go."""
        self.setParameterNode(None)

    def onSceneEndClose(self, _caller, _event):
        """A new scene gets new choices; results of the old one are gone."""
        self.logic.forgetUndo()
        self.initializeParameterNode()
        self.pages.scene_closed()

    def initializeParameterNode(self):
        """Bind the panel to the scene's choices, where it is not."""
        if self._parameterNode is None:
            self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode):
        """Bind widgets and buttons to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, "ModifiedEvent", self.onSceneChanged)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = bind(parameterNode, self.ui)
            self.addObserver(parameterNode, "ModifiedEvent", self.onSceneChanged)
        self.pages.set_parameters(parameterNode)

    def onSceneChanged(self, _caller, _event):
        """A choice changed, or a node came or went: what can be clicked may have changed, too."""
        if self._parameterNode is not None:
            self.pages.update()
