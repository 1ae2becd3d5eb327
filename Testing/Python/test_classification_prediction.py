"""Classifiers at work: words, calibration, warnings, where they looked, result folders, the command and the job."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

pytest.importorskip("torch", reason="classifiers need the extra 'network'")
pytest.importorskip("monai", reason="classifiers need the extra 'network'")

from classifier_volumes import IDENTITY, LESION, make_volume
from DicomAnalysisLib.classification.backprojection import to_source
from DicomAnalysisLib.classification.cohort import Case, Target, View
from DicomAnalysisLib.classification.evaluation.predictions import read_predictions
from DicomAnalysisLib.classification.models import read_classifier
from DicomAnalysisLib.classification.prediction import load_classifier
from DicomAnalysisLib.classification.ranges import out_of_range, training_range
from DicomAnalysisLib.classification.recipe import recipe_named
from DicomAnalysisLib.classification.result import Answer, ClassificationResult, ModelStamp, percent
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.errors import ModelError, TaskError, UsageError
from DicomAnalysisLib.files.classification_folder import read_classification
from DicomAnalysisLib.jobs import JobProcess, classify_volume_job
from DicomAnalysisLib.phantom import write_dicom_series
from DicomAnalysisLib.volume import SeriesIdentity
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_classifiers import FINDING, REGION, SIGNS, volume_recipe, write_classifier


@pytest.fixture(scope="module")
def bright_model(tmp_path_factory):
    """A classifier whose positive class is what is bright."""
    folder = tmp_path_factory.mktemp("models") / "bright"
    write_classifier(folder, looks_for_bright=True, recipe=volume_recipe((16, 48, 48)))
    return folder


@pytest.fixture(scope="module")
def classifier(bright_model):
    return load_classifier(bright_model, "cpu")


class TestWords:
    def test_the_words_that_users_know(self):
        assert Answer(FINDING, (0.0366, 0.9634)).words == "normal 3.7 %, abnormal 96.3 %"
        assert Answer(REGION, (0.1, 0.7, 0.2)).words == "chest 70.0 %, pelvis 20.0 %, head 10.0 %"
        assert Answer(SIGNS, (0.1, 0.9, 0.6)).words == "effusion 90.0 %, wire 60.0 %; below 50 %: nodule 10.0 %"
        assert Answer(SIGNS, (0.1, 0.2, 0.3)).words.startswith("none above 50 %; below 50 %: wire 30.0 %")
        assert Answer(SIGNS, (0.7, 0.8, 0.9)).words == "wire 90.0 %, effusion 80.0 %, nodule 70.0 %"

    def test_no_model_is_told_to_know(self):
        assert Answer(FINDING, (1e-9, 1.0)).words == "normal < 0.1 %, abnormal > 99.9 %"

    @given(st.floats(0, 1))
    def test_a_percentage_is_near_its_probability(self, probability):
        text = percent(probability).removesuffix(" %").lstrip("<> ")
        assert abs(float(text) / 100 - probability) <= 0.00101

    def test_there_and_back(self):
        result = ClassificationResult(
            replace(IDENTITY, frame_of_reference_uid="", series_description="", body_part="", patient_position=""),
            (Answer(FINDING, (0.25, 0.75)), Answer(SIGNS, (0.1, 0.9, 0.5))),
            ModelStamp("m", "1", "ab" * 32, "ct-volume"),
            ("look",),
            {"": "1.2.3.4"},
            "cpu",
            0.5,
        )
        assert ClassificationResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
        assert result.words.startswith("finding: normal 25.0 %, abnormal 75.0 %. signs: effusion")
        assert list(result.probabilities)[:2] == ["finding:normal", "finding:abnormal"]


class TestPrediction:
    def test_a_bright_lesion_is_told(self, classifier):
        sick = classifier.predict(make_volume())
        well = classifier.predict(make_volume(lesion=None))
        assert sick.probabilities["finding:abnormal"] > well.probabilities["finding:abnormal"] + 0.1
        assert abs(sum(sick.probabilities.values()) - 1) < 1e-6
        assert sick.model.name == "tiny"
        assert sick.model.version == "1.2"
        assert len(sick.model.sha256) == 64
        assert sick.views == {"": "1.2.3.4"}
        assert classifier.predict(make_volume()).probabilities == sick.probabilities, "the same every time"

    def test_the_temperature_is_applied(self, tmp_path):
        write_classifier(tmp_path / "cold", recipe=volume_recipe((8, 24, 24)))
        write_classifier(tmp_path / "warm", temperature={"finding": 3.0}, recipe=volume_recipe((8, 24, 24)))
        cold, warm = (load_classifier(tmp_path / name).predict(make_volume()).answers[0] for name in ("cold", "warm"))

        def logit(answer):
            return np.log(answer.probabilities[1] / answer.probabilities[0])

        assert logit(cold) != 0
        assert logit(warm) == pytest.approx(logit(cold) / 3)

    def test_several_targets_and_missing_views(self, tmp_path):
        recipe = recipe_named("picture").changed("plane", shape=(48, 48))
        write_classifier(
            tmp_path, (FINDING, REGION, SIGNS), "multiview/shared", recipe, ("front", "side", "top"), {"signs": 2.0}
        )
        model = load_classifier(tmp_path)
        volume = make_volume()
        result = model.predict({"front": volume, "top": volume}, explain=True)
        assert [len(answer.probabilities) for answer in result.answers] == [2, 3, 3]
        assert sum(result.answers[1].probabilities) == pytest.approx(1)
        assert result.views == {"front": "1.2.3.4", "side": "", "top": "1.2.3.4"}
        assert "The view side is missing; it was masked." in result.warnings
        assert [one.view for one in result.explanations] == ["front", "top"]
        assert all(one.values.shape == volume.shape for one in result.explanations)
        assert model.predict([volume, None, volume]).probabilities == result.probabilities
        with pytest.raises(UsageError, match="knows no view 'back'"):
            model.predict({"back": volume})
        with pytest.raises(UsageError, match="looks at 3 views"):
            model.predict(volume)
        with pytest.raises(TaskError, match="none of the views"):
            model.predict({"front": None})

    def test_an_image_of_which_nothing_is_left_is_not_classified(self, classifier, tmp_path):
        """It would be a constant, of which a network says anything."""
        air = make_volume().with_voxels(np.full_like(make_volume().voxels, -1000))
        with pytest.raises(TaskError, match=r"1\.2\.3\.4 .*leaves nothing of the image"):
            classifier.predict(air)
        write_classifier(tmp_path, network="multiview/shared", recipe=volume_recipe((8, 24, 24)), views=("a", "b"))
        model = load_classifier(tmp_path)
        result = model.predict({"a": air, "b": make_volume()})
        assert result.probabilities == model.predict({"b": make_volume()}).probabilities
        assert result.views == {"a": "", "b": "1.2.3.4"}
        assert any("view a, was left out" in line for line in result.warnings)

    def test_what_is_no_classifier_is_refused(self, tmp_path, bright_model):
        with pytest.raises(UsageError, match="does not classify"):
            load_classifier("headrest")
        with pytest.raises(UsageError, match="There is no model"):
            load_classifier("nothing-like-it")
        with pytest.raises(UsageError, match="no explanation 'guess'"):
            load_classifier(bright_model).predict(make_volume(), explain="guess")
        manifest = (bright_model / "manifest.json").read_text(encoding="utf-8")
        (tmp_path / "manifest.json").write_text(manifest.replace('"classify"', '"classifies"'), encoding="utf-8")
        with pytest.raises(ModelError, match="was changed"):
            read_classifier(tmp_path)

    def test_the_folder_of_a_training_is_enough(self, tmp_path):
        write_classifier(tmp_path / "model", recipe=volume_recipe((8, 24, 24)))
        assert load_classifier(tmp_path).model.name == "tiny"


class TestRanges:
    def known(self):
        cases = [
            Case(f"c{n}", f"p{n}", "", (View("", "", ("x",)),), {}, {"modality": "CT", "body_part": "Chest", **facts})
            for n, facts in enumerate(({"spacing_mm": 1.0, "pixel_mm": 0.7}, {"spacing_mm": 5.0, "pixel_mm": 2.0}))
        ]
        prepared = [np.r_[np.zeros(100), np.linspace(0.3, 0.8, 100)] for _ in range(2)]
        return training_range(cases, prepared)

    def test_it_is_plain_json(self):
        known = self.known()
        assert known == json.loads(json.dumps(known))
        assert known["modality"] == ["CT"]
        assert known["body_part"] == ["CHEST"]
        assert known["spacing_mm"] == {"between_slices": [1.0, 5.0], "in_plane": [0.7, 2.0]}
        assert known["prepared"]["background"] == [0.5, 0.5]

    def test_a_series_like_those_is_not_remarked(self):
        volume = make_volume(spacing=(4.0, 1.0, 1.0))
        prepared = np.r_[np.zeros(90), np.linspace(0.31, 0.79, 110)]
        assert out_of_range(self.known(), volume, prepared) == []
        assert out_of_range({}, volume, prepared) == []
        assert out_of_range(self.known(), replace(volume, identity=SeriesIdentity(modality="")), prepared) == []

    @pytest.mark.parametrize(
        ("volume", "words"),
        [
            (replace(make_volume(), identity=replace(IDENTITY, modality="MR")), "The modality is MR; .* trained on CT"),
            (replace(make_volume(), identity=replace(IDENTITY, body_part="ANKLE")), "body part is ANKLE; .* CHEST"),
            (make_volume(spacing=(12.0, 1.0, 1.0)), "The slices are 12 mm apart; .* 1 to 5 mm"),
            (make_volume(spacing=(3.0, 4.0, 4.0)), "The pixels are 4 mm apart; .* 0.7 to 2 mm"),
        ],
    )
    def test_what_differs_is_told(self, volume, words):
        lines = out_of_range(self.known(), volume)
        assert any(pytest.importorskip("re").search(words, line) for line in lines), lines

    def test_values_that_differ_are_told_once(self):
        for values in (np.linspace(0.9, 1.5, 200), np.linspace(-0.4, 0.1, 200), np.r_[np.zeros(199), 0.5]):
            lines = out_of_range(self.known(), make_volume(spacing=(4.0, 1.0, 1.0)), values)
            assert len(lines) == 1
            assert lines[0].startswith("The values differ from those that the model was trained on")

    def test_the_result_carries_them(self, tmp_path):
        write_classifier(tmp_path, known_range={"modality": ["MR"], "cases": 3}, recipe=volume_recipe((8, 24, 24)))
        assert (
            "The modality is CT; the model was trained on MR."
            in load_classifier(tmp_path).predict(make_volume()).warnings
        )


ORIENTATIONS = {
    "axial": np.eye(3),
    "feet first, turned": np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, -1]]),
    "sagittal": np.array([[0, 1.0, 0], [0, 0, -1], [-1, 0, 0]]),
    "coronal, flipped": np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "oblique": Rotation.from_euler("xyz", [12, -9, 20], degrees=True).as_matrix(),
}


class TestExplanation:
    """The lesion is where the overlay is brightest: to a voxel of the network's grid."""

    @pytest.mark.parametrize("name", ORIENTATIONS)
    def test_the_peak_lies_on_the_lesion(self, classifier, name):
        lesion = (12, 24, 38)
        volume = make_volume(ORIENTATIONS[name], lesion)
        self.check(classifier, volume, lesion)

    def test_also_in_a_tilted_stack(self, classifier):
        self.check(classifier, make_volume(lesion=(5, 40, 20), tilt=15.0), (5, 40, 20))

    def test_also_in_an_uneven_stack(self, classifier):
        volume = make_volume(lesion=(13, 30, 30))
        distances = np.r_[np.arange(9) * 5.0, 45 + np.arange(9) * 8.0]
        positions = np.outer(distances, [0, 0, 1.0])
        volume = replace(volume, geometry=replace(volume.geometry, positions=positions))
        self.check(classifier, volume, (13, 30, 30))

    def check(self, classifier, volume, lesion):
        result = classifier.predict(volume, explain=True)
        [overlay] = result.explanations
        assert overlay.method == "grad-cam"
        assert overlay.class_name == "abnormal"
        assert overlay.values.shape == volume.shape
        assert overlay.values.min() >= 0
        assert overlay.values.max() == pytest.approx(1.0, abs=0.05)
        peak = np.unravel_index(overlay.values.argmax(), volume.shape)
        prepared = classifier.recipe.prepare(volume)
        cell = np.linalg.norm(prepared.to_source[:3, :3], axis=1)  # source voxels that a cell reaches, by axis
        inside = volume.voxels == LESION
        off = [max(0, abs(p - c) - 2) for p, c in zip(peak, lesion, strict=True)]
        assert (np.array(off) <= cell + 1).all(), (peak, lesion, cell)
        assert overlay.values[inside].mean() > 5 * overlay.values[~inside].mean()

    @pytest.mark.parametrize("pooling", ["attention", "slicewise"])
    def test_slices_keep_their_own_maps(self, tmp_path, pooling):
        recipe = recipe_named("ct-slices").changed("slices", count=6).changed("plane", shape=(64, 64))
        write_classifier(tmp_path, network="slices/small2d", recipe=recipe, pooling=pooling, seed=3)
        model, volume = load_classifier(tmp_path), make_volume()
        result = model.predict(volume, explain=True)
        [overlay] = result.explanations
        prepared = model.recipe.prepare(volume)
        assert overlay.values.shape == volume.shape
        chosen = prepared.source_slices
        assert len(chosen) == 6
        nearest = [int(np.abs(np.array(chosen) - k).argmin()) for k in range(len(volume.voxels))]
        for k, d in enumerate(nearest):
            assert np.array_equal(overlay.values[k], overlay.values[chosen[d]])
        if overlay.values.any():
            assert len({overlay.values[k].tobytes() for k in chosen}) > 1, "one map for all slices"

    def test_occlusion_finds_it_too(self, tmp_path):
        lesion = (9, 30, 40)
        volume = make_volume(lesion=lesion, size=4)
        write_classifier(tmp_path, looks_for_bright=True, recipe=volume_recipe((8, 20, 20)))
        [overlay] = load_classifier(tmp_path).predict(volume, explain="occlusion").explanations
        assert overlay.method == "occlusion"
        peak = np.unravel_index(overlay.values.argmax(), volume.shape)
        assert np.abs(np.subtract(peak, lesion)).max() <= 9, "to a window's half"

    def test_views_are_not_mixed(self, tmp_path):
        """Early fusion mixes its views in the first layer, so each is asked for by occlusion."""
        recipe = recipe_named("picture").changed("plane", shape=(32, 32))
        write_classifier(tmp_path, network="multiview/early", recipe=recipe, views=("a", "b"))
        result = load_classifier(tmp_path).predict({"a": make_volume(lesion=None), "b": make_volume()}, explain=True)
        assert {one.method for one in result.explanations} == {"occlusion"}
        assert any("explained by occlusion" in line for line in result.warnings)

    @given(
        st.permutations(range(3)),
        st.tuples(*[st.sampled_from([-1, 1])] * 3),
        st.tuples(*[st.floats(0.6, 3.0)] * 3),
        st.tuples(*[st.integers(0, 4)] * 3),
    )
    def test_any_grid_is_taken_back(self, order, signs, steps, cell):
        """A single cell lands where the matrix says, whatever axes are exchanged, turned and scaled."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.diag(np.multiply(signs, steps))[:, order]
        corners = matrix[:3, :3] @ np.array([[0, 0, 0], [4, 4, 4]]).T
        matrix[:3, 3] = -corners.min(axis=1) + 1
        shape = tuple(int(n) + 3 for n in np.ceil(np.ptp(corners, axis=1)))
        values = np.zeros((5, 5, 5), np.float32)
        values[cell] = 1.0
        found = to_source(values, matrix, shape)
        where = matrix @ [*cell, 1]
        weights = found / found.sum()
        middle = [
            float((weights.sum(axis=tuple({0, 1, 2} - {axis})) * np.arange(shape[axis])).sum()) for axis in range(3)
        ]
        reach = np.abs(matrix[:3, :3]).sum(axis=1)
        assert (np.abs(np.array(middle) - where[:3]) <= 0.51 * reach + 0.51).all(), "half a cell and half a voxel"


@pytest.fixture(scope="module")
def series_folder(tmp_path_factory):
    """Two series that can be read, one that cannot, and a picture that is none."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(3):
        lesion = (5, 30, 40) if number else None
        volume = make_volume(lesion=lesion, shape=(12, 72, 60))
        identity = replace(IDENTITY, series_uid=f"1.2.3.{number}", patient_id=f"P-{number}", study_uid=f"1.2.{number}")
        write_dicom_series(replace(volume, identity=identity), folder / str(number))
    for path in (folder / "2").iterdir():
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    return folder


class TestCommand:
    def test_a_batch(self, series_folder, bright_model, tmp_path, capsys):
        output = tmp_path / "out"
        arguments = ["classify", str(series_folder), "--model", str(bright_model), "--output", str(output)]
        status = main([*arguments, "--explain", "--json", "--device", "cpu"])
        document = json.loads(capsys.readouterr().out)
        assert status == 1, "a series could not be read"
        assert not document["complete"]
        done = {one["case_id"]: one for one in document["series"] if one["status"] == "done"}
        assert set(done) == {"1.2.3.0", "1.2.3.1"}
        assert document["model"]["sha256"] == read_classifier(bright_model).sha256
        assert (
            done["1.2.3.1"]["probabilities"]["finding:abnormal"] > done["1.2.3.0"]["probabilities"]["finding:abnormal"]
        )
        result = read_classification(output / "1.2.3.1")
        assert result.words == done["1.2.3.1"]["result"]
        assert result.identity.patient_id == "P-1"
        rows = list(csv.DictReader((output / "classification.csv").open(encoding="utf-8")))
        assert [row["case_id"] for row in rows] == ["1.2.3.0", "1.2.3.1"]
        predictions = read_predictions(output / "classification.csv", [FINDING])
        assert predictions.probabilities["finding"][1, 1] == pytest.approx(
            result.probabilities["finding:abnormal"], abs=1e-6
        )

    def test_the_explanation_opens_in_its_place(self, series_folder, bright_model, tmp_path):
        import nrrd

        arguments = ["classify", str(series_folder / "1"), "--model", str(bright_model), "--output", str(tmp_path)]
        assert main([*arguments, "--explain"]) == 0
        values, header = nrrd.read(str(tmp_path / "1.2.3.1" / "explanation.nrrd"), index_order="C")
        peak = np.array(np.unravel_index(values.argmax(), values.shape))
        assert np.abs(peak - [5, 30, 40]).max() <= 6
        geometry = make_volume(shape=(12, 72, 60)).geometry
        at = header["space origin"] + peak[::-1] @ header["space directions"]
        assert np.allclose(at, geometry.index_to_lps(peak[::-1]), atol=0.1)

    def test_one_series_and_what_is_not_there(self, series_folder, bright_model, tmp_path, capsys):
        arguments = ["classify", str(series_folder), "--model", str(bright_model), "--output", str(tmp_path / "a")]
        assert main([*arguments, "--series", "1.2.3.0"]) == 0
        assert "normal" in capsys.readouterr().out
        assert not (tmp_path / "a" / "1.2.3.1").exists()
        assert main([*arguments, "--series", "9.9"]) == 2
        assert "There is no readable series 9.9" in capsys.readouterr().err
        assert main([*arguments[:3], str(tmp_path / "none"), *arguments[4:]]) == 2

    def test_scouts_are_skipped(self, bright_model, tmp_path, capsys):
        source = tmp_path / "source"
        for number, kind in enumerate(("AXIAL", "LOCALIZER")):
            identity = replace(IDENTITY, series_uid=f"1.2.3.{number}")
            write_dicom_series(replace(make_volume(shape=(6, 72, 60)), identity=identity), source / kind)
            for path in (source / kind).iterdir():
                dataset = pydicom.dcmread(path)
                dataset.ImageType = ["ORIGINAL", "PRIMARY", kind]
                dataset.save_as(path)
        output = tmp_path / "out"
        arguments = ["classify", str(source), "--model", str(bright_model), "--output", str(output), "--json"]
        assert main(arguments) == 0
        document = json.loads(capsys.readouterr().out)
        assert {one["case_id"]: one["status"] for one in document["series"]} == {
            "1.2.3.0": "done",
            "1.2.3.1": "skipped",
        }
        assert next(one["reason"] for one in document["series"] if one["status"] == "skipped") == "a scout image"
        assert not (output / "1.2.3.1").exists()
        assert main([*arguments, "--series", "1.2.3.1"]) == 1, "nothing was done"

    def test_again_over_the_same_output_inside_the_source(self, series_folder, bright_model):
        output = series_folder / "0" / "results"
        arguments = ["classify", str(series_folder / "0"), "--model", str(bright_model), "--output", str(output)]
        assert main([*arguments, "--explain"]) == 0
        assert (output / "1.2.3.0" / "explanation.nrrd").is_file()
        assert main(arguments) == 0
        assert not (output / "1.2.3.0" / "explanation.nrrd").exists(), "an explanation of another run"
        assert len(list(csv.DictReader((output / "classification.csv").open(encoding="utf-8")))) == 1

    def test_pictures_of_several_views(self, tmp_path):
        """A study whose views are files named after them."""
        import SimpleITK as sitk

        for view in ("front", "side"):
            picture = np.random.default_rng(len(view)).integers(0, 255, (40, 50), dtype=np.uint8)
            sitk.WriteImage(sitk.GetImageFromArray(picture), str(make(tmp_path / "case-1") / f"{view}.png"))
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(make(tmp_path / "case-2") / "side.png"))
        recipe = recipe_named("picture").changed("plane", shape=(32, 32))
        write_classifier(tmp_path / "model", (REGION,), "multiview/shared", recipe, ("front", "side"))
        output = tmp_path / "out"
        cases = make(tmp_path / "cases")
        for name in ("case-1", "case-2"):
            (tmp_path / name).rename(cases / name)
        assert main(["classify", str(cases), "--model", str(tmp_path / "model"), "--output", str(output)]) == 0
        rows = list(csv.DictReader((output / "classification.csv").open(encoding="utf-8")))
        assert [row["case_id"] for row in rows] == ["case-1", "case-2"]
        assert "The view front is missing" in rows[1]["warnings"]


def make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_child_process_gives_the_same(bright_model, classifier, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    volume = make_volume()
    here = classifier.predict(volume, explain=True)
    process = JobProcess(classify_volume_job({"": volume}, bright_model, explain=True, device="cpu"))
    process.start()
    ended = process.wait()
    assert ended.state == "done", ended.failure
    assert process.value.words == here.words
    assert np.allclose(process.value.explanations[0].values, here.explanations[0].values, atol=1e-5)


def test_cancelled_within_two_seconds(bright_model, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    process = JobProcess(classify_volume_job({"": make_volume()}, bright_model))
    process.start()
    for _ in range(20):
        process.poll()
        time.sleep(0.02)
    process.cancel()
    start = time.monotonic()
    assert process.wait().state == "cancelled"
    assert time.monotonic() - start < 5


def test_a_target_of_one_name(tmp_path):
    """A target may have blanks and marks in its name: they are a column's title, not a path."""
    target = Target("ground-glass: any?", "binary", ("no", "yes"))
    write_classifier(tmp_path, (target,), recipe=volume_recipe((8, 24, 24)))
    result = load_classifier(tmp_path).predict(make_volume())
    assert list(result.probabilities) == ["ground-glass: any?:no", "ground-glass: any?:yes"]
