"""Metal of a user's own series as examples: marked, found, or put into slices that have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from DicomAnalysisLib.phantom import make_head_phantom

pytest.importorskip("monai", reason="samples are varied by MONAI")

from DicomAnalysisLib.segmentation.training.metal_examples import metal_example, metal_samples, plain_slices
from DicomAnalysisLib.segmentation.training.metal_samples import CROP


def phantom(seed: int, patient: str, metal: bool = True):
    made = make_head_phantom(shape=(12, 144, 144), spacing=(10.0, 1.6, 1.6), seed=seed, metal=metal)
    return replace(made, volume=replace(made.volume, identity=replace(made.volume.identity, patient_id=patient)))


@pytest.fixture(scope="module")
def with_metal():
    return phantom(1, "A")


def test_the_phantoms_metal_is_found_and_slices_are_no_smaller_than_a_crop(with_metal):
    example = metal_example(with_metal.volume)
    assert example.patient_id == "A"
    assert min(example.hu.shape[1:]) >= CROP
    assert example.labels.any()
    assert set(np.unique(example.labels)) <= {0, 1}


def test_a_users_marks_are_taken_as_they_are(with_metal):
    own = np.zeros(with_metal.volume.shape, bool)
    own[5, 60:64, 70:75] = True
    example = metal_example(with_metal.volume, own)
    assert np.count_nonzero(example.labels) == 20


def test_a_cohort_without_metal_teaches_by_made_implants():
    example = metal_example(phantom(2, "B", metal=False).volume)
    assert not example.labels.any()
    samples = metal_samples([replace(example, usable=example.usable[5:7])], size=(64, 64), per_epoch=4, pool=2)
    found = [samples.sample(0, index) for index in range(len(samples))]
    assert all(image.shape == (3, 64, 64) and image.dtype == np.float32 for image, _ in found)
    assert all(labels.shape == (64, 64) and labels.dtype == np.uint8 for _, labels in found)


@pytest.mark.parametrize("marked", [False, True], ids=["free", "marked"])
def test_slices_of_air_are_no_obstacle(with_metal, marked):
    """Above the head, where a table may show its metal."""
    volume = with_metal.volume
    voxels = volume.voxels.copy()
    voxels[:2] = -1000
    own = np.zeros(volume.shape, bool)
    own[:2, 60:64, 70:75] = marked
    example = metal_example(volume.with_voxels(voxels), own)
    samples = metal_samples([replace(example, usable=example.usable[:2])], size=(64, 64), per_epoch=16, pool=16)
    assert samples.sample(0, 0)[0].shape == (3, 64, 64)


def test_samples_repeat_for_a_resumed_run(with_metal, tmp_path):
    example = metal_example(with_metal.volume)
    chosen = replace(example, usable=example.usable[:4])
    first, again = (metal_samples([chosen], (64, 64), 6, seed=3, pool=3, folder=tmp_path) for _ in range(2))
    assert (tmp_path / "crops.npz").is_file()
    for epoch, index in ((0, 1), (2, 3)):
        assert np.array_equal(first.sample(epoch, index)[0], again.sample(epoch, index)[0])


def test_slices_for_scores_are_the_series_own(with_metal):
    example = metal_example(with_metal.volume)
    images, labels = zip(*plain_slices(example), strict=True)
    assert len(images) == len(example.usable)
    assert all(np.array_equal(one, example.labels[k]) for k, one in enumerate(labels))
