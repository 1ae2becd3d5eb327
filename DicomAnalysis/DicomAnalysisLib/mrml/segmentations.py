"""Segmentation results <-> segmentation nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from ..segmentation.result import Segment, SegmentationResult
from ..segments import SegmentKind
from .arrays import allocate, from_vtk_matrix, image_array
from .grid import NodeGrid, grid_of_node
from .hierarchy import place_result

TERMINOLOGY = "Segmentation category and type - DICOM master list"
REGIONS = "Anatomic codes - DICOM master list"
LABELMAP = "Binary labelmap"
SAME_GEOMETRY_MM = 1e-3


def result_to_segmentation_node(
    scene: slicer.vtkMRMLScene,
    result: SegmentationResult,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    grid: NodeGrid | None = None,
    node: slicer.vtkMRMLSegmentationNode | None = None,
) -> slicer.vtkMRMLSegmentationNode:
    """The segments of a result as a segmentation node on the voxels of the volume node.

    Segments that do not overlap share one labelmap, cropped to what is in it. Names, colours and
    terminology are those of `DicomAnalysisLib.segments`; an empty segment is there, without voxels.

    Parameters
    ----------
    scene : vtkMRMLScene
    result : SegmentationResult
        On the slices of `volume_node`.
    volume_node : vtkMRMLScalarVolumeNode
        Gives the geometry, the parent transform and the place in the subject hierarchy.
    grid : NodeGrid, optional
        Of `volume_node`, where the caller has it.
    node : vtkMRMLSegmentationNode, optional
        An earlier result on the same volume: segments of the same name are replaced, others stay.

    Returns
    -------
    vtkMRMLSegmentationNode
    """
    grid = grid or grid_of_node(volume_node)
    if node is None:
        name = scene.GenerateUniqueName(f"{volume_node.GetName()} segmentation")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELMAP)
    groups = [[segment] for segment in result.segments] if result.has_overlap else [list(result.segments)]
    was_modified = node.StartModify()
    for group in groups:
        image = _shared_labelmap(group, volume_node, grid)
        for segment in group:
            _add_segment(segmentation, segment, image)
    node.EndModify(was_modified)
    node.SetDescription("\n".join(result.warnings))
    if result.threshold_hu is not None:
        node.SetAttribute("DicomAnalysis.ThresholdHU", f"{result.threshold_hu:g}")
    node.SetAttribute("DicomAnalysis.Method", result.method)
    place_result(scene, node, volume_node)
    return node


def segmentation_node_to_masks(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> dict[str, np.ndarray]:
    """The segments of a segmentation node as masks on the slices of a volume node.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
        Ours or one that a user drew; in another geometry it is resampled (nearest neighbour).
    volume_node : vtkMRMLScalarVolumeNode

    Returns
    -------
    dict of str to array of bool, shape (k, j, i)
        By segment name, on the slices that `node_to_volume` gives. A second segment of the same
        name is called by its ID.
    """
    grid = grid_of_node(volume_node)
    segmentation_node.CreateBinaryLabelmapRepresentation()
    segmentation = segmentation_node.GetSegmentation()
    masks: dict[str, np.ndarray] = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        name = segment.GetName()
        key = segmentation.GetNthSegmentID(index) if name in masks else name
        masks[key] = grid.to_slices(_segment_planes(segment, segmentation_node, volume_node))
    return masks


def terminology_entry(kind: SegmentKind) -> str:
    """The kind's codes in the form Slicer keeps them in a segment's tag."""
    category, type_ = kind.category, kind.type
    return slicer.vtkSlicerTerminologiesModuleLogic.SerializeTerminologyEntry(
        TERMINOLOGY,
        *(category.value, category.scheme, category.meaning),
        *(type_.value, type_.scheme, type_.meaning),
        *("", "", ""),
        REGIONS,
        *("", "", ""),
        *("", "", ""),
    )


def _shared_labelmap(
    segments: Sequence[Segment], volume_node: slicer.vtkMRMLScalarVolumeNode, grid: NodeGrid
) -> slicer.vtkOrientedImageData:
    """All segments in one image of label values, cropped to the voxels that are set."""
    image = _empty_image(volume_node)
    masks = [grid.to_planes(segment.mask) for segment in segments]
    box = _bounding_box(masks)
    if box is None:
        return image
    labels = allocate(image, tuple(part.stop - part.start for part in box), np.dtype(np.uint8))
    k, j, i = box
    image.SetExtent(i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
    labels[:] = 0
    for segment, mask in zip(segments, masks, strict=True):
        labels[mask[box]] = segment.kind.label
    return image


def _bounding_box(masks: Sequence[np.ndarray]) -> tuple[slice, slice, slice] | None:
    """Slices that hold every voxel set in any mask, or None."""
    shape = masks[0].shape
    planes = np.zeros(shape[0], bool)
    footprint = np.zeros(shape[1:], bool)
    for mask in masks:
        planes |= mask.any(axis=(1, 2))
        for plane in np.flatnonzero(planes):
            footprint |= mask[plane]
    if not planes.any():
        return None
    edges = [np.flatnonzero(profile)[[0, -1]] for profile in (planes, footprint.any(axis=1), footprint.any(axis=0))]
    return tuple(slice(int(first), int(last) + 1) for first, last in edges)


def _add_segment(segmentation: slicer.vtkSegmentation, segment: Segment, image: slicer.vtkOrientedImageData) -> None:
    kind = segment.kind
    earlier = segmentation.GetSegmentIdBySegmentName(kind.name)
    if earlier:
        segmentation.RemoveSegment(earlier)
    added = slicer.vtkSegment()
    added.SetName(kind.name)
    added.SetColor(*kind.color)
    added.SetLabelValue(kind.label)
    added.AddRepresentation(LABELMAP, image)
    added.SetNameAutoGenerated(False)
    added.SetColorAutoGenerated(False)
    added.SetTerminology(terminology_entry(kind))
    segmentation.AddSegment(added, segmentation.GenerateUniqueSegmentID(kind.name))


def _segment_planes(
    segment: slicer.vtkSegment,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> np.ndarray:
    """One segment as bool on all planes of the volume node."""
    image = segment.GetRepresentation(LABELMAP)
    reference = _empty_image(volume_node)
    dimensions = volume_node.GetImageData().GetDimensions()
    mask = np.zeros(dimensions[::-1], bool)
    if image is None or image.IsEmpty():
        return mask
    if not _same_place(image, reference, segmentation_node, volume_node):
        image = _resampled(image, reference, dimensions, segmentation_node, volume_node)
    low = np.array(image.GetExtent()[::2])
    first = np.maximum(low, 0)
    last = np.minimum(low + image.GetDimensions(), dimensions)
    if (first >= last).any():
        return mask
    target = tuple(slice(a, b) for a, b in zip(first[::-1], last[::-1], strict=True))
    source = tuple(slice(a, b) for a, b in zip((first - low)[::-1], (last - low)[::-1], strict=True))
    mask[target] = image_array(image)[source] == segment.GetLabelValue()
    return mask


def _same_place(
    image: slicer.vtkOrientedImageData,
    reference: slicer.vtkOrientedImageData,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> bool:
    difference = _image_to_world(image) - _image_to_world(reference)
    same_parent = segmentation_node.GetTransformNodeID() == volume_node.GetTransformNodeID()
    return same_parent and bool(np.abs(difference).max() < SAME_GEOMETRY_MM)


def _resampled(
    image: slicer.vtkOrientedImageData,
    reference: slicer.vtkOrientedImageData,
    dimensions: tuple[int, int, int],
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkOrientedImageData:
    reference.SetDimensions(dimensions)
    reference.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    to_volume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        segmentation_node.GetParentTransformNode(), volume_node.GetParentTransformNode(), to_volume
    )
    resampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image, reference, resampled, False, False, to_volume
    )
    return resampled


def _empty_image(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkOrientedImageData:
    """An image without voxels in the geometry of the volume node."""
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    image = slicer.vtkOrientedImageData()
    image.SetImageToWorldMatrix(matrix)
    return image


def _image_to_world(image: slicer.vtkOrientedImageData) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return from_vtk_matrix(matrix)
