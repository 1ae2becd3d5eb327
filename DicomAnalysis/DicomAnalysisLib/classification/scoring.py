"""What a training's test patients say of it: scores, doubts, and the report where somebody writes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DicomAnalysisError
from .outcome import TrainingOutcome

if TYPE_CHECKING:
    from .evaluation.result import Evaluation

MOST_WARNINGS = 6
"""Of the evaluation; the report has all of them."""

WriteReport = Callable[["Evaluation", Path], Any]
"""Writes a report into a folder and says which files, the page as ``html``: `reporting.classification_report`."""


def with_evaluation(outcome: TrainingOutcome, seed: int, write_report: WriteReport | None = None) -> TrainingOutcome:
    """Scores on the test patients and the report; what cannot be made is said in the warnings."""
    from .evaluation.evaluate import evaluate

    warnings, files, scores = list(outcome.warnings), dict(outcome.files), []
    try:
        evaluation = evaluate(
            outcome.cohort,
            outcome.split,
            outcome.predictions,
            seed=seed,
            temperature=outcome.temperature or None,
            digests=outcome.cohort.digests or None,
        )
    except ImportError as error:
        return replace(outcome, warnings=(*warnings, f"The test part was not scored: install {error.name}."))
    except DicomAnalysisError as error:
        return replace(outcome, warnings=(*warnings, f"The test part was not scored: {error}"))
    for target in evaluation.targets:
        for one in target.classes:
            name = f"{one.target}: {one.name}" if len(evaluation.targets) > 1 else one.name
            area = one.auroc
            scores.append(
                {"name": name, "auroc": area.value, "low": area.low, "high": area.high, "note": one.reason or area.note}
            )
    found = [*evaluation.leaks, *(flag.text for flag in evaluation.flags)]
    warnings += found[:MOST_WARNINGS]
    if len(found) > MOST_WARNINGS:
        warnings.append(f"{len(found) - MOST_WARNINGS} more doubts about the scores are in the report.")
    try:
        if write_report is not None:
            files["report"] = write_report(evaluation, outcome.output).html
    except ImportError as error:
        warnings.append(f"The report was not written: {error.name} is not installed.")
    except DicomAnalysisError as error:
        warnings.append(f"The report was not written: {error}")
    return replace(outcome, files=files, scores=tuple(scores), warnings=tuple(warnings))


def card_scores(outcome: TrainingOutcome) -> Iterator[object]:
    """The scores as the model's card has them."""
    from ..networks.card import Score

    patients = len(outcome.cohort.subset(outcome.split.test).patients())
    on = f"{patients} test patients, kept apart from training and from the choice of the epoch"
    for one in outcome.scores:
        if one["auroc"] is not None:
            yield Score(f"AUROC {one['name']}", on, one["auroc"], one["low"], one["high"], baselines={"guessing": 0.5})
