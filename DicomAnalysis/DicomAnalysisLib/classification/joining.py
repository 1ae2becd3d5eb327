"""Which images a label row speaks of: found by the identifiers it states, never by its place in the table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from .finding import FoundImage
from .images import without_ending
from .tables import FACT_COLUMNS, IDENTIFIERS, VIEW_COLUMN, LabelTable


@dataclass(frozen=True)
class Row:
    """The identifiers of one row.

    Parameters
    ----------
    where : str
        For messages: "labels.csv, line 7".
    cells : tuple of str
    level : str
        The most specific identifier stated: "series", "file", "study" or "patient".
    identifiers : dict
        Level to value, those stated only.
    view, group : str
        What the view column and the group column say.
    facts : dict
        Age and sex, where the table states them.
    """

    where: str
    cells: tuple[str, ...]
    level: str
    identifiers: dict[str, str]
    view: str = ""
    group: str = ""
    facts: dict[str, str | float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The identifier it is joined by."""
        return self.identifiers[self.level]


def read_rows(table: LabelTable, group_column: str, notes: list[str]) -> list[Row]:
    """The rows that state an identifier; the others are noted.

    Raises
    ------
    UsageError
        If the table has no column of identifiers.
    """
    columns = {level: table.like(names) for level, names in IDENTIFIERS.items()}
    columns = {level: column for level, column in columns.items() if column is not None}
    if not columns:
        msg = (
            f"{table.name} has no column of identifiers. Name one series_uid, study_uid, patient_id or file; "
            f"it has: {', '.join(table.header)}. Labels are never joined by their order."
        )
        raise UsageError(msg)
    view, group = table.like(VIEW_COLUMN), table.column(group_column) if group_column else None
    facts = {name: column for name, names in FACT_COLUMNS.items() if (column := table.like(names)) is not None}
    rows = []
    for number, cells in enumerate(table.rows):
        where = table.line(number)
        stated = {level: cells[column] for level, column in columns.items() if cells[column]}
        if not stated:
            if any(cells):
                notes.append(f"{where} states no identifier and was left out.")
            continue
        rows.append(
            Row(
                where,
                cells,
                next(level for level in IDENTIFIERS if level in stated),
                stated,
                cells[view] if view is not None else "",
                cells[group] if group is not None else "",
                {name: _fact(name, cells[column]) for name, column in facts.items() if cells[column]},
            )
        )
    return rows


def _fact(name: str, text: str) -> str | float:
    if name == "age":
        try:
            return float(text)
        except ValueError:
            return text
    return text


class ImageIndex:
    """Images by every identifier that a row may state."""

    def __init__(self, images: Sequence[FoundImage]):
        self._by: dict[str, dict[str, list[int]]] = {level: defaultdict(list) for level in IDENTIFIERS}
        self._images = images
        for k, image in enumerate(images):
            identity = image.identity
            if image.is_dicom:
                self._by["series"][identity.series_uid].append(k)
            self._by["study"][identity.study_uid].append(k)
            self._by["patient"][patient_of(image)].append(k)
            if len(image.files) == 1:
                name = Path(image.files[0]).name
                for text in {name, without_ending(name)}:
                    self._by["file"][text].append(k)

    def find(self, row: Row) -> list[int]:
        """Indices of the images of a row.

        Raises
        ------
        ValueError
            If its identifiers contradict the images', or a file's name is that of several; the message is the reason.
        """
        found = self._of_file(row.name) if row.level == "file" else self._by[row.level].get(row.name.strip(), [])
        agreeing = [k for k in found if self._agrees(self._images[k], row)]
        if found and not agreeing:
            identity = self._images[found[0]].identity
            msg = (
                f"its identifiers contradict each other: {row.name} is of study {identity.study_uid or '(none)'}"
                f" and patient {identity.patient_id or '(none)'}"
            )
            raise ValueError(msg)
        return agreeing

    def _of_file(self, name: str) -> list[int]:
        """By the file's name with or without its ending, or by the end of its path."""
        parts = Path(name.replace("\\", "/")).parts
        found = self._by["file"].get(parts[-1] if parts else "", [])
        if len(parts) > 1:
            folders = parts[:-1]
            tail = tuple(part for part in folders if part not in (".", "/"))
            return [k for k in found if Path(self._images[k].files[0]).parts[:-1][-len(tail) :] == tail or not tail]
        if len(found) > 1:
            msg = f"there are {len(found)} files called {name}; write their folders, too"
            raise ValueError(msg)
        return found

    def _agrees(self, image: FoundImage, row: Row) -> bool:
        identity = image.identity
        for level, stated in (("study", identity.study_uid), ("patient", identity.patient_id.strip(" \0"))):
            if level in row.identifiers and stated and row.identifiers[level] != stated:
                return False
        return True


def patient_of(image: FoundImage) -> str:
    """The Patient ID without the blanks that DICOM pads it with."""
    return image.identity.patient_id.strip(" \0")
