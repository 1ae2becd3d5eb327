"""Patient and support by a network: probabilities on blocks of 1.5 mm, a border at full resolution.

The network says of every block what it is; whole pieces are then put right (a piece of
support within the patient is patient, crumbs are nothing), and the border between patient
and support runs where both are equally probable, interpolated to a fraction of a block.
Towards air the voxels themselves decide, as in the classical method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from ...networks.prediction import Predictor
from .. import morphology as morph
from ..coarse import CoarseGrid
from .grid import PATIENT, SUPPORT, layer_inputs

SOMETHING_HU = -850
MARGIN_BLOCKS = 16
SMALLEST_SUPPORT_ML, SMALLEST_PATIENT_ML = 1.0, 10.0
CERTAIN = 255
"""Probabilities are whole 255ths."""


@dataclass(frozen=True)
class NetworkView:
    """What the network says of some layers.

    Attributes
    ----------
    grid : CoarseGrid
        Blocks of about 1.5 mm.
    layers : array of int
    patient, support : array of uint8, shape (len(layers), J, I)
        Probabilities in 255ths.
    """

    grid: CoarseGrid
    layers: np.ndarray
    patient: np.ndarray
    support: np.ndarray


def view(
    means: np.ndarray,
    grid: CoarseGrid,
    layers: np.ndarray,
    predictor: Predictor,
    report: Callable[[float], None] = lambda _share: None,
) -> NetworkView:
    """Let the network look at some layers.

    Parameters
    ----------
    means : array of int16, shape `grid.shape`
        Block means in HU.
    grid : CoarseGrid
        From `network_grid`.
    layers : array of int
    predictor : Predictor
    report : callable
        Told the share that is done.

    Returns
    -------
    NetworkView
        Layers of air alone are empty without being looked at.
    """
    patient = np.zeros((len(layers), *grid.shape[1:]), np.uint8)
    support = np.zeros_like(patient)
    part = _filled_part(means[layers])
    full = [n for n, k in enumerate(layers) if (means[k] > SOMETHING_HU).any()]
    inputs = layer_inputs(means[:, *part], layers[full])
    for done, (n, probabilities) in enumerate(zip(full, predictor.run(inputs), strict=True)):
        patient[n, *part] = np.rint(probabilities[PATIENT] * CERTAIN)
        support[n, *part] = np.rint(probabilities[SUPPORT] * CERTAIN)
        report((done + 1) / len(full))
    return NetworkView(grid, layers, patient, support)


def _filled_part(means: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold anything but air, with a margin, a multiple of 16 wide."""
    something = (means > SOMETHING_HU).any(0)
    part = []
    for axis in (1, 0):
        found = np.flatnonzero(something.any(axis))
        size = something.shape[1 - axis]
        low, high = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 1)
        part.append(slice(max(0, low - MARGIN_BLOCKS), min(size, high + MARGIN_BLOCKS)))
    return part[0], part[1]


def margin(seen: NetworkView) -> np.ndarray:
    """By how much support is more probable than patient, after whole pieces were put right.

    Returns
    -------
    array of int32, shape of `seen.support`
        255ths; positive where the block is support, −255 where there is certainly none.
    """
    block_ml = seen.grid.pixel_mm**2 * seen.grid.layer_mm / 1000
    out = seen.support.astype(np.int32) - seen.patient
    patient = _whole_patient(seen.patient > seen.support, seen.support, block_ml, out)
    inside = morph.fill_holes(patient) & ~patient
    out[inside] = -CERTAIN
    support = (out > 0) & (seen.support > CERTAIN // 4)
    labels, count = ndi.label(support, np.ones((3, 3, 3), bool))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * block_ml
    crumbs = sizes < min(SMALLEST_SUPPORT_ML, 10 * block_ml * len(seen.layers))
    crumbs[0] = False
    out[crumbs[labels]] = -CERTAIN
    return out


def _whole_patient(patient: np.ndarray, support: np.ndarray, block_ml: float, out: np.ndarray) -> np.ndarray:
    """The patient without small pieces that hang in or on the support; `out` is changed there."""
    labels, count = ndi.label(patient)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * block_ml
    sizes[0] = 0
    small = sizes < min(SMALLEST_PATIENT_ML, 0.2 * sizes.max(initial=0))
    small[0] = False
    lost = small[labels]
    out[lost] = np.where(support[lost] > CERTAIN // 4, 1, -CERTAIN)
    return patient & ~lost


def draw_view(
    voxels: np.ndarray, seen: NetworkView, margins: np.ndarray, border_hu: float, out: np.ndarray
) -> np.ndarray:
    """Draw the support of the layers seen at full resolution.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
        HU.
    seen : NetworkView
    margins : array of int32
        From `margin`.
    border_hu : float
        Denser than this a voxel at the support's surface counts.
    out : array of bool, shape (k, j, i)
        The slices of the layers are overwritten.
    """
    grid = seen.grid
    for n, layer in enumerate(seen.layers):
        slices = grid.layer_slices(int(layer))
        out[slices.start : slices.stop] = False
        if not (margins[n] > 0).any():
            continue
        more = grid.interpolate(margins[n]) > 0
        probable = grid.interpolate(np.where(margins[n] == -CERTAIN, 0, seen.support[n]).astype(np.int32))
        full = 4 * grid.factor**2 if grid.factor > 1 else 1
        near, well_inside = probable > full * CERTAIN // 5, probable > full * CERTAIN * 3 // 4
        for k in slices:
            np.logical_and(more, (near & (voxels[k] > border_hu)) | well_inside, out=out[k])
    return out
