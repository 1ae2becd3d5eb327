"""The scores of one target on test patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..cohort import BINARY, MULTICLASS, MULTILABEL, Target
from .calibration import fit_temperature, reliability, target_reliability, with_temperature
from .intervals import NOTHING, Estimate, PatientResamples, estimate, exact_bound, not_estimable, patients_among
from .metrics import Ranking, best_threshold, confusion, nan_mean, rates
from .result import NETWORK, ClassScore, ModelScore, TargetScore

FEWEST_PATIENTS = 5
"""Positive, and negative, patients in the test part without which no score is given."""

FALLBACK = 0.5


def judged_classes(target: Target) -> list[int]:
    """Classes that are scored one by one: of a binary target the positive one alone."""
    return [1] if target.kind == BINARY else list(range(len(target.classes)))


def too_rare(truth: np.ndarray, patients: Sequence[str], part: str = "test part") -> str:
    """Why a class cannot be scored, or an empty text.

    Parameters
    ----------
    truth : array of 0 and 1, (cases,)
    patients : sequence of str
        The patient of each case.
    part : str
        For the text.
    """
    positive, negative = (patients_among(patients, truth == value) for value in (1, 0))
    if min(positive, negative) >= FEWEST_PATIENTS:
        return ""
    return (
        f"not estimable: {positive} positive and {negative} negative patients in the {part}"
        f" (needs {FEWEST_PATIENTS} of each)"
    )


class TestPart:
    """Truth, patients and resamples that every model of a target is scored with.

    Parameters
    ----------
    target : Target
    truth : array of 0 and 1, (cases, classes)
        Known truth of test cases.
    patients : sequence of str
    resamples, seed : int
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    def __init__(self, target: Target, truth: np.ndarray, patients: Sequence[str], resamples: int, seed: int):
        self.target, self.truth, self.patients = target, truth, tuple(patients)
        self.resamples = PatientResamples(patients, resamples, seed)
        self.reasons = {index: too_rare(truth[:, index], patients) for index in judged_classes(target)}
        self.estimable = [index for index, reason in self.reasons.items() if not reason]

    @property
    def every_case(self) -> np.ndarray:
        """Weights that count every case once, (1, cases)."""
        return np.ones((1, len(self.truth)), np.float32)

    def areas(self, index: int, score: np.ndarray) -> tuple[tuple[float, np.ndarray], tuple[float, np.ndarray]]:
        """AUROC and average precision of one class: each as the value and those of the resamples."""
        ranking = Ranking(self.truth[:, index], score)
        values, resampled = ranking.areas(self.every_case), ranking.areas(self.resamples.weights)
        return (float(values[0][0]), resampled[0]), (float(values[1][0]), resampled[1])

    def fewest(self, index: int) -> int:
        """Patients of the rarer kind of a class."""
        return min(patients_among(self.patients, self.truth[:, index] == value) for value in (0, 1))

    def model(
        self,
        name: str,
        probabilities: np.ndarray,
        decisions: np.ndarray,
        training: Estimate | None = None,
        note: str = "",
    ) -> ModelScore:
        """A row of the comparison: the network or a baseline.

        Parameters
        ----------
        name : str
        probabilities : float array, (cases, classes)
        decisions : array of 0 and 1, (cases, classes)
        training : Estimate, optional
            AUROC inside training.
        note : str
        """
        if not self.estimable:
            nothing = not_estimable("; ".join(sorted(set(self.reasons.values()))))
            return ModelScore(name, nothing, nothing, nothing, nothing, training or NOTHING, note)
        accuracy, balanced = self._accuracies(decisions)
        return ModelScore(name, *self.mean_areas(probabilities), accuracy, balanced, training or NOTHING, note)

    def mean_areas(self, probabilities: np.ndarray) -> tuple[Estimate, Estimate]:
        """AUROC and average precision, the mean over classes that are estimable."""
        if not self.estimable:
            return (not_estimable("; ".join(sorted(set(self.reasons.values())))),) * 2
        both = [self.areas(index, probabilities[:, index]) for index in self.estimable]
        areas = []
        for which in (0, 1):
            value = float(np.mean([one[which][0] for one in both]))
            resampled = nan_mean(np.stack([one[which][1] for one in both], axis=1))
            areas.append(estimate(value, resampled, None if which else self._bound(both)))
        return areas[0], areas[1]

    def _bound(self, both: list) -> tuple[float, float] | None:
        values = [one[0][0] for one in both]
        if len(set(values)) > 1:
            return None
        return exact_bound(values[0], min(self.fewest(index) for index in self.estimable))

    def _accuracies(self, decisions: np.ndarray) -> tuple[Estimate, Estimate]:
        """Accuracy and balanced accuracy; of labels, the mean over those that are estimable."""
        both_ways = [self.every_case, self.resamples.weights]
        accuracy, balanced = [], []
        for weights in both_ways:
            found = {i: rates(self.truth[:, i], decisions[:, i], weights) for i in self.estimable}
            if self.target.kind == MULTICLASS:
                right = (self.truth.argmax(1) == decisions.argmax(1)).astype(np.float32)
                accuracy.append((weights @ right) / weights.sum(axis=1))
                balanced.append(nan_mean(np.stack([one.sensitivity for one in found.values()], axis=1)))
            else:
                accuracy.append(nan_mean(np.stack([one.accuracy for one in found.values()], axis=1)))
                halves = [(one.sensitivity + one.specificity) / 2 for one in found.values()]
                balanced.append(nan_mean(np.stack(halves, axis=1)))
        patients = len(set(self.patients))
        return tuple(estimate(one[0], many, exact_bound(float(one[0]), patients)) for one, many in (accuracy, balanced))


def decide(target: Target, probabilities: np.ndarray, thresholds: dict[int, float]) -> np.ndarray:
    """Decisions, 0 or 1, (cases, classes): the most probable class of several, else at the thresholds."""
    decisions = np.zeros(probabilities.shape, np.int64)
    if target.kind == MULTICLASS:
        decisions[np.arange(len(decisions)), probabilities.argmax(axis=1)] = 1
        return decisions
    for index, threshold in thresholds.items():
        decisions[:, index] = probabilities[:, index] >= threshold
    if target.kind == BINARY:
        decisions[:, 0] = 1 - decisions[:, 1]
    return decisions


def choose_thresholds(target: Target, truth: np.ndarray, probabilities: np.ndarray) -> dict[int, tuple[float, str]]:
    """For every judged class the threshold, chosen on validation cases, and how it was chosen."""
    chosen = {}
    for index in judged_classes(target):
        best = best_threshold(truth[:, index], probabilities[:, index]) if len(truth) else None
        if best is None:
            lacking = "validation cannot tell the class" if len(truth) else "there are no validation cases"
            chosen[index] = (FALLBACK, f"0.5, because {lacking}")
        else:
            chosen[index] = (best, "highest sensitivity + specificity on validation cases")
    return chosen


def score_network(
    part: TestPart,
    probabilities: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    temperature: float | None,
) -> TargetScore:
    """Score the network on the test part.

    Parameters
    ----------
    part : TestPart
    probabilities : float array, (cases, classes)
        Of the test cases.
    validation : (truth, probabilities)
        Each (validation cases, classes): thresholds, and a temperature that is not given, come from here.
    temperature : float or None
        That the probabilities were made with; None where they were made without.
    """
    target = part.target
    if temperature is None:
        fitted = fit_temperature(target.kind, *validation)
        before, after = probabilities, with_temperature(target.kind, probabilities, fitted)
        how = (
            "fitted here on validation cases"
            if len(validation[0])
            else "none was fitted: there are no validation cases"
        )
        told = (fitted, f"{how}; the scores are those of the probabilities as they came")
    else:
        before, after = with_temperature(target.kind, probabilities, 1 / temperature), probabilities
        told = (temperature, "the model's own; the scores are those of the calibrated probabilities")
    thresholds = choose_thresholds(target, *validation)
    decisions = decide(target, probabilities, {index: value for index, (value, _why) in thresholds.items()})
    classes = tuple(
        _score_class(part, index, probabilities[:, index], thresholds[index], before[:, index], after[:, index])
        for index in judged_classes(target)
    )
    table = None
    if target.kind != MULTILABEL:
        table = confusion(part.truth.argmax(axis=1), decisions.argmax(axis=1), len(target.classes))
    said = slice(None) if part.estimable else slice(0)
    return TargetScore(
        target,
        classes,
        (part.model(NETWORK, probabilities, decisions),),
        table,
        target_reliability(target.kind, part.truth[said], before[said]),
        target_reliability(target.kind, part.truth[said], after[said]),
        *told,
    )


def _score_class(
    part: TestPart, index: int, score: np.ndarray, threshold: tuple[float, str], before: np.ndarray, after: np.ndarray
) -> ClassScore:
    truth, patients = part.truth[:, index], part.patients
    said = score >= threshold[0]
    reason = part.reasons[index]
    counts = [int(((truth == t) & (said == s)).sum()) for t, s in ((1, True), (1, False), (0, True), (0, False))]
    errors = (None, None) if reason else tuple(reliability(truth, values).error for values in (before, after))
    curves = _curves(truth, score) if not reason else (np.zeros((2, 0)), np.zeros((2, 0)))
    return ClassScore(
        part.target.name,
        part.target.classes[index],
        len(truth),
        int((truth == 1).sum()),
        patients_among(patients, truth == 1),
        patients_among(patients, truth == 0),
        reason,
        *threshold,
        **_estimates(part, index, score, said, reason),
        counts=tuple(counts),
        error_before=errors[0],
        error_after=errors[1],
        roc=curves[0],
        precision_recall=curves[1],
    )


def _estimates(part: TestPart, index: int, score: np.ndarray, said: np.ndarray, reason: str) -> dict[str, Estimate]:
    names = ("sensitivity", "specificity", "ppv", "npv")
    if reason:
        return {name: not_estimable(reason) for name in ("auroc", "average_precision", *names)}
    truth = part.truth[:, index]
    area, precision = part.areas(index, score)
    found = {
        "auroc": estimate(*area, exact_bound(area[0], part.fewest(index))),
        "average_precision": estimate(*precision),
    }
    values, resampled = rates(truth, said), rates(truth, said, part.resamples.weights)
    judged = {"sensitivity": truth == 1, "specificity": truth == 0, "ppv": said, "npv": ~said}
    for name in names:
        value = float(getattr(values, name)[0])
        trials = patients_among(part.patients, judged[name])
        found[name] = estimate(value, getattr(resampled, name), exact_bound(value, trials))
    return found


def _curves(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC and precision-recall curves, each (2, points)."""
    hits, alarms = (values[0] for values in Ranking(truth, score).curves(np.ones((1, len(truth)))))
    roc = np.stack([np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1])])
    whole = int(np.argmax(hits == hits[-1])) + 1  # beyond full recall precision only falls
    return roc, np.stack([hits / hits[-1], hits / (hits + alarms)])[:, :whole]
