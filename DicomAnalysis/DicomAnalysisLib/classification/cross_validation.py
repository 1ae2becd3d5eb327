"""Repeated grouped stratified cross-validation: every patient is told by networks that did not see them.

Each fold is a training of its own in ``folds/``, which a killed run leaves resumable. The model for use is trained
afterwards on all patients (but those that choose its epoch); what cross-validation found is the estimate of how good
it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..files.atomic import write_text
from ..files.json_text import json_text
from ..networks import checkpoint
from . import training_outputs as outputs
from .cohort import Cohort, Split
from .dataset import CohortDataset
from .evaluation.predictions import Predictions, predictions_of, read_predictions, write_predictions
from .outcome import ClassifierProgress, TrainingOutcome
from .scoring import with_evaluation
from .split_training import PREPARED, Place, Report, SplitTraining
from .splits import cross_validation_splits, split_patients

SPLITS = "splits.json"


def cross_validate(
    cohort: Cohort,
    dataset: CohortDataset,
    place: Place,
    report: Report,
    cancelled: Callable[[], bool],
    goes_on: bool,
    evaluated: bool,
) -> TrainingOutcome:
    """Train and test every fold of every repeat, then the model.

    Returns
    -------
    TrainingOutcome
        The model's; predictions and scores are those of cross-validation, a case's probabilities the mean over
        repeats.
    """
    options = place.options
    splits = cross_validation_splits(cohort, options.folds, options.repeats, options.seed, options.validation_fraction)
    document = [{part: list(ids) for part, ids in one.parts.items()} for one in splits]
    write_text(place.output / SPLITS, json_text({"splits": document}))
    tables: list[Predictions] = []
    count = len(splits) + 1
    for number, split in enumerate(splits):
        name = f"repeat {number // options.folds + 1}, fold {number % options.folds + 1}"
        folder = place.output / outputs.FOLDS / name.replace(", ", "-").replace(" ", "-")
        told = _share_of(report, number, count, name)
        tables.append(_fold(cohort, dataset, split, replace(place, output=folder), told, cancelled))
    shares = (1 - options.validation_fraction, options.validation_fraction, 0.0)
    last = split_patients(cohort, shares, options.seed)
    told = _share_of(report, count - 1, count, "the model")
    outcome = SplitTraining(cohort, dataset, last, place, told, cancelled).all(goes_on, evaluated=False)
    path = place.output / outputs.PREDICTIONS
    write_predictions(path, _mean_of(cohort, tables))
    everyone = tuple(case.case_id for case in cohort.cases)
    warnings = tuple(line for line in outcome.warnings if not line.startswith("No patient was kept"))
    tested = Split((), (), everyone, options.seed)
    outcome = replace(outcome, predictions=path, warnings=(*warnings, *_spread(tables)))
    if not evaluated:
        return outcome
    report(ClassifierProgress(0.97, "scoring"))
    scored = with_evaluation(replace(outcome, split=tested, temperature={}), options.seed, place.write_report)
    return replace(scored, temperature=outcome.temperature)


def _fold(
    cohort: Cohort,
    dataset: CohortDataset,
    split: Split,
    place: Place,
    report: Report,
    cancelled: Callable[[], bool],
) -> Predictions:
    """The test predictions of one fold, from its folder where it is done already."""
    folder = place.output
    path = folder / outputs.PREDICTIONS
    same = outputs.read_split(folder) == split
    if not (same and path.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        goes_on = same and (folder / checkpoint.NAME).is_file()
        SplitTraining(cohort, dataset, split, place, report, cancelled).all(goes_on, evaluated=False)
        (folder / checkpoint.NAME).unlink(missing_ok=True)
    return read_predictions(path, cohort.targets).of_part("test")


def _mean_of(cohort: Cohort, tables: Sequence[Predictions]) -> Predictions:
    """Every case once; its probabilities the mean over repeats."""
    chances: Mapping[str, list[dict[str, np.ndarray]]] = defaultdict(list)
    for table in tables:
        for row, case_id in enumerate(table.case_ids):
            chances[case_id].append({name: values[row] for name, values in table.probabilities.items()})
    means = {
        case_id: {name: np.mean([one[name] for one in found], axis=0).tolist() for name in found[0]}
        for case_id, found in chances.items()
    }
    return predictions_of(cohort, dict.fromkeys(means, "test"), means)


def _spread(tables: Sequence[Predictions]) -> list[str]:
    """How far the folds lie apart, a measure of how much hangs on the split."""
    from .evaluation.metrics import auroc

    lines = []
    for target in tables[0].targets:
        areas = [
            float(auroc(table.truth[target.name][:, index], table.probabilities[target.name][:, index]))
            for table in tables
            for index in (range(1, 2) if target.kind == "binary" else range(len(target.classes)))
        ]
        known = [one for one in areas if np.isfinite(one)]
        if known:
            lines.append(
                f"{target.name}: AUROC of single folds from {min(known):.3f} to {max(known):.3f} "
                f"({len(tables)} trainings)."
            )
    return lines


def _share_of(report: Report, number: int, count: int, name: str) -> Report:
    """Progress of one of several trainings, as progress of all."""

    def tell(progress: ClassifierProgress) -> None:
        value = PREPARED + (0.97 - PREPARED) * (number + progress.value) / count
        report(replace(progress, value=value, fold=name))

    return tell
