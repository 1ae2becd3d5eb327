"""Chest phantoms, normal or with ground-glass opacities; the nuisance is the scanner: its noise and table height."""

from __future__ import annotations

import numpy as np
from classification_cohorts import MadeCohort, drawn_labels, nuisance, stack_cases
from scipy import ndimage

SHAPE = (32, 64, 64)
SPACING_MM = (8.0, 5.5, 5.5)
NOISE_HU = (18.0, 42.0)
TABLE_HEIGHT_MM = (150.0, 168.0)
"""Of the two scanners."""
CHEST_WALL_MM = 18.0
"""At least, between lung and air; more than a pixel and the blur of the image."""
CLASSES = ("normal", "abnormal")


def make_chest(count: int, seed: int, planted: bool, prevalence: float = 0.5, shape: tuple = SHAPE) -> MadeCohort:
    """Chests in Hounsfield units; slices from the feet.

    Truth: ``noise_hu``, ``table_height_mm``, ``opacities`` (how many), ``opacity_ml``.
    """
    labels = drawn_labels(count, prevalence, np.random.default_rng([seed, 1]))
    spacing = np.array(SPACING_MM) * np.array(SHAPE) / np.array(shape)
    arrays, patients, truth = stack_cases(
        "chest", labels, seed, lambda label, rng: _chest(label, planted, rng, tuple(shape), spacing)
    )
    return MadeCohort(arrays[:, None], patients, {"finding": labels}, truth)


def _chest(label: int, planted: bool, rng: np.random.Generator, shape: tuple, spacing: np.ndarray) -> tuple:
    z, y, x = (
        ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (n, step) in enumerate(zip(shape, spacing, strict=True))
    )
    size = rng.uniform(0.86, 1.12)
    half_x, half_y = 150 * size * rng.uniform(0.94, 1.06), 100 * size * rng.uniform(0.9, 1.1)
    shift_x = rng.normal(0, 6)
    body = ((x - shift_x) / half_x) ** 2 + (y / half_y) ** 2 < 1
    inner = ((x - shift_x) / (half_x - rng.uniform(8, 25))) ** 2 + (y / (half_y - rng.uniform(8, 22))) ** 2 < 1
    hu = np.full(shape, -1000.0, np.float32)
    hu[np.broadcast_to(body, shape)] = -100
    hu[np.broadcast_to(inner, shape)] = 45
    wall = ((x - shift_x) / (half_x - CHEST_WALL_MM)) ** 2 + (y / (half_y - CHEST_WALL_MM)) ** 2
    lungs = _lungs(z, y, x - shift_x, half_x, half_y, rng) & (wall < 1)
    air = rng.uniform(-890, -780)
    texture, thread = _smooth(shape, 1.3, rng), _smooth(shape, 1.6, rng)
    lung_hu = air + rng.uniform(10, 28) * texture - rng.uniform(0.1, 0.6) * (-y)
    lung_hu = lung_hu + _vessels(thread, texture, rng)
    facts = {"opacities": 0, "opacity_ml": 0.0}
    if label:
        extra, facts = _opacities(lungs, z, y, x, spacing, rng)
        lung_hu = lung_hu + extra * (1 + 0.3 * thread)
    hu = np.where(lungs, np.minimum(lung_hu, 60), hu)
    spine = (x - shift_x) ** 2 + (y - half_y * 0.62) ** 2 < rng.uniform(14, 20) ** 2
    hu[np.broadcast_to(spine, shape)] = rng.uniform(150, 350)
    rim = ((x - shift_x) / (half_x - 28)) ** 2 + (y / (half_y - 24)) ** 2
    ribs = (rim > 0.9) & (rim < 1.05) & (np.sin((z + 0.3 * y) / rng.uniform(5, 7) + rng.uniform(0, 6)) > 0.4)
    hu[ribs] = rng.uniform(250, 450)
    other_scanner = nuisance(label, planted, rng)
    noise, height = NOISE_HU[other_scanner] * rng.uniform(0.85, 1.15), TABLE_HEIGHT_MM[other_scanner] + rng.normal(0, 3)
    table = np.abs(y - (height - 60 + 2e-4 * x**2)) < 4
    hu[np.broadcast_to(table & ~body & (np.abs(x) < 160), shape)] = -350
    hu = ndimage.uniform_filter(hu, (1, 2, 2)) + noise * rng.standard_normal(shape, dtype=np.float32)
    return np.clip(hu, -1024, 1500).round().astype(np.int16), {"noise_hu": noise, "table_height_mm": height, **facts}


def _lungs(
    z: np.ndarray, y: np.ndarray, x: np.ndarray, half_x: float, half_y: float, rng: np.random.Generator
) -> np.ndarray:
    """Two lungs of different size, less the heart on the left."""
    lungs = False
    for side in (-1, 1):
        mid_x, wide = side * half_x * rng.uniform(0.4, 0.48), half_x * rng.uniform(0.3, 0.38)
        tall, deep = rng.uniform(95, 125), half_y * rng.uniform(0.6, 0.74)
        dome = 1 - ((x - mid_x) / wide) ** 2 - (y / deep) ** 2
        base = rng.uniform(-100, -70) + 25 * np.maximum(dome, -1)
        mid_z = rng.normal(0, 8)
        ellipsoid = ((x - mid_x) / wide) ** 2 + ((y - rng.normal(0, 4)) / deep) ** 2 + np.abs((z - mid_z) / tall) ** 3
        lungs = lungs | ((ellipsoid < 1) & (z > base))
    heart = ((x - rng.uniform(15, 35)) / rng.uniform(45, 62)) ** 2 + ((y + 22) / rng.uniform(38, 50)) ** 2
    return lungs & ~(heart + ((z + 40) / rng.uniform(50, 70)) ** 2 < 1)


def _smooth(shape: tuple, width: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of a scale, standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), width, truncate=2.5)
    return noise / noise.std()


def _vessels(thread: np.ndarray, texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bright threads and some small round ones: everybody has them."""
    lines = np.exp(-((thread / rng.uniform(0.09, 0.14)) ** 2) - (texture / rng.uniform(0.35, 0.5)) ** 2)
    return rng.uniform(450, 700) * lines


def _opacities(
    lungs: np.ndarray, z: np.ndarray, y: np.ndarray, x: np.ndarray, spacing: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, dict]:
    """Hazy patches inside the lungs."""
    inside = np.argwhere(ndimage.binary_erosion(lungs, iterations=2))
    if not len(inside):
        inside = np.argwhere(lungs)
    extra = np.zeros(lungs.shape, np.float32)
    number = int(rng.integers(3, 7))
    for _ in range(number):
        k, j, i = inside[rng.integers(len(inside))]
        radii = rng.uniform(18, 32) * rng.uniform(0.75, 1.3, 3)
        away = sum(((axis - axis.ravel()[c]) / r) ** 2 for axis, c, r in zip((z, y, x), (k, j, i), radii, strict=True))
        extra = np.maximum(extra, rng.uniform(220, 350) * np.exp(-(away**2)))
    volume = float((lungs & (extra > 80)).sum() * np.prod(spacing) / 1000)
    return extra, {"opacities": number, "opacity_ml": volume}
