"""What a study compares, as a user says it: two columns, a long table, or two folders of segmentations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import TaskError, UsageError
from .analysis import Agreement, analyse
from .estimate import FEWEST, AgreementOptions
from .pairing import PairedMeasurements, pair_columns, pair_long
from .segment_comparison import compare_segmentations
from .segment_study import SegmentStudy, volumes
from .tables import IDENTIFIERS, SERIES, guess, read_table


@dataclass(frozen=True)
class TableChoice:
    """Which columns of a table are compared.

    Attributes
    ----------
    columns : tuple of str
        Two titles; or one, with `rater`, or where two tables have it.
    identifier : str
        Title; looked for under the usual names where it is empty.
    series : str
        Title of Series Instance UIDs; looked for where it is empty.
    rater : str
        Title of the column that says who measured: a row for each measurement.
    raters : tuple of str
        Which two of them.
    unit : str
    names : tuple of two str, optional
        For the two columns.
    """

    columns: tuple[str, ...] = ()
    identifier: str = ""
    series: str = ""
    rater: str = ""
    raters: tuple[str, ...] = ()
    unit: str = ""
    names: tuple[str, str] | None = None


def pair_table(
    rows: Sequence[Mapping[str, str]], choice: TableChoice, second_rows: Sequence[Mapping[str, str]] | None = None
) -> PairedMeasurements:
    """The measurements that a choice names.

    Raises
    ------
    UsageError
        If the choice does not fit the table.
    """
    titles = list(rows[0]) if rows else []
    identifier = choice.identifier or guess(titles, IDENTIFIERS)
    series = choice.series or guess(titles, SERIES)
    if choice.rater:
        if len(choice.columns) != 1 or not identifier:
            msg = "A table with a row for each measurement needs one column of values and one of identifiers."
            raise UsageError(msg)
        raters = tuple(choice.raters) or None
        return pair_long(rows, identifier, choice.rater, choice.columns[0], raters, series, choice.unit)
    columns = tuple(choice.columns)
    if second_rows is not None and len(columns) == 1:
        columns *= 2
    if len(columns) != 2:
        msg = f"Name the two columns to compare; the table has: {', '.join(titles)}."
        raise UsageError(msg)
    return pair_columns(rows, columns, identifier, series, choice.unit, second_rows, choice.names)


def study_tables(
    first: str | Path, choice: TableChoice, options: AgreementOptions, second: str | Path | None = None
) -> Agreement:
    """Agreement of two columns of a CSV file, or of one column in each of two.

    Raises
    ------
    DicomAnalysisError
        If a file cannot be read, the choice does not fit, or there are too few pairs.
    """
    rows = read_table(first)
    return analyse(pair_table(rows, choice, None if second is None else read_table(second)), options)


def study_segmentations(
    first: str | Path,
    second: str | Path,
    options: AgreementOptions,
    segments: Sequence[str] = (),
    pattern: str = "",
    names: tuple[str, str] = ("first", "second"),
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[SegmentStudy, list[Agreement], list[str]]:
    """Overlap and distances of two sets of segmentations, and the agreement of their volumes.

    Parameters are those of `compare_segmentations`.

    Returns
    -------
    study : SegmentStudy
    agreements : list of Agreement
        Of the volume of each segment of which there are enough pairs.
    remarks : list of str
        Why there is none for the others.
    """
    study = compare_segmentations(first, second, segments, pattern, names, progress)
    return study, *agreements_of(study, options)


def agreements_of(study: SegmentStudy, options: AgreementOptions) -> tuple[list[Agreement], list[str]]:
    """The agreement of the volume of each segment, and why there is none for the others."""
    agreements, remarks = [], []
    for segment in study.segments:
        paired = volumes(study, segment)
        if len(paired.pairs) < FEWEST:
            pairs = f"{len(paired.pairs)} pair{'' if len(paired.pairs) == 1 else 's'}"
            remarks.append(f"{segment}: no limits of agreement of {pairs}; {FEWEST} are the least.")
            continue
        try:
            agreements.append(analyse(paired, options))
        except TaskError as error:
            remarks.append(f"{segment}: {error}")
    return agreements, remarks
