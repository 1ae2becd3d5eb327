"""From acquired slices to a regular grid, for the consumers that need one (MRML, NRRD, networks).

Processing runs on the slices as acquired. A stack that one affine describes (gantry tilt
included: the affine is sheared) is passed through untouched. An uneven stack gets the
coarsest grid on which every acquired slice lies within 0.1 mm of a plane: acquired slices
are copied to their planes bit for bit, planes between them are interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import GeometryError
from ..volume import POSITION_TOLERANCE_MM, StackGeometry, Volume
from .grid_search import coarsest_exact_planes, minimax_line

MAX_PLANES_PER_SLICE = 8
MAX_PLANES_OF_SHORT_STACKS = 512
MAX_GRID_VOXELS = 1 << 30
MAX_SIDEWAYS_MM = 5.0
"""Slices that stray farther from the line through the stack belong to another one."""
MISSING_SLICE_RATIO = 1.9
"""A gap this many times larger than both its neighbours means that slices are missing there."""


@dataclass(frozen=True, eq=False)
class RegularGrid:
    """A grid of evenly spaced planes and how the acquired slices lie on it.

    Attributes
    ----------
    ijk_to_lps : array of shape (4, 4)
        Grid index (i, j, k) to LPS mm; sheared where the gantry was tilted.
    shape : tuple of int
        (planes, rows, columns).
    plane_of_slice : array of int, shape (slices,)
        Plane that holds each acquired slice, or is nearest to it.
    lower, upper : arrays of int, shape (planes,)
        Acquired slices below and above each plane; equal where the plane holds a slice.
    weights : array of float, shape (planes,)
        Share of `upper` in each plane.
    shift_px : array of shape (slices, 2)
        (rows, columns) by which a slice lies beside the line through the stack; zero nearly always.
    max_offset_mm : float
        Largest distance between an acquired slice and its plane, shifts aside.
    is_exact : bool
        Whether every acquired slice is on its plane, bit for bit, within 0.1 mm.
    warnings : tuple of str
        What was filled or interpolated.
    """

    ijk_to_lps: np.ndarray
    shape: tuple[int, int, int]
    plane_of_slice: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    weights: np.ndarray
    shift_px: np.ndarray
    max_offset_mm: float = 0.0
    is_exact: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def is_identity(self) -> bool:
        """Whether the planes are the slices as acquired."""
        return len(self.lower) == len(self.plane_of_slice) and not self.weights.any() and not self.shift_px.any()

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """The same affine in Slicer's frame (RAS)."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.ijk_to_lps

    @property
    def spacing_kji(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along each array axis, mm."""
        i, j, k = np.linalg.norm(self.ijk_to_lps[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def nearest_slice(self) -> np.ndarray:
        """Acquired slice nearest to each plane, shape (planes,)."""
        return np.where(self.weights > 0.5, self.upper, self.lower)

    def image(self, voxels: np.ndarray, padding_values: tuple[float, ...] = ()) -> np.ndarray:
        """Voxels on the grid: acquired slices copied, planes between them interpolated linearly.

        Parameters
        ----------
        voxels : array of shape (slices, rows, columns)
        padding_values : tuple of float
            Values outside the field of view; they are taken from the nearer slice, never blended.

        Returns
        -------
        array of shape (planes, rows, columns)
            Same type; whole-number types are rounded. `voxels` itself when the grid is the stack.
        """
        self._check(voxels)
        if self.is_identity:
            return voxels
        out = np.empty(self.shape, voxels.dtype)
        for plane, values in enumerate(self.image_planes(voxels, padding_values)):
            out[plane] = values
        return out

    def image_planes(self, voxels: np.ndarray, padding_values: tuple[float, ...] = ()) -> Iterator[np.ndarray]:
        """The planes of `image` one after the other, for writers that must not hold a second volume."""
        self._check(voxels)
        for low, high, weight in zip(self.lower, self.upper, self.weights, strict=True):
            below = _moved(voxels[low], self.shift_px[low])
            yield (
                below
                if weight == 0
                else _blend(below, _moved(voxels[high], self.shift_px[high]), weight, padding_values)
            )

    def labels(self, mask: np.ndarray) -> np.ndarray:
        """A labelmap or mask on the grid: every plane takes the nearest acquired slice.

        Parameters
        ----------
        mask : array of shape (slices, rows, columns), bool or labels

        Returns
        -------
        array of shape (planes, rows, columns)
            Same type; `mask` itself when the grid is the stack.
        """
        self._check(mask)
        if self.is_identity:
            return mask
        return np.stack([_moved(mask[k], np.rint(self.shift_px[k])) for k in self.nearest_slice])

    def to_slices(self, array: np.ndarray) -> np.ndarray:
        """Back from the grid to the acquired slices, for example a network's labelmap."""
        if self.is_identity:
            return array
        planes = zip(self.plane_of_slice, self.shift_px, strict=True)
        return np.stack([_moved(array[plane], -np.rint(shift)) for plane, shift in planes])

    def _check(self, array: np.ndarray) -> None:
        expected = (len(self.plane_of_slice), *self.shape[1:])
        if array.shape != expected:
            msg = f"The array has shape {array.shape}, but the stack of this grid {expected}"
            raise GeometryError(msg)


def to_regular_grid(volume: Volume, max_planes: int | None = None) -> RegularGrid:
    """The coarsest regular grid that keeps every acquired slice in its place.

    Parameters
    ----------
    volume : Volume
    max_planes : int, optional
        Most planes the grid may have; by default eight for each slice (512 for short stacks),
        never more than 2 GiB of int16.

    Returns
    -------
    RegularGrid
        Exact where such a grid is affordable. Otherwise planes as close as the closest
        slices, all interpolated at their right positions, and a warning that says so.

    Raises
    ------
    GeometryError
        If slices lie more than 5 mm beside the line through the stack.
    """
    geometry, matrix = volume.geometry, volume.shape[1:]
    count = len(geometry)
    if geometry.is_regular:
        index = np.arange(count)
        no_shift = np.zeros((count, 2))
        return RegularGrid(geometry.ijk_to_lps, volume.shape, index, index, index, np.zeros(count), no_shift)
    if max_planes is None:
        max_planes = max(MAX_PLANES_OF_SHORT_STACKS, MAX_PLANES_PER_SLICE * count)
    max_planes = max(2, min(max_planes, MAX_GRID_VOXELS // (matrix[0] * matrix[1])))
    axes = np.array([geometry.normal, geometry.row_direction, geometry.column_direction])
    points, shift_px, warnings = _straightened(geometry, geometry.positions @ axes.T)
    warnings += _name_filled_gaps(geometry)
    found = coarsest_exact_planes(points, max_planes)
    if found is not None:
        planes, origin, step = found
        return _assemble(geometry, matrix, origin @ axes, step @ axes, planes, shift_px, warnings)
    span = points[-1] - points[0]
    steps = int(np.clip(np.ceil(span[0] / np.diff(points[:, 0]).min()), 1, max_planes - 1))
    warnings.append(
        f"The {count} slices are so unevenly spaced that no affordable regular grid holds them; "
        f"the grid of {steps + 1} planes {span[0] / steps:.3f} mm apart is interpolated between them."
    )
    return _assemble(geometry, matrix, points[0] @ axes, span / steps @ axes, None, shift_px, warnings)


def _straightened(geometry: StackGeometry, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Points moved in their planes onto one straight line, by how many pixels (rows, columns), and a warning.

    Within the tolerance nothing is moved. Raises GeometryError where slices stray too far.
    """
    lines = [minimax_line(points[:, 0], points[:, axis]) for axis in (1, 2)]
    astray = float(np.hypot(lines[0][2], lines[1][2]))
    if astray <= POSITION_TOLERANCE_MM:
        return points, np.zeros((len(points), 2)), []
    if astray > MAX_SIDEWAYS_MM:
        msg = (
            f"The slices shift sideways by up to {astray:.2f} mm against the line through them, so no regular grid "
            "holds them; split the series where the field of view moves and treat its parts one by one."
        )
        raise GeometryError(msg)
    straight = points.copy()
    for axis, (intercept, slope, _) in zip((1, 2), lines, strict=True):
        straight[:, axis] = intercept + slope * points[:, 0]
    moved = points - straight
    dy, dx = geometry.pixel_spacing
    shift_px = np.stack([moved[:, 2] / dy, moved[:, 1] / dx], axis=1)
    warning = f"The slices shift sideways by up to {astray:.2f} mm; on the regular grid each is moved back by that."
    return straight, shift_px, [warning]


def _assemble(
    geometry: StackGeometry,
    matrix: tuple[int, int],
    origin: np.ndarray,
    step: np.ndarray,
    planes: np.ndarray | None,
    shift_px: np.ndarray,
    warnings: list[str],
) -> RegularGrid:
    """The grid with, for each plane, the slices it lies between and how it shares them."""
    distance = float(step @ geometry.normal)
    slices = (geometry.positions - origin) @ geometry.normal
    held = planes if planes is not None else np.rint(slices / distance).astype(np.int64)
    positions = np.arange(held[-1] + 1) * distance
    lower = np.clip(np.searchsorted(slices, positions, side="right") - 1, 0, len(slices) - 2)
    weights = np.clip((positions - slices[lower]) / np.diff(slices)[lower], 0.0, 1.0)
    upper = lower + 1
    if planes is not None:
        lower[held] = upper[held] = np.arange(len(held))
        weights[held] = 0.0
    ijk_to_lps = geometry.slice_to_lps(0)
    ijk_to_lps[:3, 2], ijk_to_lps[:3, 3] = step, origin
    dy, dx = geometry.pixel_spacing
    sideways = shift_px * [dy, dx] @ np.array([geometry.column_direction, geometry.row_direction])
    offsets = np.linalg.norm(geometry.positions - sideways - (origin + held[:, None] * step), axis=1)
    return RegularGrid(
        ijk_to_lps=ijk_to_lps,
        shape=(len(positions), *matrix),
        plane_of_slice=held,
        lower=lower,
        upper=upper,
        weights=weights,
        shift_px=shift_px,
        max_offset_mm=float(offsets.max()),
        is_exact=planes is not None and not shift_px.any(),
        warnings=tuple(warnings),
    )


def _moved(plane: np.ndarray, shift_px: np.ndarray) -> np.ndarray:
    """A slice moved down and right by `shift_px` (rows, columns), its edge repeated; itself where there is no shift."""
    if not np.any(shift_px):
        return plane
    order = 0 if plane.dtype == bool or not np.any(shift_px % 1) else 1
    moved = ndimage.shift(plane.astype(np.float32), shift_px, order=order, mode="nearest")
    return (np.rint(moved) if plane.dtype.kind in "biu" else moved).astype(plane.dtype)


def _blend(low: np.ndarray, high: np.ndarray, weight: float, padding_values: tuple[float, ...]) -> np.ndarray:
    mixed = low + (high.astype(np.float32) - low) * np.float32(weight)
    if padding_values:
        padded = np.isin(low, padding_values) | np.isin(high, padding_values)
        mixed = np.where(padded, high if weight > 0.5 else low, mixed)
    return (np.rint(mixed) if low.dtype.kind in "iu" else mixed).astype(low.dtype)


def _name_filled_gaps(geometry: StackGeometry) -> list[str]:
    gaps = geometry.slice_gaps
    padded = np.concatenate([[0.0], gaps, [0.0]])
    neighbours = np.maximum(padded[:-2], padded[2:])
    missing = np.flatnonzero(gaps > MISSING_SLICE_RATIO * neighbours)
    return [
        f"Slices seem to be missing between slice {k + 1} and {k + 2} (a gap of {gaps[k]:.2f} mm beside "
        f"{neighbours[k]:.2f} mm); the regular grid fills it by interpolation."
        for k in missing
        if len(gaps) > 1
    ]
