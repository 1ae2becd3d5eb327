"""Training images as they might have been taken: turned, moved, scaled, brighter, noisier.

Every change is a pure function of (seed, epoch, index of the case, view): a training that is resumed sees what an
unbroken one sees. The background, which is exactly 0, stays so; so does a view that is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

LEFT_IN_PLACE = 0.25
"""Share of images that are not moved: moving smoothes noise away, and what is to be told later is not smooth."""

FLIPS = {"left-right": 4, "up-down": 3, "slices": 2}
"""Mirrorings and the axis of (cases, views, slices, rows, columns) they turn around."""


@dataclass(frozen=True)
class Augmentation:
    """How far images are changed.

    Parameters
    ----------
    rotation : float
        Degrees in the plane, at most, to either side.
    scale, shift : float
        Shares of the size, at most.
    intensity : float
        Contrast changes by this share at most, and values by as much of the spread of values.
    noise : float
        Standard deviation, at most, in shares of the spread of values.
    flips : tuple of str
        Of `FLIPS`. None by default: left and right are not alike where a side matters (heart, liver, a finding's
        side), and a mirrored patient is none that exists.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    rotation: float = 10.0
    scale: float = 0.1
    shift: float = 0.05
    intensity: float = 0.1
    noise: float = 0.05
    flips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "flips", tuple(dict.fromkeys(self.flips)))
        unknown = [one for one in self.flips if one not in FLIPS]
        if unknown:
            msg = f"There is no flip {unknown[0]!r}; choose of {', '.join(FLIPS)}."
            raise UsageError(msg)
        for name, most in (("rotation", 180), ("scale", 0.5), ("shift", 0.5), ("intensity", 0.9), ("noise", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                msg = f"The augmentation's {name} is {getattr(self, name)}; give a number from 0 to {most}."
                raise UsageError(msg)

    @classmethod
    def none(cls) -> Augmentation:
        """Images as they are."""
        return cls(0, 0, 0, 0, 0)


@dataclass(frozen=True)
class _Drawn:
    """What befalls one view."""

    matrix: np.ndarray
    contrast: float
    brightness: float
    noise: float
    noise_seed: int


def augment(images: Tensor, indices: np.ndarray, how: Augmentation, seed: int, epoch: int) -> Tensor:
    """Change a batch.

    Parameters
    ----------
    images : float32 Tensor, (cases, views, slices, rows, columns)
        Left as it is.
    indices : int array, (cases,)
        Of the cases among all of the training: with seed and epoch they alone decide, not the batch.
    how : Augmentation
    seed, epoch : int

    Returns
    -------
    float32 Tensor
        Of the same shape.
    """
    import torch

    cases, views = images.shape[:2]
    flips = [_flips(how, seed, epoch, int(index)) for index in indices]
    if any(flips):
        images = torch.stack([one.flip([axis - 1 for axis in axes]) for one, axes in zip(images, flips, strict=True)])
    drawn = [_draw(how, seed, epoch, int(index), view) for index in indices for view in range(views)]
    flat = images.flatten(0, 1)
    if how.rotation or how.scale or how.shift:
        flat = _warp(flat, np.stack([one.matrix for one in drawn]))
    if how.intensity or how.noise:
        flat = torch.stack([_recolour(one, numbers) for one, numbers in zip(flat, drawn, strict=True)])
    return flat.reshape(cases, views, *images.shape[2:])


def _flips(how: Augmentation, seed: int, epoch: int, index: int) -> list[int]:
    """All views of a case alike: a body is mirrored, not a picture."""
    if not how.flips:
        return []
    chances = np.random.default_rng((seed, epoch, index, 2**20)).random(len(FLIPS))
    return [
        axis for (name, axis), chance in zip(FLIPS.items(), chances, strict=True) if name in how.flips and chance < 0.5
    ]


def _draw(how: Augmentation, seed: int, epoch: int, index: int, view: int) -> _Drawn:
    random = np.random.default_rng((seed, epoch, index, view))
    angle, scale, x, y, contrast, brightness = random.uniform(-1, 1, 6)
    if random.random() < LEFT_IN_PLACE:
        angle = scale = x = y = 0.0
    angle, scale = math.radians(how.rotation) * angle, 1 + how.scale * scale
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    # 2: the plane goes from -1 to 1.
    matrix = np.array([[cos, -sin, 2 * how.shift * x], [sin, cos, 2 * how.shift * y]], np.float32)
    return _Drawn(
        matrix,
        1 + how.intensity * contrast,
        how.intensity * brightness,
        how.noise * float(random.random()),
        int(random.integers(2**31)),
    )


def _warp(flat: Tensor, matrices: np.ndarray) -> Tensor:
    """In the plane, all slices of a view alike; what comes from outside is background."""
    import torch
    from torch.nn import functional

    rows, columns = flat.shape[-2:]
    # The plane's sides are -1 to 1 whatever their lengths; a rotation has to be one in pixels.
    matrices = matrices * np.array([[1, rows / columns, 1], [columns / rows, 1, 1]], np.float32)
    grid = functional.affine_grid(
        torch.from_numpy(matrices).to(flat.device), [len(flat), 1, rows, columns], align_corners=False
    )
    return functional.grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _recolour(image: Tensor, drawn: _Drawn) -> Tensor:
    """Contrast, brightness and noise of what is not background, in shares of its spread."""
    import torch

    inside = image != 0
    count = int(inside.sum())
    if not count:
        return image
    mean = image.sum() / count
    spread = (((image - mean) * inside) ** 2).sum().div(count).sqrt()
    changed = (image - mean) * drawn.contrast + mean + drawn.brightness * spread
    if drawn.noise:
        generator = torch.Generator(image.device).manual_seed(drawn.noise_seed)
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        changed = changed + noise * (drawn.noise * spread)
    return torch.where(inside, changed, image)
