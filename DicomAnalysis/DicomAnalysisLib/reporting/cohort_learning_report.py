"""What was learned of labels from features, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..classification.evaluation.intervals import Estimate
from ..cohort.learning.result import XGBOOST, Learning, TargetLearning
from ..files.atomic import write_text
from .cohort_plots import importance_png, scores_png
from .html import (
    FOOT,
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
_MOST_LISTED = 30


def write_learning_report(folder: Path | str, learning: Learning) -> Path:
    """Write ``report.html``.

    Raises
    ------
    OutputError
        If it cannot be written.
    ImportError
        If matplotlib is not installed.
    """
    path = Path(folder) / HTML_NAME
    write_text(path, learning_html(learning))
    return path


def learning_html(learning: Learning) -> str:
    """The page about labels learned from features."""
    counts = ", ".join(
        f"{len(part):,} series of {learning.patients.get(name, 0):,} patients for {name}"
        for name, part in learning.split.parts.items()
    )
    body: list[object] = [paragraph(f"{len(learning.names):,} features; {counts}. No patient is in two parts.")]
    leaks, findings = learning.leakage(), learning.findings()
    if leaks:
        body.append(notice(WARNING, "Leakage: the label can be told from how images were made", leaks))
    body.append(notice(NOTE, "Result", findings[len(leaks) :]))
    body += [_target_section(one) for one in learning.targets]
    body += [_joined_section(learning), _learning_methods(learning), paragraph(FOOT, "faint")]
    return page("Labels learned from features", body)


def _target_section(one: TargetLearning) -> Html:
    rows = [
        (score.name, _text(score.auroc), _text(score.average_precision), _text(score.balanced_accuracy), score.note)
        for score in one.scores
    ]
    titles = ("Model", "AUROC", "Average precision", "Balanced accuracy", "Settings")
    strong = [k for k, score in enumerate(one.scores) if score.name == XGBOOST]
    parts: list[object] = [
        table(titles, rows, "The same test patients for all; 95 % intervals by resampling patients.", strong=strong),
        figures([figure(scores_png(one.scores), "AUROC of every model with its interval.", width=600)]),
    ]
    for name, found in one.importances.items():
        if found:
            of = one.target.classes[-1] if name == one.target.name else name
            caption = f"What moves XGBoost's answers. Blue: higher values speak for '{of}'; orange: against it."
            parts.append(
                figure(importance_png(found), f"SHAP values: {found[0].feature} is first.", caption, width=600)
            )
    parts.append(_tags_table(one))
    for name, attempts in one.attempts.items():
        tried = [
            (a.depth, f"{a.rate:g}", f"{a.columns:g}", a.trees, f"{a.loss:.4f}", "chosen" if a.chosen else "")
            for a in attempts
        ]
        columns = ("Depth", "Learning rate", "Features per tree", "Trees", "Validation log loss", "")
        chosen = [k for k, a in enumerate(attempts) if a.chosen]
        grid = table(columns, tried, numbers=range(5), strong=chosen)
        parts.append(details(f"{name}: the {len(attempts)} settings that were tried on validation patients", grid))
    return section(f"Target: {one.target.name} ({', '.join(one.target.classes)})", *parts)


def _tags_table(one: TargetLearning) -> Html:
    if not one.leaks:
        return paragraph("There are no acquisition tags that differ among the series: leakage cannot be looked for.")
    words = {"equals": "equals the label", "predicts": "predicts the label", "": ""}
    rows = [(leak.tag.replace("_", " "), leak.values, _text(leak.auroc), words[leak.kind]) for leak in one.leaks]
    strong = [k for k, leak in enumerate(one.leaks) if leak.kind]
    caption = "What each acquisition tag alone tells of the label, on test patients."
    return table(("Tag", "Values", "AUROC", ""), rows[:_MOST_LISTED], caption, numbers=(1,), strong=strong)


def _joined_section(learning: Learning) -> Html:
    cohort = learning.cohort
    lines = [f"{len(cohort):,} series have labels; {len(cohort.unmatched_series):,} series of the table have none."]
    if cohort.unmatched_labels:
        lines.append(f"{len(cohort.unmatched_labels):,} label rows fit no series: {_some(cohort.unmatched_labels)}.")
    parts: list[object] = [paragraph(line) for line in lines]
    if cohort.problems:
        parts.append(
            details(f"Remarks on the labels: {len(cohort.problems)}", _numbered(cohort.problems[:_MOST_LISTED]))
        )
    return section("Labels and series", *parts)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def _learning_methods(learning: Learning) -> Html:
    lines = [
        "XGBoost: histogram method, early stopping on validation patients; missing values stay missing. Importance: "
        "mean absolute SHAP value on test series (XGBoost's own TreeSHAP). Forest and logistic regression "
        "(scikit-learn): missing values as the median of training. Settings and thresholds are chosen on "
        "validation patients.",
        f"Seed {learning.options.seed}; {learning.options.resamples:,} resamples.",
        *learning.notes,
    ]
    return section("How it was done", *(paragraph(line, "faint") for line in lines))


def _text(value: Estimate) -> str:
    return value.text()


def _numbered(lines: Iterable[str]) -> Html:
    return element("ol", joined(element("li", line) for line in lines))
