"""Where a classifier looked, of any target and class: what is asked for is what is shown, under a name that says so."""

from __future__ import annotations

import json
from dataclasses import replace

import nrrd
import numpy as np
import pytest

pytest.importorskip("torch", reason="classifiers need the extra 'network'")
pytest.importorskip("monai", reason="classifiers need the extra 'network'")

from classifier_volumes import IDENTITY, make_volume
from DicomAnalysisLib.classification.architectures import build_classifier
from DicomAnalysisLib.classification.cases import KeptCases
from DicomAnalysisLib.classification.cohort import Target
from DicomAnalysisLib.classification.explained import ExplainRequest
from DicomAnalysisLib.classification.explanation import Explainer
from DicomAnalysisLib.classification.fitting import fit_classifier
from DicomAnalysisLib.classification.heads import Heads
from DicomAnalysisLib.classification.options import ClassifierOptions
from DicomAnalysisLib.classification.prediction import load_classifier
from DicomAnalysisLib.classification.recipe import recipe_named
from DicomAnalysisLib.classification.result import Explanation
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.files.classification_folder import explanation_names, write_classification
from DicomAnalysisLib.jobs import JobProcess, classify_volume_job
from DicomAnalysisLib.phantom import write_dicom_series
from shape_pictures import ANY, LARGEST, WHICH, ShapePictures
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

TARGETS = (FINDING, REGION, SIGNS)
AT = {BRIGHT: (5, 20, 18), GREY: (12, 48, 38)}
"""Where the two lesions are."""

LOOKS = {
    "finding:normal": None,
    "finding:abnormal": GREY,
    "region:head": BRIGHT,
    "region:chest": GREY,
    "region:pelvis": None,
    "signs:nodule": GREY,
    "signs:effusion": BRIGHT,
    "signs:wire": None,
}
"""What speaks for each class in the model below."""

OUTPUTS = {0: (GREY, 1), 1: (BRIGHT, 1), 2: (GREY, 2), 4: (GREY, 1), 5: (BRIGHT, 1)}
"""Of finding, three regions and three signs."""


def two_lesions():
    volume = make_volume(lesion=None)
    voxels = volume.voxels.copy()
    for channel, value in ((BRIGHT, BRIGHT_HU), (GREY, GREY_HU)):
        box = tuple(slice(place - 2, place + 3) for place in AT[channel])
        voxels[box] = value
    return volume.with_voxels(voxels)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "levels"
    write_classifier(folder, TARGETS, recipe=volume_recipe((18, 48, 48)), looks_for_levels=OUTPUTS)
    return folder


@pytest.fixture(scope="module")
def classifier(model):
    return load_classifier(model, "cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    write_dicom_series(replace(two_lesions(), identity=replace(IDENTITY, series_uid="1.2.3.4")), folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A model of pictures of two views, of which occlusion is soon made."""
    folder = tmp_path_factory.mktemp("pictures")
    recipe = recipe_named("picture").changed("plane", shape=(24, 24))
    write_classifier(folder, TARGETS, "multiview/shared", recipe, ("front", "side"))
    return load_classifier(folder, "cpu")


def names(explanations):
    return [one.name for one in explanations]


def peak(explanation):
    return np.unravel_index(explanation.values.argmax(), explanation.values.shape)


class TestWhatIsAskedFor:
    @pytest.mark.parametrize(
        ("explain", "method", "wanted"),
        [
            (False, "", ()),
            (None, "", ()),
            ("", "", ()),
            ((), "", ()),
            (True, "grad-cam", (("finding", ""),)),
            ("grad-cam", "grad-cam", (("finding", ""),)),
            ("occlusion", "occlusion", (("finding", ""),)),
            ("all", "grad-cam", (("finding", ""), ("region", ""), ("signs", ""))),
            ("signs", "grad-cam", (("signs", ""),)),
            ("region:chest", "grad-cam", (("region", "chest"),)),
            (["signs:wire", "occlusion", "signs:nodule"], "occlusion", (("signs", "wire"), ("signs", "nodule"))),
            (("all", "signs"), "grad-cam", (("finding", ""), ("region", ""), ("signs", ""))),
        ],
    )
    def test_words_are_understood(self, explain, method, wanted):
        assert ExplainRequest.of(explain, TARGETS) == ExplainRequest(method, wanted)

    @pytest.mark.parametrize(
        ("explain", "message"),
        [
            ("guess", "no explanation 'guess'. Name a method .* all, a target .finding, region, signs"),
            ("region:foot", "no class 'region:foot'; those of the target 'region': head, chest, pelvis"),
            (["grad-cam", "occlusion"], "one method, not by grad-cam and occlusion"),
            (["all", "nothing"], "no explanation 'nothing'"),
        ],
    )
    def test_what_is_not_there_is_said(self, explain, message):
        with pytest.raises(UsageError, match=message):
            ExplainRequest.of(explain, TARGETS)

    def test_a_name_may_have_colons(self):
        targets = (Target("a", "binary", ("no", "b:c")), Target("a:b", "binary", ("no", "c")))
        assert ExplainRequest.of("a:b", targets).wanted == (("a:b", ""),)
        assert ExplainRequest.of("a:b:c", targets).wanted in ((("a:b", "c"),), (("a", "b:c"),))


class TestMaps:
    def test_each_class_has_its_own(self, classifier):
        """Not that of the first output, of the largest one, or of all of them together."""
        result = classifier.predict(two_lesions(), explain=list(LOOKS))
        assert names(result.explanations) == [name.replace(":", ": ") for name in LOOKS]
        assert {one.method for one in result.explanations} == {"grad-cam"}
        for one, channel in zip(result.explanations, LOOKS.values(), strict=True):
            nothing = f"By grad-cam nothing in the series speaks for {one.name}."
            if channel is None:
                assert not one.values.any(), one.name
                assert nothing in result.warnings
            else:
                assert np.abs(np.subtract(peak(one), AT[channel])).max() <= 6, one.name
                assert one.values.max() == pytest.approx(1.0, abs=0.05)
                assert nothing not in result.warnings

    def test_each_class_has_its_own_by_occlusion(self, tmp_path):
        """On a coarse grid, so that a window holds a lesion: to half a window."""
        write_classifier(tmp_path, TARGETS, recipe=volume_recipe((12, 24, 24)), looks_for_levels=OUTPUTS)
        result = load_classifier(tmp_path, "cpu").predict(two_lesions(), explain=["occlusion", *LOOKS])
        assert {one.method for one in result.explanations} == {"occlusion"}
        for one, channel in list(zip(result.explanations, LOOKS.values(), strict=True))[1:]:
            if channel is None:
                assert not one.values.any(), one.name
            else:
                assert np.abs(np.subtract(peak(one), AT[channel])).max() <= 9, one.name
        # What is grey at the rim of the bright lesion is not seen beside it: to empty it speaks for abnormal.
        assert np.abs(np.subtract(peak(result.explanations[0]), AT[BRIGHT])).max() <= 9

    def test_the_first_class_of_a_binary_target_is_what_speaks_against_the_second(self, tmp_path):
        write_classifier(tmp_path, recipe=volume_recipe((18, 48, 48)), looks_for_levels={0: (BRIGHT, -1)})
        result = load_classifier(tmp_path, "cpu").predict(two_lesions(), explain=["finding:normal", "finding:abnormal"])
        normal, abnormal = result.explanations
        assert np.abs(np.subtract(peak(normal), AT[BRIGHT])).max() <= 6
        assert not abnormal.values.any()

    def test_without_a_name_the_class_that_is_told(self, classifier):
        assert names(classifier.predict(two_lesions(), explain=True).explanations) == ["finding: abnormal"]
        result = classifier.predict(two_lesions(), explain="all")
        assert names(result.explanations) == [
            "finding: abnormal",
            *(f"{answer.target.name}: {answer.best}" for answer in result.answers[1:]),
        ]

    def test_a_class_that_is_asked_for_twice_is_explained_once(self, classifier):
        result = classifier.predict(two_lesions(), explain=["all", "finding:abnormal"])
        assert len(result.explanations) == len(TARGETS)

    def test_together_as_alone(self, classifier):
        together = classifier.predict(two_lesions(), explain=["finding", "region:head", "signs:effusion"])
        for one in together.explanations:
            [alone] = classifier.predict(two_lesions(), explain=f"{one.target}:{one.class_name}").explanations
            assert np.allclose(alone.values, one.values, atol=1e-6)


class TestOcclusion:
    def predict(self, pictures, *explain):
        volume = make_volume(shape=(1, 40, 36), lesion=None)
        voxels = np.random.default_rng(0).integers(-500, 500, volume.shape).astype(np.int16)
        return pictures.predict({"side": volume.with_voxels(voxels)}, explain=["occlusion", *explain]).explanations

    def test_together_as_alone(self, pictures):
        together = self.predict(pictures, *LOOKS)
        assert len(together) == len(LOOKS)
        assert any(one.values.any() for one in together)
        for one in together:
            [alone] = self.predict(pictures, f"{one.target}:{one.class_name}")
            assert np.allclose(alone.values, one.values, atol=1e-6)

    def test_the_network_is_asked_once_for_all(self, pictures):
        self.predict(pictures, "finding")
        asked = []
        network = pictures._explainers["occlusion"]._network
        handle = network.register_forward_pre_hook(lambda _module, inputs: asked.append(len(inputs[0])))
        try:
            self.predict(pictures, "finding")
            once = sum(asked)
            self.predict(pictures, *LOOKS)
        finally:
            handle.remove()
        assert sum(asked) == 2 * once > 20


def made(view="", target="finding", class_name="abnormal"):
    return Explanation(np.zeros((2, 3, 4), np.float32), target, class_name, "grad-cam", view)


class TestFiles:
    def test_the_only_one_has_the_name_it_always_had(self):
        assert explanation_names([made()]) == ["explanation.nrrd"]
        assert explanation_names([]) == []

    def test_of_several_each_name_says_which_it_is(self):
        found = explanation_names(
            [made(view, target, name) for target, name in (("signs", "wire"), ("a b/c", "ä")) for view in ("", "1.2")]
        )
        assert len(set(found)) == 4
        assert all(name.startswith("explanation-") and name.endswith(".nrrd") for name in found)
        assert found[0].startswith("explanation-signs-wire-")
        assert found[1].startswith("explanation-1.2-signs-wire-")
        assert not any(mark in name for name in found for mark in "/\0 ")

    def test_a_view_that_is_called_like_a_uid_is_removed_with_the_others(self, classifier, tmp_path):
        """What an earlier run left goes, whatever its views and classes were called."""
        volume = make_volume(shape=(4, 24, 20))
        result = classifier.predict(make_volume(), explain=False)
        result = replace(
            result,
            explanations=tuple(
                Explanation(np.zeros(volume.shape, np.float32), target, "x", "grad-cam", view)
                for view in ("1", "front")
                for target in ("finding", "region")
            ),
        )
        write_classification(tmp_path, result, {"1": volume, "front": volume})
        assert len(list(tmp_path.glob("*.nrrd"))) == 4
        write_classification(
            tmp_path, replace(result, explanations=result.explanations[::2]), {"1": volume, "front": volume}
        )
        assert sorted(path.name for path in tmp_path.iterdir())[0] == "classification.json"
        assert {path.name for path in tmp_path.glob("*.nrrd")} == set(explanation_names(result.explanations[::2]))


class TestCommand:
    def test_every_explanation_is_written_and_named(self, source, model, tmp_path, capsys):
        line = ["classify", str(source), "--model", str(model), "--output", str(tmp_path), "--device", "cpu"]
        assert main([*line, "--explain-target", "all", "--explain-target", "region:head"]) == 0
        document = json.loads((tmp_path / "1.2.3.4" / "classification.json").read_text("utf-8"))
        assert len(document["explanations"]) == 4 == len({one["file"] for one in document["explanations"]})
        for one in document["explanations"]:
            values, header = nrrd.read(str(tmp_path / "1.2.3.4" / one["file"]), index_order="C")
            assert header["DicomAnalysis.explanation"] == f"{one['target']}: {one['class']} (grad-cam)"
            channel = LOOKS[f"{one['target']}:{one['class']}"]
            found = np.unravel_index(values.argmax(), values.shape)
            assert np.abs(np.subtract(found, AT[channel])).max() <= 6
        assert main([*line, "--explain"]) == 0
        assert [path.name for path in (tmp_path / "1.2.3.4").glob("*.nrrd")] == ["explanation.nrrd"]
        capsys.readouterr()
        assert main([*line, "--explain", "grad-cam", "--explain-target", "finding", "--resume", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["series"][0]["kept"], "the same in other words"

    def test_what_cannot_be_explained_ends_the_command_before_anything_is_done(self, source, model, tmp_path, capsys):
        output = tmp_path / "out"
        line = ["classify", str(source), "--model", str(model), "--output", str(output)]
        assert main([*line, "--explain-target", "signs:hair"]) == 2
        assert "no class 'signs:hair'; those of the target 'signs': nodule, effusion, wire" in capsys.readouterr().err
        assert not list(output.rglob("*.json"))


def test_a_child_process_hands_all_of_them_back(model, classifier, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    volume = two_lesions()
    asked = ["signs:effusion", "region:chest"]
    here = classifier.predict(volume, explain=asked)
    process = JobProcess(classify_volume_job({"": volume}, model, explain=tuple(asked), device="cpu"))
    process.start()
    assert process.wait().state == "done", process.failure
    assert [one.title for one in process.value.explanations] == [one.title for one in here.explanations]
    for one, other in zip(process.value.explanations, here.explanations, strict=True):
        assert np.allclose(one.values, other.values, atol=1e-5)


SHAPE_TARGETS = (ANY, WHICH, LARGEST)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A small network that was trained on pictures with several findings at once."""
    import torch

    options = ClassifierOptions(
        network="slices/small2d", epochs=10, patience=9, batch=16, device="cpu", learning_rate=2e-3
    )
    heads = Heads(SHAPE_TARGETS)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_classifier(options.description(heads.outputs, 1))
    training, validation = (
        KeptCases(ShapePictures(count, seed), heads, network.reduce) for seed, count in ((1, 500), (2, 100))
    )
    result = fit_classifier(network, training, validation, heads, options, tmp_path_factory.mktemp("shapes"))
    torch.set_num_threads(before)
    assert result.best_score > 0.97
    return network


class TestWhatWasLearned:
    """Of several findings in one picture each map shows its own."""

    def shown(self, learned, method, wanted):
        """Of classes that are there, how many have the peak of their map on their own shape; and how many there are."""
        heads, explainer = Heads(SHAPE_TARGETS), Explainer(learned, method)
        right = asked = 0
        pictures = ShapePictures(30, 9)
        for index in range(len(pictures)):
            sample = pictures.sample(index)
            shapes = wanted(sample)
            if not shapes:
                continue
            outputs = [heads[target].output_of(SHAPE_TARGETS[target].classes.index(name)) for target, name, _ in shapes]
            maps, used = explainer.maps(sample.images, sample.present, outputs)
            assert used == method
            for (_target, _name, own), found in zip(shapes, maps, strict=True):
                _view, _slice, *peak = np.unravel_index(found.argmax(), found.shape)
                on = [
                    np.abs(np.subtract(peak, place[:2])).max() <= place[2] + 8 for place in map(sample.places.get, own)
                ]
                right, asked = right + any(on), asked + 1
        return right, asked

    @pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
    def test_a_binary_target(self, learned, method):
        right, asked = self.shown(learned, method, lambda one: [(0, "yes", list(one.places))] * bool(one.places))
        assert asked >= 20
        assert right >= 0.9 * asked, (right, asked)

    def test_any_of_several(self, learned):
        """By occlusion; Grad-CAM tells classes of one picture apart less well, which the documentation says."""
        right, asked = self.shown(learned, "occlusion", lambda one: [(1, name, [name]) for name in one.places])
        assert asked >= 30
        assert right >= 0.9 * asked, (right, asked)

    def test_one_of_several(self, learned):
        def largest(one):
            name = LARGEST.classes[one.labels[LARGEST.name][0]]
            return [(2, name, [name])] * bool(one.places)

        right, asked = self.shown(learned, "occlusion", largest)
        assert asked >= 20
        assert right >= 0.9 * asked, (right, asked)
