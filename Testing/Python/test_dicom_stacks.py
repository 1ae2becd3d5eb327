"""Slices in the right order at the right place: checked against positions computed from the headers by pydicom."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_slices import ramp, write_series, write_slice
from DicomAnalysisLib.dicom.reader import read_series, read_stack
from DicomAnalysisLib.dicom.series import series_from_files
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.dicom.stacks import Stack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOLERANCE_MM = 0.1

SERIES = [
    "abdomen-acrin001-t0",
    "abdomen-cptacpda-biliary-stent",
    "chest-lidc314-implicit",
    "chest-lungfcp-sternal-wires",
    "chest-rider-neardup",
    "chest-totalseg-j2k",
    "cohort-tcga-luad-single-slices",
    "head-enhanced-multiframe-derived",
    "head-ge-tilt-uneven",
    "head-pcir-ge-dental",
    "head-phantom-derived-dup-missing-mixed",
    "head-philips-phantom",
    "head-philips-phantom-tilt-minus18.5",
    "head-philips-phantom-tilt-plus16.5",
    "head-torso-acrin001-t1-port",
    "metal-aapm-ctmar",
    "mixed-orientation-single-slices",
    "transfer-syntaxes-one-ct-slice",
]


def only_series(paths):
    series, problems = series_from_files(paths)
    assert problems == ()
    assert len(series) == 1
    return series[0]


def header_plane(path: Path, frame: int) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Position, orientation and spacing of one frame as pydicom reads them."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        numbers = [np.array([float(v) for v in dataset[key].value]) for key in PLANE]
        return numbers[0], numbers[1], tuple(numbers[2])
    own, shared = dataset.PerFrameFunctionalGroupsSequence[frame - 1], dataset.SharedFunctionalGroupsSequence[0]
    numbers = []
    for sequence, key in zip(("PlanePosition", "PlaneOrientation", "PixelMeasures"), PLANE, strict=True):
        macro = own if f"{sequence}Sequence" in own else shared
        numbers.append(np.array([float(v) for v in macro[f"{sequence}Sequence"].value[0][key].value]))
    return numbers[0], numbers[1], tuple(numbers[2])


PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


def assert_corners_right(stack: Stack) -> None:
    _, rows, columns = stack.shape
    for k, (instance, frame) in enumerate(stack.slices):
        position, orientation, (dy, dx) = header_plane(instance.path, frame)
        for j in (0, rows - 1):
            for i in (0, columns - 1):
                expected = position + i * dx * orientation[:3] + j * dy * orientation[3:]
                for found in (
                    stack.geometry.index_to_lps(np.array([i, j, k])),
                    (stack.geometry.slice_to_lps(k) @ [i, j, 0, 1])[:3],
                ):
                    assert np.linalg.norm(found - expected) <= TOLERANCE_MM, (instance.path, k, j, i)


@pytest.mark.parametrize("name", SERIES)
def test_every_corner_is_where_the_header_says(shared_data, name):
    series = open_source(shared_data / name).series()
    assert series
    for one in series:
        for stack in one.stacks:
            assert np.all(stack.geometry.slice_gaps > 0)
            assert_corners_right(stack)


@pytest.mark.parametrize("name", ["head-philips-phantom-tilt-minus18.5", "head-philips-phantom-tilt-plus16.5"])
def test_one_sheared_affine_is_right_for_every_corner_of_a_tilted_stack(shared_data, name):
    (series,) = open_source(shared_data / name).series()
    (stack,) = series.stacks
    affine = stack.geometry.ijk_to_lps
    for k, (instance, frame) in enumerate(stack.slices):
        position, orientation, (dy, dx) = header_plane(instance.path, frame)
        expected = position + 511 * dx * orientation[:3] + 511 * dy * orientation[3:]
        assert np.linalg.norm((affine @ [511, 511, k, 1])[:3] - expected) <= TOLERANCE_MM
    degrees = float(name.rpartition("s")[2].replace("minus", "").replace("-plus", "") or 0)
    assert abs(stack.geometry.tilt_degrees) == pytest.approx(abs(degrees), abs=0.1)
    assert any("tilted by" in warning for warning in stack.warnings)


# What a real Slicer loaded where it is right: one volume for all files of the series.
WHERE_SLICER_IS_RIGHT = [name for name in SERIES if name not in ("transfer-syntaxes-one-ct-slice",)]


def golden_nodes(slicer_golden: Path, name: str) -> dict[str, dict]:
    loaded = json.loads((slicer_golden / "loaded-by-slicer.json").read_text())[name]["series"]
    return {
        uid: series["nodes"][0]
        for uid, series in loaded.items()
        if series["nodes"] and series["nodes"][0]["instance_count"] == series["files"]
    }


@pytest.mark.parametrize("name", WHERE_SLICER_IS_RIGHT)
def test_agrees_with_slicer_where_slicer_is_right(shared_data, slicer_golden, name):
    nodes = golden_nodes(slicer_golden, name)
    compared = 0
    for series in open_source(shared_data / name).series():
        node = nodes.get(series.identity.series_uid)
        if node is None:
            continue
        (volume,) = read_series(series)
        assert list(volume.shape) == node["shape_kji"]
        assert volume.voxels.min() == pytest.approx(node["min"], abs=1e-3)
        assert volume.voxels.max() == pytest.approx(node["max"], abs=1e-3)
        assert volume.voxels.mean(dtype=np.float64) == pytest.approx(node["mean"], abs=1e-3)
        samples = node.get("ijk_to_world_ras_samples") or affine_samples(node)
        for ijk, ras in samples.items():
            index = np.array(json.loads(ijk))
            if index[2] % 1:
                continue  # Slicer puts the point between slices 13 and 14 of the tilted head 41 mm away from both
            found = volume.geometry.index_to_ras(index)
            assert np.linalg.norm(found - ras) <= TOLERANCE_MM, (ijk, found, ras)
        compared += 1
    assert compared == len(nodes) or name == "head-philips-phantom"  # its screen captures are refused


def affine_samples(node: dict) -> dict[str, np.ndarray]:
    """World positions of the corners from Slicer's affine; of the first slice only where there is but one."""
    k_max, j_max, i_max = (n - 1 for n in node["shape_kji"])
    affine = np.array(node["ijk_to_ras"])
    corners = [[i, j, k] for i in (0, i_max) for j in (0, j_max) for k in {0, k_max}]
    return {json.dumps(ijk): (affine @ [*ijk, 1])[:3] for ijk in corners}


def test_two_acquisitions_that_touch_become_one_volume(shared_data):
    (series,) = open_source(shared_data / "chest-rider-neardup").series()
    (stack,) = series.stacks
    assert len(stack) == 41
    (dropped,) = stack.dropped
    assert dropped.distance_mm == pytest.approx(0.005, abs=0.0001)
    # The acquisition with 25 slices keeps its own; the one with 10 loses the slice at the seam.
    assert dropped.kept.facts.acquisition_number == 1
    assert dropped.instance.facts.acquisition_number == 2
    assert any(
        "near-duplicate" in warning and dropped.instance.sop_instance_uid in warning for warning in stack.warnings
    )
    (volume,) = read_series(series)
    assert any("differ from the ones kept" in warning for warning in volume.warnings)


def test_overlapping_acquisitions_become_one_volume(shared_data):
    (series,) = open_source(shared_data / "head-pcir-ge-dental").series()
    (stack,) = series.stacks
    assert len(stack) == 188
    assert stack.dropped == ()
    gaps = np.round(stack.geometry.slice_gaps, 2)
    assert sorted(set(gaps)) == [0.52, 0.73, 1.25]
    assert any("Acquisitions overlap" in warning for warning in stack.warnings)


def test_between_unevenly_spaced_slices_positions_are_interpolated(shared_data):
    (series,) = open_source(shared_data / "head-ge-tilt-uneven").series()
    geometry = series.stacks[0].geometry
    below, middle, above = (geometry.index_to_lps(np.array([255.5, 255.5, k])) for k in (13, 13.5, 14))
    assert np.allclose(middle, (below + above) / 2)


def test_uneven_spacing_is_kept_and_named(shared_data):
    (series,) = open_source(shared_data / "head-ge-tilt-uneven").series()
    (stack,) = series.stacks
    assert sorted(set(np.round(stack.geometry.slice_gaps, 1))) == [1.1, 4.0, 7.0]
    assert not stack.geometry.is_regular
    assert any("unevenly spaced" in warning for warning in stack.warnings)


def test_duplicates_gaps_scout_and_other_matrix(shared_data):
    folder = shared_data / "head-phantom-derived-dup-missing-mixed"
    (series,) = open_source(folder).series()
    axial, large, scout = series.stacks
    assert axial.shape == (25, 256, 256)
    assert large.shape == (1, 512, 512)
    assert scout.shape == (1, 256, 512)
    assert [stack.is_localizer for stack in series.stacks] == [False, False, True]
    assert {Path(one.instance.path).name for one in axial.dropped} == {"05_dup.dcm", "20_dup.dcm"}
    assert any("3 slice(s) are missing" in warning for warning in axial.warnings)
    volume = read_stack(axial, series.identity)
    different = [warning for warning in volume.warnings if "differ" in warning]
    (duplicate,) = (one for one in axial.dropped if one.instance.path.endswith("20_dup.dcm"))
    assert different == [
        f"Pixels of 1 slice(s) left out differ from the ones kept: {duplicate.instance.sop_instance_uid} (by up to 25)."
    ]


def test_each_orientation_is_a_stack_of_its_own(tmp_path):
    write_series(tmp_path / "axial", [(0, 0, z) for z in range(4)])
    write_series(tmp_path / "sagittal", [(x, 0, 0) for x in range(3)], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    series = only_series(tmp_path.rglob("*.dcm"))
    assert [len(stack) for stack in series.stacks] == [4, 3]
    assert np.allclose(series.stacks[1].geometry.normal, [-1, 0, 0])
    assert np.allclose(series.stacks[1].geometry.positions[:, 0], [2, 1, 0])
    assert any("2 stacks" in warning for warning in series.warnings)


def test_a_rounding_of_the_orientation_is_no_other_orientation(tmp_path):
    for number in range(1, 5):
        tilt = math.radians(20) + 1e-6 * number
        orientation = [1, 0, 0, 0, round(math.cos(tilt), 6), round(math.sin(tilt), 6)]
        write_slice(tmp_path, ramp(number), number, ImageOrientationPatient=orientation)
    assert [len(stack) for stack in only_series(tmp_path.iterdir()).stacks] == [4]


def test_an_orientation_that_moves_a_corner_is_another_orientation(tmp_path):
    for number in range(1, 5):
        turn = math.radians(0.02) * (number > 2)
        orientation = [math.cos(turn), math.sin(turn), 0, -math.sin(turn), math.cos(turn), 0]
        stored = ramp(number, (512, 512))
        write_slice(tmp_path, stored, number, ImageOrientationPatient=[round(v, 9) for v in orientation])
    assert [len(stack) for stack in only_series(tmp_path.iterdir()).stacks] == [2, 2]


def test_slices_beside_each_other_are_different_stacks(tmp_path):
    write_series(tmp_path / "left", [(0, 0, z) for z in range(5)])
    write_series(tmp_path / "right", [(30, 0, z + 5) for z in range(4)])
    assert [len(stack) for stack in only_series(tmp_path.rglob("*.dcm")).stacks] == [5, 4]


def test_repeated_scans_are_told_apart_by_acquisition(tmp_path):
    for acquisition in (1, 2, 3):
        positions = [(0, 0, z) for z in range(4)]
        write_series(tmp_path / str(acquisition), positions, AcquisitionNumber=acquisition)
    stacks = only_series(tmp_path.rglob("*.dcm")).stacks
    assert [len(stack) for stack in stacks] == [4, 4, 4]
    assert all(stack.dropped == () for stack in stacks)


def test_which_duplicate_is_kept_does_not_depend_on_the_files(tmp_path):
    kept = set()
    for order in ((1, 2, 3), (3, 2, 1), (2, 3, 1)):
        folder = tmp_path / "-".join(map(str, order))
        folder.mkdir()
        for name, number in enumerate(order):
            write_slice(folder, ramp(number), number, f"{name}.dcm", ImagePositionPatient=[0, 0, 0])
        (stack,) = only_series(folder.iterdir()).stacks
        kept.add(stack.slices[0][0].instance_number)
        assert len(stack.dropped) == 2
    assert kept == {1}


def test_the_same_sop_instance_uid_at_two_places_keeps_both(shared_data):
    odd = shared_data / "odd" / "synthetic"
    series = only_series([odd / "dup_uid_a.dcm", odd / "dup_uid_b.dcm"])
    (stack,) = series.stacks
    assert len(stack) == 2
    assert any("SOP instance UID" in warning for warning in stack.warnings)


def test_blocks_with_their_own_frame_of_reference_are_apart(tmp_path):
    write_series(tmp_path / "a", [(0, 0, z) for z in range(3)], FrameOfReferenceUID="1.2.3")
    write_series(tmp_path / "b", [(0, 0, z + 3) for z in range(3)], FrameOfReferenceUID="1.2.4")
    assert [len(stack) for stack in only_series(tmp_path.rglob("*.dcm")).stacks] == [3, 3]


def test_a_frame_of_reference_for_each_file_is_noise(shared_data):
    (series,) = open_source(shared_data / "chest-lidc314-implicit").series()
    (stack,) = series.stacks
    assert len(stack) == 20
    assert any("20 different frames of reference" in warning for warning in stack.warnings)


def test_patients_under_one_series_uid_are_kept_apart(tmp_path):
    write_slice(tmp_path, ramp(), 1)
    write_slice(tmp_path, ramp(), 2, PatientID="OTHER")
    series, _ = series_from_files(tmp_path.iterdir())
    assert [one.identity.patient_id for one in series] == ["OTHER", "TEST"]
    assert all("2 different studies or patients" in one.warnings[0] for one in series)


def test_files_without_series_uid_are_grouped_by_folder(tmp_path):
    for name in ("a", "b"):
        write_series(tmp_path / name, [(0, 0, 1), (0, 0, 2)], SeriesInstanceUID=None)
    series, _ = series_from_files(tmp_path.rglob("*.dcm"))
    assert [len(one.stacks[0]) for one in series] == [2, 2]
    assert len({one.key for one in series}) == 2 or series[0].stacks[0].paths != series[1].stacks[0].paths
    assert "no series instance UID" in series[0].warnings[0]


def test_a_series_uid_that_is_none_gives_a_safe_key(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write_slice(tmp_path, ramp(), SeriesInstanceUID="../../etc/passwd")
    series = only_series([path])
    assert series.identity.series_uid == "../../etc/passwd"
    assert "/" not in series.key
    assert "not a valid one" in series.warnings[0]


finite = st.floats(-500, 500, allow_nan=False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turn=st.tuples(st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-3, 3)),
    gaps=st.lists(st.floats(0.2, 8), min_size=1, max_size=6),
    start=st.tuples(finite, finite, finite),
    tilt=st.floats(-0.4, 0.4),
    data=st.data(),
)
def test_any_oblique_tilted_uneven_stack_comes_out_in_order(tmp_path_factory, turn, gaps, start, tilt, data):
    folder = tmp_path_factory.mktemp("stack")
    rotation = rotation_matrix(*turn)
    row, column, normal = rotation.T
    along = np.concatenate([[0], np.cumsum(gaps)])
    positions = np.array(start) + along[:, None] * (normal + math.tan(tilt) * column)
    shuffled = data.draw(st.permutations(range(len(positions))))
    orientation = [f"{value:.10f}" for value in (*row, *column)]
    for name, k in enumerate(shuffled):
        position = [f"{value:.10f}"[:16] for value in positions[k]]
        plane = {"ImageOrientationPatient": orientation, "ImagePositionPatient": position}
        write_slice(folder, ramp(k), 99 - k, f"{name}.dcm", **plane)
    series = only_series(folder.iterdir())
    (volume,) = read_series(series)
    assert np.abs(volume.geometry.positions - positions).max() < 1e-3
    assert [int(slice_[0, 0]) for slice_ in volume.voxels] == [100 * k for k in range(len(positions))]
    if abs(math.degrees(tilt)) > 0.2:
        assert volume.geometry.tilt_degrees == pytest.approx(math.degrees(tilt), abs=0.1)


def rotation_matrix(a: float, b: float, c: float) -> np.ndarray:
    def about(axis: int, angle: float) -> np.ndarray:
        matrix = np.eye(3)
        i, j = (k for k in range(3) if k != axis)
        matrix[[i, i, j, j], [i, j, i, j]] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
        return matrix

    return about(2, a) @ about(1, b) @ about(0, c)
