"""Canonical orientation: planes to the head, rows to the back, columns to the left, as an axial CT lies on a screen."""

from __future__ import annotations

import numpy as np


def canonical_axes(directions: np.ndarray) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which array axis goes where, and which is turned round.

    Parameters
    ----------
    directions : array of shape (3, 3)
        Columns: LPS directions along which the array's axes (k, j, i) grow.

    Returns
    -------
    order : tuple of int
        Array axis that becomes plane, row, column axis: for `numpy.transpose`.
    turned : tuple of bool
        Whether each *new* axis is turned round.
    """
    share = np.abs(directions)
    order = [0, 0, 0]
    left = {0, 1, 2}
    for _ in range(3):  # the clearest axis chooses first, so that an oblique stack gives every axis once
        free = [(share[place, axis], place, axis) for place in range(3) for axis in left if order_free(order, place)]
        _, place, axis = max(free)
        order[2 - place] = axis + 1
        left.discard(axis)
    axes = tuple(axis - 1 for axis in order)
    turned = tuple(bool(directions[2 - new, axis] < 0) for new, axis in enumerate(axes))
    return axes, turned


def order_free(order: list[int], place: int) -> bool:
    """Whether no axis goes to a direction (x, y, z) yet."""
    return order[2 - place] == 0


def canonical(array: np.ndarray, directions: np.ndarray, keep_slices: bool = False) -> np.ndarray:
    """The array in canonical orientation: a view, nothing is copied.

    Parameters
    ----------
    array : array of shape (k, j, i)
    directions : array of shape (3, 3)
        See `canonical_axes`.
    keep_slices : bool
        Leave slices slices: only turn axes round (and rows and columns where they are exchanged).
    """
    order, turned = axes_of(directions, keep_slices)
    view = np.transpose(array, order)
    return view[tuple(slice(None, None, -1) if turn else slice(None) for turn in turned)]


def axes_of(directions: np.ndarray, keep_slices: bool = False) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """As `canonical_axes`; with `keep_slices` axis 0 stays first and rows and columns are never exchanged."""
    if not keep_slices:
        return canonical_axes(directions)
    strongest = np.abs(directions).argmax(axis=0)
    signs = [directions[strongest[axis], axis] for axis in range(3)]
    # Rows grow to the back or to the feet, columns to the left or to the back: as each plane is shown.
    turned = [signs[axis] < 0 for axis in range(3)]
    if strongest[1] == 2:
        turned[1] = signs[1] > 0
    return (0, 1, 2), (bool(turned[0]), bool(turned[1]), bool(turned[2]))
