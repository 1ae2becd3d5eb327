"""Crops with metal in streaks, as samples for the training of the metal network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..network.metal import network_input

CROP = 160
"""Rows and columns of a stored crop."""
_BRIGHT_HU = 2000
"""What must not be taken for metal is at least this bright; samples are centred on metal or on this."""


@dataclass(frozen=True)
class MetalCrops:
    """Crops to learn from.

    Attributes
    ----------
    hu : array of int16, shape (n, CROP, CROP)
    truth : array of uint8
        1 is metal.
    pixel_mm : array of float, shape (n,)
    patients : tuple of str
        Whose slice and whose metal is in each crop; separated by ``+`` when these are two.
    """

    hu: np.ndarray
    truth: np.ndarray
    pixel_mm: np.ndarray
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.hu)

    def without(self, patients: set[str]) -> MetalCrops:
        """Crops in which none of `patients` has a part."""
        return self._chosen([n for n, who in enumerate(self.patients) if patients.isdisjoint(who.split("+"))])

    def of(self, patients: set[str]) -> MetalCrops:
        """Crops in which nobody but `patients` has a part."""
        return self._chosen([n for n, who in enumerate(self.patients) if patients.issuperset(who.split("+"))])

    def decidable(self) -> MetalCrops:
        """Crops in which there is something to decide, and in which it can be decided.

        Without bright voxels no window would be opened; where three times as many voxels as are
        metal lie at the end of the scale, nobody could draw it.
        """
        keep = []
        for n, (hu, truth) in enumerate(zip(self.hu, self.truth, strict=True)):
            bright, metal = np.count_nonzero(hu >= _BRIGHT_HU), np.count_nonzero(truth)
            if bright and (not metal or np.count_nonzero(hu >= 3000) <= 3 * metal):
                keep.append(n)
        return self._chosen(keep)

    def _chosen(self, which: list[int]) -> MetalCrops:
        return MetalCrops(
            self.hu[which], self.truth[which], self.pixel_mm[which], tuple(self.patients[n] for n in which)
        )


class MetalSamples:
    """Samples of the training contract: a pure function of seed, epoch and index.

    Parameters
    ----------
    crops : MetalCrops
        `MetalCrops.decidable` ones, if they are augmented.
    seed : int
    size : int
        Rows and columns of a sample.
    augment : bool
        Cut out around metal (seldom around enamel), mirror, turn and add noise at random; otherwise the middle of
        every crop as it is.
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
        """Image of three channels, float32 (3, size, size), and label, uint8 (size, size)."""
        pixel_mm = float(self.crops.pixel_mm[index])
        if not self.augment:
            start = (CROP - self.size) // 2
            middle = (slice(start, start + self.size),) * 2
            return network_input(self.crops.hu[index][middle], pixel_mm), self.crops.truth[index][middle]
        if self._transforms is None:
            self._transforms = _transforms(self.size)
        state = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)[0]
        self._transforms.set_random_state(int(state))
        crop = {"hu": self.crops.hu[index][None].astype(np.float32), "truth": self.crops.truth[index][None]}
        with warnings.catch_warnings():
            # MONAI says for every crop without metal, or of metal alone, that it cannot be balanced.
            warnings.filterwarnings("ignore", message="Num foregrounds")
            crop = self._transforms(crop)[0]
        return network_input(np.asarray(crop["hu"])[0], pixel_mm), np.ascontiguousarray(np.asarray(crop["truth"])[0])


def _transforms(size: int) -> object:
    from monai.transforms import Compose, RandCropByPosNegLabeld, RandFlipd, RandGaussianNoised, RandRotate90d

    both = ("hu", "truth")
    return Compose(
        [
            RandCropByPosNegLabeld(
                both, "truth", (size, size), pos=4, neg=1, image_key="hu", image_threshold=_BRIGHT_HU - 1
            ),
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandFlipd(both, prob=0.5, spatial_axis=1),
            RandRotate90d(both, prob=0.75),
            RandGaussianNoised("hu", prob=0.3, std=25.0),
        ]
    )
