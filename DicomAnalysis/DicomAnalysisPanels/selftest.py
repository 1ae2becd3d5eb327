"""The module's own test, run by CTest and by the *Test* button of Slicer's developer mode."""

import importlib.util
import tempfile
import time

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

WAIT_SECONDS = 120


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
        for name in sorted(name for name in dir(self) if name.startswith("test_")):
            self.setUp()
            getattr(self, name)()

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
        self.checkStudy(volumeNode, *nodes[:3])

    def checkStudy(self, *nodes):
        """All nodes are in one study of the subject hierarchy."""
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        items = [hierarchy.GetItemByDataNode(node) for node in nodes]
        self.assertEqual(len({hierarchy.GetItemAncestorAtLevel(item, "Study") for item in items}), 1)

    def openPanel(self):
        """The panel with the phantom chosen."""
        widget = slicer.util.getModuleWidget("DicomAnalysis")
        widget.enter()
        widget.pages.show("SegmentPanel")
        widget.ui.inputSelector.setCurrentNode(self.volumeNode)
        return widget

    def waitFor(self, widget):
        """Let the application go on until the panel's task has ended."""
        end = time.monotonic() + WAIT_SECONDS
        while widget.tasks.title and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.02)
        self.assertEqual(widget.tasks.title, "", "the task did not end")

    def test_logic(self):
        """A volume node in; segments, table and cleaned volume out; and back."""
        from DicomAnalysisPanels import DicomAnalysisLogic

        logic = DicomAnalysisLogic()
        nodes = logic.segment(self.volumeNode, ["headrest", "metal"])
        self.checkResults(self.volumeNode, nodes)
        self.assertEqual(logic.volumeInformation(self.volumeNode)["shape"], [40, 128, 128])
        self.checkStudy(self.volumeNode, *logic.sliceMaximum(self.volumeNode))
        logic.undo()
        self.assertIsNone(logic.results(self.volumeNode).segmentationNode)

    def test_database(self):
        """The phantom as DICOM files in a database of Slicer's own: listed, read with our reader, and as a batch."""
        if importlib.util.find_spec("DICOMLib") is None:
            return  # outside the application there is no such database
        from DicomAnalysisLib.phantom import write_dicom_series
        from DICOMLib import DICOMUtils

        with tempfile.TemporaryDirectory() as folder, DICOMUtils.TemporaryDICOMDatabase() as database:
            write_dicom_series(self.phantom.volume, folder)
            DICOMUtils.importDicom(folder, database)
            self.checkDatabase(database)

    def checkDatabase(self, database):
        """List, load and batch of a database that holds the phantom's series alone."""
        from DicomAnalysisPanels import DicomAnalysisLogic

        logic = DicomAnalysisLogic()
        [one] = logic.databaseSeries(database)
        self.assertEqual((one.identity.modality, one.files), ("CT", 40))
        uid = one.identity.series_uid
        volumeNode = logic.loadSeries(uid, database)
        self.checkResults(volumeNode, logic.segment(volumeNode))
        with tempfile.TemporaryDirectory() as output:
            done = logic.segmentSeries([uid], output, database=database).wait(WAIT_SECONDS)
            self.assertEqual(done["counts"], {"done": 1})
            slicer.mrmlScene.Clear()
            volumeNode = logic.loadSeries(uid, database, resultFolder=f"{output}/{uid}")
            self.checkResults(volumeNode, logic.results(volumeNode))

    def test_panel(self):
        """Each button of the page *Segment* does its job."""
        widget = self.openPanel()
        self.assertTrue(widget.ui.segmentBothButton.enabled)
        widget.ui.segmentBothButton.click()
        self.waitFor(widget)
        nodes = widget.logic.results(self.volumeNode)
        self.checkResults(self.volumeNode, nodes)
        self.assertIn("Headrest", widget.ui.statusLabel.text)
        buttons = (widget.ui.showTableButton, widget.ui.showPlotButton, widget.ui.show3DButton, widget.ui.compareButton)
        for button in buttons:
            self.assertTrue(button.enabled)
            button.click()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        self.assertEqual(selection.GetActiveTableID(), nodes.tableNode.GetID())
        self.assertTrue(selection.GetActivePlotChartID())
        self.assertTrue(nodes.segmentationNode.GetSegmentation().ContainsRepresentation("Closed surface"))
        for button in buttons:
            button.click()
        widget.ui.undoButton.click()
        self.assertIsNone(widget.logic.results(self.volumeNode).segmentationNode)
        self.assertFalse(widget.ui.undoButton.enabled)

    def test_panel_beside_slicer(self):
        """The same in a child process; and one that is cancelled leaves nothing behind."""
        from DicomAnalysisPanels import RunPlace

        widget = self.openPanel()
        parameters = widget.logic.getParameterNode()
        parameters.runPlace = RunPlace.BESIDE
        widget.ui.segmentBothButton.click()
        self.assertIsNotNone(widget.tasks.job)
        self.assertFalse(widget.ui.segmentMetalButton.enabled)
        self.waitFor(widget)
        self.assertEqual(widget.tasks.message, "")
        self.checkResults(self.volumeNode, widget.logic.results(self.volumeNode))
        widget.ui.undoButton.click()
        widget.ui.segmentMetalButton.click()
        widget.ui.cancelButton.click()
        self.waitFor(widget)
        self.assertIsNone(widget.logic.results(self.volumeNode).segmentationNode)

    def test_sample_data(self):
        """The phantoms are offered in a category of their own and made on the spot."""
        if importlib.util.find_spec("SampleData") is None:
            return  # a module of the application
        import SampleData

        from DicomAnalysisPanels.sample_data import CATEGORY

        slicer.util.getModuleWidget("DicomAnalysis")
        sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory(CATEGORY)
        self.assertEqual(len(sources), 2)
        volumeNode = sources[0].customDownloader(sources[0])
        self.assertEqual(volumeNode.GetImageData().GetDimensions(), (256, 256, 60))
