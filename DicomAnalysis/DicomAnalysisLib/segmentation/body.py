"""Patient and support, told apart on the coarse grid.

A patient is thick: soft tissue and bone several millimetres deep. Tables, shells, rails,
sheets and straps are thin. So the thick cores are found first (opening), the cores that
are patient are chosen, and what is left over is given to the patient where it is a detail
of the patient's surface (ear, nose, finger) and to the support where it is thin, apart, or
reaches too far away. What joins both is divided where fronts from either side meet, and
those slices are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from . import morphology as morph
from .coarse import CoarseGrid
from .contact import divide, profile
from .core import OPENING_MM, patient_core
from .frame import StackFrame
from .leftovers import DETAIL_REACH_MM, below, classify
from .lungs import find_lungs
from .thresholds import BodyThresholds

CLOSING_MM = 8.0
"""Nostrils, mouth and skin folds narrower than twice this belong to the patient's inside."""
DOUBT_MM = 3.0
"""Where patient and support press on each other, this much of the support is left with the patient."""


@dataclass(frozen=True)
class Separation:
    """Patient and support on the coarse grid.

    Attributes
    ----------
    patient : array of bool, shape (k, J, I)
        With cavities (lungs, airways, bowel) filled.
    dense_support : array of bool
        Support as dense as tissue; foam and cloth are found later.
    contact_layers : tuple of int
        Layers where patient and support touch and the border was drawn midway.
    """

    patient: np.ndarray
    dense_support: np.ndarray
    contact_layers: tuple[int, ...]


def separate(means: np.ndarray, grid: CoarseGrid, levels: BodyThresholds, frame: StackFrame) -> Separation:
    """Tell patient from support.

    Parameters
    ----------
    means : array of int16, shape (k, J, I)
        Block means in HU.
    grid : CoarseGrid
    levels : BodyThresholds
    frame : StackFrame
        How the slices lie in the scanner.
    """
    dense = means > levels.tissue
    core = patient_core(dense, means, grid, frame)
    if not core.any():
        return Separation(core, dense, ())
    lungs = find_lungs(means, dense, core, grid, levels)
    if lungs.any():
        core = _with_lungs(core, dense | lungs, grid)
    inside = morph.fill_holes(morph.closing(core, grid.steps(CLOSING_MM)))
    rest = dense & ~inside
    labels, count = ndi.label(rest)
    found = classify(labels, count, dense, inside, grid, frame)
    detail = found.detail[labels]
    patient = inside | detail
    contact: tuple[int, ...] = ()
    if found.joint.any():
        joined = found.joint[labels]
        known = rest & ~detail & (~joined | ~morph.dilate(inside, grid.steps(DETAIL_REACH_MM)))
        if found.under.any():
            known |= found.under[labels] & below(inside, grid, frame) & ~morph.dilate(inside, 1)
        along = profile(known, frame.shifts) & dense & ~core
        patient &= ~along  # a rail pressed to the cheek lies within the closed outline, too
        joined |= along
        to_patient, contact = divide(joined, patient & ~joined, joined & (known | along), grid.pixel_mm, grid.layer_mm)
        patient |= to_patient
        patient |= joined & morph.dilate(to_patient, grid.steps(DOUBT_MM))
    patient = morph.fill_holes(patient)
    return Separation(patient, dense & ~patient, contact)


def _with_lungs(core: np.ndarray, dense_or_lung: np.ndarray, grid: CoarseGrid) -> np.ndarray:
    """The core again, with lungs counted as tissue, so that a thin chest wall is part of it."""
    labels, count = ndi.label(morph.opening(dense_or_lung, grid.steps(OPENING_MM)))
    chosen = np.zeros(count + 1, bool)
    chosen[labels[core]] = True
    chosen[0] = False
    return chosen[labels] | core
