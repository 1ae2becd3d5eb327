"""The page *Classify* on stand-ins for Qt and the application, on real MRML, with real child processes."""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")
pytest.importorskip("torch", reason="classifiers need the extra 'network'")
pytest.importorskip("monai", reason="classifiers need the extra 'network'")

from classifier_volumes import IDENTITY, make_volume
from DicomAnalysisLib.classification.recipe import recipe_named
from DicomAnalysisLib.errors import TaskError, UsageError
from DicomAnalysisLib.mrml import node_to_volume, volume_to_node
from DicomAnalysisLib.mrml.agreement import fill_columns
from DicomAnalysisLib.mrml.arrays import image_array
from DicomAnalysisLib.phantom import write_dicom_series
from panel_cases import ScriptedJob, finish, nodes, open_panel, run_application, until
from small_classifiers import (
    BRIGHT,
    BRIGHT_HU,
    FINDING,
    GREY,
    GREY_HU,
    REGION,
    SIGNS,
    volume_recipe,
    write_classifier,
)

slicer_app = pytest.fixture(run_application)
opened = pytest.fixture(open_panel)

PAGE = "ClassifyPanel"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "bright"
    known = {"cases": 12, "modality": ["CT"], "body_part": ["HEAD"]}
    write_classifier(folder, looks_for_bright=True, recipe=volume_recipe((12, 32, 32)), known_range=known)
    return folder


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Three series, the last of which cannot be read, as Slicer's database names their files."""
    folder = tmp_path_factory.mktemp("database")
    files = {}
    for number in range(3):
        uid = f"1.2.3.{number}"
        volume = make_volume(lesion=(5, 30, 40) if number == 1 else None, shape=(10, 60, 56))
        identity = replace(IDENTITY, series_uid=uid, study_uid=f"1.2.{number}", patient_id=f"P-{number}")
        write_dicom_series(replace(volume, identity=identity), folder / uid)
        files[uid] = [str(path) for path in sorted((folder / uid).iterdir())]
    for path in map(Path, files["1.2.3.2"]):
        path.write_bytes(path.read_bytes()[:600])
    return SimpleNamespace(isOpen=True, databaseFilename=":memory:", filesForSeries=files.__getitem__, files=files)


@pytest.fixture
def page(opened, model, database, tmp_path, monkeypatch):
    """The page with a volume and a model chosen."""
    import slicer

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the child: threads would wait for each other
    monkeypatch.setattr(slicer, "dicomDatabase", database)
    opened.volume = make_volume(lesion=(9, 30, 40))
    opened.chest = volume_to_node(opened.scene, opened.volume, "Chest")
    opened.parameters.inputVolume = opened.chest
    opened.panel.pages.show(PAGE)
    opened.parameters.classifyModel = str(model)
    opened.page = next(one for one in opened.panel.pages.panels if type(one).__name__ == PAGE)
    return opened


def rows(table_node):
    table = table_node.GetTable()
    return [
        {
            table.GetColumnName(column): table.GetColumn(column).GetValue(row)
            for column in range(table.GetNumberOfColumns())
        }
        for row in range(table.GetNumberOfRows())
    ]


class TestOneVolume:
    def test_from_a_click_to_words_table_and_overlay(self, page):
        """The whole way, with a child process; the scene is as before when it is taken back."""
        assert page.parameters.classifyVolume is page.chest, "what the page Segment works on"
        assert page.ui.classifyButton.enabled, page.ui.classifyButton.toolTip
        assert "Tells finding: normal, abnormal." in page.ui.classifyModelText.text
        assert "Trained on CT HEAD (12 cases)." in page.ui.classifyModelText.text
        before = page.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        page.ui.classifyButton.click()
        stages = []

        def look():
            stages.append(page.ui.stageLabel.text)
            return not page.tasks.title

        until(page.app, look, 120.0)
        assert not page.tasks.message
        assert any("loading the model" in stage for stage in stages)
        text = page.ui.classifyStatusLabel.text
        assert text.startswith("normal ")
        assert "Please look: The body part is CHEST; the model was trained on HEAD." in text

        found = page.logic.classification(page.chest)
        [row] = rows(found.table_node)
        assert row["Series"] == "Chest"
        assert row["Series Instance UID"] == IDENTITY.series_uid
        assert row["finding: normal"] + row["finding: abnormal"] == pytest.approx(1)
        assert row["Result"] in text
        assert row["Model"] == "tiny 1.2"
        assert len(row["SHA-256"]) == 64
        assert "trained on HEAD" in row["Please look"]
        assert page.ui.classifyTable.qobject.item(0, 1).text() == row["Result"]

        [overlay] = found.overlay_nodes
        values = image_array(overlay.GetImageData())
        peak = np.unravel_index(values.argmax(), values.shape)
        assert np.abs(np.subtract(peak, (9, 30, 40))).max() <= 6
        geometry, own = node_to_volume(page.chest).geometry, node_to_volume(overlay).geometry
        assert np.allclose(own.index_to_ras(np.array(peak[::-1])), geometry.index_to_ras(np.array(peak[::-1])))
        assert overlay.GetDisplayNode().GetColorNode().GetName() == "DicomAnalysis explanation"
        assert page.ui.classifyOverlayButton.checked
        assert page.logic.results(page.chest).cleanedVolumeNode is None, "an overlay is no cleaned volume"

        page.ui.classifyTableButton.click()
        assert page.app.applicationLogic().GetSelectionNode().GetActiveTableID() == found.table_node.GetID()
        page.ui.classifyTableButton.click()
        page.ui.classifyUndoButton.click()
        assert page.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before
        assert page.logic.classification(page.chest).table_node is None
        assert page.ui.classifyTable.rowCount == 0
        assert not page.ui.classifyOverlayButton.checked

    def test_cancel(self, page):
        page.ui.classifyButton.click()
        until(page.app, lambda: page.tasks.job.state == "running", 30.0)
        page.ui.cancelButton.click()
        finish(page, 10.0)
        assert page.ui.messageLabel.text.endswith("Cancelled.")
        assert page.logic.classification(page.chest).table_node is None

    def test_a_volume_that_was_removed_gets_no_result(self, page, model):
        job = page.logic.classifyInBackground(page.chest, model)
        page.scene.RemoveNode(page.chest)
        with pytest.raises(TaskError, match="was removed"):
            job.wait(60.0)


class TestOverlay:
    @pytest.fixture
    def layers(self, page, model, monkeypatch):
        """What is in front of volumes in the slice views, with the overlay of a volume shown."""
        shown = []
        monkeypatch.setattr("slicer.util.setSliceViewerLayers", lambda **layers: shown.append(layers.get("foreground")))
        [overlay] = page.logic.classify(page.chest, model, explain=True).overlay_nodes
        page.panel.pages.update()
        page.ui.classifyOverlayButton.click()
        assert shown[-1] is overlay
        return shown

    def test_it_goes_with_its_volume(self, page, layers):
        """Else it would lie over the views with no button to take it away."""
        page.parameters.classifyVolume = page.node
        assert not page.ui.classifyOverlayButton.checked
        assert layers[-1] is None

    def test_that_of_the_volume_that_is_chosen_is_shown(self, page, model, layers):
        other = volume_to_node(page.scene, make_volume(lesion=(9, 20, 20)), "Other")
        [overlay] = page.logic.classify(other, model, explain=True).overlay_nodes
        page.parameters.classifyVolume = other
        assert page.ui.classifyOverlayButton.checked
        assert layers[-1] is overlay


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """Three targets, each of which looks at something else."""
    folder = tmp_path_factory.mktemp("models") / "levels"
    outputs = {0: (BRIGHT, 1), 2: (GREY, 1), 4: (BRIGHT, -1), 5: (BRIGHT, 1)}
    write_classifier(folder, (FINDING, REGION, SIGNS), recipe=volume_recipe((18, 48, 48)), looks_for_levels=outputs)
    return folder


def with_lesions(*lesions):
    """Soft tissue with (place, value) lesions."""
    volume = make_volume(lesion=None)
    voxels = volume.voxels.copy()
    for (k, j, i), value in lesions:
        voxels[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3] = value
    return volume.with_voxels(voxels)


def shown_overlay(page):
    """What is in front in the slice views."""
    return page.scene.GetNodeByID(page.composite.GetForegroundVolumeID() or "")


AT = {"finding: abnormal": (5, 20, 18), "region: chest": (12, 48, 38), "signs: effusion": (5, 20, 18)}


class TestSeveralTargets:
    @pytest.fixture
    def lesions(self, page, levels):
        volume = with_lesions(((5, 20, 18), BRIGHT_HU), ((12, 48, 38), GREY_HU))
        page.lesions = volume_to_node(page.scene, volume, "Lesions")
        page.composite = page.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        page.parameters.classifyVolume = page.lesions
        page.parameters.classifyModel = str(levels)
        return page

    def test_every_target_has_an_overlay_that_can_be_chosen(self, lesions):
        page = lesions
        before = page.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        assert page.ui.classifyOverlaySelector.qobject.isHidden()
        page.ui.classifyButton.click()
        finish(page, 120.0)
        overlays = page.logic.classification(page.lesions).overlay_nodes
        selector = page.ui.classifyOverlaySelector
        assert not selector.qobject.isHidden()
        assert [selector.qobject.itemText(n) for n in range(selector.qobject.count())] == list(AT)
        assert [node.GetName() for node in overlays] == [f"Lesions explanation {name}" for name in AT]
        for node, (name, place) in zip(overlays, AT.items(), strict=True):
            peak = np.unravel_index(image_array(node.GetImageData()).argmax(), (18, 72, 60))
            assert np.abs(np.subtract(peak, place)).max() <= 6, name
            assert (
                f"What speaks for {name.split(': ')[1]} ({name.split(': ')[0]}), by grad-cam" in node.GetDescription()
            )
        assert shown_overlay(page) is overlays[0], "the first target's"
        selector.currentIndex = 1
        assert shown_overlay(page) is overlays[1]
        page.ui.classifyOverlayButton.click()
        assert shown_overlay(page) is None
        selector.currentIndex = 2
        assert shown_overlay(page) is None, "chosen, and shown by the button"
        page.ui.classifyOverlayButton.click()
        assert shown_overlay(page) is overlays[2]
        page.ui.classifyUndoButton.click()
        assert page.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before
        assert selector.qobject.isHidden()
        assert not page.ui.classifyOverlayButton.checked

    def test_the_console_chooses_target_and_class(self, lesions, levels):
        page = lesions
        made = page.logic.classify(page.lesions, levels, explain=["signs:effusion", "region:chest"])
        assert [node.GetName() for node in made.overlay_nodes] == [
            "Lesions explanation signs: effusion",
            "Lesions explanation region: chest",
        ]
        first = image_array(made.overlay_nodes[1].GetImageData()).copy()
        description = made.overlay_nodes[1].GetDescription()
        again = page.logic.classify(page.lesions, levels, explain="region:chest")
        assert again.overlay_nodes == made.overlay_nodes[1:], "written over, and no other"
        assert len(page.logic.classification(page.lesions).overlay_nodes) == 2
        page.logic.undo()
        assert np.array_equal(image_array(made.overlay_nodes[1].GetImageData()), first)
        assert made.overlay_nodes[1].GetDescription() == description
        assert len(page.logic.classification(page.lesions).overlay_nodes) == 2
        with pytest.raises(UsageError, match="no class 'signs:hair'"):
            page.logic.classify(page.lesions, levels, explain="signs:hair")

    def test_undo_gives_the_overlay_its_model_back(self, lesions, levels, tmp_path):
        page = lesions
        [overlay] = page.logic.classify(page.lesions, levels, explain=True).overlay_nodes
        mark = overlay.GetAttribute("DicomAnalysis.Classifier")
        write_classifier(tmp_path / "other", recipe=volume_recipe((12, 32, 32)), looks_for_bright=True, name="other")
        [same] = page.logic.classify(page.lesions, tmp_path / "other", explain=True).overlay_nodes
        assert same is overlay
        assert overlay.GetAttribute("DicomAnalysis.Classifier").startswith("other|")
        page.logic.undo()
        assert overlay.GetAttribute("DicomAnalysis.Classifier") == mark


class TestLogic:
    def test_a_row_for_every_series(self, page, model):
        """A second run on a series takes its row's place, and undo gives the first one back."""
        made = page.logic.classify(page.chest, model, explain=True)
        first = rows(made.table_node)
        other = volume_to_node(
            page.scene, replace(make_volume(lesion=None), identity=replace(IDENTITY, series_uid="1.2.99")), "Other"
        )
        page.logic.classify(other, model)
        again = page.logic.classify(page.chest, model, explain=True)
        assert again.table_node is made.table_node
        assert again.overlay_nodes == made.overlay_nodes, "one overlay a volume"
        assert [row["Series"] for row in rows(made.table_node)] == ["Other", "Chest"]
        page.logic.undo()
        assert [row["Series"] for row in rows(made.table_node)] == ["Chest", "Other"]
        assert rows(made.table_node)[0] == first[0]
        assert len(made.overlay_nodes) == 1
        assert page.scene.GetNodeByID(made.overlay_nodes[0].GetID()) is not None

    def test_a_tilted_and_transformed_volume(self, page, model):
        """The overlay follows its volume, whatever is above it."""
        import slicer
        import vtk

        node = volume_to_node(page.scene, make_volume(lesion=(6, 40, 30), tilt=14.0), "Tilted")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 25.0)
        matrix.SetElement(1, 1, -1.0)
        transform = page.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(matrix)
        node.SetAndObserveTransformNodeID(transform.GetID())
        [overlay] = page.logic.classify(node, model, explain=True).overlay_nodes
        assert overlay.GetTransformNodeID() == transform.GetID()
        assert isinstance(overlay, slicer.vtkMRMLScalarVolumeNode)
        peak = np.unravel_index(image_array(overlay.GetImageData()).argmax(), (18, 72, 60))
        assert np.abs(np.subtract(peak, (6, 40, 30))).max() <= 6

    def test_several_views(self, page, tmp_path):
        recipe = recipe_named("picture").changed("plane", shape=(32, 32))
        write_classifier(tmp_path / "views", (REGION,), "multiview/shared", recipe, ("front", "side"))
        side = volume_to_node(page.scene, make_volume(lesion=None, shape=(4, 50, 50)), "Side")
        made = page.logic.classify({"front": page.chest, "side": side}, tmp_path / "views", explain=True)
        assert len(made.overlay_nodes) == 2
        assert set(made.result.views) == {"front", "side"}
        page.logic.undo()
        assert not page.logic.classification(side).overlay_nodes
        with pytest.raises(UsageError, match="looks at 2 views"):
            page.logic.classify(page.chest, tmp_path / "views")
        page.parameters.classifyModel = str(tmp_path / "views")
        assert "2 views" in page.ui.classifyButton.toolTip
        assert "Views: front, side." in page.ui.classifyModelText.text

    def test_which_model(self, page):
        with pytest.raises(UsageError, match="Say which model"):
            page.logic.classify(page.chest)
        with pytest.raises(UsageError, match="does not classify"):
            page.logic.classifierInformation("headrest")


class TestBatch:
    def test_checked_series(self, page, database, tmp_path):
        """Files, a table in the scene, and a series that fails and stops nothing."""
        page.page.shared.checked = lambda: tuple(database.files)
        page.panel.pages.update()
        assert "output folder" in page.ui.classifyBatchButton.toolTip
        page.parameters.classifyOutput = str(tmp_path / "results")
        page.panel.pages.update()
        assert page.ui.classifyCheckedLabel.text.startswith("3 series are checked")
        page.ui.classifyBatchButton.click()
        finish(page, 120.0)
        assert page.ui.classifyBatchLabel.text == "3 of 3 series: 2 done, 1 failed."
        assert "1 series could not be classified" in page.ui.messageLabel.text
        assert any("1.2.3.2 failed" in line for line in page.panel.log.lines)
        table = page.logic.classification(None).table_node
        assert [row["Series Instance UID"] for row in rows(table)] == ["1.2.3.0", "1.2.3.1"]
        assert (tmp_path / "results" / "1.2.3.1" / "explanation.nrrd").is_file()
        with (tmp_path / "results" / "classification.csv").open(encoding="utf-8") as file:
            assert [row["case_id"] for row in csv.DictReader(file)] == ["1.2.3.0", "1.2.3.1"]
        page.ui.classifyOpenButton.click()
        import qt

        assert qt.QDesktopServices.opened == [str(tmp_path / "results")]
        page.scene.Clear(False)
        assert not page.ui.classifyBatchLabel.text, "it was about a batch of the choices that are gone"

    def test_what_is_done_is_kept(self, page, database, tmp_path):
        """A second click, after a cancel or with more series, does only the rest."""
        checked = list(database.files)
        page.page.shared.checked = lambda: tuple(checked[:1])
        page.parameters.classifyOutput = str(tmp_path / "results")
        page.panel.pages.update()
        page.ui.classifyBatchButton.click()
        finish(page, 120.0)
        written = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / checked[0]).iterdir()}
        page.page.shared.checked = lambda: tuple(checked[:2])
        page.panel.pages.update()
        page.ui.classifyBatchButton.click()
        finish(page, 120.0)
        assert page.ui.classifyBatchLabel.text == "2 of 2 series: 2 done, 0 failed. Done earlier: 1."
        assert {path: path.stat().st_mtime_ns for path in written} == written
        table = page.logic.classification(None).table_node
        assert sorted(row["Series Instance UID"] for row in rows(table)) == sorted(checked[:2])


class TestChoices:
    def test_what_is_missing_is_said(self, page, tmp_path):
        page.parameters.classifyModel = ""
        assert "Choose a model" in page.ui.classifyButton.toolTip
        page.parameters.classifyModel = str(tmp_path)
        assert "There is no model" in page.ui.classifyModelText.text
        assert not page.ui.classifyButton.enabled
        page.parameters.classifyVolume = None
        assert "No volume is chosen" in page.ui.classifyButton.toolTip
        for button in ("classifyOverlayButton", "classifyTableButton", "classifyUndoButton", "classifyBatchButton"):
            assert not getattr(page.ui, button).enabled
            assert getattr(page.ui, button).toolTip

    def test_browse(self, page, tmp_path, monkeypatch):
        import qt

        monkeypatch.setattr(qt.QFileDialog, "chosen", str(tmp_path))
        page.ui.classifyModelButton.click()
        page.ui.classifyOutputButton.click()
        assert page.ui.classifyModelLineEdit.text == page.ui.classifyOutputLineEdit.text == str(tmp_path)

    def test_a_closed_scene(self, page, model):
        page.logic.classify(page.chest, model)
        page.panel.pages.update()
        assert page.ui.classifyTable.rowCount == 1
        page.scene.Clear(False)
        assert page.ui.classifyTable.rowCount == 0
        assert not page.ui.classifyStatusLabel.text

    def test_the_page_opens_without_torch_and_asks_for_it(self, page, monkeypatch):
        from DicomAnalysisLib.dependencies import installing
        from DicomAnalysisLib.dependencies.features import FEATURES

        packages = FEATURES["network"].packages
        monkeypatch.setattr("DicomAnalysisLib.dependencies.missing", lambda _feature: packages)
        monkeypatch.setattr(installing, "missing", lambda *_arguments: packages)
        asked = []
        monkeypatch.setattr("slicer.util.confirmOkCancelDisplay", lambda text, _title: asked.append(text))
        for name in ("torch", "monai", "safetensors"):
            monkeypatch.setitem(sys.modules, name, None)
        page.page.shown()
        assert "Tells finding" in page.ui.classifyModelText.text, "a model's card needs no torch"
        page.ui.classifyButton.click()
        assert len(asked) == 1
        assert "torch" in asked[0]
        assert not page.tasks.title


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Twelve patients, every second with a bright lesion, and their labels."""
    folder = tmp_path_factory.mktemp("labelled")
    lines = ["patient_id,finding,scanner"]
    for number in range(12):
        sick = number % 2
        volume = make_volume(lesion=(3, 24 + number, 20) if sick else None, shape=(6, 56, 44), value=10 * number)
        identity = replace(IDENTITY, series_uid=f"1.3.{number}", study_uid=f"1.4.{number}", patient_id=f"Q{number}")
        write_dicom_series(replace(volume, identity=identity), folder / "images" / str(number))
        lines.append(f"Q{number},{'abnormal' if sick else 'normal'},A")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def training(page, labelled, tmp_path):
    """The section *Train a classifier* with its choices made."""
    from DicomAnalysisPanels.parameters import ClassifierNetwork, TrainSource

    page.ui.classifierCollapsibleButton.collapsed = False
    page.parameters.classifierSource = TrainSource.FOLDER
    page.parameters.classifierFolder = str(labelled / "images")
    page.parameters.classifierLabels = str(labelled / "labels.csv")
    page.parameters.classifierNetwork = ClassifierNetwork.SMALL_2D
    page.parameters.classifierEpochs = 2
    page.output = tmp_path / "trained"
    page.parameters.classifierOutput = str(page.output)
    return page


class TestTraining:
    def test_from_labels_to_a_model_in_use(self, training):
        """The whole way, with a child process: curves while it learns, a report, and the model chosen above."""
        page = training
        assert page.ui.classifierColumnSelector.currentText == "finding"
        assert page.ui.classifierTrainButton.enabled, page.ui.classifierTrainButton.toolTip
        page.ui.classifierTrainButton.click()
        seen = []

        def look():
            seen.append(page.ui.classifierStatusLabel.text)
            return not page.tasks.title

        until(page.app, look, 200.0)
        assert not page.tasks.message
        assert any(text.startswith("Epoch 1: loss") for text in seen), "live, not at the end"
        assert "Trained on 12 cases of 12 patients" in page.ui.classifierStatusLabel.text
        lines = {node.GetName(): node for node in nodes(page.scene, "vtkMRMLPlotSeriesNode")}
        assert set(lines) == {"Training loss", "Validation loss", "Mean AUROC"}
        page.ui.classifierCurvesButton.click()
        [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
        assert page.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == chart.GetID()
        page.ui.classifierCurvesButton.click()
        page.ui.classifierReportButton.click()
        import qt

        assert qt.QDesktopServices.opened == [str(page.output / "report.html")]
        page.ui.classifierUseButton.click()
        assert page.parameters.classifyModel == str(page.output)
        assert "Tells finding: " in page.ui.classifyModelText.text
        made = page.logic.classify(page.chest, page.parameters.classifyModel)
        assert made.result.model.name == "finding"
        page.ui.classifierTrainButton.click()
        finish(page, 30.0)
        assert "holds a training already" in page.ui.messageLabel.text

    def test_what_was_never_begun_can_be_begun_otherwise(self, training, labelled, tmp_path):
        """Labels of other patients are a mistake to be mended, not the end of the output folder."""
        page = training
        wrong = tmp_path / "wrong.csv"
        wrong.write_text((labelled / "labels.csv").read_text(encoding="utf-8").replace("Q", "Z"), encoding="utf-8")
        page.parameters.classifierLabels = str(wrong)
        page.ui.classifierTrainButton.click()
        finish(page, 100.0)
        assert page.tasks.message
        page.parameters.classifierLabels = str(labelled / "labels.csv")
        page.ui.classifierTrainButton.click()
        assert page.tasks.title == "Train a classifier", page.tasks.message
        page.ui.cancelButton.click()
        finish(page, 20.0)

    def test_a_folder_of_something_else_is_left_as_it_is(self, training):
        page = training
        page.output.mkdir()
        (page.output / "thesis.txt").write_text("years of work", encoding="utf-8")
        page.ui.classifierTrainButton.click()
        finish(page, 20.0)
        assert "holds files that are not of a training (thesis.txt)" in page.tasks.message
        assert [path.name for path in page.output.iterdir()] == ["thesis.txt"]
        assert not page.ui.classifierResumeButton.enabled

    def test_a_model_that_was_chosen_before_it_was_there(self, training, model, monkeypatch):
        """The section above knows it once it is trained."""
        page = training
        page.parameters.classifyModel = str(page.output)
        assert "There is no model" in page.ui.classifyButton.toolTip
        job = ScriptedJob()
        monkeypatch.setattr(page.logic, "trainClassifier", job)
        page.ui.classifierTrainButton.click()
        shutil.copytree(model, page.output / "model")
        job.cancel()
        page.ui.classifierUseButton.click()
        assert page.ui.classifyButton.enabled, page.ui.classifyButton.toolTip

    def test_curves_of_a_closed_scene(self, training, monkeypatch):
        page, job = training, ScriptedJob()
        monkeypatch.setattr(page.logic, "trainClassifier", job)
        page.ui.classifierTrainButton.click()
        job.on_epoch(1, 0.7)
        layout = page.app.layoutManager().layout
        page.ui.classifierCurvesButton.click()
        assert page.app.layoutManager().layout != layout
        page.scene.Clear(False)
        assert not page.ui.classifierCurvesButton.checked
        assert page.app.layoutManager().layout == layout
        job.cancel()

    def test_what_is_missing_is_said(self, training, tmp_path):
        from DicomAnalysisPanels.parameters import TrainSource

        page = training
        page.parameters.classifierOutput = ""
        assert "Choose an output folder" in page.ui.classifierTrainButton.toolTip
        page.parameters.classifierLabels = str(tmp_path / "none.csv")
        assert "none.csv" in page.ui.classifierTrainButton.toolTip
        page.parameters.classifierLabels = ""
        assert "Choose a table of labels" in page.ui.classifierTrainButton.toolTip
        page.parameters.classifierSource = TrainSource.CHECKED
        assert "Check series" in page.ui.classifierTrainButton.toolTip
        for button in ("classifierResumeButton", "classifierCurvesButton", "classifierReportButton"):
            assert not getattr(page.ui, button).enabled

    def test_labels_of_a_table_in_the_scene(self, training):
        import vtk

        page = training
        node = page.scene.AddNewNodeByClass("vtkMRMLTableNode", "Labels")
        for title, values in (("SeriesInstanceUID", ("1.3.0", "1.3.1")), ("grade", ("low", "high"))):
            array = vtk.vtkStringArray()
            array.SetName(title)
            for value in values:
                array.InsertNextValue(value)
            node.AddColumn(array)
        page.parameters.classifierTable = node
        assert page.ui.classifierColumnSelector.currentText == "grade"
        assert not page.ui.classifierLabelsLineEdit.enabled

    def test_numbers_of_a_table_in_the_scene_keep_their_digits(self, training):
        """Patients 12345678 and 12345679 are two, though VTK writes 1.23457e+07 for either."""
        from DicomAnalysisPanels.train_classifier_logic import _table

        node = training.scene.AddNewNodeByClass("vtkMRMLTableNode", "Labels")
        fill_columns(node, {"PatientID": [12345678.0, 12345679.0], "grade": ["low", "high"]})
        assert _table(node) == {"header": ("PatientID", "grade"), "rows": (("12345678", "low"), ("12345679", "high"))}

    def test_checked_series_of_the_database(self, training, labelled, monkeypatch):
        """The child is given the files of the checked series, and no others of the database."""
        import slicer
        from DicomAnalysisLib.classification.training_request import read_request
        from DicomAnalysisPanels.parameters import TrainSource

        page = training
        files = {f"1.3.{n}": [str(p) for p in sorted((labelled / "images" / str(n)).iterdir())] for n in range(12)}
        monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(databaseFilename="", filesForSeries=files.get))
        page.page.shared.checked = lambda: ("1.3.0", "1.3.1", "1.3.2")
        page.parameters.classifierSource = TrainSource.CHECKED
        page.panel.pages.update()
        page.ui.classifierTrainButton.click()
        page.ui.cancelButton.click()
        finish(page, 20.0)
        request = read_request(page.output)
        assert request.files == tuple(path for n in range(3) for path in files[f"1.3.{n}"])
        assert request.columns == ("finding",)
        assert page.ui.classifierResumeButton.enabled
