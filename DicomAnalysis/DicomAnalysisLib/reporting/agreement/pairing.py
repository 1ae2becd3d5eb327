"""Two sets of measurements joined by identifier: what matches, what does not, and what was measured twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...errors import UsageError
from .tables import number_of, unit_of, without_unit

ROW = "row"
"""Identifiers where the table has none: ``row 1``, ``row 2`` ..."""


@dataclass(frozen=True)
class Pair:
    """One subject, measured by both.

    Attributes
    ----------
    identifier : str
    first, second : tuple of float
        The repeats of each, at least one.
    series_uid : str
        The series that was measured; empty where it is not known.
    files : tuple of str
        Where the measurement came from, if from files.
    """

    identifier: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    series_uid: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairedMeasurements:
    """Measurements of one quantity by two raters or methods.

    Attributes
    ----------
    quantity, unit : str
    names : tuple of two str
        Of the raters or methods.
    pairs : tuple of Pair
        In the order of the first set.
    unmatched_first, unmatched_second : tuple of str
        Identifiers that only one of the two has.
    left_out : tuple of str
        Rows that could not be used, each with the reason.
    notes : tuple of str
        What was decided on the way.
    """

    quantity: str
    unit: str
    names: tuple[str, str]
    pairs: tuple[Pair, ...]
    unmatched_first: tuple[str, ...] = ()
    unmatched_second: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_repeats(self) -> bool:
        """Whether anything was measured more than once by one method."""
        return any(len(pair.first) > 1 or len(pair.second) > 1 for pair in self.pairs)


@dataclass
class _Side:
    """The usable values of one method, by identifier."""

    values: dict[str, list[float]] = field(default_factory=dict)
    series: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, identifier: str, cell: object, name: str, series_uid: str = "") -> None:
        if identifier.casefold() in ("", "nan"):
            self.left_out.append(f"{name}: a row without identifier")
            return
        try:
            value = number_of(cell)
        except ValueError as error:
            self.left_out.append(f"{name}, {identifier}: {error}")
            return
        self.values.setdefault(identifier, []).append(value)
        self.series.setdefault(identifier, series_uid)


def pair_values(
    first: Sequence[float],
    second: Sequence[float],
    identifiers: Sequence[str] = (),
    quantity: str = "",
    unit: str = "",
    names: tuple[str, str] = ("first", "second"),
) -> PairedMeasurements:
    """Pairs from two sequences of the same length; rows of one identifier are repeats.

    Raises
    ------
    UsageError
        If the lengths differ.
    """
    if len(first) != len(second) or (identifiers and len(identifiers) != len(first)):
        msg = f"Two columns of the same length are needed, not of {len(first)} and {len(second)} rows."
        raise UsageError(msg)
    keys = identifiers or [f"{ROW} {row}" for row in range(1, len(first) + 1)]
    sides = _Side(), _Side()
    for key, *cells in zip(keys, first, second, strict=True):
        for side, cell, name in zip(sides, cells, names, strict=True):
            side.add(str(key).strip(), cell, name)
    return _joined(sides, quantity, unit, names)


def pair_columns(
    rows: Sequence[Mapping[str, str]],
    columns: tuple[str, str],
    identifier: str = "",
    series: str = "",
    unit: str = "",
    second_rows: Sequence[Mapping[str, str]] | None = None,
    names: tuple[str, str] | None = None,
) -> PairedMeasurements:
    """Two columns of one table, or one column of each of two tables, joined by identifier.

    Parameters
    ----------
    rows : sequence of mapping
        Rows by column title.
    columns : tuple of two str
    identifier : str
        Title of the column that says who was measured; without it rows belong together by their number.
    series : str
        Title of the column with Series Instance UIDs, where there is one.
    unit : str
        By default what the titles say in brackets: ``diameter (mm)``.
    second_rows : sequence of mapping, optional
        The table with the second column.
    names : tuple of two str, optional
        Of the raters or methods; the column titles by default.

    Raises
    ------
    UsageError
        If a column is not there, the units of the two differ, or two tables have no identifier.
    """
    if second_rows is not None and not identifier:
        msg = "Two tables are joined by identifier: name the column that both of them have."
        raise UsageError(msg)
    if second_rows is None and columns[0] == columns[1]:
        msg = f"The column {columns[0]} cannot be compared with itself; name two columns."
        raise UsageError(msg)
    tables = (rows, rows if second_rows is None else second_rows)
    for table, column in zip(tables, columns, strict=True):
        _require(table, column, *((identifier,) if identifier else ()))
    if series:
        _require(rows, series)
    titles = [without_unit(column) for column in columns]
    names = names or (tuple(titles) if titles[0] != titles[1] else ("first table", "second table"))
    sides = _Side(), _Side()
    for side, table, column, name in zip(sides, tables, columns, names, strict=True):
        for number, row in enumerate(table, start=1):
            key = row[identifier].strip() if identifier else f"{ROW} {number}"
            side.add(key, row[column], name, row.get(series, "").strip())
    quantity = titles[0] if titles[0] == titles[1] else _common(titles)
    return _joined(sides, quantity, unit or _one_unit(columns), names)


def pair_long(
    rows: Sequence[Mapping[str, str]],
    identifier: str,
    rater: str,
    value: str,
    raters: tuple[str, str] | None = None,
    series: str = "",
    unit: str = "",
) -> PairedMeasurements:
    """A table with a row for each measurement, who made it in a column of its own.

    Parameters
    ----------
    rows : sequence of mapping
    identifier, rater, value : str
        Titles of the columns.
    raters : tuple of two str, optional
        Which two; may be left out where the table has just two.
    series, unit : str
        As for `pair_columns`.

    Raises
    ------
    UsageError
        If a column or a rater is not there.
    """
    _require(rows, identifier, rater, value, *((series,) if series else ()))
    known = list(dict.fromkeys(row[rater].strip() for row in rows if row[rater].strip()))
    raters = raters or tuple(known)
    if len(raters) != 2 or raters[0] == raters[1] or not set(raters) <= set(known):
        msg = f"Two of the raters in the column {rater} are compared; it has: {', '.join(known) or 'none'}."
        raise UsageError(msg)
    sides = _Side(), _Side()
    for row in rows:
        who = row[rater].strip()
        if who in raters:
            key = row[identifier].strip()
            sides[raters.index(who)].add(key, row[value], who, row.get(series, "").strip())
    return _joined(sides, without_unit(value), unit or unit_of(value), raters)


def with_files(paired: PairedMeasurements, files: Mapping[str, Sequence[str]]) -> PairedMeasurements:
    """The same pairs, each with its files."""
    pairs = (replace(pair, files=tuple(map(str, files.get(pair.identifier, ())))) for pair in paired.pairs)
    return replace(paired, pairs=tuple(pairs))


def _joined(sides: tuple[_Side, _Side], quantity: str, unit: str, names: tuple[str, str]) -> PairedMeasurements:
    first, second = sides
    pairs = tuple(
        Pair(key, tuple(values), tuple(second.values[key]), first.series[key] or second.series[key])
        for key, values in first.values.items()
        if key in second.values
    )
    notes = []
    repeated = sum(len(pair.first) > 1 or len(pair.second) > 1 for pair in pairs)
    if repeated:
        notes.append(f"{repeated} of {len(pairs)} identifiers stand more than once: their rows are taken as repeats.")
    return PairedMeasurements(
        quantity,
        unit,
        names,
        pairs,
        tuple(key for key in first.values if key not in second.values),
        tuple(key for key in second.values if key not in first.values),
        (*first.left_out, *second.left_out),
        tuple(notes),
    )


def _require(rows: Sequence[Mapping[str, str]], *columns: str) -> None:
    if not rows:
        msg = "The table has no rows."
        raise UsageError(msg)
    for column in columns:
        if column not in rows[0]:
            msg = f"There is no column {column!r}; the table has: {', '.join(rows[0])}."
            raise UsageError(msg)


def _one_unit(columns: Iterable[str]) -> str:
    units = [unit_of(column) for column in columns]
    if all(units) and units[0] != units[1]:
        msg = f"The columns are in different units, {units[0]} and {units[1]}: convert one of them first."
        raise UsageError(msg)
    return units[0] or units[1]


def _common(titles: Sequence[str]) -> str:
    """The words that two titles share: ``volume`` of ``volume manual`` and ``volume network``."""
    words = [title.replace("_", " ").split() for title in titles]
    return " ".join(word for word in words[0] if word in words[1])
