"""Who trains, who chooses, who scores: patients are never divided, and every part gets its share of every label.

Groups of cases (see `grouping`) are dealt out by iterative stratification (Sechidis et al., ECML PKDD 2011,
doi:10.1007/978-3-642-23808-6_10), which serves one and several labels alike: the rarest label that is left is
dealt first, to the part that lacks it most. The same cohort and seed give the same split, whatever the order
of the cases.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..errors import UsageError
from .cohort import Cohort, Split
from .grouping import NO_PATIENT_ID, grouped, patient_key
from .leaks import Leak, leaks

__all__ = ["Leak", "check_split", "cross_validation_splits", "leaks", "split_patients"]

Digests = Mapping[str, Collection[bytes]]


def split_patients(
    cohort: Cohort,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    test_patients: Sequence[str] = (),
    digests: Digests | None = None,
) -> Split:
    """Split a cohort's patients, stratified by label.

    Parameters
    ----------
    cohort : Cohort
    fractions : tuple of float
        Shares of training, validation and test; they sum to 1. A test share of 0 makes no test part.
    seed : int
    test_patients : sequence of str
        The test patients, instead of a share drawn.
    digests : mapping, optional
        case_id to digests of its slices: cases of the same pixels stay together, whatever their patient IDs.
        Default: those that the cohort knows.

    Raises
    ------
    UsageError
        If there are too few patients, the shares make no sense, or a test patient is not there.
    """
    shares = _checked_fractions(fractions)
    groups = grouped(cohort.cases, cohort.digests if digests is None else digests)
    fixed = _groups_of(cohort, groups, test_patients)
    if fixed:
        shares = np.array([*shares[:2] / shares[:2].sum(), 0.0])
    free = [k for k in range(len(groups)) if k not in fixed]
    parts = np.flatnonzero(shares > 0)
    _enough(cohort, len(free), len(parts), groups)
    part_of = np.full(len(groups), 2)
    part_of[free] = parts[_deal(_indicators(cohort, groups)[free], _names(cohort, groups, free), shares[parts], seed)]
    return _as_split(cohort, groups, part_of, seed)


def cross_validation_splits(
    cohort: Cohort,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    validation: float = 0.2,
    digests: Digests | None = None,
) -> tuple[Split, ...]:
    """Repeated grouped stratified cross-validation: in every repeat each case is tested once.

    Parameters
    ----------
    cohort : Cohort
    folds, repeats : int
    seed : int
    validation : float
        Share of each fold's other patients that choose the best network instead of training it.
    digests : mapping, optional
        See `split_patients`.

    Returns
    -------
    tuple of Split
        Repeat by repeat, ``folds`` each; its `seed` is that of the repeat.

    Raises
    ------
    UsageError
        If there are too few patients for the folds, or a number makes no sense.
    """
    if folds < 2 or repeats < 1 or not 0 < validation < 1:
        msg = f"{folds} folds, {repeats} repeats and a validation share of {validation:g} make no cross-validation."
        raise UsageError(msg)
    groups = grouped(cohort.cases, cohort.digests if digests is None else digests)
    _enough(cohort, len(groups), max(folds, 3), groups)
    indicators, everyone = _indicators(cohort, groups), list(range(len(groups)))
    splits = []
    for repeat in range(repeats):
        own_seed = seed + repeat
        fold_of = _deal(indicators, _names(cohort, groups, everyone), np.full(folds, 1 / folds), own_seed)
        for fold in range(folds):
            rest = np.flatnonzero(fold_of != fold)
            inner = _deal(
                indicators[rest],
                _names(cohort, groups, rest),
                np.array([1 - validation, validation]),
                own_seed * 1000 + fold,
            )
            part_of = np.full(len(groups), 2)
            part_of[rest] = inner
            splits.append(_as_split(cohort, groups, part_of, own_seed))
    return tuple(splits)


def check_split(cohort: Cohort, split: Split) -> None:
    """Refuse a split that divides a patient.

    Raises
    ------
    UsageError
        If a patient or a case is in two parts, or a case is not of the cohort; the message names them.
    """
    patients: dict[str, dict[str, str]] = {}
    by_id = {case.case_id: case for case in cohort.cases}
    for part, ids in split.parts.items():
        for case_id in ids:
            if case_id not in by_id:
                msg = f"The case {case_id} in {part} is not of the cohort."
                raise UsageError(msg)
            patients.setdefault(patient_key(by_id[case_id]), {}).setdefault(part, case_id)
    divided = {patient: parts for patient, parts in sorted(patients.items()) if len(parts) > 1}
    if divided:
        patient, parts = next(iter(divided.items()))
        where = " and ".join(f"{part} ({case_id})" for part, case_id in parts.items())
        others = f"; {len(divided) - 1} more: {', '.join(list(divided)[1:6])}" if len(divided) > 1 else ""
        msg = (
            f"The patient {patient} is both in {where}{others}. The score would be of patients that the network has "
            "seen: put every patient into one part."
        )
        raise UsageError(msg)


def _checked_fractions(fractions: Sequence[float]) -> np.ndarray:
    shares = np.asarray(fractions, float)
    if shares.shape != (3,) or not np.isfinite(shares).all() or shares.min() < 0 or abs(shares.sum() - 1) > 1e-6:
        msg = f"Shares of {', '.join(map(str, fractions))} make no sense: three numbers from 0 to 1 with a sum of 1."
        raise UsageError(msg)
    if not shares[:2].all():
        msg = "Training and validation both need a share above 0: the best network is not chosen on the test patients."
        raise UsageError(msg)
    return shares


def _groups_of(cohort: Cohort, groups: Sequence[Sequence[int]], patients: Sequence[str]) -> set[int]:
    wanted = {one.strip(" \0") or NO_PATIENT_ID for one in patients}
    known = {patient_key(case) for case in cohort.cases}
    if unknown := sorted(wanted - known):
        msg = f"The test patient {', '.join(unknown)} has no case in the cohort."
        raise UsageError(msg)
    return {k for k, group in enumerate(groups) if any(patient_key(cohort.cases[case]) in wanted for case in group)}


def _enough(cohort: Cohort, groups: int, needed: int, all_groups: Sequence[Sequence[int]]) -> None:
    if groups >= needed:
        return
    nameless = sum(patient_key(case) == NO_PATIENT_ID for case in cohort.cases)
    hint = (
        f" {nameless} cases have no patient ID and are taken as one patient; state it in the labels (patient_id)."
        if nameless > 1
        else ""
    )
    msg = (
        f"The {len(cohort)} cases are of {len(all_groups)} patients that share nothing, of which {groups} can be dealt "
        f"out; {needed} parts need as many. Add patients, or ask for fewer parts.{hint}"
    )
    raise UsageError(msg)


def _indicators(cohort: Cohort, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """How many cases of each group have each class of each target, shape (groups, classes)."""
    columns = [target.indicators(cohort.labels_of(target)) for target in cohort.targets]
    ones = np.concatenate(columns, axis=1)
    return np.stack([ones[group].sum(axis=0) for group in groups])


def _names(cohort: Cohort, groups: Sequence[Sequence[int]], chosen: Sequence[int]) -> list[str]:
    return [
        min(patient_key(cohort.cases[case]) + "\0" + cohort.cases[case].case_id for case in groups[k]) for k in chosen
    ]


def _deal(counts: np.ndarray, names: Sequence[str], shares: np.ndarray, seed: int) -> np.ndarray:
    """Which part each group goes to.

    Parameters
    ----------
    counts : array of shape (groups, classes)
    names : sequence of str
        Of the groups: ties are broken by a row drawn from them and the seed, not by their order.
    shares : array of shape (parts,)
    seed : int

    Returns
    -------
    array of int, shape (groups,)
        Every part gets a group at least.
    """
    places = [hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest() for name in names]
    order = sorted(range(len(names)), key=lambda k: places[k])
    present = counts > 0
    remaining = present.sum(axis=0)
    wanted, room = remaining[None] * shares[:, None], len(names) * shares
    part_of = np.full(len(names), -1)
    queues = [deque(k for k in order if present[k, label]) for label in range(present.shape[1])]
    queues.append(deque(order))  # whoever has no label at all comes last
    while queues[-1]:
        label = int(np.argmin(np.where(remaining > 0, remaining, len(names) + 1))) if remaining.any() else -1
        group = queues[label].popleft()
        if part_of[group] >= 0:
            continue
        # One group at a time: what it brings of other labels changes who lacks what.
        lack = wanted[:, label] if label >= 0 else room
        part = max(range(len(shares)), key=lambda p: (round(lack[p], 9), round(room[p], 9), -p))
        part_of[group] = part
        room[part] -= 1
        wanted[part] -= present[group]
        remaining = remaining - present[group]
    return _none_empty(part_of, order, len(shares))


def _none_empty(part_of: np.ndarray, order: Sequence[int], parts: int) -> np.ndarray:
    """A group of the largest part goes to each part that rounding left empty."""
    for part in range(parts):
        if not (part_of == part).any():
            sizes = np.bincount(part_of, minlength=parts)
            part_of[next(k for k in order if part_of[k] == sizes.argmax())] = part
    return part_of


def _as_split(cohort: Cohort, groups: Sequence[Sequence[int]], part_of: np.ndarray, seed: int) -> Split:
    ids: list[list[str]] = [[], [], []]
    for group, part in zip(groups, part_of, strict=True):
        ids[int(part)] += [cohort.cases[case].case_id for case in group]
    split = Split(*(tuple(sorted(one)) for one in ids), seed=seed)
    check_split(cohort, split)
    return split
