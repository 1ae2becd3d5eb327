"""Nodes with flipped matrices and transforms above them: results land where the node is."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from DicomAnalysisLib.errors import GeometryError
from DicomAnalysisLib.mrml import (
    grid_of_node,
    node_to_volume,
    result_to_segmentation_node,
    segmentation_node_to_masks,
    volume_to_node,
)
from DicomAnalysisLib.mrml.arrays import from_vtk_matrix, image_array, to_vtk_matrix
from mrml_cases import (
    SHAPE,
    UNEVEN,
    assert_in_place,
    fresh_scene,
    make_result,
    make_volume,
    mask_world_points,
    node_of,
)
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import numpy_to_vtk


@pytest.fixture
def scene():
    yield from fresh_scene()


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
