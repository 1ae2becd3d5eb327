"""A stack as one picture: what is brightest, darkest, or the mean along an axis."""

from __future__ import annotations

import numpy as np

from ..errors import UsageError

METHODS = ("max", "min", "mean")


def project(voxels: np.ndarray, method: str = "max", axis: int = 0) -> np.ndarray:
    """Project along an axis of the array.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
    method : str
        "max" (maximum intensity projection), "min" (contrast in angiography is dark) or "mean".
    axis : int
        0: along the slices or frames; 1: along the rows (coronal of an axial stack); 2: sagittal.

    Returns
    -------
    float32 array of three axes, the first of length 1
        The remaining axes in their order.

    Raises
    ------
    UsageError
        If the method or the axis is unknown.
    """
    if method not in METHODS or axis not in (0, 1, 2):
        msg = f"There is no projection '{method}' along axis {axis}; choose max, min or mean, along 0, 1 or 2."
        raise UsageError(msg)
    values = np.asarray(voxels)
    if method == "mean":
        return values.mean(axis=axis, dtype=np.float64).astype(np.float32)[None]
    return (values.max(axis=axis) if method == "max" else values.min(axis=axis)).astype(np.float32)[None]
