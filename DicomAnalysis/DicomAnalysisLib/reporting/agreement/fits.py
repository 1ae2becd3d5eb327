"""Measurements from points: distance, angle, and the sphere or circle that lies closest to them.

All in mm, in the frame of the points (RAS for Slicer's markups). A circle fitted to points on the rim of a hip
socket gives its diameter and centre; the residual says how round it is. The sphere is found by linear least squares
(Coope ID, J Optim Theory Appl 1993;76:381-388) and refined to the smallest orthogonal distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import TaskError

FLAT = 1e-6
"""Spread of points, relative to the largest, below which they lie in a plane or on a line."""
NEARLY_FLAT = 0.2
"""The same, below which a sphere is uncertain: that of points on a cap of about 45 degrees around its pole."""
LARGEST_RATIO = 1000.0
"""A radius that is so many times the points' extent is that of a plane."""


@dataclass(frozen=True)
class Fit:
    """A sphere, or a circle in space.

    Attributes
    ----------
    kind : str
        ``sphere`` or ``circle``.
    center_mm : tuple of float
    diameter_mm : float
    residual_mm : float
        Root mean square of the points' distances from the surface or the line.
    largest_residual_mm : float
    points : int
    normal : tuple of float or None
        Unit normal of the circle's plane.
    warning : str
        What the user has to know about it; empty where nothing.
    """

    kind: str
    center_mm: tuple[float, float, float]
    diameter_mm: float
    residual_mm: float
    largest_residual_mm: float
    points: int
    normal: tuple[float, float, float] | None = None
    warning: str = ""


def distance_mm(points: np.ndarray) -> float:
    """Distance of two points.

    Raises
    ------
    TaskError
        If there are not two.
    """
    points = _points(points, 2, 2, "A distance")
    return float(np.linalg.norm(points[1] - points[0]))


def angle_degrees(points: np.ndarray) -> float:
    """Angle at the second of three points, 0 to 180 degrees.

    Raises
    ------
    TaskError
        If there are not three, or two of them are at the same place.
    """
    points = _points(points, 3, 3, "An angle")
    one, other = points[0] - points[1], points[2] - points[1]
    if not (np.linalg.norm(one) > 0 and np.linalg.norm(other) > 0):
        msg = "An angle needs three different points."
        raise TaskError(msg)
    # Exact also near 0 and 180 degrees, where the arc cosine is not.
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other)), one @ other)))


def fit_sphere(points: np.ndarray) -> Fit:
    """The sphere closest to four or more points, shape (n, 3), mm.

    Raises
    ------
    TaskError
        If there are too few points, or they lie in a plane.
    """
    points = _points(points, 4, None, "A sphere")
    center, spread, _axes = _frame(points)
    if spread[2] <= FLAT * spread[0]:
        msg = "The points lie in a plane, through which many spheres go: fit a circle, or add points off the plane."
        raise TaskError(msg)
    middle, radius = _closest(points - center)
    residual = np.linalg.norm(points - center - middle, axis=1) - radius
    return _fit("sphere", middle + center, radius, residual, points, flatness=spread[2] / spread[0])


def fit_circle(points: np.ndarray) -> Fit:
    """The circle closest to three or more points, shape (n, 3), mm: in the plane that is closest to them.

    Raises
    ------
    TaskError
        If there are too few points, or they lie on a line.
    """
    points = _points(points, 3, None, "A circle")
    center, spread, axes = _frame(points)
    if spread[1] <= FLAT * spread[0]:
        msg = "The points lie on a line: a circle needs points around the rim."
        raise TaskError(msg)
    flat = (points - center) @ axes.T
    middle, radius = _closest(flat[:, :2])
    around = np.linalg.norm(flat[:, :2] - middle, axis=1) - radius
    residual = np.hypot(around, flat[:, 2])
    normal = axes[2] * (1 if axes[2][np.argmax(np.abs(axes[2]))] > 0 else -1)
    place = center + middle @ axes[:2]
    angles = np.sort(np.arctan2(*(flat[:, :2] - middle).T))
    gap = float(np.degrees(np.max(np.diff(np.append(angles, angles[0] + 2 * np.pi)))))
    return _fit("circle", place, radius, residual, points, normal, gap)


def _points(points: np.ndarray, fewest: int, most: int | None, what: str) -> np.ndarray:
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1:] != (3,) or not np.isfinite(points).all():
        msg = f"{what} needs points in space with three finite coordinates each."
        raise TaskError(msg)
    if len(points) < fewest or (most is not None and len(points) > most):
        msg = f"{what} needs {fewest} points{'' if most == fewest else ' or more'}; there are {len(points)}."
        raise TaskError(msg)
    return points


def _frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centroid, spread along the principal axes (largest first) and these axes as rows."""
    center = points.mean(axis=0)
    _u, spread, axes = np.linalg.svd(points - center, full_matrices=True)
    spread = np.append(spread, np.zeros(3 - len(spread)))
    if spread[0] == 0:
        msg = "All points are at the same place."
        raise TaskError(msg)
    return center, spread, axes


def _closest(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of the sphere, or the circle in two dimensions, with the smallest orthogonal distances."""
    from scipy.optimize import least_squares

    scale = float(np.abs(points).max())
    scaled = points / scale
    start, *_rest = np.linalg.lstsq(np.column_stack([2 * scaled, np.ones(len(scaled))]), (scaled**2).sum(1), rcond=None)
    radius = np.sqrt(max(1e-12, start[-1] + start[:-1] @ start[:-1]))

    def residual(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(scaled - values[:-1], axis=1) - values[-1]

    found = least_squares(residual, np.append(start[:-1], radius), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    radius = abs(float(found.x[-1]))
    if not np.isfinite(found.x).all() or radius > LARGEST_RATIO:
        msg = "The points do not curve: no sphere or circle of a sensible size lies close to them."
        raise TaskError(msg)
    return found.x[:-1] * scale, radius * scale


def _fit(
    kind: str,
    center: np.ndarray,
    radius: float,
    residual: np.ndarray,
    points: np.ndarray,
    normal: np.ndarray | None = None,
    gap: float = 0.0,
    flatness: float = 1.0,
) -> Fit:
    warnings = []
    if len(points) == (4 if kind == "sphere" else 3):
        warnings.append(f"{len(points)} points always lie on a {kind}: the residual says nothing; place more points")
    if gap > 180:
        warnings.append(f"the points leave {gap:.0f} degrees of the rim open: the diameter is uncertain")
    if flatness < NEARLY_FLAT:
        warnings.append("the points are nearly flat and cover little of the sphere: the diameter is uncertain")
    return Fit(
        kind,
        tuple(map(float, center)),
        2 * radius,
        float(np.sqrt(np.mean(residual**2))),
        float(np.abs(residual).max()),
        len(points),
        None if normal is None else tuple(map(float, normal)),
        "; ".join(warnings),
    )
