"""Painting solids onto CT slices: partial volume, blur, noise, streaks and the scanner's limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..volume import StackGeometry
from .shapes import Shape

AIR_HU = -1000.0
CLIP_HU = (-1024, 3071)
"""What a 12-bit scanner can store with an intercept of -1024."""
PSF_FWHM_MM = 1.0
"""In-plane point spread of a standard head kernel, full width at half maximum."""
SLICE_PROFILE = (-1 / 3, 0.0, 1 / 3)
"""Planes averaged into one slice, as shares of its thickness; the middle one gives the truth."""

Texture = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Part:
    """One thing to paint over what lies beneath it.

    Parameters
    ----------
    shape : Shape
    layers : sequence of (depth in mm, HU)
        What the solid is made of from `depth` below its surface inwards. HU is a number or
        a function of x, y, z in mm.
    role : str
        ``patient``, ``headrest`` or ``metal`` where the solid is part of that truth mask.
    """

    shape: Shape
    layers: Sequence[tuple[float, float | Texture]]
    role: str = ""


@dataclass(frozen=True)
class Painting:
    """Noise-free HU (k, j, i) float32 and the masks of each role, same shape."""

    hu: np.ndarray
    masks: dict[str, np.ndarray]


def stack_geometry(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    center: tuple[float, float, float],
    tilt_degrees: float = 0.0,
) -> StackGeometry:
    """Axial stack around `center` (LPS mm), foot to head, with the gantry tilted about the x axis.

    `spacing` is (between slices along the normal, between rows, between columns) in mm.
    """
    tilt = np.radians(tilt_degrees)
    row, column = np.array([1.0, 0.0, 0.0]), np.array([0.0, np.cos(tilt), np.sin(tilt)])
    (slices, rows, columns), (dz, dy, dx) = shape, spacing
    # The couch moves along z however the gantry stands; gaps along the normal stay dz.
    step = np.array([0.0, 0.0, dz / np.cos(tilt)])
    first = np.asarray(center, float) - row * dx * (columns - 1) / 2 - column * dy * (rows - 1) / 2
    positions = first + (np.arange(slices)[:, None] - (slices - 1) / 2) * step
    return StackGeometry(row, column, (dy, dx), np.round(positions, 6), dz)


def paint(parts: Sequence[Part], geometry: StackGeometry, size: tuple[int, int], roles: Sequence[str]) -> Painting:
    """Paint `parts` in order onto every slice of `geometry`, (rows, columns) = `size`."""
    shape = (len(geometry), *size)
    hu = np.zeros(shape, np.float32)
    masks = {role: np.zeros(shape, bool) for role in roles}

    def paint_slice(k: int) -> None:
        for offset in SLICE_PROFILE:
            origin = geometry.positions[k] + geometry.normal * geometry.slice_thickness * offset
            plane = np.full(size, AIR_HU, np.float32)
            for part in parts:
                inside = _paint_part(part, plane, geometry, origin)
                if inside is not None and offset == 0.0 and part.role in masks:
                    region, mask = inside
                    masks[part.role][k][region] |= mask
            hu[k] += plane / len(SLICE_PROFILE)

    # numpy leaves the interpreter to others while it computes, and no slice knows of another.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(paint_slice, range(len(geometry))))
    return Painting(hu, masks)


def _paint_part(
    part: Part, plane: np.ndarray, geometry: StackGeometry, origin: np.ndarray
) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """Paint one part; answers with the region touched and the voxels whose centre is inside."""
    dy, dx = geometry.pixel_spacing
    rows, columns = plane.shape
    column_direction = geometry.column_direction.astype(np.float32)
    low, high = part.shape.low - dx, part.shape.high + dx
    i0, i1 = np.searchsorted(origin[0] + dx * np.arange(columns), [low[0], high[0]])
    y = np.float32(origin[1]) + np.arange(rows, dtype=np.float32) * dy * column_direction[1]
    z = np.float32(origin[2]) + np.arange(rows, dtype=np.float32) * dy * column_direction[2]
    touched = np.flatnonzero((y >= low[1]) & (y <= high[1]) & (z >= low[2]) & (z <= high[2]))
    if i0 >= i1 or not len(touched):
        return None
    region = slice(touched[0], touched[-1] + 1), slice(int(i0), int(i1))
    x = (np.float32(origin[0]) + dx * np.arange(i0, i1, dtype=np.float32))[None, :].astype(np.float32)
    y, z = y[region[0], None].astype(np.float32), z[region[0], None].astype(np.float32)
    distance = np.broadcast_to(part.shape.distance(x, y, z), (len(y), x.shape[1]))
    patch = plane[region]
    for depth, value in part.layers:
        cover = np.clip(0.5 - (distance + depth) / dx, 0.0, 1.0)
        if cover.any():
            level = value(x, y, z) if callable(value) else value
            patch += cover * (level - patch)
    return region, distance < 0


def expose(
    painting: Painting,
    geometry: StackGeometry,
    rng: np.random.Generator,
    *,
    noise_hu: float,
    padding_hu: int | None = None,
    clip_hu: tuple[int, int] = CLIP_HU,
) -> np.ndarray:
    """What the scanner makes of a painting: blurred, streaked, noisy, clipped; int16 (k, j, i).

    Parameters
    ----------
    noise_hu : float
        Standard deviation in soft tissue; a third of it in air.
    padding_hu : int, optional
        Value outside the circular field of view.
    clip_hu : tuple of int
        Lowest and highest value that the scanner stores.
    """
    dy, dx = geometry.pixel_spacing
    sigma = PSF_FWHM_MM / 2.3548
    hu = ndimage.gaussian_filter(painting.hu, (0, sigma / dy, sigma / dx))
    if "metal" in painting.masks:
        _add_streaks(hu, painting.masks["metal"], geometry, rng)
    if noise_hu > 0:
        _add_noise(hu, noise_hu, rng)
    out = np.clip(np.rint(hu), *clip_hu).astype(np.int16)
    if padding_hu is not None:
        rows, columns = hu.shape[1:]
        j, i = np.ogrid[:rows, :columns]
        radius = min(rows * dy, columns * dx) / 2
        out[:, np.hypot((j - (rows - 1) / 2) * dy, (i - (columns - 1) / 2) * dx) > radius] = padding_hu
    return out


def _add_noise(hu: np.ndarray, noise_hu: float, rng: np.random.Generator) -> None:
    """Noise with the band-pass spectrum of filtered back projection (ramp times apodisation)."""
    rows, columns = hu.shape[1:]
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    spectrum = frequency * np.exp(-((frequency / 0.22) ** 2))
    for plane in hu:
        white = rng.standard_normal((rows, columns))
        noise = np.fft.irfft2(np.fft.rfft2(white) * spectrum, s=(rows, columns))
        noise *= noise_hu / noise.std()
        # Fewer photons arrive through the middle of the body than past it.
        body = ndimage.gaussian_filter((plane > -500).astype(np.float32), 0.04 * rows)
        plane += noise * (0.33 + 0.67 * np.clip(body, 0, 1))


def _add_streaks(hu: np.ndarray, metal: np.ndarray, geometry: StackGeometry, rng: np.random.Generator) -> None:
    """Bright and dark rays around metal, fading with distance."""
    dy, dx = geometry.pixel_spacing
    for k in np.flatnonzero(metal.any(axis=(1, 2))):
        pieces, count = ndimage.label(metal[k], np.ones((3, 3)))
        centers = np.atleast_2d(ndimage.center_of_mass(metal[k], pieces, range(1, count + 1)))
        areas = np.bincount(pieces.ravel())[1:] * dx * dy
        for center, area in zip(centers, areas, strict=True):
            j, i = np.ogrid[: hu.shape[1], : hu.shape[2]]
            y, x = (j - center[0]) * dy, (i - center[1]) * dx
            profile = ndimage.gaussian_filter1d(rng.standard_normal(180), 1.5, mode="wrap")
            angle = (np.degrees(np.arctan2(y, x)) % 180).astype(np.float32)
            rays = np.interp(angle, np.arange(180), profile - profile.mean(), period=180)
            away = np.hypot(x, y)
            hu[k] += (180 * np.sqrt(min(area, 60.0) / 60.0) * rays * np.exp(-away / 30) * (away > 2)).astype(np.float32)
