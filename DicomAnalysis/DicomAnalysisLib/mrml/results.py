"""Which nodes of a scene are results of which volume."""

from __future__ import annotations

from typing import NamedTuple

import slicer

from ..segmentation.result import SegmentationResult
from .hierarchy import SOURCE_ROLE


class NodeResults(NamedTuple):
    """Results of one volume node in the scene.

    Attributes
    ----------
    segmentation_node : vtkMRMLSegmentationNode or None
    table_node : vtkMRMLTableNode or None
    cleaned_volume_node : vtkMRMLScalarVolumeNode or None
        None where it was not wanted or no headrest was segmented.
    result : SegmentationResult or None
        Masks on the acquired slices, measurements, threshold, warnings of the run that made them;
        None for results that were found in the scene.
    """

    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None
    table_node: slicer.vtkMRMLTableNode | None = None
    cleaned_volume_node: slicer.vtkMRMLScalarVolumeNode | None = None
    result: SegmentationResult | None = None


def find_results(scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> NodeResults:
    """What earlier runs made of a volume node, also in a scene that was saved and opened again."""
    if volume_node is None:
        return NodeResults()
    return NodeResults(
        _made_from(scene, "vtkMRMLSegmentationNode", volume_node),
        _made_from(scene, "vtkMRMLTableNode", volume_node),
        _made_from(scene, "vtkMRMLScalarVolumeNode", volume_node),
    )


def _made_from(
    scene: slicer.vtkMRMLScene, class_name: str, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLNode | None:
    """The newest node of a class that refers to the volume as its source."""
    nodes = (scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name)))
    made = [node for node in nodes if node.GetNodeReferenceID(SOURCE_ROLE) == volume_node.GetID()]
    return made[-1] if made else None
