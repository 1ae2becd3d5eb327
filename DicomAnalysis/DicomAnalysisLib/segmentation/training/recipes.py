"""What is particular to the training of each task: which samples, which network, which slices make a score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from ...networks.architectures import ModelDescription
from ...networks.fit_options import Samples
from .options import TRAINED_TASKS

Slice = tuple[np.ndarray, np.ndarray]
"""Image, float32 (channels, rows, columns), and classes, uint8 (rows, columns)."""


@dataclass(frozen=True)
class Recipe:
    """The training of one task.

    Attributes
    ----------
    task : str
    samples : callable
        ``samples(examples, size=, per_epoch=, seed=, augment=, pool=, folder=)``; the folder is for the `pool`
        of pictures that is kept between epochs.
    describe : callable
        ``describe(small)``: the network, untrained.
    slices : callable
        ``slices(example)``: the slices of a real series as the network is to see them, in their order.
    intended_use : str
        For the model's card.
    without_network : mapping of str to callable
        Baselines for a score: what the program makes of an image (of `slices`) without a network.
    picture_channel : int
        Of the image, for strips.
    """

    task: str
    samples: Callable[..., Samples]
    describe: Callable[[bool], ModelDescription]
    slices: Callable[[Any], Iterator[Slice]]
    intended_use: str
    without_network: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    picture_channel: int = 0


def recipe_for(task: str) -> Recipe:
    """How a task is trained.

    Raises
    ------
    UsageError
        If no network is trained for it.
    """
    if task not in TRAINED_TASKS:
        msg = f"No network is trained for the task {task!r}; choose one of {', '.join(TRAINED_TASKS)}."
        raise UsageError(msg)
    return _headrest() if task == "headrest" else _metal()


def _headrest() -> Recipe:
    from ..network.grid import guessed
    from .headrest_samples import HeadrestSamples
    from .tasks import model_description

    return Recipe(
        "headrest",
        HeadrestSamples,
        lambda small: model_description("headrest", small),
        headrest_slices,
        "Finds headrest, holder, table and pads in axial CT, apart from the patient.",
        {"classical": guessed},
        picture_channel=1,
    )


def _metal() -> Recipe:
    from . import metal_examples
    from .tasks import model_description

    return Recipe(
        "metal",
        metal_examples.metal_samples,
        lambda small: model_description("metal", small),
        metal_examples.plain_slices,
        "Finds metal in CT, where streaks blur it, too.",
        {"2500 HU": metal_examples.above_2500_hu},
        picture_channel=metal_examples.PICTURE_CHANNEL,
    )


def headrest_slices(example: Any) -> Iterator[Slice]:
    """The usable layers of a series on blocks of the network's size, nothing added.

    Parameters
    ----------
    example : examples.Example
    """
    from ..network.grid import BLOCK_MM, layer_inputs
    from .guess import classical_guess

    rows, columns = (max(1, round(BLOCK_MM / mm)) for mm in example.spacing[1:])
    means = np.stack([_pooled(layer.astype(np.float32), rows, columns) for layer in example.hu])
    guess = classical_guess(np.asarray(example.hu), example.spacing)[:, rows // 2 :: rows, columns // 2 :: columns]
    guess = guess[:, : means.shape[1], : means.shape[2]]
    classes = int(example.labels.max()) + 1 if example.labels.size else 1
    for layer, image in zip(example.usable, layer_inputs(means, guess, np.asarray(example.usable)), strict=True):
        shares = [_pooled((example.labels[layer] == n).astype(np.float32), rows, columns) for n in range(classes)]
        yield image, np.argmax(shares, axis=0).astype(np.uint8)


def _pooled(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means of whole blocks."""
    tall, wide = plane.shape[0] // rows, plane.shape[1] // columns
    return plane[: tall * rows, : wide * columns].reshape(tall, rows, wide, columns).mean(axis=(1, 3))
