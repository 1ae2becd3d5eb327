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
from .lungs import find_lungs
from .thresholds import BodyThresholds

BROAD_MM = 4.0
"""Half the width that an ear or nose has somewhere and a sheet has not."""
CLOSING_MM = 8.0
"""Nostrils, mouth and skin folds narrower than twice this belong to the patient's inside."""
DETAIL_REACH_MM = 22.0
"""An ear reaches about 20 mm away from the head."""
DOUBT_MM = 3.0
"""Where patient and support press on each other, this much of the support is left with the patient."""
SHELL_FILL = 0.5
"""A dry or plastic skull is filled to less than this share; a head fills a frame to more."""
FAR_ML = 4.0
"""A nose tip puts a millilitre or so beyond that reach; a rail or shell puts more."""


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
    shell = _enclosing_shells(labels, count, dense, inside, int(BROAD_MM / grid.pixel_mm))
    detail, joint = _classify_rest(labels, count, dense, inside, grid)
    detail, joint = detail | shell, joint & ~shell
    patient = inside | detail[labels]
    contact: tuple[int, ...] = ()
    if joint.any():
        joined = joint[labels]
        known = rest & ~detail[labels] & (~joined | ~morph.dilate(inside, grid.steps(DETAIL_REACH_MM)))
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


def _classify_rest(
    labels: np.ndarray, count: int, dense: np.ndarray, inside: np.ndarray, grid: CoarseGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Which leftover pieces are details of the patient, and which join patient and support.

    Returns two bool arrays over the labels.
    """
    touch = morph.touching(labels, count, inside)
    if not touch.any():
        return touch, touch
    broad = np.zeros(count + 1, bool)
    broad[labels[morph.erode(dense, grid.steps(BROAD_MM))]] = True
    far = ~morph.dilate(inside, grid.steps(DETAIL_REACH_MM))
    block_ml = grid.pixel_mm**2 * grid.layer_mm / 1000
    reaches = np.bincount(labels[far], minlength=count + 1) * block_ml > FAR_ML
    detail = touch & broad & ~reaches
    joint = touch & broad & reaches
    detail[0] = joint[0] = False
    return detail, joint


def _enclosing_shells(
    labels: np.ndarray, count: int, dense: np.ndarray, inside: np.ndarray, wall_steps: int
) -> np.ndarray:
    """Which leftover pieces are a skull around a core that fills it only in part (plastic and dry skulls).

    A thick-walled piece that closes around the core in some slice is one. A frame or a
    blanket around a real head is not: there the head fills what is enclosed.
    """
    shell = np.zeros(count + 1, bool)
    sizes = np.bincount(labels[morph.erode(dense, wall_steps)], minlength=count + 1)
    sizes[0] = 0
    boxes = ndi.find_objects(labels)
    for label in np.argsort(-sizes)[:3]:
        if sizes[label] == 0:
            break
        box = boxes[label - 1]
        wall = labels[box] == label
        hollow = morph.fill_holes(np.pad(wall, ((0, 0), (1, 1), (1, 1))))[:, 1:-1, 1:-1] & ~wall
        held = int((inside[box] & hollow).sum())
        shell[label] = 0 < held < SHELL_FILL * hollow.sum()
    return shell
