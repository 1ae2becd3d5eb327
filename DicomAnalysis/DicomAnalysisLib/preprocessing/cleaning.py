"""The volume without its headrest: support voxels become air, everything else stays bit for bit."""

from __future__ import annotations

import numpy as np

from ..errors import GeometryError
from ..volume import Volume

AIR_HU = -1000
"""Air on the Hounsfield scale, by its definition."""


def cleaned_voxels(volume: Volume, support: np.ndarray) -> np.ndarray:
    """A copy of the voxels with the support set to air.

    Parameters
    ----------
    volume : Volume
        CT, in Hounsfield units.
    support : array of bool, shape (k, j, i)
        Headrest, table, pads: what is to go.

    Returns
    -------
    array of shape (k, j, i)
        Type of `volume.voxels`; voxels outside `support` are the same bits.

    Raises
    ------
    GeometryError
        If the mask is of another shape.
    """
    if support.shape != volume.shape:
        msg = f"The mask has shape {support.shape}, the volume {volume.shape}"
        raise GeometryError(msg)
    voxels = volume.voxels.copy()
    voxels[support] = AIR_HU
    return voxels
