"""Headrest, table, pads and boards: what is neither patient nor air, at full resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from . import morphology as morph
from .body import Separation
from .coarse import CoarseGrid
from .thresholds import BodyThresholds

SMALLEST_PIECE_ML = 1.0
LIGHT_HU, LIGHT_PIECE_FACTOR = -700, 10
"""A piece nowhere denser than this is a ghost of motion or noise in the air, unless it is ten times larger."""
STREAK_MEAN_HU = -700.0
GUARD_MM = 2.0
"""Beside the skin a voxel is half air, half patient, and looks like foam; it is left alone."""


@dataclass(frozen=True)
class SupportRegion:
    """Support on the coarse grid, ready to be drawn at full resolution.

    Attributes
    ----------
    region : array of bool, shape (k, J, I)
        Blocks that hold support, foam included.
    core : array of bool
        Blocks wholly inside, where every voxel counts.
    guard : array of bool
        Patient and a rim of 2 mm around it.
    pieces : int
        Connected pieces of `region`.
    """

    region: np.ndarray
    core: np.ndarray
    guard: np.ndarray
    pieces: int


def support_region(
    means: np.ndarray,
    separation: Separation,
    grid: CoarseGrid,
    levels: BodyThresholds,
    block_ml: np.ndarray,
    streak_layers: np.ndarray,
) -> SupportRegion:
    """Find all support on the coarse grid.

    Parameters
    ----------
    means : array of int16, shape (k, J, I)
    separation : Separation
    grid, levels : CoarseGrid, BodyThresholds
    block_ml : array of shape (layers,)
        Volume of a block in each layer, ml.
    streak_layers : array of bool, shape (layers,)
        Layers that metal may fill with streaks.
    """
    guard = morph.dilate(separation.patient, grid.steps(GUARD_MM))
    light = means <= levels.tissue  # half a slice of chin or vertex looks like foam
    guard[1:] |= separation.patient[:-1] & light[1:]
    guard[:-1] |= separation.patient[1:] & light[:-1]
    something = (means > levels.support) & ~guard
    labels, count = ndi.label(something)
    volume = np.zeros(count + 1)
    for k, plane in enumerate(labels):
        volume += np.bincount(plane.ravel(), minlength=count + 1) * block_ml[k]
    # A single thin slice holds little volume; there a piece of 1 cm2 is kept.
    smallest = min(SMALLEST_PIECE_ML, 100 / grid.pixel_mm**2 * float(block_ml.sum()))
    solid = np.bincount(labels[means > LIGHT_HU], minlength=count + 1) > 0
    kept = (volume >= smallest) & (solid | (volume >= LIGHT_PIECE_FACTOR * smallest))
    kept[0] = False
    if streak_layers.any():
        kept &= ~_streaks(labels, count, means, ndi.binary_dilation(streak_layers, iterations=2))
    region = kept[labels]
    return SupportRegion(region, morph.erode(region, 1), guard, int(np.count_nonzero(kept)))


def draw(
    voxels: np.ndarray, support: SupportRegion, grid: CoarseGrid, levels: BodyThresholds, out: np.ndarray
) -> np.ndarray:
    """Draw the support at full resolution.

    At its border a voxel counts when it is itself denser than half way from air to the
    support level, so that thin shells keep their true width; inside foam every voxel counts.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
        HU.
    out : array of bool, shape (k, j, i)
        Filled and returned.
    """
    level = border_level(levels)
    out[...] = False
    # Interpolated, `near` and the guard add up to at most one: above one half they cannot overlap.
    near = morph.dilate(support.region, 1) & ~support.guard
    for layer in np.flatnonzero(support.region.any((1, 2))):
        rows = _row_range(near[layer], grid)
        border = grid.refine(near[layer], rows)
        inner = grid.repeat(support.core[layer])[rows]
        for k in grid.layer_slices(layer):
            np.logical_and(border, voxels[k, rows] > level, out=out[k, rows])
            out[k, rows] |= inner
    return out


def border_level(levels: BodyThresholds) -> float:
    """HU above which a voxel at the support's surface counts."""
    return levels.air + 0.75 * (levels.support - levels.air)


def _row_range(mask: np.ndarray, grid: CoarseGrid) -> slice:
    rows = np.flatnonzero(mask.any(1))
    return slice(max(0, (rows[0] - 1) * grid.factor), min(grid.rows, (rows[-1] + 2) * grid.factor))


def _streaks(labels: np.ndarray, count: int, means: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Which pieces are streaks fanning out from metal: light, and only where metal is.

    A holder is either denser or goes on beyond the layers that hold metal.
    """
    elsewhere = np.zeros(count + 1, bool)
    elsewhere[labels[~layers]] = True
    if elsewhere[1:].all() or not (~layers).any():
        return np.zeros(count + 1, bool)
    total = np.bincount(labels[layers].ravel(), means[layers].ravel(), minlength=count + 1)
    size = np.bincount(labels[layers].ravel(), minlength=count + 1)
    return ~elsewhere & (total / np.maximum(size, 1) < STREAK_MEAN_HU)
