"""The page *Segment* on stand-ins for Qt and the application, and on real MRML."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from DicomAnalysisLib.mrml import segmentation_node_to_masks, volume_to_node
from panel_cases import finish, head_phantom, nodes, open_panel, run_application, until

slicer_app = pytest.fixture(run_application)
opened = pytest.fixture(open_panel)


def segments(opened):
    made = opened.logic.results(opened.node).segmentationNode
    return sorted(segmentation_node_to_masks(made, opened.node))


class TestChoices:
    def test_the_only_volume_is_chosen(self, opened):
        assert opened.ui.inputSelector.currentNode() is opened.node
        assert opened.ui.segmentHeadrestButton.enabled

    def test_without_a_volume_the_buttons_say_why(self, slicer_app):
        ui = slicer_app.widget().ui
        for button in (ui.segmentHeadrestButton, ui.segmentMetalButton, ui.segmentBothButton, ui.showPlotButton):
            assert not button.enabled
            assert "select a CT volume" in button.toolTip
        assert "Nothing has been segmented" in ui.showTableButton.toolTip
        assert "no cleaned volume" in ui.compareButton.toolTip
        assert "no result" in ui.undoButton.toolTip

    def test_a_threshold_of_the_users_own(self, opened):
        assert opened.ui.thresholdSpinBox.text == "Derived from the series"
        opened.ui.thresholdSpinBox.value = 3000
        opened.ui.segmentMetalButton.click()
        assert "above 3000 HU" in opened.ui.statusLabel.text
        opened.ui.thresholdSpinBox.value = 0
        opened.ui.segmentMetalButton.click()
        assert "above 3000 HU" not in opened.ui.statusLabel.text

    def test_no_cleaned_volume_where_none_is_wanted(self, opened):
        opened.ui.createCleanedVolumeCheckBox.click()
        opened.ui.segmentBothButton.click()
        assert opened.logic.results(opened.node).cleanedVolumeNode is None

    def test_which_metal(self, opened):
        opened.ui.regionSelector.currentIndex = 1
        opened.ui.segmentMetalButton.click()
        assert "Metal: none found." in opened.ui.statusLabel.text


class TestInsideSlicer:
    def test_segment_headrest(self, opened):
        opened.ui.segmentHeadrestButton.click()
        assert segments(opened) == ["Headrest"]
        assert opened.logic.results(opened.node).cleanedVolumeNode is not None
        assert "Headrest: " in opened.ui.statusLabel.text
        assert opened.app.cursors == 0

    def test_segment_metal_makes_no_cleaned_volume(self, opened):
        opened.ui.segmentMetalButton.click()
        assert segments(opened) == ["Metal"]
        assert opened.logic.results(opened.node).cleanedVolumeNode is None
        assert not opened.ui.compareButton.enabled
        assert "HU" in opened.ui.statusLabel.text

    def test_one_after_the_other_fill_the_same_nodes(self, opened):
        opened.ui.segmentHeadrestButton.click()
        opened.ui.segmentMetalButton.click()
        opened.ui.segmentHeadrestButton.click()
        assert len(nodes(opened.scene, "vtkMRMLSegmentationNode")) == 1
        assert segments(opened) == ["Headrest", "Metal"]
        [table] = nodes(opened.scene, "vtkMRMLTableNode")
        names = [table.GetCellText(row, 0) for row in range(table.GetNumberOfRows())]
        assert sorted(set(names)) == ["Headrest", "Metal"]
        assert len(nodes(opened.scene, "vtkMRMLScalarVolumeNode")) == 2

    def test_a_failure_is_said_and_leaves_nothing_behind(self, opened):
        hierarchy = opened.scene.GetSubjectHierarchyNode()
        hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(opened.node), "DICOM.Modality", "MR")
        opened.ui.segmentBothButton.click()
        assert "is MR, not CT" in opened.ui.messageLabel.text
        assert opened.ui.messageFrame.qobject.isVisibleTo(opened.panel.parent.qobject)
        assert any("is MR, not CT" in line for line in opened.panel.log.lines)
        assert not nodes(opened.scene, "vtkMRMLSegmentationNode")
        assert opened.app.cursors == 0
        opened.ui.dismissButton.click()
        assert not opened.ui.messageFrame.qobject.isVisibleTo(opened.panel.parent.qobject)

    def test_a_bug_is_told_without_its_text(self, opened, monkeypatch):
        def fail(*_arguments, **_options):
            msg = "Smith^John"
            raise RuntimeError(msg)

        monkeypatch.setattr(opened.logic, "segment", fail)
        opened.ui.segmentBothButton.click()
        assert "unexpected RuntimeError" in opened.ui.messageLabel.text
        assert "Smith" not in "\n".join(opened.panel.log.lines)
        assert opened.ui.segmentBothButton.enabled

    def test_the_log_names_the_series_and_not_the_volume(self, opened):
        opened.node.SetName("Smith^John")
        opened.ui.segmentMetalButton.click()
        text = "\n".join(opened.panel.log.lines)
        assert head_phantom().volume.identity.series_uid in text
        assert "Smith" not in text


class TestBesideSlicer:
    """Real child processes."""

    @pytest.fixture
    def beside(self, opened, tmp_path, monkeypatch):
        from DicomAnalysisPanels import RunPlace

        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        opened.temporary = tmp_path
        opened.parameters.runPlace = RunPlace.BESIDE
        return opened

    def test_progress_is_seen_and_the_result_is_the_same(self, beside):
        ui, seen = beside.ui, []
        ui.segmentBothButton.click()
        assert "Wait until this task has ended" in ui.segmentMetalButton.toolTip
        assert ui.cancelButton.enabled

        def look():
            seen.append((ui.progressBar.value, ui.stageLabel.text, ui.remainingLabel.text))
            return not beside.tasks.title

        until(beside.app, look)
        assert not beside.tasks.message
        assert any(0 < value <= 1000 for value, _stage, _left in seen)
        assert any(stage.startswith("Segment headrest and metal: ") for _value, stage, _left in seen)
        assert any("Remaining time" in left or "left" in left for _value, _stage, left in seen)
        besides = segmentation_node_to_masks(beside.logic.results(beside.node).segmentationNode, beside.node)
        inside = beside.logic.segment(beside.node, replaceEarlier=False)
        for name, mask in segmentation_node_to_masks(inside.segmentationNode, beside.node).items():
            np.testing.assert_array_equal(besides[name], mask)
        assert "Headrest: " in ui.statusLabel.text
        assert not list(beside.temporary.iterdir())

    def test_cancel_leaves_nothing_behind(self, beside):
        beside.ui.segmentBothButton.click()
        until(beside.app, lambda: beside.tasks.job.state == "running")
        pid = beside.tasks.job._process._child.pid
        start = time.monotonic()
        beside.ui.cancelButton.click()
        assert not beside.ui.cancelButton.enabled
        assert beside.ui.remainingLabel.text == "Stopping..."
        finish(beside, 2.0)
        assert time.monotonic() - start < 2.0
        assert not _lives(pid)
        assert not nodes(beside.scene, "vtkMRMLSegmentationNode")
        assert not list(beside.temporary.iterdir())
        assert beside.ui.messageLabel.text == "Segment headrest and metal: Cancelled."
        assert beside.ui.segmentBothButton.enabled

    @pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
    def test_a_crash_is_one_message_with_the_log_behind_it(self, beside):
        beside.ui.segmentBothButton.click()
        until(beside.app, lambda: beside.tasks.job.state == "running")
        os.kill(beside.tasks.job._process._child.pid, signal.SIGSEGV)
        finish(beside)
        assert beside.ui.messageLabel.text.startswith("Segment headrest and metal: ")
        assert not nodes(beside.scene, "vtkMRMLSegmentationNode")
        beside.ui.showLogButton.click()
        assert beside.ui.pageSelector.currentText == "Settings and log"
        assert beside.ui.messageLabel.text in beside.ui.logTextEdit.plainText

    def test_a_volume_that_was_removed_gets_no_result(self, beside):
        beside.ui.segmentBothButton.click()
        until(beside.app, lambda: beside.tasks.job.state == "running")
        beside.scene.RemoveNode(beside.node)
        finish(beside)
        assert "was removed" in beside.ui.messageLabel.text
        assert not nodes(beside.scene, "vtkMRMLSegmentationNode")

    def test_what_cannot_be_segmented_is_said_at_once(self, beside):
        hierarchy = beside.scene.GetSubjectHierarchyNode()
        hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(beside.node), "DICOM.Modality", "MR")
        beside.ui.segmentBothButton.click()
        finish(beside)
        assert "is MR, not CT" in beside.ui.messageLabel.text

    def test_going_away_ends_the_child(self, beside):
        beside.ui.segmentBothButton.click()
        until(beside.app, lambda: beside.tasks.job.state == "running")
        pid = beside.tasks.job._process._child.pid
        beside.panel.cleanup()
        assert not _lives(pid)


class TestResults:
    def test_table_plot_and_the_layout_there_was(self, opened):
        ui, selection = opened.ui, opened.app.applicationLogic().GetSelectionNode()
        manager = opened.app.layoutManager()
        before = manager.layout
        ui.segmentBothButton.click()
        made = opened.logic.results(opened.node)
        ui.showTableButton.click()
        with_table = manager.layout
        assert with_table != before
        assert selection.GetActiveTableID() == made.tableNode.GetID()
        ui.showPlotButton.click()
        assert manager.layout not in (before, with_table)
        [chart] = nodes(opened.scene, "vtkMRMLPlotChartNode")
        assert selection.GetActivePlotChartID() == chart.GetID()
        ui.showPlotButton.click()
        assert manager.layout == with_table
        ui.showTableButton.click()
        assert manager.layout == before

    def test_a_layout_that_the_user_chose_is_left_alone(self, opened):
        manager = opened.app.layoutManager()
        opened.ui.segmentBothButton.click()
        opened.ui.showTableButton.click()
        manager.setLayout(6)
        opened.ui.showTableButton.click()
        assert manager.layout == 6

    def test_compare(self, opened):
        composite = opened.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        opened.ui.segmentBothButton.click()
        made = opened.logic.results(opened.node)
        opened.ui.compareButton.click()
        assert composite.GetBackgroundVolumeID() == made.cleanedVolumeNode.GetID()
        opened.ui.compareButton.click()
        assert composite.GetBackgroundVolumeID() == opened.node.GetID()

    def test_surfaces_come_and_go_and_follow_what_replaces_a_segment(self, opened):
        opened.ui.segmentBothButton.click()
        made = opened.logic.results(opened.node)
        segmentation = made.segmentationNode.GetSegmentation()
        opened.ui.show3DButton.click()
        assert segmentation.ContainsRepresentation("Closed surface")
        assert made.segmentationNode.GetDisplayNode().GetVisibility3D()
        opened.ui.segmentMetalButton.click()
        for name in ("Headrest", "Metal"):
            surface = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName(name))
            assert surface.GetRepresentation("Closed surface").GetNumberOfPoints() > 0
        opened.ui.undoButton.click()
        assert opened.ui.show3DButton.checked
        opened.ui.show3DButton.click()
        assert not segmentation.ContainsRepresentation("Closed surface")

    def test_undo_of_a_first_and_of_a_second_result(self, opened):
        opened.ui.segmentHeadrestButton.click()
        opened.ui.segmentMetalButton.click()
        assert segments(opened) == ["Headrest", "Metal"]
        opened.ui.undoButton.click()
        assert segments(opened) == ["Headrest"]
        assert not opened.ui.undoButton.enabled
        assert "taken back" in opened.ui.statusLabel.text
        opened.ui.segmentMetalButton.click()
        assert opened.ui.undoButton.enabled

    def test_everything_is_in_the_volumes_study(self, opened):
        opened.ui.segmentBothButton.click()
        opened.ui.showPlotButton.click()
        hierarchy = opened.scene.GetSubjectHierarchyNode()
        kinds = ("Segmentation", "Table", "PlotChart", "PlotSeries", "ScalarVolume")
        made = [node for kind in kinds for node in nodes(opened.scene, f"vtkMRML{kind}Node")]
        assert len(made) == 7
        studies = {hierarchy.GetItemAncestorAtLevel(hierarchy.GetItemByDataNode(node), "Study") for node in made}
        assert len(studies) == 1
        assert studies != {0}

    def test_removing_results_is_noticed(self, opened):
        opened.ui.segmentBothButton.click()
        opened.ui.showTableButton.click()
        opened.scene.RemoveNode(opened.logic.results(opened.node).tableNode)
        assert not opened.ui.showTableButton.enabled
        assert not opened.ui.showTableButton.checked

    def test_results_belong_to_the_volume_that_is_chosen(self, opened):
        opened.ui.segmentBothButton.click()
        other = volume_to_node(opened.scene, head_phantom().volume, "Other")
        opened.ui.inputSelector.setCurrentNode(other)
        assert not opened.ui.showTableButton.enabled
        assert opened.ui.statusLabel.text == ""
        opened.ui.segmentMetalButton.click()
        opened.ui.showTableButton.click()
        opened.ui.showPlotButton.click()
        opened.ui.inputSelector.setCurrentNode(opened.node)
        assert opened.ui.showTableButton.enabled
        assert "Headrest: " in opened.ui.statusLabel.text
        shown = opened.app.applicationLogic().GetSelectionNode().GetActiveTableID()
        assert shown == opened.logic.results(opened.node).tableNode.GetID()
        assert not opened.ui.showPlotButton.checked

    def test_a_new_result_is_shown_on_the_original(self, opened):
        composite = opened.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        opened.ui.segmentHeadrestButton.click()
        opened.ui.compareButton.click()
        opened.ui.segmentMetalButton.click()
        assert composite.GetBackgroundVolumeID() == opened.node.GetID()
        assert not opened.ui.compareButton.checked


def _lives(pid):
    status = Path(f"/proc/{pid}/stat")
    if status.parent.parent.is_dir() and sys.platform == "linux":
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


class TestModelCards:
    def test_the_button_shows_what_the_networks_are_for(self, opened):
        opened.ui.networkCardButton.click()
        window = opened.panel.pages.panels[0].cards
        shown = window.findChild(qt_widgets().QTextBrowser).toPlainText()
        assert "Model headrest" in shown
        assert "Model metal" in shown
        assert "Known failures" in shown
        assert len(nodes(opened.scene, "vtkMRMLTextNode")) == 2
        window.close()

    def test_a_folder_without_a_model_is_said(self, opened, tmp_path):
        opened.parameters.ownNetwork = str(tmp_path)
        opened.ui.networkCardButton.click()
        assert "manifest" in opened.ui.statusLabel.text


def qt_widgets():
    from PySide6 import QtWidgets

    return QtWidgets
