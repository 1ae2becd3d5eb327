"""What anybody reaches without the network: always the usual class, or a small model that sees no picture.

The small models are detectors of leaks. What they see says how a picture was made; where they tell
the label as well as the network does, the network's score says nothing about the disease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cohort import BINARY, MULTICLASS, MULTILABEL, Target
from .folds import patient_folds
from .metrics import auroc, best_threshold
from .scores import FEWEST_PATIENTS, judged_classes, too_rare
from .tags import Fact, coded

MOST_CLASSES_TO_BOOST = 4
"""With more classes only the linear model is tried: boosting each of many would take minutes."""


@dataclass(frozen=True, eq=False)
class SmallModel:
    """What a small model says.

    Attributes
    ----------
    name : str
        What it sees.
    kind : str
        What won the cross-validation, for people.
    inside : float array, (training cases, classes)
        Cross-validated: each case by a model that has not seen its patient.
    outside : float array, (test cases, classes)
        By models of all training cases.
    thresholds : mapping of int to float
        Chosen inside training.
    learned : list of int
        Classes that could be learned; the others get their frequency in training.
    """

    name: str
    kind: str
    inside: np.ndarray
    outside: np.ndarray
    thresholds: dict[int, float]
    learned: list[int]


def majority(target: Target, training: np.ndarray, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and decisions of always saying what is usual in training, each (cases, classes).

    Parameters
    ----------
    target : Target
    training : array of 0 and 1, (training cases, classes)
    cases : int
        Test cases.
    """
    frequency = training.mean(axis=0) if len(training) else np.full(len(target.classes), 0.5)
    if target.kind == MULTILABEL:
        decision = (frequency > 0.5).astype(np.int64)
    else:
        decision = (np.arange(len(frequency)) == frequency.argmax()).astype(np.int64)
    return np.tile(frequency, (cases, 1)), np.tile(decision, (cases, 1))


def small_model(
    name: str,
    facts: Sequence[Fact],
    target: Target,
    truth: np.ndarray,
    patients: Sequence[str],
    training: np.ndarray,
    seed: int = 0,
) -> SmallModel | None:
    """A small model of a group of facts; None where they say nothing or no class has patients enough.

    Logistic regression, and gradient boosting for targets of few classes; which of them is
    chosen by cross-validation with grouped patients inside training.

    Parameters
    ----------
    name : str
    facts : sequence of Fact
        Of all cases, training and test.
    target : Target
    truth : array of 0 and 1, (cases, classes)
    patients : sequence of str
    training : bool array, (cases,)
        The others are test cases.
    seed : int

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """
    from threadpoolctl import threadpool_limits

    table = coded(facts, patients, training)
    owners = np.asarray(patients, dtype=str)
    judged = judged_classes(target)
    learned = [i for i in judged if not too_rare(truth[training][:, i], owners[training], "training part")]
    if not table.shape[1] or not learned:
        return None
    frequency = truth[training].mean(axis=0)
    inside = np.tile(frequency, (int(training.sum()), 1))
    outside = np.tile(frequency, (int((~training).sum()), 1))
    kinds = set()
    boost = len(judged) <= MOST_CLASSES_TO_BOOST
    with threadpool_limits(1):  # threads of hundreds of small fits wait for each other longer than they work
        for index in learned:
            found = _fit(table[training], truth[training][:, index], owners[training], table[~training], boost, seed)
            inside[:, index], outside[:, index] = found[:2]
            kinds.add(found[2])
    inside, outside = (_completed(target, values) for values in (inside, outside))
    thresholds = {}
    for index in judged:
        best = best_threshold(truth[training][:, index], inside[:, index])
        thresholds[index] = 0.5 if best is None else best
    return SmallModel(name, " and ".join(sorted(kinds)), inside, outside, thresholds, learned)


def _completed(target: Target, probabilities: np.ndarray) -> np.ndarray:
    """Probabilities of one-of-several that add to 1."""
    if target.kind == BINARY:
        return np.stack([1 - probabilities[:, 1], probabilities[:, 1]], axis=1)
    if target.kind == MULTICLASS:
        return probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
    return probabilities


def _fit(
    seen: np.ndarray, truth: np.ndarray, patients: np.ndarray, unseen: np.ndarray, boost: bool, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Cross-validated and outside probabilities of one class, by the better kind of model."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    kinds = {"logistic regression": LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-3)}
    if boost:
        kinds["gradient boosting"] = HistGradientBoostingClassifier(
            max_iter=30, max_leaf_nodes=4, min_samples_leaf=max(FEWEST_PATIENTS, len(seen) // 50), random_state=seed
        )
    folds = patient_folds(truth, patients, seed)
    inside = {}
    for name, model in kinds.items():
        inside[name] = np.full(len(seen), truth.mean())
        for fold in np.unique(folds):
            learn, judge = folds != fold, folds == fold
            if 0 < truth[learn].sum() < learn.sum():
                inside[name][judge] = model.fit(seen[learn], truth[learn]).predict_proba(seen[judge])[:, 1]
    best = max(kinds, key=lambda name: auroc(truth, inside[name]))
    return inside[best], kinds[best].fit(seen, truth).predict_proba(unseen)[:, 1] if len(unseen) else np.zeros(0), best
