"""The main job on nodes: a volume node in, a segmentation, a table and a cleaned volume out."""

from __future__ import annotations

from collections.abc import Callable

import slicer

from ..errors import GeometryError
from ..segmentation.options import SegmentationOptions
from ..segmentation.result import SegmentationResult
from ..segments import HEADREST
from .grid import NodeGrid, grid_of_node
from .results import NodeResults
from .segmentations import result_to_segmentation_node
from .tables import result_to_table_node
from .volumes import cleaned_volume_node, node_to_volume


def segment_node(
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    options: SegmentationOptions | None = None,
    *,
    create_cleaned_volume: bool = True,
    update: NodeResults | None = None,
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
    update : NodeResults, optional
        Results of an earlier run on this volume (`find_results`), to be updated instead of
        making new nodes: segments that are not asked for now stay.
    progress : callable, optional
        Handed on to the task.

    Raises
    ------
    TaskError, GeometryError
        If the node cannot be segmented; nothing is added to the scene then.
    """
    from ..segmentation import segment

    result = segment(node_to_volume(volume_node), options or SegmentationOptions(), progress)
    return result_to_nodes(scene, result, volume_node, create_cleaned_volume=create_cleaned_volume, update=update)


def result_to_nodes(
    scene: slicer.vtkMRMLScene,
    result: SegmentationResult,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    *,
    create_cleaned_volume: bool = True,
    update: NodeResults | None = None,
) -> NodeResults:
    """Put a result that was made elsewhere, in a child process for example, into the scene.

    Parameters are those of `segment_node`; `result` is of the slices that `node_to_volume` gives.

    Raises
    ------
    GeometryError
        If the volume node was changed since, so that the result does not fit it.
    """
    update = update or NodeResults()
    grid = grid_of_node(volume_node)
    _require_fit(result, volume_node, grid)
    cleaned = None
    if create_cleaned_volume and result.segment(HEADREST.name) is not None:
        cleaned = cleaned_volume_node(scene, result, volume_node, grid, update.cleaned_volume_node)
    return NodeResults(
        result_to_segmentation_node(scene, result, volume_node, grid, update.segmentation_node),
        result_to_table_node(scene, result, volume_node, grid, update.table_node),
        cleaned,
        result,
    )


def _require_fit(result: SegmentationResult, volume_node: slicer.vtkMRMLScalarVolumeNode, grid: NodeGrid) -> None:
    columns, rows, _planes = volume_node.GetImageData().GetDimensions()
    if result.segments[0].mask.shape != (len(grid.plane_of_slice), rows, columns):
        msg = f"{volume_node.GetName()!r} was changed while it was being segmented; segment it again."
        raise GeometryError(msg)
