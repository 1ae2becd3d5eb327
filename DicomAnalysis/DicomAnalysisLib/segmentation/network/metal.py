"""The network's metal: it decides voxel by voxel, but only in windows around what may be metal.

A window is opened where the classical method sees a piece: connected voxels above its
threshold that somewhere reach the seed level. A series without such a piece opens no window
and costs nothing; a piece of the network's that holds no seed is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage as ndi

from ..metal import EXTENDED_SCALE_HU, Candidates, MetalThreshold, metal_pieces

CHANNELS = 3
CLASSES = ("background", "metal")
MARGIN = 20
"""Pixels around the pieces of a slice that the network sees."""
STEP = 32
"""Windows are multiples of this, so that many share one size and run in one batch."""
REACH = 3
"""Metal is looked for no farther than this many pixels from a piece of the classical method."""
_END_OF_SCALE = 3071.0
_MIRRORED = ((), (1,), (2,), (1, 2))
"""Axes of an image (channels, H, W) along which it is mirrored."""
_EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)


class Predicts(Protocol):
    """What runs the network: class probabilities (classes, H, W) for images (channels, H, W)."""

    def run(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """One after the other, in the order given."""


@dataclass(frozen=True)
class Window:
    """A part of one slice."""

    k: int
    rows: slice
    columns: slice


def network_input(hu: np.ndarray, pixel_mm: float) -> np.ndarray:
    """The three channels that the network sees.

    Parameters
    ----------
    hu : array, shape (j, i)
    pixel_mm : float
        Size of a pixel: how far metal blooms is a matter of millimetres.

    Returns
    -------
    array of float32, shape (3, j, i)
        HU in thousands up to where a 12-bit scale ends, octaves above it in thirds, and the pixel's size in mm.
    """
    hu = hu.astype(np.float32)
    within = np.clip(hu, -1024, _END_OF_SCALE) / 1000
    above = np.log2(np.maximum(hu, _END_OF_SCALE) / _END_OF_SCALE) / 3
    return np.stack([within, above, np.full_like(within, pixel_mm)])


def windows_around(pieces: list[np.ndarray], shape: tuple[int, int, int]) -> list[Window]:
    """Windows that hold every piece with a margin, each voxel of a piece in exactly one.

    Parameters
    ----------
    pieces : list of int arrays
        Flat voxel indices.
    shape : tuple of int

    Returns
    -------
    list of Window
        By slice, then row, then column.
    """
    if not pieces:
        return []
    marks = np.unique(np.concatenate(pieces))
    slices = marks // (shape[1] * shape[2])
    found = []
    for k in np.unique(slices):
        plane = np.zeros(shape[1:], bool)
        plane.reshape(-1)[marks[slices == k] - k * plane.size] = True
        near = ndi.maximum_filter(plane, 2 * MARGIN + 1)
        for rows, columns in ndi.find_objects(ndi.label(near)[0]):
            found.append(Window(int(k), _widened(rows, shape[1]), _widened(columns, shape[2])))
    return found


def _widened(part: slice, size: int) -> slice:
    """Up to the next multiple of `STEP`, moved into the slice where it would stick out."""
    length = -(-(part.stop - part.start) // STEP) * STEP
    start = part.start - (length - (part.stop - part.start)) // 2
    start = max(0, min(start, size - length))
    return slice(start, min(start + length, size))


def refine_metal(
    voxels: np.ndarray,
    candidates: Candidates,
    threshold: MetalThreshold,
    spacing: tuple[float, float, float],
    predictor: Predicts,
) -> list[np.ndarray]:
    """Connected pieces of metal as the network draws them: takes the place of `metal_pieces`.

    Parameters
    ----------
    voxels : array, shape (k, j, i)
        HU.
    candidates : Candidates
    threshold : MetalThreshold
        From `metal_threshold`.
    spacing : tuple of float
        Slice, row and column spacing, mm. The network was trained on pixels of 0.5 to 1 mm and takes them as they are.
    predictor : Predicts
        Runs the metal network on `network_input`.

    Returns
    -------
    list of int arrays
        Flat voxel indices, largest piece first; empty when there is no metal.
    """
    classical = metal_pieces(candidates, threshold)
    drawn = [piece for piece in classical if _is_drawn(voxels.reshape(-1)[piece])]
    blurred = [piece for piece in classical if not _is_drawn(voxels.reshape(-1)[piece])]
    if not blurred:
        return drawn
    where = windows_around(blurred, voxels.shape)
    near = _near(blurred, voxels.shape)
    mask: list[np.ndarray] = drawn.copy()
    size = voxels.shape[1] * voxels.shape[2]
    pixel_mm = float(np.sqrt(spacing[1] * spacing[2]))
    images = (network_input(voxels[w.k, w.rows, w.columns], pixel_mm) for w in where)
    for window, score in zip(where, _scores(images, predictor), strict=True):
        rows, columns = np.nonzero(score > 0.5)
        mask.append(window.k * size + (rows + window.rows.start) * voxels.shape[2] + columns + window.columns.start)
    index = np.unique(np.concatenate(mask))
    allowed = np.unique(np.concatenate([near, *drawn]))
    index = index[np.isin(index, allowed, assume_unique=True)]
    return _seeded_pieces(index, voxels, threshold.seed_hu)


def _scores(images: Iterable[np.ndarray], predictor: Predicts) -> Iterator[np.ndarray]:
    """Probability of metal: the mean over each image and its three mirror images.

    Physics knows no left or right, a network of finite training does.
    """
    found = predictor.run(np.flip(image, axes).copy() for image in images for axes in _MIRRORED)
    while True:
        four = [np.flip(scores[1], [axis - 1 for axis in axes]) for axes, scores in zip(_MIRRORED, found, strict=False)]
        if not four:
            return
        yield np.mean(four, axis=0)


def _is_drawn(hu: np.ndarray) -> bool:
    """Whether a piece was put into the image rather than measured: one value, beyond a 12-bit scale.

    Artefact correction does so. Such a piece has no blurred border for a network to judge.
    """
    return bool(hu.min() == hu.max() > EXTENDED_SCALE_HU)


def _near(pieces: list[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """Flat indices, ascending, of voxels within `REACH` pixels of a piece in its slice."""
    marks = np.unique(np.concatenate(pieces))
    slices = marks // (shape[1] * shape[2])
    found = []
    for k in np.unique(slices):
        plane = np.zeros(shape[1:], bool)
        plane.reshape(-1)[marks[slices == k] - k * plane.size] = True
        found.append(np.flatnonzero(ndi.maximum_filter(plane, 2 * REACH + 1)) + k * plane.size)
    return np.concatenate(found)


def _seeded_pieces(index: np.ndarray, voxels: np.ndarray, seed_hu: float) -> list[np.ndarray]:
    """Connected pieces among flat indices that reach the seed level, largest first."""
    if not len(index):
        return []
    place = np.stack(np.unravel_index(index, voxels.shape))
    low = place.min(1, keepdims=True)
    box = np.zeros((place - low).max(1) + 1, bool)
    box[tuple(place - low)] = True
    labels = ndi.label(box, structure=_EVERY_NEIGHBOUR)[0][tuple(place - low)]
    seeded = np.unique(labels[voxels.reshape(-1)[index] >= seed_hu])
    return sorted((index[labels == label] for label in seeded), key=lambda piece: (-len(piece), int(piece[0])))
