"""Flat pictures of a volume as a radiologist expects them, in millimetres, whatever the slices' own order.

Axial: the patient's right on the left, front up. Coronal: right on the left, head up.
Sagittal: front on the left, head up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..segments import SegmentKind
from ..volume import Volume

PLANES = ("sagittal", "coronal", "axial")
"""In the order of the LPS axis they are perpendicular to."""

AIR = -1000.0
# What grows to the right and downward on the screen, LPS.
_SCREEN = {
    "axial": (np.array([1.0, 0, 0]), np.array([0, 1.0, 0])),
    "coronal": (np.array([1.0, 0, 0]), np.array([0, 0, -1.0])),
    "sagittal": (np.array([0, 1.0, 0]), np.array([0, 0, -1.0])),
}

Masks = Sequence[tuple[SegmentKind, np.ndarray]]


@dataclass(frozen=True, eq=False)
class View:
    """A flat picture with its scale, its sides and the segments in it.

    Attributes
    ----------
    image : array of shape (height, width)
        HU.
    masks : sequence of (SegmentKind, bool array of the same shape)
    pixel_mm : tuple of float
        (downward, to the right).
    sides : str
        Letters at left, right, top and bottom, for example ``RLAP``.
    title : str
    """

    image: np.ndarray
    masks: Masks
    pixel_mm: tuple[float, float]
    sides: str
    title: str

    @property
    def size_mm(self) -> tuple[float, float]:
        """(height, width) in mm."""
        return self.image.shape[0] * self.pixel_mm[0], self.image.shape[1] * self.pixel_mm[1]


def plane_of(normal: np.ndarray) -> str:
    """The anatomical plane nearest to slices with this normal (LPS)."""
    return PLANES[int(np.argmax(np.abs(normal)))]


def side_letter(direction: np.ndarray) -> str:
    """R, L, A, P, S or I: where a direction (LPS) mostly leads."""
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "IS")[axis][int(direction[axis] > 0)]


def acquired_view(volume: Volume, k: int, masks: Masks) -> View:
    """Slice `k` as acquired, turned and flipped to the screen but not resampled."""
    geometry = volume.geometry
    plane = plane_of(geometry.normal)
    right, down = _SCREEN[plane]
    horizontal, vertical = geometry.row_direction, geometry.column_direction
    transpose = abs(vertical @ right) > abs(horizontal @ right)
    dy, dx = geometry.pixel_spacing
    if transpose:
        horizontal, vertical, dy, dx = vertical, horizontal, dx, dy
    flips = (-1 if vertical @ down < 0 else 1, -1 if horizontal @ right < 0 else 1)

    def turned(array: np.ndarray) -> np.ndarray:
        return (array.T if transpose else array)[:: flips[0], :: flips[1]]

    sides = side_letter(-horizontal * flips[1]) + side_letter(horizontal * flips[1])
    sides += side_letter(-vertical * flips[0]) + side_letter(vertical * flips[0])
    position = float(
        geometry.index_to_ras(np.array([(volume.shape[2] - 1) / 2, (volume.shape[1] - 1) / 2, k]))[_axis(plane)]
    )
    title = f"{plane}, slice {k + 1} of {len(geometry)}, {_place(plane, position)}"
    flat = [(kind, turned(mask[k])) for kind, mask in masks]
    return View(turned(volume.voxels[k]).astype(np.float32), flat, (dy, dx), sides, title)


def reformatted_view(volume: Volume, plane: str, center_lps: np.ndarray, masks: Masks, max_pixels: int = 640) -> View:
    """An orthogonal cut through a point, right for tilted, oblique and uneven stacks.

    Parameters
    ----------
    volume : Volume
        At least two slices.
    plane : str
        ``axial``, ``coronal`` or ``sagittal``.
    center_lps : array of shape (3,)
        LPS mm; the cut goes through it.
    masks : sequence of (SegmentKind, bool array of shape (k, j, i))
    max_pixels : int
        Longest side of the picture.
    """
    right, down = _SCREEN[plane]
    k, j, i = (np.array([-0.5, n - 0.5]) for n in volume.shape)
    corners = volume.geometry.index_to_lps(np.stack(np.meshgrid(i, j, k), axis=-1).reshape(-1, 3))
    low, high = [(corners @ axis).min() for axis in (right, down)], [(corners @ axis).max() for axis in (right, down)]
    pixel = max(min(volume.geometry.pixel_spacing), max(np.subtract(high, low)) / max_pixels)
    width, height = (max(1, int((b - a) / pixel)) for a, b in zip(low, high, strict=True))
    x = low[0] + (np.arange(width) + 0.5) * pixel
    y = low[1] + (np.arange(height) + 0.5) * pixel
    across = np.cross(right, down)
    points = (center_lps @ across) * across + x[None, :, None] * right + y[:, None, None] * down
    index = _continuous_index(volume, points)
    limits = np.array(volume.shape)[:, None, None] - 0.5
    inside = ((index >= -0.5) & (index <= limits)).all(axis=0)
    clipped = np.clip(index, 0, limits - 0.5)
    image = ndimage.map_coordinates(volume.voxels, clipped, np.float32, order=1, mode="nearest")
    image[~inside] = AIR
    nearest = tuple(np.rint(clipped).astype(np.intp))
    flat = [(kind, mask[nearest] & inside) for kind, mask in masks]
    sides = "".join(side_letter(direction) for direction in (-right, right, -down, down))
    position = float((center_lps * [-1, -1, 1])[_axis(plane)])
    return View(image, flat, (pixel, pixel), sides, f"{plane}, {_place(plane, position)}")


def _continuous_index(volume: Volume, points: np.ndarray) -> np.ndarray:
    """(k, j, i) of LPS points, shape (3, height, width); beyond the ends k is extrapolated."""
    geometry = volume.geometry
    distances = geometry.distances
    along = points @ geometry.normal
    slices = np.arange(len(distances))
    k = np.interp(along, distances, slices)
    k = np.where(along < distances[0], (along - distances[0]) / geometry.slice_spacing, k)
    k = np.where(along > distances[-1], slices[-1] + (along - distances[-1]) / geometry.slice_spacing, k)
    origins = geometry.index_to_lps(np.stack([np.zeros_like(k), np.zeros_like(k), k], axis=-1))
    offset = points - origins
    dy, dx = geometry.pixel_spacing
    return np.stack([k, offset @ geometry.column_direction / dy, offset @ geometry.row_direction / dx])


def _axis(plane: str) -> int:
    return PLANES.index(plane)


def _place(plane: str, ras_mm: float) -> str:
    """Position as Slicer's slice controller shows it, for example ``S 12.5 mm``."""
    letters = ("LR", "PA", "IS")[_axis(plane)]
    return f"{letters[int(ras_mm >= 0)]} {abs(ras_mm):.1f} mm"
