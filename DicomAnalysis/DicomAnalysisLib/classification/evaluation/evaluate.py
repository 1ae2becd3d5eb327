"""From a cohort, its split and a model's predictions to everything that can honestly be said of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import UsageError
from ..cohort import Case, Cohort, Split, Target
from ..grouping import patient_key
from . import shortcuts
from .baselines import SmallModel, majority, small_model
from .factors import Trial
from .intervals import CONFIDENCE, METHOD
from .nuisance import ReadPicture, measure_pictures, read_raw
from .parts import Digests, patient_rows, shared
from .predictions import UNKNOWN, Predictions, read_predictions
from .result import MAJORITY, Evaluation, Factor, Flag, ModelScore, TargetScore
from .scores import FEWEST_PATIENTS, TestPart, decide, score_network
from .tags import Fact, facts_of, picture_facts

MOST_PICTURES = 400
"""Pictures of each part that are looked at for shortcuts; of a larger part, a sample with all of the rare labels."""

Pictures = Mapping[str, Mapping[str, float]] | ReadPicture | Literal[False] | None


def evaluate(
    cohort: Cohort,
    split: Split,
    predictions: Predictions | Path | str,
    *,
    seed: int = 0,
    resamples: int = 1000,
    pictures: Pictures = None,
    temperature: Mapping[str, float] | None = None,
    digests: Digests = None,
) -> Evaluation:
    """Score a model on its test patients, beside baselines, and look for what it may have cheated with.

    Parameters
    ----------
    cohort : Cohort
    split : Split
        What the model was trained with.
    predictions : Predictions or path
        Of the validation and the test cases, or the CSV of them.
    seed : int
        Of resampling and of the small models; the same seed gives the same numbers.
    resamples : int
        Of the patients, for intervals.
    pictures : None, callable, mapping or False
        What is looked at for shortcuts in pixels: by default the files of the cohort; a callable
        gives the images of a case and their spacing; a mapping the features of each case_id that
        `nuisance.nuisance_features` gave before; False looks at none.
    temperature : mapping of str to float, optional
        By target, that the probabilities were calibrated with. Without it one is fitted on
        validation cases to show what calibration would change.
    digests : mapping, optional
        case_id to digests of its slices (`CohortDataset.digests`), by which identical pixels in two
        parts are found. Without it they are those of the files that are looked at for shortcuts.

    Returns
    -------
    Evaluation

    Raises
    ------
    SourceError
        If the table of predictions cannot be read.
    UsageError
        If predictions, cohort and split contradict each other, or there is no test case.
    """
    if not isinstance(predictions, Predictions):
        predictions = read_predictions(predictions, cohort.targets)
    cases = {case.case_id: case for case in cohort.cases}
    _check(predictions, cases, split, cohort.targets)
    problems = _missing(split, predictions)
    test, validation = predictions.of_part("test"), predictions.of_part("validation")
    if not len(test):
        raise UsageError("There is no prediction of a test case: nothing can be scored. Predict the test part first.")
    learned = [cases[name] for name in split.training]
    judged = [cases[name] for name in test.case_ids]
    looked_at = learned if pictures is False or isinstance(pictures, Mapping) else sample(learned, seed)
    facts, more, found_digests = _facts(learned, looked_at, judged, pictures, seed)
    problems += more
    scores, factors, flags = [], [], []
    for target in cohort.targets:
        truths = _truths(target, (learned, judged, [cases[name] for name in validation.case_ids]))
        part = TestPart(target, truths[1], [patient_key(case) for case in judged], resamples, seed)
        known = temperature.get(target.name) if temperature else None
        score = score_network(
            part, test.probabilities[target.name], (truths[2], validation.probabilities[target.name]), known
        )
        found = _compare(part, score, (learned, judged), facts, test.probabilities[target.name], (resamples, seed))
        scores.append(found[0])
        factors += found[1]
        flags += found[2]
        problems += [line for line in found[3] if line not in problems]
    compared = found_digests if digests is None else digests
    leak_lines, leak_rows = shared(cohort, split, compared)
    return Evaluation(
        tuple(scores),
        tuple(factors),
        tuple(flags),
        leak_lines,
        tuple(problems),
        patient_rows(cohort, split),
        leak_rows,
        _settings(cases, split, seed, resamples) | {"pixels_compared": bool(compared)},
    )


def _check(predictions: Predictions, cases: Mapping[str, Case], split: Split, targets: Sequence[Target]) -> None:
    parts = {name: part for part, names in split.parts.items() for name in names}
    unknown = [name for name in predictions.case_ids if name not in cases]
    if unknown:
        raise UsageError(
            f"{len(unknown)} predictions are of cases that the cohort does not have, the first {unknown[0]!r}."
            " Give the cohort that the model was trained with."
        )
    gone = sorted(parts.keys() - cases.keys())
    if gone:
        raise UsageError(
            f"{len(gone)} cases of the split are not in the cohort, the first {gone[0]!r}."
            " Give the cohort that the model was trained with."
        )
    for name, patient, part in zip(predictions.case_ids, predictions.patient_ids, predictions.parts, strict=True):
        if parts.get(name) != part:
            where = parts.get(name, "no part")
            raise UsageError(
                f"The prediction of case {name} says {part} and the split says {where}; give its own split."
            )
        if patient != cases[name].patient_id:
            raise UsageError(f"The prediction of case {name} is of another patient than the cohort's; predict again.")
    for target in targets:
        truth = _truths(target, ([cases[name] for name in predictions.case_ids],))[0]
        told = predictions.truth[target.name]
        wrong = ((told != truth) & (told != UNKNOWN)).any(axis=1)
        if wrong.any():
            first = predictions.case_ids[int(wrong.argmax())]
            raise UsageError(
                f"The truth of '{target.name}' in the predictions is not the cohort's for {int(wrong.sum())} cases, the"
                f" first {first}: labels were changed, or joined otherwise, since. Predict again."
            )


def _truths(target: Target, parts: Sequence[Sequence[Case]]) -> list[np.ndarray]:
    """0 or 1, (cases, classes), of each list of cases."""
    rows = ([case.labels[target.name] for case in cases] for cases in parts)
    return [target.indicators(np.array(one, np.int64).reshape(len(one), target.columns)) for one in map(list, rows)]


def _missing(split: Split, predictions: Predictions) -> list[str]:
    known = set(predictions.case_ids)
    lines = []
    for part in ("validation", "test"):
        without = [name for name in split.parts[part] if name not in known]
        if without:
            lines.append(
                f"{len(without)} of {len(split.parts[part])} {part} cases have no prediction and are not in the scores."
            )
    return lines


Facts = tuple[tuple[Sequence[Case], list[Fact]], ...]
"""Training cases, and facts of them and of the test cases after them."""


def _facts(
    learned: Sequence[Case], looked_at: Sequence[Case], judged: Sequence[Case], pictures: Pictures, seed: int
) -> tuple[Facts, list[str], Digests]:
    """Everything to be tried as a shortcut, lines for the user, and digests of what was read.

    Facts of pictures are facts of the training cases that are looked at and no others: that the picture of a case
    was not looked at goes with its label, where the rare ones are all looked at.
    """
    headers = learned, facts_of([*(learned or judged), *judged])
    if pictures is False:
        return (headers,), ["Pictures were not looked at for shortcuts in pixels."], None
    problems: list[str] = []
    seen: dict[str, frozenset[bytes]] = {}
    if isinstance(pictures, Mapping):
        features = {name: dict(of_case) for name, of_case in pictures.items()}
    else:
        chosen = [*looked_at, *_plain_sample(judged, seed)]
        features, problems = measure_pictures(chosen, pictures or read_raw, seen)
        whole = len(learned) + len(judged)
        if len(chosen) < whole:
            problems.append(f"Shortcuts in pixels were looked for in {len(chosen)} of {whole} pictures.")
    if not features:
        return (headers,), [*problems, "There are no pictures in which shortcuts in pixels could be looked for."], seen
    names = [case.case_id for case in [*(looked_at or judged), *judged]]
    return (headers, (looked_at, picture_facts(features, names))), problems, seen


def _plain_sample(cases: Sequence[Case], seed: int) -> list[Case]:
    """Of test cases: they are all scored, so those that are not looked at must be as the others."""
    if len(cases) <= MOST_PICTURES:
        return list(cases)
    chosen = np.random.default_rng(seed).choice(len(cases), MOST_PICTURES, replace=False)
    return [cases[index] for index in sorted(chosen.tolist())]


def sample(cases: Sequence[Case], seed: int, most: int = MOST_PICTURES) -> list[Case]:
    """At most so many cases, of every label as many as of any other, as far as there are: in their order.

    What a rare class has in common shows only where it is looked at; of 3 ill in 100 a plain sample has next to none.
    """
    if len(cases) <= most:
        return list(cases)
    groups: dict[tuple, list[int]] = {}
    for index in np.random.default_rng(seed).permutation(len(cases)).tolist():
        groups.setdefault(tuple(sorted((k, tuple(v)) for k, v in cases[index].labels.items())), []).append(index)
    # Around the groups, each gives its next: the rare ones are through before the common ones.
    turns = sorted((turn, index) for group in groups.values() for turn, index in enumerate(group))
    return [cases[index] for index in sorted(index for _turn, index in turns[:most])]


def _compare(
    part: TestPart,
    score: TargetScore,
    cases: tuple[Sequence[Case], Sequence[Case]],
    facts: Facts,
    probabilities: np.ndarray,
    settings: tuple[int, int],
) -> tuple[TargetScore, list[Factor], list[Flag], list[str]]:
    """The score with its baselines, and what they give away."""
    target, (resamples, seed), (learned, judged) = part.target, settings, cases
    apart = bool(learned)
    training = _truths(target, (learned or judged,))[0]
    rows, searches, problems = [_majority_row(part, training)], [], []
    for of_cases, found in facts:
        # In cross-validation every case is a test case, and has been a training case.
        of_cases = of_cases or judged
        own = _truths(target, (of_cases,))[0]
        truth = np.concatenate([own, part.truth])
        patients = [patient_key(case) for case in of_cases] + list(part.patients)
        inside = np.arange(len(truth)) < len(own)
        models, lines = _small_models(target, truth, patients, inside, found, seed)
        school = TestPart(target, own, patients[: len(own)], resamples, seed + 1)
        rows += [_model_row(part, school, model, apart) for model in models]
        owners = np.asarray(patients, dtype=str)
        trial = Trial(target, truth, owners, inside, school.resamples, part.resamples, seed, apart)
        searches.append((shortcuts.candidates_of(found, models, trial), trial))
        problems += [line for line in lines if line not in problems]
    factors, flags = shortcuts.judge(searches, probabilities, score.network)
    flags += shortcuts.as_good_flags(target, score.network, rows[1:])
    return replace(score, models=(*score.models, *rows)), factors, flags, problems


def _small_models(
    target: Target,
    truth: np.ndarray,
    patients: Sequence[str],
    training: np.ndarray,
    facts: Sequence[Fact],
    seed: int,
) -> tuple[list[SmallModel], list[str]]:
    models = []
    for name, group in shortcuts.groups_of(facts).items():
        try:
            model = small_model(name, group, target, truth, patients, training, seed)
        except ImportError:
            return [], ["Small models of tags and pictures need scikit-learn, which is not installed."]
        if model is not None:
            models.append(model)
    return models, []


def _majority_row(part: TestPart, training: np.ndarray) -> ModelScore:
    probabilities, decisions = majority(part.target, training, len(part.truth))
    return part.model(MAJORITY, probabilities, decisions, note="always says what is usual in training")


def _model_row(part: TestPart, school: TestPart, model: SmallModel, apart: bool) -> ModelScore:
    said = model.outside if apart else model.inside
    decisions = decide(part.target, said, model.thresholds)
    training, _precision = school.mean_areas(model.inside)
    return part.model(model.name, said, decisions, training, model.kind)


def _settings(cases: Mapping[str, Case], split: Split, seed: int, resamples: int) -> dict[str, object]:
    return {
        "seed": seed,
        "resamples": resamples,
        "interval": f"{CONFIDENCE:.0%} interval, {METHOD}",
        "fewest_patients": FEWEST_PATIENTS,
        "cases": {part: len(names) for part, names in split.parts.items()},
        "patients": {part: len({cases[name].patient_id for name in names}) for part, names in split.parts.items()},
    }
