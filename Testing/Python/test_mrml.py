"""Results <-> MRML nodes, on the real MRML classes of slicer-core."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import slicer
import vtk
from DicomAnalysisLib.errors import GeometryError, OutputError, TaskError
from DicomAnalysisLib.mrml import (
    cleaned_volume_node,
    grid_of_node,
    load_files,
    node_to_volume,
    result_to_segmentation_node,
    result_to_table_node,
    segmentation_node_to_masks,
    volume_to_node,
)
from DicomAnalysisLib.mrml.arrays import allocate, from_vtk_matrix, image_array, to_vtk_matrix
from DicomAnalysisLib.mrml.hierarchy import identity_of_node
from DicomAnalysisLib.segmentation.result import Piece, Segment, SegmentationResult
from DicomAnalysisLib.segments import BONE, HEADREST, METAL
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import numpy_to_vtk

IDENTITY = SeriesIdentity("1.2.3.4", "1.2.3", "P-1", "1.2.9", "CT", "Head", "HEAD", "HFS")
SHAPE = (7, 12, 10)
EVEN = np.arange(SHAPE[0]) * 2.5
NAME_UNEVEN = "head-ge-tilt-uneven"
UNEVEN = np.array([0.0, 4.0, 8.0, 15.0, 22.0, 29.0, 30.08])


@pytest.fixture
def scene():
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    yield scene
    scene.Clear(True)


def make_volume(
    distances=EVEN, euler=(0.0, 0.0, 0.0), tilt=0.0, spacing=(0.8, 0.5), origin=(-20.0, 11.0, 30.5), seed=0
):
    """A volume of noise in an asymmetric place; `tilt` in degrees shears the stack along its columns."""
    axes = Rotation.from_euler("xyz", euler, degrees=True).as_matrix().T
    row, column, normal = axes
    step = normal + np.tan(np.radians(tilt)) * column
    positions = np.array(origin) + np.asarray(distances)[:, None] * step
    rng = np.random.default_rng(seed)
    voxels = rng.integers(-1024, 3071, (len(distances), *SHAPE[1:]), dtype=np.int16)
    uids = tuple(f"1.2.3.4.{k}" for k in range(len(distances)))
    return Volume(voxels, StackGeometry(row, column, spacing, positions), IDENTITY, uids)


def make_result(shape=SHAPE, overlap=False):
    """A headrest, metal in two pieces and no bone."""
    headrest, metal = np.zeros(shape, bool), np.zeros(shape, bool)
    headrest[1:6, 7:11, 1:9] = True
    metal[2:4, 2:5, 3:5] = True
    metal[5, 1, 7] = True
    if overlap:
        metal[4, 8, 3:6] = True
    piece = Piece(12, 0.3, (1.0, 2.0, 3.0), (3, 4, 2, 4, 2, 3), 3071.0, 2900.0, "inside")
    measurements = {
        "voxels": int(metal.sum()),
        "volume_ml": 0.4,
        "components": 2,
        "centroid_ras_mm": (1.0, 2.0, 3.5),
        "bbox_ijk": (3, 7, 1, 4, 2, 5),
        "mean_hu": 2800.0,
        "max_hu": 3071.0,
    }
    nothing = {"voxels": 0, "volume_ml": 0.0, "components": 0, "centroid_ras_mm": None, "bbox_ijk": None}
    segments = (
        Segment(HEADREST, headrest, {**measurements, "voxels": int(headrest.sum()), "components": 1}),
        Segment(METAL, metal, measurements, (piece,)),
        Segment(BONE, np.zeros(shape, bool), nothing),
    )
    return SegmentationResult(("headrest", "metal", "bone"), segments, 2500.0, warnings=("Look at slice 3.",))


def node_of(scene, array, ijk_to_ras=None, class_name="vtkMRMLScalarVolumeNode"):
    node = scene.AddNewNodeByClass(class_name, "volume")
    image = vtk.vtkImageData()
    allocate(image, array.shape, array.dtype)[:] = array
    node.SetIJKToRASMatrix(to_vtk_matrix(np.eye(4) if ijk_to_ras is None else ijk_to_ras))
    node.SetAndObserveImageData(image)
    return node


def segment_world_points(segmentation_node, name):
    """World RAS of every voxel of a segment, from VTK's own geometry and the parent transforms."""
    segmentation = segmentation_node.GetSegmentation()
    segment = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName(name))
    image = segment.GetRepresentation("Binary labelmap")
    kji = np.argwhere(image_array(image) == segment.GetLabelValue()) + np.array(image.GetExtent()[4::-2])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    points = kji[:, ::-1] @ from_vtk_matrix(matrix)[:3, :3].T + from_vtk_matrix(matrix)[:3, 3]
    if segmentation_node.GetParentTransformNode() is None:
        return points
    to_world = vtk.vtkGeneralTransform()
    parent = segmentation_node.GetParentTransformNode()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, to_world)
    return np.array([to_world.TransformPoint(point) for point in points])


def mask_world_points(mask, geometry):
    return geometry.index_to_ras(np.argwhere(mask)[:, ::-1])


def assert_in_place(segmentation_node, result, geometry):
    """Every voxel of every mask has a voxel of its segment within 0.1 mm."""
    for segment in result.segments:
        if segment.mask.any():
            found = segment_world_points(segmentation_node, segment.kind.name)
            distances, _ = cKDTree(found).query(mask_world_points(segment.mask, geometry))
            assert distances.max() <= 0.1


class TestVolumes:
    @given(
        euler=st.tuples(*[st.floats(-180, 180)] * 3),
        tilt=st.floats(-25, 25),
        spacing=st.tuples(*[st.floats(0.2, 3)] * 2),
        gap=st.floats(0.5, 8),
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_node_gives_back_the_volume(self, scene, euler, tilt, spacing, gap):
        volume = make_volume(np.arange(SHAPE[0]) * gap, euler, tilt, spacing)
        again = node_to_volume(volume_to_node(scene, volume, "head"))
        assert again.voxels.dtype == np.int16
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        corners = np.array([(i, j, k) for i in (0, 9) for j in (0, 11) for k in (0, 3, 6)])
        np.testing.assert_allclose(
            again.geometry.index_to_lps(corners), volume.geometry.index_to_lps(corners), atol=1e-4
        )
        assert again.geometry.tilt_degrees == pytest.approx(volume.geometry.tilt_degrees, abs=1e-4)

    @pytest.mark.parametrize("tilt", [0.0, 18.5])
    def test_an_uneven_stack_gives_back_its_acquired_slices(self, scene, tilt):
        volume = make_volume(UNEVEN, (10, -5, 20), tilt)
        node = volume_to_node(scene, volume, "head")
        assert node.GetImageData().GetDimensions()[2] > len(UNEVEN)
        again = node_to_volume(node)
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        assert again.sop_instance_uids == volume.sop_instance_uids
        assert np.abs(again.geometry.positions - volume.geometry.positions).max() <= 0.1

    def test_a_single_slice(self, scene):
        volume = make_volume([4.0])
        again = node_to_volume(volume_to_node(scene, volume, "slice"))
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        np.testing.assert_allclose(again.geometry.positions, volume.geometry.positions, atol=1e-4)

    def test_the_affine_is_sheared_by_the_tilt(self, scene):
        node = volume_to_node(scene, make_volume(tilt=-18.5), "tilted")
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        axes = from_vtk_matrix(matrix)[:3, :3]
        assert axes[:, 1] @ axes[:, 2] != pytest.approx(0, abs=0.1)
        np.testing.assert_allclose(axes[:, 2], [0, 2.5 * np.tan(np.radians(18.5)), 2.5], atol=1e-6)

    def test_identity_survives(self, scene):
        volume = make_volume()
        node = volume_to_node(scene, volume, "Head")
        assert node.GetAttribute("DICOM.instanceUIDs").split() == list(volume.sop_instance_uids)
        again = node_to_volume(node)
        assert again.identity == IDENTITY
        assert again.sop_instance_uids == volume.sop_instance_uids

    def test_frames_of_one_instance_share_its_uid(self, scene):
        volume = make_volume()
        frames = Volume(volume.voxels, volume.geometry, IDENTITY, ("1.2.3.4.5",) * SHAPE[0], tuple(range(1, 8)))
        node = volume_to_node(scene, frames, "enhanced")
        assert node.GetAttribute("DICOM.instanceUIDs") == "1.2.3.4.5"
        assert node_to_volume(node).sop_instance_uids == frames.sop_instance_uids

    def test_padding_and_warnings_stay_with_the_node(self, scene):
        volume = make_volume()
        odd = Volume(
            volume.voxels,
            volume.geometry,
            IDENTITY,
            padding_values=(-2000.0,),
            warnings=("One slice was twice there.",),
        )
        node = volume_to_node(scene, odd, "odd")
        assert node_to_volume(node).padding_values == (-2000.0,)
        assert "twice" in node.GetDescription()

    def test_names_are_made_unique(self, scene):
        assert [volume_to_node(scene, make_volume(), "head").GetName() for _ in range(2)] == ["head", "head_1"]

    def test_voxels_are_shown_in_a_window_for_ct(self, scene):
        display = volume_to_node(scene, make_volume(), "head").GetScalarVolumeDisplayNode()
        assert (display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel()) == (0, 400, 40)


class TestVoxelTypes:
    @pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.float64, np.float32, np.uint8])
    def test_whole_numbers_that_fit_become_int16(self, scene, dtype):
        array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
        voxels = node_to_volume(node_of(scene, array)).voxels
        assert voxels.dtype == np.int16
        np.testing.assert_array_equal(voxels, array)

    def test_int16_is_not_copied(self, scene):
        node = node_of(scene, np.zeros((2, 3, 4), np.int16))
        assert np.shares_memory(node_to_volume(node).voxels, image_array(node.GetImageData()))

    def test_int32_beyond_int16_does_not_overflow(self, scene):
        array = np.array([[[-70000, 40000, 3]]], np.int32)
        voxels = node_to_volume(node_of(scene, array)).voxels
        assert voxels.dtype == np.float32
        np.testing.assert_array_equal(voxels, array)

    def test_fractions_stay_fractions(self, scene):
        voxels = node_to_volume(node_of(scene, np.array([[[0.5, -1.25]]]))).voxels
        assert voxels.dtype == np.float32
        np.testing.assert_array_equal(voxels, [[[0.5, -1.25]]])

    def test_what_is_not_a_number_becomes_air_and_is_named(self, scene):
        volume = node_to_volume(node_of(scene, np.array([[[np.nan, np.inf, 7.0]]])))
        np.testing.assert_array_equal(volume.voxels, [[[-1000, -1000, 7]]])
        assert "2 voxels" in volume.warnings[0]

    def test_nothing_but_nan_is_refused(self, scene):
        with pytest.raises(TaskError, match="load the series again"):
            node_to_volume(node_of(scene, np.full((1, 2, 2), np.nan)))


class TestRefusals:
    def test_no_node(self):
        with pytest.raises(TaskError, match="select a CT volume"):
            node_to_volume(None)

    def test_a_labelmap(self, scene):
        node = node_of(scene, np.zeros((2, 2, 2), np.uint8), class_name="vtkMRMLLabelMapVolumeNode")
        with pytest.raises(TaskError, match="labelmap"):
            node_to_volume(node)

    def test_a_colour_image(self, scene):
        node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
        image = vtk.vtkImageData()
        image.SetDimensions(2, 2, 2)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        node.SetAndObserveImageData(image)
        with pytest.raises(TaskError, match="3 values"):
            node_to_volume(node)

    def test_an_empty_node(self, scene):
        with pytest.raises(TaskError, match="no voxels"):
            node_to_volume(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))

    def test_a_node_of_another_kind(self, scene):
        with pytest.raises(TaskError, match="not a volume"):
            node_to_volume(scene.AddNewNodeByClass("vtkMRMLTableNode", "table"))

    def test_slanted_pixels(self, scene):
        slanted = np.eye(4)
        slanted[0, 1] = 0.2
        with pytest.raises(GeometryError, match="right angles"):
            node_to_volume(node_of(scene, np.zeros((2, 2, 2), np.int16), slanted))


def grid_transform(scene, node, displacement, to_parent=True):
    """A grid transform above `node` that adds `displacement(ras)` (mm), sampled at the node's plane corners.

    Not `to_parent`, it adds them on the way from the world to the node, and the way back is found by iteration.
    """
    dimensions = node.GetImageData().GetDimensions()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = from_vtk_matrix(matrix)
    spacing = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    direction = np.eye(4)
    direction[:3, :3] = ijk_to_ras[:3, :3] / spacing
    last = np.array(dimensions[:2]) - 1
    image = vtk.vtkImageData()
    image.SetDimensions(2, 2, dimensions[2])
    image.SetSpacing(*(spacing * [*last, 1]))
    image.SetOrigin(*ijk_to_ras[:3, 3])
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    vectors = [
        displacement(ijk_to_ras[:3] @ [i * last[0], j * last[1], k, 1])
        for k in range(dimensions[2])
        for j in (0, 1)
        for i in (0, 1)
    ]
    array = numpy_to_vtk(np.array(vectors, np.float64), deep=True)
    array.SetName("displacement")
    image.GetPointData().SetScalars(array)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetInterpolationModeToLinear()
    transform.SetGridDirectionMatrix(to_vtk_matrix(direction))
    parent = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "acquisition transform")
    (parent.SetAndObserveTransformToParent if to_parent else parent.SetAndObserveTransformFromParent)(transform)
    node.SetAndObserveTransformNodeID(parent.GetID())


class TestGeometryOfNodes:
    def make_parent(self, scene, node, matrix):
        parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
        parent.SetMatrixTransformToParent(to_vtk_matrix(matrix))
        node.SetAndObserveTransformNodeID(parent.GetID())

    @pytest.mark.parametrize("flips", [(1, 1, -1), (-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
    def test_left_handed_nodes_are_turned_and_results_turned_back(self, scene, flips):
        volume = make_volume(euler=(12, 30, -40), tilt=10)
        k, j, i = volume.voxels.shape
        flip = np.diag([*flips, 1.0])
        flip[:3, 3] = [(n - 1) * (f < 0) for n, f in zip((i, j, k), flips, strict=True)]
        axes = tuple(axis for axis, f in zip((2, 1, 0), flips, strict=True) if f < 0)
        node = node_of(scene, np.flip(volume.voxels, axes), volume.geometry.ijk_to_ras @ flip)
        again = node_to_volume(node)
        assert (again.geometry.slice_gaps > 0).all()
        ijk = np.array([[2, 7, 5], [0, 0, 0], [9, 11, 6]])
        turned = np.linalg.inv(flip)[:3] @ np.c_[ijk, [1, 1, 1]].T
        ras = volume.geometry.index_to_ras(ijk)
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        np.testing.assert_allclose((from_vtk_matrix(matrix)[:3] @ np.r_[turned, [[1, 1, 1]]]).T, ras, atol=1e-4)
        result = make_result()
        masks = segmentation_node_to_masks(result_to_segmentation_node(scene, result, node), node)
        np.testing.assert_array_equal(masks["Metal"], result.segments[1].mask)
        assert_in_place(result_to_segmentation_node(scene, result, node), result, again.geometry)
        for voxel, place in zip(ijk, ras, strict=True):  # the same value at the same place
            found = cKDTree(mask_world_points(np.ones(SHAPE, bool), again.geometry)).query(place)
            assert found[0] < 1e-3
            assert again.voxels.ravel()[found[1]] == volume.voxels[tuple(voxel[::-1])]

    def test_instance_uids_follow_the_slices(self, scene):
        volume = make_volume()
        turned = volume.geometry.ijk_to_ras @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 6], [0, 0, 0, 1.0]])
        node = node_of(scene, volume.voxels[::-1], turned)
        node.SetAttribute("DICOM.instanceUIDs", " ".join(volume.sop_instance_uids[::-1]))
        again = node_to_volume(node)
        assert again.sop_instance_uids == volume.sop_instance_uids
        np.testing.assert_array_equal(again.voxels, volume.voxels)

    def test_a_linear_parent_transform_moves_the_slices(self, scene):
        volume = make_volume(tilt=7)
        node = volume_to_node(scene, volume, "head")
        moved = np.eye(4)
        moved[:3, :3] = Rotation.from_euler("xyz", (20, -35, 60), degrees=True).as_matrix()
        moved[:3, 3] = 5, -60, 12
        self.make_parent(scene, node, moved)
        geometry = grid_of_node(node).geometry
        ijk = np.array([[0, 0, 0], [9, 0, 3], [3, 11, 6]])
        expected = volume.geometry.index_to_ras(ijk) @ moved[:3, :3].T + moved[:3, 3]
        np.testing.assert_allclose(geometry.index_to_ras(ijk), expected, atol=1e-3)
        result = make_result()
        segmentation = result_to_segmentation_node(scene, result, node)
        assert segmentation.GetTransformNodeID() == node.GetTransformNodeID()
        assert_in_place(segmentation, result, geometry)

    def test_the_acquisition_transform_of_an_uneven_series_is_understood(self, scene):
        """Slicer's loader puts uneven slices on an even grid and moves them home with a grid transform."""
        acquired = make_volume(UNEVEN, tilt=18.5)
        even = make_volume(np.linspace(0, UNEVEN[-1], SHAPE[0]), tilt=18.5)
        node = node_of(scene, acquired.voxels, even.geometry.ijk_to_ras)
        lps = {round(p[2], 3): q - p for p, q in zip(even.geometry.positions, acquired.geometry.positions, strict=True)}
        even_z = np.array(sorted(lps))
        grid_transform(scene, node, lambda ras: lps[round(even_z[np.abs(even_z - ras[2]).argmin()], 3)] * [-1, -1, 1])
        volume = node_to_volume(node)
        np.testing.assert_allclose(volume.geometry.positions, acquired.geometry.positions, atol=0.02)
        assert not volume.geometry.is_regular
        result = make_result()
        assert_in_place(result_to_segmentation_node(scene, result, node), result, acquired.geometry)

    def test_results_follow_a_transform_that_is_known_from_the_world_only(self, scene):
        node = volume_to_node(scene, make_volume(tilt=18.5), "head")
        grid_transform(scene, node, lambda ras: np.array([0.0, 0.0, 0.02 * (ras[2] - 30) ** 2]), to_parent=False)
        geometry = node_to_volume(node).geometry
        assert not geometry.is_regular
        result = make_result()
        assert_in_place(result_to_segmentation_node(scene, result, node), result, geometry)

    def test_a_transform_that_bends_slices_is_refused(self, scene):
        node = volume_to_node(scene, make_volume(), "bent")
        grid_transform(scene, node, lambda ras: np.array([0.0, 0.0, 0.3 * (ras[0] > 18 and ras[2] < 35)]))
        with pytest.raises(GeometryError, match="bends"):
            node_to_volume(node)

    def test_a_broken_transform_is_refused(self, scene):
        node = volume_to_node(scene, make_volume(), "broken")
        grid_transform(scene, node, lambda _: np.full(3, np.nan))
        with pytest.raises(GeometryError):
            node_to_volume(node)

    def test_a_cropped_uneven_node_is_taken_as_it_is(self, scene):
        node = volume_to_node(scene, make_volume(UNEVEN), "head")
        image = node.GetImageData()
        cropped = node_of(scene, image_array(image)[:5])
        cropped.SetAttribute("DicomAnalysis.AcquiredPlanes", node.GetAttribute("DicomAnalysis.AcquiredPlanes"))
        assert len(grid_of_node(cropped).geometry) == 5


class TestSegmentations:
    @pytest.mark.parametrize("tilt", [0.0, -18.5])
    @pytest.mark.parametrize("distances", [EVEN, UNEVEN], ids=["even", "uneven"])
    def test_segments_lie_where_they_were_found(self, scene, distances, tilt):
        volume = make_volume(distances, (15, 25, -70), tilt)
        node = volume_to_node(scene, volume, "head")
        result = make_result()
        segmentation = result_to_segmentation_node(scene, result, node)
        assert_in_place(segmentation, result, volume.geometry)
        masks = segmentation_node_to_masks(segmentation, node)
        for segment in result.segments:
            np.testing.assert_array_equal(masks[segment.kind.name], segment.mask)

    def test_names_colours_codes_and_one_shared_labelmap(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        segmentation_node = result_to_segmentation_node(scene, make_result(), node)
        segmentation = segmentation_node.GetSegmentation()
        segments = [segmentation.GetNthSegment(n) for n in range(3)]
        assert [s.GetName() for s in segments] == ["Headrest", "Metal", "Bone"]
        np.testing.assert_allclose(segments[1].GetColor(), METAL.color)
        assert "SCT^260787004^Physical object~SCT^86407004^Table" in segments[0].GetTerminology()
        assert "SCT^260787004^Physical object~SCT^40388003^Implant" in segments[1].GetTerminology()
        assert not segments[0].GetNameAutoGenerated()
        assert segments[0].GetRepresentation("Binary labelmap") is segments[1].GetRepresentation("Binary labelmap")
        assert segments[0].GetRepresentation("Binary labelmap").GetExtent() == (1, 8, 1, 10, 1, 5)
        assert segmentation_node.GetDescription() == "Look at slice 3."
        reference = segmentation_node.GetNodeReference(
            slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        )
        assert reference is node

    def test_segments_that_overlap_keep_all_their_voxels(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        result = make_result(overlap=True)
        segmentation_node = result_to_segmentation_node(scene, result, node)
        masks = segmentation_node_to_masks(segmentation_node, node)
        for segment in result.segments:
            np.testing.assert_array_equal(masks[segment.kind.name], segment.mask)
        assert segmentation_node.GetSegmentation().GetNumberOfLayers() > 1

    def test_nothing_found_still_names_its_segments(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        nothing = np.zeros(SHAPE, bool)
        result = SegmentationResult(("headrest", "metal"), (Segment(HEADREST, nothing), Segment(METAL, nothing)))
        masks = segmentation_node_to_masks(result_to_segmentation_node(scene, result, node), node)
        assert list(masks) == ["Headrest", "Metal"]
        assert not masks["Metal"].any()

    def test_a_second_run_replaces_its_own_segments_only(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        segmentation_node = result_to_segmentation_node(scene, make_result(), node)
        mask = np.zeros(SHAPE, bool)
        mask[0, 0, 0] = True
        again = SegmentationResult(("metal",), (Segment(METAL, mask),))
        assert result_to_segmentation_node(scene, again, node, node=segmentation_node) is segmentation_node
        masks = segmentation_node_to_masks(segmentation_node, node)
        assert sorted(masks) == ["Bone", "Headrest", "Metal"]
        np.testing.assert_array_equal(masks["Metal"], mask)
        np.testing.assert_array_equal(masks["Headrest"], make_result().segments[0].mask)

    @pytest.mark.parametrize("distances", [EVEN, UNEVEN], ids=["even", "uneven"])
    def test_a_stored_segmentation_reads_back_in_place(self, scene, tmp_path, distances):
        volume = make_volume(distances, (5, -15, 30), tilt=18.5)
        node = volume_to_node(scene, volume, "head")
        result = make_result()
        segmentation_node = result_to_segmentation_node(scene, result, node)
        storage = segmentation_node.CreateDefaultStorageNode()
        storage.SetFileName(str(tmp_path / "head.seg.nrrd"))
        assert storage.WriteData(segmentation_node)
        read = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "read")
        assert storage.ReadData(read)
        assert_in_place(read, result, volume.geometry)
        masks = segmentation_node_to_masks(read, node)
        for segment in result.segments[:2]:
            np.testing.assert_array_equal(masks[segment.kind.name], segment.mask)
        segment = read.GetSegmentation().GetSegment(read.GetSegmentation().GetSegmentIdBySegmentName("Headrest"))
        assert "86407004" in segment.GetTerminology()

    def test_a_segmentation_of_another_geometry_is_resampled(self, scene):
        coarse = volume_to_node(scene, make_volume(spacing=(1.6, 1.0)), "coarse")
        fine = volume_to_node(scene, make_volume(spacing=(0.8, 0.5)), "fine")
        mask = np.zeros(SHAPE, bool)
        mask[2:4, 0:4, 0:3] = True
        result = SegmentationResult(("metal",), (Segment(METAL, mask),))
        found = segmentation_node_to_masks(result_to_segmentation_node(scene, result, coarse), fine)["Metal"]
        assert found.any(axis=(1, 2)).tolist() == [False, False, True, True, False, False, False]
        assert found.sum() == 4 * mask.sum()


class TestCleanedVolume:
    @pytest.mark.parametrize("distances", [EVEN, UNEVEN], ids=["even", "uneven"])
    def test_only_the_headrest_becomes_air(self, scene, distances):
        volume = make_volume(distances)
        node = volume_to_node(scene, volume, "head")
        before = image_array(node.GetImageData()).copy()
        result = make_result()
        cleaned = cleaned_volume_node(scene, result, node)
        again = node_to_volume(cleaned)
        headrest = result.segments[0].mask
        assert (again.voxels[headrest] == -1000).all()
        np.testing.assert_array_equal(again.voxels[~headrest], volume.voxels[~headrest])
        np.testing.assert_array_equal(image_array(node.GetImageData()), before)
        assert grid_of_node(cleaned).geometry.positions.tolist() == grid_of_node(node).geometry.positions.tolist()

    def test_display_and_source_are_kept(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        node.GetScalarVolumeDisplayNode().SetWindowLevel(80, 35)
        cleaned = cleaned_volume_node(scene, make_result(), node)
        assert cleaned.GetName() == "head cleaned"
        display = cleaned.GetScalarVolumeDisplayNode()
        assert display is not node.GetScalarVolumeDisplayNode()
        assert (display.GetWindow(), display.GetLevel()) == (80, 35)
        assert cleaned.GetNodeReference("DicomAnalysis.source") is node
        assert cleaned.GetAttribute("DICOM.instanceUIDs") is None  # it is not what was acquired

    def test_int32_nodes_stay_int32(self, scene):
        node = node_of(scene, make_volume().voxels.astype(np.int32))
        cleaned = cleaned_volume_node(scene, make_result(), node)
        assert image_array(cleaned.GetImageData()).dtype == np.int32

    def test_an_earlier_one_is_written_over(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        cleaned = cleaned_volume_node(scene, make_result(), node)
        assert cleaned_volume_node(scene, make_result(), node, node=cleaned) is cleaned
        assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2

    def test_unsigned_voxels_are_refused(self, scene):
        with pytest.raises(OutputError, match="-1000"):
            cleaned_volume_node(scene, make_result(), node_of(scene, np.zeros(SHAPE, np.uint16)))

    def test_no_headrest_no_cleaned_volume(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        with pytest.raises(TaskError, match="headrest"):
            cleaned_volume_node(scene, SegmentationResult(("metal",), make_result().segments[1:2]), node)


class TestTables:
    def cell(self, node, row, column):
        return node.GetTable().GetValueByName(row, column).ToString()

    def test_rows_types_and_units(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        table_node = result_to_table_node(scene, make_result(), node)
        table = table_node.GetTable()
        rows = [(self.cell(table_node, n, "Segment"), self.cell(table_node, n, "Piece")) for n in range(4)]
        assert rows == [("Headrest", "all"), ("Metal", "all"), ("Metal", "1"), ("Bone", "all")]
        assert table.GetColumnByName("Volume").IsA("vtkDoubleArray")
        assert table.GetColumnByName("Voxels").IsA("vtkIntArray")
        assert table.GetColumnByName("Location").IsA("vtkStringArray")
        assert table_node.GetColumnUnitLabel("Volume") == "mL"
        assert table_node.GetColumnTitle("Mean") == "Mean (HU)"
        assert table.GetValueByName(2, "Maximum").ToDouble() == 3071
        assert self.cell(table_node, 2, "Location") == "inside"
        assert table.GetValueByName(3, "I min").ToInt() == -1

    def test_boxes_are_in_the_nodes_own_indices(self, scene):
        volume = make_volume(UNEVEN)
        node = volume_to_node(scene, volume, "head")
        table = result_to_table_node(scene, make_result(), node).GetTable()
        planes = grid_of_node(node).plane_of_slice
        box = [table.GetValueByName(1, f"K {end}").ToInt() for end in ("min", "max")]
        assert box == [planes[2], planes[5]]
        turned = node_of(scene, make_volume().voxels, np.diag([1.0, 1.0, -1.0, 1.0]))
        table = result_to_table_node(scene, make_result(), turned).GetTable()
        assert [table.GetValueByName(1, f"K {end}").ToInt() for end in ("min", "max")] == [1, 4]

    def test_a_second_run_replaces_its_own_rows_only(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        table_node = result_to_table_node(scene, make_result(), node)
        again = SegmentationResult(("metal",), (Segment(METAL, np.zeros(SHAPE, bool), {"voxels": 0}),))
        result_to_table_node(scene, again, node, node=table_node)
        rows = [self.cell(table_node, n, "Segment") for n in range(table_node.GetNumberOfRows())]
        assert rows == ["Headrest", "Bone", "Metal"]

    def test_it_is_stored_as_text(self, scene, tmp_path):
        node = volume_to_node(scene, make_volume(), "head")
        table_node = result_to_table_node(scene, make_result(), node)
        storage = table_node.CreateDefaultStorageNode()
        storage.SetFileName(str(tmp_path / "table.tsv"))
        assert storage.WriteData(table_node)
        lines = (tmp_path / "table.tsv").read_text().splitlines()
        assert lines[0].startswith("Segment\tPiece\tLocation")
        assert len(lines) == 5


class TestSubjectHierarchy:
    def path_of(self, scene, node):
        hierarchy = scene.GetSubjectHierarchyNode()
        item = hierarchy.GetItemByDataNode(node)
        path = []
        while item and item != hierarchy.GetSceneItemID():
            path.insert(0, hierarchy.GetItemName(item))
            item = hierarchy.GetItemParent(item)
        return path

    def test_results_stand_under_the_study_of_their_volume(self, scene):
        labels = {"patient": "Phantom", "study": "Head CT"}
        node = volume_to_node(scene, make_volume(), "head", labels)
        result = make_result()
        for made in (
            result_to_segmentation_node(scene, result, node),
            result_to_table_node(scene, result, node),
            cleaned_volume_node(scene, result, node),
        ):
            assert self.path_of(scene, made) == ["Phantom", "Head CT", made.GetName()]
        hierarchy = scene.GetSubjectHierarchyNode()
        assert hierarchy.GetItemByUID("DICOM", "1.2.3.4") == hierarchy.GetItemByDataNode(node)
        assert hierarchy.GetItemLevel(hierarchy.GetItemByUID("DICOM", "1.2.3")) == "Study"
        assert hierarchy.GetItemLevel(hierarchy.GetItemByUID("DICOM", "P-1")) == "Patient"

    def test_two_stacks_of_one_series_share_its_study(self, scene):
        nodes = [volume_to_node(scene, make_volume(seed=seed), "head") for seed in (0, 1)]
        assert [self.path_of(scene, node)[:2] for node in nodes] == [["P-1", "Study"]] * 2
        assert identity_of_node(nodes[1]).series_uid == "1.2.3.4"

    def test_a_volume_without_identity_stays_at_the_top(self, scene):
        plain = make_volume()
        node = volume_to_node(scene, Volume(plain.voxels, plain.geometry), "plain")
        segmentation = result_to_segmentation_node(scene, make_result(), node)
        assert self.path_of(scene, segmentation) == ["plain segmentation"]
        assert node_to_volume(node).identity.study_uid == ""

    def test_a_patient_without_an_id_is_kept_apart_from_the_study(self, scene):
        volume = make_volume()
        nameless = Volume(volume.voxels, volume.geometry, SeriesIdentity("1.2.3.4", "1.2.3"))
        assert self.path_of(scene, volume_to_node(scene, nameless, "head")) == ["Patient-1.2.3", "Study", "head"]


class TestAgainstTheApplication:
    """Where a real Slicer places series right, ours lie at the same place."""

    def files(self, folder):
        return sorted(folder.rglob("*.dcm"))

    def load(self, scene, shared_data, slicer_golden, name):
        [node] = load_files(scene, self.files(shared_data / name))
        record = json.loads((slicer_golden / "loaded-by-slicer.json").read_text(encoding="utf-8"))
        [series] = record[name]["series"].values()
        return node, next(one for one in series["nodes"] if one["class"] == "vtkMRMLScalarVolumeNode")

    @pytest.mark.parametrize(
        "name",
        [
            "chest-lidc314-implicit",
            "chest-lungfcp-sternal-wires",
            "head-enhanced-multiframe-derived",
            "head-philips-phantom-tilt-minus18.5",
            "head-philips-phantom-tilt-plus16.5",
        ],
    )
    def test_even_series_have_the_same_matrix(self, scene, shared_data, slicer_golden, name):
        node, theirs = self.load(scene, shared_data, slicer_golden, name)
        assert list(image_array(node.GetImageData()).shape) == theirs["shape_kji"]
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        last = np.array(theirs["shape_kji"][::-1]) - 1
        corners = np.array([(*(last * corner), 1) for corner in np.ndindex(2, 2, 2)])
        difference = (from_vtk_matrix(matrix) - np.array(theirs["ijk_to_ras"])) @ corners.T
        assert np.abs(difference).max() < 0.01
        voxels = image_array(node.GetImageData())
        assert (voxels.max(), voxels.min()) == (theirs["max"], theirs["min"])

    def test_the_uneven_tilted_series_lies_where_its_grid_transform_puts_it(self, scene, shared_data, slicer_golden):
        node, theirs = self.load(scene, shared_data, slicer_golden, NAME_UNEVEN)
        geometry = node_to_volume(node).geometry
        assert len(geometry) == theirs["instance_count"]
        for index, place in theirs["ijk_to_world_ras_samples"].items():
            ijk = np.array(json.loads(index))
            if ijk[2] in (0, 27):  # between the ends Slicer's transform is up to 41 mm off what the headers say
                assert np.abs(geometry.index_to_ras(ijk) - place).max() < 0.1, index
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in self.files(shared_data / NAME_UNEVEN)]
        stated = sorted(np.array(header.ImagePositionPatient, float)[2] for header in headers)
        assert np.abs(geometry.positions[:, 2] - stated).max() < 0.1

    def test_what_slicer_tears_apart_is_one_volume(self, scene, shared_data):
        folder = shared_data / "head-phantom-derived-dup-missing-mixed"
        main, other = load_files(
            scene, [path for path in folder.rglob("*") if path.suffix != ".txt" and path.is_file()]
        )
        assert main.GetImageData().GetDimensions()[2] > 20
        assert other.GetImageData().GetDimensions()[2] == 1
        assert "missing" in main.GetDescription()
