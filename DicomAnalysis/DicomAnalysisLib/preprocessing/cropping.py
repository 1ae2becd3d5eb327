"""Borders, collimation and burnt-in text: what of a picture was never the patient."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

Box = tuple[slice, slice]

MAX_TEXT_HEIGHT = 0.08
"""Of the picture's rows: a taller sign is no burnt-in text."""
FEWEST_SIGNS = 2
"""Bright specks stand alone; letters stand beside each other."""
MARGIN = 0.25
"""Text is looked for in this outer part of the rows and columns."""


def border_box(picture: np.ndarray, tolerance: float = 0.01) -> Box:
    """The picture without rows and columns at its edges that hold one value: frames, collimation, padding.

    Parameters
    ----------
    picture : array of shape (rows, columns), or (frames, rows, columns)
        In several frames a row must hold one value in all of them.
    tolerance : float
        Share of the picture's range that counts as one value.

    Returns
    -------
    tuple of slice
        Rows and columns; the whole picture where nothing would be left.
    """
    frames = np.asarray(picture)
    frames = frames[None] if frames.ndim == 2 else frames
    lowest, highest = frames.min(axis=0).astype(np.float64), frames.max(axis=0).astype(np.float64)
    slack = tolerance * (highest.max() - lowest.min())
    rows = highest.max(axis=1) - lowest.min(axis=1) > slack
    columns = highest.max(axis=0) - lowest.min(axis=0) > slack
    if not rows.any() or not columns.any():
        return slice(0, frames.shape[1]), slice(0, frames.shape[2])
    # The border of a border: what is left may be framed again by one value (a line around the field).
    return _span(rows), _span(columns)


def bounding_box(mask: np.ndarray, margin: tuple[int, ...] = (0, 0, 0)) -> tuple[slice, ...]:
    """The smallest box that holds a mask, grown by a margin in voxels; the whole array where it is empty."""
    boxes = []
    for axis, grow in zip(range(mask.ndim), margin, strict=False):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = mask.any(axis=others)
        if not filled.any():
            return tuple(slice(0, count) for count in mask.shape)
        span = _span(filled)
        boxes.append(slice(max(0, span.start - grow), min(mask.shape[axis], span.stop + grow)))
    return tuple(boxes)


def find_text(picture: np.ndarray, level: float = 0.9) -> np.ndarray:
    """Burnt-in text: small, flat, saturated signs beside each other, near an edge of the picture.

    Letters over the middle of the picture are not told from bone or calcification and stay.

    Parameters
    ----------
    picture : array of shape (rows, columns), or (frames, rows, columns)
        Text stands in every frame, so the darkest frame is looked at.
    level : float
        Share of the range from which a pixel counts as saturated.

    Returns
    -------
    bool array of shape (rows, columns)
    """
    frames = np.asarray(picture, np.float32)
    flat = frames if frames.ndim == 2 else frames.min(axis=0)
    low, high = float(flat.min()), float(flat.max())
    if not low < high:
        return np.zeros(flat.shape, bool)
    labels, count = ndi.label(flat >= low + level * (high - low), np.ones((3, 3), bool))
    tallest = max(4, int(MAX_TEXT_HEIGHT * flat.shape[0]))
    signs = np.zeros(count + 1, bool)
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        height, width = box[0].stop - box[0].start, box[1].stop - box[1].start
        if max(height, width) >= 3 and height <= tallest and width <= 3 * tallest and _is_near_edge(box, flat.shape):
            signs[label] = _stands_out(flat, labels, label, box, low + 0.5 * (high - low))
    found = signs[labels]
    lines, line_count = ndi.label(ndi.binary_dilation(found, np.ones((1, 2 * tallest + 1), bool)), np.ones((3, 3)))
    if not line_count:
        return found
    beside = np.zeros(line_count + 1, int)
    for label in np.flatnonzero(signs):
        where = np.argwhere(labels == label)[0]
        beside[lines[tuple(where)]] += 1
    return found & (beside[lines] >= FEWEST_SIGNS)


def without_text(voxels: np.ndarray, level: float = 0.9) -> np.ndarray:
    """A copy of every frame with burnt-in text replaced by the darkest value beside it."""
    text = find_text(voxels, level)
    if not text.any():
        return voxels
    out = np.array(voxels)
    frames = out[None] if out.ndim == 2 else out
    grown = ndi.binary_dilation(text, np.ones((3, 3), bool), iterations=2)
    labels, _ = ndi.label(ndi.binary_dilation(grown, np.ones((1, 5), bool)))
    for label, box in enumerate(ndi.find_objects(labels), start=1):
        rows = slice(max(0, box[0].start - 2), box[0].stop + 2)
        columns = slice(max(0, box[1].start - 2), box[1].stop + 2)
        covered = grown[rows, columns] & (labels[rows, columns] == label)
        for frame in frames:
            part = frame[rows, columns]
            beside = part[~grown[rows, columns]]
            part[covered] = np.median(beside) if beside.size else frame.min()
    return out


def _is_near_edge(box: Box, shape: tuple[int, int]) -> bool:
    return any(
        part.stop <= MARGIN * count or part.start >= (1 - MARGIN) * count
        for part, count in zip(box, shape, strict=True)
    )


def _stands_out(flat: np.ndarray, labels: np.ndarray, label: int, box: Box, level: float) -> bool:
    """Whether what is around a sign is much darker: a letter ends within a pixel or two, tissue fades."""
    rows = slice(max(0, box[0].start - 3), box[0].stop + 3)
    columns = slice(max(0, box[1].start - 3), box[1].stop + 3)
    sign = labels[rows, columns] == label
    ring = ndi.binary_dilation(sign, np.ones((3, 3)), iterations=3) & ~ndi.binary_dilation(
        sign, np.ones((3, 3)), iterations=2
    )
    ring &= labels[rows, columns] == 0
    return bool(ring.any()) and float(np.median(flat[rows, columns][ring])) < level


def _span(filled: np.ndarray) -> slice:
    places = np.flatnonzero(filled)
    return slice(int(places[0]), int(places[-1]) + 1)
