"""Labels joined to the rows of a feature table, by identifier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ...classification.cohort import MULTILABEL, Case, Cohort, View
from ...classification.joining import Row, read_rows
from ...classification.tables import Labels, read_table
from ...classification.targets import LabelColumns, choose_columns, make_encoder
from ...errors import UsageError
from ..features.table import FeatureTable

STACK = "/stack-"
"""Between the Series Instance UID and the number of a further stack."""


def label_table(table: FeatureTable, labels: Labels, columns: Sequence[LabelColumns] = ()) -> Cohort:
    """The series of a feature table with their labels, as a cohort of classification.

    Parameters
    ----------
    table : FeatureTable
    labels : path or (header, rows)
        A CSV file, or a table's header and rows of text. Rows are joined by series_uid, patient_id or file
        (those of a model of several views, which are studies, by study_uid);
        every identifier that a row states must agree. A patient's label is that of all their series.
    columns : sequence of LabelColumns
        Each a target; empty: the table's only column that is no identifier.

    Returns
    -------
    Cohort
        A case for each labelled series: its case_id is the series of the table, its facts are the tags.
        What could not be joined is listed in it.

    Raises
    ------
    UsageError
        If the labels have no identifiers, or not one row fits a series.
    SourceError
        If the file cannot be read.
    """
    problems: list[str] = []
    text = read_table(labels)
    encoders = [make_encoder(text, asked, problems) for asked in choose_columns(text, columns)]
    index, found, unmatched = _Index(table), {}, []
    contradicted: set[int] = set()
    for row in read_rows(text, "", problems):
        try:
            label = {encoder.target.name: encoder.encode(row.cells) for encoder in encoders}
            places = index.find(row)
        except ValueError as error:
            problems.append(f"{row.where} ({row.name}) was left out: {error}.")
            unmatched.append(row.name)
            continue
        if not places:
            unmatched.append(row.name)
        if None in label.values():
            problems.append(f"{row.where} ({row.name}) was left out: it states no label.")
            continue
        for place in places:
            if found.setdefault(place, label) != label:
                contradicted.add(place)
    for place in sorted(contradicted):
        problems.append(f"Series {table.series[place]} was left out: two rows label it differently.")
        del found[place]
    if not found:
        first = table.series[0] if len(table) else "(none)"
        raise UsageError(
            f"Not one label row fits one of the {len(table)} series of the feature table (the first is {first}). "
            f"{' '.join(problems[:3])}".strip()
        )
    cases = [_case(table, place, label) for place, label in sorted(found.items())]
    return Cohort(
        targets=tuple(encoder.target for encoder in encoders),
        view_names=("",),
        cases=tuple(sorted(cases, key=lambda case: case.case_id)),
        unmatched_labels=tuple(unmatched),
        unmatched_series=tuple(uid for place, uid in enumerate(table.series) if place not in found),
        problems=tuple(dict.fromkeys(problems)),
    )


def label_texts(table: FeatureTable, cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """Each target's class of every series of the table as text, empty where it has no label."""
    place = {uid: k for k, uid in enumerate(table.series)}
    found: dict[str, list[str]] = {target.name: [""] * len(table) for target in cohort.targets}
    for target in cohort.targets:
        for case in cohort.cases:
            label = case.labels[target.name]
            if target.kind == MULTILABEL:
                names = [name for name, there in zip(target.classes, label, strict=True) if there]
                text = " + ".join(names) or "none"
            else:
                text = target.classes[label[0]]
            found[target.name][place[case.case_id]] = text
    return {name: tuple(column) for name, column in found.items()}


class _Index:
    """Rows of a feature table by every identifier that a label row may state."""

    def __init__(self, table: FeatureTable):
        self._table = table
        self._by: dict[str, dict[str, list[int]]] = {
            level: defaultdict(list) for level in ("series", "patient", "file")
        }
        for place, (uid, patient) in enumerate(zip(table.series, table.patients, strict=True)):
            for name in {uid, uid.split(STACK)[0]}:
                self._by["series"][name].append(place)
            self._by["patient"][patient.strip(" \0")].append(place)
            for path in table.sources.get(uid, ()):
                for name in {Path(path).name, Path(path).stem}:
                    self._by["file"][name].append(place)

    def find(self, row: Row) -> list[int]:
        # The rows of a model of several views are studies.
        level = "series" if row.level == "study" else row.level
        name = Path(row.name.replace("\\", "/")).name if row.level == "file" else row.name.strip()
        found = sorted(set(self._by[level].get(name, [])))
        if row.level == "study" and not found:
            msg = "no row of the feature table is that study; state the series_uid or the patient_id, too"
            raise ValueError(msg)
        patient = row.identifiers.get("patient")
        agreeing = [k for k in found if patient is None or self._table.patients[k].strip(" \0") == patient.strip()]
        if found and not agreeing:
            msg = "its identifiers contradict each other: the series is of another patient"
            raise ValueError(msg)
        return agreeing


def _case(table: FeatureTable, place: int, label: dict[str, tuple[int, ...]]) -> Case:
    uid = table.series[place]
    view = View("", uid, table.sources.get(uid, ()) or (uid,))
    tags = {name: column[place] for name, column in table.tags.items() if column[place]}
    return Case(uid, table.patients[place], "", (view,), label, tags)
