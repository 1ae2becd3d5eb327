"""The numbers of `info` against brute force, positions in the headers and a real Slicer."""

from __future__ import annotations

import json
import tracemalloc
from itertools import product

import numpy as np
import pydicom
import pytest
from DicomAnalysisLib.files.json_text import json_text
from DicomAnalysisLib.reporting.info import describe
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from hypothesis import given, settings
from hypothesis import strategies as st


def make_volume(shape, euler=(0, 0, 0), tilt=0.0, gaps=None, padding=(), dtype=np.int16, seed=0) -> Volume:
    from scipy.spatial.transform import Rotation

    row, column, normal = Rotation.from_euler("xyz", euler, degrees=True).apply(np.eye(3))
    along = np.concatenate([[0.0], np.cumsum(gaps if gaps is not None else [2.5] * (shape[0] - 1))])
    positions = np.array([-40.0, 25.0, 310.0]) + along[:, None] * (normal + np.tan(np.radians(tilt)) * column)
    voxels = np.random.default_rng(seed).integers(-1000, 3000, shape).astype(dtype)
    for value in padding:
        voxels[np.random.default_rng(seed + 1).random(shape) < 0.2] = value
    return Volume(voxels, StackGeometry(row, column, (0.7, 0.9), positions), padding_values=padding)


def mean_of_all_voxel_positions(volume: Volume) -> np.ndarray:
    """Centre by brute force: the mean of every voxel's position from its own slice's affine."""
    j, i = np.meshgrid(np.arange(volume.shape[1]), np.arange(volume.shape[2]), indexing="ij")
    index = np.stack([i, j, np.zeros_like(i), np.ones_like(i)], axis=-1).reshape(-1, 4)
    return np.mean([(index @ volume.geometry.slice_to_lps(k).T)[:, :3] for k in range(volume.shape[0])], axis=(0, 1))


@pytest.mark.parametrize("shape", list(product((1, 4, 5), (6, 7), (8, 9))))
@pytest.mark.parametrize(("euler", "tilt"), [((0, 0, 0), 0), ((25, -40, 70), 0), ((5, 0, 0), 18.5)])
def test_center_of_even_odd_oblique_and_tilted_volumes(shape, euler, tilt):
    volume = make_volume(shape, euler, tilt)
    info = describe(volume)
    expected = mean_of_all_voxel_positions(volume)
    assert info["center_lps_mm"] == pytest.approx(expected, abs=1e-9)
    assert info["center_ras_mm"] == pytest.approx(expected * [-1, -1, 1], abs=1e-9)
    assert info["extent_center_lps_mm"] == pytest.approx(expected, abs=1e-9)


def test_center_of_uneven_stacks_is_between_the_middle_slices():
    for gaps, middle in (([1, 4, 4], 3.0), ([1, 4, 4, 4], 5.0)):
        volume = make_volume((len(gaps) + 1, 4, 5), gaps=gaps)
        info = describe(volume)
        first = volume.geometry.positions[0, 2]
        assert info["center_lps_mm"][2] == pytest.approx(first + middle)
        assert info["extent_center_ras_mm"][2] == pytest.approx(first + sum(gaps) / 2)
        assert not info["is_regular"]
        assert info["slice_gaps_mm"] == [{"mm": 1.0, "count": 1}, {"mm": 4.0, "count": len(gaps) - 1}]


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from([(), (-2000,), (-2048, -3024)]),
    st.sampled_from([np.int16, np.float32]),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_statistics_against_brute_force(shape, padding, dtype, seed):
    volume = make_volume(shape, padding=padding, dtype=dtype, seed=seed)
    info = describe(volume)
    voxels = volume.voxels.astype(np.float64)
    kept = voxels[~np.isin(voxels, padding)]
    assert (info["minimum"], info["maximum"]) == (voxels.min(), voxels.max())
    assert info["mean"] == pytest.approx(voxels.mean(), rel=1e-9, abs=1e-9)
    assert info["padding_voxels"] == voxels.size - kept.size
    if kept.size:
        assert (info["minimum_without_padding"], info["maximum_without_padding"]) == (kept.min(), kept.max())
        assert info["mean_without_padding"] == pytest.approx(kept.mean(), rel=1e-9, abs=1e-9)
    else:
        assert info["minimum_without_padding"] is info["mean_without_padding"] is None
    assert info["slice_max"] == voxels.max(axis=(1, 2)).tolist()
    assert len(info["slice_positions_mm"]) == shape[0]
    json.loads(json_text(info))


@pytest.mark.parametrize(
    ("euler", "plane", "axes"),
    [
        ((0, 0, 0), "axial", "LPS"),
        ((-90, 0, 0), "coronal", "LIP"),
        ((-90, 0, 90), "sagittal", "PIR"),
        ((-40, 0, 0), "oblique", "LPS"),
    ],
)
def test_orientation(euler, plane, axes):
    orientation = describe(make_volume((3, 4, 5), euler))["orientation"]
    assert orientation["plane"] == plane
    assert orientation["axes"] == axes


def test_tilt_is_told_with_its_sign():
    assert describe(make_volume((5, 4, 4), tilt=-18.5))["tilt_degrees"] == pytest.approx(-18.5)
    assert describe(make_volume((5, 4, 4)))["tilt_degrees"] == pytest.approx(0.0)


def test_means_of_large_sums_are_exact_and_need_no_second_volume():
    voxels = np.full((40, 256, 256), 30000, np.int16)
    voxels[:, :2] = -3024
    geometry = StackGeometry([1, 0, 0], [0, 1, 0], (1, 1), np.arange(40)[:, None] * [0, 0, 1.0])
    volume = Volume(voxels, geometry, SeriesIdentity(), padding_values=(-3024.0,))
    tracemalloc.start()
    info = describe(volume)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert info["mean_without_padding"] == 30000.0
    assert info["mean"] == (30000 * 254 - 3024 * 2) / 256
    assert peak < voxels.nbytes / 10


def test_against_what_slicer_loaded(shared_data, slicer_golden):
    """Shape, range, mean and centre of series that Slicer loads right, from headers and pixels read here."""
    golden = json.loads((slicer_golden / "loaded-by-slicer.json").read_text())
    for name in ("chest-lidc314-implicit", "head-philips-phantom"):
        for series, entry in golden[name]["series"].items():
            node = entry["nodes"][0]
            if node["shape_kji"][0] < 3:
                continue
            headers = [pydicom.dcmread(p, force=True) for p in sorted((shared_data / name).rglob("*")) if p.is_file()]
            headers = [h for h in headers if h.get("SeriesInstanceUID") == series]
            row, column = np.reshape(np.array(headers[0].ImageOrientationPatient, float), (2, 3))
            headers.sort(key=lambda h: np.array(h.ImagePositionPatient, float) @ np.cross(row, column))
            voxels = np.stack([h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in headers])
            geometry = StackGeometry(
                row,
                column,
                tuple(map(float, headers[0].PixelSpacing)),
                [list(map(float, h.ImagePositionPatient)) for h in headers],
            )
            info = describe(Volume(voxels.astype(np.int16), geometry, SeriesIdentity(series)))
            assert info["shape"] == node["shape_kji"]
            assert (info["minimum"], info["maximum"]) == (node["min"], node["max"])
            assert info["mean"] == pytest.approx(node["mean"], abs=1e-3)
            k, j, i = (n - 1 for n in node["shape_kji"])
            center = np.array(node["ijk_to_ras"]) @ [i / 2, j / 2, k / 2, 1]
            assert info["center_ras_mm"] == pytest.approx(center[:3], abs=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "chest-lungfcp-sternal-wires",
        "head-philips-phantom-tilt-minus18.5",
        "head-philips-phantom-tilt-plus16.5",
        "head-enhanced-multiframe-derived",
    ],
)
def test_read_series_against_what_slicer_loaded(shared_data, slicer_golden, name):
    """Through our own reader: values, and the centre of tilted and multi-frame series."""
    from DicomAnalysisLib.dicom.reader import read_volume

    (entry,) = json.loads((slicer_golden / "loaded-by-slicer.json").read_text())[name]["series"].values()
    (node,) = entry["nodes"]
    info = describe(read_volume(shared_data / name))
    assert info["shape"] == node["shape_kji"]
    assert (info["minimum"], info["maximum"]) == (node["min"], node["max"])
    assert info["mean"] == pytest.approx(node["mean"], abs=1e-3)
    k, j, i = (n - 1 for n in node["shape_kji"])
    center = np.array(node["ijk_to_ras"]) @ [i / 2, j / 2, k / 2, 1]
    assert info["center_ras_mm"] == pytest.approx(center[:3], abs=2e-3)
