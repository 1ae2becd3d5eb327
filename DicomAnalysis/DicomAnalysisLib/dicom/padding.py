"""Which values of a CT stand for "outside the field of view" rather than for anything measured.

Scanners fill what lies outside the reconstruction circle with one value: -2000, -2048 or -3024
after rescale, which no matter has, or -1024, which air may have, too. Three signs are
accepted:

1. **Pixel Padding Value** and its range limit (PS3.3 C.7.5.1.1.2), where rescaled they are no more than
   -900 HU, or fill the corners: some writers state 0, which in Hounsfield units is water.
2. **A lowest value of -1500 or less** that fills a corner or at least 1 % of a slice.
3. **A lowest value that fills all four corners** outside a circular field of view and hardly occurs inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .stacks import Slice

NO_MATTER_HU = -1500
PLAUSIBLE_PADDING_HU = -900
MAX_PADDING_VALUES = 16


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
    return tuple(sorted(found))


def _stated_range(instance: object, frame_number: int) -> tuple[float, float] | None:
    if instance.padding is None:
        return None
    frame = instance.frames[frame_number - 1]
    ends = sorted(value * frame.slope + frame.intercept for value in instance.padding)
    return ends[0], ends[1]


def _corner_values(voxels: np.ndarray) -> np.ndarray:
    """The four corner voxels of each slice, shape (k, 4)."""
    return voxels[:, [0, 0, -1, -1], [0, -1, 0, -1]]


def _present(voxels: np.ndarray, low: float, high: float) -> Iterable[float]:
    """Values inside a stated padding range that occur, if the range is believable."""
    corners = _corner_values(voxels)
    at_corners = np.unique(corners[(corners >= low) & (corners <= high)])
    if low == high:
        low_enough = low <= PLAUSIBLE_PADDING_HU
        if low_enough or len(at_corners):
            return [float(low)] if len(at_corners) or any((slice_ == low).any() for slice_ in voxels) else []
        return []
    if high > PLAUSIBLE_PADDING_HU and not len(at_corners):
        return []
    values: set[float] = set()
    for slice_ in voxels:
        values.update(np.unique(slice_[(slice_ >= low) & (slice_ <= high)]).tolist())
        if len(values) > MAX_PADDING_VALUES:
            return at_corners.tolist()
    return values


def _by_value(voxels: np.ndarray, known: set[float]) -> set[float]:
    found: set[float] = set()
    corners = _corner_values(voxels)
    for slice_, corner in zip(voxels, corners, strict=True):
        low = float(slice_.min())
        if low > NO_MATTER_HU or low in found or low in known:
            continue
        if (corner == low).any() or np.count_nonzero(slice_ == low) >= 0.01 * slice_.size:
            found.add(low)
    return found


def _by_corners(voxels: np.ndarray) -> set[float]:
    """A value that fills what lies outside the inscribed circle and is rare inside it."""
    _, rows, columns = voxels.shape
    middle = voxels[len(voxels) // 2]
    low = middle.min()
    y, x = np.ogrid[:rows, :columns]
    radius = np.hypot((y - (rows - 1) / 2) / (rows / 2), (x - (columns - 1) / 2) / (columns / 2))
    outside, inside = radius > 1.01, radius < 0.97
    if not outside.any() or low > PLAUSIBLE_PADDING_HU or not np.all(_corner_values(voxels) == low):
        return set()
    filled = np.mean(middle[outside] == low)
    air = middle[inside]
    air = air[air < PLAUSIBLE_PADDING_HU]
    if filled > 0.98 and (not air.size or np.mean(air == low) < 0.5):
        return {float(low)}
    return set()
