"""A table of labels as text: a CSV file, or a header and rows as a Slicer table gives them."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError, UsageError

IDENTIFIERS: Mapping[str, tuple[str, ...]] = {
    "series": ("seriesuid", "seriesinstanceuid"),
    "file": ("file", "filename", "path", "filepath", "image", "imagefile"),
    "study": ("studyuid", "studyinstanceuid"),
    "patient": ("patientid", "patient"),
}
"""Levels a row can be joined at, most specific first, and what their columns are called without blanks and marks."""
VIEW_COLUMN = ("view", "viewname")
FACT_COLUMNS: Mapping[str, tuple[str, ...]] = {"age": ("age", "patientage"), "sex": ("sex", "gender", "patientsex")}
"""Columns that say more about the patient, and are a label only where they are asked for as one."""
MAX_TABLE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class LabelTable:
    """A header and rows of text.

    Parameters
    ----------
    header : tuple of str
    rows : tuple of tuple of str
        Each as long as the header.
    name : str
        For messages: the file, or "the table".
    first_line : int
        What the first row is called in messages: 2 in a file, whose first line is the header.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str = "the table"
    first_line: int = 1

    def line(self, row: int) -> str:
        """Where a row is: "labels.csv, line 7"."""
        return f"{self.name}, {'line' if self.first_line > 1 else 'row'} {row + self.first_line}"

    def column(self, name: str) -> int:
        """Index of a column by its name, in whatever case.

        Raises
        ------
        UsageError
            If there is no such column.
        """
        for index, title in enumerate(self.header):
            if title.casefold() == name.casefold():
                return index
        msg = f"{self.name} has no column '{name}'; it has: {', '.join(self.header)}."
        raise UsageError(msg)

    def like(self, names: Sequence[str]) -> int | None:
        """Index of the column whose simplified name is one of `names`; None where there is none."""
        simple = [simplified(title) for title in self.header]
        return next((simple.index(name) for name in names if name in simple), None)


Labels = str | os.PathLike | LabelTable | tuple[Sequence[str], Iterable[Sequence[str]]]


def simplified(title: str) -> str:
    """A column's name without blanks, marks and case."""
    return re.sub(r"[\W_]+", "", title).casefold()


def read_table(labels: Labels) -> LabelTable:
    """Labels from a CSV file, or from a header and rows.

    Parameters
    ----------
    labels : path, LabelTable, or (header, rows)
        In a file the columns are separated by commas, tabs or semicolons, whichever the header has most of.

    Raises
    ------
    SourceError
        If the file cannot be read as text.
    UsageError
        If there is no header, a column's name is empty or twice there, or a row is too long.
    """
    if isinstance(labels, LabelTable):
        return labels
    if isinstance(labels, (str, os.PathLike)):
        path = Path(labels)
        header, rows = _read_csv(path)
        return _checked(header, rows, path.name, first_line=2)
    header, rows = labels
    return _checked(list(header), [list(row) for row in rows], "the table", first_line=1)


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            msg = f"{path} is larger than a table of labels can be; is it the right file?"
            raise SourceError(msg)
        text = path.read_text("utf-8-sig")
    except OSError as error:
        msg = f"The labels {path} cannot be read ({error.strerror or error}); check the path."
        raise SourceError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"The labels {path} are no UTF-8 text; save the table as CSV in UTF-8."
        raise SourceError(msg) from error
    first = text.split("\n", 1)[0]
    delimiter = max(",\t;", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        msg = f"The labels {path} are no table ({error}); save the table as CSV again."
        raise SourceError(msg) from error
    return (lines[0] if lines else []), lines[1:]


def _checked(header: list[str], rows: list[list[str]], name: str, first_line: int) -> LabelTable:
    titles = [str(title).strip() for title in header]
    while titles and not titles[-1]:
        titles.pop()
    if not titles or not all(titles):
        msg = f"{name} has no header, or a column without a name; the first line names the columns."
        raise UsageError(msg)
    simple = [title.casefold() for title in titles]
    twice = sorted({title for title in titles if simple.count(title.casefold()) > 1})
    if twice:
        msg = f"{name} has the column {', '.join(twice)} more than once; rename or remove one."
        raise UsageError(msg)
    cells = []
    for number, row in enumerate(rows):
        texts = [str(cell).strip() for cell in row]
        if any(texts[len(titles) :]):
            msg = f"{name}, line {number + first_line}: {len(texts)} cells in a table of {len(titles)} columns."
            raise UsageError(msg)
        cells.append(tuple((texts + [""] * len(titles))[: len(titles)]))
    return LabelTable(tuple(titles), tuple(cells), name, first_line)
