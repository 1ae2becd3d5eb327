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
from .tags import AGE_AND_SEX, HEADER, PICTURE, SCANNER, Fact

MODEL = "model"
"""The source of a factor that is a small model of several facts."""

EVERYTHING = {"all header tags": HEADER, "all picture measures": PICTURE}
"""Groups of all facts of a source."""

TELLS = 0.6
"""AUROC from which a factor tells something."""

_DROP, _SURE = 0.1, 1.96
_ERRORS = 0.05
"""Chance of a flag where there is nothing, over everything that is tried for a target."""

_ORDER = (SHORTCUT, ALONE, AS_GOOD, TEST_ONLY, UNTESTED, CHANCE)


def groups_of(facts: Sequence[Fact]) -> dict[str, list[Fact]]:
    """Groups of facts that small models are made of; of each source also all together."""
    groups: dict[str, list[Fact]] = {}
    for together, source in EVERYTHING.items():
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
        found.append(Candidate(fact.words, fact.source, fact.group, single(fact, trial)))
        if fact.numbers is not None and fact.source == HEADER and fact.missing.any():
            absent = replace(fact, words=f"{fact.words} is missing", numbers=fact.missing.astype(np.float64))
            found.append(Candidate(absent.words, absent.source, absent.group, single(absent, trial)))
    return found + [Candidate(model.name, MODEL, model.name, _of_model(model, trial.apart)) for model in models]


def judge(
    searches: Sequence[tuple[Sequence[Candidate], Trial]], probabilities: np.ndarray, network: ModelScore
) -> tuple[list[Factor], list[Flag]]:
    """Try everything and say what is to be flagged.

    Parameters
    ----------
    searches : sequence of (sequence of Candidate, Trial)
        What is tried, and on which training cases; the target and the test cases are the same in all.
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
    tried = [one for candidates, trial in searches for one in try_all(candidates, trial)]
    trial = searches[0][1]
    limit = float(stats.norm.isf(_ERRORS / 2 / max(1, len(tried))))
    factors = []
    for one in tried:
        factor = one.factor
        if kind := _kind(one, limit):
            truth = trial.truth[~trial.training, one.index]
            followed = follows(probabilities[:, one.index], one.outside, truth, trial.outside)
            factor = replace(factor, kind=kind, follows=followed)
        factors.append(factor)
    factors.sort(key=lambda one: (_ORDER.index(one.kind) if one.kind else len(_ORDER), -_strength(one)))
    flags = [_flag(trial, found) for found in _together(factors)]
    return factors, flags + network_flags(trial.target, network)


def _together(factors: Sequence[Factor]) -> list[list[Factor]]:
    """Flagged factors by what belongs together, each under its gravest kind; models of everything only if alone."""
    groups: dict[str, list[Factor]] = {}
    for factor in factors:
        if factor.kind:
            groups.setdefault(factor.group, []).append(factor)
    same = [[one for one in found if one.kind == found[0].kind] for found in groups.values()]
    told = {(one.kind, _source_of(one, factors)) for found in same for one in found if one.group not in EVERYTHING}
    return [
        sorted(found, key=lambda one: (one.source == MODEL, -_strength(one)))
        for found in same
        if found[0].group not in EVERYTHING or (found[0].kind, EVERYTHING[found[0].group]) not in told
    ]


def _source_of(factor: Factor, factors: Sequence[Factor]) -> str:
    """Where a factor comes from; of a model, where the facts of its group come from."""
    if factor.source != MODEL:
        return factor.source
    return next((one.source for one in factors if one.group == factor.group and one.source != MODEL), MODEL)


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
        seen = _with_article(model.name)
        text = (
            f"{target.name}: the network is not shown to be better than a model that sees only {seen}"
            f" (AUROC {network.auroc.text()} against {area.text()} on the same test patients)."
        )
        flags.append(Flag(AS_GOOD, target.name, model.name, text))
    single = [flag for flag in flags if flag.factor not in EVERYTHING]
    return single or flags


def _of_model(model: SmallModel, apart: bool) -> Callable[[int], Scores | None]:
    outside = model.outside if apart else model.inside
    return lambda index: (model.inside[:, index], outside[:, index]) if index in model.learned else None


def _strength(factor: Factor) -> float:
    return max(factor.training.value or 0, factor.test.value or 0)


def _kind(one: Tried, limit: float) -> str:
    training, test = one.factor.training, one.factor.test
    strong = one.z_training > limit and training.value >= TELLS
    # A model of everything finds most by chance, and what it finds is also found by a part of it.
    untested = UNTESTED if strong and one.factor.group not in EVERYTHING else ""
    if test.value is None:
        return untested
    drop = training.value - test.value
    if strong and drop >= _DROP and one.z_difference > _SURE:
        return SHORTCUT
    if test.low is not None and test.low > TELLS and one.z_training > _SURE and (strong or one.z_test > limit):
        return ALONE
    if abs(one.z_test) > limit and -drop >= _DROP and one.z_difference < -_SURE:
        return TEST_ONLY
    return untested


def _flag(trial: Trial, found: Sequence[Factor]) -> Flag:
    """Says what is flagged, with the numbers of the factor that tells most, and names the others of its group."""
    first = found[0]
    same = [one for one in found if one.name == first.name]
    classes = trial.target.classes
    if trial.target.kind == BINARY:
        what = f'"{first.class_name}" from "{classes[0]}"'
    else:
        more = f" (and {len(same) - 1} more classes)" if len(same) > 1 else ""
        what = f'"{first.class_name}"{more}'
    numbers = first.training.text(), first.test.text()
    whole_group = first.source == MODEL or first.group in (SCANNER, AGE_AND_SEX)
    text = _SENTENCES[first.kind if trial.apart else _CROSSED].format(
        name=_described(first),
        capital=_described(first)[0].upper() + _described(first)[1:],
        alone=_with_article(first.group if whole_group else first.name),
        what=what,
        training=numbers[0],
        test=numbers[1],
        still="less well" if (first.test.low or 0) > 0.5 else "not",
        unsure="not estimable" if first.test.value is None else f"uncertain (AUROC {numbers[1]})",
    )
    return Flag(first.kind, first.target, first.name, f"{first.target}: {text}{_following(first)}{_others(found)}")


_CROSSED = "cross-validation"
_SENTENCES = {
    SHORTCUT: (
        "Shortcut in training: {name} tells {what} among training patients (AUROC {training}) and {still} among test"
        " patients (AUROC {test}). A network can learn it instead of the disease."
    ),
    ALONE: (
        "The label can be told from {alone} alone: {name} tells {what} among training patients (AUROC {training}) and"
        " among test patients (AUROC {test}). Unless it belongs to the disease, the score is about how the pictures"
        " were made."
    ),
    TEST_ONLY: (
        "Test patients are not like training patients: {name} tells {what} among test patients (AUROC {test}) and not"
        " in training (AUROC {training})."
    ),
    UNTESTED: (
        "{capital} tells {what} among training patients (AUROC {training}); among test patients that is {unsure}."
    ),
    _CROSSED: (
        "The label can be told from {alone} alone: {name} tells {what} (AUROC {test}). Unless it belongs to the"
        " disease, the score is about how the pictures were made."
    ),
}


def _described(factor: Factor) -> str:
    of_what = {HEADER: "header tag", PICTURE: "measured in the pictures", MODEL: "a small model of it"}
    return f"{factor.name} ({of_what[factor.source]})"


def _with_article(name: str) -> str:
    return f"the {name}" if name == SCANNER else name


def _others(found: Sequence[Factor]) -> str:
    best: dict[str, Factor] = {}
    for one in found[1:]:
        if one.name != found[0].name and one.source != MODEL:
            best.setdefault(one.name, one)
    said = [
        f"{one.name} ({one.training.value:.2f}" + ("" if one.test.value is None else f"; {one.test.value:.2f}") + ")"
        for one in best.values()
    ]
    return f" Likewise, AUROC in training and in the test part: {', '.join(said)}." if said else ""


def _following(factor: Factor) -> str:
    value = factor.follows
    if factor.kind in (ALONE, TEST_ONLY) or value.value is None or value.low is None:
        return ""
    if value.low > 0:
        return f" The network's output follows it within a class (rank correlation {value.text()}): it was learned."
    return f" The network's output is not seen to follow it within a class (rank correlation {value.text()})."
