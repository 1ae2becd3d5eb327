"""Training classifiers: the loop, a kill and its resumption, the output folder, cross-validation, command and job."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'network'")
pytest.importorskip("monai", reason="training needs the extra 'network'")

import torch
from blob_cases import FINDING, PLACES, SIDE, BlobCases
from DicomAnalysisLib.classification import fitting
from DicomAnalysisLib.classification.architectures import build_classifier
from DicomAnalysisLib.classification.augmentation import Augmentation
from DicomAnalysisLib.classification.cases import KeptCases, LeftOutCase, spread_order
from DicomAnalysisLib.classification.doubts import doubts
from DicomAnalysisLib.classification.evaluation.predictions import read_predictions
from DicomAnalysisLib.classification.evaluation.result import Evaluation, Flag
from DicomAnalysisLib.classification.fitting import epoch_value, fit_classifier
from DicomAnalysisLib.classification.heads import Heads
from DicomAnalysisLib.classification.images import read_image
from DicomAnalysisLib.classification.labels import CohortOptions, build_cohort
from DicomAnalysisLib.classification.learner import Learner
from DicomAnalysisLib.classification.options import ClassifierOptions
from DicomAnalysisLib.classification.prediction import load_classifier
from DicomAnalysisLib.classification.recipe import recipe_named
from DicomAnalysisLib.classification.scoring import with_evaluation
from DicomAnalysisLib.classification.split_training import fitted_temperatures
from DicomAnalysisLib.classification.splits import split_patients
from DicomAnalysisLib.classification.targets import LabelColumns
from DicomAnalysisLib.classification.training import train_classifier
from DicomAnalysisLib.classification.training_outputs import write_left_out
from DicomAnalysisLib.classification.views import ViewRule
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.errors import ModelError, SourceError, UsageError
from DicomAnalysisLib.jobs import JobProcess, train_classifier_job
from DicomAnalysisLib.networks.fit_options import TrainingCancelledError, TrainingError
from DicomAnalysisLib.networks.history import read_history
from DicomAnalysisLib.reporting.classification_report import write_report
from flat_images import write_flat

SHAPE = (1, 3, 24, 24)
OPTIONS = ClassifierOptions(network="slices/small2d", epochs=3, batch=8, device="cpu", learning_rate=3e-3)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Many tiny steps: threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kept(count, seed, network, heads, targets=(FINDING,), shape=SHAPE, **more):
    return KeptCases(BlobCases(count, seed, shape, targets, size=4), heads, network.reduce, **more)


def new_network(options=OPTIONS, targets=(FINDING,), views=1):
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        return build_classifier(options.description(Heads(targets).outputs, views))


def fit(folder, options=OPTIONS, targets=(FINDING,), counts=(24, 12), shape=SHAPE, **more):
    heads, network = Heads(targets), new_network(options, targets, shape[0])
    training, validation = (kept(count, seed, network, heads, targets, shape) for seed, count in enumerate(counts))
    return network, fit_classifier(network, training, validation, heads, options, folder, **more)


def weights(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    events = []
    network, result = fit(folder, report=events.append)
    return folder, network, result, events


class TestTheLoop:
    def test_learns_what_can_be_seen(self, tmp_path):
        _network, result = fit(tmp_path, replace(OPTIONS, epochs=8), counts=(48, 24))
        assert result.best_score >= 0.95
        assert result.history[-1].training_loss < 0.5 * result.history[0].training_loss

    def test_says_what_it_reached(self, unbroken):
        folder, network, result, events = unbroken
        assert (result.stopped, result.device, len(result.history)) == ("epochs", "cpu", 3)
        assert not network.training and read_history(folder) == result.history
        values = [epoch_value(one.score, one.validation_loss) for one in result.history]
        assert result.best_epoch == 1 + int(np.argmax(values))
        assert (folder / "curves.png").is_file()
        assert "mean_auroc" in (folder / "history.csv").read_text().splitlines()[0]
        shares = [event.value for event in events]
        assert shares == sorted(shares) and shares[-1] == 1
        assert [event.record.epoch for event in events if event.record] == [1, 2, 3]
        assert any(event.seconds_left is not None for event in events)

    def test_the_same_seed_gives_the_same_weights_and_another_others(self, unbroken, tmp_path):
        again, result = fit(tmp_path / "again")
        assert weights(again) == weights(unbroken[1])
        assert [one.score for one in result.history] == [one.score for one in unbroken[2].history]
        other, _result = fit(tmp_path / "other", replace(OPTIONS, seed=5))
        assert weights(other) != weights(unbroken[1])

    def test_normalisation_is_that_of_images_as_they_are(self):
        """Running averages of augmented images, or of weights that were others, do not reach validation."""
        heads, network = Heads((FINDING,)), new_network()
        cases = kept(24, 0, network, heads)
        learner = Learner(network, cases, heads, OPTIONS)
        layers = [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)]
        learner.settle()
        expected = [layer.running_var.clone() for layer in layers]
        loss, _logits = learner.validate(cases)
        for layer in layers:
            layer.running_mean += 100
            layer.running_var *= 1e4
        assert abs(learner.validate(cases)[0] - loss) > 1e-3
        learner.settle()
        assert learner.validate(cases)[0] == pytest.approx(loss, abs=1e-5)
        assert all(torch.allclose(layer.running_var, value) for layer, value in zip(layers, expected, strict=True))
        assert {layer.momentum for layer in layers} == {0.1}

    def test_a_killed_training_goes_on_to_the_same_weights(self, unbroken, tmp_path):
        code = (
            f"import sys; sys.path[:0] = {sys.path!r}\n"
            "import torch; torch.set_num_threads(1)\n"
            "import os, signal\n"
            "from test_classifier_training import fit\n"
            "from pathlib import Path\n"
            "def report(p):\n"
            "    if p.epoch == 3 and p.stage == 'training' and p.batch == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"fit(Path({str(tmp_path)!r}), report=report)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
        assert len(read_history(tmp_path)) == 2
        network, result = fit(tmp_path, resume=True)
        assert weights(network) == weights(unbroken[1])
        assert len(result.history) == 3

    def test_is_stopped_and_resumed(self, unbroken, tmp_path):
        asked = []

        def cancelled():
            asked.append(1)
            return len(asked) > 8

        with pytest.raises(TrainingCancelledError):
            fit(tmp_path, cancelled=cancelled)
        network, _result = fit(tmp_path, resume=True)
        assert weights(network) == weights(unbroken[1])

    def test_resumes_nothing_else(self, tmp_path, unbroken):
        with pytest.raises(TrainingError, match="no training to resume"):
            fit(tmp_path, resume=True)
        for options, words in ((replace(OPTIONS, batch=4), "another batch"), (OPTIONS, "set of cases")):
            counts = (24, 12) if words == "another batch" else (22, 12)
            with pytest.raises(TrainingError, match=words):
                fit(unbroken[0], options, counts=counts, resume=True)

    def test_early_stopping_fires(self, tmp_path):
        options = replace(OPTIONS, epochs=30, patience=2, learning_rate=1e-9)
        _network, result = fit(tmp_path, options, counts=(8, 8))
        assert result.stopped == "patience" and len(result.history) == result.best_epoch + 2 < 30

    def test_early_stopping_that_cannot_fire_is_refused(self):
        for patience in (30, 40, 0):
            with pytest.raises(UsageError, match="could never end early"):
                ClassifierOptions(epochs=30, patience=patience)
        assert all(ClassifierOptions(epochs=n).patience_used < max(2, n) for n in range(1, 60))

    def test_ends_when_time_is_up(self, tmp_path):
        _network, result = fit(tmp_path, replace(OPTIONS, minutes=1e-6), counts=(8, 8))
        assert result.stopped == "minutes" and len(result.history) == 1

    def test_the_best_epoch_is_that_of_validation_patients(self, tmp_path, monkeypatch):
        """The weights that come out are those after the epoch that validation scored best, whatever came after."""
        losses = iter([0.6, 0.2, 0.9, 0.8])
        seen = []
        real = fitting.Learner.validate

        def scripted(learner, cases, told):
            _loss, logits = real(learner, cases, told)
            seen.append({name: one.clone() for name, one in learner.network.state_dict().items()})
            return next(losses), logits * 0

        monkeypatch.setattr(fitting.Learner, "validate", scripted)
        network, result = fit(tmp_path, replace(OPTIONS, epochs=4, balance="none"), counts=(8, 8))
        assert result.best_epoch == 2
        assert all(torch.equal(one, seen[1][name]) for name, one in network.state_dict().items())

    def test_a_loss_that_leaves_all_bounds_is_said(self, tmp_path):
        with pytest.raises(TrainingError, match="Lower the learning rate"):
            fit(tmp_path, replace(OPTIONS, learning_rate=1e30), counts=(8, 8))

    def test_weights_do_not_move_the_probabilities(self, tmp_path):
        """Trained with weights on 1 in 8, a network that has learned nothing says 1 in 8, and not 1 in 2."""

        class Rare(BlobCases):
            def sample(self, index):
                made = super().sample(index if index % 8 == 1 else 2 * (index // 2))
                made.images[:] = 0.5 + 0.01 * np.random.default_rng(index).normal(size=made.images.shape)
                return made

        heads, network = Heads((FINDING,)), new_network()
        training, validation = (KeptCases(Rare(32, seed, SHAPE), heads) for seed in (0, 1))
        assert training.labels.mean() == 1 / 8
        options = replace(OPTIONS, epochs=4, learning_rate=1e-3, augmentation=Augmentation.none())
        fit_classifier(network, training, validation, heads, options, tmp_path)
        with torch.inference_mode():
            images, present, _labels = next(validation.batches([list(range(32))]))
            chances = heads.probabilities(network.score(images, present).numpy())["finding"][:, 1]
        assert 0.06 < chances.mean() < 0.25

    @pytest.mark.parametrize("name", ["multiview/shared", "multiview/early"])
    def test_several_heads_and_views_train_together(self, tmp_path, name):
        options = replace(OPTIONS, network=name, epochs=1)
        network, result = fit(tmp_path, options, (FINDING, SIDE, PLACES), (16, 16), (3, 1, 24, 24))
        assert len(result.history[0].class_scores) == 1 + 3 + 3
        assert network.head.out_features == 7

    @pytest.mark.parametrize("words", ["MPS backend out of memory", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"])
    def test_too_little_memory_of_any_device_is_told(self, tmp_path, monkeypatch, words):
        def refuse(*_arguments, **_options):
            raise RuntimeError(words)

        monkeypatch.setattr(torch.nn.Conv2d, "forward", refuse)
        with pytest.raises(TrainingError, match="batch of 8 cases"):
            fit(tmp_path, OPTIONS)


class TestCases:
    def test_a_case_that_fails_goes_with_its_label(self):
        class Broken(BlobCases):
            def sample(self, index):
                if index in (0, 5):
                    msg = "the file ends early"
                    raise SourceError(msg)
                return super().sample(index)

        heads = Heads((FINDING,))
        whole, some = KeptCases(BlobCases(8, 0, SHAPE), heads), KeptCases(Broken(8, 0, SHAPE), heads)
        assert [one.case_id for one in some.left_out] == ["0-0", "0-5"]
        assert "ends early" in some.left_out[0].reason
        assert some.case_ids == tuple(one for one in whole.case_ids if one not in ("0-0", "0-5"))
        labels = dict(zip(whole.case_ids, whole.labels.tolist(), strict=True))
        assert dict(zip(some.case_ids, some.labels.tolist(), strict=True)).items() <= labels.items()
        images, _present, given = next(some.batches([[0, 3]]))
        expected = [whole.case_ids.index(some.case_ids[place]) for place in (0, 3)]
        again, _present, theirs = next(whole.batches([expected]))
        assert torch.equal(images, again) and torch.equal(given, theirs)

    def test_what_memory_does_not_hold_is_read_again(self):
        heads = Heads((FINDING,))
        all_of_them = KeptCases(BlobCases(6, 0, SHAPE), heads)
        none_of_them = KeptCases(BlobCases(6, 0, SHAPE), heads, most_bytes=0)
        for one, other in zip(all_of_them.batches([[3, 1], [0]]), none_of_them.batches([[3, 1], [0]]), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    def test_rare_classes_are_spread_over_the_epoch(self):
        labels = np.array([[1]] * 4 + [[0]] * 60)
        for epoch in range(5):
            order = spread_order(labels, 0, epoch)
            assert sorted(order) == list(range(64))
            where = np.flatnonzero(labels[order, 0])
            assert [place // 16 for place in where] == [0, 1, 2, 3]
        assert (spread_order(labels, 0, 1) != spread_order(labels, 0, 2)).any()
        assert (spread_order(labels, 0, 1) == spread_order(labels, 0, 1)).all()

    def test_temperature_is_that_of_validation_cases(self):
        heads = Heads((FINDING, SIDE))
        random = np.random.default_rng(0)
        logits = random.normal(0, 2, (4000, 4))
        chances = heads.probabilities(logits)
        finding = random.random(4000) < chances["finding"][:, 1]
        side = (random.random((4000, 1)) > chances["side"].cumsum(1)).sum(1)
        labels = np.stack([finding, side], 1).astype(np.int64)
        found = fitted_temperatures(heads, logits * 3, labels)  # three times too sure
        assert found == pytest.approx({"finding": 3, "side": 3}, rel=0.12)
        # Few cases that are all right do not make certain.
        few = fitted_temperatures(heads, np.array([[9.0, 9, 0, 0], [-9, 0, 9, 0]]), np.array([[1, 0], [0, 1]]))
        assert few == {"finding": 0.5, "side": 0.5}


def write_images(folder, count, views=1):
    """Pictures of one frame; half of them with a bright spot. Views are at angles of 0, 30, 60 ... degrees."""
    rows = []
    for number in range(count):
        random = np.random.default_rng(number)
        sick = number % 2
        for view in range(views):
            frame = random.integers(300, 500, (1, 24, 24)).astype(np.uint16)
            if sick:
                j, i = random.integers(3, 16, 2)
                frame[0, j : j + 5, i : i + 5] += 500
            angle = {"PositionerPrimaryAngle": 30 * view, "PositionerSecondaryAngle": 0} if views > 1 else {}
            write_flat(
                folder / f"{number}-{view}.dcm",
                frame,
                PatientID=f"P{number:02d}",
                StudyInstanceUID=f"1.2.{number}",
                SeriesInstanceUID=f"1.2.{number}.{view + 1}",
                SOPInstanceUID=f"1.2.{number}.{view + 1}.1",
                **angle,
            )
        rows.append((f"P{number:02d}", "sick" if sick else "normal"))
    return rows


def write_labels(path, rows):
    path.write_text("\n".join(["patient_id,finding", *(",".join(row) for row in rows)]) + "\n", "utf-8")
    return path


PICTURES = replace(OPTIONS, recipe="picture", epochs=2, batch=4)
EPOCHS = 7
"""Of a training that is cancelled: enough that one is left however late it hears of it."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rows = write_images(folder / "source", 24)
    return folder / "source", write_labels(folder / "labels.csv", [*rows, ("P99", "sick")])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """One image is cut short after its header was read, as a copy that fails."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = write_images(folder / "source", 24)
    cohort = build_cohort(folder / "source", write_labels(folder / "labels.csv", [*rows, ("P99", "sick")]))
    path = folder / "source" / "6-0.dcm"
    path.write_bytes(path.read_bytes()[:-400])
    return cohort


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "out"
    events = []
    return train_classifier(cohort, PICTURES, output, events.append, write_report=write_report), events


class TestATraining:
    def test_writes_all_in_one_folder(self, trained, cohort):
        outcome, events = trained
        names = {path.name for path in outcome.output.iterdir() if not path.name.startswith(".")}
        assert names >= {
            *("model", "predictions.csv", "history.json", "history.csv", "curves.png", "options.json"),
            *("split.json", "left-out.csv", "checkpoint.pt"),
        }
        assert outcome.start == "random start"
        assert not (outcome.output / ".work").exists()  # prepared images do not stay
        assert [event.value for event in events] == sorted(event.value for event in events)
        assert not list((outcome.output).rglob("*.npz"))

    def test_an_image_that_fails_is_removed_with_its_label_and_listed(self, trained, cohort):
        outcome, _events = trained
        lost = [case.case_id for case in cohort.cases if case.patient_id == "P06"]
        assert [one.case_id for one in outcome.left_out] == lost
        with (outcome.output / "left-out.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["identifier"] for row in rows if row["what"] == "case"] == lost
        assert [row["identifier"] for row in rows if row["what"] == "label"] == ["P99"]
        predictions = read_predictions(outcome.predictions, cohort.targets)
        assert not set(lost) & set(predictions.case_ids)
        truth = {case.case_id: case.labels["finding"][0] for case in cohort.cases}
        assert {c: int(t[1]) for c, t in zip(predictions.case_ids, predictions.truth["finding"], strict=True)} == {
            case_id: truth[case_id] for case_id in predictions.case_ids
        }
        assert all(
            truth[c] == int(p[1:]) % 2 for c, p in zip(predictions.case_ids, predictions.patient_ids, strict=True)
        )

    def test_no_patient_is_in_two_parts(self, trained):
        outcome, _events = trained
        patients = {part: set(outcome.cohort.subset(ids).patients()) for part, ids in outcome.split.parts.items()}
        assert sum(map(len, patients.values())) == len(set().union(*patients.values())) == 23
        predictions = read_predictions(outcome.predictions, outcome.cohort.targets)
        assert set(predictions.case_ids) == {*outcome.split.validation, *outcome.split.test}

    def test_the_model_answers_as_in_the_table(self, trained, pictures):
        from DicomAnalysisLib.classification.images import read_image

        outcome, _events = trained
        classifier = load_classifier(outcome.output, "cpu")
        assert classifier.recipe.name == "picture" and classifier.view_names == ("",)
        predictions = read_predictions(outcome.predictions, outcome.cohort.targets).of_part("test")
        case = outcome.cohort.case(predictions.case_ids[0])
        answer = classifier.predict(read_image(case.views[0].files)).answers[0]
        np.testing.assert_allclose(answer.probabilities, predictions.probabilities["finding"][0], atol=1e-4)
        manifest = json.loads((outcome.model / "manifest.json").read_text())
        known = manifest["model"]["input"]["range"]
        assert known["cases"] == len(outcome.split.training) and known["modality"] == ["XA"]

    def test_the_test_part_changes_nothing_but_its_own_scores(self, trained, cohort, tmp_path):
        """Weights, best epoch and temperature are the same where the test images are others."""
        outcome, _events = trained
        fewer = replace(outcome.split, test=outcome.split.test[:1])
        cut = cohort.subset({*fewer.training, *fewer.validation, *fewer.test})
        other = train_classifier(cut, PICTURES, tmp_path / "out", split=fewer, evaluated=False)
        same = "weights.safetensors"
        assert (other.model / same).read_bytes() == (outcome.model / same).read_bytes()
        assert other.temperature == outcome.temperature

    def test_what_it_was_trained_on_is_known_before_and_after_preparation(self, trained):
        outcome, _events = trained
        known = json.loads((outcome.model / "manifest.json").read_text(encoding="utf-8"))["model"]["input"]["range"]
        assert known["prepared"]["p95"][1] <= 1.5 < known["values"]["p95"][1]
        path = next(iter(outcome.cohort.cases)).views[0].files
        volume = read_image(path)
        classifier = load_classifier(outcome.model, "cpu")
        assert not any("The values differ" in line for line in classifier.predict(volume).warnings)
        scaled = replace(volume, voxels=volume.voxels * 8)
        assert any("The values differ" in line for line in classifier.predict(scaled).warnings)

    def test_a_folder_that_is_not_ours_is_refused_and_a_training_is_resumed(self, trained, cohort, tmp_path):
        outcome, _events = trained
        (tmp_path / "thesis.txt").write_text("years of work")
        for resume in (False, True):
            with pytest.raises(UsageError, match=r"not of a training \(thesis.txt"):
                train_classifier(cohort, PICTURES, tmp_path, resume=resume)
        assert (tmp_path / "thesis.txt").read_text() == "years of work"
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="is a file"):
            train_classifier(cohort, PICTURES, tmp_path / "file")
        with pytest.raises(UsageError, match="holds a training of a classifier already"):
            train_classifier(cohort, PICTURES, outcome.output)
        with pytest.raises(UsageError, match="another epochs"):
            train_classifier(cohort, replace(PICTURES, epochs=3), outcome.output, resume=True)
        first = cohort.cases[0]
        corrected = replace(first, labels={"finding": (1 - first.labels["finding"][0],)})
        with pytest.raises(UsageError, match="another set of cases or labels of these"):
            train_classifier(
                replace(cohort, cases=(corrected, *cohort.cases[1:])), PICTURES, outcome.output, resume=True
            )
        before = (outcome.model / "weights.safetensors").read_bytes()
        again = train_classifier(cohort, PICTURES, outcome.output, resume=True)
        assert (again.model / "weights.safetensors").read_bytes() == before
        assert again.fit.history == outcome.fit.history
        (tmp_path / "empty").mkdir()
        with pytest.raises(UsageError, match="volume3d"):
            train_classifier(cohort, replace(PICTURES, network="volume3d/none"), tmp_path / "empty")

    def test_what_cannot_be_saved_is_refused_before_training(self, cohort, tmp_path):
        renamed = replace(FINDING, name="_hidden")
        cases = tuple(replace(case, labels={"_hidden": case.labels["finding"]}) for case in cohort.cases)
        with pytest.raises(ModelError, match="_hidden"):
            train_classifier(replace(cohort, targets=(renamed,), cases=cases), PICTURES, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_divided_patient_is_refused(self, cohort, tmp_path):
        split = split_patients(cohort, (0.6, 0.2, 0.2), 0)
        leaking = replace(split, test=(*split.test, split.training[0]))
        with pytest.raises(UsageError, match="both"):
            train_classifier(cohort, PICTURES, tmp_path / "out", split=leaking)

    def test_a_class_that_nobody_has_is_told(self, pictures, tmp_path):
        """The table names it, but no image shows it."""
        rows = [(f"P{number:02d}", "normal") for number in range(12)]
        whole = build_cohort(pictures[0], write_labels(tmp_path / "labels.csv", [*rows, ("P99", "sick")]))
        split = split_patients(whole, (0.6, 0.2, 0.2), 0)
        lines = list(doubts(whole, split, recipe_named("picture")))
        for part, what in (("training", "it cannot be learned"), ("validation", "the epoch is chosen without it")):
            assert f"finding: no {part} case, or every one, is of the class sick: {what}." in lines
        outcome = train_classifier(whole, replace(PICTURES, epochs=1), tmp_path / "out", split=split, evaluated=False)
        assert set(lines) <= set(outcome.warnings)

    def test_a_window_of_another_modality_is_told(self, cohort):
        """Nothing fails where Hounsfield units are meant and angiography comes."""
        split = split_patients(cohort, (0.6, 0.2, 0.2), 0)
        told = " ".join(doubts(cohort, split, recipe_named("ct-volume")))
        assert "The recipe ct-volume is made for the Hounsfield units of CT, and images are of XA." in told
        assert "Hounsfield" not in " ".join(doubts(cohort, split, recipe_named("picture")))
        scanned = replace(cohort, cases=tuple(replace(case, facts={"modality": "CT"}) for case in cohort.cases))
        assert "Hounsfield" not in " ".join(doubts(scanned, split, recipe_named("ct-volume")))

    def test_a_leak_is_the_first_of_the_doubts_that_are_told(self, trained, monkeypatch):
        """However many shortcuts there are, and the result names only some."""
        outcome, leak = replace(trained[0], warnings=()), "Patient P-1 is in training and in test."
        flags = tuple(Flag("shortcut", "finding", str(number), f"flag {number}") for number in range(9))
        found = Evaluation((), (), flags, (leak,), (), ())
        monkeypatch.setattr("DicomAnalysisLib.classification.evaluation.evaluate.evaluate", lambda *_a, **_k: found)
        told = with_evaluation(outcome, 0).warnings
        assert told[0] == leak and "4 more doubts" in told[-1]

    def test_no_line_of_what_was_left_out_is_run_by_a_spreadsheet(self, cohort, tmp_path):
        hostile = '=HYPERLINK("http://example.org")'
        told = replace(cohort, unmatched_labels=(hostile,), problems=(f"{hostile} was left out.",))
        path = write_left_out(tmp_path, told, [LeftOutCase(hostile, f"{hostile}: broken")])
        with path.open() as file:
            assert not any(cell.startswith("=") for row in csv.reader(file) for cell in row)


def test_several_views_keep_their_order_from_training_to_prediction(tmp_path):
    rows = write_images(tmp_path / "source", 8, views=3)
    for view in (1, 2):
        (tmp_path / "source" / f"3-{view}.dcm").unlink()
    rules = tuple(ViewRule(f"at {angle}", primary=angle, secondary=0) for angle in (60, 0, 30))
    columns = (LabelColumns("finding", kind="binary", classes=("normal", "sick")),)
    cohort = build_cohort(
        tmp_path / "source", write_labels(tmp_path / "l.csv", rows), CohortOptions(labels=columns, views=rules)
    )
    names = ("at 60", "at 0", "at 30")
    assert cohort.view_names == names
    options = replace(PICTURES, network="multiview/shared", epochs=1)
    outcome = train_classifier(cohort, options, tmp_path / "out", evaluated=False)
    classifier = load_classifier(outcome.model, "cpu")
    assert classifier.view_names == names
    assert tuple(ViewRule.from_text(text) for text in classifier.view_rules) == rules
    from DicomAnalysisLib.classification.images import read_image

    predictions = read_predictions(outcome.predictions, cohort.targets)
    for case_id, expected in zip(predictions.case_ids, predictions.probabilities["finding"], strict=True):
        case = cohort.case(case_id)
        volumes = {view.name: read_image(view.files) for view in case.views if view.present}
        shuffled = dict(sorted(volumes.items()))  # by name: another order than the network's
        np.testing.assert_allclose(classifier.predict(shuffled).answers[0].probabilities, expected, atol=1e-4)
    with pytest.raises(UsageError, match="knows no view"):
        classifier.predict({"at 90": next(iter(volumes.values()))})


def test_cross_validation_tests_every_patient_by_networks_that_did_not_see_it(cohort, tmp_path):
    options = replace(PICTURES, folds=2, repeats=2, epochs=1)
    outcome = train_classifier(cohort, options, tmp_path / "out", evaluated=False)
    folders = sorted(path.name for path in (tmp_path / "out" / "folds").iterdir())
    assert folders == [f"repeat-{r}-fold-{f}" for r in (1, 2) for f in (1, 2)]
    everyone = {case.case_id for case in outcome.cohort.cases}
    by_fold = {}
    for name in folders:
        split = json.loads((tmp_path / "out" / "folds" / name / "split.json").read_text())
        seen, tested = {*split["training"], *split["validation"]}, set(split["test"])
        assert not seen & tested
        table = read_predictions(tmp_path / "out" / "folds" / name / "predictions.csv", cohort.targets).of_part("test")
        assert set(table.case_ids) == tested
        by_fold[name] = dict(zip(table.case_ids, table.probabilities["finding"][:, 1], strict=True))
    for repeat in (1, 2):
        tested = [case for name in folders if name.startswith(f"repeat-{repeat}") for case in by_fold[name]]
        assert sorted(tested) == sorted(everyone)
    pooled = read_predictions(outcome.predictions, cohort.targets)
    assert set(pooled.case_ids) == everyone and set(pooled.parts) == {"test"}
    for case_id, value in zip(pooled.case_ids, pooled.probabilities["finding"][:, 1], strict=True):
        assert value == pytest.approx(np.mean([one[case_id] for one in by_fold.values() if case_id in one]))
    assert load_classifier(outcome.model, "cpu").targets == cohort.targets
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "folds").rglob("predictions.csv")}
    again = train_classifier(cohort, options, tmp_path / "out", resume=True, evaluated=False)
    assert {path: path.stat().st_mtime_ns for path in times} == times  # folds that are done stay
    assert again.fit.history == outcome.fit.history


def test_the_command(pictures, tmp_path, capsys):
    source, labels = pictures
    arguments = ["train-classifier", str(source), "--labels", str(labels), "--target", "finding:binary"]
    arguments += ["--network", "slices/small2d", "--recipe", "picture", "--epochs", "1", "--batch", "4"]
    arguments += ["--device", "cpu", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert sum(document["patients"].values()) == document["cases"] == 24
    assert document["unmatched_labels"] == ["P99"] and document["left_out"] == []
    assert Path(document["files"]["predictions"]).is_file() and Path(document["model"]).is_dir()
    assert "epoch 1 of 1" in told.err
    assert main(arguments) == 2
    assert "holds a training of a classifier already" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert "validation patients" in capsys.readouterr().out
    assert main([*arguments, "--resume", "--patience", "9"]) == 2


def test_the_job_tells_epochs_and_is_resumed_after_a_kill(pictures, tmp_path):
    source, labels = pictures
    options = replace(PICTURES, epochs=EPOCHS)
    epochs = []

    def run(on_epoch=epochs.append, resume=False):
        job = train_classifier_job(source, labels, tmp_path / "out", options, targets=["finding"], resume=resume)
        process = JobProcess(job, on_epoch=on_epoch, temporary=tmp_path)
        process.start()
        end = time.monotonic() + 120
        while not process.is_over:
            assert time.monotonic() < end
            process.poll()
            if on_epoch != epochs.append and epochs:
                process.cancel()
            time.sleep(0.02)
        return process

    assert run(lambda update: epochs.append(update)).state == "cancelled"
    assert 1 <= len(epochs) < EPOCHS, "it was stopped, though a short epoch may end before it hears of it"
    process = run(resume=True)
    assert process.state == "done", process.failure
    assert [update.record["epoch"] for update in epochs] == list(range(1, EPOCHS + 1))
    assert process.value["unmatched_labels"] == ["P99"]
    assert process.value["history"] == [dict(update.record) for update in epochs]
