"""The page *Agreement* on stand-ins for Qt and the application, on real MRML, with a real child process."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

import SimpleITK as sitk
import vtk
from DicomAnalysisLib.mrml.agreement import fill_columns, table_rows
from panel_cases import finish, nodes, open_panel, run_application

slicer_app = pytest.fixture(run_application)
opened = pytest.fixture(open_panel)


def make_table(scene, count=25):
    random = np.random.default_rng(1)
    truth = np.linspace(40, 60, count)
    first = truth + random.normal(0, 1, count)
    first[3] += 12
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "diameters")
    columns = {
        "case": [f"P{n}" for n in range(count)],
        "network (mm)": list(first),
        "manual (mm)": list(truth),
        "series_uid": [f"1.2.{n}" for n in range(count)],
    }
    fill_columns(node, columns)
    return node


@pytest.fixture
def page(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    titles = [one.title for one in opened.panel.pages.pages]
    opened.ui.pageTabs.currentIndex = titles.index("Agreement")
    return opened


class TestTable:
    def test_from_a_table_to_plot_outlier_and_report(self, page, tmp_path, monkeypatch):
        assert "Select a table" in page.ui.agreementButton.toolTip
        page.parameters.agreementTable = make_table(page.scene)
        chosen = [
            selector.currentText
            for selector in (
                page.ui.agreementIdentifierSelector,
                page.ui.agreementColumn1Selector,
                page.ui.agreementColumn2Selector,
            )
        ]
        assert chosen == ["case", "network (mm)", "manual (mm)"]
        page.ui.agreementAcceptableSpinBox.value = 5.0
        assert page.ui.agreementButton.enabled, page.ui.agreementButton.toolTip
        page.ui.agreementButton.click()
        assert not page.tasks.message
        text = page.ui.agreementStatusLabel.text
        for words in ("25 pairs of measurements, network and manual", "Bias:", "mm", "ICC(2,1):", "Please look:"):
            assert words in text
        assert "acceptable difference of ±5 mm" in text

        page.ui.agreementPlotButton.click()
        [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
        selection = page.app.applicationLogic().GetSelectionNode()
        assert selection.GetActivePlotChartID() == chart.GetID()
        page.ui.agreementTableButton.click()
        assert "Agreement of" in page.scene.GetNodeByID(selection.GetActiveTableID()).GetName()

        table, loaded = page.ui.agreementOutliersTable, []
        assert table.rowCount == 1
        assert table.item(0, 0).text() == "P3"
        assert not page.ui.agreementLoadButton.enabled
        monkeypatch.setattr(page.logic, "loadSeries", lambda uid: loaded.append(uid))
        table.selectRow(0)
        assert page.ui.agreementLoadButton.enabled, page.ui.agreementLoadButton.toolTip
        page.ui.agreementLoadButton.click()
        assert loaded == ["1.2.3"]

        assert "Choose a folder" in page.ui.agreementReportButton.toolTip
        page.parameters.agreementOutput = str(tmp_path / "report")
        page.ui.agreementReportButton.click()
        assert not page.tasks.message
        assert (tmp_path / "report" / "report.html").is_file()

    def test_an_error_is_told(self, page):
        page.parameters.agreementTable = make_table(page.scene, 5)
        page.ui.agreementColumn2Selector.currentIndex = 1
        page.ui.agreementButton.click()
        assert "Only 0 pairs" in page.tasks.message
        page.ui.agreementColumn2Selector.currentIndex = page.ui.agreementColumn1Selector.currentIndex
        assert "two different columns" in page.ui.agreementButton.toolTip

    def test_a_file(self, page, tmp_path):
        from DicomAnalysisPanels.parameters import AgreementSource

        path = tmp_path / "t.csv"
        path.write_text("id;a (mm);b (mm)\n1;2,5;2\n2;3;3,1\n3;4;4\n", encoding="utf-8")
        page.parameters.agreementSource = AgreementSource.FILE
        assert "Choose a CSV file" in page.ui.agreementButton.toolTip
        page.parameters.agreementFirst = str(path)
        page.ui.agreementButton.click()
        assert "3 pairs" in page.ui.agreementStatusLabel.text

    def test_what_is_wrong_with_a_file_is_said(self, page, tmp_path):
        from DicomAnalysisPanels.parameters import AgreementSource

        path = tmp_path / "t.csv"
        path.write_text("id;a;a\n1;2;3\n", encoding="utf-8")
        page.parameters.agreementSource = AgreementSource.FILE
        page.parameters.agreementFirst = str(path)
        assert "the column 'a' stands twice" in page.ui.agreementButton.toolTip
        path.write_text("id;a;b\n1;2;3\n", encoding="utf-8")
        page.panel.pages.update()
        assert page.ui.agreementButton.enabled, page.ui.agreementButton.toolTip

    def test_a_table_is_read_where_it_was_changed(self, page, tmp_path, monkeypatch):
        """Not ten times a second while a task runs; and its columns are offered as soon as it has them."""
        from DicomAnalysisPanels.parameters import AgreementSource

        read, seen = page.logic.tableRows, []
        monkeypatch.setattr(page.logic, "tableRows", lambda table: seen.append(table) or read(table))
        node = make_table(page.scene)
        page.parameters.agreementTable = node
        for _ in range(5):
            page.panel.pages.update()
        assert seen == [node]
        array = vtk.vtkDoubleArray()
        array.SetName("again (mm)")
        array.SetNumberOfValues(25)
        node.AddColumn(array)
        page.ui.agreementColumn2Selector.currentIndex = 2
        page.panel.pages.update()
        assert page.ui.agreementColumn2Selector.qobject.count() == 6
        assert page.ui.agreementColumn2Selector.currentText == "network (mm)", "a choice is kept"
        path = tmp_path / "t.csv"
        path.write_text("id;a;b\n1;2;3\n", encoding="utf-8")
        page.parameters.agreementSource = AgreementSource.FILE
        page.parameters.agreementFirst = str(path)
        for _ in range(5):
            page.panel.pages.update()
        assert seen.count(str(path)) == 1

    def test_results_that_were_removed_cannot_be_shown(self, page):
        page.parameters.agreementTable = make_table(page.scene)
        page.ui.agreementButton.click()
        layout = page.app.layoutManager().layout
        page.ui.agreementPlotButton.click()
        [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
        page.scene.RemoveNode(chart)
        assert not page.ui.agreementPlotButton.enabled
        assert not page.ui.agreementPlotButton.checked, "it could not be raised any more"
        assert page.app.layoutManager().layout == layout
        page.ui.agreementButton.click()
        assert page.ui.agreementPlotButton.enabled

    def test_a_closed_scene_forgets(self, page):
        page.parameters.agreementTable = make_table(page.scene)
        page.ui.agreementButton.click()
        page.scene.Clear(0)
        assert not page.ui.agreementStatusLabel.text
        assert not page.ui.agreementPlotButton.enabled
        assert page.ui.agreementOutliersTable.rowCount == 0


class TestMarkups:
    def test_measured_by_two_raters_and_compared(self, page):
        random = np.random.default_rng(2)
        angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        for case in range(4):
            for rater in ("Reader A", "Reader B"):
                node = page.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"rim {case}")
                flat = (20 + case) * np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
                for point in flat + random.normal(0, 0.1, flat.shape):
                    node.AddControlPointWorld(vtk.vtkVector3d(*map(float, point)))
                page.parameters.agreementMarkups = node
                page.parameters.agreementRater = rater
                page.parameters.agreementCase = f"case {case}"
                page.ui.agreementMeasureButton.click()
                assert not page.tasks.message
        assert "diameter of the circle: 45.97 mm" in page.ui.agreementMeasureStatusLabel.text
        assert "residual" in page.ui.agreementMeasureStatusLabel.text
        assert len(table_rows(page.parameters.agreementTable)) == 4
        page.ui.agreementButton.click()
        assert "4 pairs of diameter of the circle, Reader A and Reader B" in page.ui.agreementStatusLabel.text

    def test_too_few_points_are_told(self, page):
        page.parameters.agreementMarkups = page.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "line")
        page.parameters.agreementCase = "case"
        page.ui.agreementMeasureButton.click()
        assert "needs 2 points" in page.tasks.message

    def test_the_case_is_the_series_of_the_image(self, page):
        node = page.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "line")
        for place in (0.0, 9.0):
            node.AddControlPointWorld(vtk.vtkVector3d(0.0, 0.0, place))
        node.SetNthControlPointAssociatedNodeID(0, page.node.GetID())
        page.parameters.agreementMarkups = node
        page.ui.agreementMeasureButton.click()
        [row] = table_rows(page.parameters.agreementTable)
        assert row["Identifier"] == row["series_uid"] != ""
        assert row["Reader 1 (mm)"] == "9"


class TestFolders:
    def test_two_raters_beside_slicer(self, page, tmp_path):
        pytest.importorskip("monai", reason="the metrics need the extra 'network'")
        from DicomAnalysisPanels.parameters import AgreementSource

        for n in range(4):
            for name in ("network", "manual"):
                mask = np.zeros((8, 20, 20), np.uint8)
                mask[2:6, 3 : 10 + n, 3 : 10 + n + (name == "network")] = 1
                (tmp_path / name).mkdir(exist_ok=True)
                sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / name / f"1.2.{n}.nrrd"))
        page.parameters.agreementSource = AgreementSource.FOLDERS
        assert "Choose two folders" in page.ui.agreementButton.toolTip
        page.parameters.agreementFirst = str(tmp_path / "network")
        page.parameters.agreementSecond = str(tmp_path / "manual")
        page.ui.agreementButton.click()
        finish(page)
        assert not page.tasks.message
        text = page.ui.agreementStatusLabel.text
        assert "label 1: Dice, median" in text
        assert "4 pairs of volume of label 1, network and manual" in text
        assert any(node.GetName() == "Comparison of segmentations" for node in nodes(page.scene, "vtkMRMLTableNode"))
        assert page.ui.agreementPlotButton.enabled


@pytest.mark.parametrize("width", [400, 640])
def test_picture(page, tmp_path, width):
    """For looking at: pytest --basetemp=pictures."""
    from PySide6 import QtWidgets

    page.parameters.agreementTable = make_table(page.scene)
    page.ui.agreementButton.click()
    page.parameters.agreementMarkups = page.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "line")
    panel = next(one for one in page.panel.pages.panels if type(one).__name__ == "AgreementPanel")
    details = {"center_mm": (1.0, 2.0, 3.0), "residual_mm": 0.25}
    from DicomAnalysisPanels.agreement_texts import measured_text

    remark = "the points leave 200 degrees of the rim open: the diameter is uncertain"
    panel._measured = measured_text(
        SimpleNamespace(quantity="diameter", value=48.0, unit="mm", details=details, remark=remark)
    )
    panel.update()
    window = page.panel.parent.qobject
    window.layout().setContentsMargins(0, 0, 0, 0)
    window.resize(width, 1300)
    window.show()
    for _ in range(3):
        page.app.processEvents()
    assert window.grab().save(str(tmp_path / f"agreement-{width}.png"))
    assert window.width() <= width + 1
    for button in window.findChildren(QtWidgets.QPushButton):
        if button.isVisible():
            assert button.width() >= button.sizeHint().width(), button.text()
