"""Solids as signed distances: what the phantoms are built of.

A shape answers with its signed distance in mm (negative inside) at points given by
three broadcasting arrays x, y, z in LPS mm. Distances are exact for boxes and near
enough to exact for the others close to their surface, which is all that painting needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Point = tuple[float, float, float]

FAR = 1.0e4
"""Half the extent, in mm, of what is unbounded."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A solid and the box that holds it.

    Parameters
    ----------
    distance : callable
        ``distance(x, y, z)`` in mm, negative inside.
    low, high : array of shape (3,)
        Corners of a box, LPS mm, outside of which the solid is not.
    """

    distance: Distance
    low: np.ndarray
    high: np.ndarray

    def __or__(self, other: Shape) -> Shape:
        return Shape(
            lambda x, y, z: np.minimum(self.distance(x, y, z), other.distance(x, y, z)),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def __and__(self, other: Shape) -> Shape:
        return Shape(
            lambda x, y, z: np.maximum(self.distance(x, y, z), other.distance(x, y, z)),
            np.maximum(self.low, other.low),
            np.minimum(self.high, other.high),
        )

    def __sub__(self, other: Shape) -> Shape:
        return Shape(
            lambda x, y, z: np.maximum(self.distance(x, y, z), -other.distance(x, y, z)),
            self.low,
            self.high,
        )

    def blended(self, other: Shape, radius: float) -> Shape:
        """Union with a fillet of about `radius` mm where the two meet."""

        def distance(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
            a, b = self.distance(x, y, z), other.distance(x, y, z)
            overlap = np.maximum(radius - np.abs(a - b), 0.0) / radius
            return np.minimum(a, b) - overlap * overlap * (radius / 4)

        margin = radius / 4
        return Shape(distance, np.minimum(self.low, other.low) - margin, np.maximum(self.high, other.high) + margin)

    def grown(self, radius: float) -> Shape:
        """The solid with `radius` mm added all around (taken off where negative)."""
        return Shape(lambda x, y, z: self.distance(x, y, z) - radius, self.low - radius, self.high + radius)

    def shell(self, thickness: float) -> Shape:
        """The outer `thickness` mm of the solid."""
        return self - self.grown(-thickness)

    def moved(self, offset: Point) -> Shape:
        """The solid shifted by `offset` mm."""
        dx, dy, dz = offset
        shift = np.asarray(offset, float)
        return Shape(lambda x, y, z: self.distance(x - dx, y - dy, z - dz), self.low + shift, self.high + shift)

    def turned(self, degrees: float, axis: str = "z", about: Point = (0.0, 0.0, 0.0)) -> Shape:
        """The solid turned about a line through `about` along `axis`, by the right-hand rule."""
        first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        cosine, sine = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))

        def distance(*point: np.ndarray) -> np.ndarray:
            p = [c - a for c, a in zip(point, about, strict=True)]
            p[first], p[second] = cosine * p[first] + sine * p[second], cosine * p[second] - sine * p[first]
            return self.distance(*(c + a for c, a in zip(p, about, strict=True)))

        matrix = np.eye(3)
        matrix[first, first] = matrix[second, second] = cosine
        matrix[first, second], matrix[second, first] = -sine, sine
        center, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        center = matrix @ (center - about) + about
        half = np.abs(matrix) @ half
        return Shape(distance, center - half, center + half)

    def mirrored(self) -> Shape:
        """The solid on the other side of the plane x = 0."""
        low, high = self.low.copy(), self.high.copy()
        low[0], high[0] = -self.high[0], -self.low[0]
        return Shape(lambda x, y, z: self.distance(-x, y, z), low, high)


def ellipsoid(center: Point, radii: Point) -> Shape:
    """Ellipsoid with semi-axes `radii` mm; an infinite radius makes an elliptic cylinder."""
    cx, cy, cz = center
    rx, ry, rz = radii

    def distance(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        u, v, w = (x - cx) / rx, (y - cy) / ry, (z - cz) / rz
        scaled = np.sqrt(u * u + v * v + w * w)
        slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + (w / rz) ** 2)
        return np.where(slope > 0, scaled * (scaled - 1) / np.maximum(slope, 1e-9), -min(radii))

    extent = np.minimum(np.asarray(radii, float), FAR)
    return Shape(distance, np.asarray(center, float) - extent, np.asarray(center, float) + extent)


def box(center: Point, half: Point, rounding: float = 0.0) -> Shape:
    """Box with half edges `half` mm and edges rounded by `rounding` mm."""
    middle, inner = np.asarray(center, float), np.asarray(half, float) - rounding

    def distance(*point: np.ndarray) -> np.ndarray:
        over = [np.abs(c - m) - h for c, m, h in zip(point, middle, inner, strict=True)]
        outside = np.sqrt(sum(np.maximum(o, 0.0) ** 2 for o in over))
        inside = np.minimum(np.maximum(np.maximum(over[0], over[1]), over[2]), 0.0)
        return outside + inside - rounding

    return Shape(distance, middle - half, middle + half)


def half_space(point: Point, outward: Point) -> Shape:
    """Everything behind the plane through `point` whose outward normal is `outward`."""
    normal = np.asarray(outward, float) / np.linalg.norm(outward)
    a, b, c = (float(n) for n in normal)
    d = float(normal @ np.asarray(point, float))
    everywhere = np.full(3, FAR)
    return Shape(lambda x, y, z: a * x + b * y + c * z - d, -everywhere, everywhere)


def rod(start: Point, end: Point, radius: float) -> Shape:
    """Cylinder with rounded ends from `start` to `end`."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = b - a
    length = float(along @ along)

    def distance(*point: np.ndarray) -> np.ndarray:
        offset = [c - s for c, s in zip(point, a, strict=True)]
        t = np.clip(sum(o * d for o, d in zip(offset, along, strict=True)) / length, 0.0, 1.0)
        return np.sqrt(sum((o - t * d) ** 2 for o, d in zip(offset, along, strict=True))) - radius

    return Shape(distance, np.minimum(a, b) - radius, np.maximum(a, b) + radius)
