"""Volumes that classifiers are tried on: soft tissue in air with a lesion as bright as bone, anywhere in space."""

from __future__ import annotations

import numpy as np
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume

IDENTITY = SeriesIdentity("1.2.3.4", "1.2.3", "P-1", "1.2.9", "CT", "Chest", "CHEST", "HFS")
LESION = 350


def make_volume(axes=None, lesion=(9, 30, 45), size=2, shape=(18, 72, 60), spacing=(5.0, 3.0, 2.5), value=0, tilt=0.0):
    """A box of soft tissue in air with a bright lesion; `axes` are rows of LPS directions (row, column, normal)."""
    row, column, normal = np.eye(3) if axes is None else np.asarray(axes, float)
    voxels = np.full(shape, -1000, np.int16)
    voxels[1:-1, 6:-8, 5:-9] = value
    if lesion is not None:
        k, j, i = lesion
        voxels[k - size : k + size + 1, j - size : j + size + 1, i - size : i + size + 1] = LESION
    step = normal + np.tan(np.radians(tilt)) * column
    positions = np.array([-31.0, 12.0, 55.0]) + np.arange(shape[0])[:, None] * spacing[0] * step
    return Volume(voxels, StackGeometry(row, column, spacing[1:], positions), IDENTITY)
