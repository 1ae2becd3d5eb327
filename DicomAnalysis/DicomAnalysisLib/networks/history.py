"""What every epoch reached, as CSV for people and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..errors import SourceError
from ..files.atomic import write_text
from ..files.json_text import json_text
from .fit_options import EpochRecord

JSON_NAME, CSV_NAME = "history.json", "history.csv"


def write_history(
    folder: Path, history: Sequence[EpochRecord], class_names: Sequence[str] = (), measure: str = "Dice"
) -> None:
    """Write ``history.json`` and ``history.csv``.

    Parameters
    ----------
    folder : Path
    history : sequence of EpochRecord
    class_names : sequence of str
        Of the foreground classes, or of those that are scored.
    measure : str
        What the scores are.
    """
    write_text(folder / JSON_NAME, json_text({"classes": list(class_names), "epochs": [asdict(r) for r in history]}))
    write_text(folder / CSV_NAME, _csv_text(history, class_names, measure.lower()))


def read_history(folder: Path) -> tuple[EpochRecord, ...]:
    """Read ``history.json``.

    Raises
    ------
    SourceError
        If it is not there or not whole.
    """
    try:
        document = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
        return tuple(EpochRecord.from_dict(values) for values in document["epochs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder / JSON_NAME} cannot be read ({type(error).__name__}); choose the output folder of a training."
        raise SourceError(msg) from error


def _csv_text(history: Sequence[EpochRecord], class_names: Sequence[str], measure: str) -> str:
    count = len(history[0].class_scores) if history else 0
    names = [*class_names[:count], *(f"class {n + 1}" for n in range(len(class_names), count))]
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(
        ["epoch", "training_loss", "validation_loss", f"mean_{measure}"]
        + [f"{measure} {name}" for name in names]
        + ["learning_rate", "seconds", "best"]
    )
    for record in history:
        values = (record.training_loss, record.validation_loss, record.score, *record.class_scores)
        numbers = ["" if value is None else f"{value:.6f}" for value in values]
        rows.writerow(
            [record.epoch, *numbers, f"{record.learning_rate:.3e}", f"{record.seconds:.2f}", int(record.is_best)]
        )
    return buffer.getvalue()
