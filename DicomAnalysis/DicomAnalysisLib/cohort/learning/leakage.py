"""Do the acquisition tags tell the label? Then a model's score may be about scanners and protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...classification.cohort import Case, Target
from ...classification.evaluation.baselines import small_model
from ...classification.evaluation.intervals import Estimate
from ...classification.evaluation.result import ModelScore
from ...classification.evaluation.scores import TestPart, decide
from ...classification.evaluation.tags import facts_of

TELLS = 0.6
"""A tag tells the label where its interval of AUROC on test patients is all above this."""
_BINS = 10
_MOST_VALUES = 30
EQUALS, PREDICTS, NOTHING_TOLD = "equals", "predicts", ""
ALL_TAGS = "acquisition tags only"


@dataclass(frozen=True)
class TagLeak:
    """What one acquisition tag tells of a target.

    Attributes
    ----------
    tag : str
    target : str
    kind : str
        "equals" (each value has one class and each class one set of values), "predicts", or empty.
    auroc : Estimate
        On test patients, by nothing but the frequency of the classes for each value in training.
    values : int
        Different values.
    example : str
        For "equals": which value is which class.
    """

    tag: str
    target: str
    kind: str
    auroc: Estimate
    values: int
    example: str = ""

    def text(self) -> str:
        """For people; empty where there is nothing to say."""
        name = self.tag.replace("_", " ")
        if self.kind == EQUALS:
            return (
                f"Leakage: the acquisition tag '{name}' equals the label '{self.target}' ({self.example}). Every score "
                "below may be that of a scanner or site detector; nothing about the disease can be concluded."
            )
        if self.kind == PREDICTS:
            return (
                f"Possible leakage: the acquisition tag '{name}' alone predicts the label '{self.target}' on test "
                f"patients (AUROC {self.auroc.text()})."
            )
        return ""


def tag_leaks(
    target: Target, cases: Sequence[Case], truth: np.ndarray, training: np.ndarray, part: TestPart, test: np.ndarray
) -> list[TagLeak]:
    """What each tag alone tells, those that tell most first.

    Parameters
    ----------
    target : Target
    cases : sequence of Case
        All, their tags as facts.
    truth : array of 0 and 1, (cases, classes)
    training, test : int arrays
        Row numbers.
    part : TestPart
        Of the test rows.
    """
    names = sorted({name for case in cases for name in case.facts})
    found = []
    for name in names:
        texts = np.array([str(case.facts.get(name, "")) for case in cases])
        if len(set(texts)) < 2:  # that a tag is not stated is a value, too
            continue
        score = part.model(name, *_by_frequency(target, _grouped(texts), truth, training, test))
        auroc = score.auroc
        equal = _equality(target, texts, truth, [case.patient_id for case in cases])
        kind = EQUALS if equal else PREDICTS if auroc.low is not None and auroc.low > TELLS else NOTHING_TOLD
        found.append(TagLeak(name, target.name, kind, auroc, len(set(texts)), equal))
    order = (EQUALS, PREDICTS, NOTHING_TOLD)
    return sorted(found, key=lambda leak: (order.index(leak.kind), -(leak.auroc.value or 0), leak.tag))


def tags_model(
    target: Target, cases: Sequence[Case], truth: np.ndarray, training: np.ndarray, part: TestPart, test: np.ndarray
) -> ModelScore | None:
    """A small model of all tags together, scored on the test part; None where it cannot be made."""
    rows = np.concatenate([training, test])
    chosen = [cases[k] for k in rows]
    learning = np.arange(len(rows)) < len(training)
    facts = facts_of(chosen)
    if not facts:
        return None
    model = small_model(ALL_TAGS, facts, target, truth[rows], [case.patient_id for case in chosen], learning)
    if model is None:
        return None
    return part.model(ALL_TAGS, model.outside, decide(target, model.outside, model.thresholds), note=model.kind)


def _grouped(texts: np.ndarray) -> np.ndarray:
    """Texts as they are; numbers of many values in tenths."""
    known = texts[texts != ""]
    if len(set(known.tolist())) <= _MOST_VALUES:
        return texts
    try:
        numbers = np.array([float(text) if text else np.nan for text in texts])
    except ValueError:
        return texts
    edges = np.nanquantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.where(np.isnan(numbers), "", np.searchsorted(edges, numbers).astype(str))


def _by_frequency(
    target: Target, texts: np.ndarray, truth: np.ndarray, training: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and decisions on test rows: how frequent each class is among training rows of the value."""
    usual = truth[training].mean(axis=0)
    frequency: Mapping[str, np.ndarray] = {
        value: (truth[training[texts[training] == value]].sum(axis=0) + usual) / ((texts[training] == value).sum() + 1)
        for value in set(texts[training].tolist())
    }
    found = np.stack([frequency.get(value, usual) for value in texts[test].tolist()])
    thresholds = {k: float(usual[k]) for k in range(len(target.classes))}
    return found, decide(target, found, thresholds)


def _equality(target: Target, texts: np.ndarray, truth: np.ndarray, patients: Sequence[str]) -> str:
    """Which value is which class, where each value has one class; empty where not, or where values name patients."""
    known = np.flatnonzero(texts != "")
    values = sorted(set(texts[known].tolist()))
    if len(known) < 0.95 * len(texts) or len(values) > max(len(target.classes) * 5, 10):
        return ""
    told = []
    for value in values:
        rows = truth[texts == value]
        share = rows.mean(axis=0)
        owners = {patients[k] for k in np.flatnonzero(texts == value)}
        if not np.isin(share, (0, 1)).all() or len(owners) < 2:
            return ""
        told.append((value, tuple(share.tolist())))
    if len({classes for _, classes in told}) < 2:
        return ""
    words = []
    for value, share in told[:4]:
        names = [name for name, there in zip(target.classes, share, strict=True) if there] or ["none"]
        words.append(f"'{value}' is always '{' + '.join(names)}'")
    return "; ".join(words) + ("; …" if len(told) > 4 else "")
