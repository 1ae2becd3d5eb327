"""The page of a classifier's report: what it says, in which order."""

from __future__ import annotations

from collections.abc import Iterable

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


Drawn = dict[str, tuple[bytes, str, str]]
"""File name to PNG, text for those who do not see it, and caption."""


def page_of(evaluation: Evaluation, drawn: Drawn) -> str:
    """The page as text, with figures that are drawn already; no identifier of a patient is in it."""
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
        second.append((one.name, prevalence, f"{one.threshold:.3g}", *map(_text, rates)))
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
    errors = (
        f"{score.before.error:.3f} before, {score.after.error:.3f} after" if score.before.counts else "not estimable"
    )
    return (
        f"Temperature {score.temperature:.2f} ({score.temperature_source}). Expected calibration error, 10 bins:"
        f" {errors}."
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


def _width(png: bytes) -> int:
    """Width on the page: the pixels of the PNG's header (bytes 16 to 19) at 96 to the inch."""
    return round(int.from_bytes(png[16:20], "big") * 96 / pictures.DPI)
