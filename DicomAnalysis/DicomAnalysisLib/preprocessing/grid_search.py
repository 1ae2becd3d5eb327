"""The coarsest evenly spaced planes that unevenly spaced slices lie on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..volume import POSITION_TOLERANCE_MM

MIN_STEP_MM = 2.5 * POSITION_TOLERANCE_MM
"""Below twice the tolerance every position is near some plane, and the search means nothing."""


def coarsest_exact_planes(points: np.ndarray, max_planes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Evenly spaced planes with every point within 0.1 mm of its own.

    Parameters
    ----------
    points : array of shape (n, 3)
        Slice positions in mm in orthogonal axes, the first along the stack and increasing.
    max_planes : int
        Most planes there may be.

    Returns
    -------
    planes : array of int, shape (n,)
        Plane of each point, strictly increasing from 0.
    origin, step : arrays of shape (3,)
        Position of plane 0 and the way to the next plane.

    None where there are no such planes.
    """
    along = points[:, 0] - points[0, 0]
    coarsest = np.diff(along).min() + 2 * POSITION_TOLERANCE_MM
    finest = max(MIN_STEP_MM, along[-1] / (max_planes - 1))
    for planes in _candidate_planes(along, coarsest, finest):
        if np.diff(planes).min() < 1:
            continue
        fits = [minimax_line(planes, points[:, axis]) for axis in range(3)]
        if np.linalg.norm([fit[2] for fit in fits]) <= POSITION_TOLERANCE_MM:
            return planes, np.array([fit[0] for fit in fits]), np.array([fit[1] for fit in fits])
    return None


def _candidate_planes(along: np.ndarray, coarsest: float, finest: float) -> Iterator[np.ndarray]:
    """Plane of each slice for steps, coarsest first, on which all slices nearly share one phase.

    The scan moves the far end of the stack by half a tolerance from one step to the next,
    so no step that fits is jumped over; what it yields still has to be fitted.
    """
    tolerance = POSITION_TOLERANCE_MM
    ratio = 1 - tolerance / (2 * along[-1])
    chunk = 1 + (1 << 15) // len(along)
    step, seen = coarsest, None
    while step >= finest:
        steps = step * ratio ** np.arange(chunk)
        step = steps[-1] * ratio
        steps = steps[steps >= finest]
        turns = along / steps[:, None]
        phase = np.angle(np.exp(2j * np.pi * turns).mean(axis=1)) / (2 * np.pi)
        turns -= phase[:, None]
        planes = np.rint(turns)
        spread = np.ptp(turns - planes, axis=1) * steps
        for candidate in planes[spread <= 2.5 * tolerance]:
            planes_from_0 = (candidate - candidate[0]).astype(np.int64)
            if seen is None or not np.array_equal(planes_from_0, seen):
                seen = planes_from_0
                yield planes_from_0


def minimax_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """(intercept, slope, largest residual) of the line y = a + b x whose largest residual is smallest."""
    from scipy.optimize import linprog

    x, middle = np.asarray(x, np.float64), float(np.mean(y))
    y = y - middle
    one = np.ones_like(x)
    above = np.stack([one, x, -one], axis=1)
    below = np.stack([-one, -x, -one], axis=1)
    solution = linprog(
        [0, 0, 1], A_ub=np.concatenate([above, below]), b_ub=np.concatenate([y, -y]), bounds=[(None, None)] * 3
    )
    intercept, slope, residual = solution.x
    return float(intercept) + middle, float(slope), float(residual)
