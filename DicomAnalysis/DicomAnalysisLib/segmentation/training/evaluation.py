"""The score of a network on patients that it has not seen, beside what anybody reaches without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NETWORK, EMPTY, NEIGHBOUR = "network", "empty mask", "neighbouring slice"
RESAMPLINGS, CONFIDENCE = 2000, 0.95

Slice = tuple[np.ndarray, np.ndarray]
Predict = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
"""From images to classes, uint8 (rows, columns)."""


@dataclass(frozen=True)
class ClassScore:
    """Dice of one class: the mean over patients.

    Attributes
    ----------
    name : str
    value : float
    low, high : float or None
        Its interval by resampling patients; None with a single patient.
    baselines : mapping of str to float
        The same number of the program without a network, of an empty mask, and of every slice's truth taken for
        its neighbour's.
    patients : mapping of str to float
        Dice by patient ID, of those who have the class or were given it.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    baselines: Mapping[str, float]
    patients: Mapping[str, float]


def score_patients(
    series: Iterable[tuple[str, Sequence[Slice]]],
    predict: Predict,
    class_names: Sequence[str],
    seed: int = 0,
    without: Mapping[str, Callable[[np.ndarray], np.ndarray]] | None = None,
) -> tuple[ClassScore, ...]:
    """Score a network.

    Parameters
    ----------
    series : iterable of (patient ID, slices)
        Slices of a series in their order. Series of a patient count together.
    predict : callable
    class_names : sequence of str
        Background first.
    seed : int
        Of the resampling.
    without : mapping of str to callable
        Further baselines: from an image to classes, without a network.

    Returns
    -------
    tuple of ClassScore
        One for each foreground class that is there or was found.
    """
    without = without or {}
    names = (*without, EMPTY, NEIGHBOUR)
    counts: dict[str, np.ndarray] = {}
    for patient_id, slices in series:
        mine = counts.setdefault(patient_id, np.zeros((1 + len(names), len(class_names), 2), np.int64))
        truths = [truth for _image, truth in slices]
        found = predict(image for image, _truth in slices)
        for index, ((image, truth), predicted) in enumerate(zip(slices, found, strict=True)):
            beside = truths[index - 1] if index else truths[min(1, len(truths) - 1)]
            others = (rule(image) for rule in without.values())
            for row, mask in enumerate((predicted, *others, np.zeros_like(truth), beside)):
                mine[row] += _counts(truth, mask, len(class_names))
    scores = (_class_score(counts, index, name, names, seed) for index, name in enumerate(class_names) if index)
    return tuple(one for one in scores if one is not None)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | tuple[None, None]:
    """95 % interval of a mean over patients, by resampling them (percentiles); None of a single patient's."""
    if len(values) < 2:
        return None, None
    drawn = np.random.default_rng(seed).integers(0, len(values), (RESAMPLINGS, len(values)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.asarray(values)[drawn].mean(axis=1), (tail, 100 - tail))
    return float(low), float(high)


def _class_score(
    counts: Mapping[str, np.ndarray], index: int, name: str, baselines: Sequence[str], seed: int
) -> ClassScore | None:
    there = {patient: found[:, index] for patient, found in counts.items() if found[0, index, 1]}
    if not there:
        return None
    dice = {
        patient: [2 * both / total if total else 1.0 for both, total in rows.tolist()]
        for patient, rows in there.items()
    }
    network, *others = np.mean(list(dice.values()), axis=0).tolist()
    own = {patient: values[0] for patient, values in sorted(dice.items())}
    beside = dict(zip(baselines, others, strict=True))
    return ClassScore(name, network, *interval(list(own.values()), seed), beside, own)


def _counts(truth: np.ndarray, mask: np.ndarray, classes: int) -> np.ndarray:
    """Of each class: voxels in both, and in one plus in the other."""
    pairs = np.bincount((truth.astype(np.intp) * classes + mask).ravel(), minlength=classes**2).reshape(
        classes, classes
    )
    return np.stack([np.diag(pairs), pairs.sum(0) + pairs.sum(1)], axis=1)
