"""What a network learns from: slices in HU with patient and support marked, one file a series, patient by patient.

Slices are kept at about the pixel size of a head scan in a cache of plain NumPy files, so
that a cohort does not have to fit into memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...volume import Volume
from ..coarse import CoarseGrid
from ..network.grid import PATIENT, SUPPORT

FINEST_MM = 0.5
"""Pixels are put together until they are at least about this wide."""


@dataclass(frozen=True)
class Example:
    """One series to learn from.

    Attributes
    ----------
    series_uid, patient_id : str
    hu : array of int16, shape (k, j, i)
        May be mapped from a file.
    labels : array of uint8
        `network.grid` classes: background, patient, support.
    spacing : tuple of float
        Layer, row and column spacing, mm.
    usable : array of int
        Layers to learn from; the others are only neighbours.
    is_patient : bool
        False where only the support is worth learning from, as in scans of a phantom.
    """

    series_uid: str
    patient_id: str
    hu: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]
    usable: np.ndarray
    is_patient: bool = True


@dataclass(frozen=True)
class LeftOut:
    """Slices, or a whole series, that nothing is learned from, and why."""

    series_uid: str
    slices: tuple[int, ...]
    reason: str


def headrest_example(
    volume: Volume, patient: np.ndarray, support: np.ndarray, uncertain: tuple[int, ...] = ()
) -> Example:
    """Make an example of a volume whose patient and support are known.

    Parameters
    ----------
    volume : Volume
    patient, support : array of bool, shape of the volume
    uncertain : tuple of int
        Slices not to learn from.
    """
    factor = max(1, int(FINEST_MM / max(volume.geometry.pixel_spacing) + 0.25))
    grid = CoarseGrid.of_blocks(volume.shape, volume.geometry, factor)
    labels = np.zeros(grid.shape, np.uint8)
    share_of = [_shares(grid, mask) for mask in (patient, support)]
    labels[share_of[0] >= 0.5] = PATIENT
    labels[(share_of[1] >= 0.35) & (share_of[1] > share_of[0])] = SUPPORT
    doubtful = {k // grid.depth for k in uncertain}
    rows, columns = (factor * mm for mm in volume.geometry.pixel_spacing)
    return Example(
        volume.identity.series_uid,
        volume.identity.patient_id,
        grid.block_means(volume.voxels),
        labels,
        (grid.layer_mm, rows, columns),
        np.array([k for k in range(grid.shape[0]) if k not in doubtful], int),
    )


def _shares(grid: CoarseGrid, mask: np.ndarray) -> np.ndarray:
    """Share of every block that the mask fills."""
    return grid.block_means((mask * np.int16(1000)), floor=0) / 1000


def store(example: Example, folder: Path) -> Example:
    """Write the arrays below `folder` and map them back from there."""
    folder.mkdir(parents=True, exist_ok=True)
    mapped = {}
    for name in ("hu", "labels"):
        path = folder / f"{name}.npy"
        np.save(path, getattr(example, name), allow_pickle=False)
        mapped[name] = np.load(path, mmap_mode="r", allow_pickle=False)
    return replace(example, **mapped)
