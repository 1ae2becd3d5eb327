"""The main job on nodes: a volume node in, a segmentation, a table and a cleaned volume out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import slicer

from ..segmentation.options import SegmentationOptions
from ..segmentation.result import SegmentationResult
from ..segments import HEADREST
from .grid import grid_of_node
from .segmentations import result_to_segmentation_node
from .tables import result_to_table_node
from .volumes import cleaned_volume_node, node_to_volume


@dataclass(frozen=True)
class NodeResults:
    """What `segment_node` made.

    Attributes
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    table_node : vtkMRMLTableNode
    cleaned_volume_node : vtkMRMLScalarVolumeNode or None
        None where it was not wanted or no headrest was segmented.
    result : SegmentationResult
        Masks on the acquired slices, measurements, threshold, warnings.
    """

    segmentation_node: slicer.vtkMRMLSegmentationNode
    table_node: slicer.vtkMRMLTableNode
    cleaned_volume_node: slicer.vtkMRMLScalarVolumeNode | None
    result: SegmentationResult


def segment_node(
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    options: SegmentationOptions | None = None,
    *,
    create_cleaned_volume: bool = True,
    segmentation_node: slicer.vtkMRMLSegmentationNode | None = None,
    table_node: slicer.vtkMRMLTableNode | None = None,
    cleaned_node: slicer.vtkMRMLScalarVolumeNode | None = None,
    progress: Callable[..., object] | None = None,
) -> NodeResults:
    """Segment a volume node and put the results into the scene, under the volume's study.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume_node : vtkMRMLScalarVolumeNode
        HU. The task runs on the slices as acquired, also where the node holds interpolated
        planes between them or has an acquisition transform above it.
    options : SegmentationOptions, optional
    create_cleaned_volume : bool
        Also make the volume with the headrest set to air, where the headrest is among the tasks.
    segmentation_node, table_node, cleaned_node : nodes, optional
        Results of an earlier run on this volume, to be updated instead of making new ones.
    progress : callable, optional
        Handed on to the task.

    Raises
    ------
    TaskError, GeometryError
        If the node cannot be segmented; nothing is added to the scene then.
    """
    from ..segmentation import segment

    options = options or SegmentationOptions()
    grid = grid_of_node(volume_node)
    result = segment(node_to_volume(volume_node), options, progress)
    cleaned = None
    if create_cleaned_volume and result.segment(HEADREST.name) is not None:
        cleaned = cleaned_volume_node(scene, result, volume_node, grid, cleaned_node)
    return NodeResults(
        result_to_segmentation_node(scene, result, volume_node, grid, segmentation_node),
        result_to_table_node(scene, result, volume_node, grid, table_node),
        cleaned,
        result,
    )
