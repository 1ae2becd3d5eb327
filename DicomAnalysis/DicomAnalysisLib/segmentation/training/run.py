"""``train-segmentation``: from series to a model with its score, in one folder that a killed run leaves resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...networks.fit_options import FitProgress, FitResult, TrainingError
from ...networks.fitting import fit
from ...networks.strips import strip_path
from . import outputs
from .evaluation import ClassScore, score_patients
from .examples import ExampleSet, collect_examples
from .options import TrainingOptions
from .recipes import Recipe, recipe_for
from .result import TrainingProgress, TrainingResult
from .split import PatientSplit, split_patients

if TYPE_CHECKING:
    from ...networks.architectures import ModelDescription

COLLECTED, FITTED = 0.15, 0.95
"""Shares of the whole when the examples are there, and when the training is over."""

PREVIEW = 5
"""Validation samples in a strip."""


Report = Callable[[TrainingProgress], None]


def train_segmentation(
    source: Any,
    task: str,
    options: TrainingOptions,
    output: Path | str,
    report: Report = lambda _progress: None,
    *,
    resume: bool = False,
    series_uids: Sequence[str] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    recipe: Recipe | None = None,
    collect: Callable[..., ExampleSet] = collect_examples,
) -> TrainingResult:
    """Train a network for a task.

    Parameters
    ----------
    source : path or SeriesSource
        A file, a folder or a DICOM database with the series.
    task : str
        ``headrest`` or ``metal``.
    options : TrainingOptions
    output : path
        ``model/`` (manifest, weights, card), ``history.json``, ``history.csv``, ``curves.png``, ``strips/``,
        ``training.gif``, ``checkpoint.pt``, ``split.json``, ``left-out.csv``, ``options.json`` and, where there are
        test patients, ``test-score.json``.
    report : callable
        What it raises stops the training; the last full epoch is kept.
    resume : bool
        Go on with the training in the folder, or begin it where it had not come that far.
    series_uids : sequence of str, optional
        Only these series.
    cancelled : callable
        Asked between batches.
    recipe, collect : optional
        How to train, and where examples come from; the task's own by default.

    Returns
    -------
    TrainingResult

    Raises
    ------
    UsageError
        If the folder holds another training, an option makes no sense, or there are too few patients.
    TrainingError
        If the training cannot go on.
    DicomAnalysisError
        If the source cannot be read.
    """
    recipe = recipe or recipe_for(task)
    output = Path(output)
    goes_on = outputs.prepare(output, task, options, resume)
    _require_available(options)
    with outputs.work_folder(output) as folder:
        report(TrainingProgress(0.0, "collecting examples"))
        arguments = {"series_uids": list(series_uids)} if series_uids is not None else {}
        result = _with_examples(
            collect(
                source,
                task,
                *options.label_source,
                cache=folder / "examples",
                report=lambda share, uid: report(TrainingProgress(COLLECTED * share, "collecting examples", uid)),
                **arguments,
            ),
            _Place(recipe, options, output, folder, goes_on),
            report,
            cancelled,
        )
    report(TrainingProgress(1.0, "done"))
    return result


def _require_available(options: TrainingOptions) -> None:
    """Refuse what cannot be had here before a cohort is read, which takes long."""
    from ...networks.devices import choose_device
    from ...networks.epoch_pictures import require_tensorboard

    choose_device(options.device)
    if options.tensorboard:
        require_tensorboard()


class _Place(NamedTuple):
    recipe: Recipe
    options: TrainingOptions
    output: Path
    folder: Path
    goes_on: bool


def _with_examples(
    examples: ExampleSet, place: _Place, report: Report, cancelled: Callable[[], bool]
) -> TrainingResult:
    """All but collecting. Whoever returns from here holds no more files of the work folder open."""
    outputs.write_left_out(place.output, examples.left_out)
    split = _split(place.output, examples, place.options, place.goes_on)
    outputs.write_options(place.output, place.recipe.task, place.options)
    report(TrainingProgress(COLLECTED, "making pictures to learn from"))
    run = _Training(place, examples, split)
    result = run.fit(report, cancelled)
    report(TrainingProgress(FITTED, "testing" if split.test else "saving"))
    scores = run.save()
    return TrainingResult(
        place.recipe.task,
        place.output,
        place.output / outputs.MODEL,
        result,
        split,
        len(examples.examples),
        tuple(examples.left_out),
        scores,
        (*result.warnings, *_doubts(split, place.options)),
    )


class _Training:
    """The parts of one training once its examples are there."""

    def __init__(self, place: _Place, examples: ExampleSet, split: PatientSplit):
        import torch

        from ...networks.architectures import build_network

        recipe, options, self.output, folder, self.goes_on = place
        self.recipe, self.options, self.split = recipe, options, split
        self.description: ModelDescription = recipe.describe(options.size == "small")
        self.sides = {side: [] for side in ("training", "validation", "test")}
        for example in examples.examples:
            self.sides[split.side_of(example.patient_id)].append(example)
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.network = build_network(self.description)
        amount = options.amount
        size = (amount.pixels, amount.pixels)
        counts = {"training": (amount.training, amount.scenes), "validation": (amount.validation, amount.validation)}
        self.samples = {
            side: recipe.samples(
                self.sides[side],
                size=size,
                per_epoch=count,
                seed=options.seed + number,  # else validation would draw what training draws
                augment=side == "training",
                pool=pool,
                folder=folder / side,
            )
            for number, (side, (count, pool)) in enumerate(counts.items())
        }

    def fit(self, report: Report, cancelled: Callable[[], bool]) -> FitResult:
        """Train."""
        validation = self.samples["validation"]
        step = max(1, len(validation) // PREVIEW)
        preview = [validation.sample(0, index) for index in range(0, len(validation), step)][:PREVIEW]
        return fit(
            self.network,
            self.samples["training"],
            validation,
            self.options.fit_options(len(self.description.classes)),
            self.output,
            lambda progress: report(_told(progress, self.output)),
            preview,
            resume=self.goes_on,
            cancelled=cancelled,
            class_names=self.description.classes,
            picture_channel=self.recipe.picture_channel,
        )

    def save(self) -> tuple[ClassScore, ...]:
        """Write the model with its card; the scores on the test patients."""
        from ...networks.model_folder import LoadedModel

        model = LoadedModel(self.description, outputs.blank_card(self.recipe), "", None, self.network)
        scores = self._scores(model) if self.sides["test"] else ()
        outputs.write_model(self.output, self.recipe, model, self.split, scores, self.options)
        return scores

    def _scores(self, model: Any) -> tuple[ClassScore, ...]:
        from ...networks.prediction import Predictor

        predictor = Predictor(model, self.options.device)
        series = ((one.patient_id, list(self.recipe.slices(one))) for one in self.sides["test"])
        return score_patients(
            series,
            lambda images: (chances.argmax(0).astype("uint8") for chances in predictor.run(images)),
            self.description.classes,
            self.options.seed,
            self.recipe.without_network,
        )


def _split(output: Path, examples: ExampleSet, options: TrainingOptions, goes_on: bool) -> PatientSplit:
    split = split_patients(
        (one.patient_id for one in examples.examples),
        options.validation_fraction,
        options.test_fraction,
        options.test_patients,
        options.seed,
    )
    if goes_on and not outputs.is_split(output, split, examples.examples):
        msg = (
            f"The series or their labels are not those that the training in {output} was begun with, so it cannot be "
            "resumed. Give the same ones, or train into another folder."
        )
        raise TrainingError(msg)
    outputs.write_split(output, split, examples.examples)
    return split


def _told(progress: FitProgress, output: Path) -> TrainingProgress:
    value = COLLECTED + (FITTED - COLLECTED) * progress.value
    message = f"epoch {progress.epoch} of {progress.epochs}"
    record, strip = progress.record, None
    if record is not None:
        path = strip_path(output, record.epoch)
        strip = path if path.is_file() else None
        message += f": loss {record.training_loss:.4f}, Dice {record.score:.4f}"
    elif progress.loss is not None:
        message += f", batch {progress.batch} of {progress.batches}: loss {progress.loss:.4f}"
    return TrainingProgress(value, progress.stage, message, progress.seconds_left, record, strip)


def _doubts(split: PatientSplit, options: TrainingOptions) -> Iterator[str]:
    if not split.test:
        yield (
            "No patient was kept for a test: the score is of the patients that chose the best epoch, and flatters. "
            "Give a test share."
        )
    if len(split.validation) < 3:
        yield f"Patients to validate on: {len(split.validation)}. So few choose the best epoch largely by chance."
    if options.size == "small":
        yield "The small size is for a first look; train the standard size for use."
