"""One training with one split: fit, calibrate, save, and only then read the test part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..networks.fit_options import FitProgress, FitResult, TrainingCancelledError
from . import training_outputs as outputs
from .cache import PreparedCache
from .cases import KeptCases, LeftOutCase
from .cohort import Cohort, Split
from .dataset import CohortDataset
from .doubts import doubts
from .fitting import fit_classifier
from .heads import Heads, output_document
from .images import read_image
from .losses import indicators
from .options import ClassifierOptions
from .outcome import ClassifierProgress, TrainingOutcome
from .ranges import training_range
from .recipe import Recipe
from .scoring import WriteReport, card_scores, with_evaluation
from .splits import check_split

if TYPE_CHECKING:
    from ..networks.architectures import ModelDescription
    from ..volume import Volume

PREPARED, FITTED, PREDICTED = 0.15, 0.9, 0.95
"""Shares of the whole when images are prepared, when the training is over, and when all cases are predicted."""

SUREST = 0.5
"""The smallest temperature: a few validation cases that are all right do not say how sure to be."""

READ_AGAIN = 12
"""Training cases whose values before preparation are looked at, too."""

Report = Callable[[ClassifierProgress], None]


@dataclass(frozen=True)
class Place:
    """How and where to train."""

    options: ClassifierOptions
    output: Path
    recipe: Recipe
    cache: PreparedCache
    write_report: WriteReport | None = None


class SplitTraining:
    """One training with one split.

    Parameters
    ----------
    cohort : Cohort
        Cases that can be read.
    dataset : CohortDataset
    split : Split
    place : Place
    report : callable
    cancelled : callable
    """

    def __init__(
        self,
        cohort: Cohort,
        dataset: CohortDataset,
        split: Split,
        place: Place,
        report: Report,
        cancelled: Callable[[], bool],
    ):
        import torch

        from .architectures import build_classifier
        from .pretrained import load_pretrained

        check_split(cohort, split)
        self.cohort, self.dataset, self.split, self.place = cohort, dataset, split, place
        self.report, self.cancelled, self.options, self.output = report, cancelled, place.options, place.output
        self.heads = Heads(cohort.targets)
        with torch.random.fork_rng():
            torch.manual_seed(self.options.seed)
            self.network = build_classifier(self.options.description(self.heads.outputs, len(cohort.view_names)))
            self.start = load_pretrained(self.network, self.options.weights, self.options.sha256)
        self.range: dict[str, object] = {}
        self.left_out: list[LeftOutCase] = []

    def all(self, goes_on: bool, evaluated: bool) -> TrainingOutcome:
        """Fit, calibrate, save, and only then predict the test part."""
        from .inference import FastNetwork

        outputs.write_split(self.output, self.split)
        parts = {part: self._kept(part) for part in ("training", "validation")}
        fit = self.fit(parts, goes_on)
        self.report(ClassifierProgress(FITTED, "calibrating"))
        fast = FastNetwork(self.network, self.options.device)
        logits = {"validation": fast.of_cases(parts["validation"], self.options.batch)}
        temperature = fitted_temperatures(self.heads, logits["validation"], parts["validation"].labels)
        description = describe(self.cohort, self.options, self.place.recipe, temperature, self.range)
        model = outputs.write_model(self.output, self.network, description, self.cohort, self.split, self.start)
        if self.split.test:
            parts["test"] = self._kept("test")
            if len(parts["test"]):
                logits["test"] = fast.of_cases(parts["test"], self.options.batch)
        predictions = self._predict(parts, logits, temperature)
        outcome = TrainingOutcome(
            self.output,
            model,
            fit,
            self.cohort,
            self.split,
            self.heads.judged,
            tuple(self.left_out),
            temperature,
            predictions,
            self.start,
            warnings=(*fit.warnings, *self._doubts()),
        )
        return self._evaluated(outcome, description) if evaluated and "test" in logits else outcome

    def fit(self, parts: Mapping[str, KeptCases], goes_on: bool) -> FitResult:
        """Train; there is no test part here."""
        return fit_classifier(
            self.network,
            parts["training"],
            parts["validation"],
            self.heads,
            self.options,
            self.output,
            lambda progress: self.report(_told(progress)),
            resume=goes_on,
            cancelled=self.cancelled,
        )

    def _kept(self, part: str) -> KeptCases:
        """The cases of one part; those of the training also say what the model will know."""
        ids = self.split.parts[part]
        dataset = CohortDataset(self.cohort, ids, self.place.recipe, self.place.cache, memory_bytes=0)

        def told(done: int, of: int) -> None:
            value = PREDICTED if part == "test" else PREPARED
            self.report(ClassifierProgress(value, f"reading {part} images", f"{done + 1} of {of}"))
            if self.cancelled():
                msg = "The training was stopped; resume it to go on from its last full epoch."
                raise TrainingCancelledError(msg)

        cases = KeptCases(dataset, self.heads, self.network.reduce, told)
        self.left_out += cases.left_out
        if part == "training":
            chosen = set(cases.case_ids)
            whole = [case for case in self.cohort.cases if case.case_id in chosen]
            images: Iterator[np.ndarray] = (dataset.sample(index).images for index in _some(dataset, chosen))
            self.range = training_range(whole, images, _as_read(dataset, chosen))
        return cases

    def _predict(
        self, parts: Mapping[str, KeptCases], logits: Mapping[str, np.ndarray], temperature: Mapping[str, float]
    ) -> Path:
        from .evaluation.predictions import predictions_of, write_predictions

        part_of, chances = {}, {}
        for part, found in logits.items():
            by_target = self.heads.probabilities(found, temperature)
            for row, case_id in enumerate(parts[part].case_ids):
                part_of[case_id] = part
                chances[case_id] = {name: values[row].tolist() for name, values in by_target.items()}
        path = self.output / outputs.PREDICTIONS
        write_predictions(path, predictions_of(self.cohort, part_of, chances))
        return path

    def _evaluated(self, outcome: TrainingOutcome, description: ModelDescription) -> TrainingOutcome:
        self.report(ClassifierProgress(PREDICTED, "scoring"))
        outcome = with_evaluation(outcome, self.options.seed, self.place.write_report)
        scores = list(card_scores(outcome))
        if scores:
            outputs.write_model(self.output, self.network, description, self.cohort, self.split, self.start, scores)
        return outcome

    def _doubts(self) -> Iterator[str]:
        if "random" in self.start and self.options.weights:
            yield f"The training began with a {self.start}."
        yield from doubts(self.cohort, self.split, self.place.recipe)


def describe(
    cohort: Cohort,
    options: ClassifierOptions,
    recipe: Recipe,
    temperature: Mapping[str, float] | None = None,
    known: Mapping[str, object] | None = None,
) -> ModelDescription:
    """What the model is, in plain values.

    Raises
    ------
    ModelError
        If a name cannot be stored.
    UsageError
        If the network does not take the cohort's views.
    """
    from ..networks.architectures import ModelDescription
    from .models import TASK

    network = options.description(Heads(cohort.targets).outputs, len(cohort.view_names))
    description = ModelDescription(
        outputs.model_name(cohort),
        "1",
        TASK,
        network.to_architecture(),
        {
            "recipe": recipe.to_dict(),
            "views": list(cohort.view_names),
            "view_rules": list(cohort.view_rules),
            "range": dict(known or {}),
        },
        output_document(cohort.targets, temperature or {}, cohort.view_names),
    )
    return ModelDescription.from_dict(description.to_dict())


def fitted_temperatures(heads: Heads, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The temperature of every target, from validation cases.

    Parameters
    ----------
    heads : Heads
    logits : array, (cases, outputs)
    labels : int array, (cases, label columns)
    """
    from .evaluation.calibration import fit_temperature

    found, start = {}, 0
    for head in heads:
        truth = indicators(head, labels, start)
        start += head.target.columns
        known = (truth >= 0).all(axis=1)
        chances = head.probabilities(logits)
        value = fit_temperature(head.target.kind, truth[known], chances[known]) if known.any() else 1.0
        found[head.target.name] = round(max(SUREST, float(value)), 6)
    return found


def _told(progress: FitProgress) -> ClassifierProgress:
    message = f"epoch {progress.epoch} of {progress.epochs}"
    if progress.record is not None:
        record = progress.record
        message += f": loss {record.training_loss:.4f}, validation AUROC {record.score:.3f}"
    elif progress.loss is not None:
        message += f", batch {progress.batch} of {progress.batches}: loss {progress.loss:.4f}"
    value = PREPARED + (FITTED - PREPARED) * progress.value
    return ClassifierProgress(value, progress.stage, message, progress.seconds_left, progress.record)


def _as_read(dataset: CohortDataset, chosen: set[str]) -> Iterator[Volume]:
    """Images of a few cases before preparation, one at a time: a recipe by percentiles hides another scale."""
    for index in _some(dataset, chosen, READ_AGAIN):
        for view in dataset.cases[index].views:
            if view.present:
                yield read_image(view.files)


def _some(dataset: CohortDataset, chosen: set[str], most: int = 200) -> list[int]:
    """Places of cases to look at for the range of values; of many, some at equal distances."""
    places = [index for index, case_id in enumerate(dataset.case_ids) if case_id in chosen]
    return places[:: max(1, -(-len(places) // most))]
