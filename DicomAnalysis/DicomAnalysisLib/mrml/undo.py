"""Taking back the last result: nodes that it made go, nodes that it changed are as they were."""

from __future__ import annotations

from collections.abc import Iterable

import slicer
import vtk

from .classification import MODEL
from .hierarchy import item_of
from .results import NodeResults
from .segmentations import LABELMAP

_ATTRIBUTES = ("DicomAnalysis.ThresholdHU", "DicomAnalysis.Method", MODEL)


class UndoPoint:
    """The results of a volume as they are before a run.

    Segments and table are copied; of the cleaned volume only the reference to its voxels is kept,
    for a run gives the node new ones instead of writing into them.

    Parameters
    ----------
    scene : vtkMRMLScene
    before : NodeResults, or nodes
        What the run may change.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, before: NodeResults | Iterable[slicer.vtkMRMLNode | None]):
        self._scene = scene
        self._kept = [_Kept(node) for node in before if isinstance(node, slicer.vtkMRMLNode)]
        self._made: list[str] = []

    def note(self, made: Iterable[slicer.vtkMRMLNode | None]) -> None:
        """Say which nodes hold the new results; those that were not there before are new."""
        known = {kept.node_id for kept in self._kept}
        self._made += [node.GetID() for node in made if node is not None and node.GetID() not in known]

    @property
    def is_possible(self) -> bool:
        """Whether any of the nodes is still in the scene."""
        ids = (*self._made, *(kept.node_id for kept in self._kept))
        return any(self._scene.GetNodeByID(node_id) is not None for node_id in ids)

    def undo(self) -> None:
        """Remove what is new and restore what was changed; what a user removed meanwhile stays away."""
        hierarchy = self._scene.GetSubjectHierarchyNode()
        for node_id in self._made:
            node = self._scene.GetNodeByID(node_id)
            if node is not None:
                remove_node(hierarchy, node)
        for kept in self._kept:
            node = self._scene.GetNodeByID(kept.node_id)
            if node is not None:
                kept.restore(node)
        self._made, self._kept = [], []


def remove_node(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, node: slicer.vtkMRMLNode) -> None:
    """Remove a node with its item and with what only serves to show or store it."""
    scene = node.GetScene()
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        helpers += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        helpers += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    ids = [helper.GetID() for helper in helpers if helper is not None]
    hierarchy.RemoveItem(item_of(hierarchy, node))
    for node_id in ids:
        helper = scene.GetNodeByID(node_id)
        if helper is not None:
            scene.RemoveNode(helper)


class _Kept:
    """One node as it was."""

    def __init__(self, node: slicer.vtkMRMLNode):
        self.node_id = node.GetID()
        self._description = node.GetDescription()
        self._attributes = {name: node.GetAttribute(name) for name in _ATTRIBUTES}
        self._content = self._copy(node)

    @staticmethod
    def _copy(node: slicer.vtkMRMLNode) -> object:
        if node.IsA("vtkMRMLSegmentationNode"):
            copy = _copy_segments(node.GetSegmentation())
        elif node.IsA("vtkMRMLTableNode"):
            copy = vtk.vtkTable()
            copy.DeepCopy(node.GetTable())
        else:
            copy = node.GetImageData()
        return copy

    def restore(self, node: slicer.vtkMRMLNode) -> None:
        was_modified = node.StartModify()
        if node.IsA("vtkMRMLSegmentationNode"):
            _restore_segments(node, self._content)
        elif node.IsA("vtkMRMLTableNode"):
            node.GetTable().DeepCopy(self._content)
            node.Modified()
        else:
            node.SetAndObserveImageData(self._content)
        node.SetDescription(self._description)
        for name, value in self._attributes.items():
            if value is None:
                node.RemoveAttribute(name)
            else:
                node.SetAttribute(name, value)
        node.EndModify(was_modified)


def _copy_segments(segmentation: slicer.vtkSegmentation) -> list[tuple[str, slicer.vtkSegment]]:
    """Every segment with its ID; segments that share a labelmap share its copy."""
    images: dict[str, slicer.vtkOrientedImageData] = {}
    copies = []
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        copy = slicer.vtkSegment()
        copy.DeepCopyMetadata(segment)
        image = segment.GetRepresentation(LABELMAP)
        if image is not None:
            key = image.GetAddressAsString("")
            if key not in images:
                images[key] = slicer.vtkOrientedImageData()
                images[key].DeepCopy(image)
            copy.AddRepresentation(LABELMAP, images[key])
        copies.append((segmentation.GetNthSegmentID(index), copy))
    return copies


def _restore_segments(node: slicer.vtkMRMLSegmentationNode, segments: list[tuple[str, slicer.vtkSegment]]) -> None:
    """Surfaces, where they are shown, are made again from the labelmaps."""
    segmentation = node.GetSegmentation()
    surfaces = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    with_surfaces = segmentation.ContainsRepresentation(surfaces)
    segmentation.RemoveAllSegments()
    segmentation.SetSourceRepresentationName(LABELMAP)
    for segment_id, segment in segments:
        segmentation.AddSegment(segment, segment_id)
    if with_surfaces:
        node.CreateClosedSurfaceRepresentation()
