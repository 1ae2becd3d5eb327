"""Metal in CT: a threshold read off the data, connected pieces around saturated seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from .histogram import integer_histogram, kmeans_1d

CANDIDATE_HU = 1500
"""Cortical bone and calcifications end near here; what lies above is enamel or metal."""
LOWEST_THRESHOLD_HU = 2000.0
SEED_HU = 3000.0
"""A piece of metal reaches this somewhere on a 12-bit scale (which ends at 3071 or 3095)."""
EXTENDED_SCALE_HU = 3100.0
EXTENDED_SEED_HU = 3600.0
"""On an extended scale enamel has been seen up to 3,450 HU, metal starts above."""
_MARGIN_BELOW_CLIP_HU = 100.0
_EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class MetalThreshold:
    """Where metal begins in one volume.

    Attributes
    ----------
    threshold_hu : float or None
        None when no voxel can be metal.
    seed_hu : float
        A piece must reach this somewhere.
    clip_hu : float or None
        The value at which the scanner's scale ends, if it does within the data.
    maximum_hu : float
    """

    threshold_hu: float | None
    seed_hu: float
    clip_hu: float | None
    maximum_hu: float


@dataclass(frozen=True)
class Candidates:
    """Voxels that could be metal: flat indices, ascending, and their HU."""

    index: np.ndarray
    hu: np.ndarray
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, voxels: np.ndarray, user_hu: float | None = None) -> Candidates:
        """Collect what lies above `CANDIDATE_HU`, or above a lower threshold of the user's own.

        One pass over the volume, slice by slice.
        """
        lowest = CANDIDATE_HU if user_hu is None else min(CANDIDATE_HU, user_hu)
        index, hu = [], []
        size = voxels[0].size
        for k, plane in enumerate(voxels):
            flat = plane.reshape(-1)
            found = np.flatnonzero(flat > lowest)
            if len(found):
                index.append(found + k * size)
                hu.append(flat[found])
        if not index:
            return cls(np.zeros(0, np.int64), np.zeros(0, voxels.dtype), voxels.shape)
        return cls(np.concatenate(index), np.concatenate(hu), voxels.shape)

    def slices_above(self, level: float) -> np.ndarray:
        """Which slices have a voxel at or above `level`, bool of shape (k,)."""
        found = np.zeros(self.shape[0], bool)
        found[np.unique(self.index[self.hu >= level] // (self.shape[1] * self.shape[2]))] = True
        return found


def metal_threshold(candidates: Candidates, user_hu: float | None = None) -> MetalThreshold:
    """Derive the threshold of metal from the voxels that could be metal.

    The two clusters of HU above 1,500 (exact k-means) are bone with enamel and metal; the
    threshold lies midway between their centres, at least 2,000 HU, and always below the
    value at which the scale is clipped. Without a voxel that reaches the seed level there
    is no metal, and no threshold is made up.

    Parameters
    ----------
    candidates : Candidates
    user_hu : float or None
        A threshold of the user's own, taken as it is unless it lies at or above the clip value.
    """
    if not len(candidates.hu):
        return MetalThreshold(None, SEED_HU, None, float(CANDIDATE_HU))
    maximum = float(candidates.hu.max())
    clip = _clip_value(candidates.hu, maximum)
    seed = SEED_HU if maximum <= EXTENDED_SCALE_HU else EXTENDED_SEED_HU
    if user_hu is not None:
        level = min(user_hu, clip - 1) if clip is not None else user_hu
        return MetalThreshold(float(level), float(level), clip, maximum)
    if maximum < seed:
        return MetalThreshold(None, seed, clip, maximum)
    width = max(8, int(maximum - CANDIDATE_HU) // 400)
    values, counts = integer_histogram(np.rint(candidates.hu), CANDIDATE_HU, int(maximum) + 1, width)
    centers, boundaries = kmeans_1d(values, counts, 2)
    level = float(boundaries[0]) if len(boundaries) else 0.5 * (CANDIDATE_HU + float(centers[0]))
    level = max(level, LOWEST_THRESHOLD_HU)
    if clip is not None:
        level = min(level, clip - _MARGIN_BELOW_CLIP_HU)
    return MetalThreshold(min(level, seed), seed, clip, maximum)


def _clip_value(hu: np.ndarray, maximum: float) -> float | None:
    """The maximum, if voxels pile up on it as they do where a scale ends."""
    at_maximum = int((hu >= maximum - 0.5).sum())
    just_below = int(((hu < maximum - 0.5) & (hu > maximum - 50)).sum())
    return maximum if at_maximum >= 3 and at_maximum > just_below / 5 else None


def metal_pieces(candidates: Candidates, threshold: MetalThreshold) -> list[np.ndarray]:
    """Connected pieces (26 neighbours) of metal as flat voxel indices, largest first.

    Parameters
    ----------
    candidates : Candidates
    threshold : MetalThreshold

    Returns
    -------
    list of int arrays
        Empty when there is no metal.
    """
    if threshold.threshold_hu is None:
        return []
    above = candidates.hu > threshold.threshold_hu
    index, hu = candidates.index[above], candidates.hu[above]
    if not len(index):
        return []
    k, j, i = np.unravel_index(index, candidates.shape)
    low = [int(axis.min()) for axis in (k, j, i)]
    box = np.zeros([int(axis.max()) - start + 1 for axis, start in zip((k, j, i), low, strict=True)], bool)
    place = (k - low[0], j - low[1], i - low[2])
    box[place] = True
    labels = ndi.label(box, structure=_EVERY_NEIGHBOUR)[0][place]
    seeded = np.unique(labels[hu >= threshold.seed_hu])
    pieces = _split(index, labels)
    return sorted((pieces[label] for label in seeded), key=lambda piece: (-len(piece), int(piece[0])))


def _split(index: np.ndarray, labels: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    return dict(zip(found.tolist(), np.split(index[order], starts[1:]), strict=True))


def location(piece: np.ndarray, deep: np.ndarray, skin: np.ndarray) -> str:
    """Where a piece lies: ``inside``, ``at the skin`` or ``outside``.

    Parameters
    ----------
    piece : int array
        Flat indices into the coarse grid, one per voxel.
    deep : array of bool
        Patient without its surface, on the coarse grid.
    skin : array of bool
        Patient and a rim around it.
    """
    if np.count_nonzero(deep.reshape(-1)[piece]) * 2 >= len(piece):
        return "inside"
    return "at the skin" if skin.reshape(-1)[piece].any() else "outside"
