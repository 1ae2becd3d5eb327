"""Windows, masks, crops, orientation and grids: functions from arrays to arrays."""

from __future__ import annotations

import numpy as np
import pytest
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.preprocessing.cropping import border_box, bounding_box, find_text, without_text
from DicomAnalysisLib.preprocessing.fixed_grid import (
    GridPlaces,
    axis_weights,
    centred,
    fitting_spacing,
    on_grid,
    plane_field,
    slice_edges,
)
from DicomAnalysisLib.preprocessing.intensity import (
    body_mask,
    clahe,
    equalise,
    foreground_mask,
    hu_window,
    otsu,
    percentile_truncation,
)
from DicomAnalysisLib.preprocessing.orientation import axes_of, canonical, canonical_axes
from DicomAnalysisLib.preprocessing.projections import project
from DicomAnalysisLib.preprocessing.slices import choose_slices
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

arrays = hnp.arrays(np.float32, (3, 5, 4), elements=st.floats(-3000, 3000, width=32))
masks = hnp.arrays(bool, (3, 5, 4))


@given(arrays, masks)
def test_window_keeps_order_and_background_is_exactly_zero(voxels, mask):
    out = hu_window(voxels, -1000, 400, mask)
    assert out.dtype == np.float32
    assert out.min() >= 0 and out.max() <= 1
    assert not out[~mask].any()
    order = np.argsort(voxels[mask], kind="stable")
    assert (np.diff(out[mask][order]) >= 0).all()


@given(arrays, masks, st.floats(0, 40), st.floats(60, 100))
def test_truncation_is_of_the_mask_alone(voxels, mask, low, high):
    out = percentile_truncation(voxels, mask, low, high)
    assert out.min() >= 0 and out.max() <= 1 and not out[~mask].any()
    elsewhere = voxels.copy()
    elsewhere[~mask] = 1e6
    assert np.array_equal(out, percentile_truncation(elsewhere, mask, low, high))


def test_truncation_by_default_is_from_the_5th_to_the_99th_percentile():
    voxels = np.arange(1001, dtype=np.float32).reshape(1, 7, 143)
    out = percentile_truncation(voxels)
    assert out.reshape(-1)[50] == 0 and out.reshape(-1)[51] > 0
    assert out.reshape(-1)[990] == 1 and out.reshape(-1)[989] < 1


def test_truncation_of_a_constant_or_empty_foreground_is_zero():
    voxels = np.full((2, 3, 3), 7, np.int16)
    assert not percentile_truncation(voxels).any()
    assert not percentile_truncation(voxels, np.zeros(voxels.shape, bool)).any()


def test_empty_window_and_odd_percentiles_are_refused():
    with pytest.raises(UsageError, match="empty"):
        hu_window(np.zeros((1, 2, 2)), 100, 100)
    with pytest.raises(UsageError, match="5 and 99"):
        percentile_truncation(np.zeros((1, 2, 2)), None, 99, 5)


def test_equalisation_makes_ranks_and_leaves_the_background():
    generator = np.random.default_rng(0)
    voxels = generator.exponential(1.0, (4, 32, 32)).astype(np.float32)
    mask = np.zeros(voxels.shape, bool)
    mask[:, 4:28, 4:28] = True
    out = equalise(voxels, mask)
    assert not out[~mask].any()
    histogram = np.histogram(out[mask], 8, (0, 1))[0] / mask.sum()
    assert histogram == pytest.approx(np.full(8, 1 / 8), abs=0.03)


def test_clahe_raises_local_contrast_and_leaves_the_background():
    voxels = np.zeros((2, 64, 64), np.float32)
    voxels[:, 8:56, 8:56] = 0.5 + 0.01 * np.sin(np.arange(48) / 2)
    mask = voxels > 0
    out = clahe(voxels, mask, clip_limit=0.03)
    assert not out[~mask].any()
    assert out[0, 20:44, 20:44].std() > 2 * voxels[0, 20:44, 20:44].std()


def test_otsu_parts_two_peaks():
    values = np.concatenate([np.random.default_rng(1).normal(m, 5, 5000) for m in (10, 100)])
    assert 30 < otsu(values) < 80


def _body() -> np.ndarray:
    """A body with a lung, 60 mm wide, over a table 4 mm thick; voxels of 2 mm."""
    hu = np.full((6, 64, 64), -1000, np.int16)
    rows, columns = np.mgrid[:64, :64]
    hu[:, (rows - 28) ** 2 + (columns - 32) ** 2 < 15**2] = 40
    hu[:, (rows - 28) ** 2 + (columns - 38) ** 2 < 5**2] = -850
    hu[:, 50:52, 5:60] = 100
    return hu


def test_body_holds_its_cavities_and_not_the_table():
    hu = _body()
    mask = body_mask(hu, (5.0, 2.0, 2.0))
    rows, columns = np.mgrid[:64, :64]
    truth = (rows - 28) ** 2 + (columns - 32) ** 2 < 15**2
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum() * 6) > 0.97
    assert mask[3, 28, 38] and not mask[:, 49:].any()
    assert not body_mask(np.full((3, 8, 8), -1000), (5.0, 2.0, 2.0)).any()


@pytest.mark.parametrize("pixel_mm", [2.8, 5.5, 9.5])
def test_a_table_that_he_lies_on_is_cut_off_at_coarse_pixels(pixel_mm):
    """The wings of a table that touches the body, and not the wall of the chest, which is as thin."""
    rows = columns = (np.arange(120) - 59.5) * pixel_mm
    away = [(rows[:, None] / (half * 100)) ** 2 + (columns / (half * 140)) ** 2 for half in (1.0, 0.8)]
    alone = np.full((6, 120, 120), -1000.0)
    alone[:, away[0] < 1] = 40
    alone[:, away[1] < 1] = -850
    with_table = alone.copy()
    with_table[:, (np.abs(rows - 92) < 0.75 * pixel_mm)[:, None] & (away[0] >= 1)] = -100
    spacing = (8.0, pixel_mm, pixel_mm)
    expected, found = body_mask(alone, spacing), body_mask(with_table, spacing)
    assert expected[:, away[1] < 0.9].all() and expected.sum() > 0.93 * 6 * (away[0] < 1).sum()
    assert (found & ~expected).sum() < 0.03 * expected.sum()
    beside = np.abs(columns) > 100
    assert not found[:, (np.abs(rows - 92) < 0.75 * pixel_mm)[:, None] & beside].any()


def test_a_stack_of_few_thin_slices_keeps_its_body():
    mask = body_mask(_body()[:3], (0.5, 2.0, 2.0))
    assert mask[:, 28, 32].all() and not mask[:, 49:].any()


def test_foreground_keeps_dark_tissue():
    image = np.random.default_rng(0).normal(10, 3, (4, 40, 40)).astype(np.float32)
    image[:, 8:32, 8:20] += 300
    image[:, 8:32, 20:32] += 140
    mask = foreground_mask(image, (5.0, 1.0, 1.0))
    assert mask[:, 10:30, 10:30].all() and mask.mean() < 0.4


@given(st.integers(1, 40), st.lists(st.floats(-5, 45), min_size=2, max_size=2, unique=True), st.integers(2, 30))
def test_weights_of_cells_inside_sum_to_one(count, ends, cells):
    weights, inside = axis_weights(count, np.linspace(*ends, cells))
    total = np.asarray(weights.sum(axis=1)).reshape(-1)
    assert total[inside] == pytest.approx(1, abs=1e-5)
    assert not total[~inside].any()


@given(
    st.lists(st.floats(0.5, 9), min_size=1, max_size=9),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    st.tuples(st.integers(2, 12), st.integers(2, 12), st.integers(2, 12)),
)
def test_a_linear_field_keeps_its_place_in_uneven_and_tilted_stacks(gaps, drift, shape):
    """Values that are linear in position come out as they are at the cell's place: nothing is shifted."""
    distances = np.concatenate([[3.0], 3.0 + np.cumsum(gaps)])
    shifts = (distances - distances[0])[:, None] * np.array(drift)
    k, j, i = np.ogrid[: len(distances), :9, :11]
    voxels = (
        5 * distances[k] + 2 * (j + shifts[k.reshape(-1), 0][:, None, None]) + (i + shifts[:, 1][:, None, None])
    ).astype(np.float32)
    edges = slice_edges(distances, 1.0)
    # A small grid in the middle, away from borders where the filter is cut off.
    places = GridPlaces(
        np.linspace(distances[0], distances[-1], shape[0]),
        4 + np.linspace(-0.5, 0.5, shape[1]) + shifts[:, 0].mean(),
        5 + np.linspace(-0.5, 0.5, shape[2]) + shifts[:, 1].mean(),
    )
    reach = max(abs(shifts - shifts.mean(axis=0)).max(), 0)
    values, inside = on_grid(voxels, distances, places, -99.0, edges, shifts)
    truth = 5 * places.depths[:, None, None] + 2 * places.rows[:, None] + places.columns
    fine = np.ones(len(places.depths), bool)
    if len(places.depths) > 1 and places.depths[1] - places.depths[0] > min(gaps):
        fine[:] = False  # averaged over uneven slices: close, not equal
    if reach < 3 and fine.any():
        assert inside.all()
        assert values == pytest.approx(truth, abs=0.02)


def test_coarser_grids_average_what_lies_between():
    noise = np.random.default_rng(0).normal(0, 1, (40, 64, 64)).astype(np.float32)
    edges = slice_edges(np.arange(40.0), 1.0)
    field = plane_field((64, 64))
    places = centred(field, (1.0, 1.0), edges, (10, 16, 16), (4.0, 4.0, 4.0))
    values, inside = on_grid(noise, np.arange(40.0), places, 0.0, edges)
    assert inside.all()
    assert values.std() < 0.25  # 64 voxels to a cell; nearest neighbours would keep 1


def test_fitting_keeps_shapes_in_the_plane():
    assert fitting_spacing((100.0, 200.0, 400.0), (10, 50, 50)) == (10.0, 8.0, 8.0)


def test_outside_is_filled():
    edges = slice_edges(np.arange(4.0), 1.0)
    places = centred(plane_field((4, 4)), (1.0, 1.0), edges, (8, 8, 8), (1.0, 1.0, 1.0))
    values, inside = on_grid(np.ones((4, 4, 4)), np.arange(4.0), places, -1000.0, edges)
    assert (inside[2:6, 2:6, 2:6]).all() and inside.sum() == 64
    assert (values[inside] == 1).all() and (values[~inside] == -1000).all()


signed_axes = st.permutations([0, 1, 2]).flatmap(
    lambda order: st.tuples(st.just(order), st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3))
)


@given(signed_axes)
def test_canonical_arrays_are_the_same_however_they_were_stored(axes):
    order, signs = axes
    truth = np.arange(2 * 3 * 5).reshape(2, 3, 5)  # planes to the head, rows to the back, columns to the left
    stored = np.transpose(truth, order)
    stored = stored[tuple(slice(None, None, -1) if sign < 0 else slice(None) for sign in signs)]
    directions = np.zeros((3, 3))
    for axis, (old, sign) in enumerate(zip(order, signs, strict=True)):
        directions[2 - old, axis] = sign
    assert np.array_equal(canonical(stored, directions), truth)


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_oblique_stacks_use_every_axis_once(a, b, c):
    from scipy.spatial.transform import Rotation

    matrix = Rotation.from_euler("xyz", [a, b, c]).as_matrix() @ np.eye(3)[::-1]
    order, turned = canonical_axes(matrix)
    assert sorted(order) == [0, 1, 2]
    assert len(turned) == 3


def test_slices_stay_slices_where_asked():
    sagittal = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # slices to the left, rows to the feet, columns back
    assert axes_of(sagittal, keep_slices=True) == ((0, 1, 2), (False, False, False))


@given(st.integers(1, 60), st.integers(1, 40))
def test_chosen_slices_are_ordered_and_spread(slices, count):
    chosen = choose_slices(np.arange(slices) * 2.5, count)
    assert len(chosen) == count and (np.diff(chosen) >= 0).all()
    assert chosen.min() >= 0 and chosen.max() < slices
    if count <= slices:
        assert len(set(chosen.tolist())) == count
    if count == slices:
        assert chosen.tolist() == list(range(slices))
    ends = chosen[0], slices - 1 - chosen[-1]
    assert abs(ends[0] - ends[1]) <= 1


def test_slices_are_spread_in_millimetres_and_all_means_all():
    distances = np.concatenate([np.arange(10), 10 + 10 * np.arange(10)])
    chosen = choose_slices(distances, 5)
    assert np.diff(distances[chosen]).max() <= 25 and np.count_nonzero(chosen >= 10) >= 4
    assert choose_slices(distances, None).tolist() == list(range(20))
    with pytest.raises(UsageError):
        choose_slices(distances, 0)


@given(arrays, st.sampled_from([0, 1, 2]))
def test_projections(voxels, axis):
    assert np.array_equal(project(voxels, "max", axis)[0], voxels.max(axis=axis))
    assert np.array_equal(project(voxels, "min", axis)[0], voxels.min(axis=axis))
    assert project(voxels, "mean", axis)[0] == pytest.approx(voxels.mean(axis=axis), abs=1e-2)


def test_unknown_projection_is_refused():
    with pytest.raises(UsageError, match="max, min or mean"):
        project(np.zeros((2, 2, 2)), "median")


def test_border_is_cut_where_every_frame_is_constant():
    picture = np.random.default_rng(0).uniform(1, 2, (3, 30, 40))
    picture[:, :4], picture[:, 27:], picture[:, :, :6], picture[:, :, 35:] = 0, 0, 0, 0
    assert border_box(picture) == (slice(4, 27), slice(6, 35))
    assert border_box(np.zeros((5, 6))) == (slice(0, 5), slice(0, 6))


@given(masks)
def test_bounding_box_holds_the_mask(mask):
    box = bounding_box(mask)
    assert mask[box].sum() == mask.sum()


def _mammogram() -> np.ndarray:
    rows, columns = np.mgrid[:200, :160]
    picture = np.where((rows - 100) ** 2 / 70**2 + columns**2 / 90**2 < 1, 1500.0, 20.0)
    picture += np.random.default_rng(0).normal(0, 8, picture.shape)
    picture[100:104, 40:44] = 4000  # a calcification
    return picture.astype(np.float32)


def _letters(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    out = picture.copy()
    for letter in range(3):
        left = column + 8 * letter
        out[row : row + 9, left : left + 2] = 4095
        out[row : row + 2, left : left + 5] = 4095
        out[row + 7 : row + 9, left : left + 5] = 4095
    return out


@pytest.mark.parametrize(("row", "column"), [(5, 120), (185, 125), (8, 60)])
def test_burnt_in_text_is_found_and_erased(row, column):
    clean = _mammogram()
    written = _letters(clean, row, column)
    found = find_text(written)
    assert found[row : row + 9, column : column + 21].sum() > 60
    assert not found[100:104, 40:44].any()
    erased = without_text(written)
    assert np.abs(erased[row : row + 9, column : column + 21] - 20).max() < 60
    assert np.array_equal(erased[60:150, :60], clean[60:150, :60])


def test_without_text_there_is_nothing_to_erase():
    clean = _mammogram()
    assert not find_text(clean).any()
    assert without_text(clean) is clean
