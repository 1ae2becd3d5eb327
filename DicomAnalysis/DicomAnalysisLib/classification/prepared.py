"""An image on its way through a recipe, with the way back to the voxels as acquired."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..preprocessing.fixed_grid import slice_edges
from ..volume import Volume

AIR_HU = -1000.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a recipe made of a volume.

    Attributes
    ----------
    voxels : float32 array of shape (D, H, W)
        Background exactly 0.
    to_source : array of shape (4, 4)
        From index (d, h, w, 1) to index (k, j, i, 1) of the volume as acquired. The column of a projected
        axis is 0. Along k it is the best straight line where slices are unevenly spaced; `slice_depths` is exact.
    source_shape : tuple of int
        (slices, rows, columns) of the volume.
    source_slices : tuple of int
        For each plane d the slice k that it is, where slices were chosen; else empty.
    slice_depths : tuple of float
        For each slice k its place on the axis d, where that axis runs along the slices; else empty.
    """

    voxels: np.ndarray
    to_source: np.ndarray
    source_shape: tuple[int, int, int]
    source_slices: tuple[int, ...] = ()
    slice_depths: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Work:
    """The state between two steps of a recipe.

    Attributes
    ----------
    voxels : array of shape (n, rows, columns)
        A view of the volume's until a step computes new ones.
    distances : array of shape (n,)
        Places of the slices along their normal, mm, increasing.
    shifts_px : array of shape (n, 2)
        By how many pixels (rows, columns) each slice lies beside the line along the normal (gantry tilt).
    pixel_mm : tuple of float
    thickness_mm : float
        Of a single slice.
    directions : array of shape (3, 3)
        Columns: LPS directions along which the axes (k, j, i) grow.
    to_source : array of shape (4, 4)
    source_shape : tuple of int
    source_distances : array of shape (slices,)
        Of every slice of the volume, in its order, on the scale of `distances`.
    modality : str
    order : tuple of int
        Axes as a later resampling is to leave them (canonical orientation).
    mask, inside : bool arrays or None
        Foreground; where the grid lies in the stack.
    chosen : tuple of int
        Slices of the volume, where slices were chosen.
    depth_line : tuple of float or None
        (origin, step) of the d axis on the scale of `source_distances`, where it runs along the slices.
    """

    voxels: np.ndarray
    distances: np.ndarray
    shifts_px: np.ndarray
    pixel_mm: tuple[float, float]
    thickness_mm: float
    directions: np.ndarray
    to_source: np.ndarray
    source_shape: tuple[int, int, int]
    source_distances: np.ndarray
    modality: str = ""
    order: tuple[int, int, int] = (0, 1, 2)
    mask: np.ndarray | None = None
    inside: np.ndarray | None = None
    chosen: tuple[int, ...] = ()
    depth_line: tuple[float, float] | None = field(default=None)

    @classmethod
    def of(cls, volume: Volume) -> Work:
        """A volume before the first step."""
        geometry = volume.geometry
        offsets = geometry.positions - geometry.positions[0]
        shifts = np.stack([offsets @ geometry.column_direction, offsets @ geometry.row_direction], axis=1)
        shifts /= geometry.pixel_spacing
        if np.abs(shifts).max() < 0.05:  # a twentieth of a pixel: rounding of positions
            shifts = np.zeros_like(shifts)
        distances = geometry.distances
        directions = np.stack([geometry.normal, geometry.column_direction, geometry.row_direction], axis=1)
        return cls(
            voxels=volume.voxels,
            distances=distances,
            shifts_px=shifts,
            pixel_mm=geometry.pixel_spacing,
            thickness_mm=float(geometry.slice_thickness),
            directions=directions,
            to_source=np.eye(4),
            source_shape=volume.shape,
            source_distances=distances,
            modality=volume.identity.modality,
        )

    @property
    def edges(self) -> tuple[float, float]:
        """From where to where the slices reach along their normal, mm."""
        return slice_edges(self.distances, self.thickness_mm)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of the axes; the median gap of uneven slices."""
        gap = float(np.median(np.diff(self.distances))) if len(self.distances) > 1 else self.thickness_mm
        return max(gap, 1e-3), *self.pixel_mm

    @property
    def fill(self) -> float:
        """What lies outside the stack: air in CT, else the lowest value."""
        return AIR_HU if self.modality == "CT" else float(self.voxels.min())

    @property
    def shown(self) -> np.ndarray | None:
        """What may be other than 0: the mask, or the inside of the stack, or None for all."""
        return self.mask if self.mask is not None else self.inside

    def cropped(self, box: tuple[slice, ...]) -> Work:
        """The part in a box of (slices, rows, columns)."""
        box = tuple(slice(*part.indices(count)) for part, count in zip(box, self.voxels.shape, strict=True))
        moved = np.eye(4)
        moved[:3, 3] = [part.start for part in box]
        part_of = lambda array: None if array is None else array[box]  # noqa: E731
        return replace(
            self,
            voxels=self.voxels[box],
            distances=self.distances[box[0]],
            shifts_px=self.shifts_px[box[0]],
            to_source=self.to_source @ moved,
            chosen=self.chosen[box[0]],
            mask=part_of(self.mask),
            inside=part_of(self.inside),
        )

    def turned(self, axes: tuple[bool, bool, bool]) -> Work:
        """Axes turned round, as a view."""
        view = tuple(slice(None, None, -1) if turn else slice(None) for turn in axes)
        back = np.eye(4)
        for axis in np.flatnonzero(axes):
            back[axis, axis], back[axis, 3] = -1.0, self.voxels.shape[axis] - 1
        signs = np.where(axes, -1.0, 1.0)
        return replace(
            self,
            voxels=self.voxels[view],
            distances=signs[0] * self.distances[view[0]],
            source_distances=signs[0] * self.source_distances,
            shifts_px=(self.shifts_px * signs[1:])[view[0]],
            directions=self.directions * signs,
            to_source=self.to_source @ back,
            chosen=self.chosen[view[0]],
        )

    def result(self) -> Prepared:
        """What the steps have made."""
        depths: tuple[float, ...] = ()
        if self.depth_line is not None:
            depths = tuple(float(z) for z in (self.source_distances - self.depth_line[0]) / self.depth_line[1])
        voxels = np.ascontiguousarray(self.voxels, np.float32)
        return Prepared(voxels, self.to_source, self.source_shape, self.chosen, depths)
