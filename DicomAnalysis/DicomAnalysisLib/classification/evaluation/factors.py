"""How well single things that are not the disease tell a class, in training and on test patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..cohort import Target
from .folds import patient_folds
from .intervals import Estimate, PatientResamples, estimate, exact_bound, not_estimable, patients_among
from .metrics import Ranking, auroc
from .result import Factor
from .scores import judged_classes, too_rare
from .tags import Fact

_FEW_TESTS = 150
"""Up to so many tests every AUROC gets an interval; beyond, those that are remarkable."""

_REMARKABLE = 1.64
_PRIOR = 2.0
"""Patients of average risk that are added to each value of a text."""

Scores = tuple[np.ndarray, np.ndarray]
"""Of training and of test cases; higher speaks for the class."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """Something to be tried.

    Attributes
    ----------
    name : str
        For people.
    source : str
        "header tag", "picture" or "model".
    group : str
        Of what belongs together, for example "noise".
    scores : callable
        From a class index to `Scores`, or None where there are none.
    """

    name: str
    source: str
    group: str
    scores: Callable[[int], Scores | None]


@dataclass(frozen=True, eq=False)
class Tried:
    """One factor, one class.

    Attributes
    ----------
    factor : Factor
    outside : float array, (test cases,)
    z_training, z_test : float
        AUROC's distance from one half in standard deviations of chance; NaN where not estimable.
    z_difference : float
        Training minus test, in standard deviations; NaN where not estimable.
    index : int
        Of the class.
    """

    factor: Factor
    outside: np.ndarray
    z_training: float
    z_test: float
    z_difference: float
    index: int


@dataclass(frozen=True, eq=False)
class Trial:
    """The cases on which factors are tried.

    Attributes
    ----------
    target : Target
    truth : array of 0 and 1, (cases, classes)
    patients : str array, (cases,)
    training : bool array, (cases,)
        The others are test cases.
    inside, outside : PatientResamples
        Of training and of test cases.
    seed : int
    apart : bool
        Whether training and test are different cases. Where they are the same (predictions of
        cross-validation), what is learned is scored on patients that it was not learned from.
    """

    target: Target
    truth: np.ndarray
    patients: np.ndarray
    training: np.ndarray
    inside: PatientResamples
    outside: PatientResamples
    seed: int
    apart: bool = True


def single(fact: Fact, trial: Trial) -> Callable[[int], Scores | None]:
    """How one fact alone speaks for a class: a number by its order, a text by what it meant in training."""
    if fact.numbers is not None:
        return lambda index: _number_scores(fact.numbers, trial, index)
    return lambda index: _text_scores(fact.texts, trial, index)


def try_all(candidates: Sequence[Candidate], trial: Trial) -> list[Tried]:
    """Try every candidate on every class that training has patients enough of."""
    owners = trial.patients
    inside, outside = trial.training, ~trial.training
    tests = []
    for index in judged_classes(trial.target):
        truth = trial.truth[:, index]
        if too_rare(truth[inside], owners[inside]):
            continue
        reason = too_rare(truth[outside], owners[outside])
        for candidate in candidates:
            scores = candidate.scores(index)
            if scores is not None:
                tests.append((candidate, index, scores, reason))
    everything = len(tests) <= _FEW_TESTS
    return [_try(candidate, trial, index, scores, reason, everything) for candidate, index, scores, reason in tests]


def follows(network: np.ndarray, factor: np.ndarray, truth: np.ndarray, resamples: PatientResamples) -> Estimate:
    """Rank correlation of a network's output and a factor among cases of the same class.

    Parameters
    ----------
    network, factor : float array, (cases,)
    truth : array of 0 and 1, (cases,)
    resamples : PatientResamples
        Of the same cases.
    """
    left, right = (_within(stats.rankdata(values), truth) for values in (network, factor))
    weights = np.concatenate([np.ones((1, len(truth)), np.float32), resamples.weights])
    products = weights @ np.stack([left * right, left * left, right * right], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = products[:, 0] / np.sqrt(products[:, 1] * products[:, 2])
    return estimate(values[0], values[1:])


def _within(ranks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    centred = ranks.astype(np.float64)
    for value in (0, 1):
        of_class = truth == value
        if of_class.any():
            centred[of_class] -= centred[of_class].mean()
    return centred


def _try(candidate: Candidate, trial: Trial, index: int, scores: Scores, reason: str, everything: bool) -> Tried:
    inside, outside = trial.training, ~trial.training
    truths = trial.truth[inside, index], trial.truth[outside, index]
    values = [auroc(truth, score) for truth, score in zip(truths, scores, strict=True)]
    z_training = (values[0] - 0.5) / _chance(truths[0], trial.patients[inside])
    z_test = float("nan") if reason else (values[1] - 0.5) / _chance(truths[1], trial.patients[outside])
    full = everything or z_training > _REMARKABLE or abs(z_test) > _REMARKABLE
    training, spread = _area(truths[0], scores[0], trial.inside, trial.patients[inside], full)
    if reason:
        test, other = not_estimable(reason), float("nan")
    else:
        test, other = _area(truths[1], scores[1], trial.outside, trial.patients[outside], full)
    # Where a resampled spread is nothing, order was complete; chance's own spread is then the careful choice.
    apart = np.hypot(spread or 0.5 / abs(z_training or 1), other or 0.5 / abs(z_test or 1))
    difference = (values[0] - values[1]) / apart if full and not reason else float("nan")
    name = trial.target.classes[index]
    factor = Factor(candidate.name, candidate.source, candidate.group, trial.target.name, name, training, test)
    return Tried(factor, scores[1], z_training, z_test, float(difference), index)


def _area(
    truth: np.ndarray, score: np.ndarray, resamples: PatientResamples, patients: np.ndarray, full: bool
) -> tuple[Estimate, float]:
    """AUROC with its interval, and the standard deviation of its resamples."""
    if not full:
        return Estimate(auroc(truth, score), note="unremarkable: no interval"), float("nan")
    ranking = Ranking(truth, score)
    value = float(ranking.areas(np.ones((1, len(truth))))[0][0])
    resampled = ranking.areas(resamples.weights)[0]
    fewest = min(patients_among(patients, truth == kind) for kind in (0, 1))
    known = resampled[np.isfinite(resampled)]
    return estimate(value, resampled, exact_bound(value, fewest)), float(known.std()) if len(known) else float("nan")


def _chance(truth: np.ndarray, patients: np.ndarray) -> float:
    """Standard deviation of AUROC by chance (Mann and Whitney), with patients for cases."""
    positive, negative = (max(1, patients_among(patients, truth == value)) for value in (1, 0))
    return float(np.sqrt((positive + negative + 1) / (12 * positive * negative)))


def _number_scores(values: np.ndarray, trial: Trial, index: int) -> Scores | None:
    known = np.isfinite(values)
    seen = values[trial.training & known]
    if not len(seen) or seen.min() == seen.max():
        return None
    filled = np.where(known, values, np.median(seen))
    inside, outside = filled[trial.training], filled[~trial.training]
    sign = 1.0 if auroc(trial.truth[trial.training, index], inside) >= 0.5 else -1.0
    return sign * inside, sign * outside


def _text_scores(texts: np.ndarray, trial: Trial, index: int) -> Scores | None:
    """Share of the class among training cases with the same text; inside training, of other patients only."""
    values, codes = np.unique(texts, return_inverse=True)
    inside, outside = codes[trial.training], codes[~trial.training]
    truth = trial.truth[trial.training, index].astype(np.float64)
    if len(np.unique(inside)) < 2:
        return None
    average = truth.mean()

    def shares(chosen: np.ndarray) -> np.ndarray:
        positive = np.bincount(inside[chosen], truth[chosen], len(values))
        # The prior is that of all training cases, lest a fold's own average tells its cases.
        return (positive + _PRIOR * average) / (np.bincount(inside[chosen], minlength=len(values)) + _PRIOR)

    crossed = np.zeros(len(inside))
    folds = patient_folds(truth, trial.patients[trial.training], trial.seed)
    for fold in np.unique(folds):
        judge = folds == fold
        crossed[judge] = shares(~judge)[inside[judge]]
    return crossed, shares(np.ones(len(inside), bool))[outside] if trial.apart else crossed
