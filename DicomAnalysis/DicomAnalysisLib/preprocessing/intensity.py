"""Values for networks: windows, truncation, equalisation, and what of an image is foreground.

Every function takes and returns arrays; what lies outside the mask is exactly 0 afterwards.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from ..errors import UsageError

BODY_HU = -400.0
"""Between fat and lung: the skin's surface is on this side of it in every scanner's air."""
OPENED_MM = 5.0
"""What is thinner is no body: sheets, shells, straps."""
TABLE_MM = 12.0
"""What sticks out of the filled body and is thinner, or no thicker than two pixels, is the table he lies on."""


def hu_window(voxels: np.ndarray, low: float, high: float, mask: np.ndarray | None = None) -> np.ndarray:
    """Values from `low` to `high` as 0 to 1, float32; beyond is cut off.

    Raises
    ------
    UsageError
        If the window is empty.
    """
    if not low < high:
        msg = f"A window from {low:g} to {high:g} is empty."
        raise UsageError(msg)
    out = np.clip((np.asarray(voxels, np.float32) - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return _zeroed(out, mask)


def percentile_truncation(
    voxels: np.ndarray, mask: np.ndarray | None = None, low: float = 5.0, high: float = 99.0
) -> np.ndarray:
    """Values between two percentiles of those in the mask as 0 to 1, float32; beyond is cut off.

    Parameters
    ----------
    voxels : array
    mask : bool array of the same shape, optional
        Default: all.
    low, high : float
        Percentiles, 0 to 100.

    Returns
    -------
    float32 array
        All 0 where the mask is empty or its values are all the same.
    """
    if not 0 <= low < high <= 100:
        msg = f"Percentiles from {low:g} to {high:g} make no range; write 5 and 99."
        raise UsageError(msg)
    values = np.asarray(voxels, np.float32)
    inside = values[mask] if mask is not None else values.reshape(-1)
    if not inside.size:
        return np.zeros_like(values)
    bottom, top = np.percentile(inside, (low, high))
    if not bottom < top:
        return np.zeros_like(values)
    return hu_window(values, float(bottom), float(top), mask)


def equalise(voxels: np.ndarray, mask: np.ndarray | None = None, bins: int = 256) -> np.ndarray:
    """Histogram equalisation over the mask: ranks of values, 0 to 1 (scikit-image).

    Raises
    ------
    UsageError
        If scikit-image is not installed.
    """
    exposure = _exposure("histogram equalisation")
    values = np.asarray(voxels, np.float32)
    if mask is not None and not mask.any():
        return np.zeros_like(values)
    if values.min() == values.max():
        return np.zeros_like(values)
    return _zeroed(exposure.equalize_hist(values, nbins=bins, mask=mask).astype(np.float32), mask)


def clahe(voxels: np.ndarray, mask: np.ndarray | None = None, clip_limit: float = 0.01, tiles: int = 8) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of every slice (scikit-image).

    Parameters
    ----------
    voxels : array of shape (slices, rows, columns)
        From 0 to 1; other ranges are brought there first.
    mask : bool array, optional
    clip_limit : float
        0 to 1; higher is more contrast.
    tiles : int
        Along each axis of a slice.

    Raises
    ------
    UsageError
        If scikit-image is not installed.
    """
    exposure = _exposure("CLAHE")
    values = np.asarray(voxels, np.float32)
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros_like(values)
    if low < 0 or high > 1:
        values = (values - low) / (high - low)
    size = tuple(max(1, n // tiles) for n in values.shape[1:])
    out = np.zeros_like(values)
    for k, plane in enumerate(values):
        if plane.min() < plane.max():
            out[k] = exposure.equalize_adapthist(plane, kernel_size=size, clip_limit=clip_limit)
    return _zeroed(out, mask)


def body_mask(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """The patient in CT: the largest piece of more than air, its cavities filled slice by slice.

    Parameters
    ----------
    hu : array of shape (slices, rows, columns)
        Hounsfield units; meant for a coarse grid (voxels of some millimetres).
    spacing_mm : tuple of float
        Of the array's axes.

    Returns
    -------
    bool array
        Empty where there is nothing but air.

    Notes
    -----
    A table that the patient lies on is one piece with him, and in pixels of some millimetres it is as thin as the
    wall of the chest: it is cut off after the cavities are filled, when no wall can break any more.
    """
    mask = _largest_filled(np.asarray(hu) > BODY_HU, spacing_mm)
    rest = _opened(mask, [0, *(int(np.ceil(TABLE_MM / 2 / step)) for step in spacing_mm[1:])])
    # In a picture of so few pixels that nothing is left, everything is thin.
    return _largest(rest) if rest.any() else mask


def foreground_mask(voxels: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """What is not background in images that have no scale (MR, X-ray): the largest bright piece, filled.

    The threshold lies half-way between the darkest value and Otsu's (IEEE Trans SMC 9:62, 1979), so that
    dark tissue is kept.
    """
    values = np.asarray(voxels, np.float32)
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    if not low < high:
        return np.ones(values.shape, bool)
    threshold = low + 0.5 * (otsu(np.clip(values, low, high)) - low)
    mask = _largest_filled(values > threshold, spacing_mm)
    return mask if mask.any() else values > threshold


def otsu(values: np.ndarray, bins: int = 256) -> float:
    """The threshold that parts a histogram into two classes of least variance."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    mean_above = (np.cumsum((counts * centres)[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2.0
    return float(edges[1:-1][np.argmax(between)])


def _largest_filled(bright: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    # In the planes only: tables and sheets are thin there, and a stack of few slices is thin across them.
    return filled(_largest(_opened(bright, [0, *_radii(spacing_mm)])))


def _radii(spacing_mm: tuple[float, float, float]) -> list[int]:
    """Of an opening by `OPENED_MM`, in rows and columns; 0 where pixels are larger than that."""
    return [int(OPENED_MM / 2 / step) for step in spacing_mm[1:]]


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest piece; empty where there is none."""
    labels, count = ndi.label(mask)
    if not count:
        return np.zeros(mask.shape, bool)
    sizes = np.bincount(labels.reshape(-1))
    sizes[0] = 0
    return labels == int(sizes.argmax())


def _opened(mask: np.ndarray, radii: list[int]) -> np.ndarray:
    """Opening by a box, axis by axis: the cost does not grow with the box."""
    out = mask.view(np.uint8)
    for smallest_or_largest in (ndi.minimum_filter1d, ndi.maximum_filter1d):
        for axis, radius in enumerate(radii):
            if radius:
                out = smallest_or_largest(out, 2 * radius + 1, axis=axis, mode="constant", cval=0)
    return out.view(bool)


def filled(mask: np.ndarray) -> np.ndarray:
    """A mask with the holes of every slice filled: what no way in the slice leads to from its edge."""
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndi.generate_binary_structure(2, 1)
    labels, count = ndi.label(~mask, in_plane)
    outside = np.zeros(count + 1, bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        outside[np.unique(edge)] = True
    outside[0] = False
    return ~outside[labels]


def _zeroed(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    if mask is not None:
        values[~mask] = 0.0
    return values


def _exposure(what: str) -> object:
    try:
        from skimage import exposure
    except ImportError as error:
        msg = f"{what} needs scikit-image, which is not installed; install it, or choose a recipe without."
        raise UsageError(msg) from error
    return exposure
