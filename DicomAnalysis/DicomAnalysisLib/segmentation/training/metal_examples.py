"""Examples of metal from a user's own series, and samples made of them.

Slices with metal are learned from as they are, and with their metal simulated anew, in streaks;
slices without it get made implants. So a cohort without a single implant teaches as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...volume import Volume
from ..network.metal import network_input
from ..options import SegmentationOptions
from .example import Example
from .metal_samples import CROP, MetalCrops, MetalSamples
from .metal_training import MetalCase, crop_at, metal_training_sets

MOST_FREE, MOST_METAL = 12, 40
"""Slices of a series that are kept: without, and with metal."""
PICTURE_CHANNEL = 0
_CLASSICAL = SegmentationOptions(tasks=("metal",), method="classical", region="all")


def metal_example(volume: Volume, own: np.ndarray | None = None) -> Example:
    """Make an example of a volume; metal is what the user has marked, else what the classical method finds.

    Parameters
    ----------
    volume : Volume
    own : array of bool, shape of the volume, optional
    """
    from ..task import segment

    metal = segment(volume, _CLASSICAL).segment("Metal").mask if own is None else own
    filled = metal.any((1, 2))
    chosen = np.sort(
        np.concatenate([_spread(np.flatnonzero(filled), MOST_METAL), _spread(np.flatnonzero(~filled), MOST_FREE)])
    )
    pad = [(0, 0), *((0, max(0, CROP - size)) for size in volume.shape[1:])]
    hu = np.clip(np.rint(volume.voxels[chosen]), -1024, 32767).astype(np.int16)
    return Example(
        volume.identity.series_uid,
        volume.identity.patient_id,
        np.pad(hu, pad, constant_values=-1000),
        np.pad(metal[chosen], pad).astype(np.uint8),
        volume.geometry.spacing_kji,
        np.arange(len(chosen)),
    )


def _spread(slices: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the slices, evenly."""
    if len(slices) <= most:
        return slices
    return slices[np.linspace(0, len(slices) - 1, most).round().astype(int)]


def metal_samples(
    examples: Sequence[Example],
    size: tuple[int, int] = (96, 96),
    per_epoch: int = 400,
    seed: int = 0,
    augment: bool = True,
    pool: int | None = None,
    folder: Path | None = None,
) -> MetalSamples:
    """Samples of the metal in examples, as `networks.fitting` takes them.

    Parameters
    ----------
    examples : sequence of Example
        From `metal_example`.
    size : tuple of int
        Rows and columns of a sample, at most `CROP`.
    per_epoch : int
    seed : int
    augment : bool
    pool : int or None
        About how many crops are made; each takes a second or two. By default 100, or 24 if not `augment`.
    folder : Path or None
        Where the crops are kept.
    """
    wanted = min(pool or per_epoch, 400 if augment else 60)
    real, cases, free = _sorted(examples, seed)
    simulated = max(1, wanted - len(real) // 2)
    sources = max(1, len(cases) + len(free))
    # As many slices as give each its turn, where there are more than crops are wanted.
    step = max(1, sources // simulated)
    made = metal_training_sets(
        free[::step],
        cases[::step],
        seed,
        per_slice=max(1, simulated // sources),
        per_case=max(1, simulated // sources),
        cache=None if folder is None else _cache(folder, augment),
    )
    crops = MetalCrops(
        np.concatenate([*(crop[0][None] for crop in real), made.hu]),
        np.concatenate([*(crop[1][None] for crop in real), made.truth]),
        np.concatenate([[crop[2] for crop in real], made.pixel_mm]),
        (*(crop[3] for crop in real), *made.patients),
    )
    return _Repeated(crops, seed, min(*size, CROP), augment, per_epoch if augment else len(crops))


class _Repeated(MetalSamples):
    """Crops in turn, as many a epoch as are wanted."""

    def __init__(self, crops: MetalCrops, seed: int, size: int, augment: bool, per_epoch: int) -> None:
        super().__init__(crops, seed, size, augment)
        self.per_epoch = per_epoch

    def __len__(self) -> int:
        return self.per_epoch

    def sample(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        turn = epoch * self.per_epoch + index if self.augment else index
        return super().sample(epoch, turn % len(self.crops))


def _cache(folder: Path, augment: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / ("crops.npz" if augment else "crops-fixed.npz")


def _sorted(examples: Sequence[Example], seed: int) -> tuple[list[tuple], list[MetalCase], list[MetalCase]]:
    """Crops of real metal, slices with metal, and slices without."""
    real, cases, free = [], [], []
    for number, example in enumerate(examples):
        for k in example.usable:
            hu, metal = np.asarray(example.hu[k]), np.asarray(example.labels[k]) > 0
            case = MetalCase(hu, metal, tuple(example.spacing[1:]), example.patient_id)
            if metal.any():
                cases.append(case)
                real.append(crop_at(case, np.random.default_rng((seed, number, int(k)))))
            else:
                free.append(case)
    return real, cases, free


def plain_slices(example: Example) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The slices of an example as the network sees them, in their order, nothing added."""
    pixel_mm = float(np.sqrt(example.spacing[1] * example.spacing[2]))
    for k in example.usable:
        yield network_input(np.asarray(example.hu[k]), pixel_mm), np.asarray(example.labels[k])


def above_2500_hu(image: np.ndarray) -> np.ndarray:
    """What a fixed threshold of 2500 HU makes of an image as the network sees it."""
    return (image[PICTURE_CHANNEL] >= 2.5).astype(np.uint8)
