"""Details of the patient or support: what is left over once the thick core of the patient is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from . import morphology as morph
from .coarse import CoarseGrid
from .frame import StackFrame

BROAD_MM = 4.0
"""Half the width that an ear or nose has somewhere and a sheet has not."""
DETAIL_REACH_MM = 22.0
"""An ear reaches about 20 mm away from the head."""
FAR_ML = 4.0
"""A nose tip puts a millilitre or so beyond that reach; a rail or shell puts more."""
WIDE_MM = 120.0
"""No detail of a patient is this wide across the pull of gravity; a table top is."""
SHELL_FILL = 0.5
"""A dry or plastic skull is filled to less than this share; a head fills a frame to more."""


@dataclass(frozen=True)
class Leftovers:
    """Which connected pieces are what: bool arrays over the labels of the pieces.

    Attributes
    ----------
    detail : array of bool
        Ears, nose, fingers: patient.
    joint : array of bool
        Partly patient, partly support: to be divided.
    under : array of bool
        Those of the joint pieces that are wide and press on the patient from below.
    """

    detail: np.ndarray
    joint: np.ndarray
    under: np.ndarray


def classify(
    labels: np.ndarray, count: int, dense: np.ndarray, inside: np.ndarray, grid: CoarseGrid, frame: StackFrame
) -> Leftovers:
    """Tell what each leftover piece is; what is neither detail nor joint is support.

    Parameters
    ----------
    labels, count : array of int, int
        Connected pieces of what is dense and not inside the patient.
    dense, inside : arrays of bool, shape (k, J, I)
        Blocks as dense as tissue; the patient's closed outline.
    grid : CoarseGrid
    frame : StackFrame
    """
    nothing = np.zeros(count + 1, bool)
    touch = morph.touching(labels, count, inside)
    if not touch.any():
        return Leftovers(_skulls(labels, count, dense, inside, grid), nothing, nothing)
    broad = nothing.copy()
    broad[labels[morph.erode(dense, grid.steps(BROAD_MM))]] = True
    far = ~morph.dilate(inside, grid.steps(DETAIL_REACH_MM))
    block_ml = grid.pixel_mm**2 * grid.layer_mm / 1000
    reaches = np.bincount(labels[far], minlength=count + 1) * block_ml > FAR_ML
    shell = _skulls(labels, count, dense, inside, grid)
    candidates = touch & broad & ~shell
    candidates[0] = False
    under = candidates & ~reaches & _wide(labels, candidates, grid, frame)
    return Leftovers(shell | (candidates & ~reaches & ~under), candidates & (reaches | under), under)


def below(inside: np.ndarray, grid: CoarseGrid, frame: StackFrame) -> np.ndarray:
    """Blocks that have the patient above them within a detail's reach; none where gravity is unknown."""
    out = np.zeros_like(inside)
    if frame.down is None:
        return out
    axis = 1 if abs(frame.down[0]) >= abs(frame.down[1]) else 2
    upward = frame.down[axis - 1] < 0
    source, target = (np.flip(inside, axis), np.flip(out, axis)) if upward else (inside, out)
    source, target = np.moveaxis(source, axis, 0), np.moveaxis(target, axis, 0)
    for step in range(1, grid.steps(DETAIL_REACH_MM) + 1):
        target[step:] |= source[:-step]
    return out


def _wide(labels: np.ndarray, candidates: np.ndarray, grid: CoarseGrid, frame: StackFrame) -> np.ndarray:
    """Which of the candidates are wider, across the pull of gravity, than any detail of a patient."""
    wide = np.zeros_like(candidates)
    if frame.down is None:
        return wide
    across = 2 if abs(frame.down[0]) >= abs(frame.down[1]) else 1
    boxes = ndi.find_objects(labels)
    for label in np.flatnonzero(candidates):
        extent = boxes[label - 1][across]
        wide[label] = (extent.stop - extent.start) * grid.pixel_mm > WIDE_MM
    return wide


def _skulls(labels: np.ndarray, count: int, dense: np.ndarray, inside: np.ndarray, grid: CoarseGrid) -> np.ndarray:
    """Which leftover pieces are a skull around a core that fills it only in part (plastic and dry skulls).

    A thick-walled piece that closes around the core in some slice is one. A frame or a
    blanket around a real head is not: there the head fills what is enclosed.
    """
    shell = np.zeros(count + 1, bool)
    sizes = np.bincount(labels[morph.erode(dense, int(BROAD_MM / grid.pixel_mm))], minlength=count + 1)
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
