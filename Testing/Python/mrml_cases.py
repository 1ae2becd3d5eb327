"""Volumes, results and nodes that the tests of the MRML rooms share."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from DicomAnalysisLib.mrml.arrays import allocate, from_vtk_matrix, image_array, to_vtk_matrix
from DicomAnalysisLib.segmentation.result import Piece, Segment, SegmentationResult
from DicomAnalysisLib.segments import BONE, HEADREST, METAL
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

IDENTITY = SeriesIdentity("1.2.3.4", "1.2.3", "P-1", "1.2.9", "CT", "Head", "HEAD", "HFS")
SHAPE = (7, 12, 10)
EVEN = np.arange(SHAPE[0]) * 2.5
NAME_UNEVEN = "head-ge-tilt-uneven"
UNEVEN = np.array([0.0, 4.0, 8.0, 15.0, 22.0, 29.0, 30.08])


def fresh_scene():
    """A scene as the application has it, cleared afterwards: the body of a fixture."""
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
