"""The thick parts of a volume that are patient: head or trunk, and limbs apart from it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from . import morphology as morph
from .coarse import CoarseGrid
from .frame import StackFrame
from .thresholds import SOFT_TISSUE_HU

OPENING_MM = 5.0
"""Shells, rails and sheets are thinner than twice this."""
DEEP_MM = 5.5
"""Less than half the thickness of a finger."""
THICK_MM = 20.0
"""Half the thickness that only a trunk, head or limb has."""
LIMB_SOFT_SHARE, THICK_SOFT_SHARE = 0.75, 0.6
"""Share of soft tissue in a limb, and in a thick part; boards and blocks measure less."""
BONY_SOFT_SHARE, BONY_TISSUE_SHARE = 0.45, 0.9
"""Shares of soft tissue, and of soft tissue and bone, inside hands, wrists and feet."""
SMALLEST_LIMB_ML = 2.0


def patient_core(dense: np.ndarray, means: np.ndarray, grid: CoarseGrid, frame: StackFrame) -> np.ndarray:
    """Find the thick cores and choose those that are patient.

    Parameters
    ----------
    dense : array of bool, shape (k, J, I)
        Blocks as dense as tissue.
    means : array of int16, shape (k, J, I)
        Block means in HU.
    grid : CoarseGrid
    frame : StackFrame

    Returns
    -------
    array of bool, shape (k, J, I)
        Empty when nothing is thick enough.
    """
    opened = morph.opening(dense, grid.steps(OPENING_MM))
    labels, count = ndi.label(opened)
    if not count:
        return opened
    deep = morph.erode(dense, grid.steps(DEEP_MM))
    thick = morph.erode(deep, max(1, grid.steps(THICK_MM) - grid.steps(DEEP_MM)))
    soft = (means > SOFT_TISSUE_HU[0]) & (means < SOFT_TISSUE_HU[1])
    size, soft_size, deep_size, thick_size = (
        _sizes(labels, count, where) for where in (opened, soft, deep & opened, thick & opened)
    )
    # The main part is patient whatever it is made of: a plastic skull has little soft tissue.
    main = int(np.argmax(np.where(thick_size > 0, size + 10 * soft_size, 0) if thick_size.any() else deep_size))
    soft_share = soft_size / np.maximum(size, 1)
    volume_ml = size * grid.pixel_mm**2 * grid.layer_mm / 1000
    chosen = (thick_size > 0) & (soft_share >= THICK_SOFT_SHARE)
    limb = (soft_share >= LIMB_SOFT_SHARE) | _bony(labels, count, dense, means)
    chosen |= (deep_size > 0) & limb & (volume_ml >= min(SMALLEST_LIMB_ML, volume_ml[main]))
    chosen[main] = size[main] > 0
    chosen[0] = False
    _drop_what_lies_below(chosen, labels, main, frame)
    return chosen[labels]


def _bony(labels: np.ndarray, count: int, dense: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Which parts consist, below their surface, of soft tissue and bone alone."""
    within = morph.erode(dense, 1)
    size = np.maximum(_sizes(labels, count, within), 1)
    soft = within & (means > SOFT_TISSUE_HU[0]) & (means < SOFT_TISSUE_HU[1])
    tissue = within & (means > SOFT_TISSUE_HU[0])
    return (_sizes(labels, count, soft) >= BONY_SOFT_SHARE * size) & (
        _sizes(labels, count, tissue) >= BONY_TISSUE_SHARE * size
    )


def _sizes(labels: np.ndarray, count: int, where: np.ndarray) -> np.ndarray:
    sizes = np.bincount(labels[where], minlength=count + 1)
    sizes[0] = 0
    return sizes


def _drop_what_lies_below(chosen: np.ndarray, labels: np.ndarray, main: int, frame: StackFrame) -> None:
    """Take out of `chosen` the parts wholly below the main one: a block under the table is no limb."""
    if frame.down is None or not chosen[main]:
        return
    row_part, column_part = frame.down
    boxes = ndi.find_objects(labels)

    def extent(label: int) -> tuple[float, float]:
        """Highest and lowest corner of a part's box along the pull of gravity, in blocks."""
        _, rows, columns = boxes[label - 1]
        corners = [
            r * row_part + c * column_part for r in (rows.start, rows.stop) for c in (columns.start, columns.stop)
        ]
        return min(corners), max(corners)

    bottom = extent(main)[1]
    for label in np.flatnonzero(chosen):
        same_slices = (
            boxes[label - 1][0].start < boxes[main - 1][0].stop and boxes[main - 1][0].start < boxes[label - 1][0].stop
        )
        if label != main and same_slices and extent(label)[0] >= bottom - 2:
            chosen[label] = False
