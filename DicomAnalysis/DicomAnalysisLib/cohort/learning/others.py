"""Random forest and logistic regression by scikit-learn: what boosted trees are compared with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .options import LearningOptions

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


def filled(values: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Missing values as the median of training, all standardised by training, float64 (series, features)."""
    learn = values[training].astype(np.float64)
    empty = np.isnan(learn).all(axis=0)
    learn[:, empty] = 0
    median = np.nanmedian(learn, axis=0)
    learn = np.where(np.isnan(learn), median, learn)
    spread = learn.std(axis=0)
    spread[spread == 0] = 1
    complete = np.where(np.isnan(values), median, values)
    return np.clip((complete - learn.mean(axis=0)) / spread, -10, 10)


def forest(
    values: np.ndarray, truth: np.ndarray, classes: int, parts: tuple[np.ndarray, np.ndarray], options: LearningOptions
) -> tuple[np.ndarray, str]:
    """Probabilities of all series by a random forest of the training part, (series, classes), and its settings.

    Parameters
    ----------
    values : float array, (series, features)
        As `filled` gives them.
    truth : int array, (series,)
    classes : int
    parts : (training, validation)
        Row numbers; validation chooses how small a leaf may be.
    options : LearningOptions
    """
    from sklearn.ensemble import RandomForestClassifier

    def make(leaf: int) -> ClassifierMixin:
        return RandomForestClassifier(
            options.trees, min_samples_leaf=leaf, random_state=options.seed, n_jobs=options.threads or os.cpu_count()
        )

    found, leaf = _best(make, (1, 5), values, truth, classes, parts)
    return found, f"{options.trees} trees, leaves of at least {leaf}"


def logistic(
    values: np.ndarray, truth: np.ndarray, classes: int, parts: tuple[np.ndarray, np.ndarray], options: LearningOptions
) -> tuple[np.ndarray, str]:
    """The same by logistic regression; validation chooses the penalty."""
    from sklearn.linear_model import LogisticRegression

    def make(strength: float) -> ClassifierMixin:
        return LogisticRegression(C=strength, max_iter=500)

    found, strength = _best(make, options.strengths, values, truth, classes, parts)
    return found, f"penalty 1/{strength:g}"


def _best(
    make: Callable[[float], ClassifierMixin],
    settings: Sequence[float],
    values: np.ndarray,
    truth: np.ndarray,
    classes: int,
    parts: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, float]:
    """The probabilities of the setting with the lowest log loss on validation, and the setting."""
    training, validation = parts
    best = None
    for setting in settings:
        model = make(setting).fit(values[training], truth[training])
        found = np.zeros((len(values), classes))
        found[:, model.classes_] = model.predict_proba(values)
        loss = -np.log(np.maximum(found[validation, truth[validation]], 1e-6)).mean()
        if best is None or loss < best[0]:
            best = loss, found, setting
    return best[1], best[2]
