"""Whether a probability means what it says: reliability curve, expected calibration error, temperature.

Temperature scaling and the error (ECE) are those of Guo et al., On Calibration of Modern Neural
Networks, ICML 2017. The temperature is chosen on validation patients, never on test patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..cohort import MULTICLASS, MULTILABEL

BINS = 10
"""Of equal width."""

_SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1: the precision of float32."""

_RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Reliability:
    """What was said and what came of it, by bins of what was said.

    Attributes
    ----------
    said, was : tuple of float
        Mean probability, and share of cases in which it was true, of each bin that holds a case.
    counts : tuple of int
        Cases in each.
    error : float
        Expected calibration error: mean distance of `said` and `was`, weighted by the cases.
    """

    said: tuple[float, ...]
    was: tuple[float, ...]
    counts: tuple[int, ...]
    error: float


def reliability(truth: np.ndarray, probability: np.ndarray, bins: int = BINS) -> Reliability:
    """The reliability curve of one probability.

    Parameters
    ----------
    truth : array of 0 and 1, (cases,)
    probability : float array, (cases,)
    bins : int
    """
    truth, probability = np.asarray(truth, np.float64), np.asarray(probability, np.float64)
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    there = counts > 0
    said = np.bincount(place, probability, bins)[there] / counts[there]
    was = np.bincount(place, truth, bins)[there] / counts[there]
    error = float((counts[there] * np.abs(said - was)).sum() / len(truth)) if len(truth) else float("nan")
    return Reliability(tuple(said.tolist()), tuple(was.tolist()), tuple(counts[there].tolist()), error)


def target_reliability(kind: str, truth: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """One curve for a target: of the positive class, of the class decided for, or of all labels together.

    Parameters
    ----------
    kind : str
        "binary", "multiclass" or "multilabel".
    truth : array of 0 and 1, (cases, classes)
    probabilities : float array, (cases, classes)
    """
    if kind == MULTILABEL:
        return reliability(truth.ravel(), probabilities.ravel())
    if kind == MULTICLASS:
        said = probabilities.argmax(axis=1)
        rows = np.arange(len(said))
        return reliability(truth[rows, said], probabilities[rows, said])
    return reliability(truth[:, 1], probabilities[:, 1])


def with_temperature(kind: str, probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities as they are after the logits are divided by a temperature; 1/T takes it away again.

    Parameters
    ----------
    kind : str
    probabilities : float array, (cases, classes)
    temperature : float
        Above 0; larger is less sure.
    """
    kept = np.clip(np.asarray(probabilities, np.float64), _SMALLEST, 1 - _SMALLEST)
    if kind == MULTILABEL:
        return 1 / (1 + np.exp(-np.log(kept / (1 - kept)) / temperature))
    raised = np.log(kept) / temperature
    raised = np.exp(raised - raised.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def fit_temperature(kind: str, truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the smallest negative log likelihood, between 0.05 and 20; 1 without cases.

    Parameters
    ----------
    kind : str
    truth : array of 0 and 1, (cases, classes)
        Of validation patients.
    probabilities : float array, (cases, classes)
    """
    from scipy.optimize import minimize_scalar

    if not len(truth):
        return 1.0
    true = np.asarray(truth, bool)

    def loss(logarithm: float) -> float:
        scaled = np.clip(with_temperature(kind, probabilities, float(np.exp(logarithm))), _SMALLEST, 1 - _SMALLEST)
        of_truth = np.where(true, scaled, 1 - scaled) if kind == MULTILABEL else scaled[true]
        return float(-np.log(of_truth).mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded")
    return float(np.exp(found.x))
