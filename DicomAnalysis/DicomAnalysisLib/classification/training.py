"""``train-classifier``: from a cohort to a model with its predictions and its report, in one folder.

The test part goes no further than the split until the model is chosen, calibrated and saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from ..files.folder_lock import one_training
from . import training_outputs as outputs
from .cache import PreparedCache
from .cases import LeftOutCase
from .cohort import Cohort, Split
from .dataset import CohortDataset, prepare_cohort
from .options import ClassifierOptions
from .outcome import ClassifierProgress, TrainingOutcome
from .recipe import Recipe, recipe_named
from .scoring import WriteReport
from .split_training import PREPARED, Place, Report, SplitTraining, describe
from .splits import check_split, split_patients


def train_classifier(
    cohort: Cohort,
    options: ClassifierOptions,
    output: Path | str,
    report: Report = lambda _progress: None,
    *,
    resume: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    recipe: Recipe | None = None,
    cache: PreparedCache | None = None,
    split: Split | None = None,
    evaluated: bool = True,
    write_report: WriteReport | None = None,
) -> TrainingOutcome:
    """Train a classifier.

    Parameters
    ----------
    cohort : Cohort
        See `labels.build_cohort`.
    options : ClassifierOptions
    output : path
        ``model/`` (manifest, weights, card), ``predictions.csv``, ``report.html``, ``history.json``, ``history.csv``,
        ``curves.png``, ``checkpoint.pt``, ``split.json``, ``left-out.csv``, ``options.json``; with folds also
        ``folds/``. A folder that holds anything else is refused.
    report : callable
        What it raises stops the training; the last full epoch is kept.
    resume : bool
        Go on with the training in the folder, or begin it where it had not come that far.
    cancelled : callable
        Asked between batches.
    recipe : Recipe, optional
        Instead of the one that the options name.
    cache : PreparedCache, optional
        Prepared images that stay; by default they are removed when the training is done.
    split : Split, optional
        Instead of one drawn by the options' shares and seed. Cases of it that cannot be read are left out and listed,
        as those of a drawn one are.
    evaluated : bool
        Whether scores and the report are made.
    write_report : callable, optional
        `reporting.classification_report.write_report`, or one like it. It is given rather than imported, since reports
        stand above what they tell of; without it the scores are made and no report.

    Returns
    -------
    TrainingOutcome

    Raises
    ------
    UsageError
        If the folder holds something else, an option makes no sense, or there are too few patients.
    TrainingError
        If the training cannot go on.
    """
    output = Path(output)
    goes_on = outputs.prepare(output, cohort, options, resume)
    recipe = recipe or recipe_named(options.recipe_name)
    describe(cohort, options, recipe)  # what cannot be saved at the end is refused at the beginning
    if split is not None:
        check_split(cohort, split)
    with one_training(output, outputs.LOCK):
        outputs.write_options(output, cohort, options)
        cache = cache or PreparedCache(output / outputs.WORK, max(1, options.cache_bytes))
        place = Place(options, output, recipe, cache, write_report)
        usable, dataset = prepared(cohort, place, report)
        if options.folds:
            from .cross_validation import cross_validate

            outcome = cross_validate(usable, dataset, place, report, cancelled, goes_on, evaluated)
        else:
            split = drawn_split(usable, options) if split is None else readable_split(split, usable)
            run = SplitTraining(usable, dataset, split, place, report, cancelled)
            outcome = run.all(goes_on, evaluated)
        left_out = (*_unread(cohort, usable), *outcome.left_out)
        outputs.write_left_out(output, usable, left_out)
        outputs.remove_work(output)
    report(ClassifierProgress(1.0, "done"))
    files = {**outcome.files, "left_out": output / outputs.LEFT_OUT}
    return replace(outcome, left_out=left_out, files=files)


def prepared(cohort: Cohort, place: Place, report: Report) -> tuple[Cohort, CohortDataset]:
    """The cases that can be read, every image prepared once."""

    def told(done: int, of: int) -> None:
        report(ClassifierProgress(PREPARED * done / max(1, of), "preparing images", f"{done} of {of} cases"))

    dataset = CohortDataset(cohort, None, place.recipe, place.cache, memory_bytes=0)
    usable = prepare_cohort(cohort, place.recipe, place.cache, told, dataset)
    if not usable.cases:
        msg = f"Not one of {len(cohort)} cases can be read. The first reason: {next(iter(usable.problems), 'none')}"
        raise UsageError(msg)
    return usable, CohortDataset(usable, None, place.recipe, place.cache, memory_bytes=0)


def drawn_split(cohort: Cohort, options: ClassifierOptions) -> Split:
    """Patients into three parts, those with the same pixels together, by the options' shares and seed."""
    shares = (
        1 - options.validation_fraction - options.test_fraction,
        options.validation_fraction,
        options.test_fraction,
    )
    return split_patients(cohort, shares, options.seed)


def readable_split(split: Split, cohort: Cohort) -> Split:
    """A split without the cases that could not be read.

    Raises
    ------
    UsageError
        If nobody is left to train on, or to choose the best epoch.
    """
    left = split.only(case.case_id for case in cohort.cases)
    for part in ("training", "validation"):
        if not left.parts[part]:
            first = next(iter(cohort.problems), "it was given none")
            msg = f"Not one {part} case of the split can be read. The first reason: {first}"
            raise UsageError(msg)
    return left


def _unread(cohort: Cohort, usable: Cohort) -> Iterator[LeftOutCase]:
    """Cases that went while images were prepared, each with its reason from the list of problems."""
    there = {case.case_id for case in usable.cases}
    new = usable.problems[len(cohort.problems) :]
    for case in cohort.cases:
        if case.case_id not in there:
            reasons = [line for line in new if line.startswith((f"{case.case_id}:", f"{case.case_id},"))]
            yield LeftOutCase(case.case_id, " ".join(reasons) or "none of its images can be used")
