"""Sizes and shapes of masks, from their moments, in millimetres of the acquired grid."""

from __future__ import annotations

import numpy as np

from ...volume import Volume

SHAPE_NAMES = (
    "volume_ml",
    "slices_share",
    "largest_area_mm2",
    "extent_lr_mm",
    "extent_ap_mm",
    "extent_si_mm",
    "length_mm",
    "elongation",
    "flatness",
    "solidity",
)


def shape_features(volume: Volume, mask: np.ndarray, factor: int = 1, depth: int = 1) -> dict[str, float]:
    """How large a mask is and what it looks like; NaN for what an empty mask has not.

    Parameters
    ----------
    volume : Volume
        In whose place the mask lies.
    mask : array of bool, shape (K, J, I)
        On the volume's grid, or on one of blocks of `depth` x `factor` x `factor` voxels.
    factor, depth : int
        Voxels of a block along rows and columns, and slices.

    Returns
    -------
    dict of str to float
        `SHAPE_NAMES`: volume; share of the slices that hold any of it; largest area of a slice; extents
        along the patient's axes (left-right, front-back, foot-head; of the voxel centres); four standard
        deviations along the longest principal axis; ratios of the second to the first and of the third to the
        first principal axis (1 for a ball, small for a rod or a sheet); share of the box that it fills.
    """
    found = dict.fromkeys(SHAPE_NAMES, float("nan")) | {"volume_ml": 0.0, "slices_share": 0.0}
    block_ml = np.add.reduceat(volume.voxel_volumes_ml(), np.arange(0, volume.shape[0], depth)) * factor**2
    index = np.argwhere(mask)
    if not len(index):
        return found
    per_layer = np.bincount(index[:, 0], minlength=len(mask))
    dy, dx = volume.geometry.pixel_spacing
    middle = index[:, ::-1] * [factor, factor, depth] + [(factor - 1) / 2, (factor - 1) / 2, (depth - 1) / 2]
    ras = volume.geometry.index_to_ras(middle)
    lengths = _principal_lengths(ras)
    box = np.ptp(index, axis=0) + 1
    low, high = ras.min(axis=0), ras.max(axis=0)
    found |= {
        "volume_ml": float(per_layer @ block_ml),
        "slices_share": float(np.count_nonzero(per_layer) / len(per_layer)),
        "largest_area_mm2": float(per_layer.max() * dy * dx * factor**2),
        "extent_lr_mm": float(high[0] - low[0]),
        "extent_ap_mm": float(high[1] - low[1]),
        "extent_si_mm": float(high[2] - low[2]),
        "length_mm": float(4 * lengths[0]),
        "elongation": float(lengths[1] / lengths[0]) if lengths[0] > 0 else 1.0,
        "flatness": float(lengths[2] / lengths[0]) if lengths[0] > 0 else 1.0,
        "solidity": float(len(index) / box.prod()),
    }
    return found


def _principal_lengths(points: np.ndarray) -> np.ndarray:
    """Standard deviations of points along their principal axes, mm, longest first."""
    away = points - points.mean(axis=0)
    spread = np.array([[float((away[:, a] * away[:, b]).sum()) for b in range(3)] for a in range(3)]) / len(points)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(spread)[::-1], 0.0))
