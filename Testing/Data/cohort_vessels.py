"""Eight views of a vessel tree, projected from one 3-D model, with an aneurysm at one of 21 places or at none.

The nuisance is the scanner: noise and the strength of the contrast agent.
"""

from __future__ import annotations

import numpy as np
from classification_cohorts import MadeCohort, drawn_labels, nuisance, stack_cases
from scipy import ndimage

SIDE = 64
"""Rows and columns of a view."""
FIELD_MM = 120.0
ANGLES = ((0, 0), (45, 0), (90, 0), (-45, 0), (0, 25), (45, 25), (90, -25), (-45, -25))
"""Positioner primary and secondary angle of each view, degrees."""
VIEWS = tuple(f"primary {primary:+d} secondary {secondary:+d}" for primary, secondary in ANGLES)
MISSING_SHARE = 0.12
NOISE = (14.0, 34.0)
CLASSES = ("none", "aneurysm")

# Nodes in mm: x to the left, y to the back, z to the head. Sides are mirrored below.
_MIDDLE = {"BA0": (0, 12, -38), "BA1": (0, 6, -8), "ACOM": (0, -22, 14), "PERI": (0, -30, 42)}
_SIDE = {
    "VA": (9, 18, -56),
    "ICA0": (22, 0, -54),
    "ICA1": (15, -4, -14),
    "ICA2": (13, -12, 0),
    "A1": (6, -20, 10),
    "M1": (32, -10, 4),
    "M2A": (46, -16, 22),
    "M2B": (48, 2, 18),
    "P1": (10, 12, -2),
    "P2": (26, 34, 6),
}
_SIDE_VESSELS = (
    ("VA", "BA0", 2.2),
    ("ICA0", "ICA1", 3.2),
    ("ICA1", "ICA2", 2.9),
    ("ICA2", "A1", 1.7),
    ("A1", "ACOM", 1.5),
    ("ICA2", "M1", 2.1),
    ("M1", "M2A", 1.5),
    ("M1", "M2B", 1.5),
    ("BA1", "P1", 1.6),
    ("P1", "P2", 1.4),
    ("ICA2", "P1", 1.0),
)
_PLACES_OF_A_SIDE = ("VA", "ICA1", "ICA2", "A1", "M1", "M2A", "M2B", "P1", "P2")
PLACES = ("ACOM", "PERI", "BA1", *(f"{side} {name}" for side in ("left", "right") for name in _PLACES_OF_A_SIDE))
"""Names of the 21 places: bifurcations and bends of the tree."""


def make_vessels(count: int, seed: int, planted: bool, prevalence: float = 0.5, side: int = SIDE) -> MadeCohort:
    """Views of 12-bit values, vessels dark (contrast agent takes up rays) on a background of bone and soft tissue.

    Labels: ``aneurysm`` (cases,) and ``place`` (cases, 21). Truth: ``noise``, ``contrast``, ``present`` (cases, 8),
    ``radius_mm`` (NaN where there is no aneurysm).
    """
    rng = np.random.default_rng([seed, 3])
    labels = drawn_labels(count, prevalence, rng)
    places = np.zeros((count, len(PLACES)), np.int64)
    ill = np.flatnonzero(labels)
    places[ill, rng.permutation(len(ill)) % len(PLACES)] = 1
    order = iter(places)
    arrays, patients, truth = stack_cases(
        "vessels", labels, seed, lambda label, rng: _case(label, next(order), planted, rng, side)
    )
    return MadeCohort(arrays[:, :, None], patients, {"aneurysm": labels, "place": places}, truth)


def _case(label: int, place: np.ndarray, planted: bool, rng: np.random.Generator, side: int) -> tuple[np.ndarray, dict]:
    nodes, vessels = _tree(rng)
    points, masses = [], []
    for start, end, radius in vessels:
        centres, mass = _tube(nodes[start], nodes[end], radius, rng)
        points.append(centres)
        masses.append(mass)
    other = nuisance(label, planted, rng)
    noise, contrast = NOISE[other] * rng.uniform(0.85, 1.15), (0.85, 1.15)[other] * rng.uniform(0.93, 1.07)
    facts = {"noise": noise, "contrast": contrast, "radius_mm": np.nan}
    if label:
        radius = rng.uniform(3.6, 5.2)
        where = nodes[PLACES[int(place.argmax())]] + rng.normal(0, 1, 3)
        sphere = rng.standard_normal((900, 3))
        sphere *= radius * rng.random((900, 1)) ** (1 / 3) / np.linalg.norm(sphere, axis=1, keepdims=True)
        away = rng.standard_normal(3)
        points.append(where + away / np.linalg.norm(away) * radius * 0.6 + sphere)
        masses.append(np.full(900, 4 / 3 * np.pi * radius**3 / 900))
        facts["radius_mm"] = radius
    cloud, mass = np.concatenate(points), np.concatenate(masses)
    background = ndimage.gaussian_filter(rng.standard_normal((len(ANGLES), side, side)), (0, side / 10, side / 10))
    views = np.stack([_project(cloud, mass, angle, side) for angle in ANGLES])
    views = 2800 + 120 * background / background.std() - 52 * contrast * views
    views += noise * rng.standard_normal(views.shape)
    present = rng.random(len(ANGLES)) >= MISSING_SHARE
    if present.sum() < 4:
        present[:] = True
    views[~present] = 0
    views[present] = np.clip(views[present], 1, 4095)
    return views.round().astype(np.int16), {**facts, "present": present}


def _tree(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], list[tuple[str, str, float]]]:
    """A patient's tree: the common one stretched, its nodes moved, some vessels thin, small branches of its own."""
    nodes = {name: np.array(place, float) for name, place in _MIDDLE.items()}
    for name, place in _SIDE.items():
        nodes[f"left {name}"] = np.array(place, float)
        nodes[f"right {name}"] = np.array(place, float) * (-1, 1, 1)
    stretch, shift = rng.uniform(0.93, 1.07, 3), rng.normal(0, 1.5, 3)
    nodes = {name: place * stretch + shift + rng.normal(0, 1.6, 3) for name, place in nodes.items()}
    vessels = [("BA0", "BA1", 2.3), ("ACOM", "PERI", 1.5)]
    for side in ("left", "right"):
        for start, end, radius in _SIDE_VESSELS:
            ends = [one if one in nodes else f"{side} {one}" for one in (start, end)]
            vessels.append((*ends, radius * rng.uniform(0.8, 1.2) * (0.5 if rng.random() < 0.08 else 1)))
    outer = ("left M2A", "left M2B", "right M2A", "right M2B", "left P2", "right P2", "PERI")
    for number in range(int(rng.integers(8, 16))):
        root = outer[int(rng.integers(len(outer)))]
        nodes[f"twig {number}"] = nodes[root] * rng.uniform(1.15, 1.6) + rng.normal(0, 6, 3)
        vessels.append((root, f"twig {number}", rng.uniform(0.6, 1.0)))
    return nodes, vessels


def _tube(start: np.ndarray, end: np.ndarray, radius: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points in a bent tube, each with its share of the volume."""
    length = float(np.linalg.norm(end - start))
    count = max(30, int(length * 14))
    along = rng.random(count)[:, None]
    bend = rng.normal(0, 0.07 * length, 3)
    centres = start + along * (end - start) + 4 * along * (1 - along) * bend
    centres += rng.standard_normal((count, 3)) * radius * 0.5
    return centres, np.full(count, np.pi * radius**2 * length / count)


def _project(cloud: np.ndarray, mass: np.ndarray, angle: tuple[int, int], side: int) -> np.ndarray:
    """Thickness of vessel along the rays, mm: parallel rays, rows from the head down."""
    primary, secondary = np.radians(angle)
    across = np.array([np.cos(primary), np.sin(primary), 0.0])
    ray = np.array([-np.sin(primary) * np.cos(secondary), np.cos(primary) * np.cos(secondary), np.sin(secondary)])
    up = np.cross(across, ray)
    up = up if up[2] > 0 else -up
    pixel = FIELD_MM / side
    columns = np.rint(cloud @ across / pixel + (side - 1) / 2).astype(int)
    rows = np.rint(-(cloud @ up) / pixel + (side - 1) / 2).astype(int)
    inside = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    image = np.bincount(rows[inside] * side + columns[inside], mass[inside], side * side)
    return ndimage.gaussian_filter(image.reshape(side, side) / pixel**2, 0.6)
