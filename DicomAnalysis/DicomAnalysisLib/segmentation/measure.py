"""Measurements of segments, on the acquired grid and in millimetres."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from ..volume import Volume
from .coarse import CoarseGrid
from .result import Piece


def measure_mask(volume: Volume, mask: np.ndarray, components: int | None = None) -> dict[str, object]:
    """Measure a segment slice by slice.

    Parameters
    ----------
    volume : Volume
    mask : array of bool, shape (k, j, i)
    components : int or None
        Number of connected pieces; counted on the coarse grid when None.

    Returns
    -------
    dict
        ``voxels, volume_ml, components, centroid_ras_mm, bbox_ijk, mean_hu, max_hu, slices``;
        the last five are None or empty for an empty segment. Volumes weigh each slice by the
        extent it stands for, so that uneven stacks are right.
    """
    per_slice = np.array([np.count_nonzero(plane) for plane in mask])
    filled = np.flatnonzero(per_slice)
    if not len(filled):
        return {
            "voxels": 0,
            "volume_ml": 0.0,
            "components": 0,
            "centroid_ras_mm": None,
            "bbox_ijk": None,
            "mean_hu": None,
            "max_hu": None,
            "slices": 0,
        }
    weights = volume.voxel_volumes_ml()
    width = mask.shape[2]
    moment, box = np.zeros(3), [width, -1, mask.shape[1], -1]
    total, maximum = 0.0, -np.inf
    for k in filled:
        index = np.flatnonzero(mask[k])
        row, column = np.divmod(index, width)
        box = [
            min(box[0], int(column.min())),
            max(box[1], int(column.max())),
            min(box[2], int(row[0])),
            max(box[3], int(row[-1])),
        ]
        center = np.array([column.mean(), row.mean(), k])
        moment += volume.geometry.index_to_ras(center) * per_slice[k] * weights[k]
        hu = volume.voxels[k].reshape(-1)[index]
        total += float(hu.sum(dtype=np.float64))
        maximum = max(maximum, float(hu.max()))
    amount = float(per_slice @ weights)
    return {
        "voxels": int(per_slice.sum()),
        "volume_ml": round(amount, 4),
        "components": _count_components(volume, mask) if components is None else components,
        "centroid_ras_mm": [round(float(v), 3) for v in moment / amount],
        "bbox_ijk": [int(v) for v in (*box, filled[0], filled[-1])],
        "mean_hu": round(total / float(per_slice.sum()), 2),
        "max_hu": maximum,
        "slices": len(filled),
    }


def measure_piece(volume: Volume, index: np.ndarray, where: str) -> Piece:
    """Measure one connected piece given by its flat voxel indices."""
    k, j, i = np.unravel_index(index, volume.shape)
    weight = volume.voxel_volumes_ml()[k]
    hu = volume.voxels.reshape(-1)[index]
    ras = volume.geometry.index_to_ras(np.stack([i, j, k], axis=-1))
    center = (ras * weight[:, None]).sum(0) / weight.sum()
    return Piece(
        voxels=len(index),
        volume_ml=round(float(weight.sum()), 5),
        centroid_ras_mm=tuple(round(float(v), 3) for v in center),
        bbox_ijk=tuple(int(v) for axis in (i, j, k) for v in (axis.min(), axis.max())),
        max_hu=float(hu.max()),
        mean_hu=round(float(hu.mean(dtype=np.float64)), 2),
        location=where,
    )


def _count_components(volume: Volume, mask: np.ndarray) -> int:
    """Connected pieces of a large mask, counted on blocks that hold any of it."""
    grid = CoarseGrid.of(volume.shape, volume.geometry)
    blocks = np.zeros(grid.shape, bool)
    for k, plane in enumerate(mask):
        if plane.any():
            blocks[k // grid.depth] |= grid.any_in_block(plane)
    return int(ndi.label(blocks, structure=np.ones((3, 3, 3), bool))[1])
