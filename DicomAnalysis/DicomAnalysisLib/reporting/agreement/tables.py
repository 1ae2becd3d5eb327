"""Tables of measurements: CSV files, titles with units, and what people write where a number is missing."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

from ...errors import SourceError

MOST_BYTES = 200_000_000
IDENTIFIERS = ("identifier", "id", "case_id", "case", "subject", "patient_id", "series_uid", "seriesinstanceuid")
"""Titles under which identifiers are looked for when none is named, in this order."""
SERIES = ("series_uid", "seriesinstanceuid", "series instance uid", "series")
RATERS = ("rater", "reader", "observer", "method")

_UNIT = re.compile(r"\s*[\(\[]\s*([^()\[\]]+?)\s*[\)\]]\s*$")
_MISSING = {"", "nan", "na", "n/a", "none", "null", "-", "--"}
_ALIKE = {"millimeter": "mm", "millimetre": "mm", "mL": "ml", "cm3": "ml", "cm^3": "ml", "cm³": "ml", "cc": "ml"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Rows of a CSV file by column title; comma, semicolon or tab between the cells.

    Raises
    ------
    SourceError
        If the file cannot be read, has no rows, a title stands twice, or a row has more cells than titles.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            msg = f"{path} is too large for a table of measurements ({path.stat().st_size / 1e6:.0f} MB)."
            raise SourceError(msg)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}."
        raise SourceError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is no text in UTF-8: save the table as CSV (UTF-8)."
        raise SourceError(msg) from error
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        table = [row for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        msg = f"{path} is no table: {error}."
        raise SourceError(msg) from error
    return _rows(path, table)


def _rows(path: Path, table: list[list[str]]) -> list[dict[str, str]]:
    if len(table) < 2:
        msg = f"{path} holds no measurements: the first row has titles, the others values."
        raise SourceError(msg)
    titles = [title.strip() for title in table[0]]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        msg = f"{path}: the column {twice[0]!r} stands twice; rename one of them."
        raise SourceError(msg)
    for number, row in enumerate(table[1:], start=2):
        if any(cell.strip() for cell in row[len(titles) :]):
            msg = (
                f"{path}: row {number} (empty ones not counted) has {len(row)} cells and the header {len(titles)}; "
                "numbers with a decimal comma need semicolons between the cells, or quotes."
            )
            raise SourceError(msg)
    return [{title: row[n].strip() if n < len(row) else "" for n, title in enumerate(titles)} for row in table[1:]]


def number_of(cell: object) -> float:
    """The number in a cell; a decimal comma is one.

    Raises
    ------
    ValueError
        Why there is none, in words for the user.
    """
    text = str(cell).strip()
    if text.casefold() in _MISSING:
        msg = "no value"
        raise ValueError(msg)
    try:
        value = float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        msg = f"{text[:40]!r} is not a number"
        raise ValueError(msg) from None
    if not math.isfinite(value):
        msg = f"{text[:40]!r} is not a finite number"
        raise ValueError(msg)
    return value


def is_number(cell: object) -> bool:
    """Whether a cell holds a number."""
    try:
        number_of(cell)
    except ValueError:
        return False
    return True


def unit_of(title: str) -> str:
    """The unit in brackets at the end of a title; empty where there is none."""
    found = _UNIT.search(title)
    return _ALIKE.get(found[1], found[1]) if found else ""


def without_unit(title: str) -> str:
    """A title without the unit in brackets."""
    return _UNIT.sub("", title).strip()


def guess(titles: list[str], wanted: tuple[str, ...]) -> str:
    """The first title that is one of those looked for; empty where none is."""
    known = {title.casefold(): title for title in reversed(titles)}
    return next((known[name] for name in wanted if name in known), "")
