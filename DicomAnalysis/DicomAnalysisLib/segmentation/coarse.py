"""A coarse grid for decisions, and the way back to full resolution.

Whole-volume morphology at full resolution costs more than reading the series. What is
patient and what is support is decided on block means of about 2 mm; the boundary is
then drawn at full resolution. Sums of whole numbers below 2**24 are exact in float32
whatever order a BLAS adds them in, so the result is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TARGET_MM = 2.0
AIR_HU = -1000


@dataclass(frozen=True)
class CoarseGrid:
    """Blocks of `factor` x `factor` pixels of every slice.

    Parameters
    ----------
    rows, columns : int
        Size of a full slice.
    factor : int
        Block edge in pixels.
    pixel_mm : float
        Block edge in mm (the larger of the two directions).
    """

    rows: int
    columns: int
    factor: int
    pixel_mm: float

    @classmethod
    def of(cls, shape: tuple[int, int, int], pixel_spacing: tuple[float, float]) -> CoarseGrid:
        """Grid whose blocks are about 2 mm wide."""
        factor = max(1, round(TARGET_MM / max(pixel_spacing)))
        factor = min(factor, shape[1], shape[2])
        return cls(shape[1], shape[2], factor, factor * max(pixel_spacing))

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks per slice; blocks at the far edges may be smaller."""
        return -(-self.rows // self.factor), -(-self.columns // self.factor)

    def steps(self, millimetres: float) -> int:
        """Number of blocks, at least one, nearest to a length in mm."""
        return max(1, round(millimetres / self.pixel_mm))

    def block_means(self, voxels: np.ndarray, floor: float = AIR_HU - 24) -> np.ndarray:
        """Mean HU of every block, rounded to int16, shape (k, *self.shape).

        Values below `floor` (padding, −3024) count as `floor`.
        """
        rows, columns = _membership(self.rows, self.factor), _membership(self.columns, self.factor)
        per_block = rows.sum(1)[:, None] * columns.sum(1)[None, :]
        out = np.empty((len(voxels), *self.shape), np.int16)
        plane = np.empty((self.rows, self.columns), np.float32)
        for k, source in enumerate(voxels):
            np.maximum(source, floor, out=plane, casting="unsafe")
            np.rint((rows @ plane) @ columns.T / per_block, out=out[k], casting="unsafe")
        return out

    def refine(self, mask: np.ndarray, row_range: slice = slice(None)) -> np.ndarray:
        """One coarse slice (bool) at full resolution: linear interpolation, cut at one half.

        Parameters
        ----------
        mask : array of bool, shape `self.shape`
        row_range : slice
            Full-resolution rows wanted.
        """
        if self.factor == 1:
            return mask[row_range].copy()
        rows = _interpolation(self.rows, self.factor)[row_range]
        columns = _interpolation(self.columns, self.factor)
        half = (2 * self.factor) ** 2 / 2
        return (rows @ mask.astype(np.float32)) @ columns.T > half


def _membership(size: int, factor: int) -> np.ndarray:
    """0/1 matrix (blocks, size): which pixels belong to which block."""
    return (np.arange(size) // factor == np.arange(-(-size // factor))[:, None]).astype(np.float32)


def _interpolation(size: int, factor: int) -> np.ndarray:
    """Matrix (size, blocks) of linear weights in units of 1 / (2 * factor): whole numbers."""
    blocks = -(-size // factor)
    position = 2 * np.arange(size) + 1 - factor  # block centres lie at multiples of 2 * factor
    low = position // (2 * factor)
    weight = position - low * 2 * factor
    matrix = np.zeros((size, blocks), np.float32)
    pixel = np.arange(size)
    np.add.at(matrix, (pixel, np.clip(low, 0, blocks - 1)), 2 * factor - weight)
    np.add.at(matrix, (pixel, np.clip(low + 1, 0, blocks - 1)), weight)
    return matrix
