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
CHANNELS = 4
BACKGROUND, PATIENT, SUPPORT = 0, 1, 2
CLASSES = ("background", "patient", "support")


def block_pixels(pixel_mm: float) -> int:
    """Pixels along the edge of a block."""
    return max(1, round(BLOCK_MM / pixel_mm))


def network_grid(shape: tuple[int, int, int], geometry: StackGeometry) -> CoarseGrid:
    """Blocks of about 1.5 mm, the layers those of `CoarseGrid.of`."""
    return CoarseGrid.of_blocks(shape, geometry, block_pixels(max(geometry.pixel_spacing)))


def network_input(before: np.ndarray, this: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What the network sees of one layer.

    Parameters
    ----------
    before, this, after : arrays of shape (J, I)
        Block means in HU of the layer and its neighbours (the layer itself at the ends).

    Returns
    -------
    array of float32, shape (4, J, I)
        Three layers from −1000…1000 HU and the middle one from −250…250 HU, each mapped to −1…1.
    """
    out = np.empty((CHANNELS, *this.shape), np.float32)
    for channel, (plane, (low, high)) in enumerate(
        ((before, WIDE_HU), (this, WIDE_HU), (after, WIDE_HU), (this, NARROW_HU))
    ):
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        np.clip((plane.astype(np.float32) - middle) / half, -1, 1, out=out[channel])
    return out


def layer_inputs(means: np.ndarray, layers: np.ndarray) -> list[np.ndarray]:
    """`network_input` of some layers of a stack of block means, shape (k, J, I)."""
    last = len(means) - 1
    return [network_input(means[max(k - 1, 0)], means[k], means[min(k + 1, last)]) for k in layers]
