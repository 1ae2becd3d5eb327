"""Lungs: light tissue that belongs to the patient although it looks like foam.

Without them a thin chest wall is torn off by the opening that removes thin supports, and
in a small field of view, where lungs reach the edge of the image, they would be taken for a pad.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from . import morphology as morph
from .coarse import CoarseGrid
from .thresholds import BodyThresholds

OPENING_MM = 8.0
RIM_MM = 6.0
ENCLOSED_SHARE, ENCLOSED_CONTACT = 0.5, 0.3
OPEN_CONTACT = 0.6
"""Share of its rim along which a light region lies against the patient's core.

On public series enclosed lungs measured 0.35 to 0.97, lungs cut by the field of view 0.79 and
more, foam and cloth never enclosed and at most 0.45.
"""


def find_lungs(
    means: np.ndarray, dense: np.ndarray, core: np.ndarray, grid: CoarseGrid, levels: BodyThresholds
) -> np.ndarray:
    """Light regions that the patient's core surrounds.

    Parameters
    ----------
    means : array of int16, shape (k, J, I)
        Block means in HU.
    dense : array of bool
        Blocks as dense as tissue.
    core : array of bool
        Thick parts known to be patient.
    grid : CoarseGrid
    levels : BodyThresholds

    Returns
    -------
    array of bool, shape (k, J, I)
    """
    light = (means > levels.support) & ~dense
    thick = morph.opening(light, grid.steps(OPENING_MM))
    labels, count = ndi.label(thick)
    if not count:
        return thick
    enclosed = morph.fill_holes(dense) & ~dense
    near_core = morph.dilate(core, grid.steps(RIM_MM))
    boxes = ndi.find_objects(labels)
    lung = np.zeros(count + 1, bool)
    for label, box in enumerate(boxes, start=1):
        around = (box[0], *(slice(max(0, part.start - 2), part.stop + 2) for part in box[1:]))
        region = labels[around] == label
        rim = morph.dilate(region, 2) & ~region
        contact = np.count_nonzero(rim & near_core[around]) / max(1, np.count_nonzero(rim))
        inside = np.count_nonzero(region & enclosed[around]) >= ENCLOSED_SHARE * np.count_nonzero(region)
        lung[label] = contact >= (ENCLOSED_CONTACT if inside else OPEN_CONTACT)
    return morph.dilate(lung[labels], grid.steps(OPENING_MM)) & light
