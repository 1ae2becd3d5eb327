"""Dividing a piece that belongs partly to the patient and partly to the support."""

from __future__ import annotations

import numpy as np

_PATIENT_SPEED = 4
PROFILE_SHARE = 0.15
"""Share of the slices in which a place must be support to count as the support's profile."""


def profile(support: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Where the support lies in slices in which it is known, carried to all slices.

    Tables, shells and rails run along the scanner's axis with an almost constant cross
    section; a place that is support in other slices is support here as well.

    Parameters
    ----------
    support : array of bool, shape (k, j, i)
        Voxels known to be support.
    shifts : array of int, shape (k, 2)
        How far a line along the scanner's axis has moved, in rows and columns, from the
        first slice to each slice.

    Returns
    -------
    array of bool, shape (k, j, i)
    """
    count = np.zeros(support.shape[1:], np.int32)
    for k, (rows, columns) in enumerate(shifts):
        count += _shifted(support[k], -rows, -columns)
    common = count >= max(2, PROFILE_SHARE * len(support))
    return np.stack([_shifted(common, rows, columns) for rows, columns in shifts])


def _shifted(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The plane moved by whole pixels; what comes in from outside is False."""
    out = np.zeros_like(plane)
    height, width = plane.shape
    if abs(rows) < height and abs(columns) < width:
        out[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = plane[
            max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
        ]
    return out


def divide(
    joined: np.ndarray, patient: np.ndarray, support: np.ndarray, pixel_mm: float, slice_mm: float
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Share `joined` between patient and support by fronts that run through it from either.

    The patient's front is the faster one and wins a tie, so that an ear pressed against a
    rail stays whole and in doubt nothing of the patient is taken.

    Parameters
    ----------
    joined : array of bool, shape (k, j, i)
        The pieces to divide, without the patient.
    patient : array of bool
        Where the patient is known.
    support : array of bool
        Voxels of `joined` that are certainly support.
    pixel_mm, slice_mm : float
        Grid spacing in the plane and between slices.

    Returns
    -------
    to_patient : array of bool
        The part of `joined` that goes to the patient.
    contact_slices : tuple of int
        Slices in which the two fronts met.
    """
    shape = tuple(size + 2 for size in joined.shape)
    inner = (slice(1, -1),) * 3
    owner = np.full(shape, -1, np.int8)  # -1 outside, 0 free, 1 patient, 2 support
    owner[inner][joined] = 0
    owner[inner][patient] = 1
    owner[inner][support] = 2
    owner = owner.reshape(-1)
    strides = (shape[1] * shape[2], shape[2], 1)
    neighbours = np.array([s * sign for s in strides for sign in (1, -1)])
    steps = np.repeat([max(0.1, slice_mm / pixel_mm), 1.0, 1.0], 2)
    costs = {1: np.maximum(1, np.rint(4 * steps)).astype(int), 2: np.rint(4 * _PATIENT_SPEED * steps).astype(int)}
    _run_fronts(owner, neighbours, costs)
    met = _met(owner, neighbours)
    result = owner.reshape(shape)[inner]
    slices = np.unique(np.unravel_index(met, shape)[0] - 1) if len(met) else np.array([], int)
    return (result == 1) & joined, tuple(int(k) for k in slices)


def _run_fronts(owner: np.ndarray, neighbours: np.ndarray, costs: dict[int, np.ndarray]) -> None:
    """Bucketed breadth-first search from both owners at once; the patient moves first."""
    buckets: dict[int, list[tuple[np.ndarray, int]]] = {}
    free = np.flatnonzero(owner == 0)
    for who in (1, 2):
        for offset, cost in zip(neighbours, costs[who], strict=True):
            reached = free[owner[free + offset] == who]
            buckets.setdefault(int(cost), []).append((reached, who))
    while buckets:
        time = min(buckets)
        arrivals = buckets.pop(time)
        for who in (1, 2):
            reached = [voxels for voxels, owner_id in arrivals if owner_id == who]
            if not reached:
                continue
            front = np.unique(np.concatenate(reached))
            front = front[owner[front] == 0]
            owner[front] = who
            if not len(front):
                continue
            for offset, cost in zip(neighbours, costs[who], strict=True):
                following = front + offset
                following = following[owner[following] == 0]
                if len(following):
                    buckets.setdefault(time + int(cost), []).append((following, who))


def _met(owner: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Support voxels next to a patient voxel: where the cut runs."""
    support = np.flatnonzero(owner == 2)
    beside = np.zeros(len(support), bool)
    for offset in neighbours:
        beside |= owner[support + offset] == 1
    return support[beside]
