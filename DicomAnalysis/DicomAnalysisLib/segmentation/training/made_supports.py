"""Supports nobody foresaw: shells, boards, rails, wedges, straps, cushions and tubes, made in contact with a patient.

Real holders are few. Those made here vary in shape, thickness and density far beyond what
scanners are sold with, so that a network learns what a patient's surface looks like and not
what one maker's headrest looks like. All lengths are millimetres on the slice; a support
goes on through the slices with a constant profile, as real ones do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from .. import morphology as morph
from .composites import AIR_HU, Part

VISIBLE_HU = -850
"""Denser than this the blurred rim of a support is part of it, as in masks of real ones."""


@dataclass(frozen=True)
class _Place:
    """The patient's outline, and coordinates around its middle.

    Attributes
    ----------
    y, x : array
        mm, slightly turned.
    size : tuple of float
        Height and width of the patient, mm.
    outline : array of bool
    spacing : tuple of float
    rng : numpy Generator
    """

    y: np.ndarray
    x: np.ndarray
    size: tuple[float, float]
    outline: np.ndarray
    spacing: tuple[float, float]
    rng: np.random.Generator


def make_support(patient: np.ndarray, spacing: tuple[float, float, float], rng: np.random.Generator) -> Part:
    """One made support in contact with the patient.

    Parameters
    ----------
    patient : array of bool, shape (k, j, i)
        A few neighbouring slices.
    spacing : tuple of float
        Slice, row and column spacing, mm.
    rng : numpy Generator

    Returns
    -------
    Part
        It may reach into the patient, where it gives way. Its mask is its shape, and the rim that shows of it.
    """
    outline = patient.any(0)
    rows, columns = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    if not len(rows):
        return Part(np.full(patient.shape, AIR_HU, np.int16), np.zeros(patient.shape, bool), spacing)
    in_plane = (spacing[1], spacing[2])
    size = (len(rows) * in_plane[0], len(columns) * in_plane[1])
    centre = (0.5 * (rows[0] + rows[-1]), 0.5 * (columns[0] + columns[-1]))
    y = (np.arange(outline.shape[0])[:, None] - centre[0]) * in_plane[0]
    x = (np.arange(outline.shape[1])[None, :] - centre[1]) * in_plane[1]
    turn = rng.normal(0, 0.15)
    turned = (y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn))
    shape = _SHAPES[rng.integers(len(_SHAPES))]
    profile = shape(_Place(*turned, size, outline, in_plane, rng))
    hu = _filled(profile, patient.shape, rng)
    return Part(hu, profile | (hu > VISIBLE_HU), spacing)


def _filled(profile: np.ndarray, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """HU inside the profile: plastic, carbon, gel or foam, some with a denser skin."""
    level = float(
        rng.choice([rng.uniform(-920, -500), rng.uniform(-500, -150), rng.uniform(-150, 250), rng.uniform(60, 400)])
    )
    hu = np.full(shape, -1000.0, np.float32)
    texture = ndi.gaussian_filter(rng.normal(0, 1, profile.shape).astype(np.float32), 2.0) * rng.uniform(0, 120)
    inside = level + texture
    if rng.random() < 0.4:
        skin = profile & ~morph.erode(profile[None], int(rng.integers(1, 4)))[0]
        inside[skin] = rng.uniform(-300, 600)
    soft = ndi.gaussian_filter(profile.astype(np.float32), rng.uniform(0.3, 0.9))
    hu[:] = -1000 + soft * (inside + 1000)
    return np.rint(np.clip(hu, -1000, 1500)).astype(np.int16)


def _shell(at: _Place) -> np.ndarray:
    """A bowl around the lower half, closer or wider than the head."""
    y, x = at.y, at.x
    radius = np.array([0.5 * at.size[0], 0.5 * at.size[1]]) * at.rng.uniform(0.9, 1.15, 2)
    thickness = at.rng.uniform(2, 12)
    drop = at.rng.uniform(-0.1, 0.1) * at.size[0]
    reach = np.hypot((y - drop) / radius[0], x / radius[1])
    width = thickness / radius.min()
    return (reach > 1) & (reach < 1 + width) & (y > at.rng.uniform(-0.6, 0.6) * at.size[0] * 0.5)


def _board(at: _Place) -> np.ndarray:
    """A flat or bent board under the patient, some with a hollow core."""
    y, x = at.y, at.x
    top = 0.5 * at.size[0] - at.rng.uniform(0, 10)
    thickness = at.rng.uniform(3, 40)
    bend = at.rng.uniform(-1, 1) * 0.0015
    height = y - top + bend * x**2
    board = (height > 0) & (height < thickness) & (np.abs(x) < at.rng.uniform(0.3, 0.9) * at.size[1])
    if thickness > 12 and at.rng.random() < 0.5:
        wall = at.rng.uniform(1.5, 4)
        board &= ~((height > wall) & (height < thickness - wall))
    return board


def _rails(at: _Place) -> np.ndarray:
    """Cheeks at both sides, or at one, pressed to the ears."""
    y, x = at.y, at.x
    thickness = at.rng.uniform(2, 15)
    out = np.zeros(at.outline.shape, bool)
    low, high = np.sort(at.rng.uniform(-0.5, 0.6, 2)) * at.size[0]
    high = max(high, low + 20)
    for side in (-1, 1) if at.rng.random() < 0.7 else (int(at.rng.choice([-1, 1])),):
        inner = 0.5 * at.size[1] - at.rng.uniform(-3, 12)
        slope = at.rng.uniform(-0.2, 0.2)
        across = side * x - inner - slope * y
        out |= (across > 0) & (across < thickness) & (y > low) & (y < high)
    return out


def _wedge(at: _Place) -> np.ndarray:
    """A wedge pushed under one side."""
    y, x = at.y, at.x
    side = at.rng.choice([-1, 1])
    base = 0.5 * at.size[0] + at.rng.uniform(-5, 10)
    slope = at.rng.uniform(0.2, 1.2)
    start = at.rng.uniform(0, 0.3) * at.size[1]
    return (y < base) & (y > base - slope * (side * x - start)) & (side * x < at.rng.uniform(0.45, 0.7) * at.size[1])


def _close(at: _Place, millimetres: float) -> np.ndarray:
    """What lies within a distance outside the outline."""
    filled = ndi.binary_fill_holes(at.outline)
    return (ndi.distance_transform_edt(~filled, sampling=at.spacing) <= millimetres) & ~filled


def _strap(at: _Place) -> np.ndarray:
    """A band or a sheet that follows the skin along a part of the at.outline."""
    y, x = at.y, at.x
    angle = np.arctan2(y, x) - at.rng.uniform(-np.pi, np.pi)
    angle = np.abs((angle + np.pi) % (2 * np.pi) - np.pi)
    return _close(at, at.rng.uniform(1.5, 7)) & (angle < at.rng.uniform(0.15, 1.6))


def _cushion(at: _Place) -> np.ndarray:
    """Gel, sand bag or vacuum cushion: fits the patient like a cast, with an at.outline of its own."""
    y, x = at.y, at.x
    down = at.rng.uniform(0.2, 0.5) * at.size[0]
    half = at.rng.uniform(0.3, 0.8) * at.size[1]
    bottom = 0.5 * at.size[0] + at.rng.uniform(3, 40)
    shape = (y > down + at.rng.uniform(0, 0.002) * x**2) & (y < bottom) & (np.abs(x) < half)
    if at.rng.random() < 0.5:
        shape &= _close(at, at.rng.uniform(8, 45))
    return shape & ~at.outline


def _tubes(at: _Place) -> np.ndarray:
    """Tubes, cables and rods at the skin."""
    y, x = at.y, at.x
    out = np.zeros(at.outline.shape, bool)
    rim = np.argwhere(at.outline & ~morph.erode(at.outline[None], 1)[0])
    for _ in range(int(at.rng.integers(1, 4))):
        row, column = rim[at.rng.integers(len(rim))]
        radius = at.rng.uniform(2, 14)
        away = radius * at.rng.uniform(0.6, 1.1)
        angle = np.arctan2(y[row, column], x[row, column])
        distance = np.hypot(y - y[row, column] - away * np.sin(angle), x - x[row, column] - away * np.cos(angle))
        out |= distance < radius
        if radius > 4 and at.rng.random() < 0.5:
            out &= ~(distance < radius - at.rng.uniform(1.5, 3))
    return out


_SHAPES: tuple[Callable[[_Place], np.ndarray], ...] = (
    *(_shell, _shell, _board, _board, _rails, _rails),
    *(_wedge, _strap, _strap, _cushion, _cushion, _tubes),
)
