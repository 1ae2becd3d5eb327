"""The module's logic, as scripts and Slicer's Python console call it, on real MRML."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from DicomAnalysisLib.errors import DicomAnalysisError, UsageError
from DicomAnalysisLib.mrml import segmentation_node_to_masks, volume_to_node
from DicomAnalysisLib.phantom import write_dicom_series
from DicomAnalysisLib.volume import StackGeometry, Volume
from panel_cases import head_phantom, run_application
from standins import FolderDatabase

slicer_app = pytest.fixture(run_application)


@pytest.fixture
def phantom():
    return head_phantom()


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

    def test_series_of_the_database(self, slicer_app, phantom, tmp_path, monkeypatch):
        import slicer

        from DicomAnalysis import DicomAnalysisLogic

        logic = DicomAnalysisLogic()
        assert logic.databaseSeries() == []
        write_dicom_series(phantom.volume, tmp_path)
        monkeypatch.setattr(slicer, "dicomDatabase", FolderDatabase(tmp_path))
        [one] = logic.databaseSeries()
        assert one.identity.series_uid == phantom.volume.identity.series_uid
        assert (one.identity.modality, one.files) == ("CT", 40)

    def test_undo(self, slicer_app, phantom):
        from DicomAnalysis import DicomAnalysisLogic

        logic = DicomAnalysisLogic()
        assert not logic.canUndo()
        node = volume_to_node(slicer_app.scene, phantom.volume, "head")
        logic.segmentMetal(node)
        logic.segmentHeadrest(node)
        logic.undo()
        assert list(segmentation_node_to_masks(logic.results(node).segmentationNode, node)) == ["Metal"]
        assert logic.results(node).cleanedVolumeNode is None
        assert not logic.canUndo()
        logic.undo()  # nothing to take back

    def test_the_curve_of_a_volume(self, slicer_app, phantom):
        from DicomAnalysis import DicomAnalysisLogic

        node = volume_to_node(slicer_app.scene, phantom.volume, "head")
        curve = DicomAnalysisLogic().sliceMaximum(node)
        assert curve.table_node.GetNumberOfRows() == 40
        assert curve.chart_node.GetNumberOfPlotSeriesNodes() == 1

    def test_phantoms(self, slicer_app):
        from DicomAnalysis import DicomAnalysisLogic

        logic = DicomAnalysisLogic()
        for kind, name in (("head", "Head phantom"), ("body", "Body phantom")):
            node = logic.loadPhantom(kind)
            assert node.GetName() == name
            assert node.GetScene() is slicer_app.scene

    def test_no_batch_to_resume(self, slicer_app, tmp_path):
        from DicomAnalysis import DicomAnalysisLogic

        with pytest.raises(UsageError, match="No batch was begun"):
            DicomAnalysisLogic().resumeSeries(tmp_path)
