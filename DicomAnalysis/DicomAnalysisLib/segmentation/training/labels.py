"""What is patient and what is support in a series: by the classical method, or as a user has marked it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from ...volume import Volume
from .. import morphology as morph
from ..coarse import CoarseGrid
from ..options import SegmentationOptions
from ..task import analyse, segment_headrest, silent

_OPTIONS = SegmentationOptions(tasks=("headrest",), method="classical")
_SKIN_HU = -500
"""Half air, half skin."""


@dataclass(frozen=True)
class HeadrestLabels:
    """Patient and support of a volume.

    Attributes
    ----------
    patient, support : array of bool, shape (k, j, i)
    uncertain : tuple of int
        Slices in which they could not be told apart.
    """

    patient: np.ndarray
    support: np.ndarray
    uncertain: tuple[int, ...]


def classical_labels(volume: Volume) -> HeadrestLabels:
    """Labels by the classical method; no support and no patient where it finds no patient."""
    analysis = analyse(volume, _OPTIONS, silent)
    support = segment_headrest(analysis, _OPTIONS, silent).mask
    patient = patient_outline(volume.voxels, analysis.separation.patient, analysis.grid) & ~support
    return HeadrestLabels(patient, support, analysis.contact_slices)


def labels_with(volume: Volume, support: np.ndarray) -> HeadrestLabels:
    """Labels where a user has marked the support.

    What the classical method calls support and the user does not is patient where it is dense
    and hangs together with the patient, and nothing elsewhere. No slice is uncertain.

    Parameters
    ----------
    volume : Volume
    support : array of bool, shape (k, j, i)
    """
    found = classical_labels(volume)
    patient = found.patient & ~support
    doubtful = found.support & ~support & (volume.voxels > _SKIN_HU)
    if doubtful.any():
        labels, count = ndi.label(doubtful)
        beside = np.unique(labels[morph.dilate(patient, 1) & doubtful])
        joined = np.zeros(count + 1, bool)
        joined[beside] = True
        joined[0] = False
        patient |= joined[labels]
    return HeadrestLabels(patient, support, ())


def patient_outline(voxels: np.ndarray, patient: np.ndarray, grid: CoarseGrid) -> np.ndarray:
    """The patient at full resolution: along its surface a voxel counts when it is denser than half skin, half air.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
        HU.
    patient : array of bool, shape `grid.shape`
        On the coarse grid, holes filled.
    grid : CoarseGrid
    """
    out = np.zeros(voxels.shape, bool)
    wide, core = morph.dilate(patient, 1), morph.erode(patient, 1)
    for layer in np.flatnonzero(patient.any((1, 2))):
        near, inner = grid.refine(wide[layer]), grid.refine(core[layer])
        for k in grid.layer_slices(layer):
            out[k] = inner | (near & (voxels[k] > _SKIN_HU))
    return out


__all__ = ["HeadrestLabels", "classical_labels", "labels_with", "patient_outline"]
