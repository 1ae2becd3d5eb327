"""Segmentations of the scene as files that a training reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import slicer

from ..files.nrrd import write_segmentation
from ..preprocessing.resampling import to_regular_grid
from ..segments import KINDS
from .hierarchy import identity_of_node
from .segmentations import segmentation_node_to_masks
from .volumes import node_to_volume


def write_own_labels(
    scene: slicer.vtkMRMLScene, folder: Path | str, name: str, series_uids: Sequence[str] | None = None
) -> list[str]:
    """Write every segmentation of the scene that has a segment of a name, as ``<Series Instance UID>.seg.nrrd``.

    Parameters
    ----------
    scene : vtkMRMLScene
    folder : path
    name : str
        Of the segment: ``Headrest`` or ``Metal``.
    series_uids : sequence of str, optional
        Only of these series.

    Returns
    -------
    list of str
        UIDs of the series. A segmentation of a volume that was not loaded from DICOM has none and is left out.

    Raises
    ------
    TaskError, GeometryError
        If a volume is not one that can be segmented.
    OutputError
        If the folder cannot be written.
    """
    written = {}
    for node in _segmentation_nodes(scene):
        volume_node = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        if volume_node is None or not node.GetSegmentation().GetSegmentIdBySegmentName(name):
            continue
        uid = identity_of_node(volume_node).series_uid
        if uid and (series_uids is None or uid in series_uids):
            written[uid] = (node, volume_node)
    for uid, (node, volume_node) in written.items():
        volume = node_to_volume(volume_node)
        mask = segmentation_node_to_masks(node, volume_node)[name]
        grid = to_regular_grid(replace(volume, voxels=mask.astype("uint8")))
        write_segmentation(Path(folder) / f"{uid}.seg.nrrd", [(KINDS[name], grid.labels(mask))], grid.ijk_to_lps)
    return sorted(written)


def _segmentation_nodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSegmentationNode]:
    kind = "vtkMRMLSegmentationNode"
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]
