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
from ..headrest import border_level
from ..thresholds import BodyThresholds
from .grid import PATIENT, SUPPORT, layer_inputs

SOMETHING_HU = -850
MARGIN_BLOCKS = 16
SMALLEST_SUPPORT_ML, SMALLEST_PATIENT_ML = 1.0, 10.0
SURE, SMALLEST_TAKEN_ML, SMALLEST_APART_ML = 0.9, 2.0, 20.0
"""What the classical method calls patient is support only in pieces of which the network is so sure, of the first size
where they touch what both call support, of the second where they do not: ears and noses stand alone."""
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
    means : array of int16
        Block means in HU.
    """

    grid: CoarseGrid
    layers: np.ndarray
    patient: np.ndarray
    support: np.ndarray
    means: np.ndarray


def view(
    means: np.ndarray,
    guess: np.ndarray,
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
    guess : array of uint8, shape `grid.shape`
        The classical method's classes.
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
    inputs = layer_inputs(means[:, *part], guess[:, *part], layers[full])
    for done, (n, probabilities) in enumerate(zip(full, predictor.run(inputs), strict=True)):
        patient[n, *part] = np.rint(probabilities[PATIENT] * CERTAIN)
        support[n, *part] = np.rint(probabilities[SUPPORT] * CERTAIN)
        report((done + 1) / len(full))
    return NetworkView(grid, layers, patient, support, means[layers])


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


@dataclass(frozen=True)
class Owned:
    """Whose each block is, after whole pieces were put right.

    Attributes
    ----------
    margin : array of int32, shape (layers, J, I)
        By how much support is more probable than patient, 255ths; −255 where there is certainly no support.
    region : array of bool
        Blocks of the support.
    """

    margin: np.ndarray
    region: np.ndarray


def owned(seen: NetworkView, levels: BodyThresholds, guess: np.ndarray) -> Owned:
    """Decide whose the blocks are.

    Parameters
    ----------
    seen : NetworkView
    levels : BodyThresholds
    guess : array of uint8, shape of `seen.support`
        The classical method's classes.
    """
    block_ml = seen.grid.pixel_mm**2 * seen.grid.layer_mm / 1000
    margin = seen.support.astype(np.int32) - seen.patient
    found, islands = _whole_patient(seen, block_ml, margin)
    margin[morph.fill_holes(found & (seen.patient > CERTAIN // 2)) & ~(margin > 0)] = -CERTAIN
    _keep_patient(margin, seen, guess, block_ml)
    region = (margin > 0) & ((seen.support > CERTAIN * 2 // 5) | islands) & (seen.means > levels.support)
    labels, count = ndi.label(region)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * block_ml
    kept = sizes >= min(SMALLEST_SUPPORT_ML, 10 * block_ml * len(seen.layers))
    kept[0] = False
    return Owned(margin, kept[labels])


def _keep_patient(margin: np.ndarray, seen: NetworkView, guess: np.ndarray, block_ml: float) -> None:
    """Give back to the patient what the network takes of it without being sure, piece by piece."""
    taken = (margin > 0) & (guess == PATIENT)
    labels, count = ndi.label(taken)
    if not count:
        return
    blocks = np.bincount(labels.ravel(), minlength=count + 1)
    sure = np.bincount(labels.ravel(), seen.support.ravel(), minlength=count + 1) / np.maximum(blocks, 1)
    touching = np.zeros(count + 1, bool)
    touching[labels[morph.dilate((margin > 0) & (guess == SUPPORT), 1)]] = True
    smallest = np.where(touching, SMALLEST_TAKEN_ML, SMALLEST_APART_ML)
    back = (sure < SURE * CERTAIN) | (blocks * block_ml < smallest)
    back[0] = False
    margin[back[labels]] = -CERTAIN


def _whole_patient(seen: NetworkView, block_ml: float, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The patient without small pieces apart from it, and those of them that are support; `margin` is changed there."""
    patient = (margin <= 0) & (seen.patient > CERTAIN // 3)
    labels, count = ndi.label(patient)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * block_ml
    sizes[0] = 0
    small = sizes < min(SMALLEST_PATIENT_ML, 0.2 * sizes.max(initial=0))
    small[0] = False
    lost = small[labels]
    islands = lost & (seen.support > CERTAIN // 4)
    margin[lost] = np.where(islands[lost], 1, -CERTAIN)
    return patient & ~lost, islands


def draw_view(
    voxels: np.ndarray, seen: NetworkView, whose: Owned, levels: BodyThresholds, out: np.ndarray
) -> np.ndarray:
    """Draw the support of the layers seen at full resolution, beside what the classical method has drawn there.

    What the classical method calls support stays unless the network is sure that it is patient.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
        HU.
    seen : NetworkView
    whose : Owned
    levels : BodyThresholds
    out : array of bool, shape (k, j, i)
        Drawn by the classical method; changed in the slices of the layers.
    """
    grid, level = seen.grid, border_level(levels)
    near, core = morph.dilate(whose.region, 1), morph.erode(whose.region, 1)
    for n, layer in enumerate(seen.layers):
        slices = grid.layer_slices(int(layer))
        if out[slices.start : slices.stop].any():
            out[slices.start : slices.stop] &= ~grid.refine(seen.patient[n] > SURE * CERTAIN)
        if not whose.region[n].any():
            continue
        mine = grid.interpolate(whose.margin[n]) > 0
        border, inner = grid.refine(near[n]) & mine, grid.repeat(core[n])
        for k in slices:
            out[k] |= (border & (voxels[k] > level)) | inner
    return out
