"""The page *Train* on stand-ins for Qt and the application, on real MRML, with real child processes."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")
pytest.importorskip("torch", reason="training needs the extra 'network'")
pytest.importorskip("monai", reason="training needs the extra 'network'")

from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.networks.model_folder import load_model
from panel_cases import ScriptedJob, finish, nodes, open_panel, run_application, until
from training_cases import TINY, tiny_worker, write_cohort

slicer_app = pytest.fixture(run_application)
opened = pytest.fixture(open_panel)

TRAIN_PAGE = 2


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return folder, write_cohort(folder)


@pytest.fixture
def page(opened, cohort, tmp_path, monkeypatch):
    """The page with a folder chosen."""
    from DicomAnalysisPanels.parameters import TrainSize, TrainSource

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the child: threads would wait for each other
    opened.ui.pageTabs.currentIndex = TRAIN_PAGE
    opened.parameters.trainSource = TrainSource.FOLDER
    opened.parameters.trainSize = TrainSize.SMALL
    opened.parameters.trainFolder = str(cohort[0])
    opened.output = tmp_path / "model"
    opened.parameters.trainOutput = str(opened.output)
    return opened


@pytest.fixture(scope="module")
def training(cohort, tmp_path_factory):
    """A folder with a training of one epoch."""
    from DicomAnalysisLib.segmentation.training import run
    from DicomAnalysisLib.segmentation.training.options import SIZES_OF_TRAINING, TrainingOptions

    output = tmp_path_factory.mktemp("training") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES_OF_TRAINING, "small", TINY)
        run.train_segmentation(cohort[0], "headrest", TrainingOptions(size="small", epochs=1), output)
    return output


@pytest.fixture
def trained(page, training):
    """The page with that folder as its output folder."""
    shutil.copytree(training, page.output)
    page.parameters.trainOutput = ""
    page.parameters.trainOutput = str(page.output)
    return page


def write_epochs(folder, *scores):
    """An output folder as a training leaves it that was ended after some epochs."""
    from DicomAnalysisLib.networks.fit_options import EpochRecord
    from DicomAnalysisLib.networks.history import write_history
    from DicomAnalysisLib.segmentation.training.options import TrainingOptions
    from DicomAnalysisLib.segmentation.training.request import TrainingRequest

    records = [EpochRecord(n + 1, 0.9, 1.0, score, (score,), 1e-3, 1.0, n == 0) for n, score in enumerate(scores)]
    write_history(folder, records, ["Headrest"])
    TrainingRequest("", (), None, "headrest", TrainingOptions()).save(folder)
    return str(folder)


def result_of(folder):
    """What a training gives that has put its model there."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "manifest.json").write_text("{}", encoding="utf-8")
    patients = {"training": 2, "validation": 1, "test": 0}
    values = {"series": 3, "patients": patients, "stopped": "epochs", "best_epoch": 1, "best_score": 0.7}
    return {**values, "left_out": [], "warnings": []}


class TestTraining:
    def test_from_the_page_to_a_model_in_use(self, page):
        """The whole way, with a child process: two epochs, curves, pictures, and the page Segment with the model."""
        start = time.monotonic()
        page.parameters.trainEpochs = 2
        assert page.ui.trainButton.enabled, page.ui.trainButton.toolTip
        page.ui.trainButton.click()
        assert "Wait until this task has ended" in page.ui.trainButton.toolTip
        seen = []

        def look():
            seen.append((page.ui.stageLabel.text, page.ui.remainingLabel.text, page.ui.trainStatusLabel.text))
            return not page.tasks.title

        until(page.app, look, 280.0)
        took = time.monotonic() - start
        assert not page.tasks.message
        assert took < 300, "the whole way in under five minutes"
        print(f"the whole way took {took:.0f} s")  # for whoever looks with -s
        assert any("training" in stage and "epoch 1" in stage for stage, _left, _status in seen)
        assert any("left" in left for _stage, left, _status in seen)
        assert any(status.startswith("Epoch 1: loss") for _stage, _left, status in seen), "live, not at the end"
        text = page.ui.trainStatusLabel.text
        assert "Trained on 3 series of 3 patients; all epochs are done." in text
        assert "Please look: No patient was kept for a test" in text

        [chart] = nodes(page.scene, "vtkMRMLPlotChartNode")
        lines = {node.GetName(): node for node in nodes(page.scene, "vtkMRMLPlotSeriesNode")}
        assert set(lines) == {"Training loss", "Validation loss", "Mean Dice"}
        table = lines["Mean Dice"].GetTableNode()
        assert [table.GetCellText(row, 0) for row in range(table.GetNumberOfRows())] == ["1", "2"]
        assert not page.ui.trainStripLabel.qobject.pixmap().isNull()
        page.ui.trainCurvesButton.click()
        assert page.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == chart.GetID()
        page.ui.trainCurvesButton.click()

        model = load_model(page.output / "model")
        assert model.description.task == "headrest"
        assert (page.output / "training.gif").is_file()
        assert (page.output / "curves.png").is_file()
        page.ui.useModelButton.click()
        assert page.parameters.ownNetwork == str(page.output / "model")
        assert page.ui.methodSelector.currentText == "Neural network"
        made = page.logic.segment(page.node, ["headrest"], method="network", models=[page.parameters.ownNetwork])
        assert made.result.method == "network"

    def test_cancel_keeps_what_resume_goes_on_with(self, page, tmp_path, monkeypatch):
        from DicomAnalysisLib import jobs

        tiny = functools.partial(jobs.JobProcess, python=tiny_worker(tmp_path))
        monkeypatch.setattr(jobs, "JobProcess", tiny, raising=False)
        page.parameters.trainEpochs = 2
        page.ui.trainButton.click()
        until(page.app, lambda: page.ui.trainStatusLabel.text.startswith("Epoch 1"), 240.0)
        page.ui.cancelButton.click()
        finish(page, 10.0)
        assert page.ui.messageLabel.text.endswith("Cancelled.")
        assert (page.output / "checkpoint.pt").is_file()
        assert not page.ui.useModelButton.enabled
        assert page.ui.trainResumeButton.enabled
        page.parameters.trainFolder = ""  # resumed as it was begun, whatever is chosen now
        page.parameters.trainEpochs = 7
        page.ui.trainResumeButton.click()
        finish(page, 200.0)
        assert not page.tasks.message
        assert "Best epoch" in page.ui.trainStatusLabel.text
        [table] = [n for n in nodes(page.scene, "vtkMRMLTableNode") if n.GetAttribute("DicomAnalysis.Training")]
        assert table.GetNumberOfRows() == 2
        assert page.ui.useModelButton.enabled


class TestChoices:
    def test_what_is_missing_is_said(self, page):
        from DicomAnalysisPanels.parameters import TrainSource

        page.parameters.trainOutput = ""
        assert "Choose an output folder" in page.ui.trainButton.toolTip
        page.parameters.trainFolder = "/nowhere"
        assert "Choose a folder with DICOM files" in page.ui.trainButton.toolTip
        page.parameters.trainSource = TrainSource.CHECKED
        assert "at least two patients" in page.ui.trainButton.toolTip
        assert page.ui.trainSeriesLabel.text.startswith("0 series are checked")
        assert not page.ui.trainFolderLineEdit.enabled
        for button in (page.ui.trainCurvesButton, page.ui.useModelButton, page.ui.trainOpenButton):
            assert not button.enabled
            assert button.toolTip

    def test_browse(self, page, tmp_path, monkeypatch):
        import qt
        from DicomAnalysisPanels.parameters import TrainSource

        page.parameters.trainSource = TrainSource.CHECKED
        monkeypatch.setattr(qt.QFileDialog, "chosen", str(tmp_path))
        page.ui.trainFolderButton.qobject.setEnabled(True)
        page.ui.trainFolderButton.click()
        page.ui.trainOutputButton.click()
        assert page.parameters.trainSource is TrainSource.FOLDER
        assert page.ui.trainFolderLineEdit.text == page.ui.trainOutputLineEdit.text == str(tmp_path)

    def test_checked_series_of_the_database(self, page, cohort, monkeypatch):
        """The child is given the chosen series, and the database to read them from."""
        import slicer
        from DicomAnalysisLib.segmentation.training.request import read_request
        from DicomAnalysisPanels.parameters import TrainSource

        paths = {uid: [str(p) for p in sorted((cohort[0] / str(n)).iterdir())] for n, uid in enumerate(cohort[1])}
        database = SimpleNamespace(databaseFilename=":memory:", filesForSeries=paths.__getitem__)
        monkeypatch.setattr(slicer, "dicomDatabase", database)
        page.panel.pages.panels[TRAIN_PAGE].shared.checked = lambda: tuple(cohort[1][:2])
        page.parameters.trainSource = TrainSource.CHECKED
        page.panel.pages.update()
        assert page.ui.trainSeriesLabel.text.startswith("2 series are checked")
        page.ui.trainButton.click()
        page.ui.cancelButton.click()
        finish(page, 10.0)
        request = read_request(page.output)
        assert request.series_uids == tuple(cohort[1][:2])
        assert len(request.files) == sum(len(paths[uid]) for uid in cohort[1][:2])

    def test_a_refusal_is_told(self, trained):
        page = trained
        page.ui.trainButton.click()
        finish(page, 10.0)
        assert "holds another training" in page.ui.messageLabel.text

    def test_own_segmentations_that_are_not_there(self, page):
        from DicomAnalysisPanels.parameters import TrainLabels

        page.parameters.trainLabels = TrainLabels.OWN
        page.ui.trainButton.click()
        finish(page, 10.0)
        assert "no segmentation in the scene with a segment Headrest" in page.ui.messageLabel.text
        with pytest.raises(UsageError, match="Unknown labels"):
            page.logic.trainSegmentation(page.parameters.trainFolder, page.output, labels="none")

    def test_only_the_whole_path_of_an_output_folder_will_do(self, page, tmp_path, monkeypatch):
        """Else the model would lie wherever Slicer was started."""
        monkeypatch.chdir(tmp_path)
        page.parameters.trainOutput = "model"
        assert "Give the whole path" in page.ui.trainButton.toolTip
        assert not page.ui.trainButton.enabled
        assert not page.ui.trainResumeButton.enabled

    def test_a_folder_that_cannot_be_looked_into_is_said(self, page):
        """And the pages after this one are up to date."""
        page.parameters.trainOutput = page.parameters.classifyModel = page.parameters.outputFolder = f"/{'x' * 300}"
        page.parameters.cohortOutput = page.parameters.classifierOutput = page.parameters.trainOutput
        page.parameters.trainFolder = page.parameters.cohortLabels = page.parameters.trainOutput
        page.panel.pages.update()
        assert "Choose a folder with DICOM files" in page.ui.trainButton.toolTip
        assert "cannot be used: File name too long" in page.ui.trainResumeButton.toolTip
        assert "cannot be used: File name too long" in page.ui.cohortResumeButton.toolTip
        assert "File name too long" in page.ui.classifyModelText.text

    def test_who_wants_no_packages_keeps_what_is_shown(self, page, tmp_path, monkeypatch):
        from DicomAnalysisLib.dependencies import installing
        from DicomAnalysisLib.dependencies.features import FEATURES

        page.parameters.trainOutput = write_epochs(tmp_path / "learned", 0.7)
        packages = FEATURES["network"].packages
        monkeypatch.setattr("DicomAnalysisLib.dependencies.missing", lambda _feature: packages)
        monkeypatch.setattr(installing, "missing", lambda *_arguments: packages)
        monkeypatch.setattr("slicer.util.confirmOkCancelDisplay", lambda *_texts: False)
        page.ui.trainButton.click()
        assert page.ui.trainCurvesButton.enabled
        assert page.ui.trainStatusLabel.text.startswith("Epoch 1")


class TestOwnSegmentations:
    def test_segments_of_the_scene_become_labels(self, page, cohort, tmp_path):
        """What a user corrected is what is learned from, voxel by voxel."""
        from DicomAnalysisLib.mrml import load_files, segmentation_node_to_masks, write_own_labels
        from DicomAnalysisLib.segmentation.training.examples import collect_examples

        volume_node = load_files(page.scene, sorted((cohort[0] / "1").iterdir()))[0]
        made = page.logic.segment(volume_node, ["headrest"])
        assert write_own_labels(page.scene, tmp_path / "own", "Headrest") == [cohort[1][1]]
        assert write_own_labels(page.scene, tmp_path / "none", "Headrest", [cohort[1][0]]) == []
        assert write_own_labels(page.scene, tmp_path / "none", "Metal") == []
        found = collect_examples(cohort[0], "headrest", "own", tmp_path / "own")
        [example] = found.examples
        assert example.series_uid == cohort[1][1]
        marked = segmentation_node_to_masks(made.segmentationNode, volume_node)["Headrest"]
        assert marked.any()
        assert abs(int((example.labels == 2).sum()) - int(marked.sum())) <= 0.05 * marked.sum()


class TestCurves:
    @pytest.fixture
    def learned(self, page, tmp_path):
        """The page with a folder whose curves are shown, and the layout there was before."""
        page.output = write_epochs(tmp_path / "learned", 0.7, 0.6)
        page.parameters.trainOutput = page.output
        page.layout = page.app.layoutManager().layout
        page.ui.trainCurvesButton.click()
        assert page.app.layoutManager().layout != page.layout
        return page

    def shown_epochs(self, page):
        chart = page.scene.GetNodeByID(page.app.applicationLogic().GetSelectionNode().GetActivePlotChartID())
        return chart.GetNthPlotSeriesNode(0).GetTableNode().GetNumberOfRows()

    def test_a_closed_scene_gives_the_views_their_places_back(self, learned):
        learned.scene.Clear(False)
        assert not learned.ui.trainCurvesButton.checked
        assert learned.app.layoutManager().layout == learned.layout

    def test_they_are_of_the_folder_that_is_chosen(self, learned, tmp_path):
        assert self.shown_epochs(learned) == 2
        learned.parameters.trainOutput = write_epochs(tmp_path / "other", 0.1, 0.2, 0.3)
        assert self.shown_epochs(learned) == 3
        learned.parameters.trainOutput = str(tmp_path / "nothing learned")
        assert not learned.ui.trainCurvesButton.enabled
        assert not learned.ui.trainCurvesButton.checked, "it could not be raised any more"
        assert learned.app.layoutManager().layout == learned.layout

    def test_a_training_goes_on_when_the_scene_is_closed(self, learned, monkeypatch):
        job = ScriptedJob()
        monkeypatch.setattr(learned.logic, "resumeTraining", job)
        learned.ui.trainResumeButton.click()
        learned.scene.Clear(False)
        job.on_epoch(3, 0.8)
        assert learned.ui.trainStatusLabel.text.startswith("Epoch 3")
        learned.ui.trainCurvesButton.click()
        assert self.shown_epochs(learned) == 3
        job.cancel()
        assert not learned.ui.trainCurvesButton.checked, "no folder is chosen in the new scene"


class TestWhatIsThere:
    def test_an_earlier_result_is_not_told_of_a_new_training(self, page, monkeypatch):
        """The user removed the folder, and trained into it anew."""
        job = ScriptedJob()
        monkeypatch.setattr(page.logic, "trainSegmentation", job)
        page.ui.trainButton.click()
        job.end(result_of(page.output))
        assert page.ui.trainStatusLabel.text.startswith("Trained on 3 series of 3 patients")
        shutil.rmtree(page.output)
        page.ui.trainButton.click()
        job.on_epoch(1, 0.4)
        write_epochs(page.output, 0.4)
        job.cancel()
        assert page.ui.trainStatusLabel.text.startswith("Epoch 1: loss 0.900")

    def test_a_model_that_finds_no_segments_is_not_used(self, page, tmp_path):
        from small_classifiers import write_classifier

        write_classifier(page.output / "model", looks_for_bright=True)
        page.panel.pages.update()
        page.ui.useModelButton.click()
        assert page.parameters.ownNetwork == ""
        assert "finds no segments" in page.ui.trainStatusLabel.text

    def test_an_earlier_training_is_shown(self, trained):
        import qt

        assert trained.ui.useModelButton.enabled
        trained.ui.trainOpenButton.click()
        assert qt.QDesktopServices.opened == [str(trained.output)]

    def test_a_model_takes_the_place_of_one_for_the_same_task(self, trained, training, tmp_path):
        trained.parameters.ownNetwork = f"{tmp_path / 'gone'}; {training / 'model'}"
        trained.ui.useModelButton.click()
        assert trained.parameters.ownNetwork.split(";") == [str(tmp_path / "gone"), str(trained.output / "model")]


def test_the_page_opens_without_torch_and_asks_for_it(page, monkeypatch):
    from DicomAnalysisLib.dependencies import installing
    from DicomAnalysisLib.dependencies.features import FEATURES

    packages = FEATURES["network"].packages
    monkeypatch.setattr("DicomAnalysisLib.dependencies.missing", lambda _feature: packages)
    monkeypatch.setattr(installing, "missing", lambda *_arguments: packages)
    asked = []
    monkeypatch.setattr("slicer.util.confirmOkCancelDisplay", lambda text, _title: asked.append(text))
    for name in ("torch", "monai", "safetensors"):
        monkeypatch.setitem(sys.modules, name, None)
    page.panel.pages.panels[TRAIN_PAGE].shown()
    page.ui.trainButton.click()
    assert len(asked) == 1
    assert "torch" in asked[0]
    assert not page.tasks.title
    assert not Path(page.output).exists()
