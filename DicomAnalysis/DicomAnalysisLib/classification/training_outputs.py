"""What a classifier's training writes: options, split, what was left out, the model with its card, its predictions."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import UsageError
from ..files.atomic import write_text
from ..files.json_text import json_text, plain
from ..files.spreadsheet import spreadsheet_safe
from ..networks import checkpoint, curves, history
from .cases import LeftOutCase
from .cohort import Cohort, Split
from .options import ClassifierOptions
from .training_request import NAME as REQUEST

if TYPE_CHECKING:
    from torch.nn import Module

    from ..networks.architectures import ModelDescription
    from ..networks.card import Score
    from .outcome import TrainingOutcome

MODEL, WORK, FOLDS = "model", ".work", "folds"
OPTIONS, SPLIT, LEFT_OUT, PREDICTIONS, REPORT = (
    "options.json",
    "split.json",
    "left-out.csv",
    "predictions.csv",
    "report.html",
)
KIND = "train-classifier"
CARD = "card.md"
LOCK = ".lock"


def training_in(output: Path) -> Mapping[str, object] | None:
    """What the training in a folder was begun with; None where the folder holds no more than a request.

    Raises
    ------
    UsageError
        If there is a file of this name, or the folder holds something else.
    """
    if output.exists() and not output.is_dir():
        msg = f"{output} is a file. Choose a folder for the training."
        raise UsageError(msg)
    held = sorted(p.name for p in output.iterdir() if p.name not in (LOCK, REQUEST)) if output.is_dir() else []
    document = _read_options(output) if held else None
    if held and document is None:
        listed = ", ".join(held[:4]) + (", …" if len(held) > 4 else "")
        msg = f"{output} holds files that are not of a training ({listed}). Choose another folder, or an empty one."
        raise UsageError(msg)
    return document


def prepare(output: Path, cohort: Cohort, options: ClassifierOptions, resume: bool) -> bool:
    """Look whether a folder can be used; whether a training in it is gone on with.

    Raises
    ------
    UsageError
        If there is a file of this name, or the folder holds anything, unless that is a training that is to be resumed
        and was begun with the same options, targets and labels.
    """
    document = training_in(output)
    if document is None:
        return False
    if not resume:
        msg = f"{output} holds a training of a classifier already. Resume it, or choose another folder."
        raise UsageError(msg)
    try:
        different = options.differences(document["options"])
        if document["targets"] != _targets(cohort):
            different.insert(0, "label")
        if document["views"] != list(cohort.view_names):
            different.insert(0, "list of views")
        if document.get("labels", _labels(cohort)) != _labels(cohort):
            different.insert(0, "set of cases or labels of these")
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{output / OPTIONS} is not whole ({error!r}), so nothing there can be resumed. Choose another folder."
        raise UsageError(msg) from error
    if different:
        names = ", ".join(name.replace("_", " ") for name in different)
        msg = (
            f"The training in {output} was begun with another {names}. "
            "Resume it with what it was begun with, or choose another folder."
        )
        raise UsageError(msg)
    return (output / checkpoint.NAME).is_file()


def write_options(output: Path, cohort: Cohort, options: ClassifierOptions) -> None:
    """With these a training can be resumed."""
    document = {
        "kind": KIND,
        "options": options.to_dict(),
        "targets": _targets(cohort),
        "views": list(cohort.view_names),
        "labels": _labels(cohort),
        "program": __version__,
    }
    write_text(output / OPTIONS, json_text(document))


def write_split(output: Path, split: Split) -> None:
    """Cases of each part by their identifiers."""
    write_text(
        output / SPLIT, json_text({**{part: list(ids) for part, ids in split.parts.items()}, "seed": split.seed})
    )


def read_split(output: Path) -> Split | None:
    """The split of a training; None where none is written."""
    try:
        document = json.loads((output / SPLIT).read_text(encoding="utf-8"))
        return Split(*(tuple(document[part]) for part in ("training", "validation", "test")), seed=document["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_left_out(output: Path, cohort: Cohort, left_out: Iterable[LeftOutCase]) -> Path:
    """One line for everything that nothing is learned from, and why."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(("what", "identifier", "reason"))
    rows.writerows(("label", spreadsheet_safe(one), "no image has this identifier") for one in cohort.unmatched_labels)
    rows.writerows(("image", spreadsheet_safe(one), "no label has this identifier") for one in cohort.unmatched_series)
    rows.writerows(("case", spreadsheet_safe(one.case_id), spreadsheet_safe(one.reason)) for one in left_out)
    rows.writerows(("note", "", spreadsheet_safe(one)) for one in cohort.problems)
    write_text(output / LEFT_OUT, buffer.getvalue())
    return output / LEFT_OUT


def model_name(cohort: Cohort) -> str:
    """A model is called by what it tells."""
    words = "-".join(target.name for target in cohort.targets)
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-").lower()[:60] or "classifier"


def write_model(
    output: Path,
    network: Module,
    description: ModelDescription,
    cohort: Cohort,
    split: Split,
    start: str,
    scores: Sequence[Score] = (),
) -> Path:
    """Write the model's folder with its card."""
    from ..networks.card import ModelCard, TrainingSet
    from ..networks.model_folder import save_model

    patients = {part: len(cohort.subset(ids).patients()) if ids else 0 for part, ids in split.parts.items()}
    names = ", ".join(target.name for target in cohort.targets)
    failures = ["Learned from the user's own series; on other scanners, protocols and patients it was not measured."]
    if not scores:
        failures.append("It was not scored on patients kept apart from training and validation.")
    card = ModelCard(
        f"Tells {names} from images like those of its training. For research; not a medical device.",
        training_sets=(
            TrainingSet("series of the user", "the user's own", patients["training"], remark=f"start: {start}"),
            TrainingSet("series of the user, for choosing the epoch", "the user's own", patients["validation"]),
        ),
        scores=tuple(scores),
        known_failures=tuple(failures),
        date=datetime.now(UTC).date().isoformat(),
        program_version=__version__,
        licence="as its owner decides",
    )
    save_model(output / MODEL, network, description, card)
    write_text(output / MODEL / CARD, card.to_markdown(description))
    return output / MODEL


def remove_work(output: Path) -> None:
    """Prepared images do not stay in the output of a training that is done."""
    shutil.rmtree(output / WORK, ignore_errors=True)


def summary(outcome: TrainingOutcome) -> dict[str, object]:
    """A training's result in JSON's types; patients are counted, not named."""
    fit, output, cohort = outcome.fit, outcome.output, outcome.cohort
    counts = {part: len(cohort.subset(ids).patients()) if ids else 0 for part, ids in outcome.split.parts.items()}
    files = {
        "history": output / history.CSV_NAME,
        "curves": output / curves.NAME,
        "split": output / SPLIT,
        **outcome.files,
    }
    if outcome.predictions is not None:
        files["predictions"] = outcome.predictions
    return {
        "targets": _targets(cohort),
        "output": str(output),
        "model": str(outcome.model),
        "cases": len(cohort),
        "patients": counts,
        "views": list(cohort.view_names),
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "best_score": fit.best_score,
        "stopped": fit.stopped,
        "device": fit.device,
        "seconds": fit.seconds,
        "start": outcome.start,
        "classes": list(outcome.classes),
        "history": plain(fit.history),
        "temperature": dict(outcome.temperature),
        "test_scores": plain(outcome.scores),
        "left_out": [asdict(one) for one in outcome.left_out],
        "unmatched_labels": list(cohort.unmatched_labels),
        "unmatched_series": list(cohort.unmatched_series),
        "warnings": list(outcome.warnings),
        "files": {name: str(path) for name, path in files.items()},
    }


def _read_options(output: Path) -> Mapping[str, object] | None:
    try:
        document = json.loads((output / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("kind") == KIND else None


def _targets(cohort: Cohort) -> list[dict[str, object]]:
    return [{"name": t.name, "kind": t.kind, "classes": list(t.classes)} for t in cohort.targets]


def _labels(cohort: Cohort) -> str:
    """A digest of who is labelled what: what was learned from labels since corrected is not gone on with."""
    rows = sorted(
        (case.case_id, sorted((name, list(label)) for name, label in case.labels.items())) for case in cohort.cases
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
