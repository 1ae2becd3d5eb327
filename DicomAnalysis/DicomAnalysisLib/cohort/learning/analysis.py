"""From features and labels to models, compared on the same patients: everything in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...classification.cohort import MULTICLASS, MULTILABEL, Cohort, Split, Target
from ...classification.evaluation.baselines import majority
from ...classification.evaluation.intervals import Estimate, estimate
from ...classification.evaluation.metrics import nan_mean
from ...classification.evaluation.predictions import Predictions, read_predictions
from ...classification.evaluation.scores import TestPart, choose_thresholds, decide
from ...classification.grouping import patient_key
from ...classification.leaks import leaks
from ...classification.splits import split_patients
from ...classification.tables import Labels
from ...classification.targets import LabelColumns
from ...errors import UsageError
from ..features.table import FeatureTable
from .boosting import boost, importances
from .labelled import STACK, label_table
from .leakage import tag_leaks, tags_model
from .options import LearningOptions
from .others import filled, forest, logistic
from .result import FOREST, LOGISTIC, MAJORITY, NETWORK, XGBOOST, Learning, TargetLearning

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row numbers of training, validation and test."""


def learn_table(
    table: FeatureTable,
    labels: Labels,
    columns: Sequence[LabelColumns] = (),
    options: LearningOptions | None = None,
    predictions: Path | str | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> Learning:
    """Learn labels from features, and compare the models on the same patients.

    Parameters
    ----------
    table : FeatureTable
    labels : path or (header, rows)
    columns : sequence of LabelColumns
        Which columns are targets; empty: the only one that is no identifier.
    options : LearningOptions, optional
    predictions : path, optional
        The predictions.csv of a classifier's training: its split is taken, and it is compared.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    Learning

    Raises
    ------
    UsageError
        If labels fit no series, there are too few patients, or the split divides a patient.
    SourceError
        If a file cannot be read.
    """
    options, start = options or LearningOptions(), time.perf_counter()
    cohort = label_table(table, labels, columns)
    said = read_predictions(predictions, cohort.targets) if predictions is not None else None
    if said is None:
        split, notes = split_patients(cohort, options.fractions, options.seed), []
    else:
        split, notes = split_of(cohort, said, options.seed)
    shared = leaks(cohort, split)
    if shared:
        raise UsageError(f"The split divides a patient: {shared[0]} Split by patients, and train again.")
    rows = {case.case_id: k for k, case in enumerate(cohort.cases)}
    parts = tuple(np.array([rows[name] for name in part], np.int64) for part in split.parts.values())
    for name, part in zip(split.parts, parts, strict=True):
        if not len(part):
            raise UsageError(f"The {name} part is empty; more labelled patients are needed, or other shares.")
    chosen = table.select(case.case_id for case in cohort.cases).measured()
    values = np.where(np.isfinite(chosen.values), chosen.values, np.nan)
    targets = tuple(
        _learn(cohort, target, values, chosen.names, parts, said, options, progress) for target in cohort.targets
    )
    patients = {
        name: len({patient_key(cohort.cases[k]) for k in part}) for name, part in zip(split.parts, parts, strict=True)
    }
    return Learning(
        cohort,
        split,
        options,
        chosen.names,
        targets,
        table.model_hash,
        table.recipe_hash,
        tuple(notes),
        time.perf_counter() - start,
        patients,
    )


def split_of(cohort: Cohort, said: Predictions, seed: int = 0) -> tuple[Split, list[str]]:
    """The split of a classifier's training: its validation and test patients; all others train.

    A case of the classifier may be a series, or a patient; a patient's series all go where the case went.

    Raises
    ------
    UsageError
        If a patient was predicted in two parts, or no test case is among the labelled series.
    """
    part_of: dict[str, str] = {}
    for patient, part in zip(said.patient_ids, said.parts, strict=True):
        if part_of.setdefault(patient.strip(" \0"), part) != part:
            raise UsageError("The predictions put one patient into two parts; the classifier must be trained again.")
    parts: dict[str, list[str]] = {"training": [], "validation": [], "test": []}
    known = {name for name, _ in _matches(cohort, said)}
    left = 0
    for case in cohort.cases:
        part = part_of.get(case.patient_id.strip(" \0"), "training")
        if part == "test" and case.case_id not in known:
            left += 1  # the network did not answer for it: both are scored on the same series
            continue
        parts[part].append(case.case_id)
    if not parts["test"]:
        raise UsageError("Not one test case of the predictions is among the labelled series; are they of one cohort?")
    notes = ["The split is that of the classifier's training."]
    if left:
        notes.append(f"{left} series of test patients were left out: the network did not answer for them.")
    if not parts["validation"]:
        raise UsageError("The predictions hold no validation cases; write them with the validation part, too.")
    return Split(*(tuple(parts[name]) for name in ("training", "validation", "test")), seed), notes


def _matches(cohort: Cohort, said: Predictions) -> list[tuple[str, int]]:
    """Case of the cohort and row of the predictions: by series, else by patient where each has one row."""
    by_name = {name: k for k, name in enumerate(said.case_ids)}
    by_patient: dict[str, list[int]] = {}
    for k, patient in enumerate(said.patient_ids):
        by_patient.setdefault(patient.strip(" \0"), []).append(k)
    found = []
    for case in cohort.cases:
        row = by_name.get(case.case_id, by_name.get(case.case_id.split(STACK)[0], by_name.get(case.patient_id)))
        if row is None:
            rows = by_patient.get(case.patient_id.strip(" \0"), [])
            # A study's or file's name is not in a feature table: a patient's only row is theirs.
            row = rows[0] if len(rows) == 1 else None
        if row is not None:
            found.append((case.case_id, row))
    return found


def _learn(
    cohort: Cohort,
    target: Target,
    values: np.ndarray,
    names: tuple[str, ...],
    parts: Parts,
    said: Predictions | None,
    options: LearningOptions,
    progress: Callable[[str], None],
) -> TargetLearning:
    training, validation, test = parts
    truth = target.indicators(cohort.labels_of(target))
    part = TestPart(target, truth[test], [cohort.cases[k].patient_id for k in test], options.resamples, options.seed)
    found: dict[str, tuple[np.ndarray, str]] = {}
    progress(f"{target.name}: boosted trees")
    boosted = {}
    complete = filled(values, training)
    questions = _questions(target, truth)
    together = []
    for name, answer, classes in questions:
        _check_learnable(name, answer[training], classes)
        boosted[name] = boost(values, answer, classes, (training, validation), options)
        together.append(boosted[name].probabilities(values))
    chosen = [next(a for a in one.attempts if a.chosen) for one in boosted.values()]
    note = "; ".join(f"{a.trees} trees of depth {a.depth}, rate {a.rate:g}" for a in chosen[:3])
    found[XGBOOST] = _united(target, together), note
    for name, make in ((FOREST, forest), (LOGISTIC, logistic)):
        progress(f"{target.name}: {name}")
        answers = [make(complete, answer, classes, (training, validation), options) for _, answer, classes in questions]
        found[name] = _united(target, [one for one, _ in answers]), answers[0][1]
    scores = []
    for name, (probabilities, note) in found.items():
        thresholds = choose_thresholds(target, truth[validation], probabilities[validation])
        decisions = decide(target, probabilities[test], {k: value for k, (value, _why) in thresholds.items()})
        scores.append(part.model(name, probabilities[test], decisions, note=note))
    tested = {name: probabilities[test] for name, (probabilities, _note) in found.items()}
    difference = None
    if said is not None:
        tested[NETWORK], score = _network(cohort, target, truth, parts, said, part)
        scores.insert(1, score)
        difference = paired_difference(part, tested[XGBOOST], tested[NETWORK])
    progress(f"{target.name}: what the acquisition tags tell")
    learn = np.sort(np.concatenate([training, validation]))
    scores.append(part.model(MAJORITY, *majority(target, truth[learn], len(test))))
    tags = tags_model(target, cohort.cases, truth, learn, part, test)
    scores += [tags] if tags is not None else []
    return TargetLearning(
        target,
        tuple(scores),
        difference,
        boosted,
        {name: one.attempts for name, one in boosted.items()},
        {name: importances(one, values[test], names) for name, one in boosted.items()},
        tuple(tag_leaks(target, cohort.cases, truth, learn, part, test)),
        tested,
    )


def paired_difference(part: TestPart, first: np.ndarray, second: np.ndarray) -> Estimate:
    """AUROC of the first minus that of the second, both on the same resamples of the test patients."""
    if not part.estimable:
        return Estimate(None, note="; ".join(sorted(set(part.reasons.values()))))
    areas = [[part.areas(k, one[:, k])[0] for k in part.estimable] for one in (first, second)]
    values = [float(np.mean([area[0] for area in one])) for one in areas]
    resampled = [nan_mean(np.stack([area[1] for area in one], axis=1)) for one in areas]
    return estimate(values[0] - values[1], resampled[0] - resampled[1], (0.0, 0.0) if values[0] == values[1] else None)


def _questions(target: Target, truth: np.ndarray) -> list[tuple[str, np.ndarray, int]]:
    """What is asked of a model: name, class of each series, number of classes."""
    if target.kind == MULTILABEL:
        return [(f"{target.name}: {name}", truth[:, k], 2) for k, name in enumerate(target.classes)]
    classes = len(target.classes) if target.kind == MULTICLASS and len(target.classes) > 2 else 2
    return [(target.name, truth.argmax(axis=1), classes)]


def _united(target: Target, answers: list[np.ndarray]) -> np.ndarray:
    return np.stack([one[:, 1] for one in answers], axis=1) if target.kind == MULTILABEL else answers[0]


def _check_learnable(name: str, answer: np.ndarray, classes: int) -> None:
    lacking = classes - len(np.unique(answer))
    if lacking:
        raise UsageError(f"'{name}': {lacking} of {classes} classes have no patient in training; more are needed.")


def _network(
    cohort: Cohort, target: Target, truth: np.ndarray, parts: Parts, said: Predictions, part: TestPart
) -> tuple[np.ndarray, object]:
    row_of = dict(_matches(cohort, said))
    answers = said.probabilities[target.name]

    def of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = [(k, row_of[cohort.cases[k].case_id]) for k in rows if cohort.cases[k].case_id in row_of]
        places = np.array(known, np.int64).reshape(-1, 2)
        return truth[places[:, 0]], answers[places[:, 1]]

    thresholds = choose_thresholds(target, *of(parts[1]))
    tested = of(parts[2])[1]
    decisions = decide(target, tested, {k: value for k, (value, _why) in thresholds.items()})
    return tested, part.model(NETWORK, tested, decisions, note="its own probabilities")
