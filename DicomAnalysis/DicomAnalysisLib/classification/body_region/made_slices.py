"""Made slices of the regions that few patients show: necks, pelves and limbs, of simple shapes and many sizes.

They are no patients and are never scored; they keep the network from taking the one patient it has seen for the
region. Lengths in mm from the middle of the slice, y to the back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .grid import AIR_HU, CELL_MM, CELLS

FAT_HU, MUSCLE_HU = -100.0, 50.0


class Canvas:
    """One slice in the making."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.y, self.x = (np.mgrid[:CELLS, :CELLS] - (CELLS - 1) / 2) * CELL_MM
        self.hu = np.full((CELLS, CELLS), AIR_HU, np.float32)
        self.rng = rng

    def ellipse(self, y: float, x: float, half_y: float, half_x: float, hu: float, turn: float = 0.0) -> None:
        """A filled ellipse, softly edged: a cell that it covers in part holds the mean."""
        dy, dx = self.y - y, self.x - x
        across, along = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        radius = np.hypot(along / half_y, across / half_x)
        share = np.clip((1 - radius) * min(half_y, half_x) / CELL_MM + 0.5, 0, 1)
        self.hu += share * (hu - self.hu)

    def bar(self, start: tuple[float, float], end: tuple[float, float], width: float, hu: float) -> None:
        """A rod between two points (y, x)."""
        (y0, x0), (y1, x1) = start, end
        length = max(np.hypot(y1 - y0, x1 - x0), 1.0)
        turn = np.arctan2(y1 - y0, x1 - x0)
        self.ellipse((y0 + y1) / 2, (x0 + x1) / 2, width / 2, length / 2 * 1.1, hu, turn)

    def long_bone(self, y: float, x: float, radius: float) -> None:
        """Cortex around marrow."""
        self.ellipse(y, x, radius, radius, self.rng.uniform(600, 1300))
        self.ellipse(y, x, radius * 0.55, radius * 0.55, self.rng.uniform(-80, 150))

    def vertebra(self, y: float, radius: float) -> None:
        """Body, canal and processes, on the midline."""
        hu = self.rng.uniform(250, 700)
        self.bar((y + radius * 1.3, -radius * 1.6), (y + radius * 1.3, radius * 1.6), radius * 0.7, hu)
        self.bar((y + radius, 0), (y + radius * self.rng.uniform(2, 3.2), 0), radius * 0.6, hu)
        self.ellipse(y, 0, radius * 0.85, radius, hu)
        self.ellipse(y + radius * 1.35, 0, radius * 0.5, radius * 0.6, 30)


def made_slices(region: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Slices of ``neck``, ``pelvis`` or ``limb``, float32 of shape (count, CELLS, CELLS) in HU."""
    draw: dict[str, Callable[[Canvas], None]] = {"neck": _neck, "pelvis": _pelvis, "limb": _limb}
    slices = []
    for _ in range(count):
        canvas = Canvas(rng)
        draw[region](canvas)
        slices.append(canvas.hu)
    return np.array(slices)


def _limb(canvas: Canvas) -> None:
    """One or two arms or legs, as often at a joint as not, seldom in the middle, sometimes cut off by the field."""
    rng = canvas.rng
    radius = rng.uniform(28, 60) if rng.random() < 0.6 else rng.uniform(50, 95)
    if rng.random() < 0.5:
        middles = [tuple(rng.normal(0, 25, 2))]
    else:
        apart = radius * rng.uniform(1.05, 1.6) if rng.random() < 0.6 else rng.uniform(100, 190)
        middles = [(rng.normal(0, 6), side * apart) for side in (-1, 1)]
    bones, joint = 1 + (rng.random() < 0.45), rng.random() < 0.35
    fat, turn = rng.uniform(0.05, 0.3), rng.uniform(0, np.pi)
    for middle in middles:
        _flesh(canvas, middle, radius, fat)
        place = np.array(middle) + rng.normal(0, 0.15, 2) * radius
        along = np.array((np.sin(turn), np.cos(turn)))
        for n in range(bones):
            y, x = place + along * ((n - (bones - 1) / 2) * radius * (0.45 if joint else 0.6))
            if joint:
                _joint(canvas, y, x, radius * rng.uniform(0.25, 0.5))
            else:
                canvas.long_bone(y, x, max(min(radius, 60) * rng.uniform(0.13, 0.27) * (1 - 0.3 * n), 5))
    if rng.random() < 0.25:
        y, x = middles[0]
        inside = canvas.x - x if rng.random() < 0.7 else canvas.y - y
        canvas.hu[inside * rng.choice((-1, 1)) > radius * rng.uniform(0.1, 0.9)] = AIR_HU


def _flesh(canvas: Canvas, middle: tuple[float, float], radius: float, fat: float) -> None:
    """Two or three muscles side by side in one coat of fat."""
    rng = canvas.rng
    muscles = []
    for _ in range(rng.integers(2, 4)):
        y, x = np.array(middle) + rng.normal(0, 0.2, 2) * radius
        muscles.append((y, x, *(radius * rng.uniform(0.7, 0.95, 2)), rng.uniform(0, np.pi)))
    for y, x, half_y, half_x, turn in muscles:
        canvas.ellipse(y, x, half_y, half_x, FAT_HU, turn)
    for y, x, half_y, half_x, turn in muscles:
        less = fat * radius
        canvas.ellipse(y, x, max(half_y - less, 8), max(half_x - less, 8), MUSCLE_HU + rng.normal(0, 12), turn)


def _joint(canvas: Canvas, y: float, x: float, radius: float) -> None:
    """The broad end of a bone: spongy, with a thin rim, of no simple outline."""
    rng = canvas.rng
    turn, flat = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    canvas.ellipse(y, x, radius * flat, radius, rng.uniform(500, 900), turn)
    canvas.ellipse(y, x, max(radius * flat - 4, 3), max(radius - 4, 3), rng.uniform(200, 450), turn)
    for _ in range(rng.integers(0, 3)):
        dy, dx = rng.normal(0, radius * 0.7, 2)
        canvas.ellipse(y + dy, x + dx, *rng.uniform(0.2, 0.5, 2) * radius, rng.uniform(300, 800), rng.uniform(0, np.pi))


def _neck(canvas: Canvas) -> None:
    rng = canvas.rng
    half_x, half_y = rng.uniform(50, 80), rng.uniform(50, 75)
    if rng.random() < 0.5:
        width = rng.uniform(130, 230)
        canvas.ellipse(rng.uniform(10, 35), 0, rng.uniform(35, 60), width, FAT_HU)
        canvas.ellipse(rng.uniform(10, 35), 0, rng.uniform(28, 45), width - 12, MUSCLE_HU)
        if rng.random() < 0.7:
            for side in (-1, 1):
                canvas.long_bone(rng.normal(5, 10), side * (width - 45), rng.uniform(11, 24))
    canvas.ellipse(0, 0, half_y, half_x, FAT_HU)
    canvas.ellipse(0, 0, half_y - rng.uniform(3, 12), half_x - rng.uniform(3, 12), MUSCLE_HU)
    airway = rng.uniform(-30, -10)
    canvas.vertebra(airway + rng.uniform(25, 35), rng.uniform(9, 15))
    canvas.ellipse(airway, 0, rng.uniform(6, 12), rng.uniform(6, 13), AIR_HU)
    for side in (-1, 1):
        canvas.ellipse(airway + rng.uniform(-5, 15), side * rng.uniform(15, 32), 8, 8, rng.uniform(40, 300))
    if rng.random() < 0.4:
        front = -half_y * rng.uniform(0.6, 1.0)
        canvas.ellipse(front, 0, 40, half_x * 0.6, MUSCLE_HU)
        for side in (-1, 1):
            canvas.bar((front - 25, side * 4), (front + 5, side * rng.uniform(20, 35)), 10, rng.uniform(500, 1000))


def _pelvis(canvas: Canvas) -> None:
    rng = canvas.rng
    half_x, half_y = rng.uniform(140, 215), rng.uniform(90, 135)
    fat = rng.uniform(8, 38)
    canvas.ellipse(0, 0, half_y, half_x, FAT_HU)
    canvas.ellipse(5, 0, half_y - fat, half_x - fat, MUSCLE_HU)
    canvas.ellipse(-15, 0, (half_y - fat) * 0.7, (half_x - fat) * 0.55, rng.uniform(-90, -20))
    for _ in range(rng.integers(4, 14)):
        y, x = rng.normal(-25, 22), rng.normal(0, 35)
        canvas.ellipse(y, x, *rng.uniform(6, 18, 2), AIR_HU if rng.random() < 0.25 else rng.uniform(10, 60))
    size, hu = min(half_x / 175, 1.15), rng.uniform(280, 700)
    level = rng.integers(3)
    if level == 0:
        for side in (-1, 1):
            root = 50 * size, side * rng.uniform(32, 45) * size
            tip = rng.uniform(-55, 0) * size, side * rng.uniform(95, 125) * size
            canvas.bar(root, tip, rng.uniform(8, 18) * size, hu)
        canvas.bar((55 * size, -38 * size), (55 * size, 38 * size), rng.uniform(20, 40) * size, hu * 0.8)
    else:
        y, x = rng.normal(5, 8), rng.uniform(80, 100) * size
        for side in (-1, 1):
            if level == 1:
                canvas.ellipse(y, side * x, 32 * size, 32 * size, hu)
                canvas.ellipse(y, side * x, 26 * size, 26 * size, MUSCLE_HU)
                canvas.ellipse(y, side * x, 23 * size, 23 * size, rng.uniform(250, 500))
                canvas.bar((y - 15, side * (x - 30)), (-45 * size, side * 12), 12, hu)
                canvas.bar((y + 15, side * (x - 28)), (y + 40, side * (x - 38)), 14, hu)
            else:
                canvas.long_bone(y + 5, side * (x + 15), rng.uniform(14, 19) * size)
                canvas.bar((y + 20, side * 55 * size), (y + 40, side * 45 * size), 20 * size, hu)
                canvas.bar((-35 * size, side * 6), (-10 * size, side * 35 * size), 12, hu)
        canvas.ellipse(-25, 0, *rng.uniform(15, 40, 2), rng.uniform(0, 30))
        canvas.ellipse(rng.uniform(60, 80) * size, 0, 7, 10, hu * 0.7)
