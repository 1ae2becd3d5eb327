"""Slices as other patients, scanners and tables would have given them: few patients must stand for many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .grid import AIR_HU, CELL_MM, CELLS, WINDOWS_HU

if TYPE_CHECKING:
    from torch import Tensor

SCALE = 1.25
"""Patients are up to this much larger or smaller."""
ROTATION_DEGREES = 8.0
SHIFT_MM = 35.0
NARROW_SHARE, NARROWEST_MM = 0.25, 75.0
"""How often the field of view is narrowed, and half its least width."""
SUPPORT_SHARE = 0.4
PRONE_SHARE = 0.07


def augment(cells: Tensor, rng: np.random.Generator) -> Tensor:
    """A batch of `grid.slice_cells`, float32 (n, CELLS, CELLS), each turned into another slice of the same region."""
    import torch
    from torch.nn.functional import avg_pool2d

    density = cells - AIR_HU
    density = _narrow(density, rng)
    density = _moved(density, rng)
    density = _with_supports(density, rng)
    hu = density + AIR_HU
    blurred = avg_pool2d(hu[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    n = len(hu)
    hu = torch.where(_draw(rng.random(n) < 0.25), blurred, hu)
    hu = torch.where(hu > 0, hu * _draw(rng.uniform(0.8, 1.4, n)), hu)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noise = torch.randn(hu.shape, generator=generator) * _draw(rng.uniform(0, 35, n))
    return hu + noise + _draw(rng.uniform(-15, 15, n))


def windowed(cells: Tensor) -> Tensor:
    """The channels of `grid.channels`, in torch."""
    import torch
    from torch.nn.functional import avg_pool2d

    low, high = (torch.tensor(end)[:, None, None] for end in zip(*WINDOWS_HU, strict=True))
    return avg_pool2d(((cells[:, None] - low) / (high - low)).clamp_(0, 1), 2)


def empty_scenes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Slices without a patient: air, tables, bottles and discs of one density; float32 (count, CELLS, CELLS) in HU."""
    y, x = (np.mgrid[:CELLS, :CELLS] - (CELLS - 1) / 2) * CELL_MM
    scenes = np.full((count, CELLS, CELLS), AIR_HU, np.float32)
    for scene in scenes:
        for _ in range(rng.integers(0, 4)):
            centre, radii = rng.uniform(-80, 80, 2), rng.uniform(10, 140) * rng.uniform(0.7, 1.3, 2)
            power = rng.choice([2.0, 8.0])
            inside = abs((y - centre[0]) / radii[0]) ** power + abs((x - centre[1]) / radii[1]) ** power < 1
            scene[inside] = rng.choice([rng.uniform(-150, 150), rng.uniform(-950, 600)])
        if rng.random() < 0.6:
            rows = rng.uniform(-50, 200) + rng.uniform(-1.5e-3, 1.5e-3) * x**2
            scene[abs(y - rows) < rng.uniform(2, 12)] = rng.uniform(-900, 300)
    return scenes


def _draw(values: np.ndarray) -> Tensor:
    import torch

    values = torch.from_numpy(np.asarray(values))
    return (values.float() if values.is_floating_point() else values)[:, None, None]


def _places() -> tuple[Tensor, Tensor]:
    import torch

    places = (torch.arange(CELLS) - (CELLS - 1) / 2) * CELL_MM
    return places[:, None], places[None, :]


def _narrow(density: Tensor, rng: np.random.Generator) -> Tensor:
    """What a narrow field of view, round or square, leaves of some slices."""
    import torch

    n = len(density)
    y, x = _places()
    half = np.where(rng.random(n) < NARROW_SHARE, rng.uniform(NARROWEST_MM, 220, n), 2000.0)
    y = y - _draw(rng.uniform(-50, 50, n))
    x = x - _draw(rng.uniform(-50, 50, n))
    apart = torch.where(_draw(rng.random(n) < 0.5), torch.hypot(y, x), torch.maximum(y.abs(), x.abs()))
    return density * (apart < _draw(half))


def _moved(density: Tensor, rng: np.random.Generator) -> Tensor:
    """Larger or smaller, turned, mirrored, prone, and off its middle."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    n = len(density)
    half = CELLS * CELL_MM / 2
    total = density.sum((1, 2)).clamp_min(1.0)
    y, x = _places()
    middle = torch.stack([(density * x).sum((1, 2)), (density * y).sum((1, 2))], 1) / total[:, None] / half
    size = np.exp(rng.uniform(-math.log(SCALE), math.log(SCALE), n))
    aspect = np.exp(rng.uniform(-0.08, 0.08, n))
    angle = np.radians(rng.normal(0, ROTATION_DEGREES, n)) + math.pi * (rng.random(n) < PRONE_SHARE)
    mirror = rng.choice([-1.0, 1.0], n)
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)], 1)
    turn = turn * np.stack([mirror / (size * aspect), aspect / size], 1)[:, None, :]
    turn = torch.from_numpy(turn).float()
    shift = torch.from_numpy(rng.uniform(-SHIFT_MM, SHIFT_MM, (n, 2))).float() / half
    theta = torch.cat([turn, (middle - (turn @ shift[:, :, None])[:, :, 0])[:, :, None]], 2)
    grid = affine_grid(theta, [n, 1, CELLS, CELLS], align_corners=False)
    return grid_sample(density[:, None], grid, align_corners=False)[:, 0]


def _with_supports(density: Tensor, rng: np.random.Generator) -> Tensor:
    """Tables and head holders in the air around some of the patients."""
    import torch

    n = len(density)
    y, x = _places()
    row = _draw(rng.uniform(20, 200, n)) + _draw(rng.uniform(-1.5e-3, 1.5e-3, n)) * x**2
    table = (y - row).abs() < _draw(rng.uniform(2, 10, n))
    radius = _draw(rng.uniform(90, 140, n))
    holder = ((torch.hypot(y, x) - radius).abs() < 4) & (y > _draw(rng.uniform(-60, 60, n)))
    drawn = torch.where(_draw(rng.random(n) < 0.7), table, holder) & _draw(rng.random(n) < SUPPORT_SHARE)
    drawn &= x.abs() < _draw(rng.uniform(80, 256, n))
    value = _draw(rng.uniform(50, 1100, n)).expand_as(density)
    return torch.where(drawn & (density < 300), value, density)
