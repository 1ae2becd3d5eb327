"""The coarse grid and the morphology on it, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from DicomAnalysisLib.segmentation import morphology as morph
from DicomAnalysisLib.segmentation.coarse import CoarseGrid
from DicomAnalysisLib.segmentation.contact import divide, profile
from DicomAnalysisLib.volume import StackGeometry
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage as ndi

stacks = hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(3, 12), st.integers(3, 12)))


def grid_of(rows: int, columns: int, factor: int, slices: int = 3, depth: int = 1) -> CoarseGrid:
    return CoarseGrid(slices, rows, columns, factor, depth, 2.0, 2.0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 3), st.integers(1, 23), st.integers(1, 23), st.sampled_from(["int16", "float32"])
)
def test_block_means(factor, depth, rows, columns, dtype):
    factor = min(factor, rows, columns)
    grid = grid_of(rows, columns, factor, 5, depth)
    voxels = np.random.default_rng(rows * 31 + columns).integers(-3024, 3071, (5, rows, columns)).astype(dtype)
    means = grid.block_means(voxels, floor=-1024)
    assert means.shape == grid.shape
    for k, j, i in np.ndindex(*grid.shape):
        block = voxels[k * depth : (k + 1) * depth, j * factor : (j + 1) * factor, i * factor : (i + 1) * factor]
        np.testing.assert_allclose(means[k, j, i], np.maximum(block, -1024).mean(dtype=np.float64), atol=0.51)


def test_block_means_beyond_16_bits_stay_dense():
    """An implant of 60,000 HU must not come out as air."""
    assert (grid_of(6, 6, 3).block_means(np.full((3, 6, 6), 60000, np.float32)) == 32767).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), stacks)
def test_refining_disjoint_masks_stays_disjoint(factor, masks):
    grid = grid_of(masks.shape[1] * factor, masks.shape[2] * factor - min(1, factor - 1), factor)
    for mask in masks:
        fine, rest = grid.refine(mask), grid.refine(~mask)
        assert fine.shape == (grid.rows, grid.columns)
        assert not (fine & rest).any()
        assert not (fine & ~grid.refine(np.ones_like(mask))).any()


def test_refining_is_linear_interpolation():
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    grid = grid_of(16, 16, 4)
    expected = ndi.zoom(mask.astype(float), 4, order=1, grid_mode=True, mode="nearest") > 0.5 + 1e-9
    np.testing.assert_array_equal(grid.refine(mask), expected)
    np.testing.assert_array_equal(grid.refine(mask, slice(3, 9)), expected[3:9])


def test_repeat_and_any_in_block_undo_each_other():
    mask = np.random.default_rng(3).random((5, 6)) > 0.6
    grid = grid_of(14, 17, 3)
    np.testing.assert_array_equal(grid.any_in_block(grid.repeat(mask)), mask)


@pytest.mark.parametrize(("spacing", "factor"), [(0.25, 8), (0.488, 4), (0.7, 3), (0.977, 3), (1.37, 2), (2.5, 1)])
def test_blocks_are_two_to_three_millimetres(spacing, factor):
    grid = CoarseGrid.of((10, 512, 512), stack(spacing, [5.0 * k for k in range(10)]))
    assert grid.factor == factor
    assert grid.pixel_mm <= 3.0


@pytest.mark.parametrize(("slice_mm", "depth"), [(0.5, 5), (0.625, 4), (1.0, 2), (1.25, 2), (2.0, 1), (5.0, 1)])
def test_thin_slices_are_taken_together(slice_mm, depth):
    grid = CoarseGrid.of((11, 512, 512), stack(0.5, [slice_mm * k for k in range(11)]))
    assert grid.depth == depth
    assert [k for layer in range(grid.shape[0]) for k in grid.layer_slices(layer)] == list(range(11))


def test_unevenly_spaced_slices_stay_single():
    assert CoarseGrid.of((4, 512, 512), stack(0.5, [0, 1, 2, 4])).depth == 1


def stack(pixel: float, places: list[float]) -> StackGeometry:
    return StackGeometry([1, 0, 0], [0, 1, 0], (pixel, pixel), [[0, 0, z] for z in places])


def octagon(steps: int) -> np.ndarray:
    point = np.zeros((2 * steps + 1,) * 2, bool)
    point[steps, steps] = True
    for step in range(steps):
        point = ndi.binary_dilation(point, ndi.generate_binary_structure(2, 2 if step % 2 else 1))
    return point


@settings(max_examples=60, deadline=None)
@given(stacks, st.integers(1, 4))
def test_dilation_and_erosion_by_octagons(mask, steps):
    disc = octagon(steps)[None]
    np.testing.assert_array_equal(morph.dilate(mask, steps), ndi.binary_dilation(mask, disc))
    np.testing.assert_array_equal(morph.erode(mask, steps), ndi.binary_erosion(mask, disc, border_value=1))


@settings(max_examples=60, deadline=None)
@given(stacks)
def test_fill_holes_slice_by_slice(mask):
    expected = np.stack([ndi.binary_fill_holes(plane) for plane in mask])
    np.testing.assert_array_equal(morph.fill_holes(mask), expected)


@settings(max_examples=60, deadline=None)
@given(stacks, st.data())
def test_touching(mask, data):
    other = data.draw(hnp.arrays(bool, mask.shape)) & ~mask
    labels, count = ndi.label(mask)
    reached = ndi.binary_dilation(other)
    expected = [label > 0 and bool((reached & (labels == label)).any()) for label in range(count + 1)]
    assert morph.touching(labels, count, other).tolist() == expected


def test_the_border_runs_nearer_to_the_support():
    """A bar from patient to support: the patient's front is four times as fast."""
    joined = np.zeros((1, 3, 52), bool)
    joined[0, 1, 1:51] = True
    patient, support = np.zeros_like(joined), np.zeros_like(joined)
    patient[0, 1, 0] = support[0, 1, 51] = True
    to_patient, contact = divide(joined, patient, support, 2.0, 2.0)
    assert to_patient[0, 1, 1:41].all()
    assert not to_patient[0, 1, 42:].any()
    assert contact == (0,)


def test_profile_follows_a_line_along_the_scanners_axis():
    support = np.zeros((4, 6, 6), bool)
    for k in range(3):  # unknown in the last slice
        support[k, 1 + k, 2] = True
    shifts = np.array([[k, 0] for k in range(4)])
    along = profile(support, shifts)
    assert along[3, 4, 2]
    assert along.sum() == 4
