"""The page *DICOM database*: the list of series, and batches over those that are checked."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from dataclasses import replace

from database_files import uid, write_database
from DicomAnalysisLib.batch.request import BatchRequest
from DicomAnalysisLib.cohort.ledger import open_ledger
from DicomAnalysisLib.mrml import segmentation_node_to_masks
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from panel_cases import ScriptedJob, finish, nodes, run_application, until
from standins import Desktop, FileDialog, FolderDatabase

slicer_app = pytest.fixture(run_application)
SERIES = 2000


@pytest.fixture(scope="module")
def big_database(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("database"), SERIES, images=2)


@pytest.fixture(scope="module")
def small_series(tmp_path_factory):
    """Three head phantoms, and one of another modality, as DICOM files."""
    folder = tmp_path_factory.mktemp("series")
    uids = []
    for number in range(3):
        volume = make_head_phantom((12, 64, 64), (12.5, 3.6, 3.6), seed=number).volume
        write_dicom_series(volume, folder / str(number), description=f"Head {number}")
        uids.append(volume.identity.series_uid)
    identity = replace(volume.identity, series_uid="1.2.3", modality="MR")
    write_dicom_series(replace(volume, identity=identity, sop_instance_uids=()), folder / "mr", description="Not CT")
    return SimpleNamespace(folder=folder, uids=uids)


def open_page(slicer_app, database, monkeypatch):
    import slicer

    monkeypatch.setattr(slicer, "dicomDatabase", database)
    panel = slicer_app.widget()
    panel.enter()
    page = SimpleNamespace(**vars(slicer_app), panel=panel, ui=panel.ui, tasks=panel.tasks, logic=panel.logic)
    page.list = panel.pages.panels[1].list
    page.parameters = panel.logic.getParameterNode()
    page.ui.pageTabs.currentIndex = 1
    return page


@pytest.fixture
def many(slicer_app, big_database, monkeypatch):
    """The page with a list of thousands."""
    return open_page(slicer_app, SimpleNamespace(isOpen=True, databaseFilename=str(big_database)), monkeypatch)


@pytest.fixture
def few(slicer_app, small_series, monkeypatch, tmp_path):
    """The page with real files and an output folder."""
    page = open_page(slicer_app, FolderDatabase(small_series.folder), monkeypatch)
    page.output = tmp_path / "results"
    page.ui.outputLineEdit.text = str(page.output)
    return page


def cell(page, row, column):
    item = page.ui.seriesTable.item(row, column)
    return item.text() if item is not None else None


class TestList:
    def test_it_is_read_when_the_page_is_first_opened(self, slicer_app, big_database, monkeypatch):
        import slicer

        monkeypatch.setattr(
            slicer, "dicomDatabase", SimpleNamespace(isOpen=True, databaseFilename=str(big_database)), raising=False
        )
        panel = slicer_app.widget()
        panel.enter()
        assert panel.ui.seriesTable.rowCount == 0
        panel.ui.pageTabs.currentIndex = 1
        assert panel.ui.seriesTable.rowCount == SERIES * 3 // 5
        assert f"{SERIES * 3 // 5:,} of {SERIES:,} series shown" in panel.ui.countLabel.text

    def test_what_a_row_says(self, many):
        row = next(row for row in range(100) if cell(many, row, 3) == "CT")
        one = next(one for one in many.panel.pages.panels[1].series if one.identity.series_uid == many.list.shown[row])
        assert cell(many, row, 0) == one.identity.patient_id
        assert cell(many, row, 1) == f"{one.study_date[:4]}-{one.study_date[4:6]}-15 CT"
        assert cell(many, row, 2) == f"{one.series_number}: {one.identity.series_description}"
        assert [cell(many, row, column) for column in (3, 4, 5, 6)] == ["CT", one.identity.body_part, "2", ""]

    def test_cells_are_made_when_they_come_into_sight(self, many):
        table = many.ui.seriesTable
        last = table.rowCount - 1
        assert cell(many, 0, 0)
        assert cell(many, last, 0) is None
        many.panel.parent.qobject.show()
        table.qobject.scrollToBottom()
        many.app.processEvents()
        assert cell(many, last, 0)

    def test_filter(self, many):
        many.ui.filterLineEdit.text = "head p-00003"
        assert many.ui.seriesTable.rowCount == len(many.list.shown) > 0
        for row in range(many.ui.seriesTable.rowCount):
            assert (cell(many, row, 0), cell(many, row, 4)) == ("P-00003", "HEAD")
        many.ui.filterLineEdit.text = uid(8)
        assert many.list.shown == []  # an MR series
        many.ui.onlyCTCheckBox.checked = False
        assert many.list.shown == [uid(8)]
        many.ui.filterLineEdit.text = ""
        assert many.ui.seriesTable.rowCount == SERIES

    def test_sorting(self, many):
        many.list.sort(2)
        texts = [cell(many, row, 2) for row in range(20)]
        assert texts == sorted(texts, key=str.casefold)
        many.list.sort(2)
        assert cell(many, 0, 2) >= cell(many, 19, 2)
        many.list.sort(5)  # by number, not by letter
        assert cell(many, 0, 5) == "2"

    def test_boxes(self, many):
        import qt

        table = many.ui.seriesTable
        table.item(3, 0).setCheckState(qt.Qt.Checked)
        assert many.list.checked == {many.list.shown[3]}
        assert "1 checked" in many.ui.countLabel.text
        many.ui.filterLineEdit.text = "p-00003"
        many.ui.checkShownButton.click()
        assert len(many.list.checked) == table.rowCount + 1
        assert all(table.item(row, 0).checkState() == qt.Qt.Checked for row in range(table.rowCount))
        table.item(0, 0).setCheckState(qt.Qt.Unchecked)
        assert many.list.shown[0] not in many.list.checked
        many.ui.filterLineEdit.text = ""
        assert len(many.list.checked) > 1  # those that were hidden meanwhile, too
        many.ui.uncheckAllButton.click()
        assert not many.list.checked
        assert table.item(3, 0).checkState() == qt.Qt.Unchecked

    def test_the_selected_row_stays_selected(self, many):
        many.ui.seriesTable.selectRow(5)
        chosen = many.list.current
        many.list.sort(2)
        assert many.list.current == chosen
        many.ui.filterLineEdit.text = "no such series"
        assert many.list.current == ""
        assert "Select a series" in many.ui.loadButton.toolTip

    def test_a_checked_series_that_is_gone_is_forgotten(self, many):
        many.ui.checkShownButton.click()
        many.panel.pages.panels[1].list.set_series(())
        assert not many.list.checked

    def test_twenty_thousand_rows_are_no_slower(self, many):
        one = many.panel.pages.panels[1].series[0]
        table = many.panel.pages.panels[1].list
        table.set_series([one] * 20000)
        start = time.perf_counter()
        table.show(range(20000), {})
        assert many.ui.seriesTable.rowCount == 20000
        assert time.perf_counter() - start < 1.0

    def test_an_empty_database_is_explained(self, slicer_app):
        panel = slicer_app.widget()
        panel.ui.pageTabs.currentIndex = 1
        assert "add DICOM files" in panel.ui.countLabel.text
        assert not panel.ui.loadButton.enabled

    def test_a_database_that_cannot_be_read_is_a_message(self, slicer_app, monkeypatch, tmp_path):
        (tmp_path / "ctkDICOM.sql").write_text("no database")
        database = SimpleNamespace(isOpen=True, databaseFilename=str(tmp_path / "ctkDICOM.sql"))
        page = open_page(slicer_app, database, monkeypatch)
        assert "cannot be read" in page.ui.messageLabel.text
        assert "not been read" in page.ui.countLabel.text


class TestLoad:
    def test_the_selected_series_is_loaded_and_shown(self, few):
        few.ui.seriesTable.selectRow(next(row for row in range(3) if cell(few, row, 2).endswith("Head 1")))
        few.ui.loadButton.click()
        [node] = nodes(few.scene, "vtkMRMLScalarVolumeNode")
        assert few.ui.pageTabs.currentIndex == 0
        assert few.ui.inputSelector.currentNode() is node
        assert "Loaded Head 1." in few.ui.statusLabel.text
        assert len(node.GetAttribute("DICOM.instanceUIDs").split()) == 12
        few.ui.segmentBothButton.click()
        assert few.logic.results(node).segmentationNode is not None

    def test_a_double_click_does_the_same(self, few):
        few.ui.seriesTable.qobject.cellDoubleClicked.emit(1, 2)
        assert len(nodes(few.scene, "vtkMRMLScalarVolumeNode")) == 1

    def test_files_that_are_gone_are_a_message(self, many):
        many.ui.seriesTable.selectRow(0)
        many.ui.loadButton.click()
        assert many.ui.messageLabel.text.startswith("Load a series: ")
        assert not nodes(many.scene, "vtkMRMLScalarVolumeNode")


class TestBatch:
    def test_buttons_say_what_is_missing(self, few):
        buttons = (few.ui.batchHeadrestButton, few.ui.batchMetalButton, few.ui.batchBothButton)
        assert all("Check at least one" in button.toolTip for button in buttons)
        few.ui.checkShownButton.click()
        assert all(button.enabled for button in buttons)
        few.ui.outputLineEdit.text = ""
        assert all("Choose an output folder" in button.toolTip for button in buttons)
        few.ui.outputLineEdit.text = "relative/folder"
        assert all("whole path" in button.toolTip for button in buttons)
        assert "No batch was started" in few.ui.resumeButton.toolTip or "whole path" in few.ui.resumeButton.toolTip

    def test_the_folder_is_chosen_and_opened(self, few, tmp_path, monkeypatch):
        monkeypatch.setattr(FileDialog, "chosen", str(tmp_path))
        few.ui.browseButton.click()
        assert few.ui.outputLineEdit.text == str(tmp_path)
        assert few.parameters.outputFolder == str(tmp_path)
        few.ui.openFolderButton.click()
        assert Desktop.opened == [str(tmp_path)]
        monkeypatch.setattr(FileDialog, "chosen", "")  # the user cancelled
        few.ui.browseButton.click()
        assert few.parameters.outputFolder == str(tmp_path)

    def test_checked_series_become_result_folders(self, few, small_series):
        few.ui.filterLineEdit.text = "head"
        few.ui.checkShownButton.click()
        few.ui.regionSelector.currentIndex = 2
        few.ui.batchBothButton.click()
        assert "Wait until" in few.ui.loadButton.toolTip
        assert not few.ui.outputLineEdit.enabled
        values = set()
        until(few.app, lambda: values.add(few.ui.progressBar.value) or not few.tasks.title)
        assert few.tasks.message == ""
        assert len(values) > 2
        assert few.ui.batchLabel.text == "3 of 3 series: 3 done."
        for one in small_series.uids:
            found = json.loads((few.output / one / "result.json").read_text(encoding="utf-8"))
            assert found["task"] == ["headrest", "metal"]
            assert found["options"]["region"] == "all"
        assert [cell(few, row, 6) for row in range(3)] == ["Headrest, Metal"] * 3
        assert "complete" in few.ui.resumeButton.toolTip
        few.ui.hideDoneCheckBox.click()
        assert few.list.shown == []
        few.ui.hideDoneCheckBox.click()
        self.check_that_results_are_loaded(few)

    def check_that_results_are_loaded(self, few):
        few.ui.seriesTable.selectRow(0)
        few.ui.loadButton.click()
        [node] = nodes(few.scene, "vtkMRMLScalarVolumeNode")[:1]
        made = few.logic.results(node)
        masks = segmentation_node_to_masks(made.segmentationNode, node)
        assert sorted(masks) == ["Headrest", "Metal"]
        assert masks["Headrest"].any()
        assert made.tableNode.GetNumberOfRows() >= 2
        assert made.cleanedVolumeNode is not None
        assert few.ui.compareButton.enabled

    def test_cancel_and_resume_does_only_what_is_left(self, few, small_series):
        few.ui.checkShownButton.click()
        few.ui.batchHeadrestButton.click()
        until(few.app, lambda: "1 done" in few.ui.batchLabel.text or not few.tasks.title)
        start = time.monotonic()
        few.ui.cancelButton.click()
        finish(few, 2.0)
        assert time.monotonic() - start < 2.0
        done = [one for one in small_series.uids if (few.output / one / "result.json").is_file()]
        assert 1 <= len(done) < 3
        left = [few.output / one for one in small_series.uids if one not in done]
        assert not any(list(folder.glob("*")) for folder in left if folder.is_dir())
        assert "Resume does the rest." in few.ui.batchLabel.text
        assert few.ui.resumeButton.text == f"Resume ({len(left)} left)"
        times = {one: (few.output / one / "result.json").stat().st_mtime_ns for one in done}
        few.ui.resumeButton.click()
        finish(few)
        assert all((few.output / one / "result.json").is_file() for one in small_series.uids)
        assert {one: (few.output / one / "result.json").stat().st_mtime_ns for one in done} == times
        assert few.ui.batchLabel.text == "3 of 3 series: 3 done."
        assert not few.ui.resumeButton.enabled

    def test_a_series_that_fails_is_named_and_stops_nobody(self, few, small_series):
        few.ui.onlyCTCheckBox.checked = False
        few.ui.filterLineEdit.text = "1.2.3"
        few.ui.checkShownButton.click()
        few.ui.filterLineEdit.text = small_series.uids[0]
        few.ui.checkShownButton.click()
        few.ui.batchMetalButton.click()
        finish(few)
        assert few.ui.batchLabel.text == "2 of 2 series: 1 done, 1 failed."
        assert "1 series could not be segmented" in few.ui.messageLabel.text
        assert any("1.2.3 failed: it is MR" in line for line in few.panel.log.lines)
        assert few.ui.resumeButton.text == "Resume (1 left)"

    def test_a_batch_of_an_earlier_session_is_resumed(self, few, small_series, tmp_path):
        """Its folder tells what it was; the series need not be checked again."""
        other = tmp_path / "earlier"
        files = tuple(str(path) for path in sorted(small_series.folder.rglob("*.dcm")))
        BatchRequest("", tuple(small_series.uids[:2]), files=files).save(other)
        with open_ledger(other) as ledger:  # ended by a power cut while it was at the first one
            ledger.add(small_series.uids[:2], "segment")
            ledger.start(small_series.uids[0], "segment", "options", small_series.uids[0])
        few.ui.outputLineEdit.text = str(other)
        assert few.ui.resumeButton.text == "Resume (2 left)"
        few.ui.resumeButton.click()
        finish(few)
        assert few.ui.batchLabel.text == "2 of 2 series: 2 done."
        assert all((other / one / "result.json").is_file() for one in small_series.uids[:2])

    def test_a_batch_goes_on_when_the_scene_is_closed(self, few, small_series):
        few.ui.filterLineEdit.text = small_series.uids[0]
        few.ui.checkShownButton.click()
        few.ui.batchMetalButton.click()
        few.scene.Clear(False)
        assert few.ui.outputLineEdit.text == ""
        finish(few)
        assert (few.output / small_series.uids[0] / "result.json").is_file()
        assert few.ui.batchLabel.text == "1 of 1 series: 1 done."

    def test_a_batch_is_watched_when_the_page_is_opened_again_after_that(self, few, small_series, monkeypatch):
        job = ScriptedJob()
        monkeypatch.setattr(few.logic, "segmentSeries", job)
        few.ui.checkShownButton.click()
        few.ui.batchMetalButton.click()
        few.scene.Clear(False)
        few.ui.pageTabs.currentIndex = 0
        few.ui.pageTabs.currentIndex = 1
        job.calls["onSeries"](
            SimpleNamespace(status="done", series_uid=small_series.uids[0], stack=1, segments={"Metal": 1.0}, reason="")
        )
        assert few.ui.batchLabel.text == "1 of 3 series: 1 done."
        job.cancel()

    def test_another_folder_is_not_told_of_the_batch(self, few, tmp_path, monkeypatch):
        job = ScriptedJob()
        monkeypatch.setattr(few.logic, "segmentSeries", job)
        few.ui.checkShownButton.click()
        few.ui.batchMetalButton.click()
        job.cancel()
        assert "Resume does the rest" in few.ui.batchLabel.text
        few.ui.outputLineEdit.text = str(tmp_path / "another")
        assert not few.ui.batchLabel.text

    def test_a_folder_that_cannot_be_written_is_a_message(self, few, tmp_path):
        (tmp_path / "file").write_text("")
        few.ui.checkShownButton.click()
        few.ui.outputLineEdit.text = str(tmp_path / "file" / "results")
        few.ui.batchMetalButton.click()
        finish(few)
        assert "Choose an output folder that can be written" in few.ui.messageLabel.text
