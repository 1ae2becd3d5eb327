"""The network's metal: windows, seeds, crops as samples, and the shipped weights on known cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.segmentation.metal import Candidates, metal_pieces, metal_threshold
from DicomAnalysisLib.segmentation.network.metal import MARGIN, STEP, network_input, refine_metal, windows_around
from DicomAnalysisLib.segmentation.training.metal_samples import CROP, MetalCrops, MetalSamples

SPACING = (1.0, 0.8, 0.8)


class Threshold:
    """Stands where a network would: metal is what lies above `hu`; remembers what it was shown."""

    def __init__(self, hu: float) -> None:
        self.hu = hu
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for image in images:
            self.shapes.append(image.shape)
            metal = (image[0] * 1000 > self.hu).astype(np.float32)
            yield np.stack([1 - metal, metal])


def refined(voxels: np.ndarray, predictor: object) -> np.ndarray:
    candidates = Candidates.of(voxels)
    mask = np.zeros(voxels.shape, bool)
    for piece in refine_metal(voxels, candidates, metal_threshold(candidates), SPACING, predictor):
        mask.reshape(-1)[piece] = True
    return mask


@pytest.fixture
def voxels() -> np.ndarray:
    """Two screws on slices 1 to 3, bright bone without a seed elsewhere."""
    hu = np.full((5, 200, 240), 40, np.int16)
    hu[1:4, 50:56, 60:70] = 3071
    hu[1:4, 49, 60:70] = 2900
    hu[2, 150:153, 5:8] = 3071
    hu[4, 100:110, 100:110] = 1900
    return hu


def test_no_seed_no_window(voxels):
    predictor = Threshold(-2000)
    assert not refined(np.minimum(voxels, 2900), predictor).any()
    assert not refined(np.full((2, 64, 64), -1000, np.int16), predictor).any()
    assert predictor.shapes == []


def test_windows_hold_pieces_with_a_margin(voxels):
    candidates = Candidates.of(voxels)
    pieces = metal_pieces(candidates, metal_threshold(candidates))
    found = windows_around(pieces, voxels.shape)
    assert [window.k for window in found] == [1, 2, 2, 3]
    for window in found:
        assert (window.rows.stop - window.rows.start) % STEP == 0
        assert (window.columns.stop - window.columns.start) % STEP == 0
    first = found[0]
    assert first.rows.start <= 50 - MARGIN
    assert first.columns.stop >= 70 + MARGIN


def test_windows_never_leave_a_small_slice():
    found = windows_around([np.array([0, 50 * 70 - 1])], (1, 50, 70))
    for window in found:
        assert 0 <= window.rows.start < window.rows.stop <= 50
        assert 0 <= window.columns.start < window.columns.stop <= 70


def test_the_network_decides_within_reach_and_only_there(voxels):
    """A network that calls everything metal gets no further than a few pixels from a seeded piece."""
    mask = refined(voxels, Threshold(-2000))
    assert mask[1, 52, 65]
    assert not mask[4].any()
    assert not mask[0].any()
    assert mask[1].sum() < 16 * 20
    assert not refined(voxels, Threshold(9000)).any()


def test_pieces_come_largest_first_and_seeded(voxels):
    candidates = Candidates.of(voxels)
    pieces = refine_metal(voxels, candidates, metal_threshold(candidates), SPACING, Threshold(3000))
    assert [len(piece) for piece in pieces] == [180, 9]
    assert all((np.diff(piece) > 0).all() for piece in pieces)


def test_drawn_metal_is_taken_as_it_is(voxels):
    """One value beyond the 12-bit scale was put there by an artefact correction: nothing to judge."""
    drawn = np.where(voxels >= 2900, 5000, voxels).astype(np.int16)
    predictor = Threshold(9000)
    assert np.array_equal(refined(drawn, predictor), drawn == 5000)
    assert predictor.shapes == []


def test_channels():
    image = network_input(np.array([[-3000, 0], [3071, 6142]], np.int16), 0.7)
    assert image.dtype == np.float32
    assert image.shape == (3, 2, 2)
    assert image[0].tolist() == pytest.approx(np.array([[-1.024, 0], [3.071, 3.071]]))
    assert image[1].ravel().tolist() == pytest.approx([0, 0, 0, 1 / 3])
    assert np.allclose(image[2], 0.7)


def test_samples_depend_on_seed_epoch_and_index_alone():
    pytest.importorskip("monai")
    rng = np.random.default_rng(0)
    truth = (rng.random((3, CROP, CROP)) < 0.1).astype(np.uint8)
    hu = np.where(truth, 3071, rng.integers(-100, 100, truth.shape)).astype(np.int16)
    crops = MetalCrops(hu, truth, np.full(3, 0.8), ("A", "A+B", "B"))
    assert len(crops.decidable()) == 3
    samples, again = MetalSamples(crops, 7, 96), MetalSamples(crops, 7, 96)
    again.sample(5, 2)
    image, label = samples.sample(1, 2)
    assert image.shape == (3, 96, 96)
    assert label.shape == (96, 96)
    assert all(np.array_equal(a, b) for a, b in zip((image, label), again.sample(1, 2), strict=True))
    assert not np.array_equal(image, samples.sample(2, 2)[0])
    # Image and truth are turned and mirrored together.
    assert np.array_equal(image[0] > 2.5, label.astype(bool))
    assert len(crops.without({"B"})) == 1
    assert crops.of({"A"}).patients == ("A",)


@pytest.fixture(scope="module")
def shipped():
    pytest.importorskip("torch")
    pytest.importorskip("monai")
    from DicomAnalysisLib.networks.model_folder import find_model, load_model
    from DicomAnalysisLib.networks.prediction import Predictor

    return Predictor(load_model(find_model("metal")), "cpu")


@pytest.mark.parametrize(("number", "least"), [("04", 0.75), ("26", 0.97)])
def test_shipped_weights_find_metal_in_streaks(shared_data, shipped, monkeypatch, number, least):
    """A gold seed of 18 pixels, which is the worst of all cases, and a cage; neither was trained on."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "Testing" / "Data"))
    from metal_cases import streaked_cases

    case = streaked_cases(shared_data, (number,))[0]
    candidates = Candidates.of(case.streaked.voxels)
    threshold = np.zeros(case.truth.shape, bool)
    for piece in metal_pieces(candidates, metal_threshold(candidates)):
        threshold.reshape(-1)[piece] = True
    found = refined(case.streaked.voxels, shipped)
    assert _dice(found, case.truth) > _dice(threshold, case.truth)
    assert _dice(found, case.truth) >= least
    assert not refined(case.empty.voxels, shipped).any()


def test_a_series_without_metal_stays_empty(shared_data, shipped):
    assert not refined(read_volume(shared_data / "chest-totalseg-j2k").voxels, shipped).any()


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
