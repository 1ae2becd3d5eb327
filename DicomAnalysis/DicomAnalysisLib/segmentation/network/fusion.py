"""Where the network draws the headrest, and where the classical method does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..coarse import CoarseGrid
from .grid import guess_of, network_grid, on_grid
from .headrest import draw_view, owned, view
from .metal import refine_metal
from .use import OpenNetwork, open_network

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..options import SegmentationOptions


def draw_headrest(
    analysis: Analysis, options: SegmentationOptions, mask: np.ndarray, report: Callable[[float], None]
) -> bool:
    """Draw the headrest by network over what the classical method drew.

    Parameters
    ----------
    analysis : Analysis
        Its warnings and networks are added to.
    options : SegmentationOptions
        Say whether a network is wanted, and which.
    mask : array of bool, shape (k, j, i)
        Drawn by the classical method; changed.
    report : callable
        Told the share that is done.

    Returns
    -------
    bool
        Whether a network was used.
    """
    network = open_network("headrest", options, analysis.warnings)
    if network is None:
        return False
    layers = np.arange(analysis.grid.shape[0])
    grid = network_grid(analysis.volume.shape, analysis.volume.geometry)
    guess = classical_guess(analysis, grid)
    seen = view(grid.block_means(analysis.volume.voxels), guess, grid, layers, network.predictor, report)
    whose = owned(seen, analysis.levels, guess[layers])
    draw_view(analysis.volume.voxels, seen, whose, analysis.levels, mask)
    note_use(analysis, "headrest", network)
    return True


def draw_metal(analysis: Analysis, options: SegmentationOptions, pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Pieces of metal by network, or the classical method's own `pieces` where no network is to draw them.

    A threshold of the user's own is obeyed, not improved. Without a piece of the classical method there is no
    metal, and no network is asked.
    """
    if options.metal_threshold_hu is not None or not pieces:
        return pieces
    network = open_network("metal", options, analysis.warnings)
    if network is None:
        return pieces
    volume = analysis.volume
    spacing = volume.geometry.spacing_kji
    refined = refine_metal(volume.voxels, analysis.candidates, analysis.metal, spacing, network.predictor)
    note_use(analysis, "metal", network)
    return refined


def classical_guess(analysis: Analysis, grid: CoarseGrid) -> np.ndarray:
    """The classical method's classes on the network's grid."""
    found = analysis.separation
    guess = guess_of(found.patient, found.dense_support, analysis.means, analysis.levels.support)
    return on_grid(guess, analysis.grid, grid)


def note_use(analysis: Analysis, task: str, network: OpenNetwork) -> None:
    """Keep for the result which network was used, where, and what went wrong on the way."""
    analysis.networks[task] = network.use()
    analysis.warnings += network.predictor.warnings
