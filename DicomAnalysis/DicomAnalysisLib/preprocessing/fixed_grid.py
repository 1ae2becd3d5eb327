"""A stack on a grid of fixed size, by where its slices lie: for networks, which want one shape.

Slices may be unevenly spaced or shifted sideways (gantry tilt): each is resampled in its plane where
it lies, then the planes are weighted along the normal. Where the grid is coarser than the voxels a
triangle filter of the grid's step is used, so that nothing is skipped and noise is averaged; where it
is finer, linear interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True, eq=False)
class GridPlaces:
    """Where the cells of a grid lie on a stack.

    Attributes
    ----------
    depths : array of shape (D,)
        Place of each plane along the slices' normal, mm, on the scale of the stack's distances.
    rows, columns : arrays of shape (H,), (W,)
        Place of each row and column in pixels of an unshifted slice.
    """

    depths: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        return len(self.depths), len(self.rows), len(self.columns)


def slice_edges(distances: np.ndarray, thickness: float) -> tuple[float, float]:
    """From where to where a stack reaches along its normal, mm: half a gap beyond the first and last slice."""
    if len(distances) == 1:
        return float(distances[0] - thickness / 2), float(distances[0] + thickness / 2)
    gaps = np.diff(distances)
    return float(distances[0] - gaps[0] / 2), float(distances[-1] + gaps[-1] / 2)


def plane_field(matrix: tuple[int, int], shifts_px: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """From where to where the slices reach in their plane, pixels (rows, columns) of an unshifted slice."""
    low, high = np.full(2, -0.5), np.array(matrix, float) - 0.5
    if shifts_px is not None:
        low, high = low + np.min(shifts_px, axis=0), high + np.max(shifts_px, axis=0)
    return low, high


def fitting_spacing(extent_mm: tuple[float, float, float], shape: tuple[int, int, int]) -> tuple[float, float, float]:
    """The spacing at which an extent (planes, rows, columns; mm) fits into a shape.

    Rows and columns get one spacing, so that shapes in the plane are kept; planes one of their own.
    """
    plane = max(extent_mm[1] / shape[1], extent_mm[2] / shape[2])
    return extent_mm[0] / shape[0], plane, plane


def centred(
    field: tuple[np.ndarray, np.ndarray],
    pixel_mm: tuple[float, float],
    edges: tuple[float, float],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> GridPlaces:
    """A grid around the middle of a stack; what reaches beyond the grid is cut off.

    Parameters
    ----------
    field : tuple of array
        See `plane_field`.
    pixel_mm : tuple of float
        Between rows, between columns.
    edges : tuple of float
        See `slice_edges`.
    shape : tuple of int
        (D, H, W).
    spacing_mm : tuple of float
        Of the grid.
    """
    middle = (field[0] + field[1]) / 2
    return GridPlaces(
        (edges[0] + edges[1]) / 2 + _around(shape[0]) * spacing_mm[0],
        middle[0] + _around(shape[1]) * spacing_mm[1] / pixel_mm[0],
        middle[1] + _around(shape[2]) * spacing_mm[2] / pixel_mm[1],
    )


def on_grid(
    voxels: np.ndarray,
    distances: np.ndarray,
    places: GridPlaces,
    fill: float,
    edges: tuple[float, float],
    shifts_px: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A stack's values on a grid.

    Parameters
    ----------
    voxels : array of shape (slices, rows, columns)
    distances : array of shape (slices,)
        Increasing, mm along the normal.
    places : GridPlaces
    fill : float
        What lies outside the stack.
    edges : tuple of float
        See `slice_edges`.
    shifts_px : array of shape (slices, 2), optional

    Returns
    -------
    values : float32 array of shape (D, H, W)
    inside : bool array of shape (D, H, W)
        Which cells lie in the stack.
    """
    depth_weights, depth_inside = _depth_weights(distances, places.depths, edges)
    used = np.flatnonzero(depth_weights.any(axis=0))
    values = np.zeros((len(places.depths), len(places.rows) * len(places.columns)), np.float32)
    if not len(used):
        return np.full(places.shape, fill, np.float32), np.zeros(places.shape, bool)
    planes, plane_inside = on_planes(
        voxels[used[0] : used[-1] + 1],
        places.rows,
        places.columns,
        fill,
        None if shifts_px is None else shifts_px[used[0] : used[-1] + 1],
    )
    weights = depth_weights[:, used[0] : used[-1] + 1]
    values = (sparse.csr_array(weights) @ planes.reshape(len(planes), -1)).reshape(places.shape)
    inside = depth_inside[:, None, None] & (
        plane_inside[None] if plane_inside.ndim == 2 else plane_inside[np.argmax(weights, axis=1)]
    )
    values[~inside] = fill
    return values, inside


def on_planes(
    voxels: np.ndarray, rows: np.ndarray, columns: np.ndarray, fill: float, shifts_px: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Every slice on a grid of its plane.

    Returns
    -------
    values : float32 array of shape (slices, H, W)
    inside : bool array of shape (H, W), or (slices, H, W) with shifts
        Which cells lie in the slice.
    """
    values = np.empty((len(voxels), len(rows), len(columns)), np.float32)
    if shifts_px is None or not np.any(shifts_px):
        (across, in_rows), (along, in_columns) = (
            axis_weights(voxels.shape[1], rows),
            axis_weights(voxels.shape[2], columns),
        )
        for k, plane in enumerate(voxels):
            values[k] = (along @ (across @ plane.astype(np.float32)).T).T
        inside = in_rows[:, None] & in_columns[None]
    else:
        inside = np.empty(values.shape, bool)
        for k, plane in enumerate(voxels):
            across, in_rows = axis_weights(voxels.shape[1], rows - shifts_px[k, 0])
            along, in_columns = axis_weights(voxels.shape[2], columns - shifts_px[k, 1])
            values[k] = (along @ (across @ plane.astype(np.float32)).T).T
            inside[k] = in_rows[:, None] & in_columns[None]
    values[np.broadcast_to(~inside, values.shape)] = fill
    return values, inside


def axis_weights(count: int, places: np.ndarray) -> tuple[sparse.csr_array, np.ndarray]:
    """How much of each of `count` voxels goes into cells at some places of their axis.

    Parameters
    ----------
    count : int
    places : array of shape (cells,)
        Continuous index of each cell's middle, evenly spaced in either direction.

    Returns
    -------
    weights : sparse float32 array of shape (cells, count)
        Sparse: a cell sees few voxels, and dense products would wait for other threads.
        Rows sum to 1, where a cell lies inside; else to 0.
    inside : bool array of shape (cells,)
        Whether the cell's middle lies in the outermost voxels or between.
    """
    step = abs(places[1] - places[0]) if len(places) > 1 else 1.0
    inside = (places >= -0.5) & (places <= count - 0.5)
    held = np.clip(places, 0, count - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(count) - held[:, None]) / max(step, 1.0))
    weights[~inside] = 0.0
    total = weights.sum(axis=1, keepdims=True)
    return sparse.csr_array((weights / np.where(total > 0, total, 1.0)).astype(np.float32)), inside


def _depth_weights(
    distances: np.ndarray, depths: np.ndarray, edges: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The same along the normal, where slices may be unevenly spaced."""
    inside = (depths >= edges[0] - 1e-6) & (depths <= edges[1] + 1e-6)
    weights = np.zeros((len(depths), len(distances)), np.float32)
    if len(distances) == 1:
        weights[inside, 0] = 1.0
        return weights, inside
    step = abs(depths[1] - depths[0]) if len(depths) > 1 else 0.0
    gaps = np.diff(distances)
    shares = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
    for row in np.flatnonzero(inside):
        place = np.clip(depths[row], distances[0], distances[-1])
        upper = int(np.clip(np.searchsorted(distances, place), 1, len(distances) - 1))
        gap = gaps[upper - 1]
        if step <= gap:
            share = (place - distances[upper - 1]) / gap
            weights[row, upper - 1 : upper + 1] = 1.0 - share, share
        else:
            hat = np.maximum(0.0, 1.0 - np.abs(distances - place) / step) * shares
            weights[row] = hat / hat.sum()
    return weights, inside


def _around(count: int) -> np.ndarray:
    """Places of `count` cells around 0, one apart."""
    return np.arange(count) - (count - 1) / 2
