"""Composites: a real patient with another scan's real support pushed up to and into contact.

Where a holder touches the patient nobody can draw the border on a scan with certainty, so
neither a score nor a training can rest on such slices. Here the border is known by
construction: the support was cut from a scan in which it stands apart.

Attenuation adds up: what a voxel holds of the one and of the other counts with its share
(HU + 1000 is proportional to attenuation). Where the two overlap the support gives way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from .. import morphology as morph

AIR_HU = -1000
SUPPORT_HU = -500
"""Denser than this a voxel of the support is solid; foam and cloth are lighter."""


@dataclass(frozen=True)
class Part:
    """Patient or support alone, on a grid of slices.

    Attributes
    ----------
    hu : array of int16, shape (k, j, i)
        Air elsewhere.
    mask : array of bool
        Where it is.
    spacing : tuple of float
        Slice, row and column spacing, mm.
    """

    hu: np.ndarray
    mask: np.ndarray
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class Composite:
    """A composed scan and its truth.

    Attributes
    ----------
    hu : array of int16, shape (k, j, i)
    patient, support : array of bool
    solid : array of bool
        Where the support is more than foam.
    """

    hu: np.ndarray
    patient: np.ndarray
    support: np.ndarray
    solid: np.ndarray

    @property
    def touching(self) -> np.ndarray:
        """Slices in which patient and solid support touch, bool of shape (k,)."""
        near = morph.dilate(self.patient, 2)
        return (near & self.support & self.solid).any((1, 2))


def take_apart(
    hu: np.ndarray, patient: np.ndarray, support: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[Part, Part]:
    """Patient and support of one scan, each alone.

    Parameters
    ----------
    hu : array of int16, shape (k, j, i)
    patient, support : array of bool
    spacing : tuple of float
        Slice, row and column spacing, mm.

    Returns
    -------
    patient, support : Part
        The patient keeps a rim of 2 mm, which is partly air; of the support what lies at
        least that far from the patient.
    """
    rim = rim_of(patient, spacing)
    cut = support & ~rim
    air = np.int16(AIR_HU)
    edge = morph.dilate(cut, 1) & ~rim
    return (
        Part(np.where(rim & ~support, np.maximum(hu, air), air), patient, spacing),
        Part(np.where(edge, np.maximum(hu, air), air), cut, spacing),
    )


def fit(support: Part, patient: Part, seed: int = 0) -> Part:
    """The support on the patient's grid: resampled in the plane, its slices run through to and fro.

    Parameters
    ----------
    support, patient : Part
    seed : int
        Chooses the slice to begin with.
    """
    count = support.hu.shape[0]
    start = int(np.random.default_rng(seed).integers(count))
    steps = np.rint(start + np.arange(patient.hu.shape[0]) * patient.spacing[0] / support.spacing[0]).astype(int)
    turning = np.abs((steps + count - 1) % max(1, 2 * (count - 1)) - (count - 1)) if count > 1 else 0 * steps
    return fit_slices(support, patient, turning.tolist())


def fit_slices(support: Part, patient: Part, slices: Sequence[int]) -> Part:
    """Chosen slices of the support on the patient's pixels, centred, one for each slice of the patient."""
    shape = patient.hu.shape
    zoom = [support.spacing[a] / patient.spacing[a] for a in (1, 2)]
    hu = np.full(shape, AIR_HU, np.int16)
    mask = np.zeros(shape, bool)
    done: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for k, source in enumerate(slices):
        if source not in done:
            plane = ndi.zoom(support.hu[source], zoom, order=1, mode="nearest", grid_mode=True)
            where = ndi.zoom(support.mask[source].view(np.uint8), zoom, order=0, mode="nearest", grid_mode=True)
            done[source] = plane, where.astype(bool)
        plane, where = done[source]
        hu[k] = _centred(plane, shape[1:], AIR_HU)
        mask[k] = _centred(where, shape[1:], False)
    return Part(hu, mask, patient.spacing)


def push(patient: Part, support: Part, overlap_mm: float, shift_mm: float = 0.0) -> Composite:
    """Push the support against the patient from below.

    Parameters
    ----------
    patient, support : Part
        On the same grid; below is towards higher rows, as in a supine scan.
    overlap_mm : float
        How far beyond the first touch; negative leaves a gap.
    shift_mm : float
        The support's shift along the rows, after both were centred.

    Returns
    -------
    Composite
    """
    solid = support.mask & (support.hu > SUPPORT_HU)
    columns = _centre(patient.mask) - _centre(solid) + round(shift_mm / patient.spacing[2])
    rows = _rows_to_touch(patient.mask, _moved(solid, 0, columns, False)) - round(overlap_mm / patient.spacing[1])
    hu = _moved(support.hu, rows, columns, AIR_HU)
    mask = _moved(support.mask, rows, columns, False) & ~patient.mask
    return compose(patient, Part(hu, mask, patient.spacing))


def compose(patient: Part, support: Part) -> Composite:
    """Put both into one scan; the support gives way to the patient."""
    ours = np.where(patient.mask, AIR_HU, support.hu).astype(np.int32)
    hu = np.clip(patient.hu.astype(np.int32) + ours - AIR_HU, AIR_HU, np.maximum(patient.hu, np.maximum(ours, 300)))
    return Composite(hu.astype(np.int16), patient.mask, support.mask & ~patient.mask, support.hu > SUPPORT_HU)


def _rows_to_touch(patient: np.ndarray, solid: np.ndarray) -> int:
    """Rows by which `solid` moves down until it just touches the patient from below."""
    height = patient.shape[1]
    # In every column: the patient's lowest row, and the support's highest row below which it goes on.
    rows = np.arange(height)[:, None]
    lowest = np.where(patient, rows, -1).max(1)
    highest = np.where(solid, rows, 10 * height).min(1)
    both = (lowest >= 0) & (highest < height)
    if not both.any():
        return 0
    # A holder's cheeks stand beside the head: let one column in fifty overlap before it counts as a touch.
    return int(np.percentile((lowest - highest + 1)[both], 98))


def _centre(mask: np.ndarray) -> int:
    columns = np.flatnonzero(mask.any((0, 1)))
    return int((columns[0] + columns[-1]) // 2) if len(columns) else mask.shape[2] // 2


def _moved(voxels: np.ndarray, rows: int, columns: int, fill: float) -> np.ndarray:
    out = np.full_like(voxels, fill)
    height, width = voxels.shape[1:]
    if abs(rows) < height and abs(columns) < width:
        out[:, max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = voxels[
            :, max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
        ]
    return out


def _centred(plane: np.ndarray, shape: tuple[int, int], fill: float) -> np.ndarray:
    out = np.full(shape, fill, plane.dtype)
    take, put = [], []
    for have, want in zip(plane.shape, shape, strict=True):
        size = min(have, want)
        take.append(slice((have - size) // 2, (have - size) // 2 + size))
        put.append(slice((want - size) // 2, (want - size) // 2 + size))
    out[tuple(put)] = plane[tuple(take)]
    return out


def rim_of(patient: np.ndarray, spacing: tuple[float, float, float], millimetres: float = 2.0) -> np.ndarray:
    """The patient and what lies within a distance of it in the slice."""
    return morph.dilate(patient, max(1, round(millimetres / min(spacing[1:]))))
