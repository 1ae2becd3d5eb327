"""A CT slice as the body-region network sees it: a small square of the same size in mm, whatever the scanner."""

from __future__ import annotations

import numpy as np

CELLS = 128
"""Rows and columns of the square."""
CELL_MM = 4.0
"""Edge of a cell; the square is 512 mm wide, as wide as the widest common reconstruction."""
AIR_HU = -1000.0
HIGHEST_HU = 1500.0
WINDOWS_HU = ((-980.0, -730.0), (-900.0, 0.0), (-150.0, 150.0), (150.0, 800.0))
"""Low and high end of each channel: lung against air, density, fat against muscle, bone."""


def slice_cells(slice_hu: np.ndarray, pixel_spacing: tuple[float, float]) -> np.ndarray:
    """Mean HU in square cells around the middle of the body.

    Parameters
    ----------
    slice_hu : array of shape (rows, columns)
        Hounsfield units, first row to the front of the patient.
    pixel_spacing : tuple of float
        Between rows and between columns, mm.

    Returns
    -------
    array of float32, shape (CELLS, CELLS)
        What lies outside the slice is air.
    """
    density = np.clip(slice_hu, AIR_HU, HIGHEST_HU).astype(np.float32)
    density -= np.float32(AIR_HU)
    rows, columns = (_middle(density.sum(axis=axis), step) for axis, step in zip((1, 0), pixel_spacing, strict=True))
    left = _overlap(density.shape[0], pixel_spacing[0], rows)
    right = _overlap(density.shape[1], pixel_spacing[1], columns)
    return left @ density @ right.T + np.float32(AIR_HU)


def channels(cells_hu: np.ndarray) -> np.ndarray:
    """What the network is given.

    Parameters
    ----------
    cells_hu : array of shape (slices, CELLS, CELLS)

    Returns
    -------
    array of float32, shape (slices, windows, CELLS / 2, CELLS / 2)
        Cells through each window, 0 to 1, in means of two by two.
    """
    low, high = (np.array(end, np.float32)[:, None, None] for end in zip(*WINDOWS_HU, strict=True))
    seen = np.clip((cells_hu[:, None].astype(np.float32) - low) / (high - low), 0, 1)
    return seen.reshape(*seen.shape[:2], CELLS // 2, 2, CELLS // 2, 2).mean(axis=(3, 5))


def _middle(profile: np.ndarray, step: float) -> float:
    """Centre of mass along one axis, mm from the edge of the first pixel; the middle of an empty slice."""
    total = float(profile.sum())
    places = (np.arange(len(profile)) + 0.5) * step
    return float(profile @ places) / total if total > 0 else len(profile) * step / 2


def _overlap(count: int, step: float, middle: float) -> np.ndarray:
    """Which share of each cell each pixel covers, float32 of shape (CELLS, count)."""
    edges = np.arange(count + 1) * step - middle + CELLS * CELL_MM / 2
    cell = np.arange(CELLS)[:, None] * CELL_MM
    inside = np.clip(edges[None] - cell, 0, CELL_MM) / CELL_MM
    return np.diff(inside, axis=1).astype(np.float32)
