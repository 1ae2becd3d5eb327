"""The module in Slicer: its panel through stand-ins for Qt and the application, its logic as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from conftest import SHARED
from DicomAnalysisLib.errors import DicomAnalysisError
from DicomAnalysisLib.mrml import segmentation_node_to_masks, volume_to_node
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from DicomAnalysisLib.volume import StackGeometry, Volume
from standins import FolderDatabase, application

WIDGETS = SHARED / "slicer-golden" / "widgets.json"
MODULE = Path(__file__).resolve().parents[2] / "DicomAnalysis"


@pytest.fixture(scope="session")
def phantom():
    return make_head_phantom(shape=(40, 128, 128), spacing=(3.75, 1.8, 1.8), tilt_degrees=12.0)


@pytest.fixture(scope="session")
def golden():
    """What the real widgets have; a user's clone lacks the record and the panel is held to less."""
    return json.loads(WIDGETS.read_text(encoding="utf-8")) if WIDGETS.is_file() else None


@pytest.fixture
def slicer_app(golden, monkeypatch):
    failures = []
    monkeypatch.setattr(sys, "excepthook", lambda *failure: failures.append(failure))  # what PySide6 prints
    with application(golden) as running:
        running.failures = failures
        yield running
        unexpected = [failure for failure in failures if not issubclass(failure[0], DicomAnalysisError)]
        assert not unexpected


@pytest.fixture
def opened(slicer_app, phantom):
    """The panel with the phantom loaded."""
    slicer_app.node = volume_to_node(slicer_app.scene, phantom.volume, "Phantom")
    slicer_app.panel = slicer_app.widget()
    slicer_app.panel.enter()
    slicer_app.ui = slicer_app.panel.ui
    return slicer_app


def nodes(scene, kind):
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]


class TestPanel:
    def test_the_modules_own_test_passes(self, slicer_app):
        from DicomAnalysis import DicomAnalysisTest

        DicomAnalysisTest().runTest()
        assert not slicer_app.failures

    def test_the_only_volume_is_chosen(self, opened):
        assert opened.ui.inputSelector.currentNode() is opened.node
        assert opened.ui.segmentHeadrestButton.enabled

    def test_without_a_volume_the_buttons_say_why(self, slicer_app):
        ui = slicer_app.widget().ui
        for button in (ui.segmentHeadrestButton, ui.segmentMetalButton, ui.segmentBothButton):
            assert not button.enabled
            assert "select a CT volume" in button.toolTip
        assert "Nothing has been segmented" in ui.showTableButton.toolTip
        assert "no cleaned volume" in ui.compareButton.toolTip

    def test_choices_and_widgets_follow_each_other(self, opened):
        from DicomAnalysisPanels import MetalRegion

        parameters, ui = opened.panel.logic.getParameterNode(), opened.ui
        assert (parameters.metalRegion, parameters.createCleanedVolume) == (MetalRegion.INSIDE, True)
        assert ui.createCleanedVolumeCheckBox.checked
        ui.createCleanedVolumeCheckBox.click()
        ui.regionSelector.currentIndex = 2
        ui.inputSelector.setCurrentNode(None)
        assert (parameters.metalRegion, parameters.createCleanedVolume) == (MetalRegion.ALL, False)
        assert parameters.inputVolume is None
        parameters.metalRegion = MetalRegion.OUTSIDE
        parameters.createCleanedVolume = True
        parameters.inputVolume = opened.node
        assert ui.regionSelector.currentText == "Outside the patient"
        assert ui.createCleanedVolumeCheckBox.checked
        assert ui.inputSelector.currentNode() is opened.node

    def test_segment_headrest(self, opened):
        opened.ui.segmentHeadrestButton.click()
        found = opened.panel.logic.results(opened.node)
        assert list(segmentation_node_to_masks(found.segmentationNode, opened.node)) == ["Headrest"]
        assert found.cleanedVolumeNode is not None
        assert "Headrest: " in opened.ui.statusLabel.text
        assert opened.app.cursors == 0

    def test_segment_metal_makes_no_cleaned_volume(self, opened):
        opened.ui.segmentMetalButton.click()
        found = opened.panel.logic.results(opened.node)
        assert list(segmentation_node_to_masks(found.segmentationNode, opened.node)) == ["Metal"]
        assert found.cleanedVolumeNode is None
        assert not opened.ui.compareButton.enabled
        assert "HU" in opened.ui.statusLabel.text

    def test_one_after_the_other_fill_the_same_nodes(self, opened):
        opened.ui.segmentHeadrestButton.click()
        opened.ui.segmentMetalButton.click()
        opened.ui.segmentHeadrestButton.click()
        [segmentation] = nodes(opened.scene, "vtkMRMLSegmentationNode")
        assert sorted(segmentation_node_to_masks(segmentation, opened.node)) == ["Headrest", "Metal"]
        [table] = nodes(opened.scene, "vtkMRMLTableNode")
        names = [table.GetCellText(row, 0) for row in range(table.GetNumberOfRows())]
        assert sorted(set(names)) == ["Headrest", "Metal"]
        assert len(nodes(opened.scene, "vtkMRMLScalarVolumeNode")) == 2

    def test_no_cleaned_volume_where_none_is_wanted(self, opened):
        opened.ui.createCleanedVolumeCheckBox.click()
        opened.ui.segmentBothButton.click()
        assert opened.panel.logic.results(opened.node).cleanedVolumeNode is None

    def test_table_3d_and_comparison(self, opened):
        ui = opened.ui
        ui.segmentBothButton.click()
        found = opened.panel.logic.results(opened.node)
        composite = opened.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        before = opened.app.layoutManager().layout
        ui.showTableButton.click()
        assert opened.app.layoutManager().layout != before
        assert opened.app.applicationLogic().GetSelectionNode().GetActiveTableID() == found.tableNode.GetID()
        ui.compareButton.click()
        assert composite.GetBackgroundVolumeID() == found.cleanedVolumeNode.GetID()
        ui.compareButton.click()
        assert composite.GetBackgroundVolumeID() == opened.node.GetID()
        ui.show3DButton.click()
        assert found.segmentationNode.GetSegmentation().ContainsRepresentation("Closed surface")
        assert found.segmentationNode.GetDisplayNode().GetVisibility3D()
        ui.segmentMetalButton.click()  # what replaces a segment is seen in 3-D as well
        segmentation = found.segmentationNode.GetSegmentation()
        for name in ("Headrest", "Metal"):
            surface = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName(name))
            assert surface.GetRepresentation("Closed surface").GetNumberOfPoints() > 0
        ui.show3DButton.click()
        assert not segmentation.ContainsRepresentation("Closed surface")

    def test_a_failure_is_said_and_leaves_nothing_behind(self, opened):
        opened.scene.GetSubjectHierarchyNode().SetItemAttribute(
            opened.scene.GetSubjectHierarchyNode().GetItemByDataNode(opened.node), "DICOM.Modality", "MR"
        )
        opened.ui.segmentBothButton.click()
        [(kind, error, _)] = opened.failures
        assert issubclass(kind, DicomAnalysisError)
        assert opened.ui.statusLabel.text == str(error)
        assert not nodes(opened.scene, "vtkMRMLSegmentationNode")
        assert opened.app.cursors == 0

    def test_closing_the_scene_and_leaving_the_panel(self, opened):
        opened.ui.segmentHeadrestButton.click()
        opened.scene.Clear(False)
        assert not opened.ui.segmentHeadrestButton.enabled
        assert opened.ui.statusLabel.text == ""
        opened.panel.exit()
        opened.panel.enter()
        assert opened.panel.logic.getParameterNode().createCleanedVolume

    def test_removing_results_is_noticed(self, opened):
        opened.ui.segmentBothButton.click()
        assert opened.ui.showTableButton.enabled
        opened.scene.RemoveNode(opened.panel.logic.results(opened.node).tableNode)
        assert not opened.ui.showTableButton.enabled

    def test_a_saved_scene_keeps_choices_and_results(self, opened, tmp_path):
        from DicomAnalysisPanels import MetalRegion

        opened.ui.regionSelector.currentIndex = 2
        opened.ui.segmentBothButton.click()
        text = tmp_path / "scene.mrml"
        opened.scene.SetURL(str(text))
        opened.scene.Commit(str(text))
        written = text.read_text(encoding="utf-8")
        assert f"metalRegion {MetalRegion.ALL.name}" in written
        assert "DicomAnalysis.source" in written

    def test_load_a_series_from_the_database(self, slicer_app, phantom, tmp_path, monkeypatch):
        import slicer

        write_dicom_series(phantom.volume, tmp_path)
        monkeypatch.setattr(slicer, "dicomDatabase", FolderDatabase(tmp_path))
        panel = slicer_app.widget()
        assert not panel.ui.loadSeriesButton.enabled
        panel.ui.loadCollapsibleButton.collapsed = False
        assert panel.ui.seriesSelector.count == 1
        assert "Head phantom" in panel.ui.seriesSelector.currentText
        panel.ui.loadSeriesButton.click()
        [node] = nodes(slicer_app.scene, "vtkMRMLScalarVolumeNode")
        assert panel.ui.inputSelector.currentNode() is node
        assert len(node.GetAttribute("DICOM.instanceUIDs").split()) == 40
        panel.ui.segmentBothButton.click()
        assert panel.logic.results(node).segmentationNode is not None

    def test_an_empty_database_is_explained(self, slicer_app):
        ui = slicer_app.widget().ui
        ui.refreshButton.click()
        assert not ui.loadSeriesButton.enabled
        assert "add DICOM files" in ui.loadSeriesButton.toolTip


class TestPicture:
    def test_the_panel_fits_its_width(self, opened, tmp_path, request):
        """Nothing is cut at the width that Slicer gives a module panel; the picture is for looking at."""
        opened.ui.segmentBothButton.click()
        widget = opened.panel.parent.qobject
        widget.resize(420, 420)
        widget.show()
        opened.app.processEvents()
        picture = widget.grab()
        assert picture.save(str(tmp_path / "panel.png"))
        for name in ("segmentHeadrestButton", "segmentMetalButton", "segmentBothButton", "createCleanedVolumeCheckBox"):
            child = getattr(opened.ui, name).qobject
            assert child.width() >= child.sizeHint().width(), name


class TestLogic:
    def test_it_works_in_a_scene_of_the_callers_own(self, slicer_app, phantom):
        import slicer

        from DicomAnalysis import DicomAnalysisLogic

        scene = slicer.vtkMRMLScene()
        logic = DicomAnalysisLogic(scene=scene)
        node = volume_to_node(scene, phantom.volume, "head")
        made = logic.segmentMetal(node)
        assert made.segmentationNode.GetScene() is scene
        assert made.result.threshold_hu > 1000
        again = logic.segment(node, ["metal"], replaceEarlier=False)
        assert again.segmentationNode is not made.segmentationNode
        assert logic.segment(node, ["metal"]).segmentationNode is again.segmentationNode

    def test_the_example_in_its_docstring_runs(self, slicer_app, phantom, tmp_path, monkeypatch):
        import doctest

        import slicer

        from DicomAnalysis import DicomAnalysisLogic

        write_dicom_series(phantom.volume, tmp_path)
        monkeypatch.setattr(slicer, "dicomDatabase", FolderDatabase(tmp_path))
        names = {"slicer": slicer, "seriesInstanceUID": phantom.volume.identity.series_uid}
        [example] = doctest.DocTestFinder(recurse=False).find(DicomAnalysisLogic, "DicomAnalysisLogic", globs=names)
        assert doctest.DocTestRunner().run(example) == (0, len(example.examples))
        assert len(example.examples) > 4

    def test_an_uneven_series_is_segmented_on_its_acquired_slices(self, slicer_app, phantom, tmp_path):
        from DicomAnalysis import DicomAnalysisLogic

        keep = np.array([k for k in range(40) if k % 7 != 3])
        volume = phantom.volume
        thinned = Volume(volume.voxels[keep], volume.geometry.select(keep), volume.identity)
        files = write_dicom_series(thinned, tmp_path)
        logic = DicomAnalysisLogic()
        node = logic.loadVolumeFromFiles(files)
        assert node.GetImageData().GetDimensions()[2] == 40
        made = logic.segment(node)
        assert made.result.segment("Headrest").mask.shape == thinned.shape
        masks = segmentation_node_to_masks(made.segmentationNode, node)
        np.testing.assert_array_equal(masks["Metal"], made.result.segment("Metal").mask)
        assert "missing" in node.GetDescription()

    def test_information(self, slicer_app, phantom):
        from DicomAnalysis import DicomAnalysisLogic

        logic = DicomAnalysisLogic()
        node = volume_to_node(slicer_app.scene, phantom.volume, "head")
        told = logic.volumeInformation(node)
        assert told["maximum"] == int(phantom.volume.voxels.max())
        np.testing.assert_allclose(told["center_ras_mm"], phantom.volume.center_ras, atol=1e-3)

    def test_a_scout_and_an_unreadable_file_are_no_obstacle(self, slicer_app, phantom, tmp_path):
        from DicomAnalysis import DicomAnalysisLogic

        write_dicom_series(phantom.volume, tmp_path / "head")
        flat = StackGeometry([1, 0, 0], [0, 0, -1], (2, 2), [[-100, 0, 100]])
        write_dicom_series(Volume(np.zeros((1, 32, 32), np.int16), flat, phantom.volume.identity), tmp_path / "scout")
        (tmp_path / "note.txt").write_text("no image")
        node = DicomAnalysisLogic().loadVolumeFromFiles(path for path in tmp_path.rglob("*.*"))
        assert node.GetImageData().GetDimensions() == (128, 128, 40)

    def test_nothing_readable_is_refused(self, slicer_app, tmp_path):
        from DicomAnalysis import DicomAnalysisLogic

        (tmp_path / "note.txt").write_text("no image")
        with pytest.raises(DicomAnalysisError, match=r"note\.txt"):
            DicomAnalysisLogic().loadVolumeFromFiles([tmp_path / "note.txt"])


class TestImport:
    def test_opening_the_panel_imports_nothing_that_slicer_does_not_ship(self):
        """Nor anything heavy: Slicer reads the module at every start."""
        code = (
            f"import sys; sys.path[:0] = [{str(MODULE)!r}, {str(Path(__file__).parent)!r}]\n"
            "from standins import application\n"
            "with application() as running:\n"
            "    import DicomAnalysis\n"
            "    assert not any(name.startswith('DicomAnalysisLib') for name in sys.modules)\n"
            "    running.widget().enter()\n"
            "    print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        heavy = {"torch", "monai", "sklearn", "skimage", "xgboost", "hdbscan", "highdicom", "matplotlib", "cc3d"}
        assert not heavy & set(done.stdout.split())
        assert not {"SimpleITK", "imagecodecs", "nrrd", "scipy", "pydicom"} & set(done.stdout.split())

    def test_the_face_is_the_only_room_that_knows_qt(self):
        for path in (MODULE / "DicomAnalysisLib").rglob("*.py"):
            words = path.read_text(encoding="utf-8")
            assert "import qt" not in words, path
            assert "import ctk" not in words, path
            assert "ScriptedLoadableModule" not in words, path


class TestStandins:
    def test_what_the_real_widgets_lack_is_refused(self, opened, golden):
        if golden is None:
            pytest.skip("needs the record of a real Slicer's widgets")
        button = opened.ui.segmentMetalButton
        with pytest.raises(AttributeError, match="no attribute"):
            button.setIconText("x")
        with pytest.raises(AttributeError, match="no property"):
            button.caption = "x"
        with pytest.raises(ValueError, match="no signal"):
            button.connect("pushed()", print)

    def test_the_database_has_the_real_ones_names(self, golden):
        if golden is None:
            pytest.skip("needs the record of a real Slicer's widgets")
        names = {name for name in dir(FolderDatabase) if not name.startswith("_")}
        assert names <= set(golden["ctkDICOMDatabase"]["python_attributes"])
