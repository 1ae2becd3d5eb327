"""Which values of a CT stand for "outside the field of view" rather than for anything measured.

Scanners fill what lies outside the reconstruction circle with one value: -2000, -2048 or -3024
after rescale, which no matter has, or -1024, which air may have, too. Three signs are
accepted:

1. **Pixel Padding Value** and its range limit (PS3.3 C.7.5.1.1.2), where rescaled they are no more than
   -900 HU, or fill the corners: some writers state 0, which in Hounsfield units is water.
2. **A lowest value of -1500 or less** that stands in a corner of a slice.
3. **A value of -900 or less that fills a corner block** outside the circular field of view, while at most a
   tenth of the air inside it has that value: air that was itself clipped at -1000 or -1024 stays air.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .stacks import Slice

NO_MATTER_HU = -1500
PLAUSIBLE_PADDING_HU = -900
MAX_PADDING_VALUES = 16
MAX_SHARE_OF_AIR = 0.1


def find_padding(voxels: np.ndarray, slices: Sequence[Slice]) -> tuple[float, ...]:
    """Values of `voxels` that are padding, lowest first.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
        Rescaled values.
    slices : sequence of (Instance, int)
        The slices they were read from.
    """
    found: set[float] = set()
    stated = {_stated_range(*entry) for entry in slices} - {None}
    for low, high in stated:
        found.update(_present(voxels, low, high))
    found.update(_by_value(voxels, found))
    if not found:
        found.update(_by_corners(voxels))
    return tuple(sorted(map(float, found)))


def _stated_range(instance: object, frame_number: int) -> tuple[float, float] | None:
    if instance.facts.padding is None:
        return None
    frame = instance.frames[frame_number - 1]
    ends = sorted(value * frame.slope + frame.intercept for value in instance.facts.padding)
    return ends[0], ends[1]


def _corner_values(voxels: np.ndarray) -> np.ndarray:
    """The four corner voxels of each slice, shape (k, 4)."""
    return voxels[:, [0, 0, -1, -1], [0, -1, 0, -1]]


def _present(voxels: np.ndarray, low: float, high: float) -> Iterable[float]:
    """Values inside a stated padding range that occur, if the range is believable."""
    corners = _corner_values(voxels)
    at_corners = set(corners[(corners >= low) & (corners <= high)].tolist())
    if not at_corners and high > PLAUSIBLE_PADDING_HU:
        return []
    if low == high:
        return [low] if at_corners or any((slice_ == low).any() for slice_ in voxels) else []
    values: set[float] = set()
    for slice_ in voxels:
        values.update(np.unique(slice_[(slice_ >= low) & (slice_ <= high)]).tolist())
        if len(values) > MAX_PADDING_VALUES:  # a range of noise: what fills the corners is enough
            return at_corners
    return values


def _by_value(voxels: np.ndarray, known: set[float]) -> set[float]:
    """Corner values that no matter has and that are the lowest of their slice."""
    corners = _corner_values(voxels)
    candidates = set(corners[corners <= NO_MATTER_HU].tolist()) - known
    return {value for value in candidates if voxels[np.flatnonzero((corners == value).any(axis=1))[0]].min() == value}


def _by_corners(voxels: np.ndarray) -> set[float]:
    """Values that fill a corner block of the middle slice and are rare in the air of the field of view."""
    count, rows, columns = voxels.shape
    block = max(4, min(rows, columns) // 64)
    if min(rows, columns) < 4 * block:
        return set()
    slice_ = voxels[count // 2]
    first, last = slice(0, block), slice(-block, None)
    corners = [slice_[rows_, columns_] for rows_ in (first, last) for columns_ in (first, last)]
    candidates = {float(corner[0, 0]) for corner in corners if corner.min() == corner.max() <= PLAUSIBLE_PADDING_HU}
    if not candidates:
        return set()
    y, x = np.ogrid[:rows, :columns]
    inside = ((2 * y + 1) / rows - 1) ** 2 + ((2 * x + 1) / columns - 1) ** 2 < 0.94
    air = slice_[inside]
    air = air[air < PLAUSIBLE_PADDING_HU]
    return {value for value in candidates if air.size and np.mean(air == value) <= MAX_SHARE_OF_AIR}
