"""Training on a cohort of phantoms: command and job, from DICOM to a model with its score."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'network'")
pytest.importorskip("monai", reason="training needs the extra 'network'")

import torch
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.files.nrrd import write_segmentation
from DicomAnalysisLib.jobs import JobProcess, train_segmentation_job
from DicomAnalysisLib.networks.fit_options import TrainingError
from DicomAnalysisLib.networks.model_folder import load_model, read_manifest
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.segmentation.training import run as training
from DicomAnalysisLib.segmentation.training.evaluation import interval, score_patients
from DicomAnalysisLib.segmentation.training.options import SIZES_OF_TRAINING, TrainingOptions
from DicomAnalysisLib.segments import HEADREST
from training_cases import TINY, tiny_worker, write_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return folder, write_cohort(folder)


@pytest.fixture(autouse=True, scope="module")
def tiny():
    """The small size is tiny here, and one thread computes: threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES_OF_TRAINING, "small", TINY)
        yield
    torch.set_num_threads(before)


def command(source, output, *more):
    return main(
        ["train-segmentation", str(source), "--task", "headrest", "--output", str(output), "--size", "small", *more]
    )


@pytest.fixture(scope="module")
def trained(cohort, tiny, tmp_path_factory):
    """What the command writes and says, once."""
    output, said = tmp_path_factory.mktemp("trained") / "run", io.StringIO()
    with contextlib.redirect_stdout(said):
        code = command(cohort[0], output, "--epochs", "2", "--test-fraction", "0.3", "--json")
    assert code == 0
    return output, json.loads(said.getvalue())


class TestCommand:
    def test_writes_a_model_that_can_be_loaded(self, trained):
        output, document = trained
        model = load_model(output / "model")
        assert model.description.task == "headrest"
        assert document["model"] == str(output / "model")
        assert (document["epochs"], document["stopped"]) == (2, "epochs")
        names = {path.name for path in output.iterdir()}
        assert names == {
            *("model", "strips", "history.json", "history.csv", "curves.png", "training.gif", "checkpoint.pt"),
            *("split.json", "left-out.csv", "options.json", "test-score.json", ".lock"),
        }, "and no image stays there"

    def test_patients_are_apart(self, trained, cohort):
        split = json.loads((trained[0] / "split.json").read_text())
        sides = [set(split[side]) for side in ("training", "validation", "test")]
        assert [len(side) for side in sides] == [1, 1, 1]
        assert set.union(*sides) == {"P0", "P1", "P2"}
        assert split["series"] == sorted(cohort[1])
        assert trained[1]["patients"] == {"training": 1, "validation": 1, "test": 1}

    def test_the_score_stands_beside_its_baselines(self, trained):
        output, document = trained
        scores = {score["name"]: score for score in document["test_scores"]}
        assert set(scores) == {"patient", "support"}
        for score in scores.values():
            assert score["baselines"]["empty mask"] == 0
            assert score["baselines"]["classical"] > 0.8, "its labels are the classical method's"
            assert 0.5 < score["baselines"]["neighbouring slice"] < 1
            assert (score["low"], score["high"]) == (None, None), "there is one test patient"
        card = read_manifest(output / "model").card
        assert {score.name for score in card.scores} == {"Dice patient", "Dice support"}
        assert "neighbouring slice" in (output / "model" / "card.md").read_text()
        assert json.loads((output / "test-score.json").read_text())["scores"] == document["test_scores"]

    def test_what_is_left_out_is_listed(self, trained):
        rows = list(csv.reader((trained[0] / "left-out.csv").open()))
        assert rows[0] == ["series_uid", "slices", "reason"]
        assert len(rows) - 1 == len(trained[1]["left_out"])

    def test_doubts_are_told(self, trained):
        assert any("Patients to validate on: 1" in warning for warning in trained[1]["warnings"])
        assert any("first look" in warning for warning in trained[1]["warnings"])

    def test_a_folder_with_another_training_is_refused(self, trained, cohort, capsys):
        before = {path.name: path.stat().st_mtime_ns for path in trained[0].iterdir()}
        assert command(cohort[0], trained[0], "--epochs", "2") == 2
        assert "holds another training" in capsys.readouterr().err
        assert command(cohort[0], trained[0], "--epochs", "3", "--test-fraction", "0.3", "--resume") == 2
        assert "begun with another epochs" in capsys.readouterr().err
        assert {path.name: path.stat().st_mtime_ns for path in trained[0].iterdir()} == before

    def test_resume_of_what_is_done_gives_the_same(self, trained, cohort, capsys):
        weights = (trained[0] / "model" / "weights.safetensors").read_bytes()
        assert command(cohort[0], trained[0], "--epochs", "2", "--test-fraction", "0.3", "--resume", "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert document["test_scores"] == trained[1]["test_scores"]
        assert document["history"] == trained[1]["history"]
        assert (trained[0] / "model" / "weights.safetensors").read_bytes() == weights

    def test_same_seed_same_model(self, trained, cohort, tmp_path, capsys):
        assert command(cohort[0], tmp_path / "again", "--epochs", "2", "--test-fraction", "0.3") == 0
        said = capsys.readouterr()
        assert read_manifest(tmp_path / "again" / "model").sha256 == read_manifest(trained[0] / "model").sha256
        assert "3 series of 3 patients (1 training, 1 validation, 1 test)" in said.out
        assert "Dice on test patients" in said.out
        assert "epoch done: epoch 2 of 2" in said.err

    def test_other_series_cannot_go_on_with_it(self, trained, tmp_path, capsys):
        write_cohort(tmp_path / "more", 4)
        assert command(tmp_path / "more", trained[0], "--epochs", "2", "--test-fraction", "0.3", "--resume") == 1
        assert "not those that the training" in capsys.readouterr().err

    def test_two_trainings_do_not_write_to_one_folder(self, cohort, tmp_path, capsys):
        first = TrainingOptions(size="small", epochs=1)
        codes = []

        def start_another(progress):
            if not codes and progress.stage == "collecting examples" and progress.value > 0:
                codes.append(command(cohort[0], tmp_path / "run", "--epochs", "1", "--resume"))
                train_segmentation_job(cohort[0], "headrest", tmp_path / "run").clean(False)
                assert (tmp_path / "run" / ".work" / "examples").is_dir(), "the first one's examples are there"

        training.train_segmentation(cohort[0], "headrest", first, tmp_path / "run", start_another)
        assert codes == [2]
        assert "Another training is writing" in capsys.readouterr().err
        assert not (tmp_path / "run" / ".work").exists()

    def test_what_a_killed_training_left_is_removed(self, tmp_path):
        (tmp_path / ".work" / "examples").mkdir(parents=True)
        train_segmentation_job(tmp_path, "headrest", tmp_path).clean(True)
        assert not (tmp_path / ".work").exists()

    def test_a_file_in_place_of_the_folder(self, cohort, tmp_path, capsys):
        (tmp_path / "run").touch()
        assert command(cohort[0], tmp_path / "run") == 1
        assert "Choose an output folder" in capsys.readouterr().err

    def test_one_patient_is_too_few(self, cohort, tmp_path, capsys):
        assert command(cohort[0], tmp_path / "run", "--series", cohort[1][0]) == 2
        assert "too few" in capsys.readouterr().err
        assert command(cohort[0], tmp_path / "run", "--epochs", "1") == 0, "a refused start blocks no folder"

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (("--epochs", "0"), "epochs is 0"),
            (("--labels", "nowhere"), "no folder with labels nowhere"),
            (("--validation-fraction", "1"), "make no sense"),
            (("--test-patient", "P9"), "test patient P9"),
        ],
    )
    def test_usage(self, cohort, tmp_path, capsys, more, said):
        assert command(cohort[0], tmp_path / "run", *more) == 2
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("more", "said"),
        [(("--device", "mps"), "mps"), (("--tensorboard",), "tensorboard"), (("--validation-fraction", "1"), "Shares")],
    )
    def test_what_cannot_be_had_is_said_before_a_cohort_is_read(
        self, cohort, tmp_path, capsys, monkeypatch, more, said
    ):
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert command(cohort[0], tmp_path / "run", *more) == 2
        told = capsys.readouterr().err
        assert said in told
        assert "collecting" not in told
        assert not (tmp_path / "run").exists()

    def test_missing_packages_are_named(self, cohort, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        assert command(cohort[0], tmp_path / "run") == 1
        assert "torch" in capsys.readouterr().err


EPOCHS = 7
"""Of a training that is cancelled: enough that one is left however late it hears of it."""


class TestJob:
    def wait(self, process, seconds=240.0):
        end = time.monotonic() + seconds
        while not process.is_over:
            assert time.monotonic() < end
            process.poll()
            time.sleep(0.02)
        return process

    def test_epochs_are_told_a_cancelled_one_is_resumed(self, cohort, tmp_path):
        folder = tmp_path / "run"
        options = TrainingOptions(size="small", epochs=EPOCHS)
        python = tiny_worker(tmp_path)
        epochs, progress = [], []

        def start(resume, on_epoch=epochs.append):
            job = train_segmentation_job(cohort[0], "headrest", folder, options, resume=resume)
            process = JobProcess(job, on_epoch=on_epoch, on_progress=progress.append, python=python, temporary=tmp_path)
            process.start()
            return process

        first = start(False, lambda update: (epochs.append(update), first.cancel()))
        self.wait(first)
        assert first.state == "cancelled"
        assert 1 <= len(epochs) < EPOCHS, "it was stopped, though a short epoch may end before it hears of it"
        assert (folder / "checkpoint.pt").is_file()
        assert not (folder / ".work").exists(), "images do not stay there"
        second = self.wait(start(True))
        assert second.state == "done", second.failure
        assert [update.record["epoch"] for update in epochs] == list(range(1, EPOCHS + 1))
        assert all(update.strip.endswith(f"epoch-00{n}.png") for n, update in enumerate(epochs, 1))
        assert second.value["history"] == [dict(update.record) for update in epochs]
        assert load_model(second.value["model"]).description.task == "headrest"
        assert [one.value for one in progress][-1] == 1.0
        unbroken = training.train_segmentation(cohort[0], "headrest", options, tmp_path / "unbroken")
        assert read_manifest(unbroken.model).sha256 == read_manifest(folder / "model").sha256


class TestLabels:
    def test_the_users_own(self, cohort, tmp_path):
        """Segmentations that the program wrote itself stand for corrected ones."""
        assert main(["segment", str(cohort[0]), "--task", "headrest", "--output", str(tmp_path / "own")]) == 0
        (tmp_path / "own" / cohort[1][0] / "segmentation.seg.nrrd").unlink()
        (tmp_path / "own" / cohort[1][0] / "segmentation.dcm").unlink(missing_ok=True)
        own = TrainingOptions(labels=(str(tmp_path / "own"),), size="small", epochs=1)
        result = training.train_segmentation(cohort[0], "headrest", own, tmp_path / "run")
        assert result.series == 2
        [left] = [one for one in result.left_out if one.series_uid == cohort[1][0]]
        assert "no segmentation" in left.reason
        both = TrainingOptions(labels=("classical", str(tmp_path / "own")), size="small", epochs=1)
        assert training.train_segmentation(cohort[0], "headrest", both, tmp_path / "both").series == 3

    def test_corrected_labels_cannot_go_on_with_a_training_of_the_old_ones(self, cohort, tmp_path):
        assert main(["segment", str(cohort[0]), "--task", "headrest", "--output", str(tmp_path / "own")]) == 0
        own = TrainingOptions(labels=(str(tmp_path / "own"),), size="small", epochs=1)
        begun = training.train_segmentation(cohort[0], "headrest", own, tmp_path / "run")
        again = training.train_segmentation(cohort[0], "headrest", own, tmp_path / "run", resume=True)
        assert again.fit.history == begun.fit.history
        path = tmp_path / "own" / cohort[1][0] / "segmentation.seg.nrrd"
        volume = read_volume(cohort[0] / "0")
        mask = segment(volume, SegmentationOptions(tasks=("headrest",))).segment("Headrest").mask.copy()
        mask[:8] = False
        write_segmentation(path, [(HEADREST, mask)], volume.geometry.ijk_to_lps)
        with pytest.raises(TrainingError, match="series or their labels are not those"):
            training.train_segmentation(cohort[0], "headrest", own, tmp_path / "run", resume=True)

    def test_more_than_one_folder(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        with pytest.raises(UsageError, match="one folder"):
            TrainingOptions(labels=(str(tmp_path / "a"), str(tmp_path / "b")))


class TestScore:
    def test_patients_count_alike_and_baselines_are_what_they_say(self):
        random = np.random.default_rng(0)
        series = []
        for patient, slices in (("a", 3), ("a", 2), ("b", 20)):
            truths = [(random.random((8, 8)) < 0.3).astype(np.uint8) for _ in range(slices)]
            series.append((patient, [(truth[None].astype(np.float32), truth) for truth in truths]))

        def perfect_for_a(images):
            for image in images:
                yield (image[0] * (image.sum() > -1)).astype(np.uint8)

        everything = {"everything": lambda image: np.ones(image.shape[1:], np.uint8)}
        [score] = score_patients(series, perfect_for_a, ("background", "metal"), without=everything)
        assert 0 < score.baselines["everything"] < 1
        assert score.value == 1.0
        assert score.baselines["empty mask"] == 0.0
        assert (score.low, score.high) == (1.0, 1.0)
        expected = []
        for group in (series[:2], series[2:]):
            both = total = 0
            for _patient, slices in group:
                truths = [truth.astype(bool) for _image, truth in slices]
                neighbours = [truths[1], *truths[:-1]]
                both += sum((a & b).sum() for a, b in zip(truths, neighbours, strict=True))
                total += sum(a.sum() + b.sum() for a, b in zip(truths, neighbours, strict=True))
            expected.append(2 * both / total)
        assert score.baselines["neighbouring slice"] == pytest.approx(np.mean(expected))

    def test_interval_by_patients(self):
        values = [0.2, 0.9, 0.5, 0.7, 0.8]
        low, high = interval(values)
        assert 0.2 < low < np.mean(values) < high < 0.9
        assert interval(values) == (low, high)
        assert interval([0.5]) == (None, None)

    def test_a_class_that_nobody_has_and_nobody_was_given_has_no_score(self):
        empty = np.zeros((4, 4), np.uint8)
        images = [(empty[None].astype(np.float32), empty)]
        assert score_patients([("a", images)], lambda given: (empty for _ in given), ("background", "metal")) == ()
