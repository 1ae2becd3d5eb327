"""The table of predictions: what was true of each case and what a model said, as CSV.

One row for a case. Columns: ``case_id``, ``patient_id``, ``part`` ("validation" or "test"), then for
every target and class ``true <target>:<class>`` (0, 1 or empty where the truth is not known) and
``p <target>:<class>``, the calibrated probability.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import SourceError, UsageError
from ...files.atomic import write_text
from ...files.spreadsheet import spreadsheet_safe
from ..cohort import MULTILABEL, Cohort, Target

PARTS = ("training", "validation", "test")
FILE_NAME = "predictions.csv"
UNKNOWN = -1
"""In `Predictions.truth` where the truth of a case is not known."""

_DIGITS = 9
"""Significant digits of a probability: a float32 comes back as it was."""

_TOLERANCE = 0.01
"""How far probabilities of one-of-several may be from adding to 1."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of cases, and the truth.

    Parameters
    ----------
    targets : tuple of Target
    case_ids, patient_ids, parts : tuple of str
        One for each case; a part is "training", "validation" or "test".
    truth : mapping of str to int array, (cases, classes)
        0 or 1 by target; `UNKNOWN` where it is not known.
    probabilities : mapping of str to float array, (cases, classes)
        Calibrated, by target.

    Raises
    ------
    UsageError
        If a case is named twice, a part is unknown, shapes differ, or a number is no probability.
    """

    targets: tuple[Target, ...]
    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    parts: tuple[str, ...]
    truth: Mapping[str, np.ndarray]
    probabilities: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        if not len(self.case_ids) == len(self.patient_ids) == len(self.parts):
            raise UsageError("A table of predictions needs one patient and one part for every case.")
        twice = sorted({name for name in self.case_ids if self.case_ids.count(name) > 1}) if _repeats(self) else []
        if twice:
            raise UsageError(f"The predictions name a case twice: {', '.join(twice[:5])}. Keep one row for each.")
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown:
            raise UsageError(f"A prediction is of part '{unknown[0]}'; parts are {', '.join(PARTS)}.")
        for target in self.targets:
            _check_target(target, len(self.case_ids), self.truth[target.name], self.probabilities[target.name])

    def __len__(self) -> int:
        return len(self.case_ids)

    def of_part(self, part: str) -> Predictions:
        """The cases of one part."""
        return self.take([index for index, name in enumerate(self.parts) if name == part])

    def take(self, rows: Sequence[int]) -> Predictions:
        """These rows, in this order."""
        return Predictions(
            self.targets,
            tuple(self.case_ids[row] for row in rows),
            tuple(self.patient_ids[row] for row in rows),
            tuple(self.parts[row] for row in rows),
            {name: values[list(rows)] for name, values in self.truth.items()},
            {name: values[list(rows)] for name, values in self.probabilities.items()},
        )


def predictions_of(
    cohort: Cohort, parts: Mapping[str, str], probabilities: Mapping[str, Mapping[str, Sequence[float]]]
) -> Predictions:
    """A table joined by identifier from what a model said.

    Parameters
    ----------
    cohort : Cohort
        Has the truth.
    parts : mapping of str to str
        The part of each case_id.
    probabilities : mapping of str to mapping of str to sequence of float
        By case_id, then by target: one probability for each of its classes. A case without
        an entry is left out of the table.

    Raises
    ------
    UsageError
        If a case is not of the cohort, has no part, or its probabilities do not fit the target.
    """
    chosen = cohort.subset(probabilities)
    rows = [case.case_id for case in chosen.cases]
    without = [name for name in rows if name not in parts]
    if without:
        raise UsageError(f"Case {without[0]} was predicted and is in no part of the split.")
    shape = {target.name: (len(rows), len(target.classes)) for target in cohort.targets}
    return Predictions(
        cohort.targets,
        tuple(rows),
        tuple(case.patient_id for case in chosen.cases),
        tuple(parts[name] for name in rows),
        {target.name: target.indicators(chosen.labels_of(target)) for target in cohort.targets},
        {
            name: np.array([probabilities[row][name] for row in rows], np.float64).reshape(size)
            for name, size in shape.items()
        },
    )


def write_predictions(path: Path | str, predictions: Predictions) -> None:
    """Write the table as CSV (RFC 4180), UTF-8, in one step.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    names = [
        (target.name, index, f"{target.name}:{of}")
        for target in predictions.targets
        for index, of in enumerate(target.classes)
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{kind} {name}" for _target, _index, name in names for kind in ("true", "p")]
    writer.writerow(["case_id", "patient_id", "part", *columns])
    for row, case_id in enumerate(predictions.case_ids):
        cells: list[object] = []
        for target, index, _name in names:
            truth = int(predictions.truth[target][row, index])
            cells += ["" if truth == UNKNOWN else truth, f"{predictions.probabilities[target][row, index]:.{_DIGITS}g}"]
        identifiers = (spreadsheet_safe(name) for name in (case_id, predictions.patient_ids[row]))
        writer.writerow([*identifiers, predictions.parts[row], *cells])
    write_text(path, text.getvalue())


def read_predictions(path: Path | str, targets: Sequence[Target]) -> Predictions:
    """Read a table of predictions.

    Parameters
    ----------
    path : path
    targets : sequence of Target
        What the table is about; columns of anything else are left alone.

    Raises
    ------
    SourceError
        If the file cannot be read, or lacks a column, or a cell is not what its column says.
    UsageError
        If the table contradicts itself.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path} cannot be read as a table of predictions ({error}); choose the {FILE_NAME} of a training."
        raise SourceError(msg) from error
    columns = set(rows[0]) if rows else set()
    names = [f"{target.name}:{of}" for target in targets for of in target.classes]
    wanted = ["case_id", "patient_id", "part", *(f"p {name}" for name in names)]
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise SourceError(f"{path} lacks the column '{missing[0]}'; choose the {FILE_NAME} of this model's training.")
    truth, probabilities = {}, {}
    for target in targets:
        names = [f"{target.name}:{of}" for of in target.classes]
        truth[target.name] = np.array([[_truth(row, n, path) for n in names] for row in rows], np.int64)
        probabilities[target.name] = np.array([[_number(row, f"p {n}", path) for n in names] for row in rows])
    identifiers = ([_without_apostrophe(row[name]) for row in rows] for name in ("case_id", "patient_id", "part"))
    return Predictions(tuple(targets), *(tuple(values) for values in identifiers), truth, probabilities)


def _repeats(predictions: Predictions) -> bool:
    return len(set(predictions.case_ids)) < len(predictions.case_ids)


def _check_target(target: Target, cases: int, truth: np.ndarray, probabilities: np.ndarray) -> None:
    shape = (cases, len(target.classes))
    if truth.shape != shape or probabilities.shape != shape:
        raise UsageError(
            f"'{target.name}' of {cases} cases needs a table of {shape}; truth is {truth.shape} and the"
            f" probabilities are {probabilities.shape}."
        )
    if not np.isin(truth, (UNKNOWN, 0, 1)).all():
        raise UsageError(f"The truth of '{target.name}' is neither 0 nor 1 somewhere.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise UsageError(f"'{target.name}' has a prediction that is no probability between 0 and 1; train it again.")
    if target.kind == MULTILABEL:
        return
    known = truth.min(axis=1, initial=1) != UNKNOWN
    if (truth[known].sum(axis=1) != 1).any():
        raise UsageError(f"'{target.name}' is one of {len(target.classes)} and a case is of none or of several.")
    if cases and np.abs(probabilities.sum(axis=1) - 1).max() > _TOLERANCE:
        raise UsageError(f"The probabilities of '{target.name}' do not add to 1: its head needs a softmax.")


def _truth(row: Mapping[str, str], name: str, path: Path) -> int:
    if not row.get(f"true {name}"):
        return UNKNOWN
    value = _number(row, f"true {name}", path)
    if value not in (0, 1):
        raise SourceError(f"{path}: 'true {name}' of case {row.get('case_id')} is {value:g}; it must be 0 or 1.")
    return int(value)


def _number(row: Mapping[str, str], name: str, path: Path) -> float:
    try:
        return float(row[name])
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"{path}: '{name}' of case {row.get('case_id')} is no number; write the table again."
        ) from error


def _without_apostrophe(text: str) -> str:
    """What `spreadsheet_safe` put in front, taken away."""
    return text[1:] if text.startswith("'") and spreadsheet_safe(text[1:]) != text[1:] else text
