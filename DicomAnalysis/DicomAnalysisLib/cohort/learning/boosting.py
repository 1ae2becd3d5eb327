"""Boosted trees by XGBoost: histogram method, early stopping, a grid of settings chosen on validation patients."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .options import LearningOptions

if TYPE_CHECKING:
    import xgboost

MOST_EXPLAINED = 2000
"""Series whose SHAP values are computed."""


@dataclass(frozen=True)
class Attempt:
    """One setting of the grid, and how well it did on validation patients.

    Attributes
    ----------
    depth : int
    rate, columns : float
    trees : int
        After which the loss was lowest.
    loss : float
        Log loss on the validation part.
    chosen : bool
    """

    depth: int
    rate: float
    columns: float
    trees: int
    loss: float
    chosen: bool = False


@dataclass(frozen=True)
class Importance:
    """What one feature contributes to the boosted trees.

    Attributes
    ----------
    feature : str
    shap : float
        Mean absolute SHAP value on test series (log odds): how much it moves an answer.
    direction : float
        Rank correlation of value and contribution: positive where higher values speak for the class (or,
        with several classes, for the last one); 0 where it cannot be said.
    gain : float
        Mean gain in loss of the splits that use it; 0 where none does.
    """

    feature: str
    shap: float
    direction: float
    gain: float


@dataclass(frozen=True, eq=False)
class Boosted:
    """Boosted trees of one question.

    Attributes
    ----------
    booster : xgboost.Booster
    classes : int
        2: it answers for the second.
    attempts : tuple of Attempt
        The whole grid.
    """

    booster: xgboost.Booster
    classes: int
    attempts: tuple[Attempt, ...]

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """float64 (series, classes)."""
        import xgboost

        found = np.asarray(self.booster.predict(xgboost.DMatrix(values)), np.float64)
        return np.stack([1 - found, found], axis=1) if self.classes == 2 else found


def boost(
    values: np.ndarray, truth: np.ndarray, classes: int, parts: tuple[np.ndarray, np.ndarray], options: LearningOptions
) -> Boosted:
    """Try the grid and keep the trees with the lowest loss on validation patients.

    Parameters
    ----------
    values : float32 array, (series, features)
        NaN where not measured.
    truth : int array, (series,)
        Class index.
    classes : int
    parts : (training, validation)
        Row numbers.
    options : LearningOptions
    """
    import xgboost

    learn = xgboost.QuantileDMatrix(values[parts[0]], truth[parts[0]])
    check = xgboost.DMatrix(values[parts[1]], truth[parts[1]])
    attempts, best, booster = [], None, None
    for depth, rate, columns in itertools.product(options.depths, options.rates, options.columns):
        settings = {
            "tree_method": "hist",
            "max_depth": depth,
            "learning_rate": rate,
            "colsample_bytree": columns,
            "seed": options.seed,
            "nthread": options.threads or os.cpu_count() or 1,
            "objective": "binary:logistic" if classes == 2 else "multi:softprob",
            "eval_metric": "logloss" if classes == 2 else "mlogloss",
        }
        if classes > 2:
            settings["num_class"] = classes
        stop = xgboost.callback.EarlyStopping(rounds=options.patience, save_best=True)
        found = xgboost.train(
            settings,
            learn,
            num_boost_round=options.rounds,
            evals=[(check, "validation")],
            callbacks=[stop],
            verbose_eval=False,
        )
        attempt = Attempt(depth, rate, columns, found.best_iteration + 1, float(found.best_score))
        attempts.append(attempt)
        if best is None or attempt.loss < best.loss:
            best, booster = attempt, found
    told = (Attempt(a.depth, a.rate, a.columns, a.trees, a.loss, a is best) for a in attempts)
    return Boosted(booster, classes, tuple(told))


def importances(boosted: Boosted, values: np.ndarray, names: Sequence[str]) -> tuple[Importance, ...]:
    """Importance of every feature that the trees use, the largest SHAP first.

    SHAP values are XGBoost's own (`pred_contribs`, Lundberg's TreeSHAP), of at most `MOST_EXPLAINED` series.

    Parameters
    ----------
    boosted : Boosted
    values : float32 array, (series, features)
        Of the test part.
    names : sequence of str
    """
    import xgboost
    from scipy.stats import spearmanr

    values = values[:MOST_EXPLAINED]
    parts = np.asarray(boosted.booster.predict(xgboost.DMatrix(values), pred_contribs=True), np.float64)[..., :-1]
    several = parts.ndim == 3
    strength = np.abs(parts).mean(axis=(0, 1) if several else 0)
    told = parts[:, -1] if several else parts
    gains = boosted.booster.get_score(importance_type="gain")
    found = []
    for k in np.argsort(-strength, kind="stable"):
        gain = float(gains.get(f"f{k}", 0.0))
        if not strength[k] and not gain:
            continue
        known = np.isfinite(values[:, k])
        column, contribution = values[known, k], told[known, k]
        varies = len(column) > 2 and np.ptp(column) > 0 and np.ptp(contribution) > 0
        direction = float(spearmanr(column, contribution).statistic) if varies else 0.0
        found.append(Importance(names[k], float(strength[k]), direction, gain))
    return tuple(found)
