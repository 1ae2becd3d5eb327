"""A regular grid keeps every acquired voxel within 0.1 mm of where it was acquired."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from DicomAnalysisLib.errors import GeometryError
from DicomAnalysisLib.preprocessing.resampling import RegularGrid, to_regular_grid
from DicomAnalysisLib.volume import POSITION_TOLERANCE_MM, StackGeometry, Volume
from hypothesis import example, given, settings
from hypothesis import strategies as st

ROWS, COLUMNS = 5, 6


def make_geometry(gaps, tilt_degrees=0.0, euler=(0.0, 0.0, 0.0), spacing=(0.6, 0.5)) -> StackGeometry:
    """A stack whose slices step along the tilted normal; `gaps` are distances along the normal."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_euler("xyz", euler, degrees=True).as_matrix()
    row, column = rotation[:, 0], rotation[:, 1]
    step = np.cross(row, column) + np.tan(np.radians(tilt_degrees)) * column
    distances = np.concatenate([[0.0], np.cumsum(gaps)])
    return StackGeometry(row, column, spacing, np.array([-30.0, 40.0, 55.0]) + distances[:, None] * step)


def volume_of(geometry: StackGeometry, voxels: np.ndarray | None = None) -> Volume:
    if voxels is None:
        rng = np.random.default_rng(len(geometry))
        voxels = rng.integers(-1000, 3000, (len(geometry), ROWS, COLUMNS), dtype=np.int16)
    return Volume(voxels, geometry)


def world(affine: np.ndarray, ijk: np.ndarray) -> np.ndarray:
    return ijk @ affine[:3, :3].T + affine[:3, 3]


def grid_indices(shape) -> np.ndarray:
    k, j, i = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.stack([i, j, k], axis=-1).astype(float)


def offsets_of_acquired_voxels(grid: RegularGrid, geometry: StackGeometry) -> np.ndarray:
    """Distance from each acquired voxel (from the slice's own affine) to the voxel that holds it on the grid."""
    distances = []
    for k, plane in enumerate(grid.plane_of_slice):
        corners = np.array([[i, j, 0] for i in (0, COLUMNS - 1) for j in (0, ROWS - 1)], float)
        acquired = world(geometry.slice_to_lps(k), corners)
        on_grid = world(grid.ijk_to_lps, corners + np.array([0, 0, plane]))
        distances.append(np.linalg.norm(acquired - on_grid, axis=1))
    return np.array(distances)


stacks = st.builds(
    make_geometry,
    st.lists(st.floats(0.4, 9.0), min_size=1, max_size=25),
    st.floats(-25, 25),
    st.tuples(st.floats(-180, 180), st.floats(-80, 80), st.floats(-180, 180)),
)


@given(stacks)
@example(make_geometry([0.6875, 0.6875, 0.40625, 0.6875, 0.6875], euler=(0.0, 28.0, 0.0)))
@settings(max_examples=60, deadline=None)
def test_voxels_of_any_stack_are_in_their_place(geometry):
    volume = volume_of(geometry)
    grid = to_regular_grid(volume)
    assert np.linalg.det(grid.ijk_to_lps[:3, :3]) > 0, "a grid is never left-handed"
    if grid.is_exact:
        assert offsets_of_acquired_voxels(grid, geometry).max() <= POSITION_TOLERANCE_MM + 1e-6
        assert (np.diff(grid.plane_of_slice) >= 1).all()
        np.testing.assert_array_equal(grid.image(volume.voxels)[grid.plane_of_slice], volume.voxels)
        np.testing.assert_array_equal(grid.to_slices(grid.image(volume.voxels)), volume.voxels)
    else:
        assert any("no affordable regular grid" in warning for warning in grid.warnings)


@given(stacks, st.tuples(*[st.floats(-40, 40)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_linear_field_is_where_it_was(geometry, gradient):
    """Exact grid or interpolated: what a voxel shows was acquired within 0.1 mm of where the voxel says it is."""
    gradient = np.array(gradient)
    at_slices = geometry.index_to_lps(grid_indices((len(geometry), ROWS, COLUMNS)))
    grid = to_regular_grid(volume_of(geometry, (at_slices @ gradient).astype(np.float32)))
    image = grid.image((at_slices @ gradient).astype(np.float32))
    expected = world(grid.ijk_to_lps, grid_indices(grid.shape)) @ gradient
    tolerance = 1.05 * POSITION_TOLERANCE_MM * np.linalg.norm(gradient) + 1e-3 * (1 + np.abs(expected).max() * 1e-2)
    assert np.abs(image - expected).max() <= tolerance


@given(st.floats(0.5, 3.0), st.lists(st.integers(1, 6), min_size=3, max_size=30), st.floats(-22, 22))
@settings(max_examples=60, deadline=None)
def test_multiples_of_one_step_are_always_exact(step, multiples, tilt):
    geometry = make_geometry(step * np.array(multiples), tilt, (20, -10, 5))
    grid = to_regular_grid(volume_of(geometry))
    assert grid.is_exact
    assert grid.shape[0] - 1 <= sum(multiples), "the coarsest grid that fits, not merely one that fits"
    assert offsets_of_acquired_voxels(grid, geometry).max() <= POSITION_TOLERANCE_MM + 1e-6


def test_regular_and_tilted_stacks_pass_through_unchanged():
    for tilt in (0.0, -18.5, 16.5):
        geometry = make_geometry([2.5] * 9, tilt)
        volume = volume_of(geometry)
        grid = to_regular_grid(volume)
        assert grid.is_identity
        assert not grid.warnings
        assert grid.image(volume.voxels) is volume.voxels
        mask = volume.voxels > 0
        assert grid.labels(mask) is mask
        np.testing.assert_array_equal(grid.ijk_to_lps, geometry.ijk_to_lps)


def test_a_single_slice_is_as_thick_as_it_says():
    geometry = StackGeometry([1, 0, 0], [0, 1, 0], (0.7, 0.7), [[1.0, 2.0, 3.0]], slice_thickness=4.0)
    grid = to_regular_grid(volume_of(geometry))
    assert grid.spacing_kji == (4.0, 0.7, 0.7)
    assert grid.is_identity


def test_known_uneven_series():
    tilted = make_geometry([4.0] * 13 + [1.08] + [7.0] * 13, 18.5)
    grid = to_regular_grid(volume_of(tilted))
    assert grid.is_exact
    assert grid.spacing_kji[0] * np.cos(np.radians(18.5)) == pytest.approx(1.0, abs=0.005)
    interleaved = make_geometry([1.25] + [0.73, 0.52] * 4 + [1.25] * 179)
    grid = to_regular_grid(volume_of(interleaved))
    assert grid.is_exact
    assert grid.spacing_kji[0] == pytest.approx(0.625, abs=1e-3)
    assert 0.04 < grid.max_offset_mm < 0.06


def test_where_slices_are_missing_the_gap_is_filled_and_named():
    geometry = make_geometry([5.0] * 4 + [20.0] + [5.0] * 4)
    grid = to_regular_grid(volume_of(geometry))
    assert grid.shape[0] == 13
    assert len(grid.warnings) == 1
    assert "between slice 5 and 6" in grid.warnings[0]
    two_protocols = to_regular_grid(volume_of(make_geometry([2.5] * 12 + [10.0] * 12)))
    assert not two_protocols.warnings, "a change of protocol is not a missing slice"


def test_masks_take_the_nearest_acquired_slice():
    geometry = make_geometry([2.0, 4.0, 2.0])
    mask = np.zeros((4, ROWS, COLUMNS), np.uint8)
    mask[1], mask[2] = 1, 2
    planes = to_regular_grid(volume_of(geometry)).labels(mask)[:, 0, 0]
    assert planes.tolist() == [0, 1, 1, 2, 0]
    finer = to_regular_grid(volume_of(make_geometry([1.0, 4.0, 1.0]))).labels(mask)[:, 0, 0]
    assert finer.tolist() == [0, 1, 1, 1, 2, 2, 0]


def test_padding_is_never_blended_with_tissue():
    geometry = make_geometry([1.0, 2.0, 1.0])
    voxels = np.full((4, ROWS, COLUMNS), 40, np.int16)
    voxels[1, 0, 0] = -3024
    grid = to_regular_grid(volume_of(geometry, voxels))
    between = grid.image(voxels, padding_values=(-3024,))[2]
    assert set(np.unique(between)) <= {-3024, 40}
    assert grid.image(voxels)[2, 0, 0] == -1492


def make_wandering_geometry(sideways_mm) -> StackGeometry:
    """A stack whose slices lie beside the line through it, here and there."""
    straight = make_geometry([5.0] * 9, 10.0)
    shift = np.zeros((10, 1))
    shift[[2, 6, 7], 0] = sideways_mm
    positions = straight.positions + shift * straight.row_direction - 0.5 * shift * straight.column_direction
    return StackGeometry(straight.row_direction, straight.column_direction, (0.6, 0.5), positions)


def test_slices_that_wander_sideways_are_moved_back():
    geometry = make_wandering_geometry(0.9)
    gradient = np.array([20.0, -35.0, 10.0])
    shape = (10, 40, 40)
    field = (geometry.index_to_lps(grid_indices(shape)) @ gradient).astype(np.float32)
    grid = to_regular_grid(volume_of(geometry, field))
    assert not grid.is_exact
    assert "sideways" in grid.warnings[0]
    expected = world(grid.ijk_to_lps, grid_indices(grid.shape)) @ gradient
    inner = (slice(None), slice(4, -4), slice(4, -4))
    error = np.abs(grid.image(field) - expected)[inner]
    assert error.max() <= POSITION_TOLERANCE_MM * np.linalg.norm(gradient)
    mask = field > np.median(field)
    there_and_back = grid.to_slices(grid.labels(mask))
    np.testing.assert_array_equal(there_and_back[inner], mask[inner])


def test_slices_far_beside_the_stack_are_refused():
    with pytest.raises(GeometryError, match="sideways"):
        to_regular_grid(volume_of(make_wandering_geometry(40.0)))


def test_masks_of_another_shape_are_refused():
    grid = to_regular_grid(volume_of(make_geometry([1.0, 2.0])))
    with pytest.raises(GeometryError, match="shape"):
        grid.labels(np.zeros((2, ROWS, COLUMNS), bool))


def test_planes_are_bounded():
    geometry = make_geometry(np.random.default_rng(3).uniform(0.5, 4, 80))
    grid = to_regular_grid(volume_of(geometry), max_planes=100)
    assert grid.shape[0] <= 101
    assert not grid.is_exact


@pytest.mark.parametrize("name", ["head-ge-tilt-uneven", "head-pcir-ge-dental", "head-philips-phantom-tilt-minus18.5"])
def test_real_series_against_positions_in_their_headers(shared_data, name):
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted((shared_data / name).glob("*.dcm"))]
    row, column = np.reshape(np.array(headers[0].ImageOrientationPatient, float), (2, 3))
    positions = np.array([h.ImagePositionPatient for h in headers], float)
    positions = positions[np.argsort(positions @ np.cross(row, column))]
    geometry = StackGeometry(row, column, tuple(map(float, headers[0].PixelSpacing)), positions)
    grid = to_regular_grid(volume_of(geometry))
    assert grid.is_exact
    assert offsets_of_acquired_voxels(grid, geometry).max() <= POSITION_TOLERANCE_MM
