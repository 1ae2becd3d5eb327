"""Made implants in cross-section: what a radiologist meets, from gold seeds to hip stems.

Shapes are drawn in millimetres, three samples to a pixel along each axis, so that small
ones fill pixels in part as they do in a scan. Sizes are the usual ones of such devices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_SAMPLES = 3
Draw = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _blob(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, radius: float, uneven: float = 0.12) -> np.ndarray:
    """Level function of a round body with uneven outline: below 1 is inside."""
    angle = np.arctan2(y, x)
    outline = np.ones_like(angle)
    for wave in range(2, 6):
        outline += uneven / wave * rng.normal() * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(x, y) / (radius * np.maximum(outline, 0.4))


def _bar(x: np.ndarray, y: np.ndarray, length: float, width: float) -> np.ndarray:
    """A bar along x with round ends."""
    return np.hypot(np.maximum(np.abs(x) - length / 2, 0), y) < width / 2


def _seed(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _bar(x, y, rng.uniform(0, 3), rng.uniform(1.2, 4.0))


def _filling(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _blob(x, y * rng.uniform(0.6, 1.6), rng, rng.uniform(1.5, 5.0), 0.35) < 1


def _disc(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _blob(x, y * rng.uniform(0.8, 1.25), rng, rng.uniform(1.8, 6.0), 0.03) < 1


def _crown(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    level = _blob(x, y * rng.uniform(0.7, 1.4), rng, rng.uniform(3.0, 6.0), 0.2)
    return (level < 1) & (level > rng.uniform(0.3, 0.8))


def _screw(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    length, width = rng.uniform(8, 45), rng.uniform(2.5, 6.5)
    thread = width + rng.uniform(0, 1.2) * np.sin(2 * np.pi * x / rng.uniform(1.5, 3))
    body = _bar(x, y, length, thread)
    head = np.hypot(x - length / 2, y) < rng.uniform(0.4, 1.1) * width
    return body | head


def _rod(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _bar(x, y - rng.uniform(-0.006, 0.006) * x**2, rng.uniform(5, 60), rng.uniform(3, 6.5))


def _cage(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    power = rng.uniform(2, 8)
    half = rng.uniform(8, 19), rng.uniform(6, 15)
    level = (np.abs(x / half[0]) ** power + np.abs(y / half[1]) ** power) ** (1 / power)
    found = level < 1
    if rng.random() < 0.8:
        holes = int(rng.integers(1, 3))
        for n in range(holes):
            shift = (n - (holes - 1) / 2) * half[0]
            size = rng.uniform(0.2, 0.7, 2) * half / np.array([holes, 1])
            found &= np.hypot((x - shift) / size[0], y / size[1]) > 1
    return found


def _plate(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius, thick = rng.uniform(15, 70), rng.uniform(1.2, 4.0)
    reach = min(rng.uniform(8, 25) / radius, 1.5)
    found = (np.abs(np.hypot(x, y - radius) - radius) < thick / 2) & (np.abs(np.arctan2(x, radius - y)) < reach)
    return found & (np.abs(x - rng.uniform(-8, 8)) > rng.choice([0.0, 0.0, 1.5]))


def _clips(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    found = np.zeros(x.shape, bool)
    for _ in range(int(rng.integers(1, 4))):
        turn, dx, dy = rng.uniform(0, np.pi), *rng.uniform(-7, 7, 2)
        u, v = (x - dx) * np.cos(turn) + (y - dy) * np.sin(turn), (y - dy) * np.cos(turn) - (x - dx) * np.sin(turn)
        found |= _bar(u, v, rng.uniform(1, 7), rng.uniform(1.2, 2.8))
    return found


def _stent(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius, strut = rng.uniform(2, 14), rng.uniform(0.5, 1.2)
    if rng.random() < 0.4:
        return np.abs(np.hypot(x, y * rng.uniform(0.8, 1.3)) - radius) < strut
    found = np.zeros(x.shape, bool)
    count = int(rng.integers(6, 18))
    for angle in (np.arange(count) + rng.normal(0, 0.1, count)) * 2 * np.pi / count:
        found |= np.hypot(x - radius * np.cos(angle), y - radius * np.sin(angle)) < strut
    return found


def _coil(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    found = np.zeros(x.shape, bool)
    spread = rng.uniform(1, 4)
    for _ in range(int(rng.integers(5, 20))):
        dx, dy = rng.normal(0, spread, 2)
        found |= np.hypot(x - dx, y - dy) < rng.uniform(0.6, 2.0)
    return found


def _head(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius = rng.uniform(9, 26)
    level = _blob(x, y * rng.uniform(0.85, 1.2), rng, radius, 0.06)
    found = level < 1
    if rng.random() < 0.3:
        cup = rng.uniform(1.15, 1.4)
        found |= (level > cup) & (level < cup + rng.uniform(2, 5) / radius) & (y < rng.uniform(-0.5, 0.5) * radius)
    if rng.random() < 0.2:
        found &= level > rng.uniform(0.15, 0.5)
    return found


def _stem(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _blob(x, y * rng.uniform(1.0, 1.9), rng, rng.uniform(6, 14), 0.15) < 1


def _port(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius = rng.uniform(6, 13)
    level = np.hypot(x, y * rng.uniform(1, 2.5))
    found = np.abs(level - radius) < rng.uniform(0.7, 1.8)
    return found | (_bar(x, y - 0.4 * radius, radius, 2.0) if rng.random() < 0.5 else found)


def _wires(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius, thick = rng.uniform(4, 30), rng.uniform(0.9, 2.2)
    start, reach = rng.uniform(-np.pi, np.pi), rng.uniform(0.2, 2.5)
    angle = np.mod(np.arctan2(y, x - radius) - start, 2 * np.pi)
    found = (np.abs(np.hypot(x - radius, y) - radius) < thick / 2) & (angle < reach)
    return found | (np.hypot(x, y) < rng.uniform(0.7, 1.6))


def _polygon(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    found = np.ones(x.shape, bool)
    size, count = rng.uniform(2, 14), int(rng.integers(3, 8))
    for n in range(count):
        angle = 2 * np.pi * (n + rng.uniform(-0.3, 0.3)) / count
        found &= x * np.cos(angle) + y * np.sin(angle) < size * rng.uniform(0.7, 1.0)
    return found


IMPLANTS: dict[str, tuple[Draw, tuple[str, ...]]] = {
    "seed": (_seed, ("gold", "platinum", "steel", "titanium")),
    "filling": (_filling, ("amalgam", "dental gold", "amalgam", "cobalt chromium")),
    "disc": (_disc, ("titanium", "steel", "amalgam", "dental gold", "nitinol", "gold", "cobalt chromium")),
    "crown": (_crown, ("dental gold", "cobalt chromium", "amalgam")),
    "screw": (_screw, ("titanium", "steel")),
    "rod": (_rod, ("titanium", "cobalt chromium", "steel")),
    "cage": (_cage, ("titanium", "titanium", "cobalt chromium")),
    "plate": (_plate, ("titanium", "steel")),
    "clips": (_clips, ("titanium", "steel")),
    "stent": (_stent, ("nitinol", "steel", "platinum")),
    "coil": (_coil, ("platinum", "steel")),
    "head": (_head, ("cobalt chromium", "titanium", "steel")),
    "stem": (_stem, ("titanium", "cobalt chromium", "steel")),
    "port": (_port, ("titanium",)),
    "wires": (_wires, ("steel", "nitinol", "titanium")),
    "polygon": (_polygon, ("titanium", "steel", "cobalt chromium", "amalgam")),
}
"""Shapes, and what they are made of."""


def draw_implant(
    kind: str,
    shape: tuple[int, int],
    spacing: tuple[float, float],
    place: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """One implant, turned at random.

    Parameters
    ----------
    kind : str
        A key of `IMPLANTS`.
    shape : tuple of int
        Rows and columns of the slice.
    spacing : tuple of float
        Between rows and columns, mm.
    place : tuple of float
        Row and column of its centre.
    rng : numpy Generator

    Returns
    -------
    array of float32, shape `shape`
        Share of each pixel that is metal.
    """
    reach = 70.0
    box = tuple(
        slice(max(0, int(centre - reach / step)), min(size, int(centre + reach / step) + 1))
        for centre, step, size in zip(place, spacing, shape, strict=True)
    )
    fine = [
        ((np.arange((part.stop - part.start) * _SAMPLES) + 0.5) / _SAMPLES - 0.5 + part.start - centre) * step
        for part, centre, step in zip(box, place, spacing, strict=True)
    ]
    turn = rng.uniform(0, 2 * np.pi)
    x = fine[1] * np.cos(turn) + fine[0][:, None] * np.sin(turn)
    y = fine[0][:, None] * np.cos(turn) - fine[1] * np.sin(turn)
    inside = IMPLANTS[kind][0](x, y, rng)
    rows, columns = (part.stop - part.start for part in box)
    share = np.zeros(shape, np.float32)
    share[box] = inside.reshape(rows, _SAMPLES, columns, _SAMPLES).mean((1, 3))
    return share
