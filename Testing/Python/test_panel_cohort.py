"""The page *Cohort* on stand-ins for Qt and the application, on real MRML, with real child processes."""

from __future__ import annotations

import json
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")
pytest.importorskip("pyarrow", reason="cohorts need the extra 'cohort'")
pytest.importorskip("xgboost", reason="cohorts need the extra 'cohort'")

import vtk
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.errors import SourceError, UsageError
from DicomAnalysisLib.mrml.agreement import table_rows
from feature_tables import make_table
from panel_cases import finish, nodes, open_panel, run_application, until
from small_cohorts import series_uid, write_cohort
from standins.application import Desktop

slicer_app = pytest.fixture(run_application)
opened = pytest.fixture(open_panel)
SERIES = 8


@pytest.fixture
def page(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    titles = [one.title for one in opened.panel.pages.pages]
    opened.ui.pageTabs.currentIndex = titles.index("Cohort")
    opened.section = opened.panel.pages.panels[titles.index("Cohort")]
    return opened


@pytest.fixture
def source(tmp_path):
    """Small series, and one that cannot be read."""
    files = write_cohort(tmp_path / "data", SERIES)
    files[3].write_bytes(files[3].read_bytes()[:-100])
    return tmp_path / "data"


@pytest.fixture
def explored(tmp_path):
    """An output folder with features and clusters of small series, as the library leaves them."""
    folder, count = tmp_path / "output", 6
    files = write_cohort(tmp_path / "data", count)
    values = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    table = make_table(values, sources={f"1.2.3.{n}": (str(path),) for n, path in enumerate(files[:-1])})
    FeatureStore(folder / "features").append(table)
    write_ledger(folder, table.series)
    clusters = folder / "clusters"
    (clusters / "montages").mkdir(parents=True)
    write_picture(clusters / "montages" / "cluster-1.png")
    (clusters / "report.html").write_text("<p>report</p>", "utf-8")
    label = ("yes", "yes", "yes", "", "")
    rows = [f"1.2.3.{n},P{n},{cluster},{n},{-n},{label[n]}" for n, cluster in enumerate("11122")]
    rows.append("1.2.3.5,P5,none,9,9,no")
    lines = ["series_uid,patient_id,cluster,x,y,label finding", *rows]
    (clusters / "clusters.csv").write_text("\n".join(lines) + "\n", "utf-8")
    one = {"size": 3, "patients": 2, "words": "brighter", "examples": ["1.2.3.0", "1.2.3.2"], "is_value": ""}
    scanner = "Cluster 2 consists of the station 'ICU'."
    other = {"size": 2, "patients": 1, "words": "darker", "examples": ["1.2.3.4"], "is_value": scanner}
    known = {
        "labels": ["finding"],
        "clusters": [{"number": 1, **one}, {"number": 2, **other}],
        "verdict": "clusters",
        "findings": ["2 clusters in 6 series; 1 series (17%) belong to none.", scanner],
        "display": "umap",
    }
    (clusters / "clustering.json").write_text(json.dumps(known), "utf-8")
    return folder


def write_ledger(folder, series):
    from DicomAnalysisLib.cohort.ledger import Ending, open_ledger

    with open_ledger(folder) as ledger:
        ledger.add(series, "cohort features")
        ledger.start_many(list(series), "cohort features", "options")
        ledger.finish_many([Ending(uid, "done") for uid in series], "cohort features", "options")


def write_picture(path):
    from PIL import Image

    Image.new("RGB", (594, 430), (30, 30, 40)).save(path)


def click(page, *points):
    """Choose points in the plot view: the plot's number, and the point's. It tells before they are chosen."""
    page.app.plot_view.tell("dataSelected", None, None)
    for plot, number in points:
        array = vtk.vtkIdTypeArray()
        array.InsertNextValue(number)
        page.app.plot_view.chart().GetPlot(plot).SetSelection(array)
    for _ in range(5):
        page.app.processEvents()


def row(text):
    """A model index of a table view."""
    return SimpleNamespace(row=lambda: 0, sibling=lambda _row, _column: SimpleNamespace(data=lambda: text))


class TestMeasuring:
    def test_from_a_folder_to_features_and_the_one_that_failed(self, page, source, tmp_path):
        from DicomAnalysisPanels.parameters import TrainSource

        assert "Check series" in page.ui.cohortMeasureButton.toolTip
        page.parameters.cohortSource = TrainSource.FOLDER
        assert "Choose a folder with DICOM files" in page.ui.cohortMeasureButton.toolTip
        page.parameters.cohortFolder = str(source)
        assert "Choose an output folder" in page.ui.cohortMeasureButton.toolTip
        page.parameters.cohortOutput = str(tmp_path / "output")
        assert "Nothing was begun" in page.ui.cohortResumeButton.toolTip
        assert "Measure features" in page.ui.cohortClusterButton.toolTip
        page.ui.cohortMeasureButton.click()
        assert "Wait until" in page.ui.cohortMeasureButton.toolTip
        finish(page)
        assert not page.tasks.message
        text = page.ui.cohortStatusLabel.text
        assert f"{SERIES - 1} series measured now, 0 earlier; 1 failed." in text
        table = page.ui.cohortFailedTable
        assert table.rowCount == 1
        assert table.item(0, 0).text() == series_uid(3)
        assert table.item(0, 1).text()
        assert any(series_uid(3) in line for line in page.panel.log.lines)
        assert page.ui.cohortClusterButton.enabled, page.ui.cohortClusterButton.toolTip
        assert "gone through" in page.ui.cohortResumeButton.toolTip
        assert "Choose a table of labels" in page.ui.cohortLearnButton.toolTip

        page.parameters.cohortRetry = True
        assert page.ui.cohortResumeButton.text == "Resume (1 left)"
        whole = write_cohort(tmp_path / "again", SERIES)[3]
        next(source.rglob("00000003.dcm")).write_bytes(whole.read_bytes())
        page.ui.cohortResumeButton.click()
        finish(page)
        assert f"1 series measured now, {SERIES - 1} earlier; 0 failed." in page.ui.cohortStatusLabel.text
        assert page.ui.cohortFailedTable.rowCount == 0

    def test_checked_series_of_a_database_and_a_cancelled_run(self, page, source, tmp_path, monkeypatch):
        import slicer

        files = {series_uid(n): [str(path)] for n, path in enumerate(sorted(source.rglob("*.dcm")))}
        database = SimpleNamespace(databaseFilename="", isOpen=True, filesForSeries=files.__getitem__)
        monkeypatch.setattr(slicer, "dicomDatabase", database)
        wanted = (series_uid(1), series_uid(4))
        page.section.shared.checked = lambda: wanted
        page.parameters.cohortOutput = str(tmp_path / "output")
        assert page.ui.cohortCheckedLabel.text == "2 series are checked."
        page.ui.cohortMeasureButton.click()
        page.ui.cancelButton.click()
        until(page.app, lambda: not page.tasks.title)
        assert page.ui.cohortResumeButton.enabled, page.ui.cohortResumeButton.toolTip
        page.ui.cohortResumeButton.click()
        finish(page)
        assert not page.tasks.message
        assert "2 series measured now" in page.ui.cohortStatusLabel.text
        assert FeatureStore(tmp_path / "output" / "features").read().series == wanted

    def test_with_a_key_nothing_in_the_folder_says_whose_it_is(self, page, source, tmp_path):
        output = tmp_path / "output"
        values = page.logic.measureFeatures(source, output, key=tmp_path / "key").wait()
        assert values["done"] == SERIES - 1
        texts = [path.read_bytes() for path in output.rglob("*") if path.is_file()]
        for told in (str(source), str(tmp_path / "key"), *(series_uid(n) for n in range(SERIES))):
            assert not any(told.encode() in text for text in texts), told
        again = page.logic.measureFeatures(source, output, key=tmp_path / "key").wait()
        assert (again["done"], again["kept"]) == (0, SERIES - 1)

    def test_what_cannot_be_is_told(self, page, tmp_path):
        with pytest.raises(UsageError, match="measure them anew"):
            page.logic.resumeFeatures(tmp_path)
        with pytest.raises(UsageError, match="not understood"):
            page.logic.findClusters(tmp_path, colour="red")
        with pytest.raises(SourceError, match="does not hold clusters"):
            page.logic.readClusters(tmp_path)
        assert page.logic.cohortStatus(tmp_path) is None
        page.parameters.cohortOutput = "no/whole/path"
        assert "whole path" in page.ui.cohortClusterButton.toolTip


class TestLookingInto:
    def test_the_scene_is_left_alone_until_something_is_asked_for(self, page, explored):
        page.parameters.cohortOutput = str(explored)
        text = page.ui.cohortFindingsLabel.text
        assert "2 clusters in 6 series" in text
        assert "station 'ICU'" in text
        assert not nodes(page.scene, "vtkMRMLPlotChartNode")
        assert page.ui.cohortStatusLabel.text == "6 series measured."
        page.ui.cohortReportButton.click()
        assert Desktop.opened[-1].endswith("clusters/report.html")

    def test_a_point_loads_its_series(self, page, explored):
        page.parameters.cohortOutput = str(explored)
        page.ui.cohortPlotButton.click()
        [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
        assert page.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == chart.GetID()
        grey, first, second = (chart.GetNthPlotSeriesNode(n) for n in range(3))
        assert [node.GetName() for node in (grey, first, second)] == ["no cluster", "Cluster 1", "Cluster 2"]
        volumes = len(nodes(page.scene, "vtkMRMLScalarVolumeNode"))
        click(page, (2, 1))
        assert not page.tasks.message
        assert page.ui.cohortChosenLabel.text == "Chosen: 1.2.3.4"
        assert len(nodes(page.scene, "vtkMRMLScalarVolumeNode")) == volumes + 1
        click(page, (0, 0), (1, 0))
        assert page.ui.cohortChosenLabel.text == "Chosen: 1.2.3.5"
        assert len(nodes(page.scene, "vtkMRMLScalarVolumeNode")) == volumes + 1
        assert "import it" not in page.tasks.message
        click(page, (1, 1))
        assert len(nodes(page.scene, "vtkMRMLScalarVolumeNode")) == volumes + 2
        click(page, (1, 2))
        assert page.ui.cohortChosenLabel.text == "Chosen: 1.2.3.2"
        click(page, (0, 0))
        assert "import it into the DICOM database" in page.tasks.message

    def test_the_mouse_chooses_points_while_the_plot_is_shown(self, page, explored):
        """It moves other plots, as before."""
        view = page.app.plot_view.mrmlPlotViewNode()
        before = view.GetInteractionMode()
        page.parameters.cohortOutput = str(explored)
        for _ in range(2):
            page.ui.cohortPlotButton.click()
            assert view.GetInteractionMode() == view.InteractionModeSelectPoints != before
            page.ui.cohortTableButton.click()
            assert view.GetInteractionMode() == view.InteractionModeSelectPoints
            page.ui.cohortPlotButton.click()
            assert view.GetInteractionMode() == before
        page.ui.cohortPlotButton.click()
        page.scene.Clear(0)
        assert view.GetInteractionMode() == before

    def test_nodes_that_were_removed_come_again(self, page, explored):
        page.parameters.cohortOutput = str(explored)
        for _ in range(2):
            page.ui.cohortPlotButton.click()
            [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
            assert page.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == chart.GetID()
            page.scene.RemoveNode(chart)
            page.ui.cohortPlotButton.click()

    def test_a_row_loads_its_series_once(self, page, explored, monkeypatch):
        loaded = []
        monkeypatch.setattr(page.logic, "loadExample", lambda _result, series: loaded.append(series))
        page.parameters.cohortOutput = str(explored)
        for _ in range(3):
            page.ui.cohortTableButton.click()
        table = page.app.table_view.mrmlTableNode()
        assert [one["cluster"] for one in table_rows(table)] == ["1", "1", "1", "2", "2", "none"]
        page.app.table_view.tell("doubleClicked", row("1.2.3.2"))
        assert loaded == ["1.2.3.2"]

    def test_from_the_database_where_that_knows_the_series(self, page, explored, monkeypatch):
        import DicomAnalysisLib.mrml
        import slicer

        asked = []
        database = SimpleNamespace(isOpen=True, filesForSeries=lambda _uid: ["/there.dcm"])
        monkeypatch.setattr(slicer, "dicomDatabase", database)
        monkeypatch.setattr(
            DicomAnalysisLib.mrml, "load_series", lambda _scene, _db, uid: asked.append(uid) or ["first", "second"]
        )
        page.parameters.cohortOutput = str(explored)
        result = page.section.clusters.result
        assert page.logic.loadExample(result, "1.2.3.9/stack-2") == "second"
        assert page.logic.loadExample(page.logic.showEmbedding(result).table_node, "1.2.3.9") == "first"
        assert asked == ["1.2.3.9", "1.2.3.9"]

    def test_examples_of_a_cluster(self, page, explored):
        page.parameters.cohortOutput = str(explored)
        ui = page.ui
        assert ui.cohortExamplesTable.rowCount == 2
        assert "Set apart by: brighter." in ui.cohortClusterLabel.text
        assert not ui.cohortMontageLabel.pixmap.isNull()
        assert "Select an example" in ui.cohortLoadButton.toolTip
        ui.cohortExamplesTable.selectRow(1)
        assert ui.cohortChosenLabel.text == "Chosen: 1.2.3.2"
        ui.cohortClusterSelector.currentIndex = 1
        assert ui.cohortExamplesTable.rowCount == 1
        assert "Please look: Cluster 2 consists of the station 'ICU'." in ui.cohortClusterLabel.text

    def test_coloured_by_a_label(self, page, explored):
        page.parameters.cohortOutput = str(explored)
        page.ui.cohortPlotButton.click()
        page.ui.cohortColorSelector.currentIndex = 1
        [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
        names = [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())]
        assert names == ["not labelled", "yes", "no"]
        with pytest.raises(UsageError, match="finding"):
            page.logic.showEmbedding(page.section.clusters.result, "colour")

    def test_a_closed_scene_and_another_folder(self, page, explored, tmp_path):
        page.parameters.cohortOutput = str(explored)
        page.ui.cohortPlotButton.click()
        page.scene.Clear(0)
        assert not page.ui.cohortPlotButton.checked
        page.parameters = page.logic.getParameterNode()
        page.parameters.cohortOutput = str(explored)
        page.ui.cohortPlotButton.click()
        assert len(nodes(page.scene, "vtkMRMLPlotChartNode")) == 1
        page.parameters.cohortOutput = str(tmp_path / "other")
        assert not page.ui.cohortFindingsLabel.text
        assert not page.ui.cohortPlotButton.enabled
        assert not page.ui.cohortPlotButton.checked


class TestBesideSlicer:
    """The whole way: clusters and labels in child processes."""

    @pytest.fixture
    def measured(self, tmp_path):
        random = np.random.default_rng(0)
        values = random.normal(size=(80, 6))
        values[40:] += 8
        files = write_cohort(tmp_path / "data", 80)
        sources = {f"1.2.3.{n}": (str(path),) for n, path in enumerate(files)}
        tags = {"station": ("ICU",) * 40 + ("CT1",) * 40}
        table = make_table(values.astype(np.float32), tags, per_patient=1, sources=sources)
        FeatureStore(tmp_path / "output" / "features").append(table)
        write_ledger(tmp_path / "output", table.series)
        lines = [f"1.2.3.{n},{'yes' if n % 2 else 'no'}" for n in range(80)]
        (tmp_path / "labels.csv").write_text("\n".join(["series_uid,finding", *lines]) + "\n", "utf-8")
        return tmp_path

    def test_clusters_and_labels(self, page, measured):
        page.parameters.cohortOutput = str(measured / "output")
        page.parameters.cohortLabels = str(measured / "missing.csv")
        assert "no such table" in page.ui.cohortClusterButton.toolTip
        page.parameters.cohortLabels = str(measured / "labels.csv")
        page.ui.cohortClusterButton.click()
        finish(page, 300)
        assert not page.tasks.message
        assert "2 clusters in 80 series" in page.ui.cohortFindingsLabel.text
        assert "station" in page.ui.cohortFindingsLabel.text
        assert page.ui.cohortPlotButton.checked
        [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
        assert chart.GetNumberOfPlotSeriesNodes() >= 2
        assert not page.ui.cohortMontageLabel.pixmap.isNull()
        assert page.ui.cohortReportButton.enabled
        assert page.ui.cohortColorSelector.qobject.count() == 2

        page.parameters.cohortTarget = "finding"
        page.ui.cohortLearnButton.click()
        finish(page, 300)
        assert not page.tasks.message
        assert "'finding': XGBoost reaches AUROC" in page.ui.cohortLearnedLabel.text
        assert Desktop.opened[-1].endswith("learning/report.html")
        assert page.ui.cohortLearnReportButton.enabled
