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

from ..errors import GeometryError
from ..volume import POSITION_TOLERANCE_MM, StackGeometry, Volume

MIN_STEP_MM = 2.5 * POSITION_TOLERANCE_MM
"""Below twice the tolerance every position is near some plane, and the search means nothing."""

MAX_PLANES_PER_SLICE = 8
MAX_PLANES_OF_SHORT_STACKS = 512
MAX_GRID_VOXELS = 1 << 30
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
        Plane that holds each acquired slice, strictly increasing when `is_exact`.
    lower, upper : arrays of int, shape (planes,)
        Acquired slices below and above each plane; equal where the plane holds a slice.
    weights : array of float, shape (planes,)
        Share of `upper` in each plane.
    max_offset_mm : float
        Largest distance between an acquired slice and its plane.
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
    max_offset_mm: float = 0.0
    is_exact: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def is_identity(self) -> bool:
        """Whether the grid is the stack as acquired."""
        return len(self.lower) == len(self.plane_of_slice) and not self.weights.any()

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """The same affine in Slicer's frame (RAS)."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.ijk_to_lps

    @property
    def spacing_kji(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along each array axis, mm."""
        i, j, k = np.linalg.norm(self.ijk_to_lps[:3, :3], axis=0)
        return float(k), float(j), float(i)

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
            yield voxels[low] if weight == 0 else _blend(voxels[low], voxels[high], weight, padding_values)

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
        return mask if self.is_identity else mask[self.nearest_slice]

    @property
    def nearest_slice(self) -> np.ndarray:
        """Acquired slice nearest to each plane, shape (planes,)."""
        return np.where(self.weights > 0.5, self.upper, self.lower)

    def to_slices(self, array: np.ndarray) -> np.ndarray:
        """Back from the grid to the acquired slices, for example a network's labelmap."""
        return array if self.is_identity else array[self.plane_of_slice]

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
        If the slices shift sideways from one to the next, so that no grid holds them.
    """
    geometry, matrix = volume.geometry, volume.shape[1:]
    count = len(geometry)
    if geometry.is_regular:
        index = np.arange(count)
        return RegularGrid(geometry.ijk_to_lps, volume.shape, index, index, index, np.zeros(count))
    if max_planes is None:
        max_planes = max(MAX_PLANES_OF_SHORT_STACKS, MAX_PLANES_PER_SLICE * count)
    max_planes = max(2, min(max_planes, MAX_GRID_VOXELS // (matrix[0] * matrix[1])))
    axes = _stacking_axes(geometry)
    along = geometry.positions @ axes[0]
    warnings = _name_filled_gaps(geometry)
    found = _coarsest_exact_step(geometry.positions @ axes.T, max_planes)
    if found is not None:
        planes, origin, step = found
        return _assemble(geometry, matrix, origin @ axes, step @ axes, planes, warnings)
    span = along[-1] - along[0]
    steps = int(np.clip(np.ceil(span / np.diff(along).min()), 1, max_planes - 1))
    step = (geometry.positions[-1] - geometry.positions[0]) / steps
    warnings.append(
        f"The {count} slices are so unevenly spaced that no affordable regular grid holds them; "
        f"the grid of {steps + 1} planes {span / steps:.3f} mm apart is interpolated between them."
    )
    return _assemble(geometry, matrix, geometry.positions[0], step, None, warnings)


def _stacking_axes(geometry: StackGeometry) -> np.ndarray:
    """Rows: unit vector from the first to the last slice and two across it.

    Raises GeometryError where the slices stray from that line.
    """
    line = geometry.positions[-1] - geometry.positions[0]
    line = line / np.linalg.norm(line)
    across = np.cross(line, geometry.row_direction)
    across /= np.linalg.norm(across)
    axes = np.array([line, across, np.cross(line, across)])
    coordinates = geometry.positions @ axes.T
    astray = np.hypot(*(_minimax_line(coordinates[:, 0], coordinates[:, a])[2] for a in (1, 2)))
    if astray > POSITION_TOLERANCE_MM:
        msg = (
            f"The slices shift sideways by up to {astray:.2f} mm against the line through them, so no regular grid "
            "holds them; split the series where the field of view moves and treat its parts one by one."
        )
        raise GeometryError(msg)
    return axes


def _coarsest_exact_step(points: np.ndarray, max_planes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Planes (slice -> plane), origin and step of the coarsest grid within tolerance, or None.

    Parameters
    ----------
    points : array of shape (n, 3)
        Slice positions: along the stack and twice across it, mm.
    """
    along = points[:, 0] - points[0, 0]
    span = along[-1]
    coarsest = np.diff(along).min() + 2 * POSITION_TOLERANCE_MM
    finest = max(MIN_STEP_MM, span / (max_planes - 1))
    for planes in _candidate_planes(along, coarsest, finest):
        if np.diff(planes).min() < 1:
            continue
        fits = [_minimax_line(planes, points[:, axis]) for axis in range(3)]
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


def _minimax_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
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


def _assemble(
    geometry: StackGeometry,
    matrix: tuple[int, int],
    origin: np.ndarray,
    step: np.ndarray,
    planes: np.ndarray | None,
    warnings: list[str],
) -> RegularGrid:
    """The grid with, for each plane, the slices it lies between and how it shares them."""
    line = step / np.linalg.norm(step)
    slices = (geometry.positions - origin) @ line
    exact = planes is not None
    held = planes if exact else np.rint(slices / np.linalg.norm(step)).astype(np.int64)
    positions = np.arange(held[-1] + 1) * np.linalg.norm(step)
    lower = np.clip(np.searchsorted(slices, positions, side="right") - 1, 0, len(slices) - 2)
    weights = np.clip((positions - slices[lower]) / np.diff(slices)[lower], 0.0, 1.0)
    upper = lower + 1
    if exact:
        lower[held] = upper[held] = np.arange(len(held))
        weights[held] = 0.0
    ijk_to_lps = geometry.slice_to_lps(0)
    ijk_to_lps[:3, 2], ijk_to_lps[:3, 3] = step, origin
    offsets = np.linalg.norm(geometry.positions - (origin + held[:, None] * step), axis=1)
    shape = (len(positions), *matrix)
    return RegularGrid(ijk_to_lps, shape, held, lower, upper, weights, float(offsets.max()), exact, tuple(warnings))


def _blend(low: np.ndarray, high: np.ndarray, weight: float, padding_values: tuple[float, ...]) -> np.ndarray:
    mixed = low + (high.astype(np.float32) - low) * np.float32(weight)
    if padding_values:
        padded = np.isin(low, padding_values) | np.isin(high, padding_values)
        mixed = np.where(padded, high if weight > 0.5 else low, mixed)
    return (np.rint(mixed) if np.issubdtype(low.dtype, np.integer) else mixed).astype(low.dtype)


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
