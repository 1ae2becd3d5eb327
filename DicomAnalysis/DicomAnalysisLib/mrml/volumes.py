"""Volumes <-> scalar volume nodes, and the volume with its headrest set to air."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer
import vtk

from ..dicom.padding import find_padding
from ..errors import OutputError, TaskError
from ..preprocessing.cleaning import AIR_HU
from ..preprocessing.resampling import to_regular_grid
from ..segmentation.result import SegmentationResult
from ..segments import HEADREST
from ..volume import Volume
from .arrays import allocate, image_array, to_vtk_matrix
from .grid import ACQUIRED_PLANES, NodeGrid, grid_of_node, require_scalar_volume
from .hierarchy import INSTANCE_UIDS, identity_of_node, place_result, place_series

SOFT_TISSUE_WINDOW, SOFT_TISSUE_LEVEL = 400, 40
_PADDING = "DicomAnalysis.PaddingValues"
_NO_PADDING = "none"
_CHUNK = 16


def volume_to_node(
    scene: slicer.vtkMRMLScene,
    volume: Volume,
    name: str,
    labels: Mapping[str, str] | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node with the voxels where they were acquired.

    A stack that one affine describes keeps its voxels and gets that affine, sheared where the
    gantry was tilted. An uneven stack is put on a regular grid; the node remembers which planes
    were acquired, so that `node_to_volume` gives back the stack as it was.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume : Volume
        Of shape (k, j, i), HU for CT.
    name : str
        Name of the node; the scene makes it unique.
    labels : mapping, optional
        Names for new ``patient`` and ``study`` items of the subject hierarchy.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        In its place in the subject hierarchy, with ``DICOM.instanceUIDs`` set; what was unusual
        about the series stands in the node's description.

    Raises
    ------
    GeometryError
        If the slices shift sideways, so that no grid holds them.
    """
    grid = to_regular_grid(volume)
    image = vtk.vtkImageData()
    voxels = allocate(image, grid.shape, volume.voxels.dtype)
    for plane, values in enumerate(grid.image_planes(volume.voxels, volume.padding_values)):
        voxels[plane] = values
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.SetIJKToRASMatrix(to_vtk_matrix(grid.ijk_to_ras))
    node.SetAndObserveImageData(image)
    if len(grid.lower) > len(grid.plane_of_slice) and not grid.weights[grid.plane_of_slice].any():
        node.SetAttribute(ACQUIRED_PLANES, " ".join(map(str, grid.plane_of_slice)))
    node.SetAttribute(_PADDING, " ".join(f"{value:g}" for value in volume.padding_values) or _NO_PADDING)
    instance_uids = tuple(dict.fromkeys(volume.sop_instance_uids))
    if instance_uids:
        node.SetAttribute(INSTANCE_UIDS, " ".join(instance_uids))
    node.SetDescription("\n".join((*volume.warnings, *grid.warnings)))
    if volume.identity.modality == "CT":
        _name_unit(node)
    place_series(scene, node, volume.identity, instance_uids, labels)
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    if volume.identity.modality == "CT" and display is not None:
        display.AutoWindowLevelOff()
        display.SetWindowLevel(SOFT_TISSUE_WINDOW, SOFT_TISSUE_LEVEL)
    return node


def node_to_volume(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """The slices of a volume node as a Volume in world coordinates.

    Voxels are a view of the node's memory where its type allows it (int16, float32): do not keep
    the Volume while the node is changed. Whole numbers of other types become int16 where they
    fit, all else float32.

    Raises
    ------
    TaskError
        If the node is a labelmap, holds vectors, is empty, or holds voxels that are not numbers.
    GeometryError
        If a transform above the node bends its slices (see `grid_of_node`).
    """
    grid = grid_of_node(volume_node)
    voxels, warnings = _hounsfield(volume_node, grid.to_slices(image_array(volume_node.GetImageData())))
    uids = (volume_node.GetAttribute(INSTANCE_UIDS) or "").split()
    if len(uids) == len(grid.plane_of_slice):
        rising = grid.plane_of_slice[0] <= grid.plane_of_slice[-1]
        uids = uids if rising else uids[::-1]
    elif len(uids) == 1:  # multi-frame: every slice is a frame of the one instance
        uids = uids * len(grid.plane_of_slice)
    else:
        uids = []
    return Volume(
        voxels,
        grid.geometry,
        identity_of_node(volume_node),
        tuple(uids),
        padding_values=_padding_values(volume_node, voxels),
        warnings=warnings,
    )


def cleaned_volume_node(
    scene: slicer.vtkMRMLScene,
    result: SegmentationResult,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    grid: NodeGrid | None = None,
    node: slicer.vtkMRMLScalarVolumeNode | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """A copy of a volume node with the headrest set to air (-1000 HU); all other voxels bit-identical.

    Parameters
    ----------
    scene : vtkMRMLScene
    result : SegmentationResult
        With a ``Headrest`` segment, on the slices of `volume_node`.
    volume_node : vtkMRMLScalarVolumeNode
    grid : NodeGrid, optional
        Of `volume_node`, where the caller has it.
    node : vtkMRMLScalarVolumeNode, optional
        An earlier cleaned volume to write over.

    Raises
    ------
    TaskError
        If the result has no headrest segment.
    OutputError
        If the node's voxel type cannot hold -1000.
    """
    require_scalar_volume(volume_node)
    headrest = result.segment(HEADREST.name)
    if headrest is None:
        msg = "The cleaned volume needs the headrest; segment it together with the rest."
        raise TaskError(msg)
    source = image_array(volume_node.GetImageData())
    if np.issubdtype(source.dtype, np.unsignedinteger) or source.dtype == np.int8:
        msg = (
            f"{volume_node.GetName()!r} holds {source.dtype} voxels, which cannot hold {AIR_HU} HU; "
            "load the series with its rescale slope and intercept applied."
        )
        raise OutputError(msg)
    grid = grid or grid_of_node(volume_node)
    mask = grid.to_planes(headrest.mask)
    image = vtk.vtkImageData()
    cleaned = allocate(image, source.shape, source.dtype)
    for start in range(0, len(source), _CHUNK):  # by slabs: what the mask selects is still in the cache
        part = slice(start, start + _CHUNK)
        cleaned[part] = source[part]
        cleaned[part][mask[part]] = AIR_HU
    if node is None:
        node = scene.AddNewNodeByClass(
            "vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(f"{volume_node.GetName()} cleaned")
        )
    node.CopyOrientation(volume_node)
    node.SetAndObserveImageData(image)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    for attribute in (ACQUIRED_PLANES, _PADDING):
        if volume_node.GetAttribute(attribute):
            node.SetAttribute(attribute, volume_node.GetAttribute(attribute))
    _name_unit(node)
    place_result(scene, node, volume_node)
    node.CreateDefaultDisplayNodes()
    if volume_node.GetScalarVolumeDisplayNode() is not None:
        node.GetScalarVolumeDisplayNode().CopyContent(volume_node.GetScalarVolumeDisplayNode())
    return node


def _hounsfield(volume_node: slicer.vtkMRMLNode, voxels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Voxels as int16 where they are whole numbers that fit, else float32, and what had to be mended."""
    if voxels.dtype in (np.int16, np.int8, np.uint8):
        return voxels.astype(np.int16, copy=False), ()
    warnings: tuple[str, ...] = ()
    low, high = voxels.min(), voxels.max()
    limits = np.iinfo(np.int16)
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = np.isfinite(voxels)
        if not finite.any():
            msg = f"No voxel of {volume_node.GetName()!r} is a number; load the series again."
            raise TaskError(msg)
        voxels = np.where(finite, voxels, AIR_HU)
        low, high = voxels.min(), voxels.max()
        warnings = (f"{np.count_nonzero(~finite)} voxels that are not numbers were taken as air ({AIR_HU} HU).",)
    if low >= limits.min and high <= limits.max:
        whole = voxels.astype(np.int16)
        if np.issubdtype(voxels.dtype, np.integer) or np.array_equal(whole, voxels):
            return whole, warnings
    return voxels.astype(np.float32, copy=False), warnings


def _padding_values(volume_node: slicer.vtkMRMLScalarVolumeNode, voxels: np.ndarray) -> tuple[float, ...]:
    """As our reader left them on the node; for a node that others loaded, found in the voxels."""
    text = volume_node.GetAttribute(_PADDING)
    if text is None:
        return find_padding(voxels, ())
    return () if text == _NO_PADDING else tuple(float(word) for word in text.split())


def _name_unit(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Say that the voxels are Hounsfield units, as Slicer's loader says it."""
    quantity, unit = slicer.vtkCodedEntry(), slicer.vtkCodedEntry()
    quantity.SetValueSchemeMeaning("112031", "DCM", "Attenuation Coefficient")
    unit.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    node.SetVoxelValueQuantity(quantity)
    node.SetVoxelValueUnits(unit)
