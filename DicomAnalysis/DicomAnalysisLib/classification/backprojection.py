"""From the network's grid back to the slices as acquired: nothing is drawn where the network saw nothing."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..errors import TaskError
from .prepared import Prepared

EDGE = 1e-6
"""Of a cell: places are compared after rounding."""


def to_source(values: np.ndarray, matrix: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A map on the network's grid, taken back to the voxels of the source.

    Parameters
    ----------
    values : array of shape (D, H, W)
    matrix : array of shape (4, 4)
        From homogeneous index (d, h, w, 1) to the source's continuous array index (k, j, i, 1).
    shape : tuple of int
        (slices, rows, columns) of the source.

    Returns
    -------
    float32 array of that shape
        Linear between the cells, constant to the border of the outermost ones, 0 outside of them. A
        projection (one cell along an axis that the matrix gives no step) is shown all along its axis.

    Raises
    ------
    TaskError
        If the matrix has no inverse.
    """
    matrix = np.array(matrix, np.float64)
    through = [count == 1 and not matrix[:3, axis].any() for axis, count in enumerate(values.shape)]
    for axis in np.flatnonzero(through):
        matrix[:3, axis] = _missing_direction(matrix[:3, :3])
    try:
        back = np.linalg.inv(matrix)[:3]
    except np.linalg.LinAlgError as error:
        msg = "The explanation cannot be taken back to the series: its preparation keeps no places."
        raise TaskError(msg) from error
    back[through] = 0.0  # a projection stands for all that is along it
    padded = np.pad(np.asarray(values, np.float32), 1, mode="edge")
    result = ndimage.affine_transform(
        padded, back[:, :3], back[:, 3] + 1.0, output_shape=tuple(shape), order=1, mode="constant", cval=0.0
    )
    return np.where(_inside(back, values.shape, shape), np.clip(result, 0.0, 1.0), 0.0).astype(np.float32)


def prepared_to_source(values: np.ndarray, prepared: Prepared) -> np.ndarray:
    """A map of what a recipe prepared, taken back to the slices as acquired.

    Where slices were chosen, every slice of the source shows the map of the chosen one nearest to it; where
    they were resampled along their normal, each shows what was at its place, however uneven they are.

    Parameters
    ----------
    values : array of shape (D, H, W)
        On the grid of ``prepared.voxels``.
    prepared : Prepared

    Returns
    -------
    float32 array of shape ``prepared.source_shape``
    """
    chosen, matrix = np.asarray(prepared.source_slices), np.asarray(prepared.to_source, np.float64)
    if len(chosen):
        places = [float(np.abs(chosen - k).argmin()) for k in range(prepared.source_shape[0])]
    elif prepared.slice_depths:
        places = list(prepared.slice_depths)
    else:
        return to_source(values, matrix, prepared.source_shape)
    result = np.zeros(prepared.source_shape, np.float32)
    for k, place in enumerate(places):
        if -0.5 - EDGE <= place <= len(values) - 0.5 + EDGE:
            flat = np.eye(4)
            flat[1:3, 1:3] = matrix[1:3, 1:3]
            flat[1:3, 3] = matrix[1:3, 0] * place + matrix[1:3, 3]  # tilted slices lie beside each other
            result[k] = to_source(_between(values, place)[None], flat, (1, *result.shape[1:]))[0]
    return result


def _between(values: np.ndarray, place: float) -> np.ndarray:
    """The plane at a continuous index."""
    place = float(np.clip(place, 0, len(values) - 1))
    low = min(int(place), max(len(values) - 2, 0))
    share = place - low
    return values[low] if share == 0 else (1 - share) * values[low] + share * values[low + 1]


def _missing_direction(matrix: np.ndarray) -> np.ndarray:
    """A unit step across the two directions that a projection or a single slice has."""
    left, _values, _right = np.linalg.svd(matrix)
    return left[:, -1]


def _inside(back: np.ndarray, grid: tuple[int, ...], shape: tuple[int, int, int]) -> np.ndarray:
    """Which voxels of the source lie in a cell of the grid."""
    axes = np.ogrid[tuple(slice(0, count) for count in shape)]
    inside = np.ones(shape, bool)
    for row, count in zip(back, grid, strict=True):
        place = sum(step * axis for step, axis in zip(row, axes, strict=False)) + row[3]
        inside &= (place >= -0.5 - EDGE) & (place <= count - 0.5 + EDGE)
    return inside
