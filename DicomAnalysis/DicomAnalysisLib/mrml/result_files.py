"""Result folders of a batch back into the scene, as if the volume had been segmented there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import slicer

from ..errors import SourceError
from ..files.result_folder import RESULT, SEGMENTATION
from ..segmentation.result import Piece, Segment, SegmentationResult
from ..segments import KINDS
from .results import NodeResults
from .segmentations import segmentation_node_to_masks
from .task import result_to_nodes


def load_result(
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    folder: Path | str,
    *,
    create_cleaned_volume: bool = True,
    update: NodeResults | None = None,
) -> NodeResults:
    """Put the result that a batch left in a folder into the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume_node : vtkMRMLScalarVolumeNode
        The series that was segmented, loaded.
    folder : path
        With ``result.json`` and ``segmentation.seg.nrrd``.
    create_cleaned_volume : bool
        Also make the volume without the headrest.
    update : NodeResults, optional
        Earlier results of this volume, to be updated.

    Raises
    ------
    SourceError
        If the files are not there or cannot be read.
    """
    folder = Path(folder)
    try:
        document = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        result = _result(document, _masks(scene, volume_node, folder / SEGMENTATION))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"The result in {folder} cannot be read ({type(error).__name__}); segment the series again."
        raise SourceError(msg) from error
    return result_to_nodes(scene, result, volume_node, create_cleaned_volume=create_cleaned_volume, update=update)


def _masks(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode, path: Path
) -> dict[str, np.ndarray]:
    """The segments of a file on the slices of a volume."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "DicomAnalysis file")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    try:
        if not path.is_file() or not storage.ReadData(node):
            msg = f"The segmentation {path} cannot be read; segment the series again."
            raise SourceError(msg)
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        return segmentation_node_to_masks(node, volume_node)
    finally:
        scene.RemoveNode(node)


def _result(document: Mapping, masks: Mapping[str, np.ndarray]) -> SegmentationResult:
    segments = []
    for entry in document["segments"]:
        measured = {key: _tuple(value) for key, value in entry.items() if key not in ("name", "label", "pieces")}
        pieces = tuple(Piece(**{key: _tuple(value) for key, value in piece.items()}) for piece in entry["pieces"])
        segments.append(Segment(KINDS[entry["name"]], masks[entry["name"]], measured, pieces))
    return SegmentationResult(
        tuple(document["task"]),
        tuple(segments),
        document["threshold_hu"],
        document["method"],
        document["device"],
        document["seconds"],
        tuple(document["warnings"]),
        tuple(document["uncertain_slices"]),
        document["details"],
    )


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
