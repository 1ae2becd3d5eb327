"""The report of a classifier: one HTML file with everything in it, and beside it its pictures and tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..classification.evaluation.result import Evaluation, TargetScore
from ..files.atomic import write_bytes, write_text
from ..files.spreadsheet import spreadsheet_safe
from . import classification_figures as pictures
from .classification_page import Drawn, page_of

HTML_NAME = "report.html"


@dataclass(frozen=True)
class ReportFiles:
    """What was written; as a path it is the HTML file.

    Attributes
    ----------
    html : Path
    figures : tuple of Path
        PNG.
    tables : tuple of Path
        CSV. ``patients.csv`` and ``leaks.csv`` alone hold identifiers of patients.
    """

    html: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]

    def __fspath__(self) -> str:
        return str(self.html)


def write_report(evaluation: Evaluation, folder: Path | str) -> ReportFiles:
    """Write ``report.html``, its figures as PNG and its tables as CSV; each file in one step.

    Parameters
    ----------
    evaluation : Evaluation
    folder : path
        Made where it is not there; other files in it stay.

    Raises
    ------
    OutputError
        If a file cannot be written.
    ImportError
        If matplotlib is not installed.
    """
    folder = Path(folder)
    drawn = _draw(evaluation)
    figures_written = []
    for name, (png, _alt, _caption) in drawn.items():
        write_bytes(folder / name, png)
        figures_written.append(folder / name)
    tables_written = []
    for name, rows in evaluation.tables().items():
        if rows:
            write_text(folder / f"{name}.csv", _csv(rows))
            tables_written.append(folder / f"{name}.csv")
    # The page comes last: where it is, everything that it names is.
    write_text(folder / HTML_NAME, page_of(evaluation, drawn))
    return ReportFiles(folder / HTML_NAME, tuple(figures_written), tuple(tables_written))


def report_html(evaluation: Evaluation) -> str:
    """The page as text; no identifier of a patient is in it."""
    return page_of(evaluation, _draw(evaluation))


def _draw(evaluation: Evaluation) -> Drawn:
    """Every figure; names begin with the number of the target."""
    drawn: Drawn = {}
    for number, score in enumerate(evaluation.targets, start=1):
        stem = f"{number}-{_plain(score.target.name)}"
        name = score.target.name
        if any(one.estimable for one in score.classes):
            areas = "; ".join(f"{one.name} {one.auroc.text()}" for one in score.classes[:8] if one.estimable)
            _add(
                drawn,
                f"{stem}-curves.png",
                pictures.curves_png,
                score,
                f"ROC and precision-recall curves of {name}. AUROC: {areas}.",
                _curve_words(score),
            )
        if len(score.classes) > 1:
            text = f"AUROC of each class of {name} with its interval; the numbers are in the table above."
            _add(drawn, f"{stem}-classes.png", pictures.classes_png, score.classes, text, "AUROC of each class.")
        if score.confusion is not None:
            right = int(score.confusion.trace())
            text = f"Confusion matrix of {name}: {right} of {int(score.confusion.sum())} cases decided rightly."
            _add(
                drawn,
                f"{stem}-confusion.png",
                pictures.confusion_png,
                score,
                text,
                "Rows: true class; columns: decision.",
            )
        if score.before.counts:
            errors = f"{score.before.error:.3f} before and {score.after.error:.3f} after scaling"
            _add(
                drawn,
                f"{stem}-calibration.png",
                pictures.calibration_png,
                score,
                f"Calibration of {name}: error {errors}.",
                "Below: how many cases were given that probability.",
            )
    return drawn


def _plain(name: str) -> str:
    """A target's name as part of a file's name; the number before it tells targets apart."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "target"


def _curve_words(score: TargetScore) -> str:
    shown = sum(one.estimable for one in score.classes)
    return "Test patients." + (" The seven classes with the lowest AUROC." if shown > 7 else "")


def _add(drawn: Drawn, name: str, draw: Callable, what: object, alt: str, caption: str) -> None:
    drawn[name] = (draw(what), alt, caption)


def _csv(rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else spreadsheet_safe(value)
