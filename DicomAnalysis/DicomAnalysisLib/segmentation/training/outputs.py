"""What a training writes beside its history: options, split, what was left out, the model and its score."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import __version__
from ...errors import DicomAnalysisError, UsageError
from ...files.atomic import write_text
from ...files.folder_lock import one_training
from ...files.json_text import json_text, plain
from ...networks import checkpoint, curves, history, strips
from .options import CLASSICAL, TrainingOptions
from .split import PatientSplit

if TYPE_CHECKING:
    from ...networks.card import ModelCard
    from ...networks.model_folder import LoadedModel
    from .evaluation import ClassScore
    from .example import Example, LeftOut
    from .recipes import Recipe
    from .result import TrainingResult

MODEL, WORK, LOCK = "model", ".work", ".lock"
OPTIONS, SPLIT, LEFT_OUT, TEST_SCORE, CARD = "options.json", "split.json", "left-out.csv", "test-score.json", "card.md"
_OF_A_RUN = (OPTIONS, MODEL, checkpoint.NAME, curves.NAME, history.JSON_NAME, SPLIT)


def require_free(output: Path) -> None:
    """Refuse a folder that holds a training.

    Raises
    ------
    UsageError
        If it does.
    """
    held = _held(output)
    if held:
        msg = f"{output} holds another training ({', '.join(held)}). Resume it, or choose another folder."
        raise UsageError(msg)


def prepare(output: Path, task: str, options: TrainingOptions, resume: bool) -> bool:
    """Look whether the folder can be used; whether a training in it is gone on with.

    Raises
    ------
    UsageError
        If it holds a training, unless that is to be resumed and was begun with the same options.
    """
    if not resume:
        require_free(output)
    elif _held(output):
        try:
            earlier = json.loads((output / OPTIONS).read_text(encoding="utf-8"))
            was_task, was = earlier["task"], earlier["options"]
            different = options.differences(was)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{output / OPTIONS} cannot be read ({type(error).__name__}), so nothing there can be resumed."
            raise UsageError(msg) from error
        if task != was_task:
            different.insert(0, "task")
        if different:
            names = ", ".join(name.replace("_", " ") for name in different)
            msg = (
                f"The training in {output} was begun with another {names}. "
                "Resume it with what it was begun with, or choose another folder."
            )
            raise UsageError(msg)
    return (output / checkpoint.NAME).is_file()


def write_options(output: Path, task: str, options: TrainingOptions) -> None:
    """With these the training can be resumed."""
    write_text(output / OPTIONS, json_text({"task": task, "options": asdict(options), "program": __version__}))


@contextlib.contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """A folder for what is needed while the training runs, then removed: images do not stay in the output.

    Raises
    ------
    UsageError
        If another training is writing to the output.
    OutputError
        If it cannot be written.
    """
    with one_training(output, LOCK):
        folder = output / WORK
        try:
            shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_work(output: Path) -> None:
    """Remove the work folder that a killed training left, unless another one is using it."""
    if (output / WORK).is_dir():
        with contextlib.suppress(DicomAnalysisError), work_folder(output):
            pass


def write_left_out(output: Path, left_out: Iterable[LeftOut]) -> None:
    """One line for each series of which slices, or all of it, are not used."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(("series_uid", "slices", "reason"))
    for one in left_out:
        rows.writerow((one.series_uid, " ".join(map(str, one.slices)) or "all", one.reason))
    write_text(output / LEFT_OUT, buffer.getvalue())


def write_split(output: Path, split: PatientSplit, examples: Sequence[Example]) -> None:
    """Patients by their IDs, never by names."""
    write_text(output / SPLIT, json_text(_split_document(split, examples)))


def is_split(output: Path, split: PatientSplit, examples: Sequence[Example]) -> bool:
    """Whether a folder's training has this split of these series, with the same voxels and labels."""
    try:
        return json.loads((output / SPLIT).read_text(encoding="utf-8")) == _split_document(split, examples)
    except (OSError, ValueError):
        return False


def blank_card(recipe: Recipe) -> ModelCard:
    """What is known before a score is."""
    from ...networks.card import ModelCard

    return ModelCard(recipe.intended_use, date=datetime.now(UTC).date().isoformat(), program_version=__version__)


def write_model(
    output: Path,
    recipe: Recipe,
    model: LoadedModel,
    split: PatientSplit,
    scores: Sequence[ClassScore],
    options: TrainingOptions,
) -> None:
    """Write the model's folder with its card, and the scores on their own."""
    from dataclasses import replace

    from ...networks.card import Score, TrainingSet
    from ...networks.model_folder import save_model

    labels = " and ".join("the program's own segmentation" if one == CLASSICAL else "hand" for one in options.labels)
    seen = len(split.training) + len(split.validation)
    failures = ["Learned from the user's own series; on other scanners and holders it was not measured."]
    if not scores:
        failures.append("It was not tested on patients kept apart from training and validation.")
    on = f"{len(split.test)} patients kept apart from training and validation"
    card = replace(
        blank_card(recipe),
        training_sets=(TrainingSet("series of the user", "the user's own", seen, remark=f"labels by {labels}"),),
        scores=tuple(Score(f"Dice {s.name}", on, s.value, s.low, s.high, baselines=dict(s.baselines)) for s in scores),
        known_failures=tuple(failures),
        licence="as its owner decides",
    )
    save_model(output / MODEL, model.network, model.description, card)
    write_text(output / MODEL / CARD, card.to_markdown(model.description))
    if scores:
        write_text(output / TEST_SCORE, json_text({"patients": split.test, "scores": scores}))


def summary(result: TrainingResult) -> dict[str, object]:
    """A training's result in JSON's types; patients are counted, not named."""
    output, fit = result.output, result.fit
    return {
        "task": result.task,
        "output": str(output),
        "model": str(result.model),
        "series": result.series,
        "patients": {side: len(patients) for side, patients in asdict(result.split).items()},
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "best_score": fit.best_score,
        "stopped": fit.stopped,
        "device": fit.device,
        "seconds": fit.seconds,
        "history": plain(fit.history),
        "test_scores": plain(result.scores),
        "left_out": plain(result.left_out),
        "warnings": list(result.warnings),
        "files": {
            "history": str(output / history.CSV_NAME),
            "curves": str(output / curves.NAME),
            "animation": str(output / strips.ANIMATION),
            "left_out": str(output / LEFT_OUT),
        },
    }


def _held(output: Path) -> list[str]:
    return [name for name in _OF_A_RUN if (output / name).exists()]


def _split_document(split: PatientSplit, examples: Sequence[Example]) -> dict[str, object]:
    digest = hashlib.sha256()
    for example in examples:
        for voxels in (example.hu, example.labels, example.usable):
            digest.update(np.ascontiguousarray(voxels))
    sides = {side: list(patients) for side, patients in asdict(split).items()}
    return sides | {"series": sorted(one.series_uid for one in examples), "examples_sha256": digest.hexdigest()}
