"""Metal in a CT slice as a scanner shows it: streaks, shadows, blooming, the end of the scale.

The slice is scanned in silico twice by a fan beam of many energies: as it is, and with metal.
Only the difference of the two is reconstructed and added to the slice. So the slice keeps the
resolution and the noise it came with, a slice without metal stays what it was to the bit, and
the metal itself looks as reconstructed: blurred by focal spot, detector and filter, darkened by
hardened beams, torn by rays on which hardly a photon arrived.

What is not modelled: movement, helical interpolation, slices thicker than the metal (unless the
share of a voxel that is metal says so), a maker's own artefact correction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage as ndi

from .attenuation import BONE_PER_CM, DETECTED_SHARE, EFFECTIVE, MATERIALS, WATER_PER_CM
from .fan_beam import FanBeam, project, project_small, reconstruct

TWELVE_BIT_HU = 3071
"""Where the scale of most scanners ends."""
EXTENDED_HU = 30710
"""Where an extended scale (ten times coarser, or 16 bit) ends."""
SOFT_HU = 100.0
"""Denser tissue than this is water with bone."""
_BONE_HU = 1000 * (BONE_PER_CM[EFFECTIVE] / WATER_PER_CM[EFFECTIVE] - 1)
_LONGEST_CM = 400.0


@dataclass(frozen=True)
class Scan:
    """How the slice is scanned.

    Attributes
    ----------
    beam : FanBeam
    photons : float
        Quanta on a detector element that nothing shades.
    electronic : float
        Noise of the electronics, in quanta.
    scatter : float
        Scattered radiation that grid and correction leave, as a share of what arrives nearby without metal.
    spot_mm : float
        Blur by the focal spot and the turn within a view, FWHM, scaled to the centre.
    sharpness : float
        Of the reconstruction filter (`fan_beam.reconstruct`): 0.7 soft, 1 standard, 1.4 sharp.
    clip_hu : int
        Where the scale ends.
    """

    beam: FanBeam = field(default_factory=FanBeam)
    photons: float = 5e5
    electronic: float = 8.0
    scatter: float = 0.01
    spot_mm: float = 0.6
    sharpness: float = 1.0
    clip_hu: int = TWELVE_BIT_HU


@dataclass(frozen=True)
class TissuePaths:
    """Line integrals of a slice without metal, cm: water (with everything soft) and bone."""

    water: np.ndarray
    bone: np.ndarray


def tissue_paths(hu: np.ndarray, spacing: tuple[float, float], beam: FanBeam) -> TissuePaths:
    """Paths of every ray through water and bone.

    Parameters
    ----------
    hu : array, shape (j, i)
        Slice without metal.
    spacing : tuple of float
        Between rows and columns, mm.
    beam : FanBeam

    Notes
    -----
    A voxel above 100 HU is water with so much cortical bone as gives its HU at 70 keV.
    """
    density = np.clip(hu.astype(np.float32), -1000, TWELVE_BIT_HU)
    bone = np.maximum(density - SOFT_HU, 0) / (_BONE_HU - SOFT_HU)
    # What is bone cannot be water as well: the two together give the voxel's attenuation.
    water = 1 + np.minimum(density, SOFT_HU) / 1000 - bone * (1 + SOFT_HU / 1000)
    paths = project(np.stack([water, bone]).astype(np.float32), spacing, beam) / 10
    return TissuePaths(np.maximum(paths[0], 0), np.maximum(paths[1], 0))


def add_streaks(
    hu: np.ndarray,
    metal: np.ndarray,
    spacing: tuple[float, float],
    *,
    material: str = "titanium",
    scan: Scan | None = None,
    seed: int = 0,
    window: tuple[slice, slice] | None = None,
    paths: TissuePaths | None = None,
) -> np.ndarray:
    """Put metal into a slice.

    Parameters
    ----------
    hu : array, shape (j, i)
        Slice without metal (`without_metal`), HU.
    metal : array of bool or float, shape (j, i)
        Where metal is; a float is the share of the voxel.
    spacing : tuple of float
        Between rows and columns, mm.
    material : str
        One of `attenuation.MATERIALS`.
    scan : Scan or None
    seed : int
        The same seed gives the same noise.
    window : tuple of slice or None
        Return only these rows and columns, which is faster.
    paths : TissuePaths or None
        `tissue_paths` of the slice and the scan's beam, if known already.

    Returns
    -------
    array of int16
        The slice with metal, between -1024 HU and the end of the scale.
    """
    scan = scan or Scan()
    window = window or (slice(0, hu.shape[0]), slice(0, hu.shape[1]))
    share = metal.astype(np.float32)
    found = hu[window].astype(np.float32)
    if share.any():
        paths = paths or tissue_paths(hu, spacing, scan.beam)
        through = project_small(share, spacing, scan.beam) / 10
        change = change_of_sinogram(through, paths, material, scan, seed)
        found += reconstruct(change, hu.shape, spacing, scan.beam, window, scan.sharpness) * np.float32(
            1e4 / WATER_PER_CM[EFFECTIVE]
        )
        found = np.clip(found, -1024, scan.clip_hu)
    return np.rint(np.minimum(found, scan.clip_hu)).astype(np.int16)


def change_of_sinogram(through: np.ndarray, paths: TissuePaths, material: str, scan: Scan, seed: int) -> np.ndarray:
    """What metal changes in the line integrals after the scanner's water correction.

    Parameters
    ----------
    through : array, shape (views, detectors)
        Path through metal, cm.
    paths : TissuePaths
    material : str
    scan : Scan
    seed : int

    Returns
    -------
    array of float32
        At 70 keV, without unit; 0 on rays that miss the metal.
    """
    spot = scan.spot_mm / 2.355 / scan.beam.pitch_mm
    reached = ndi.maximum_filter1d(through, 2 * int(np.ceil(3 * spot)) + 1, axis=1) > 0
    # Blur mixes neighbouring rays, so these are worked out, too.
    near = ndi.maximum_filter1d(reached, 2 * int(np.ceil(3 * spot)) + 1, axis=1)
    before, after = np.ones(through.shape, np.float32), np.ones(through.shape, np.float32)
    water, bone, inside = paths.water[near], paths.bone[near], through[near]
    before[near] = _transmitted(water, bone, None, None)
    after[near] = _transmitted(np.maximum(water - inside, 0), bone, inside, material)
    rng = np.random.default_rng(seed)
    clean, seen = (_blurred(signal, spot)[reached] for signal in (before, after))
    scattered = scan.scatter * clean
    counts = rng.poisson(np.maximum(seen + scattered, 0) * scan.photons) + rng.normal(0, scan.electronic, seen.size)
    # A scanner never takes the logarithm of what it cannot have counted.
    measured = np.maximum(counts / scan.photons, 2 / scan.photons)
    change = np.zeros(through.shape, np.float32)
    change[reached] = _water_corrected(-np.log(measured)) - _water_corrected(-np.log(clean + scattered))
    return change


def _transmitted(water: np.ndarray, bone: np.ndarray, metal: np.ndarray | None, material: str | None) -> np.ndarray:
    """Share of the signal that arrives behind paths in cm."""
    found = np.zeros(water.shape, np.float32)
    per_cm = MATERIALS[material].per_cm if material else None
    for n, share in enumerate(DETECTED_SHARE):
        exponent = water * np.float32(-WATER_PER_CM[n]) + bone * np.float32(-BONE_PER_CM[n])
        if metal is not None and per_cm is not None:
            exponent -= metal * np.float32(per_cm[n])
        found += np.float32(share) * np.exp(exponent)
    return found


def _blurred(signal: np.ndarray, sigma: float) -> np.ndarray:
    return ndi.gaussian_filter1d(signal, sigma, axis=1, truncate=3.0, mode="nearest")


def _water_corrected(attenuation: np.ndarray) -> np.ndarray:
    """Line integrals at 70 keV as if everything were water: what every scanner corrects for."""
    length = np.linspace(0, _LONGEST_CM, 4001)
    measured = -np.log(np.exp(-length[:, None] * WATER_PER_CM) @ DETECTED_SHARE)
    return np.interp(attenuation, measured, length * WATER_PER_CM[EFFECTIVE]).astype(np.float32)


def without_metal(hu: np.ndarray, metal: np.ndarray) -> np.ndarray:
    """The slice with metal filled by what is around it.

    Parameters
    ----------
    hu : array, shape (j, i)
    metal : array of bool
        Voxels to fill.

    Returns
    -------
    array of the slice's type
        Every filled voxel has the median HU of the rim nearest to it, softened.
    """
    if not metal.any():
        return hu.copy()
    smooth = ndi.median_filter(np.where(metal, np.median(hu[_rim(metal)]), hu), 5)
    nearest = ndi.distance_transform_edt(ndi.binary_dilation(metal, iterations=2), return_indices=True)[1]
    filled = np.where(metal, smooth[tuple(nearest)], hu).astype(np.float32)
    softened = ndi.gaussian_filter(filled, 1.5)
    return np.where(metal, softened, hu).astype(hu.dtype)


def _rim(metal: np.ndarray) -> np.ndarray:
    return ndi.binary_dilation(metal, iterations=3) & ~ndi.binary_dilation(metal)
