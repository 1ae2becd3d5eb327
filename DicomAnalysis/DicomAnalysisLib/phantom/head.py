"""A small head, about 150 mm from crown to chin, in a holder of foam and carbon fibre.

Positions are LPS mm with the origin in the middle of the brain case. The figure is
built, not traced: it has what a segmentation has to cope with, at the densities a
scanner shows, and left and right differ everywhere so that a flipped axis shows.
"""

from __future__ import annotations

import numpy as np

from .render import Part
from .shapes import FAR, Shape, box, ellipsoid, half_space, rod

SKIN, FAT, MUSCLE, BRAIN, FLUID, BONE, MARROW, ENAMEL = 40, -95, 58, 34, 8, 1250, 550, 2300
FOAM, COVER, CARBON = -860, -250, 90
AMALGAM, TITANIUM = 9000, 6500


def head_parts(rng: np.random.Generator, *, contact: bool, ears_touch: bool, metal: bool) -> list[Part]:
    """Everything in the picture, what lies lowest first."""
    size = float(rng.uniform(0.97, 1.03))
    yaw = float(rng.uniform(2.0, 5.0))
    parts = holder_parts(0.0 if contact else 10.0)
    patient = [*_soft_parts(size, ears_touch), *_skull_parts(size), *_cavity_parts(), *_tooth_parts()]
    if metal:
        patient += _metal_parts(size)
    return parts + [Part(part.shape.turned(yaw), part.layers, part.role) for part in patient]


def holder_parts(lower: float) -> list[Part]:
    """A U of carbon fibre filled with foam, a covered pad inside it, and the end of the couch.

    `lower` mm is how far the holder is moved away from the head.
    """
    opening = half_space((0.0, 8.0, 0.0), (0.0, -1.0, 0.0))
    left, right = (half_space((side * 60.0, 30.0, 0.0), (-side * 0.5, -1.0, 0.0)) for side in (1, -1))
    tray = ellipsoid((3.0, 6.0, 0.0), (96.0, 103.0, np.inf)) & opening
    hollow = ellipsoid((3.0, 6.0, 0.0), (86.0, 92.5, np.inf))
    shell = (tray - hollow) & half_space((0.0, 0.0, -52.0), (0.0, 0.0, -1.0))
    pad = (hollow - ellipsoid((3.0, 2.0, 0.0), (79.0, 80.5, np.inf))) & half_space((0.0, 30.0, 0.0), (0.0, -1.0, 0.0))
    pad = pad & half_space((0.0, 0.0, -46.0), (0.0, 0.0, -1.0))
    wedges = (hollow - ellipsoid((3.0, -6.0, 0.0), (76.0, 90.0, np.inf))) & left & right
    wedges = wedges & half_space((0.0, 52.0, 0.0), (0.0, 1.0, 0.0)) & half_space((0.0, 0.0, 40.0), (0.0, 0.0, 1.0))
    couch = box((0.0, 124.0, -60.0), (FAR, 11.0, 26.0), 3.0)
    rail = box((-52.0, 109.0, 0.0), (5.0, 3.0, FAR), 1.0)
    shift = (0.0, lower, 0.0)
    return [
        Part(couch, ((0.0, CARBON), (1.6, FOAM + 60)), "headrest"),
        Part(rail.moved(shift), ((0.0, 160),), "headrest"),
        Part(shell.moved(shift), ((0.0, CARBON), (1.5, FOAM + 90)), "headrest"),
        Part(wedges.moved(shift), ((0.0, -700), (1.0, -930)), "headrest"),
        Part(pad.moved(shift), ((0.0, COVER), (1.6, FOAM)), "headrest"),
    ]


def _head(size: float) -> Shape:
    cranium = ellipsoid((0.0, 4.0, 12.0), (67.0 * size, 83.0 * size, 57.0 * size))
    face = ellipsoid((0.0, -26.0, -30.0), (52.0, 52.0, 44.0)).blended(
        box((0.0, -44.0, -58.0), (22.0, 24.0, 12.0), 10.0), 24
    )
    neck = ellipsoid((0.0, 22.0, -70.0), (50.0, 52.0, np.inf)).turned(-6, "x", (0, 22, -40))
    neck = neck & half_space((0.0, 0.0, -20.0), (0.0, 0.0, 1.0))
    head = cranium.blended(face, 26).blended(neck, 22)
    bridge = rod((0.0, -74.0, -2.0), (1.0, -86.0, -22.0), 7.0)
    nostrils = ellipsoid((1.0, -80.0, -25.0), (13.0, 10.0, 7.0))
    return head.blended(bridge.blended(nostrils, 8), 9)


def _ear(side: int, size: float, touching: bool) -> Shape:
    """Auricle: a thin leaf that stands off the head, with a rolled rim; the left one is larger."""
    scale = 1.0 if side > 0 else 0.82
    length = 16.0 * scale if touching else 11.5 * scale
    leaf = ellipsoid((0.0, 0.0, 0.0), (2.1, length, 26.0 * scale))
    bowl = ellipsoid((0.0, 0.0, 0.0), (40.0, length - 3.0, 20.0 * scale))
    rim = (ellipsoid((1.6, 0.0, 0.0), (3.4, length + 1.0, 27.0 * scale)) - bowl).blended(leaf, 2.0)
    forward = 20.0 if touching else 9.0
    ear = rim.turned(-32 if touching else -26).moved((70.5 * size + 0.15 * length, forward, -4.0))
    ear = ear.blended(ellipsoid((66.0 * size, forward - 0.6 * length, -4.0), (4.5, 4.5, 17.0 * scale)), 4.0)
    return ear if side > 0 else ear.mirrored()


def _soft_parts(size: float, ears_touch: bool) -> list[Part]:
    head = _head(size)

    def fat(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return FAT + 18 * np.sin(x / 5.0 + z / 9.0) * np.sin(y / 6.0)

    def muscle(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        # Sheets of fat between the muscles of the neck and face.
        sheets = np.sin(np.hypot(x * 1.1, y - 20) / 4.2 + 0.4 * np.sin(np.arctan2(y - 20, x) * 7) + z / 30)
        return MUSCLE - 90.0 * np.clip((sheets - 0.94) / 0.06, 0.0, 1.0)

    tongue = ellipsoid((0.0, -36.0, -44.0), (17.0, 24.0, 12.0))
    return [
        *(Part(_ear(side, size, ears_touch), ((0.0, 10),), "patient") for side in (1, -1)),
        Part(head, ((0.0, SKIN), (2.2, fat), (5.0, muscle)), "patient"),
        Part(tongue, ((0.0, 62),), "patient"),
    ]


def _skull_parts(size: float) -> list[Part]:
    case = ellipsoid((0.0, 6.0, 14.0), (55.0 * size, 70.0 * size, 48.0 * size))
    base = half_space((0.0, 0.0, -13.0), (0.0, -0.36, -1.0))
    brain_case = case & base
    skull = brain_case.grown(6.5)

    def diploe(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return MARROW + 160 * np.sin(x / 1.9) * np.sin(y / 2.3) * np.sin(z / 2.7)

    def brain(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        depth = 1 - np.sqrt((x / 55) ** 2 + ((y - 6) / 70) ** 2 + ((z - 14) / 48) ** 2) / size
        folds = np.sin(x / 4.1 + 1.3 * np.sin(y / 9)) + np.sin(y / 4.6 + 1.7 * np.sin(z / 8)) + np.sin(z / 4.3 + x / 11)
        grey = np.where(depth + 0.02 * folds < 0.12, 40.0, BRAIN - 5)
        return np.where((depth < 0.10) & (folds > 1.6), FLUID + 4, grey)

    horns = [
        ellipsoid((side * 9.0, -4.0, 22.0), (5.0, 24.0, 8.0))
        .turned(side * 12)
        .blended(
            ellipsoid((side * 20.0, 26.0, 14.0), (6.0, 17.0, 6.0)).turned(side * 20, "z", (side * 20.0, 26.0, 14.0)), 10
        )
        for side in (1, -1)
    ]
    falx = box((0.0, 6.0, 40.0), (0.7, 70.0, 26.0)) & brain_case
    petrous = [rod((side * 12.0, 8.0, -22.0), (side * 52.0, 24.0, -20.0), 8.0) for side in (1, -1)]
    orbits = [ellipsoid((side * 27.0, -56.0, 0.0), (17.0, 20.0, 15.0)) for side in (1, -1)]
    globes = [ellipsoid((side * 27.0, -62.0, 0.0), (11.0, 12.0, 11.0)) for side in (1, -1)]
    cheek = [rod((side * 40.0, -52.0, -16.0), (side * 57.0, -10.0, -14.0), 4.0) for side in (1, -1)]
    maxilla = ellipsoid((0.0, -46.0, -20.0), (31.0, 30.0, 16.0))
    vertebra = ellipsoid((0.0, 16.0, -60.0), (12.0, 10.0, 26.0)) | box((0.0, 46.0, -60.0), (3.0, 10.0, 22.0), 2.0)
    ring = ellipsoid((0.0, 34.0, -60.0), (17.0, 15.0, 24.0)).shell(4.0)
    canal = ellipsoid((0.0, 34.0, -60.0), (9.0, 8.0, np.inf)) & half_space((0.0, 0.0, -20.0), (0.0, 0.0, 1.0))
    bone = ((0.0, BONE), (1.8, diploe))
    return [
        *(Part(shape, bone, "patient") for shape in (*cheek, maxilla, vertebra, ring)),
        Part(canal, ((0.0, 25),), "patient"),
        Part(skull, ((0.0, BONE), (1.6, diploe), (4.9, BONE)), "patient"),
        *(Part(shape, ((0.0, BONE), (1.4, FAT + 10)), "patient") for shape in orbits),
        *(Part(shape, ((0.0, 45), (1.0, 14)), "patient") for shape in globes),
        Part(brain_case, ((0.0, FLUID), (1.6, brain)), "patient"),
        *(Part(shape, ((0.0, FLUID),), "patient") for shape in horns),
        Part(falx, ((0.0, 62),), "patient"),
        *(Part(shape, ((0.0, 1500), (3.0, 900)), "patient") for shape in petrous),
        Part(rod((1.0, 14.0, 18.0), (1.0, 16.0, 20.0), 2.5), ((0.0, 240),), "patient"),
    ]


def _cavity_parts() -> list[Part]:
    """Air inside the head: nose, sinuses, mouth, throat, ear canals and mastoid cells."""

    def cells(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        walls = np.sin(x / 1.3) * np.sin(y / 1.5) * np.sin(z / 1.9)
        return np.where(np.abs(walls) > 0.25, -750.0, 500.0)

    parts = []
    for side in (1, -1):
        grow = 1.0 if side > 0 else 0.85
        parts += [
            Part(box((side * 5.0, -60.0, -16.0), (3.2, 24.0, 11.0), 2.5), ((0.0, 40), (0.8, -990))),
            Part(ellipsoid((side * 18.0, -50.0, -20.0), (9.0 * grow, 13.0, 11.0 * grow)), ((0.0, -990),)),
            Part(rod((side * 44.0, 15.0, -10.0), (side * 64.0, 15.0, -9.0), 2.6), ((0.0, -980),)),
            Part(ellipsoid((side * 48.0, 30.0, -22.0), (8.0, 9.0 * grow, 12.0)), ((0.0, BONE), (1.5, cells))),
        ]
    frontal = ellipsoid((7.0, -66.0, 16.0), (11.0, 3.2, 7.0))
    throat = ellipsoid((0.0, -6.0, -34.0), (9.0, 6.0, 20.0)) | rod((0.0, -2.0, -50.0), (0.0, 0.0, -120.0), 8.0)
    mouth = ellipsoid((0.0, -38.0, -33.0), (15.0, 22.0, 2.5))
    return [*parts, *(Part(shape, ((0.0, -990),)) for shape in (frontal, throat, mouth))]


def _arch(radius: tuple[float, float], height: float, half_height: float, width: float) -> Shape:
    outer = ellipsoid((0.0, -30.0, 0.0), (radius[0], radius[1], np.inf))
    arch = (outer - outer.grown(-width)) & half_space((0.0, -18.0, 0.0), (0.0, 1.0, 0.0))
    return arch & box((0.0, -40.0, height), (FAR, FAR, half_height))


def _tooth_parts() -> list[Part]:
    """Jaw and two rows of teeth with enamel crowns, as dense as any tissue gets."""
    jaw = _arch((32.0, 37.0), -54.0, 8.0, 11.0)
    rami = [rod((side * 30.0, -16.0, -52.0), (side * 47.0, 4.0, -22.0), 5.0) for side in (1, -1)]
    parts = [Part(shape, ((0.0, BONE), (2.0, MARROW)), "patient") for shape in (jaw, *rami)]
    for number, angle in enumerate(np.linspace(-78, 78, 14)):
        if number == 3:  # one tooth is missing, on the right
            continue
        x, y = 26.5 * np.sin(np.radians(angle)), -30 - 31.5 * np.cos(np.radians(angle))
        width = 4.2 if abs(angle) > 45 else 3.0
        for crown, root in ((-43.5, -54.0), (-36.5, -26.0)):
            parts.append(
                Part(rod((x, y, crown), (x * 0.97, y, root), width * 0.7), ((0.0, 1450), (1.5, 1050)), "patient")
            )
            parts.append(Part(ellipsoid((x, y, crown), (width, width, 4.2)), ((0.0, ENAMEL), (1.3, 1650)), "patient"))
    return parts


def _metal_parts(size: float) -> list[Part]:
    """A filling in a lower right molar and a screw through the skull at the left."""
    x, y = -26.5 * np.sin(np.radians(66)), -30 - 31.5 * np.cos(np.radians(66))
    filling = ellipsoid((x, y, -42.0), (3.6, 3.6, 3.2))
    outward = np.array([0.83, 0.32, 0.46])
    entry = np.array([0.0, 6.0, 14.0]) + outward * 61.5 * size
    shaft = rod(tuple(entry - 8 * outward), tuple(entry), 1.9)
    button = rod(tuple(entry), tuple(entry + 1.5 * outward), 3.6)
    return [Part(filling, ((0.0, AMALGAM),), "metal"), Part(shaft | button, ((0.0, TITANIUM),), "metal")]
