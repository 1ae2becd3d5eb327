"""An evaluation as rows of tables: for CSV files, and for tables in Slicer."""

from __future__ import annotations

from .intervals import Estimate
from .result import ClassScore, Evaluation, Factor, ModelScore, Row, TargetScore


def tables_of(evaluation: Evaluation) -> dict[str, list[Row]]:
    """Every table, by its name; see `Evaluation.tables`."""
    return {
        "models": [_model_row(score, model) for score in evaluation.targets for model in score.models],
        "classes": [_class_row(one) for score in evaluation.targets for one in score.classes],
        "confusion": [row for score in evaluation.targets for row in _confusion_rows(score)],
        "calibration": [row for score in evaluation.targets for row in _calibration_rows(score)],
        "shortcuts": [_factor_row(factor) for factor in evaluation.factors],
        "flags": [
            {"kind": flag.kind, "target": flag.target, "factor": flag.factor, "text": flag.text}
            for flag in evaluation.flags
        ]
        + [{"kind": "leak", "target": "", "factor": "", "text": line} for line in evaluation.leaks],
        "patients": [vars(row).copy() for row in evaluation.patients],
        "leaks": [dict(row) for row in evaluation.leak_rows],
    }


def _columns(name: str, value: Estimate) -> Row:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _model_row(score: TargetScore, model: ModelScore) -> Row:
    row: Row = {"target": score.target.name, "model": model.name}
    for name in ("auroc", "average_precision", "accuracy", "balanced_accuracy", "training_auroc"):
        row |= _columns(name, getattr(model, name))
    return row | {"note": model.note or model.auroc.note}


def _class_row(one: ClassScore) -> Row:
    row: Row = {
        "target": one.target,
        "class": one.name,
        "cases": one.cases,
        "positive_cases": one.positives,
        "positive_patients": one.positive_patients,
        "negative_patients": one.negative_patients,
        "prevalence": one.prevalence,
        "threshold": one.threshold,
        "threshold_source": one.threshold_source,
    }
    for name in ("auroc", "average_precision", "sensitivity", "specificity", "ppv", "npv"):
        row |= _columns(name, getattr(one, name))
    row |= dict(zip(("hits", "misses", "false_alarms", "true_negatives"), one.counts, strict=True))
    return row | {"ece_before": one.error_before, "ece_after": one.error_after, "note": one.reason}


def _confusion_rows(score: TargetScore) -> list[Row]:
    if score.confusion is None:
        return []
    classes = score.target.classes
    return [
        {"target": score.target.name, "true": true, "decided": decided, "cases": int(score.confusion[row, column])}
        for row, true in enumerate(classes)
        for column, decided in enumerate(classes)
    ]


def _calibration_rows(score: TargetScore) -> list[Row]:
    return [
        {"target": score.target.name, "temperature": when, "said": said, "was": was, "cases": count}
        for when, curve in (("before", score.before), ("after", score.after))
        for said, was, count in zip(curve.said, curve.was, curve.counts, strict=True)
    ]


def _factor_row(factor: Factor) -> Row:
    row: Row = {name: getattr(factor, name) for name in ("target", "class_name", "name", "group", "source")}
    row |= _columns("training_auroc", factor.training) | _columns("test_auroc", factor.test)
    return row | _columns("network_follows", factor.follows) | {"flag": factor.kind}
