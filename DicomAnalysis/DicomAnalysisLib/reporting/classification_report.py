"""The report of a classifier: one HTML file with everything in it, and beside it its pictures and tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..classification.cohort import BINARY
from ..classification.evaluation.intervals import Estimate
from ..classification.evaluation.result import (
    ALONE,
    AS_GOOD,
    CHANCE,
    SHORTCUT,
    TEST_ONLY,
    UNTESTED,
    Evaluation,
    Factor,
    TargetScore,
)
from ..files.atomic import write_bytes, write_text
from ..files.measurements import spreadsheet_safe
from . import classification_figures as pictures
from .html import (
    GOOD,
    NOTE,
    WARNING,
    Html,
    details,
    element,
    figure,
    figures,
    joined,
    notice,
    page,
    paragraph,
    section,
    table,
)

HTML_NAME = "report.html"
FLAG_WORDS = {
    SHORTCUT: "shortcut in training",
    ALONE: "tells the label alone",
    AS_GOOD: "as good as the network",
    TEST_ONLY: "in the test part only",
    UNTESTED: "in training; test part too small to say",
    CHANCE: "no better than chance",
}
_MOST_FACTORS = 25
_MOST_LEAKS = 20


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
    write_text(folder / HTML_NAME, report_html(evaluation, drawn))
    return ReportFiles(folder / HTML_NAME, tuple(figures_written), tuple(tables_written))


Drawn = dict[str, tuple[bytes, str, str]]
"""File name to PNG, text for those who do not see it, and caption."""


def report_html(evaluation: Evaluation, drawn: Drawn | None = None) -> str:
    """The page as text; no identifier of a patient is in it."""
    drawn = _draw(evaluation) if drawn is None else drawn
    names = ", ".join(score.target.name for score in evaluation.targets)
    body = [
        *(paragraph(_in_words(score), "lead") for score in evaluation.targets),
        paragraph(_split_words(evaluation), "faint"),
        *_notices(evaluation),
    ]
    for number, score in enumerate(evaluation.targets):
        body.append(_target_section(score, number, drawn))
    body += [_shortcut_section(evaluation), _patient_section(evaluation), _method_section(evaluation)]
    return page(f"Classifier report: {names}", body)


def _in_words(score: TargetScore) -> str:
    """What somebody who reads one line should know."""
    network = score.network
    name = score.target.name
    if network.auroc.value is None:
        return f"{name}: {network.auroc.note}. No score can be given."
    majority = next((model for model in score.models[1:] if model.accuracy.value is not None), None)
    what = "an AUROC" if score.target.kind == BINARY else f"a mean AUROC over {_estimable(score)}"
    text = f"{name}: on patients it has not seen the network reaches {what} of {network.auroc.text()}"
    if majority is None:
        return text + "."
    return (
        f"{text}. Its accuracy is {network.accuracy.text()}; always saying what is usual gives"
        f" {majority.accuracy.text()}."
    )


def _estimable(score: TargetScore) -> str:
    count = sum(one.estimable for one in score.classes)
    return (
        f"{count} classes"
        if count == len(score.classes)
        else f"the {count} of {len(score.classes)} classes that are estimable"
    )


def _split_words(evaluation: Evaluation) -> str:
    cases, patients = evaluation.settings["cases"], evaluation.settings["patients"]
    parts = [f"{part.capitalize()}: {cases[part]} cases of {patients[part]} patients" for part in cases if cases[part]]
    seed, resamples = evaluation.settings["seed"], evaluation.settings["resamples"]
    interval = f"In brackets: {evaluation.settings['interval']} ({resamples} resamples, seed {seed})."
    return f"{'; '.join(parts)}. {interval}"


def _notices(evaluation: Evaluation) -> Iterable[Html]:
    if evaluation.leaks:
        lines = list(evaluation.leaks[:_MOST_LEAKS])
        if len(evaluation.leaks) > _MOST_LEAKS:
            lines.append(f"… and {len(evaluation.leaks) - _MOST_LEAKS} more, in leaks.csv.")
        yield notice(WARNING, "Warning: the parts of the split are not separate", lines)
    else:
        yield notice(
            GOOD,
            "Training, validation and test are separate",
            ["No patient, no study and no series is in two parts" + _pixel_words(evaluation)],
        )
    grave = [flag.text for flag in evaluation.flags if flag.kind != UNTESTED]
    if grave:
        yield notice(WARNING, "Warning: reasons not to take the score at its word", grave)
    mild = [flag.text for flag in evaluation.flags if flag.kind == UNTESTED]
    if mild:
        yield notice(NOTE, "Worth a look", mild)
    if evaluation.problems:
        yield notice(NOTE, "What was left out", evaluation.problems)


def _pixel_words(evaluation: Evaluation) -> str:
    if evaluation.settings.get("pixels_compared"):
        return ", and no test picture that was compared has the pixels of a training picture."
    return ". Pixels were not compared."


def _target_section(score: TargetScore, number: int, drawn: Drawn) -> Html:
    target = score.target
    kind = {"binary": f"{target.classes[1]} against {target.classes[0]}", "multiclass": "one of several"}
    title = f"{target.name}: {kind.get(target.kind, 'any of several')}"
    mine = [name for name in drawn if name.startswith(f"{number + 1}-")]
    shown = figures(figure(drawn[name][0], drawn[name][1], drawn[name][2], _width(drawn[name][0])) for name in mine)
    return section(
        title,
        element("h3", "Beside what anybody reaches without the network"),
        _models_table(score),
        element("h3", "Class by class"),
        _classes_tables(score),
        paragraph(_threshold_words(score), "faint"),
        shown,
        paragraph(_temperature_words(score), "faint"),
    )


def _models_table(score: TargetScore) -> Html:
    of = "" if score.target.kind == BINARY else " AUROC and average precision: the mean over estimable classes."
    columns = (
        "model",
        "AUROC",
        "average precision",
        "accuracy",
        "balanced accuracy",
        "AUROC in training",
        "what it is",
    )
    rows = []
    for place, model in enumerate(score.models):
        values = (model.auroc, model.average_precision, model.accuracy, model.balanced_accuracy)
        inside = "" if model.training_auroc.value is None else model.training_auroc.text()
        note = "the model of this report" if not place else model.note
        rows.append((model.name if place < 2 else f"{model.name} only", *(v.text() for v in values), inside, note))
    caption = f"All on the same test cases{_counts_words(score)}. AUROC in training is cross-validated.{of}"
    return table(columns, rows, caption, numbers=range(1, 6), strong=(0,))


def _counts_words(score: TargetScore) -> str:
    one = score.classes[0]
    if score.target.kind != BINARY:
        return f" ({one.cases} cases)"
    return f" ({one.cases} cases; {one.positives} are {one.name})"


def _classes_tables(score: TargetScore) -> Html:
    ranking = ("class", "positive / negative patients", "AUROC", "average precision", "ECE before", "ECE after")
    deciding = ("class", "prevalence", "threshold", "sensitivity", "specificity", "PPV", "NPV")
    first, second = [], []
    for one in score.classes:
        patients, prevalence = f"{one.positive_patients} / {one.negative_patients}", f"{one.prevalence:.1%}"
        areas, rates = (one.auroc, one.average_precision), (one.sensitivity, one.specificity, one.ppv, one.npv)
        errors = ["" if error is None else f"{error:.3f}" for error in (one.error_before, one.error_after)]
        first.append((one.name, patients, *map(_text, areas), *errors))
        second.append((one.name, prevalence, f"{one.threshold:.2f}", *map(_text, rates)))
    caption = "PPV and NPV hold for the prevalence of the test part, and not where the disease is rarer or commoner."
    return joined(
        [
            table(ranking, first, "How well the probability ranks patients.", numbers=range(1, len(ranking))),
            table(deciding, second, f"How well a decision at the threshold does. {caption}", range(1, len(deciding))),
        ]
    )


def _text(value: Estimate) -> str:
    if value.value is None:
        return "not estimable" if value.note.startswith("not estimable") else "–"
    return value.text()


def _threshold_words(score: TargetScore) -> str:
    sources = sorted({one.threshold_source for one in score.classes})
    text = f"Thresholds of sensitivity, specificity, PPV and NPV: {'; '.join(sources)}. Never chosen on test patients."
    if score.target.kind == "multiclass":
        text += " The confusion matrix and the accuracy take the most probable class."
    rare = [one for one in score.classes if not one.estimable]
    return text + (" Not estimable: fewer than 5 positive or 5 negative patients in the test part." if rare else "")


def _temperature_words(score: TargetScore) -> str:
    return (
        f"Temperature {score.temperature:.2f} ({score.temperature_source}). Expected calibration error, 10 bins:"
        f" {score.before.error:.3f} before, {score.after.error:.3f} after."
    )


def _shortcut_section(evaluation: Evaluation) -> Html:
    title = "What could be learned instead of the disease"
    if not evaluation.factors:
        return section(title, paragraph("Nothing could be tried: no header tags, no pictures, or too few patients."))
    shown = evaluation.factors[:_MOST_FACTORS]
    tried = len(evaluation.factors)
    text = (
        f"{tried} things that say how a picture was made, and models of groups of them, were tried on training"
        " patients and on test patients. What tells the label in training and not in the test part is a shortcut;"
        " what tells it in both may be what the score is about. What chance gives in so many trials is allowed for."
    )
    columns = ("factor", "where", "target: class", "AUROC in training", "AUROC in test", "network follows it", "flag")
    rows = [_factor_cells(factor) for factor in shown]
    flagged = [row for row, factor in enumerate(shown) if factor.kind]
    caption = f"The {len(shown)} of {tried} that tell most; all are in shortcuts.csv." if tried > len(shown) else ""
    return section(title, paragraph(text), table(columns, rows, caption, numbers=(3, 4, 5), strong=flagged))


def _factor_cells(factor: Factor) -> tuple[object, ...]:
    follows = "" if factor.follows.value is None else factor.follows.text()
    where = f"{factor.target}: {factor.class_name}"
    flag = FLAG_WORDS.get(factor.kind, "")
    return (factor.name, factor.source, where, factor.training.text(), factor.test.text(), follows, flag)


def _patient_section(evaluation: Evaluation) -> Html:
    text = "Names here stand for patients; patients.csv, which stays with you, says for whom."
    folded = []
    for part, count in evaluation.settings["patients"].items():
        names = [row for row in evaluation.patients if row.part == part]
        lines = element("ul", Html("".join(element("li", f"{r.display} ({r.cases})") for r in names)), class_="columns")
        folded.append(details(f"{part}: {count} patients (with their number of cases)", lines))
    return section("Patients of each part", paragraph(text), *folded)


def _method_section(evaluation: Evaluation) -> Html:
    fewest = evaluation.settings["fewest_patients"]
    lines = (
        f"Intervals: {evaluation.settings['interval']}. Patients are drawn, with all of their cases; a class with fewer"
        f" than {fewest} positive or {fewest} negative test patients is not estimable. Where no resample holds an error"
        " an exact bound (Clopper and Pearson, with patients for trials) takes the interval's place.",
        "AUROC counts ties as half; average precision is the sum of precision over the steps of recall.",
        "Baselines: what is usual in training; logistic regression or gradient boosting (the better one in"
        " cross-validation with whole patients inside training) of header tags and of picture measures.",
        "A factor is flagged where its AUROC in training is at least 0.6 and beyond what chance gives over all"
        " trials (5 %, Bonferroni); a shortcut is lower by 0.1 or more, and surely so, on test patients.",
        "Calibration: 10 bins of equal width; the temperature comes from validation patients.",
    )
    return section("How this was computed", element("ul", Html("".join(element("li", line) for line in lines))))


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
        text = (
            f"Calibration of {name}: error {score.before.error:.3f} before and {score.after.error:.3f} after scaling."
        )
        _add(
            drawn,
            f"{stem}-calibration.png",
            pictures.calibration_png,
            score,
            text,
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


def _width(png: bytes) -> int:
    """Width on the page: the pixels of the PNG's header (bytes 16 to 19) at 96 to the inch."""
    return round(int.from_bytes(png[16:20], "big") * 96 / pictures.DPI)


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
