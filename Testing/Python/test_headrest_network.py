"""The headrest by a network: what is made of its answer, when it is asked, and what happens when it cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.errors import ModelError, UsageError
from DicomAnalysisLib.networks.model_folder import SHIPPED
from DicomAnalysisLib.phantom import make_head_phantom
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.segmentation.analysis import Analysis
from DicomAnalysisLib.segmentation.network import use
from DicomAnalysisLib.segmentation.network.fusion import classical_guess
from DicomAnalysisLib.segmentation.network.grid import PATIENT, SUPPORT, network_grid
from DicomAnalysisLib.segmentation.network.headrest import draw_view, owned, view
from DicomAnalysisLib.segmentation.network.use import NETWORK_MEASURES_BETTER, is_wanted, model_for
from DicomAnalysisLib.segmentation.options import require_available
from DicomAnalysisLib.volume import Volume
from scipy import ndimage as ndi

pytest.importorskip("torch", reason="the network needs torch")

CLASSICAL = SegmentationOptions(tasks=("headrest",), method="classical")


class Knowing:
    """In place of a network: the truth on the network's grid, with the errors that a test puts into it."""

    def __init__(self, patient: np.ndarray, support: np.ndarray) -> None:
        self.patient, self.support, self.asked = patient, support, 0

    def run(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for image in images:
            layer = self.asked
            self.asked += 1
            out = np.zeros((3, *image.shape[1:]), np.float32)
            out[PATIENT], out[SUPPORT] = self.patient[layer], self.support[layer]
            out[0] = 1 - out[1:].sum(0)
            yield out


@pytest.fixture(scope="module")
def head():
    return make_head_phantom(shape=(10, 160, 160), spacing=(8.0, 1.5, 1.5), seed=3)


@pytest.fixture(scope="module")
def analysis(head):
    return Analysis(head.volume, CLASSICAL, lambda _share, _stage: None)


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """An untrained network in a model folder."""
    import torch
    from DicomAnalysisLib.networks.architectures import build_network
    from DicomAnalysisLib.networks.card import ModelCard
    from DicomAnalysisLib.networks.model_folder import save_model
    from DicomAnalysisLib.segmentation.training.tasks import model_description

    torch.manual_seed(0)
    description = model_description("headrest", small=True)
    folder = tmp_path_factory.mktemp("models") / "mine"
    save_model(folder, build_network(description), description, ModelCard("tests"))
    return folder


def seen_by(head, analysis, patient, support):
    """What the module makes of an answer: a mask at full resolution."""
    grid = network_grid(head.volume.shape, head.volume.geometry)
    means = grid.block_means(head.volume.voxels)
    rows = np.flatnonzero((means > -850).any((0, 2)))
    columns = np.flatnonzero((means > -850).any((0, 1)))
    part = tuple(slice(max(0, a[0] - 16), a[-1] + 17) for a in (rows, columns))
    network = Knowing(patient[:, *part].astype(float), support[:, *part].astype(float))
    guess = classical_guess(analysis, grid)
    seen = view(means, guess, grid, np.arange(len(means)), network)
    whose = owned(seen, analysis.levels, guess)
    return draw_view(head.volume.voxels, seen, whose, analysis.levels, np.zeros(head.volume.shape, bool))


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_a_right_answer_gives_the_phantoms_own_headrest(head, analysis):
    mask = seen_by(head, analysis, head.patient, head.headrest)
    assert dice(mask, head.headrest) > 0.97
    assert not (mask & head.patient).any()


def test_crumbs_and_islands_are_put_right(head, analysis):
    patient, support = head.patient.astype(float), head.headrest.astype(float)
    inside = tuple(round(axis.mean()) for axis in np.nonzero(head.patient))
    patch = (inside[0], slice(inside[1] - 3, inside[1] + 3), slice(inside[2] - 3, inside[2] + 3))
    patient[patch], support[patch] = 0, 1  # a crumb of support in the middle of the head
    holder = np.argwhere(head.headrest)[len(np.argwhere(head.headrest)) // 2]
    spot = (holder[0], slice(holder[1] - 1, holder[1] + 2), slice(holder[2] - 1, holder[2] + 2))
    patient[spot], support[spot] = 0.6, 0.4  # and of patient in the holder
    mask = seen_by(head, analysis, patient, support)
    assert np.array_equal(mask, seen_by(head, analysis, head.patient, head.headrest))


def test_what_is_surely_patient_is_not_taken_by_an_unsure_network(head, analysis):
    half = np.zeros(head.patient.shape, bool)
    half[:, : head.patient.shape[1] // 2] = True
    taken = head.patient & half
    unsure = head.headrest + 0.7 * taken
    mask = seen_by(head, analysis, head.patient * np.where(taken, 0.3, 1.0), unsure)
    assert np.count_nonzero(mask & head.patient) / np.count_nonzero(head.patient) < 1e-4


def test_empty_slices_stay_empty_and_are_not_looked_at(head, analysis):
    voxels = head.volume.voxels.copy()
    voxels[:3] = -1000
    grid = network_grid(head.volume.shape, head.volume.geometry)
    network = Knowing(np.zeros((10, 1, 1)), np.ones((10, 1, 1)))
    seen = view(grid.block_means(voxels), classical_guess(analysis, grid), grid, np.arange(10), network)
    assert network.asked == 7
    assert not seen.support[:3].any()


def test_the_network_is_told_the_classical_methods_classes(head, analysis):
    grid = network_grid(head.volume.shape, head.volume.geometry)
    guess = classical_guess(analysis, grid)
    assert guess.shape == grid.shape
    patient, support = (grid.block_means(mask * np.int16(100), floor=0) > 90 for mask in (head.patient, head.headrest))
    assert (guess[patient] == PATIENT).mean() > 0.95
    assert (guess[support] == SUPPORT).mean() > 0.95


def test_a_model_of_another_input_is_refused(head, small_model, tmp_path):
    import torch
    from DicomAnalysisLib.networks.architectures import build_network
    from DicomAnalysisLib.networks.card import ModelCard
    from DicomAnalysisLib.networks.model_folder import read_manifest, save_model

    description = read_manifest(small_model).description
    old = replace(description, architecture={**description.architecture, "in_channels": 4})
    torch.manual_seed(0)
    save_model(tmp_path / "old", build_network(old), old, ModelCard("tests"))
    options = SegmentationOptions(tasks=("headrest",), method="network", device="cpu", models=(str(tmp_path / "old"),))
    with pytest.raises(ModelError, match=r"4 channels.*5.*train"):
        segment(head.volume, options)


def test_the_result_says_which_network_ran(head, small_model):
    options = SegmentationOptions(tasks=("headrest",), method="network", device="cpu", models=(str(small_model),))
    result = segment(head.volume, options)
    assert result.method == "network"
    used = result.details["networks"]["headrest"]
    manifest = json.loads((small_model / "manifest.json").read_text())
    assert used["model"] == "headrest"
    assert used["sha256"] in json.dumps(manifest)
    assert used["device"] == "cpu"
    again = segment(head.volume, options)
    assert np.array_equal(result.segment("Headrest").mask, again.segment("Headrest").mask)


def test_auto_takes_the_network_that_measures_better_or_the_users_own(head, small_model):
    shipped = SegmentationOptions(tasks=("headrest",), device="cpu")
    assert is_wanted("headrest", shipped) == NETWORK_MEASURES_BETTER["headrest"]
    if not NETWORK_MEASURES_BETTER["headrest"]:
        mask = segment(head.volume, CLASSICAL).segment("Headrest").mask
        assert np.array_equal(segment(head.volume, shipped).segment("Headrest").mask, mask)
    own = SegmentationOptions(tasks=("headrest",), device="cpu", models=(str(small_model),))
    assert segment(head.volume, own).method == "network"


def test_changed_weights_are_refused(head, small_model, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(small_model, changed)
    weights = changed / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    options = SegmentationOptions(tasks=("headrest",), method="network", device="cpu", models=(str(changed),))
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        segment(head.volume, options)


def test_a_model_that_is_not_there_is_a_usage_error(head, tmp_path):
    options = SegmentationOptions(tasks=("headrest",), method="network", models=(str(tmp_path / "none"),))
    with pytest.raises(UsageError, match="no model"):
        segment(head.volume, options)


def test_a_model_is_used_for_its_own_task_only(small_model):
    options = SegmentationOptions(models=(str(small_model),))
    assert model_for("headrest", options) == small_model
    assert model_for("metal", options) != small_model


def test_the_shipped_network_is_not_replaced_by_a_folder_that_happens_to_have_its_name(
    small_model, tmp_path, monkeypatch
):
    shutil.copytree(small_model, tmp_path / "headrest")
    monkeypatch.chdir(tmp_path)
    assert model_for("headrest", SegmentationOptions(method="network")) == SHIPPED / "headrest"


def described(folder, small_model, **changes):
    """A model that is described otherwise."""
    from DicomAnalysisLib.networks.model_folder import load_model, save_model

    model = load_model(small_model)
    save_model(folder, model.network, replace(model.description, **changes), model.card)
    return str(folder)


@pytest.mark.parametrize("method", ["auto", "network"])
def test_a_model_for_none_of_the_tasks_is_refused_and_not_forgotten(head, small_model, tmp_path, method):
    """A bundle of somebody else's, for example, whose task is a sentence."""
    folder = described(tmp_path / "other", small_model, task="Segmentation of head holders")
    options = SegmentationOptions(tasks=("headrest",), method=method, device="cpu", models=(folder,))
    with pytest.raises(UsageError, match=r"is for 'Segmentation of head holders', not for one of headrest, metal"):
        require_available(options)
    with pytest.raises(UsageError, match="not for one of"):
        segment(head.volume, options)


@pytest.mark.parametrize("classes", [["background", "support", "patient"], []], ids=["swapped", "no names"])
def test_a_model_of_other_classes_is_refused(head, small_model, tmp_path, classes):
    folder = described(tmp_path / "other", small_model, output={"classes": classes})
    options = SegmentationOptions(tasks=("headrest",), method="network", device="cpu", models=(folder,))
    with pytest.raises(ModelError, match=r"background, patient, support, in this order"):
        segment(head.volume, options)


def test_the_users_network_without_the_packages_is_missed_in_the_warnings(head, small_model, monkeypatch):
    monkeypatch.setattr(use, "missing_packages", lambda: ("torch",))
    own = SegmentationOptions(tasks=("headrest",), device="cpu", models=(str(small_model),))
    result = segment(head.volume, own)
    assert result.method == "classical"
    assert "The network for headrest was not used: torch is not installed." in result.warnings
    assert not any("torch" in text for text in segment(head.volume, replace(own, models=())).warnings)


def test_the_shipped_network_works_beside_the_classical_method(head):
    shipped = SegmentationOptions(tasks=("headrest",), method="network", device="cpu")
    network, classical = (segment(head.volume, one).segment("Headrest").mask for one in (shipped, CLASSICAL))
    assert dice(network, head.headrest) > dice(classical, head.headrest) - 0.02
    lost = np.count_nonzero(network & head.patient) - np.count_nonzero(classical & head.patient)
    assert lost < 1e-3 * np.count_nonzero(head.patient)


@pytest.mark.parametrize("name", ["chest-rider-neardup", "abdomen-acrin001-t0"])
def test_the_shipped_network_on_real_series(name):
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip("the real series are not beside this checkout")
    whole = read_volume(folder)
    chosen = np.arange(4, 16)
    volume = Volume(whole.voxels[chosen], whole.geometry.select(chosen), whole.identity)
    stored = np.load(folder / "reference-patient.npz")
    shape = tuple(int(n) for n in stored["shape"])
    patient = np.unpackbits(stored["mask"])[: int(np.prod(shape))].reshape(shape).astype(bool)
    uids = [str(uid) for uid in stored["sop_instance_uids"]]
    patient = patient[[uids.index(uid) for uid in whole.sop_instance_uids]][chosen]
    options = SegmentationOptions(tasks=("headrest",), method="network", device="cpu")
    mask = segment(volume, options).segment("Headrest").mask
    classical = segment(volume, CLASSICAL).segment("Headrest").mask
    inside = np.stack([ndi.distance_transform_edt(p, sampling=volume.geometry.pixel_spacing) > 1.5 for p in patient])
    assert 1e6 * np.count_nonzero(mask & inside) / np.count_nonzero(patient) <= 200
    assert np.count_nonzero(mask & classical) >= 0.98 * np.count_nonzero(classical)
