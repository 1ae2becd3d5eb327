"""Scenes for the headrest network: real slices, and what no cohort has enough of, made from them.

A third of the scenes are slices as they are; in a third another scan's support is pushed
up to and into contact; in a third a made support is. Field of view, pixel size, tilt and
position vary. A scene costs some fifty times what a look at it costs, so scenes are made
once and kept in a file; each look then varies noise, calibration and orientation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from .. import morphology as morph
from ..network.grid import PATIENT, SUPPORT
from .composites import AIR_HU, Composite, Part, compose, fit_slices, push, rim_of
from .example import Example
from .guess import classical_guess
from .made_supports import make_support

BLOCK_RANGE_MM = (1.15, 2.1)
SUPPORT_SHARE = 0.35
AS_IT_IS, REAL_SUPPORT = 0.34, 0.67
"""Shares of scenes: below the first nothing is added, below the second another scan's support is."""


class Scene(NamedTuple):
    """Three neighbouring layers and the classes of the middle one.

    Attributes
    ----------
    blocks : array of int16, shape (3, J, I)
        HU.
    classes, guess : array of uint8, shape (J, I)
        The truth, and what the classical method makes of the three layers.
    patients : tuple of str
        Whose scans are in it: of the patient, and of the support where it is another's.
    """

    blocks: np.ndarray
    classes: np.ndarray
    guess: np.ndarray
    patients: tuple[str, ...]


def make_scene(
    examples: Sequence[Example],
    size: tuple[int, int],
    seed: int,
    index: int,
    vary: bool = True,
    compose_share: float = 1.0,
) -> Scene:
    """One scene: a function of its arguments alone.

    Parameters
    ----------
    examples : sequence of Example
        Those with usable layers.
    size : tuple of int
        Rows and columns.
    seed, index : int
    vary : bool
        Whether pixel size, neighbours, sharpness and position vary.
    compose_share : float
        Share of the composites that is kept; 0 gives slices as they are.
    """
    rng = np.random.default_rng((seed, index))
    example = _chosen([e for e in examples if e.is_patient], rng)
    layer = int(rng.choice(example.usable))
    hu, labels, spacing = _three(example, layer, rng if vary else None)
    patients = (example.patient_id,)
    if rng.random() < compose_share and (labels == PATIENT).any():
        hu, labels, other = _add_support(hu, labels, spacing, examples, example, rng)
        patients += (other,) if other else ()
    guess = classical_guess(hu, spacing)[1]
    if vary and rng.random() < 0.3:
        sigma = rng.uniform(0.3, 0.9)
        hu = ndi.gaussian_filter(hu.astype(np.float32), (0, sigma, sigma))
    blocks, maps = _pooled(hu, labels, guess, spacing, rng if vary else None)
    if vary:
        blocks, maps = _turned(blocks, maps, rng)
    blocks, maps = _window(blocks, maps, size, rng)
    return Scene(np.rint(blocks).astype(np.int16), maps[0], maps[1], patients)


def _chosen(examples: Sequence[Example], rng: np.random.Generator) -> Example:
    """One of the examples; long series come more often, but not as often as they have slices."""
    weights = np.sqrt([len(example.usable) for example in examples])
    return examples[int(rng.choice(len(examples), p=weights / weights.sum()))]


def _add_support(
    hu: np.ndarray,
    labels: np.ndarray,
    spacing: tuple[float, float, float],
    examples: Sequence[Example],
    example: Example,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Add another scan's or a made support to a slice and its neighbours; the patient whose support it is, if any."""
    kind = rng.random()
    others = [e for e in examples if e.patient_id != example.patient_id]
    if kind < AS_IT_IS:
        return hu, labels, ""
    patient_mask = labels == PATIENT
    own = (labels == SUPPORT) & ~rim_of(patient_mask, spacing)
    keep_own = rng.random() < 0.5
    alone = np.where(morph.dilate(labels == SUPPORT, 1) & ~patient_mask, AIR_HU, hu).astype(np.int16)
    patient = Part(alone, patient_mask, spacing)
    whose = ""
    if kind < REAL_SUPPORT and others:
        other = _chosen(others, rng)
        whose = other.patient_id
        scene = _pushed(patient, other, rng)
    else:
        scene = compose(patient, make_support(patient_mask, spacing, rng))
    out = np.zeros_like(labels)
    out[scene.support], out[scene.patient] = SUPPORT, PATIENT
    composed = scene.hu
    if keep_own:
        out[own & (out == 0)] = SUPPORT
        composed = np.where(own & ~patient_mask, np.maximum(hu, composed), composed)
    return composed, out, whose


def _pushed(patient: Part, other: Example, rng: np.random.Generator) -> Composite:
    theirs = _alone(other, int(rng.choice(other.usable)), solid=rng.random() < 0.3)
    scaled = tuple(s * f for s, f in zip(theirs.spacing, (1, *rng.uniform(0.75, 1.25, 2)), strict=True))
    fitted = fit_slices(Part(theirs.hu, theirs.mask, scaled), patient, (0, 1, 2))
    return push(patient, fitted, float(rng.uniform(-4, 10)), float(rng.normal(0, 12)))


def _three(
    example: Example, layer: int, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """A layer and its neighbours, some of them further away, upside down or missing."""
    stride = int(rng.choice([1, 1, 2, 3])) if rng is not None else 1
    order = [layer - stride, layer, layer + stride]
    if rng is not None and rng.random() < 0.5:
        order.reverse()
    if rng is not None and rng.random() < 0.1:
        order = [layer] * 3
    chosen = np.clip(order, 0, len(example.hu) - 1)
    chosen = np.where((chosen == order), chosen, layer)
    hu, labels = example.hu[chosen], example.labels[chosen]
    if rng is not None and rng.random() < 0.5:
        hu, labels = hu[..., ::-1], labels[..., ::-1]
    return np.maximum(hu, AIR_HU), labels, example.spacing


def _alone(example: Example, layer: int, solid: bool) -> Part:
    """The support of three neighbouring layers, without foam if `solid`."""
    hu, labels, spacing = _three(example, layer, None)
    cut = (labels == SUPPORT) & ~rim_of(labels == PATIENT, spacing)
    if solid:
        cut &= morph.dilate(hu > -500, 1)
    edge = morph.dilate(cut, 1) & (labels != PATIENT)
    return Part(np.where(edge, hu, AIR_HU).astype(np.int16), cut, spacing)


def _pooled(
    hu: np.ndarray,
    labels: np.ndarray,
    guess: np.ndarray,
    spacing: tuple[float, float, float],
    rng: np.random.Generator | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Block means of three layers; classes and guess of the middle one, shape (2, J, I)."""
    pixel = max(spacing[1:])
    choices = [f for f in range(1, 9) if BLOCK_RANGE_MM[0] <= f * pixel <= BLOCK_RANGE_MM[1]] or [
        max(1, round(1.5 / pixel))
    ]
    factor = int(rng.choice(choices)) if rng is not None else min(choices, key=lambda f: abs(f * pixel - 1.5))
    rows, columns = (n // factor * factor for n in hu.shape[1:])
    start = rng.integers(0, factor, 2) if rng is not None else (0, 0)
    rows, columns = rows - factor * (start[0] > 0), columns - factor * (start[1] > 0)
    part = (slice(start[0], start[0] + rows), slice(start[1], start[1] + columns))

    def mean(plane: np.ndarray) -> np.ndarray:
        return (
            plane[..., *part]
            .reshape(*plane.shape[:-2], rows // factor, factor, columns // factor, factor)
            .mean((-3, -1), dtype=np.float32)
        )

    patient, support = mean(labels[1] == PATIENT), mean(labels[1] == SUPPORT)
    classes = np.zeros(patient.shape, np.uint8)
    classes[patient >= 0.5] = PATIENT
    classes[(support >= SUPPORT_SHARE) & (support > patient)] = SUPPORT
    middles = guess[part][factor // 2 :: factor, factor // 2 :: factor]
    return mean(hu), np.stack([classes, middles])


def _turned(blocks: np.ndarray, maps: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rotated and scaled; prone and lateral positions now and then."""
    if rng.random() < 0.25:
        turns = int(rng.integers(4))
        blocks, maps = np.rot90(blocks, turns, (1, 2)), np.rot90(maps, turns, (1, 2))
    if rng.random() < 0.5:
        return blocks, maps
    angle, scale = rng.normal(0, 0.15), rng.uniform(0.85, 1.15)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    centre = 0.5 * np.array(maps.shape[1:])
    offset = centre - matrix @ centre
    turned = [ndi.affine_transform(plane, matrix, offset, order=1, mode="constant", cval=AIR_HU) for plane in blocks]
    nearest = [ndi.affine_transform(plane, matrix, offset, order=0, mode="constant", cval=0) for plane in maps]
    return np.stack(turned), np.stack(nearest)


def _window(
    blocks: np.ndarray, maps: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A window of the wanted size around a place on the patient's or the support's surface."""
    need = [max(0, want - have) for want, have in zip(size, maps.shape[1:], strict=True)]
    if any(need):
        pad = [(0, 0), *((n // 2, n - n // 2) for n in need)]
        blocks, maps = np.pad(blocks, pad, constant_values=AIR_HU), np.pad(maps, pad)
    places = np.argwhere(maps[0] == SUPPORT)
    if not len(places) or rng.random() < 0.3:
        places = np.argwhere(maps[0] > 0)
    middle = places[rng.integers(len(places))] if len(places) else np.array(maps.shape[1:]) // 2
    start = [
        int(np.clip(m + rng.integers(-s // 3, s // 3 + 1) - s // 2, 0, n - s))
        for m, s, n in zip(middle, size, maps.shape[1:], strict=True)
    ]
    part = tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))
    return blocks[:, *part], np.ascontiguousarray(maps[:, *part])
