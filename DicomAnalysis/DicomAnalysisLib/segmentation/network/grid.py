"""The grid on which the headrest network looks at a volume, and what it sees there.

Blocks of about 1.5 mm in the layers of the classical method: fine enough for a border that
interpolation brings to half a voxel, coarse enough that a slice is small. A slice is seen
together with its two neighbours; its own soft-tissue window is a channel of its own, since
skin, fat and plastic differ by tens of HU only.
"""

from __future__ import annotations

import numpy as np

from ...volume import StackGeometry
from ..coarse import CoarseGrid

BLOCK_MM = 1.5
WIDE_HU, NARROW_HU = (-1000.0, 1000.0), (-250.0, 250.0)
CHANNELS = 5
BACKGROUND, PATIENT, SUPPORT = 0, 1, 2
CLASSES = ("background", "patient", "support")
_GUESS = np.array([0, 1, -1], np.float32)


def block_pixels(pixel_mm: float) -> int:
    """Pixels along the edge of a block."""
    return max(1, round(BLOCK_MM / pixel_mm))


def network_grid(shape: tuple[int, int, int], geometry: StackGeometry) -> CoarseGrid:
    """Blocks of about 1.5 mm, the layers those of `CoarseGrid.of`."""
    return CoarseGrid.of_blocks(shape, geometry, block_pixels(max(geometry.pixel_spacing)))


def network_input(before: np.ndarray, this: np.ndarray, after: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """What the network sees of one layer.

    Parameters
    ----------
    before, this, after : arrays of shape (J, I)
        Block means in HU of the layer and its neighbours (the layer itself at the ends).
    guess : array of uint8, shape (J, I)
        The classical method's classes of the layer.

    Returns
    -------
    array of float32, shape (5, J, I)
        Three layers from −1000…1000 HU and the middle one from −250…250 HU, each mapped to −1…1; the
        guess as 1 for patient, −1 for support and 0 elsewhere.
    """
    out = np.empty((CHANNELS, *this.shape), np.float32)
    for channel, (plane, (low, high)) in enumerate(
        ((before, WIDE_HU), (this, WIDE_HU), (after, WIDE_HU), (this, NARROW_HU))
    ):
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        np.clip((plane.astype(np.float32) - middle) / half, -1, 1, out=out[channel])
    out[-1] = _GUESS[guess]
    return out


def guessed(image: np.ndarray) -> np.ndarray:
    """The classical method's classes, uint8, in a `network_input`."""
    return np.where(image[-1] > 0, PATIENT, np.where(image[-1] < 0, SUPPORT, BACKGROUND)).astype(np.uint8)


def layer_inputs(means: np.ndarray, guess: np.ndarray, layers: np.ndarray) -> list[np.ndarray]:
    """`network_input` of some layers of a stack of block means and of the classical method's classes, (k, J, I)."""
    last = len(means) - 1
    return [network_input(means[max(k - 1, 0)], means[k], means[min(k + 1, last)], guess[k]) for k in layers]


def on_grid(coarse: np.ndarray, source: CoarseGrid, target: CoarseGrid) -> np.ndarray:
    """An array on one grid of blocks, (k, J, I), on another of the same volume and layers: the block each lies in."""
    rows, columns = (
        np.minimum((np.arange(count) * target.factor + target.factor // 2) // source.factor, limit - 1)
        for count, limit in zip(target.shape[1:], source.shape[1:], strict=True)
    )
    return coarse[:, rows][:, :, columns]


def guess_of(patient: np.ndarray, dense_support: np.ndarray, means: np.ndarray, support_hu: float) -> np.ndarray:
    """The classical method's classes: patient, and as support all that is neither patient nor air.

    Parameters
    ----------
    patient, dense_support : array of bool
    means : array of int16
        Block means in HU.
    support_hu : float
        What is lighter is air.

    Returns
    -------
    array of uint8
    """
    guess = np.zeros(patient.shape, np.uint8)
    guess[dense_support | (means > support_hu)] = SUPPORT
    guess[patient] = PATIENT
    return guess
