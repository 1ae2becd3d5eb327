"""Bone from the same clustering of Hounsfield units as the body."""

from __future__ import annotations

import numpy as np

from . import morphology as morph
from .coarse import CoarseGrid
from .histogram import integer_histogram, kmeans_1d
from .thresholds import BodyThresholds

LOWEST_BONE_HU, HIGHEST_BONE_HU = 180.0, 400.0


def segment_bone(voxels: np.ndarray, patient: np.ndarray, grid: CoarseGrid, levels: BodyThresholds) -> np.ndarray:
    """Bone inside the patient.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
        HU.
    patient : array of bool, shape (k, J, I)
        Patient on the coarse grid.
    grid : CoarseGrid
    levels : BodyThresholds

    Returns
    -------
    array of bool, shape (k, j, i)

    Notes
    -----
    The threshold lies midway between the two clusters (exact k-means) of the patient's HU
    above soft tissue, between 180 and 400 HU. Contrast-filled vessels and bowel denser than
    that are in the mask: HU alone does not tell them from bone.
    """
    inside = morph.dilate(patient, 1)
    layers = np.flatnonzero(patient.any((1, 2)))
    counts = 0
    for layer in layers:
        plane = voxels[layer * grid.depth][grid.refine(inside[layer])]
        values, found = integer_histogram(np.rint(plane[::7]), int(levels.soft) + 60, 2000, 8)
        counts = counts + found
    out = np.zeros(voxels.shape, bool)
    if not np.any(counts):
        return out
    _, boundaries = kmeans_1d(values, counts, 2)
    threshold = float(np.clip(boundaries[0] if len(boundaries) else LOWEST_BONE_HU, LOWEST_BONE_HU, HIGHEST_BONE_HU))
    for layer in layers:
        where = grid.refine(inside[layer])
        for k in grid.layer_slices(layer):
            np.logical_and(voxels[k] > threshold, where, out=out[k])
    return out
