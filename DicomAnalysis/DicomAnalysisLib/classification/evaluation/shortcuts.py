"""Things that tell the label and are not the disease: found by trying, said in words.

Everything that headers say and everything that `nuisance` measures in pictures is tried, alone and in
groups, on training patients and on test patients. What chance gives when so much is tried is allowed
for (Bonferroni). What tells the label in training and not on test patients is a shortcut that a
network may have learned; what tells it on test patients too may be what the score is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from ..cohort import BINARY, Target
from .baselines import SmallModel
from .factors import Candidate, Scores, Trial, Tried, follows, single, try_all
from .result import ALONE, AS_GOOD, CHANCE, SHORTCUT, TEST_ONLY, UNTESTED, Factor, Flag, ModelScore
from .tags import HEADER, PICTURE, SCANNER, Fact

MODEL = "model"
"""The source of a factor that is a small model of several facts."""

TELLS = 0.6
"""AUROC from which a factor tells something."""

_DROP, _SURE = 0.1, 1.96
_ERRORS = 0.05
"""Chance of a flag where there is nothing, over everything that is tried for a target."""

_ORDER = (SHORTCUT, ALONE, AS_GOOD, TEST_ONLY, UNTESTED, CHANCE)


def groups_of(facts: Sequence[Fact]) -> dict[str, list[Fact]]:
    """Groups of facts that small models are made of; of each source also all together."""
    groups: dict[str, list[Fact]] = {}
    for source, together in ((HEADER, "all header tags"), (PICTURE, "all picture measures")):
        mine = [fact for fact in facts if fact.source == source]
        for fact in mine:
            groups.setdefault(fact.group, []).append(fact)
        if len({fact.group for fact in mine}) > 1:
            groups[together] = mine
    return groups


def candidates_of(facts: Sequence[Fact], models: Sequence[SmallModel], trial: Trial) -> list[Candidate]:
    """Every fact alone, whether it is missing, and every small model."""
    found = []
    for fact in facts:
        found.append(Candidate(fact.words, fact.source, single(fact, trial)))
        if fact.numbers is not None and fact.source == HEADER and fact.missing.any():
            absent = replace(fact, words=f"{fact.words} is missing", numbers=fact.missing.astype(np.float64))
            found.append(Candidate(absent.words, absent.source, single(absent, trial)))
    return found + [Candidate(model.name, MODEL, _of_model(model)) for model in models]


def judge(
    candidates: Sequence[Candidate], trial: Trial, probabilities: np.ndarray, network: ModelScore
) -> tuple[list[Factor], list[Flag]]:
    """Try everything and say what is to be flagged.

    Parameters
    ----------
    candidates : sequence of Candidate
    trial : Trial
    probabilities : float array, (test cases, classes)
        The network's.
    network : ModelScore

    Returns
    -------
    factors : list of Factor
        All, those that tell most first.
    flags : list of Flag
        One for each factor that is flagged.
    """
    tried = try_all(candidates, trial)
    limit = float(stats.norm.isf(_ERRORS / 2 / max(1, len(tried))))
    factors, best = [], {}
    for one in tried:
        kind = _kind(one, limit)
        factor = one.factor
        if kind:
            truth = trial.truth[~trial.training, one.index]
            factor = replace(
                factor, kind=kind, follows=follows(probabilities[:, one.index], one.outside, truth, trial.outside)
            )
        factors.append(factor)
        if kind:
            known = best.setdefault((kind, factor.name), [])
            known.append(factor)
    factors.sort(
        key=lambda factor: (factor.kind not in _ORDER, _ORDER.index(factor.kind or CHANCE), -_strength(factor))
    )
    flags = [_flag(trial.target, sorted(found, key=_strength, reverse=True)) for found in best.values()]
    flags.sort(key=lambda flag: _ORDER.index(flag.kind))
    return factors, flags + network_flags(trial.target, network)


def network_flags(target: Target, network: ModelScore) -> list[Flag]:
    """Says it where the network is not shown to be better than chance."""
    area = network.auroc
    if area.value is None or area.low is None or area.low > 0.5:
        return []
    text = f"{target.name}: the network is not shown to be better than chance (AUROC {area.text()})."
    return [Flag(CHANCE, target.name, "network", text)]


def as_good_flags(target: Target, network: ModelScore, baselines: Sequence[ModelScore]) -> list[Flag]:
    """Small models whose score lies within the network's interval, or above it."""
    flags = []
    low = network.auroc.low
    for model in baselines:
        area = model.auroc
        if None in (low, area.value, area.low) or area.low <= 0.5 or area.value < low:
            continue
        text = (
            f"{target.name}: the network is not shown to be better than a model that sees {model.name} only"
            f" (AUROC {network.auroc.text()} against {area.text()} on the same test patients)."
        )
        flags.append(Flag(AS_GOOD, target.name, model.name, text))
    return flags


def _of_model(model: SmallModel) -> Callable[[int], Scores | None]:
    return lambda index: (model.inside[:, index], model.outside[:, index]) if index in model.learned else None


def _strength(factor: Factor) -> float:
    return max(factor.training.value or 0, factor.test.value or 0)


def _kind(one: Tried, limit: float) -> str:
    training, test = one.factor.training, one.factor.test
    strong = one.z_training > limit and training.value >= TELLS
    if test.value is None:
        return UNTESTED if strong else ""
    drop = training.value - test.value
    if strong and drop >= _DROP and one.z_difference > _SURE:
        return SHORTCUT
    if test.low is not None and test.low > TELLS:
        return ALONE if strong or one.z_training > _SURE else TEST_ONLY
    if abs(one.z_test) > limit and -drop >= _DROP and one.z_difference < -_SURE:
        return TEST_ONLY
    return UNTESTED if strong else ""


def _flag(target: Target, found: Sequence[Factor]) -> Flag:
    first = found[0]
    others = len(found) - 1
    if target.kind == BINARY:
        what = f"'{first.class_name}' from '{target.classes[0]}'"
    else:
        what = f"'{first.class_name}'" + (f" (and {others} more of {target.name})" if others else "")
    of_what = {HEADER: "what the header says", PICTURE: "measured in the pictures", MODEL: "a small model"}[
        first.source
    ]
    training, test = (f"AUROC {value.text()}" for value in (first.training, first.test))
    name = f"{first.name} ({of_what})"
    if first.kind == SHORTCUT:
        still = "less well" if (first.test.low or 0) > 0.5 else "not"
        text = (
            f"Shortcut in training: {name} tells {what} among training patients ({training}) and {still} on test"
            f" patients ({test}). A network can learn it instead of the disease."
        )
    elif first.kind == ALONE:
        alone = f"the {first.name}" if first.name == SCANNER else first.name
        text = (
            f"The label can be told from {alone} alone ({of_what}): it tells {what} in training ({training}) and on"
            f" test patients ({test}). Unless it belongs to the disease, the score is about how pictures were made."
        )
    elif first.kind == TEST_ONLY:
        text = (
            f"Test patients are not like training patients: {name} tells {what} on test patients ({test}) and in"
            f" training {training}."
        )
    else:
        text = (
            f"{name[0].upper()}{name[1:]} tells {what} in training ({training}); on test patients that is"
            f" {'not estimable' if first.test.value is None else f'uncertain ({test})'}."
        )
    return Flag(first.kind, target.name, first.name, f"{target.name}: {text}{_following(first)}")


def _following(factor: Factor) -> str:
    value = factor.follows
    if factor.kind == ALONE or value.value is None or value.low is None:
        return ""
    if value.low <= 0 <= value.high:
        return f" The network's output does not visibly follow it within a class (rank correlation {value.text()})."
    return f" The network's output follows it within a class (rank correlation {value.text()}): it was learned."
