"""Crops with metal in streaks, as samples for the training of the metal network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..network.metal import network_input

CROP = 160
"""Rows and columns of a stored crop."""


@dataclass(frozen=True)
class MetalCrops:
    """Crops to learn from.

    Attributes
    ----------
    hu : array of int16, shape (n, CROP, CROP)
    truth : array of uint8
        1 is metal.
    patients : tuple of str
        Whose slice and whose metal is in each crop; separated by ``+`` when these are two.
    """

    hu: np.ndarray
    truth: np.ndarray
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.hu)

    def without(self, patients: set[str]) -> MetalCrops:
        """Crops in which none of `patients` has a part."""
        return self._chosen([n for n, who in enumerate(self.patients) if patients.isdisjoint(who.split("+"))])

    def of(self, patients: set[str]) -> MetalCrops:
        """Crops in which nobody but `patients` has a part."""
        return self._chosen([n for n, who in enumerate(self.patients) if patients.issuperset(who.split("+"))])

    def _chosen(self, which: list[int]) -> MetalCrops:
        return MetalCrops(self.hu[which], self.truth[which], tuple(self.patients[n] for n in which))


class MetalSamples:
    """Samples of the training contract: a pure function of seed, epoch and index.

    Parameters
    ----------
    crops : MetalCrops
    seed : int
    size : int
        Rows and columns of a sample.
    augment : bool
        Crop, mirror, turn and add noise at random; otherwise the middle of every crop as it is.
    """

    def __init__(self, crops: MetalCrops, seed: int = 0, size: int = 128, augment: bool = True) -> None:
        self.crops = crops
        self.seed = seed
        self.size = size
        self.augment = augment
        self._transforms = None

    def __len__(self) -> int:
        return len(self.crops)

    def sample(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image of two channels, float32 (2, size, size), and label, uint8 (size, size)."""
        if not self.augment:
            start = (CROP - self.size) // 2
            middle = (slice(start, start + self.size),) * 2
            return network_input(self.crops.hu[index][middle]), self.crops.truth[index][middle]
        if self._transforms is None:
            self._transforms = _transforms(self.size)
        state = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)[0]
        self._transforms.set_random_state(int(state))
        crop = {"hu": self.crops.hu[index][None].astype(np.float32), "truth": self.crops.truth[index][None]}
        crop = self._transforms(crop)
        return network_input(np.asarray(crop["hu"])[0]), np.ascontiguousarray(np.asarray(crop["truth"])[0])


def _transforms(size: int) -> object:
    from monai.transforms import Compose, RandFlipd, RandGaussianNoised, RandRotate90d, RandSpatialCropd

    both = ("hu", "truth")
    return Compose(
        [
            RandSpatialCropd(both, (size, size), random_size=False),
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandFlipd(both, prob=0.5, spatial_axis=1),
            RandRotate90d(both, prob=0.75),
            RandGaussianNoised("hu", prob=0.3, std=25.0),
        ]
    )
