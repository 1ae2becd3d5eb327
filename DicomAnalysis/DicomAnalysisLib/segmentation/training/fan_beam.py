"""A fan beam turning about a slice: line integrals, and filtered back-projection.

Equations after Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), 3.4.2:
a flat detector, scaled to the centre of rotation. Lengths are millimetres; x grows with the
column, y with the row, both from the centre of the slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi


@dataclass(frozen=True)
class FanBeam:
    """Geometry of the scan; the defaults are those of a common third-generation scanner.

    Attributes
    ----------
    source_mm : float
        From the focal spot to the centre of rotation.
    pitch_mm : float
        Of the detector elements, scaled to the centre.
    views : int
        Per turn.
    radius_mm : float
        Of the field of measurement; what lies outside is not seen.
    """

    source_mm: float = 541.0
    pitch_mm: float = 0.58
    views: int = 984
    radius_mm: float = 250.0

    @property
    def detectors(self) -> np.ndarray:
        """Positions of the detector elements, mm, scaled to the centre of rotation."""
        reach = self.radius_mm / np.sqrt(1 - min(0.9, self.radius_mm / self.source_mm) ** 2)
        half = int(np.ceil(reach / self.pitch_mm))
        return np.arange(-half, half + 1) * self.pitch_mm

    @property
    def angles(self) -> np.ndarray:
        """Angles of the views, radians."""
        return np.arange(self.views) * (2 * np.pi / self.views)


def project(maps: np.ndarray, spacing: tuple[float, float], beam: FanBeam) -> np.ndarray:
    """Line integrals of smooth maps, sampled coarsely and interpolated.

    Parameters
    ----------
    maps : array of float, shape (n, j, i)
    spacing : tuple of float
        Between rows and columns, mm.
    beam : FanBeam

    Returns
    -------
    array of float32, shape (n, views, detectors)
        In units of the maps times millimetres.
    """
    step = 2.5
    block = max(1, int(step / min(spacing)))
    coarse = _block_means(maps, block)
    every, apart = 6, 4
    angles = np.arange(0, beam.views, every) * (2 * np.pi / beam.views)
    detectors = beam.detectors
    places = np.arange(0, len(detectors) + apart, apart) * beam.pitch_mm + detectors[0]
    depth = np.arange(-beam.radius_mm, beam.radius_mm + step / 2, step)
    across = places[:, None] * (1 + depth / beam.source_mm)
    pixels = [size * block for size in spacing]
    middle = [(size - 1) / 2 for size in coarse.shape[1:]]
    found = np.empty((len(maps), len(angles), len(places)), np.float32)
    for view, angle in enumerate(angles):
        sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
        rows = (across * sine - depth * cosine) / pixels[0] + middle[0]
        columns = (across * cosine + depth * sine) / pixels[1] + middle[1]
        for n, plane in enumerate(coarse):
            found[n, view] = ndi.map_coordinates(plane, (rows, columns), order=1, mode="constant").sum(-1)
    found *= step * np.sqrt(1 + (places / beam.source_mm) ** 2).astype(np.float32)
    return _interpolated(found, beam.views, every, len(detectors), apart)


def _block_means(maps: np.ndarray, block: int) -> np.ndarray:
    """Block means around the same centre; a rim that fills no block is extended by nothing."""
    pad = [(-size) % (2 * block) for size in maps.shape[1:]]
    maps = np.pad(maps, ((0, 0), *((p // 2, p - p // 2) for p in pad)))
    n, rows, columns = maps.shape
    return maps.reshape(n, rows // block, block, columns // block, block).mean((2, 4), dtype=np.float32)


def _interpolated(found: np.ndarray, views: int, every: int, detectors: int, apart: int) -> np.ndarray:
    """Linear interpolation to all views, around the circle, and to all detector elements."""
    view = np.arange(views) / every
    low = view.astype(int)
    share = (view - low).astype(np.float32)[:, None]
    turned = found[:, low] * (1 - share) + found[:, (low + 1) % found.shape[1]] * share
    place = np.arange(detectors) / apart
    low = place.astype(int)
    share = (place - low).astype(np.float32)
    return turned[..., low] * (1 - share) + turned[..., np.minimum(low + 1, turned.shape[-1] - 1)] * share


def project_small(share: np.ndarray, spacing: tuple[float, float], beam: FanBeam, subpixels: int = 3) -> np.ndarray:
    """Line integrals of a small object at full resolution, its mass kept in every view.

    Every pixel is split and its area laid onto the detector elements it shades.

    Parameters
    ----------
    share : array of float, shape (j, i)
        Share of each pixel that the object fills.
    spacing : tuple of float
        Between rows and columns, mm.
    beam : FanBeam
    subpixels : int
        Parts of a pixel along each axis.

    Returns
    -------
    array of float32, shape (views, detectors)
        Path through the object, mm.
    """
    detectors = beam.detectors
    rows, columns = np.nonzero(share)
    offsets = (np.arange(subpixels) + 0.5) / subpixels - 0.5
    x = ((columns[:, None, None] + offsets - (share.shape[1] - 1) / 2) * spacing[1]).astype(np.float32)
    y = ((rows[:, None, None] + offsets[:, None] - (share.shape[0] - 1) / 2) * spacing[0]).astype(np.float32)
    x, y = (a.ravel() for a in np.broadcast_arrays(x, y))
    area = np.repeat(share[rows, columns] * (spacing[0] * spacing[1] / subpixels**2), subpixels**2).astype(np.float32)
    found = np.zeros((beam.views, len(detectors) + 1), np.float32)
    for view, angle in enumerate(beam.angles):
        sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
        stretch = 1 + (x * sine - y * cosine) / np.float32(beam.source_mm)
        s = (x * cosine + y * sine) / stretch
        # A ray's width at depth U is U * pitch * cos(gamma).
        path = area * np.sqrt(1 + (s / np.float32(beam.source_mm)) ** 2) / (stretch * np.float32(beam.pitch_mm))
        place = (s - np.float32(detectors[0])) / np.float32(beam.pitch_mm)
        low = np.floor(place).astype(np.int64)
        seen = (low >= 0) & (low < len(detectors) - 1)
        low, path, part = low[seen], path[seen], (place - low)[seen]
        found[view] = np.bincount(low, path * (1 - part), len(detectors) + 1)
        found[view] += np.bincount(low + 1, path * part, len(detectors) + 1)
    return found[:, :-1]


def reconstruct(
    sinogram: np.ndarray,
    shape: tuple[int, int],
    spacing: tuple[float, float],
    beam: FanBeam,
    window: tuple[slice, slice] | None = None,
    sharpness: float = 1.0,
) -> np.ndarray:
    """Filtered back-projection.

    Parameters
    ----------
    sinogram : array of float, shape (views, detectors)
        Line integrals.
    shape : tuple of int
        Rows and columns of the slice.
    spacing : tuple of float
        Between rows and columns, mm.
    beam : FanBeam
    window : tuple of slice or None
        Reconstruct only these rows and columns.
    sharpness : float
        Where the filter's Hann window ends, in units of the detector's Nyquist frequency.

    Returns
    -------
    array of float32
        Attenuation per millimetre (line integrals without unit), of the window's shape.
    """
    window = window or (slice(0, shape[0]), slice(0, shape[1]))
    y, x = (
        ((np.arange(size)[part] - (size - 1) / 2) * step).astype(np.float32)
        for size, part, step in zip(shape, window, spacing, strict=True)
    )
    fine = 4
    filtered = _filtered(sinogram, beam, sharpness, fine)
    first, pitch = np.float32(beam.detectors[0]), np.float32(beam.pitch_mm / fine)
    found = np.zeros((len(y), len(x)), np.float32)
    strip = max(1, 40000 // len(x))
    distance = np.float32(beam.source_mm)
    for top in range(0, len(y), strip):
        part, rows = found[top : top + strip], y[top : top + strip, None]
        for angle, line in zip(beam.angles.tolist(), filtered, strict=True):
            sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
            stretch = (1 + x * (sine / distance)) - rows * (cosine / distance)
            np.reciprocal(stretch, out=stretch)
            place = (x * (cosine / pitch) + rows * (sine / pitch)) * stretch
            place -= first / pitch - np.float32(0.5)
            value = line.take(place.astype(np.int32), mode="clip")
            stretch *= stretch
            value *= stretch
            part += value
    found *= np.float32(np.pi / beam.views)
    return found


def _filtered(sinogram: np.ndarray, beam: FanBeam, sharpness: float, fine: int) -> np.ndarray:
    """Ramp-filtered projections on a grid `fine` times finer."""
    detectors = beam.detectors
    count = len(detectors)
    size = 1 << int(np.ceil(np.log2(2 * count)))
    n = np.minimum(np.arange(size), size - np.arange(size))
    ramp = np.zeros(size)
    ramp[0] = 0.25
    ramp[n % 2 == 1] = -1 / (np.pi * n[n % 2 == 1]) ** 2
    response = np.fft.rfft(ramp).real / beam.pitch_mm
    frequency = np.arange(len(response)) / (len(response) - 1)
    response *= np.where(frequency < sharpness, 0.5 + 0.5 * np.cos(np.pi * np.minimum(frequency / sharpness, 1)), 0)
    weighted = sinogram * (beam.source_mm / np.sqrt(beam.source_mm**2 + detectors**2)).astype(np.float32)
    spectrum = np.fft.rfft(weighted, size, axis=1) * response
    smooth = np.fft.irfft(spectrum, size * fine, axis=1)[:, : count * fine]
    return (smooth * fine).astype(np.float32)
