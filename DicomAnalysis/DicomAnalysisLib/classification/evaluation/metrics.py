"""Scores of a two-way decision, for one table of cases or for many resamples of it at once.

Every function takes weights: how often each case counts. With weights of shape (resamples, cases)
it gives one number for each resample, so that a thousand resamples cost a few array operations.
Ties are handled as in scikit-learn: AUROC counts a tie as half, average precision takes all cases
of one score together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CHUNK = 4_000_000
"""Numbers worked on at a time: bounds memory for large cohorts."""


class Ranking:
    """Cases ordered by score, once for all resamples.

    Parameters
    ----------
    truth : int array, (cases,)
        1 for a positive case.
    score : float array, (cases,)
        Higher speaks for positive.
    """

    def __init__(self, truth: np.ndarray, score: np.ndarray):
        score = np.asarray(score, np.float64)
        self._order = np.argsort(-score, kind="stable")
        self._positive = (np.asarray(truth)[self._order] == 1).astype(np.float32)
        falling = score[self._order]
        self._ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(score) else np.zeros(0, int)
        self.thresholds = falling[self._ends]

    def curves(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives at every threshold, float64 (resamples, thresholds), highest threshold first."""
        drawn = np.atleast_2d(weights).astype(np.float32)[:, self._order]
        # Counts below 2**24 are exact in float32.
        hits = np.cumsum(drawn * self._positive, axis=1)[:, self._ends]
        alarms = np.cumsum(drawn * (1 - self._positive), axis=1)[:, self._ends]
        return hits.astype(np.float64), alarms.astype(np.float64)

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AUROC and average precision of every resample; NaN where it lacks positives or negatives.

        Parameters
        ----------
        weights : array, (resamples, cases)

        Returns
        -------
        auroc, average_precision : float64 array, (resamples,)
        """
        weights = np.atleast_2d(weights)
        step = max(1, _CHUNK // max(1, weights.shape[1]))
        parts = [self._areas(weights[start : start + step]) for start in range(0, len(weights), step)]
        auroc, precision = zip(*parts, strict=True)
        return np.concatenate(auroc), np.concatenate(precision)

    def _areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hits, alarms = self.curves(weights)
        positives, negatives = hits[:, -1], alarms[:, -1]
        more_hits = np.diff(hits, axis=1, prepend=0)
        more_alarms = np.diff(alarms, axis=1, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            auroc = (more_alarms * (hits - more_hits / 2)).sum(axis=1) / (positives * negatives)
            precision = np.nan_to_num(hits / (hits + alarms))
            average = (more_hits * precision).sum(axis=1) / positives
        empty = (positives == 0) | (negatives == 0)
        return np.where(empty, np.nan, auroc), np.where(empty, np.nan, average)


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN without positives or without negatives."""
    return float(Ranking(truth, score).areas(np.ones((1, len(truth))))[0][0]) if len(truth) else float("nan")


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Average precision, as scikit-learn defines it; NaN without positives or without negatives."""
    return float(Ranking(truth, score).areas(np.ones((1, len(truth))))[1][0]) if len(truth) else float("nan")


@dataclass(frozen=True)
class Rates:
    """Rates of a decision; every field is an array (resamples,), NaN where nothing was there to be judged."""

    sensitivity: np.ndarray
    specificity: np.ndarray
    ppv: np.ndarray
    npv: np.ndarray
    accuracy: np.ndarray


def rates(truth: np.ndarray, decision: np.ndarray, weights: np.ndarray | None = None) -> Rates:
    """Sensitivity, specificity, predictive values and accuracy of a two-way decision.

    Parameters
    ----------
    truth, decision : array of 0 and 1, (cases,)
    weights : array, (resamples, cases), optional
        One resample of every case once by default.
    """
    true, said = np.asarray(truth, bool), np.asarray(decision, bool)
    weights = np.ones((1, len(true)), np.float32) if weights is None else np.atleast_2d(weights).astype(np.float32)
    kinds = np.stack([true & said, true & ~said, ~true & said, ~true & ~said], axis=1).astype(np.float32)
    hit, missed, alarm, right = (weights @ kinds).astype(np.float64).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return Rates(
            hit / (hit + missed),
            right / (right + alarm),
            hit / (hit + alarm),
            right / (right + missed),
            (hit + right) / (hit + missed + alarm + right),
        )


def confusion(truth: np.ndarray, decision: np.ndarray, classes: int) -> np.ndarray:
    """Cases by true class (rows) and decided class (columns), int64 (classes, classes)."""
    truth, decision = np.asarray(truth, np.int64), np.asarray(decision, np.int64)
    return np.bincount(truth * classes + decision, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(
    truth: np.ndarray, decision: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean sensitivity of the classes that a resample holds, float64 (resamples,)."""
    truth, right = np.asarray(truth), np.asarray(truth) == np.asarray(decision)
    weights = np.ones((1, len(truth)), np.float32) if weights is None else np.atleast_2d(weights).astype(np.float32)
    of_class = (truth[:, None] == np.arange(classes)).astype(np.float32)
    there = (weights @ of_class).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = (weights @ (of_class * right[:, None])) / there
    return nan_mean(recall)


def best_threshold(truth: np.ndarray, score: np.ndarray) -> float | None:
    """The threshold with the highest sensitivity + specificity (Youden); a case at or above it is positive.

    It lies half-way between two scores that occur, so that it does not hang on the last digit of one.
    Of several that are equally good, the middle one. None without positives or negatives, or where
    no threshold is better than chance.
    """
    truth = np.asarray(truth)
    if not (truth == 1).any() or not (truth == 0).any():
        return None
    ranking = Ranking(truth, score)
    hits, alarms = (values[0] for values in ranking.curves(np.ones((1, len(truth)))))
    gain = hits / hits[-1] - alarms / alarms[-1]
    if gain.max() <= 1e-12:
        return None
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    chosen = int(best[len(best) // 2])
    following = min(chosen + 1, len(ranking.thresholds) - 1)
    return float((ranking.thresholds[chosen] + ranking.thresholds[following]) / 2)


def nan_mean(values: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is a number; NaN, without a warning, where nothing is."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)
