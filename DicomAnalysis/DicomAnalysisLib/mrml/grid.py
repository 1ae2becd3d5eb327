"""Where the voxels of a volume node lie, and which of its planes were acquired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from ..errors import GeometryError, TaskError
from ..volume import POSITION_TOLERANCE_MM, StackGeometry
from .arrays import from_vtk_matrix

ACQUIRED_PLANES = "DicomAnalysis.AcquiredPlanes"
"""Node attribute: indices of the planes that hold acquired slices, where others were interpolated between them."""

IN_PLANE_SHEAR = 1e-3
"""Largest cosine between rows and columns for which pixels still count as rectangles."""

RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class NodeGrid:
    """How the planes of a volume node lie against the slices of the Volume made from it.

    A node may count its planes from head to foot, and one made from an uneven series holds
    interpolated planes between the acquired ones. A Volume has neither.

    Attributes
    ----------
    geometry : StackGeometry
        The slices in world coordinates (LPS mm): parent transforms are applied.
    plane_of_slice : array of int, shape (slices,)
        Plane of the node that holds each slice.
    slice_of_plane : array of int, shape (planes,)
        Slice nearest to each plane of the node.
    """

    geometry: StackGeometry
    plane_of_slice: np.ndarray
    slice_of_plane: np.ndarray

    def to_slices(self, planes: np.ndarray) -> np.ndarray:
        """The slices (k, j, i) among the planes of a node; a view wherever that is possible."""
        order = self.plane_of_slice
        if len(order) != len(self.slice_of_plane):
            return planes[order]
        return planes if len(order) == 1 or order[0] < order[-1] else planes[::-1]

    def to_planes(self, slices: np.ndarray) -> np.ndarray:
        """A mask or labelmap on all planes of the node: each takes the nearest slice."""
        order = self.slice_of_plane
        if len(order) != len(slices):
            return slices[order]
        return slices if len(order) == 1 or order[0] < order[-1] else slices[::-1]


def require_scalar_volume(node: slicer.vtkMRMLNode | None) -> None:
    """Refuse what is not a volume of one value per voxel.

    Raises
    ------
    TaskError
        If there is no node, or it is a labelmap, holds vectors, or is empty.
    """
    if node is None:
        msg = "No volume is chosen; select a CT volume or load a series first."
        raise TaskError(msg)
    name = f"The node {node.GetName()!r}"
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        msg = f"{name} is a {node.GetNodeTagName()}, not a volume; select a CT volume."
        raise TaskError(msg)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        msg = f"{name} is a labelmap, not an image; select the CT volume it was made from."
        raise TaskError(msg)
    image = node.GetImageData()
    if image is None or 0 in image.GetDimensions() or image.GetPointData().GetScalars() is None:
        msg = f"{name} has no voxels; load the series again."
        raise TaskError(msg)
    if image.GetNumberOfScalarComponents() != 1:
        msg = (
            f"{name} holds {image.GetNumberOfScalarComponents()} values in each voxel (a colour or vector image); "
            "select a CT volume with one."
        )
        raise TaskError(msg)


def grid_of_node(volume_node: slicer.vtkMRMLScalarVolumeNode) -> NodeGrid:
    """Where the slices of a volume node lie in the world, ordered as DICOM orders them.

    Sheared (gantry tilt) and left-handed matrices are taken as they are. Parent transforms
    are applied; one that is not linear is accepted where it keeps every slice flat and
    rectangular, as the acquisition transforms of Slicer's own DICOM loader do.

    Raises
    ------
    TaskError
        If the node is not a scalar volume with voxels.
    GeometryError
        If a parent transform bends the slices, or rows and columns are not at right angles.
    """
    require_scalar_volume(volume_node)
    columns, rows, planes = volume_node.GetImageData().GetDimensions()
    corners, row, column = _plane_frames(volume_node, (columns, rows, planes))
    dx, dy = np.linalg.norm(row), np.linalg.norm(column)
    if min(dx, dy) == 0 or abs(row @ column) > IN_PLANE_SHEAR * dx * dy:
        msg = (
            f"The rows and columns of {volume_node.GetName()!r} are not at right angles; "
            "resample it to an upright grid first (module Resample Scalar/Vector/DWI Volume)."
        )
        raise GeometryError(msg)
    normal = np.cross(row, column) / (dx * dy)
    along = corners @ normal
    rising = planes == 1 or along[-1] > along[0]
    order = np.arange(planes) if rising else np.arange(planes)[::-1]
    if (np.diff(along[order]) <= 0).any():
        msg = f"The slices of {volume_node.GetName()!r} do not lie one behind the other; check its transforms."
        raise GeometryError(msg)
    acquired = _acquired_planes(volume_node, planes)
    if acquired is not None:
        order = order[np.isin(order, acquired)]
    geometry = StackGeometry(
        row / dx, column / dy, (float(dy), float(dx)), corners[order], _plane_distance(volume_node)
    )
    nearest = np.abs(along[:, None] - along[order]).argmin(axis=1)
    return NodeGrid(geometry, order, nearest)


def _plane_frames(
    volume_node: slicer.vtkMRMLScalarVolumeNode, dimensions: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First voxel of every plane (planes, 3), and the step along a row and along a column, LPS mm."""
    columns, rows, planes = dimensions
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = from_vtk_matrix(matrix)
    to_world = _world_transform(volume_node)
    if isinstance(to_world, np.ndarray):
        ijk_to_lps = np.diag([*RAS_TO_LPS, 1.0]) @ to_world @ ijk_to_ras
        corners = ijk_to_lps[:3, 3] + np.arange(planes)[:, None] * ijk_to_lps[:3, 2]
        return corners, ijk_to_lps[:3, 0], ijk_to_lps[:3, 1]

    def lps(i: float, j: float, k: float) -> np.ndarray:
        return np.array(to_world((ijk_to_ras @ [i, j, k, 1.0])[:3])) * RAS_TO_LPS

    last_i, last_j = max(columns - 1, 1), max(rows - 1, 1)
    corners = np.array([lps(0, 0, k) for k in range(planes)])
    row = (lps(last_i, 0, 0) - corners[0]) / last_i
    column = (lps(0, last_j, 0) - corners[0]) / last_j
    for k in range(planes):
        for i in (0, last_i / 2, last_i):
            for j in (0, last_j / 2, last_j):
                off = np.abs(lps(i, j, k) - (corners[k] + i * row + j * column)).max()
                if not off <= POSITION_TOLERANCE_MM:  # NaN of a broken transform must fail too
                    msg = (
                        f"A transform above {volume_node.GetName()!r} bends its slices, so they cannot be segmented "
                        "as they were acquired; harden the transform, or load the series with this module's reader."
                    )
                    raise GeometryError(msg)
    return corners, row, column


def _world_transform(
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> np.ndarray | Callable[[np.ndarray], tuple[float, float, float]]:
    """The parent transforms: one 4x4 matrix (RAS to world), or a function where they are not linear."""
    parent = volume_node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if parent.IsTransformToWorldLinear():
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToWorld(matrix)
        return from_vtk_matrix(matrix)
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, to_world)
    return to_world.TransformPoint


def _acquired_planes(volume_node: slicer.vtkMRMLScalarVolumeNode, planes: int) -> np.ndarray | None:
    """Planes that were acquired, or None where all were; ignored when the node was cropped or resampled since."""
    text = volume_node.GetAttribute(ACQUIRED_PLANES)
    if not text:
        return None
    acquired = np.array([int(word) for word in text.split()])
    return acquired if acquired[0] == 0 and acquired[-1] == planes - 1 else None


def _plane_distance(volume_node: slicer.vtkMRMLScalarVolumeNode) -> float:
    return float(volume_node.GetSpacing()[2]) or 1.0
