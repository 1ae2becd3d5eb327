"""The classical method's answer for slices that were composed: what the network is told beside the image."""

from __future__ import annotations

import numpy as np

from ...volume import StackGeometry, Volume
from ..body import separate
from ..coarse import LAYER_MM, CoarseGrid
from ..frame import StackFrame
from ..network.grid import guess_of
from ..thresholds import body_thresholds


def classical_guess(hu: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """What the classical method makes of some layers.

    Parameters
    ----------
    hu : array of int16, shape (k, j, i)
    spacing : tuple of float
        Layer, row and column spacing, mm.

    Returns
    -------
    array of uint8, shape (k, j, i)
        Classes of `network.grid`, block by block.
    """
    apart = max(spacing[0], LAYER_MM)  # so that no layers are put together
    positions = np.array([[0.0, 0.0, apart * k] for k in range(len(hu))])
    geometry = StackGeometry(np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), tuple(spacing[1:]), positions)
    volume = Volume(hu, geometry)
    grid = CoarseGrid.of(hu.shape, geometry)
    means = grid.block_means(hu)
    levels = body_thresholds(means)
    found = separate(means, grid, levels, StackFrame.of(volume, grid))
    guess = guess_of(found.patient, found.dense_support, means, levels.support)
    return np.repeat(np.repeat(guess, grid.factor, 1), grid.factor, 2)[:, : hu.shape[1], : hu.shape[2]]
