"""A coarse grid for decisions, and the way back to full resolution.

Whole-volume morphology at full resolution costs more than reading the series. What is
patient and what is support is decided on block means of about 2 mm; the boundary is
then drawn at full resolution. Both ways are sums of shifted, strided arrays of whole
numbers: exact on every machine, and without the threads of a matrix library, which
stall when several volumes are processed side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume import StackGeometry

TARGET_MM, LARGEST_MM = 2.0, 3.0
LAYER_MM = 2.5
AIR_HU = -1000


@dataclass(frozen=True)
class CoarseGrid:
    """Blocks of `factor` x `factor` pixels in layers of `depth` slices.

    Parameters
    ----------
    slices, rows, columns : int
        Size of the volume.
    factor, depth : int
        Block edge in pixels, and in slices.
    pixel_mm : float
        Block edge in the plane, mm (the larger of the two directions).
    layer_mm : float
        Distance between layers, mm.
    """

    slices: int
    rows: int
    columns: int
    factor: int
    depth: int
    pixel_mm: float
    layer_mm: float

    @classmethod
    def of(cls, shape: tuple[int, int, int], geometry: StackGeometry) -> CoarseGrid:
        """Grid whose blocks are about 2 mm wide; up to 3 mm where three pixels fit, as in scans of the trunk.

        Thin slices are taken together up to 2.5 mm; unevenly spaced ones stay single.
        """
        pixel = max(geometry.pixel_spacing)
        return cls.of_blocks(shape, geometry, max(1, round(TARGET_MM / pixel), min(3, int(LARGEST_MM / pixel))))

    @classmethod
    def of_blocks(cls, shape: tuple[int, int, int], geometry: StackGeometry, factor: int) -> CoarseGrid:
        """Grid of blocks of `factor` pixels (fewer where a slice has fewer), slices taken together as by `of`."""
        pixel = max(geometry.pixel_spacing)
        factor = min(factor, shape[1], shape[2])
        slice_mm = max(geometry.slice_spacing, 0.1)
        depth = max(1, int(LAYER_MM / slice_mm)) if len(geometry) > 1 and geometry.is_regular else 1
        return cls(*shape, factor, depth, factor * pixel, depth * slice_mm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers and blocks; those at the far ends may be smaller."""
        return -(-self.slices // self.depth), -(-self.rows // self.factor), -(-self.columns // self.factor)

    @property
    def first_slices(self) -> np.ndarray:
        """First slice of each layer."""
        return np.arange(0, self.slices, self.depth)

    def layer_slices(self, layer: int) -> range:
        """The slices of a layer."""
        return range(layer * self.depth, min((layer + 1) * self.depth, self.slices))

    def steps(self, millimetres: float) -> int:
        """Number of blocks, at least one, nearest to a length in mm."""
        return max(1, round(millimetres / self.pixel_mm))

    def block_means(self, voxels: np.ndarray, floor: float = AIR_HU - 24) -> np.ndarray:
        """Mean HU of every block, rounded to int16, shape `self.shape`.

        Values below `floor` (padding, −3024) count as `floor`; means beyond int16 as its largest value.
        """
        out = np.empty(self.shape, np.int16)
        pixels = self._pixels_per_block()
        for layer, plane in enumerate(out):
            slices = self.layer_slices(layer)
            chunk = np.maximum(voxels[slices.start : slices.stop], np.asarray(floor, voxels.dtype))
            layer_sum = chunk.sum(axis=0, dtype=np.int32 if chunk.dtype.kind in "iu" else np.float32)
            sums = _phases(_phases(layer_sum, self.factor, 0, np.add), self.factor, 1, np.add)
            means = sums / (pixels * len(slices))
            np.rint(np.minimum(means, np.iinfo(np.int16).max), out=plane, casting="unsafe")
        return out

    def any_in_block(self, mask: np.ndarray) -> np.ndarray:
        """Which blocks of one full-resolution slice hold any of `mask`."""
        rows = _phases(mask, self.factor, 0, np.logical_or)
        return _phases(rows, self.factor, 1, np.logical_or)

    def refine(self, mask: np.ndarray, row_range: slice = slice(None)) -> np.ndarray:
        """One layer (bool) at full resolution in the plane: linear interpolation, cut at one half.

        Parameters
        ----------
        mask : array of bool, shape `self.shape[1:]`
        row_range : slice
            Full-resolution rows wanted.
        """
        if self.factor == 1:
            return mask[row_range].copy()
        tall = _interpolate(mask.astype(np.uint16), self.factor, 0, self.rows)[row_range]
        return _interpolate(tall, self.factor, 1, self.columns) > 2 * self.factor**2

    def interpolate(self, plane: np.ndarray) -> np.ndarray:
        """One layer of whole numbers (int32) at full resolution, linear, times ``4 * factor ** 2`` (or 1 for 1)."""
        if self.factor == 1:
            return plane.copy()
        return _interpolate(_interpolate(plane, self.factor, 0, self.rows), self.factor, 1, self.columns)

    def repeat(self, mask: np.ndarray) -> np.ndarray:
        """One layer at full resolution in the plane, every pixel as its block."""
        wide = np.repeat(mask, self.factor, axis=1)[:, : self.columns]
        return np.repeat(wide, self.factor, axis=0)[: self.rows]

    def _pixels_per_block(self) -> np.ndarray:
        rows = np.minimum(self.factor, self.rows - self.factor * np.arange(self.shape[1]))
        columns = np.minimum(self.factor, self.columns - self.factor * np.arange(self.shape[2]))
        return (rows[:, None] * columns).astype(np.float32)


def _phases(values: np.ndarray, factor: int, axis: int, combine: np.ufunc) -> np.ndarray:
    """Combine every `factor` neighbours along an axis; the last block may be smaller."""

    def phase(number: int) -> np.ndarray:
        index = [slice(None)] * values.ndim
        index[axis] = slice(number, None, factor)
        return values[tuple(index)]

    total = phase(0).copy()
    for number in range(1, factor):
        part = phase(number)
        index = [slice(None)] * values.ndim
        index[axis] = slice(0, part.shape[axis])
        target = total[tuple(index)]
        combine(target, part, out=target)
    return total


def _interpolate(values: np.ndarray, factor: int, axis: int, size: int) -> np.ndarray:
    """Linear interpolation of block centres along one axis of a plane, times ``2 * factor``."""
    values = np.moveaxis(values, axis, 0)
    blocks = len(values)
    before = np.concatenate([values[:1], values[:-1]])
    after = np.concatenate([values[1:], values[-1:]])
    out = np.empty((blocks * factor, values.shape[1]), values.dtype)
    for phase in range(factor):
        offset = 2 * phase + 1 - factor  # from the block's centre, in half pixels
        other = after if offset > 0 else before
        weight = abs(offset)
        out[phase::factor] = values * values.dtype.type(2 * factor - weight) + other * values.dtype.type(weight)
    return np.moveaxis(out[:size], 0, axis)
