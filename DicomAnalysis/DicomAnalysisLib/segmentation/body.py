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
from .thresholds import SOFT_TISSUE_HU, BodyThresholds

OPENING_MM = 5.0
CORE_MM = 7.0
"""Depth a core of the patient has at least somewhere; fingers lie near it, shells below."""
THICK_MM = 20.0
"""Depth that only a trunk, head or limb has."""
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
    contact_slices : tuple of int
        Slices where patient and support touch and the border was drawn midway.
    """

    patient: np.ndarray
    dense_support: np.ndarray
    contact_slices: tuple[int, ...]


def separate(
    means: np.ndarray, grid: CoarseGrid, levels: BodyThresholds, slice_mm: float, shifts: np.ndarray
) -> Separation:
    """Tell patient from support.

    Parameters
    ----------
    means : array of int16, shape (k, J, I)
        Block means in HU.
    grid : CoarseGrid
    levels : BodyThresholds
    slice_mm : float
        Distance between slices along their normal.
    shifts : array of int, shape (k, 2)
        See `contact.profile`, in blocks.
    """
    dense = means > levels.tissue
    core = _patient_core(dense, means, grid)
    if not core.any():
        return Separation(core, dense, ())
    inside = morph.fill_holes(morph.closing(core, grid.steps(CLOSING_MM)))
    rest = dense & ~inside
    labels, count = ndi.label(rest)
    shell = _enclosing_shells(labels, count, dense, inside)
    detail, joint = _classify_rest(labels, count, dense, inside, grid, slice_mm)
    detail, joint = detail | shell, joint & ~shell
    patient = inside | detail[labels]
    contact: tuple[int, ...] = ()
    if joint.any():
        joined = joint[labels]
        known = rest & ~detail[labels] & (~joined | ~morph.dilate(inside, grid.steps(DETAIL_REACH_MM)))
        along = profile(known, shifts) & dense & ~core
        patient &= ~along  # a rail pressed to the cheek lies within the closed outline, too
        joined |= along
        to_patient, contact = divide(joined, patient & ~joined, joined & (known | along), grid.pixel_mm, slice_mm)
        patient |= to_patient
        patient |= joined & morph.dilate(to_patient, grid.steps(DOUBT_MM))
    patient = morph.fill_holes(patient)
    return Separation(patient, dense & ~patient, contact)


def _patient_core(dense: np.ndarray, means: np.ndarray, grid: CoarseGrid) -> np.ndarray:
    """The thick parts that are patient: the main one, and limbs apart from it."""
    opened = morph.opening(dense, grid.steps(OPENING_MM))
    labels, count = ndi.label(opened)
    if not count:
        return opened
    deep = morph.erode(dense, grid.steps(CORE_MM))
    thick = morph.erode(deep, max(1, grid.steps(THICK_MM) - grid.steps(CORE_MM)))
    soft = (means > SOFT_TISSUE_HU[0]) & (means < SOFT_TISSUE_HU[1])
    size = np.bincount(labels.ravel(), minlength=count + 1)
    soft_size = np.bincount(labels[soft], minlength=count + 1)
    deep_size = np.bincount(labels[deep & opened], minlength=count + 1)
    thick_size = np.bincount(labels[thick & opened], minlength=count + 1)
    for sizes in (size, soft_size, deep_size, thick_size):
        sizes[0] = 0
    soft_share = soft_size / np.maximum(size, 1)
    chosen = (thick_size > 0) & (soft_share >= 0.6)
    chosen |= (deep_size > 0) & (soft_share >= 0.75)
    chosen[0] = False
    # The main part is patient whatever it is made of: a plastic skull has little soft tissue.
    main = int(np.argmax(np.where(thick_size > 0, size + 10 * soft_size, 0) if thick_size.any() else deep_size))
    if size[main]:
        chosen[main] = True
    return chosen[labels]


def _classify_rest(
    labels: np.ndarray, count: int, dense: np.ndarray, inside: np.ndarray, grid: CoarseGrid, slice_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which leftover pieces are details of the patient, and which join patient and support.

    Returns two bool arrays over the labels.
    """
    touch = morph.touching(labels, count, inside)
    if not touch.any():
        return touch, touch
    broad = np.zeros(count + 1, bool)
    broad[labels[morph.erode(dense, 2)]] = True
    far = ~morph.dilate(inside, grid.steps(DETAIL_REACH_MM))
    block_ml = grid.pixel_mm**2 * slice_mm / 1000
    reaches = np.bincount(labels[far], minlength=count + 1) * block_ml > FAR_ML
    detail = touch & broad & ~reaches
    joint = touch & broad & reaches
    detail[0] = joint[0] = False
    return detail, joint


def _enclosing_shells(labels: np.ndarray, count: int, dense: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Which leftover pieces are a skull around a core that fills it only in part (plastic and dry skulls).

    A thick-walled piece that closes around the core in some slice is one. A frame or a
    blanket around a real head is not: there the head fills what is enclosed.
    """
    shell = np.zeros(count + 1, bool)
    sizes = np.bincount(labels[morph.erode(dense, 2)], minlength=count + 1)
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
