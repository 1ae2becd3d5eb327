"""Strips of predictions, image beside truth beside prediction, and how they change over a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files.atomic import atomic_path

FOLDER, ANIMATION = "strips", "training.gif"
GAP = 2
LARGEST_SIDE = 256
FRAME_MS, LAST_FRAME_MS = 250, 2500

COLOURS = ((0, 0, 0), (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66))
"""Of classes, told apart by colour-blind people too (Okabe and Ito); the background is not painted."""


def strip_path(folder: Path, epoch: int) -> Path:
    """Where the strip of an epoch (from 1) lies."""
    return folder / FOLDER / f"epoch-{epoch:03d}.png"


def draw_strip(
    images: Sequence[np.ndarray], truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> np.ndarray:
    """Draw samples side by side, each a column: image, truth, prediction.

    Parameters
    ----------
    images : sequence of arrays, shape (rows, columns)
        Grey values of any range; the same for a sample in every epoch.
    truths, predictions : sequence of arrays of uint8, shape (rows, columns)
        Classes.

    Returns
    -------
    array of uint8, shape (rows, columns, 3)
    """
    columns = []
    for image, truth, prediction in zip(images, truths, predictions, strict=True):
        step = max(1, -(-max(image.shape) // LARGEST_SIDE))
        grey = _grey(image[::step, ::step])
        cells = [grey, _painted(grey, truth[::step, ::step]), _painted(grey, prediction[::step, ::step])]
        columns.append(_joined(cells, axis=0))
    height = max(column.shape[0] for column in columns)
    padded = [np.pad(column, ((0, height - len(column)), (0, 0), (0, 0))) for column in columns]
    return _joined(padded, axis=1)


def write_strip(folder: Path, epoch: int, strip: np.ndarray) -> Path:
    """Write a strip as PNG; returns its path."""
    from PIL import Image

    path = strip_path(folder, epoch)
    with atomic_path(path) as temporary:
        Image.fromarray(strip).save(temporary, format="PNG")
    return path


def write_animation(folder: Path, epochs: Sequence[int]) -> Path | None:
    """Write the strips of some epochs as an animated GIF; None where there are none."""
    from PIL import Image

    paths = [path for path in (strip_path(folder, epoch) for epoch in epochs) if path.is_file()]
    if not paths:
        return None
    frames = []
    for path in paths:
        with Image.open(path) as picture:
            frames.append(picture.convert("RGB").quantize(128, dither=Image.Dither.NONE))
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    with atomic_path(folder / ANIMATION) as temporary:
        frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return folder / ANIMATION


def _grey(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (0.5, 99.5))
    scaled = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=2)


def _painted(grey: np.ndarray, classes: np.ndarray) -> np.ndarray:
    colours = np.array(COLOURS, np.float32)
    shown = np.where(classes > 0, (classes.astype(int) - 1) % (len(COLOURS) - 1) + 1, 0)
    mixed = (0.5 * grey + 0.5 * colours[shown]).astype(np.uint8)
    return np.where((classes > 0)[..., None], mixed, grey)


def _joined(cells: Sequence[np.ndarray], axis: int) -> np.ndarray:
    parts = []
    for cell in cells:
        shape = list(cell.shape)
        shape[axis] = GAP
        parts += [cell, np.full(shape, 255, np.uint8)]
    return np.concatenate(parts[:-1], axis=axis)
