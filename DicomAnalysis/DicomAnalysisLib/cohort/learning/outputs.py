"""What learning leaves in a folder: scores, importances and leakage as tables and JSON, boosters as XGBoost's JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...errors import ModelError
from ...files.atomic import atomic_path, write_text
from ...files.json_text import json_text
from ...files.names import safe_name
from ...files.spreadsheet import spreadsheet_safe
from ..features.table import FeatureTable
from .boosting import Boosted
from .result import Learning

SUMMARY, FORMAT = "learning.json", 1


def document(learning: Learning) -> dict[str, object]:
    """All numbers, for JSON."""
    return {
        "format": FORMAT,
        "features": learning.names,
        "model_hash": learning.model_hash,
        "recipe_hash": learning.recipe_hash,
        "series": {name: len(part) for name, part in learning.split.parts.items()},
        "patients": learning.patients,
        "options": learning.options,
        "findings": learning.findings(),
        "is_leaking": learning.is_leaking,
        "targets": [
            {
                "name": one.target.name,
                "kind": one.target.kind,
                "classes": one.target.classes,
                "scores": one.scores,
                "xgboost_minus_network": one.against_network,
                "boosters": {name: _booster_name(name) for name in one.boosted},
                "search": one.attempts,
                "importances": one.importances,
                "tags": one.leaks,
            }
            for one in learning.targets
        ],
        "unmatched_labels": learning.cohort.unmatched_labels,
        "unmatched_series": len(learning.cohort.unmatched_series),
        "problems": learning.cohort.problems,
        "notes": learning.notes,
        "seconds": learning.seconds,
    }


def write_learning(folder: Path | str, learning: Learning) -> list[Path]:
    """Write everything but the report.

    Returns
    -------
    list of Path

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = Path(folder)
    written = []
    for one in learning.targets:
        for name, boosted in one.boosted.items():
            path = folder / _booster_name(name)
            with atomic_path(path) as temporary:
                boosted.booster.save_model(temporary)
            written.append(path)
    tables = {
        "scores.csv": (("target", "model", "auroc", "auroc low", "auroc high", "balanced accuracy"), _scores(learning)),
        "importance.csv": (("question", "feature", "mean absolute shap", "direction", "gain"), _importances(learning)),
        "predictions.csv": (("series_uid", "patient_id", "target", "model", "class", "probability"), _tested(learning)),
        "split.csv": (("series_uid", "patient_id", "part"), _split(learning)),
    }
    for name, (header, rows) in tables.items():
        write_text(folder / name, _csv(header, rows))
        written.append(folder / name)
    write_text(folder / SUMMARY, json_text(document(learning)))
    return [*written, folder / SUMMARY]


def load_boosted(folder: Path | str, question: str) -> tuple[Boosted, tuple[str, ...]]:
    """The boosted trees that a run left, and the features they want.

    Raises
    ------
    ModelError
        If there are none of that name, or the files do not fit.
    """
    import xgboost

    folder = Path(folder)
    try:
        known = json.loads((folder / SUMMARY).read_text("utf-8"))
        target = next(one for one in known["targets"] if question in one["boosters"])
        booster = xgboost.Booster(model_file=str(folder / target["boosters"][question]))
    except (OSError, ValueError, KeyError, StopIteration, xgboost.core.XGBoostError) as error:
        msg = f"There are no boosted trees of '{question}' in {folder}; learn them again with `cohort learn`."
        raise ModelError(msg) from error
    classes = len(target["classes"]) if target["kind"] == "multiclass" else 2
    return Boosted(booster, classes, ()), tuple(known["features"])


def predict(boosted: Boosted, names: Sequence[str], table: FeatureTable) -> np.ndarray:
    """Probabilities of the series of another table, float64 (series, classes).

    Raises
    ------
    UsageError
        If the table lacks a feature.
    """
    return boosted.probabilities(np.stack([table.column(name) for name in names], axis=1))


def _booster_name(question: str) -> str:
    return f"xgboost-{safe_name(question)}.json"


def _scores(learning: Learning) -> Iterable[Sequence[object]]:
    for one in learning.targets:
        for score in one.scores:
            area = score.auroc
            yield one.target.name, score.name, area.value, area.low, area.high, score.balanced_accuracy.value


def _importances(learning: Learning) -> Iterable[Sequence[object]]:
    for one in learning.targets:
        for name, found in one.importances.items():
            for item in found:
                yield name, item.feature, item.shap, item.direction, item.gain


def _tested(learning: Learning) -> Iterable[Sequence[object]]:
    patients = {case.case_id: case.patient_id for case in learning.cohort.cases}
    for one in learning.targets:
        for model, probabilities in one.probabilities.items():
            for uid, row in zip(learning.split.test, probabilities, strict=True):
                for name, value in zip(one.target.classes, row, strict=True):
                    yield uid, patients[uid], one.target.name, model, name, value


def _split(learning: Learning) -> Iterable[Sequence[object]]:
    patients = {case.case_id: case.patient_id for case in learning.cohort.cases}
    for part, names in learning.split.parts.items():
        for uid in names:
            yield uid, patients[uid], part


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else spreadsheet_safe(cell) for cell in row])
    return text.getvalue()
