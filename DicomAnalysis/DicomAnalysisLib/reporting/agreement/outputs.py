"""The files of a study: JSON, tables, pictures, report."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ...files.atomic import write_bytes, write_text
from ...files.json_text import json_text
from ...files.names import safe_name
from ...files.spreadsheet import spreadsheet_safe
from .analysis import Agreement
from .document import summary
from .plots import bland_altman_png
from .report import report_html
from .segment_study import COLUMNS, METRICS, SegmentStudy, describe, outliers

PAIR_COLUMNS = ("quantity", "identifier", "series_uid", "first", "second", "mean", "difference", "repeats", "outside")


def study_document(agreements: Sequence[Agreement], study: SegmentStudy | None = None) -> dict[str, object]:
    """All of a study for JSON."""
    document: dict[str, object] = {"agreements": [summary(one) for one in agreements]}
    if study is not None:
        document["segments"] = [
            {
                "segment": name,
                "metrics": {metric: describe(study.of(name), metric) for metric in METRICS},
                "outliers": outliers(study, name),
            }
            for name in study.segments
        ]
        document["rows"] = study.rows
        document["unmatched"] = {"first": study.unmatched_first, "second": study.unmatched_second}
        document["problems"] = study.problems
    return document


def write_study(
    folder: str | Path, agreements: Sequence[Agreement], study: SegmentStudy | None = None, title: str = "Agreement"
) -> dict[str, Path]:
    """Write ``agreement.json``, ``pairs.csv``, ``segments.csv``, a plot for each quantity and ``report.html``.

    Returns
    -------
    dict of str to Path
        What was written, by kind: ``report``, ``json``, ``pairs``, ``segments`` and ``plots``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from ... import __version__

    folder = Path(folder)
    paths = {"report": folder / "report.html", "json": folder / "agreement.json"}
    if agreements:
        paths["pairs"] = folder / "pairs.csv"
        write_text(paths["pairs"], _csv(PAIR_COLUMNS, [row for one in agreements for row in pair_rows(one)]))
    if study is not None:
        paths["segments"] = folder / "segments.csv"
        write_text(paths["segments"], _csv(COLUMNS, [asdict(row) for row in study.rows]))
    for one in agreements:
        name = one.paired.quantity.replace(" ", "-") or "measurements"
        write_bytes(folder / f"{safe_name(name, 'bland-altman')}.png", bland_altman_png(one))
    write_text(paths["report"], report_html(agreements, study, title, __version__))
    write_text(paths["json"], json_text(study_document(agreements, study)))
    return paths


def pair_rows(agreement: Agreement) -> list[dict[str, object]]:
    """A row for each pair: means of the repeats, difference (or ratio), and whether it lies outside the limits."""
    outside = {one.identifier for one in agreement.outliers}
    rows = []
    for pair, mean, difference in agreement.points():
        values = (
            agreement.paired.quantity,
            pair.identifier,
            pair.series_uid,
            sum(pair.first) / len(pair.first),
            sum(pair.second) / len(pair.second),
            mean,
            difference,
            max(len(pair.first), len(pair.second)),
            "outside" if pair.identifier in outside else "",
        )
        rows.append(dict(zip(PAIR_COLUMNS, values, strict=True)))
    return rows


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if row[name] is None else spreadsheet_safe(row[name]) for name in columns})
    return text.getvalue()
