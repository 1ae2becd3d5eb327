"""``dicom-analysis agreement FIRST [SECOND]``: whether one measurement is as good as the other."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DicomAnalysisError, UsageError
from .console import Console, table

if TYPE_CHECKING:
    from ..reporting.agreement.analysis import Agreement
    from ..reporting.agreement.segment_study import SegmentStudy

NAME = "agreement"
HELP = "compare two raters or methods: columns of a table, or folders of segmentations"

INTERVALS = ("exact", "mover", "approximate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "first", type=Path, metavar="FIRST", help="a CSV file, or a folder of segmentations (.seg.nrrd, .nrrd, .nii.gz)"
    )
    parser.add_argument(
        "second",
        type=Path,
        nargs="?",
        metavar="SECOND",
        help="a second CSV file or folder: the reference; result folders of `segment` are folders of segmentations",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for report, plots and tables")
    parser.add_argument("--title", default="Agreement", help="of the report")
    _add_table_arguments(parser.add_argument_group("tables"))
    segments = parser.add_argument_group("segmentations")
    segments.add_argument("--segment", action="append", metavar="NAME", help="only this segment; may be given again")
    segments.add_argument(
        "--id-pattern",
        default="",
        metavar="REGEX",
        help="with one group: the identifier in a file's name, for example '(case[0-9]+)_'; default: the whole name",
    )
    _add_options(parser.add_argument_group("statistics"))


def _add_table_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--columns",
        nargs="+",
        default=(),
        metavar="TITLE",
        help="the two columns; with --rater-column the one of values",
    )
    group.add_argument("--id", default="", metavar="TITLE", help="column that says who was measured")
    group.add_argument("--series-column", default="", metavar="TITLE", help="column with Series Instance UIDs")
    group.add_argument("--rater-column", default="", metavar="TITLE", help="column that says who measured")
    group.add_argument("--names", nargs=2, metavar=("FIRST", "SECOND"), help="of the two raters or methods")
    group.add_argument("--unit", default="", help="of the values; default: what the titles say in brackets")


def _add_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--confidence", type=float, default=0.95, metavar="SHARE", help="default: %(default)s")
    group.add_argument(
        "--coverage", type=float, default=0.95, metavar="SHARE", help="of the limits of agreement; default: %(default)s"
    )
    group.add_argument(
        "--interval",
        choices=INTERVALS,
        default="exact",
        help="of the limits: exact (non-central t, default), mover, or approximate (Bland and Altman 1999)",
    )
    group.add_argument("--log", action="store_true", help="analyse logarithms: ratios instead of differences")
    group.add_argument(
        "--acceptable", type=float, metavar="D", help="largest difference that does not matter (with --log a ratio)"
    )
    group.add_argument(
        "--precision",
        type=float,
        metavar="W",
        help="wanted half-width of the limits' intervals: how many pairs it takes",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compare; 0 when everything was compared, 1 when something could not be."""
    from ..reporting.agreement.estimate import AgreementOptions
    from ..reporting.agreement.outputs import study_document, write_study

    names = ("confidence", "coverage", "interval", "log", "acceptable", "precision")
    options = AgreementOptions(**{name: getattr(arguments, name) for name in names})
    for path in (arguments.first, arguments.second):
        if path is not None and not path.exists():
            msg = f"There is no file or folder {path}."
            raise UsageError(msg)
    study, agreements, remarks = _compare(arguments, options, console)
    document = study_document(agreements, study) | {"remarks": remarks}
    files = {}
    if arguments.output:
        files = _with_packages(lambda: write_study(arguments.output, agreements, study, arguments.title))
    console.result(document | {"files": files}, report_lines(agreements, study, remarks, files))
    return 1 if study is not None and study.problems else 0


def _compare(
    arguments: argparse.Namespace, options: object, console: Console
) -> tuple[SegmentStudy | None, list[Agreement], list[str]]:
    from ..reporting.agreement import request

    names = tuple(arguments.names) if arguments.names else None
    if _is_table(arguments.first):
        if arguments.second is not None and not _is_table(arguments.second):
            msg = "A table is compared with a table, a folder of segmentations with such a folder."
            raise UsageError(msg)
        choice = request.TableChoice(
            tuple(arguments.columns),
            arguments.id,
            arguments.series_column,
            arguments.rater_column,
            (names or ()) if arguments.rater_column else (),
            arguments.unit,
            names,
        )
        return None, [request.study_tables(arguments.first, choice, options, arguments.second)], []
    if arguments.second is None:
        msg = "Two folders of segmentations are compared: name the second one, too."
        raise UsageError(msg)

    def told(done: int, total: int, identifier: str) -> None:
        console.progress(f"[{done + 1}/{total}] {identifier}")

    return _with_packages(
        lambda: request.study_segmentations(
            arguments.first,
            arguments.second,
            options,
            tuple(arguments.segment or ()),
            arguments.id_pattern,
            names or _folder_names(arguments.first, arguments.second),
            told,
        )
    )


def _with_packages(work: object) -> object:
    from ..dependencies import explain_missing_module

    try:
        return work()
    except ImportError as error:
        raise DicomAnalysisError(explain_missing_module(error.name or "")) from error


def _is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt")


def _folder_names(first: Path, second: Path) -> tuple[str, str]:
    names = first.resolve().name, second.resolve().name
    return names if names[0] != names[1] else ("first", "second")


def report_lines(
    agreements: Sequence[Agreement], study: SegmentStudy | None, remarks: Sequence[str], files: dict[str, Path]
) -> Iterator[str]:
    """The result for people."""
    if study is not None:
        yield from _overlap_lines(study)
    for one in agreements:
        yield from _agreement_lines(one)
    yield from remarks
    source = study if study is not None else agreements[0].paired
    for name, alone in zip(source.names, (source.unmatched_first, source.unmatched_second), strict=True):
        if alone:
            yield from ("", f"Only in {name}: {len(alone)} ({_some(alone)})")
    left_out = study.problems if study is not None else agreements[0].paired.left_out
    if left_out:
        yield from ("", f"Left out: {len(left_out)}", *(f"  {line}" for line in left_out))
    if files:
        yield from ("", f"Report: {files['report']}")


def _overlap_lines(study: SegmentStudy) -> Iterator[str]:
    from ..reporting.agreement.document import number
    from ..reporting.agreement.segment_study import METRICS, describe

    pairs = len({(row.identifier, row.repeat) for row in study.rows})
    yield f"{study.names[0]} against {study.names[1]}: {pairs} pairs of segmentations."
    rows = []
    for segment in study.segments:
        for metric, title in METRICS.items():
            told = describe(study.of(segment), metric)
            keys = ("median", "quartile_1", "quartile_3", "minimum", "maximum")
            values = ("" if told[key] is None else number(told[key], 3) for key in keys)
            rows.append((segment, title, told["count"], *values))
    titles = ("Segment", "Metric", "Pairs", "Median", "Q1", "Q3", "Lowest", "Highest")
    yield from ("", *table(titles, rows, right=range(2, 8)))
    for row in study.rows:
        if row.remark:
            yield f"  {row.identifier}, {row.segment}: {row.remark}"


def _agreement_lines(agreement: Agreement) -> Iterator[str]:
    from ..reporting.agreement.document import rows_of, text_of, verdict_text
    from ..reporting.agreement.estimate import INTERVALS as METHODS

    paired = agreement.paired
    of = f" of {paired.quantity}" if paired.quantity else ""
    yield from ("", f"Agreement{of}: {paired.names[0]} minus {paired.names[1]}, {len(paired.pairs)} pairs.")
    level = f"Value ({100 * agreement.options.confidence:g} % interval)"
    yield from table(("", level, "Unit"), [(name, text_of(one), unit) for name, one, unit in rows_of(agreement)])
    yield f"Intervals of the limits: {METHODS[agreement.limits.method]}."
    if agreement.options.precision is not None and agreement.sample_sizes:
        count = agreement.sample_sizes[0][1]
        yield f"Pairs needed for the wanted precision: {'more than a million' if count is None else count}."
    yield from (f"Please note: {note}" for note in agreement.notes)
    verdict = verdict_text(agreement)
    if verdict:
        yield verdict
    if agreement.outliers:
        yield f"Outside the limits: {len(agreement.outliers)} of {len(paired.pairs)}"
        for one in agreement.outliers:
            series = f" (series {one.series_uid})" if one.series_uid not in ("", one.identifier) else ""
            yield f"  {one.identifier}{series}: {one.difference:.4g}, {one.reason}"


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
