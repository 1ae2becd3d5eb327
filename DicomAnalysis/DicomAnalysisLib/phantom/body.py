"""Chest and upper abdomen with the arms beside the trunk, on a table with a mattress.

LPS mm; the diaphragm is near z = 0, the lungs above it.
"""

from __future__ import annotations

import numpy as np

from .render import Part
from .shapes import FAR, Shape, box, ellipsoid, half_space, rod

SKIN, FAT, MUSCLE, BONE, MARROW = 30, -100, 55, 900, 250


def body_parts(rng: np.random.Generator, *, contact: bool, metal: bool) -> list[Part]:
    """Everything in the picture, what lies lowest first."""
    size = float(rng.uniform(0.96, 1.04))
    parts = [*_table_parts(0.0 if contact else 18.0), *_trunk_parts(size), *_organ_parts(_trunk(size)), *_bone_parts()]
    return parts + (_metal_parts() if metal else [])


def _table_parts(lower: float) -> list[Part]:
    """A concave table top of carbon fibre around foam, a mattress in it, and an arm board."""
    dish = ellipsoid((0.0, -330.0, 0.0), (520.0, 462.0, np.inf))
    slab = (dish.grown(24.0) - dish) & box((0.0, 120.0, 0.0), (215.0, 60.0, FAR))
    mattress = (dish - dish.grown(-22.0)) & box((0.0, 110.0, 0.0), (185.0, 50.0, FAR), 6.0)
    board = box((-196.0, 92.0, 20.0), (26.0, 3.0, FAR), 1.0)
    shift = (0.0, lower, 0.0)
    return [
        Part(slab.moved(shift), ((0.0, 60), (2.2, -840)), "headrest"),
        Part(mattress.moved(shift), ((0.0, -180), (2.0, -910)), "headrest"),
        Part(board.moved(shift), ((0.0, 40),), "headrest"),
    ]


def _trunk(size: float) -> Shape:
    return ellipsoid((0.0, 0.0, 0.0), (158.0 * size, 117.0 * size, np.inf))


def _trunk_parts(size: float) -> list[Part]:
    def muscle(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        layers = np.sin(np.hypot(x / 1.35, y) / 5.5 + 0.5 * np.sin(np.arctan2(y, x) * 9) + z / 60)
        return MUSCLE - 110.0 * np.clip((layers - 0.9) / 0.1, 0.0, 1.0)

    layers = ((0.0, SKIN), (2.2, FAT), (14.0, muscle))
    arm = rod((192.0, 38.0, -FAR), (186.0, 30.0, FAR), 33.0)
    thin_arm = rod((190.0, 46.0, -FAR), (184.0, 40.0, FAR), 29.0).mirrored()
    humeri = [
        rod((190.0, 36.0, -FAR), (187.0, 32.0, FAR), 10.0),
        rod((188.0, 46.0, -FAR), (184.0, 42.0, FAR), 9.0).mirrored(),
    ]
    # A hand lies on the belly, its palm in the lowest slices.
    fingers = [rod((x, -117.0 * size, -FAR), (x + 6, -121.0 * size, -70.0 + x), 7.0) for x in (-38.0, -23.0, -8.0)]
    palm = box((-24.0, -119.0 * size, -160.0), (26.0, 9.0, 32.0), 6.0)
    return [
        *(Part(shape, ((0.0, SKIN), (2.0, FAT), (7.0, muscle)), "patient") for shape in (arm, thin_arm)),
        *(Part(shape, ((0.0, BONE), (3.5, MARROW - 200)), "patient") for shape in humeri),
        Part(_trunk(size), layers, "patient"),
        *(Part(shape, ((0.0, SKIN), (2.0, MUSCLE)), "patient") for shape in (*fingers, palm)),
    ]


def _organ_parts(trunk: Shape) -> list[Part]:
    dome = half_space((0.0, 0.0, -20.0), (0.0, 0.25, -1.0))

    def lung(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        vessels = np.sin(x / 6.3 + 2 * np.sin(z / 17)) * np.sin(y / 7.1 + 2 * np.sin(x / 19)) * np.sin(z / 9.3 + y / 23)
        return np.where(vessels > 0.72, -150.0, -860.0 + 25.0 * (y / 100))

    def liver(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return 105 + 40.0 * (np.sin(x / 9) * np.sin(y / 11 + z / 15) > 0.9)

    cavity = trunk.grown(-20.0) & dome
    lungs = [
        ellipsoid((72.0, 4.0, 70.0), (52.0, 88.0, 140.0)) & cavity,
        ellipsoid((-76.0, 4.0, 70.0), (56.0, 90.0, 140.0)) & cavity,
    ]
    heart = ellipsoid((26.0, -28.0, 30.0), (50.0, 40.0, 48.0)).turned(30, "z", (26.0, -28.0, 30.0))
    aorta = rod((16.0, 44.0, -FAR), (14.0, 44.0, 110.0), 12.0)
    trachea = rod((0.0, 10.0, 70.0), (0.0, 4.0, FAR), 9.0)
    below = half_space((0.0, 0.0, -22.0), (0.0, -0.25, 1.0))
    organs = [
        (ellipsoid((-55.0, -10.0, -60.0), (80.0, 80.0, 70.0)) & below, liver),
        (ellipsoid((85.0, 35.0, -60.0), (38.0, 48.0, 50.0)) & below, 120),
        (ellipsoid((55.0, -40.0, -70.0), (48.0, 36.0, 46.0)) & below, 30),
        (ellipsoid((56.0, 42.0, -130.0), (24.0, 28.0, 52.0)), 180),
        (ellipsoid((-58.0, 44.0, -140.0), (25.0, 28.0, 54.0)), 178),
    ]
    gas = ellipsoid((55.0, -56.0, -68.0), (30.0, 14.0, 26.0))
    return [
        *(Part(shape, ((0.0, 40), (1.5, lung)), "patient") for shape in lungs),
        *(Part(shape, ((0.0, hu),), "patient") for shape, hu in organs),
        Part(heart, ((0.0, -60), (4.0, 50), (12.0, 260)), "patient"),
        Part(aorta, ((0.0, 60), (1.5, 290)), "patient"),
        Part(trachea, ((0.0, 60), (2.0, -990)), "patient"),
        Part(gas, ((0.0, -985),), "patient"),
    ]


def _bone_parts() -> list[Part]:
    body = ellipsoid((0.0, 66.0, 0.0), (21.0, 17.0, np.inf))

    def discs(_x: np.ndarray, _y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.where(np.mod(z, 28.0) < 5.0, 90.0, MARROW)

    ring = ellipsoid((0.0, 92.0, 0.0), (18.0, 14.0, np.inf)).shell(5.0)
    process = box((0.0, 108.0, 0.0), (3.0, 7.0, FAR), 2.0)
    parts = [Part(shape, ((0.0, BONE), (1.5, discs)), "patient") for shape in (body, ring, process)]
    cage = ellipsoid((0.0, 2.0, 20.0), (138.0, 102.0, 330.0))
    for number in range(14):
        height = -170.0 + 28.0 * number
        band = box((0.0, 0.0, 0.0), (FAR, FAR, 5.5)).turned(-22, "x").moved((0.0, 0.0, height))
        rib = cage.shell(8.0) & band & half_space((0.0, -60.0, 0.0), (0.0, -1.0, 0.0))
        rib = Shape(rib.distance, np.array([-140.0, -60.0, height - 60]), np.array([140.0, 106.0, height + 60]))
        parts.append(Part(rib, ((0.0, BONE), (1.8, MARROW)), "patient"))
    sternum = box((0.0, -93.0, 90.0), (17.0, 6.0, 75.0), 4.0)
    return [*parts, Part(sternum, ((0.0, BONE - 200), (1.6, MARROW)), "patient")]


def _metal_parts() -> list[Part]:
    """Three wires around the sternum and two screws in a vertebra."""
    wires = [rod((-16.0, -100.0, z), (15.0, -101.5, z + 3), 1.3) for z in (50.0, 85.0, 120.0)]
    screws = [rod((side * 14.0, 100.0, -40.0), (side * 8.0, 58.0, -40.0), 3.0) for side in (1, -1)]
    return [Part(shape, ((0.0, 7000),), "metal") for shape in (*wires, *screws)]
