"""Result files: right in Slicer and in ITK, safe in spreadsheets and on disk."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from DicomAnalysisLib.errors import OutputError
from DicomAnalysisLib.files.atomic import atomic_path, write_text
from DicomAnalysisLib.files.json_text import json_text
from DicomAnalysisLib.files.mask_pictures import slice_names
from DicomAnalysisLib.files.names import is_safe_uid, safe_name
from DicomAnalysisLib.files.nrrd import write_segmentation, write_volume
from DicomAnalysisLib.files.result_folder import write_result
from DicomAnalysisLib.files.spreadsheet import spreadsheet_safe
from DicomAnalysisLib.preprocessing.resampling import to_regular_grid
from DicomAnalysisLib.segmentation.options import SegmentationOptions
from DicomAnalysisLib.segmentation.result import Piece, Segment, SegmentationResult
from DicomAnalysisLib.segments import HEADREST, METAL
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from hypothesis import given
from hypothesis import strategies as st

SHAPE = (9, 14, 11)
STACKS = {"regular": [2.0] * 8, "uneven": [1.0, 2.0, 1.0, 3.0, 1.0, 1.0, 2.0, 1.0]}


def make_volume(stack: str = "regular", tilt: float = 0.0, oblique: bool = False) -> Volume:
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(np.radians(tilt)), np.sin(np.radians(tilt))])
    step = np.array([0, 0, 1.0])
    if oblique:
        from scipy.spatial.transform import Rotation

        row, column, step = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).apply([row, column, step])
    along = np.concatenate([[0.0], np.cumsum(STACKS[stack])])
    geometry = StackGeometry(row, column, (0.8, 0.6), np.array([-12.0, 30.0, 400.0]) + along[:, None] * step)
    voxels = np.random.default_rng(1).integers(-1024, 3071, SHAPE, dtype=np.int16)
    uids = tuple(f"1.2.3.4.{k}" for k in range(SHAPE[0]))
    identity = SeriesIdentity("1.2.3.4", "1.2.3", "=HYPERLINK(1)", "1.2.9")
    return Volume(voxels, geometry, identity, uids, (1,) * SHAPE[0], (-1024.0,), ("one gap",))


def make_result(overlap: bool = False) -> SegmentationResult:
    headrest, metal = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    headrest[1:8, 9:12, 2:9] = True
    metal[3:5, 2:4, 1:3] = True
    metal[6, 10 if overlap else 5, 4] = True
    piece = Piece(8, 0.008, (1.5, -2.5, 3.5), (1, 2, 2, 3, 3, 4), 3000.0, float("nan"), "inside")
    measured = {"voxels": 9, "volume_ml": 0.009, "components": 2, "centroid_ras_mm": (1.0, -2.0, 3.0)}
    segments = (
        Segment(HEADREST, headrest, {"voxels": 147, "volume_ml": 0.1, "centroid_ras_mm": None, "bbox_ijk": None}),
        Segment(METAL, metal, measured | {"bbox_ijk": (1, 4, 2, 5, 3, 6), "max_hu": np.float32(3000)}, (piece, piece)),
    )
    return SegmentationResult(("headrest", "metal"), segments, 2400.0, warnings=("slice 3 is uncertain",))


def world_of_mask(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    ijk = np.argwhere(mask)[:, ::-1]
    return ijk @ affine[:3, :3].T + affine[:3, 3]


def itk_affine(image: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine


def load_in_slicer(path):
    """The segmentation node that Slicer's own storage node makes of the file."""
    slicer = pytest.importorskip("slicer")
    scene = slicer.vtkMRMLScene()
    node = slicer.vtkMRMLSegmentationNode()
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    storage = node.CreateDefaultStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return scene, node


def slicer_mask(node, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mask (k, j, i) of a segment and its affine to RAS, as Slicer has them."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(node.GetSegmentation().GetSegmentIdBySegmentName(name), image)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    extent = image.GetExtent()
    affine[:3, 3] += affine[:3, :3] @ np.array([extent[0], extent[2], extent[4]])
    mask = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]) > 0
    return mask, affine


PLACES = [("regular", 0.0, False), ("regular", -18.5, False), ("uneven", 16.5, False), ("uneven", 12.0, True)]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(("stack", "tilt", "oblique"), PLACES)
def test_segmentation_in_slicer_and_itk_is_where_it_was_acquired(tmp_path, stack, tilt, oblique, overlap):
    volume, result = make_volume(stack, tilt, oblique), make_result(overlap)
    path = write_result(tmp_path, volume, result)["segmentation"]
    grid = to_regular_grid(volume)
    image = sitk.ReadImage(str(path))
    assert image.GetNumberOfComponentsPerPixel() == (2 if overlap else 1)
    labels = sitk.GetArrayFromImage(image)
    _, node = load_in_slicer(path)
    for index, segment in enumerate(result.segments):
        kind = segment.kind
        on_grid = grid.labels(segment.mask)
        layer = int(image.GetMetaData(f"Segment{index}_Layer"))
        in_itk = (labels[..., layer] if overlap else labels) == int(image.GetMetaData(f"Segment{index}_LabelValue"))
        np.testing.assert_array_equal(in_itk, on_grid)
        expected = np.array([volume.geometry.index_to_lps(ijk) for ijk in np.argwhere(segment.mask)[:, ::-1]])
        held = np.zeros_like(on_grid)
        held[grid.plane_of_slice] = segment.mask
        offsets = world_of_mask(held, itk_affine(image)) - expected
        assert np.linalg.norm(offsets, axis=1).max() <= 0.1
        mask, ijk_to_ras = slicer_mask(node, kind.name)
        in_slicer = world_of_mask(mask, ijk_to_ras) * [-1, -1, 1]
        np.testing.assert_allclose(in_slicer, world_of_mask(on_grid, grid.ijk_to_lps), atol=1e-6)


def test_segments_have_names_colours_and_codes_in_slicer(tmp_path):
    write_segmentation(tmp_path / "a.seg.nrrd", [(s.kind, s.mask) for s in make_result().segments], np.eye(4))
    _, node = load_in_slicer(tmp_path / "a.seg.nrrd")
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 2
    for index, kind in enumerate((HEADREST, METAL)):
        segment = segmentation.GetNthSegment(index)
        assert segment.GetName() == kind.name
        assert not segment.GetNameAutoGenerated()
        assert not segment.GetColorAutoGenerated()
        assert segment.GetColor() == pytest.approx(kind.color)
        assert segment.GetLabelValue() == kind.label
        assert f"SCT^{kind.category.value}^" in segment.GetTerminology()
        assert f"SCT^{kind.type.value}^{kind.type.meaning}" in segment.GetTerminology()


def test_an_empty_segment_is_still_a_segment(tmp_path):
    empty = np.zeros(SHAPE, bool)
    write_segmentation(tmp_path / "a.seg.nrrd", [(HEADREST, empty), (METAL, empty)], np.eye(4))
    _, node = load_in_slicer(tmp_path / "a.seg.nrrd")
    assert node.GetSegmentation().GetNumberOfSegments() == 2


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_volumes_round_trip_through_itk_pynrrd_and_slicer(tmp_path, dtype):
    volume = make_volume("regular", -18.5)
    voxels = volume.voxels.astype(dtype)
    write_volume(tmp_path / "v.nrrd", voxels, voxels.shape, dtype, volume.geometry.ijk_to_lps)
    image = sitk.ReadImage(str(tmp_path / "v.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), voxels)
    np.testing.assert_allclose(itk_affine(image), volume.geometry.ijk_to_lps, atol=1e-9)
    nrrd = pytest.importorskip("nrrd")
    data, _ = nrrd.read(str(tmp_path / "v.nrrd"), index_order="C")
    np.testing.assert_array_equal(data, voxels)
    slicer = pytest.importorskip("slicer")
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    scene, node = slicer.vtkMRMLScene(), slicer.vtkMRMLScalarVolumeNode()
    scene.AddNode(node)
    storage = node.CreateDefaultStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "v.nrrd"))
    assert storage.ReadData(node) == 1
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    in_slicer = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    np.testing.assert_allclose(in_slicer, volume.geometry.ijk_to_ras, atol=1e-6)
    scalars = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    np.testing.assert_array_equal(scalars.reshape(voxels.shape), voxels)


def test_result_folder_holds_what_the_contract_names(tmp_path):
    volume, result = make_volume(), make_result()
    written = write_result(tmp_path / "out", volume, result, options=SegmentationOptions(), masks_png=True)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "cleaned.nrrd",
        "masks",
        "measurements.csv",
        "preview.png",
        "result.json",
        "segmentation.seg.nrrd",
    ]
    document = json.loads(written["result"].read_text("utf-8"))
    assert document["series_uid"] == "1.2.3.4"
    assert document["patient_id"] == "=HYPERLINK(1)"
    assert document["task"] == ["headrest", "metal"]
    assert document["threshold_hu"] == 2400.0
    assert (document["method"], document["device"]) == ("classical", "cpu")
    assert document["warnings"] == ["one gap", "slice 3 is uncertain"]
    assert [s["name"] for s in document["segments"]] == ["Headrest", "Metal"]
    metal = document["segments"][1]
    assert metal["centroid_ras_mm"] == [1.0, -2.0, 3.0]
    assert metal["pieces"][0]["mean_hu"] is None, "JSON has no NaN"
    assert document["files"]["cleaned"] == "cleaned.nrrd"
    assert document["options"]["region"] == "inside"


def test_cleaned_volume_keeps_the_patient_bit_for_bit(tmp_path):
    volume, result = make_volume("uneven"), make_result()
    path = write_result(tmp_path, volume, result)["cleaned"]
    planes = to_regular_grid(volume).plane_of_slice
    cleaned = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[planes]
    headrest = result.segment("Headrest").mask
    assert (cleaned[headrest] == -1000).all()
    np.testing.assert_array_equal(cleaned[~headrest], volume.voxels[~headrest])


def test_masks_are_one_picture_for_each_slice(tmp_path):
    from PIL import Image

    result = make_result()
    write_result(tmp_path, make_volume(), result, masks_png=True)
    for segment in result.segments:
        folder = tmp_path / "masks" / segment.kind.name
        assert len(list(folder.iterdir())) == SHAPE[0]
        for k in range(SHAPE[0]):
            picture = np.asarray(Image.open(folder / f"1.2.3.4.{k}.png"))
            np.testing.assert_array_equal(picture, segment.mask[k] * np.uint8(255))


def test_slices_of_multiframe_and_hostile_instances_have_names_of_their_own():
    volume = make_volume()
    frames = replace(volume, sop_instance_uids=("1.2.840",) * 9, frame_numbers=tuple(range(9, 0, -1)))
    assert slice_names(frames)[0] == "1.2.840-frame-0009"
    assert len(set(slice_names(frames))) == 9
    repeated = replace(volume, sop_instance_uids=("1.2.840",) * 9, frame_numbers=(1,) * 9)
    assert len(set(slice_names(repeated))) == 9
    hostile = replace(volume, sop_instance_uids=("../../etc/passwd",) * 8 + ("",), frame_numbers=())
    assert all("/" not in name and len(set(slice_names(hostile))) == 9 for name in slice_names(hostile))


def test_measurements_are_rows_that_a_spreadsheet_does_not_run(tmp_path):
    path = write_result(tmp_path, make_volume(), make_result())["measurements"]
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["segment"], r["piece"]) for r in rows] == [
        ("Headrest", ""),
        ("Metal", ""),
        ("Metal", "1"),
        ("Metal", "2"),
    ]
    assert rows[0]["patient_id"] == "'=HYPERLINK(1)"
    assert rows[1]["centroid_a_mm"] == "-2.0", "numbers stay numbers"
    assert rows[2]["location"] == "inside"
    assert rows[2]["k_max"] == "4"


@given(st.text(max_size=20))
def test_no_text_is_a_formula(text):
    assert not str(spreadsheet_safe(text)).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_a_second_run_replaces_the_first_and_leaves_other_files(tmp_path):
    volume, result = make_volume(), make_result()
    first = write_result(tmp_path, volume, result, masks_png=True)
    before = {name: path.read_bytes() for name, path in first.items() if path.is_file()}
    (tmp_path / "notes.txt").write_text("mine")
    second = write_result(tmp_path, volume, result)
    assert {name: path.read_bytes() for name, path in second.items() if name != "result"} == {
        name: data for name, data in before.items() if name != "result"
    }, "the same input gives the same bytes"
    assert not (tmp_path / "masks").exists(), "masks of the first run are not taken for the second's"
    only_metal = SegmentationResult(("metal",), result.segments[1:], 2400.0)
    write_result(tmp_path, volume, only_metal)
    assert not (tmp_path / "cleaned.nrrd").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="half way"), atomic_path(path) as temporary:
        temporary.write_text("new, but")
        raise ValueError("half way")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="output folder"):
        write_result(tmp_path / "file" / "sub", make_volume(), make_result())
    if Path("/dev/full").exists():
        with pytest.raises(OutputError), atomic_path(tmp_path / "x") as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_bytes(b"x" * 100_000)


@given(st.text(max_size=150))
def test_names_never_leave_their_folder(text):
    name = safe_name(text)
    assert 0 < len(name) <= 70
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not name.startswith(".")
    assert not name.endswith(".")


@given(st.lists(st.text(max_size=80), unique=True, max_size=10))
def test_different_identifiers_have_different_names(texts):
    assert len({safe_name(text) for text in texts}) == len(texts)


def test_uids_keep_their_names():
    assert safe_name("1.3.6.1.4.1.14519.5.2.1") == "1.3.6.1.4.1.14519.5.2.1"
    assert not is_safe_uid("1." + "2" * 70)
    assert not is_safe_uid("1..2")
    assert not is_safe_uid("")
    assert not is_safe_uid("1.2\n")


numbers = st.floats() | st.integers() | st.booleans() | st.none() | st.text()


@given(st.recursive(numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_json_is_always_valid(value):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(json_text(value).encode("utf-8"), parse_constant=refuse)


def test_json_of_numpy_values():
    value = {"a": np.float32(1.5), "b": np.array([1, 2]), "c": (np.int64(3), math.inf), "d": np.bool_(True)}
    assert json.loads(json_text(value)) == {"a": 1.5, "b": [1, 2], "c": [3, None], "d": True}
