"""Thresholds between air, foam and tissue, read off the volume itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .coarse import AIR_HU
from .histogram import integer_histogram, kmeans_1d

SOFT_TISSUE_HU = (-150, 150)
FOAM_ABOVE_AIR_HU = 40.0
"""The lightest cushions measure about 40 HU above the air around them."""
HIGHEST_HU = 1600
"""What is denser says nothing about where tissue ends."""
_CLUSTERS = 5
_BIN = 8


@dataclass(frozen=True)
class BodyThresholds:
    """Levels in HU that tell air, support material and patient apart.

    Attributes
    ----------
    air : float
        Mode of the values below −850.
    soft : float
        Centre of the cluster of soft tissue.
    support : float
        Above: something rather than air.
    tissue : float
        Above: dense enough for the patient (or a hard support).
    centers : tuple of float
        All cluster centres, ascending.
    """

    air: float
    soft: float
    support: float
    tissue: float
    centers: tuple[float, ...]


def body_thresholds(means: np.ndarray) -> BodyThresholds:
    """Levels from exact k-means over the histogram of block means.

    Parameters
    ----------
    means : array of int16, shape (k, j, i)
        Block means in HU (`CoarseGrid.block_means`), some below `HIGHEST_HU`; noise is averaged out there.

    Notes
    -----
    The soft-tissue cluster is the heaviest one between fat and blood. A patient's surface
    is found a third of the way down from soft tissue to air: the middle would take in foam
    and partial volume, a higher cut would lose ears and lips. The clamps keep a volume
    without soft tissue (a plastic skull) or without air (a small field of view) sensible.
    """
    values, counts = integer_histogram(means, AIR_HU - 24, HIGHEST_HU, _BIN)
    centers, boundaries = kmeans_1d(values, counts, _CLUSTERS)
    edges = np.concatenate([[-np.inf], boundaries, [np.inf]])
    weight = np.array([counts[(values > a) & (values <= b)].sum() for a, b in pairwise(edges)])
    tissue_like = (centers > -250) & (centers < 300)
    soft = float(centers[tissue_like][np.argmax(weight[tissue_like])]) if tissue_like.any() else 0.0
    # The mode, not the cluster's centre, which lungs and foam pull up; the lowest bins hold padding.
    thin = (values < -850) & (values > AIR_HU - 16)
    air = float(values[thin][np.argmax(counts[thin])]) if counts[thin].sum() else float(AIR_HU)
    noise = _air_noise(means, air)
    return BodyThresholds(
        air=air,
        soft=soft,
        support=air + float(np.clip(6 * noise, FOAM_ABOVE_AIR_HU, 150)),
        tissue=float(np.clip(soft - (soft - air) / 3, -420, -280)),
        centers=tuple(float(c) for c in centers),
    )


def _air_noise(means: np.ndarray, air: float) -> float:
    """Noise of the block means of air, HU: robust, from differences of neighbours.

    Differences leave out foam and the slow shading of air beside a patient.
    """
    in_air = np.abs(means[:, :, 1:] - air) < 60
    steps = np.abs(np.subtract(means[:, :, 1:], means[:, :, :-1], dtype=np.int32)[in_air])
    return float(1.4826 * np.median(steps) / np.sqrt(2)) if steps.size else 0.0
