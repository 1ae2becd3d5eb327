"""Some slices of a stack, evenly spread over where it reaches."""

from __future__ import annotations

import numpy as np

from ..errors import UsageError

FEWEST = 5
"""Fewer slices say too little of a stack; a single picture has one."""


def choose_slices(distances: np.ndarray, count: int | None) -> np.ndarray:
    """Indices of `count` slices, evenly spread in millimetres.

    Parameters
    ----------
    distances : array of shape (slices,)
        Increasing places along the normal, mm.
    count : int or None
        None: all. A stack of fewer slices repeats some, so that every stack gives `count`.

    Returns
    -------
    array of int, not decreasing

    Raises
    ------
    UsageError
        If `count` is below 1.
    """
    if count is None:
        return np.arange(len(distances))
    if count < 1:
        msg = f"{count} slices are none; write a number from {FEWEST} on, or all."
        raise UsageError(msg)
    distances = np.asarray(distances, float)
    if len(distances) == 1:
        return np.zeros(count, int)
    # Each chosen slice is the middle of an equal part, so neither end is favoured.
    span = distances[-1] - distances[0]
    half = span / (len(distances) - 1) / 2
    low, high = distances[0] - half, distances[-1] + half
    wanted = low + (np.arange(count) + 0.5) * (high - low) / count
    upper = np.clip(np.searchsorted(distances, wanted), 1, len(distances) - 1)
    nearer = wanted - distances[upper - 1] < distances[upper] - wanted
    return np.where(nearer, upper - 1, upper)
