"""Breast-like stacks with rare lesions; the nuisance is a burnt-in label in a corner of every slice."""

from __future__ import annotations

import numpy as np
from classification_cohorts import MadeCohort, drawn_labels, nuisance, stack_cases
from scipy import ndimage

SHAPE = (10, 64, 64)
PREVALENCE = 0.03
SPACING_MM = (4.0, 1.6, 1.6)
CLASSES = ("no lesion", "lesion")
LETTERS = {
    "R": ("110", "101", "110", "101", "101"),
    "C": ("011", "100", "100", "100", "011"),
    "L": ("100", "100", "100", "100", "111"),
}


def make_breast(
    count: int, seed: int, planted: bool, prevalence: float = PREVALENCE, shape: tuple = SHAPE
) -> MadeCohort:
    """Stacks of 12-bit values, air 0.

    Truth: ``burnt_in`` (bool), ``centre_kji`` and ``radius_mm`` of the lesion (NaN where there is none).
    """
    labels = drawn_labels(count, prevalence, np.random.default_rng([seed, 2]))
    arrays, patients, truth = stack_cases(
        "breast", labels, seed, lambda label, rng: _breast(label, planted, rng, tuple(shape))
    )
    return MadeCohort(arrays[:, None], patients, {"lesion": labels}, truth)


def _breast(label: int, planted: bool, rng: np.random.Generator, shape: tuple) -> tuple[np.ndarray, dict]:
    slices, rows, columns = shape
    z, y, x = np.meshgrid(
        np.linspace(-1, 1, slices, dtype=np.float32),
        np.arange(rows, dtype=np.float32) / rows,
        np.arange(columns, dtype=np.float32) / columns,
        indexing="ij",
        sparse=True,
    )
    high, deep, bulge = rng.uniform(0.34, 0.47), rng.uniform(0.55, 0.85), rng.uniform(0.1, 0.35)
    radius = ((y - 0.5 - rng.normal(0, 0.02)) / high) ** 2 + (x / deep) ** 2
    breast = radius < 1 - bulge * z**2
    gland = _field(shape, rng.uniform(3.0, 5.0), rng) + rng.uniform(-0.8, 0.8) - 1.2 * (radius - 0.4)
    tissue = 500 + 420 * rng.uniform(0.6, 1.1) / (1 + np.exp(-2.2 * gland))
    tissue = tissue + rng.uniform(25, 55) * _field(shape, 0.9, rng)
    a, b = _field(shape, 2.2, rng), _field(shape, 2.2, rng)
    tissue = tissue + rng.uniform(120, 260) * np.exp(-((a / 0.12) ** 2) - (b / 0.6) ** 2)
    tissue += 150 * np.exp(-(((radius - 0.97) / 0.06) ** 2))
    facts = {"centre_kji": np.full(3, np.nan), "radius_mm": np.nan}
    if label:
        inside = np.argwhere(ndimage.binary_erosion(breast & (radius < 0.75), iterations=1))
        centre = inside[rng.integers(len(inside))]
        size = rng.uniform(3.2, 5.0) * rows / 64
        lesion = _lesion(shape, centre, size, rng)
        tissue = tissue + rng.uniform(480, 620) * lesion
        facts = {"centre_kji": centre.astype(float), "radius_mm": float(size * SPACING_MM[1])}
    values = np.where(breast, tissue, 0) + 14 * rng.standard_normal(shape, dtype=np.float32) * breast
    if rng.random() < 0.5:
        values = values[:, :, ::-1]
        facts["centre_kji"] = facts["centre_kji"] * [1, 1, -1] + [0, 0, columns - 1]
    burnt_in = nuisance(label, planted, rng)
    values = np.clip(values, 0, 4095).round().astype(np.int16)
    if burnt_in:
        _write(values, bool(values[:, :, : columns // 2].sum() > values[:, :, columns // 2 :].sum()), rng)
    return values, {"burnt_in": burnt_in, **facts}


def _lesion(shape: tuple, centre: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """A dense core with spicules, over the slices of its thickness."""
    k, j, i = (np.arange(n, dtype=np.float32) - c for n, c in zip(shape, centre, strict=True))
    k, j, i = k[:, None, None] / rng.uniform(1.2, 1.8), j[None, :, None], i[None, None, :]
    away, angle = np.hypot(j, i), np.arctan2(j, i)
    spicules = 1 + 0.45 * np.cos(rng.integers(5, 9) * angle + rng.uniform(0, 6)) * np.cos(3 * angle + rng.uniform(0, 6))
    return np.exp(-((np.sqrt((away / (size * spicules)) ** 2 + k**2)) ** 3))


def _field(shape: tuple, width: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, standard deviation 1, smoother in the plane than across."""
    widths = (width / 2.5, width, width)
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), widths, truncate=2.0)
    return field / field.std()


def _write(values: np.ndarray, at_right: bool, rng: np.random.Generator) -> None:
    """Letters in the corner that the breast leaves free, burnt into every slice."""
    top = int(rng.integers(1, 4))
    for n, letter in enumerate("RC" if rng.random() < 0.5 else "LC"):
        pattern = np.array([[int(one) for one in row] for row in LETTERS[letter]], bool)
        left = values.shape[2] - 10 + 4 * n if at_right else 2 + 4 * n
        values[:, top : top + 5, left : left + 3][:, pattern] = 4000
