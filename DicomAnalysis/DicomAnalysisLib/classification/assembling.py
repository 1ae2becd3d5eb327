"""Labelled images into cases: contradictions, repeated images and missing views are found here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import UsageError
from .cohort import Case, View
from .finding import FoundImage
from .gathering import largest_of_each_view, preference
from .images import without_ending
from .joining import Row, patient_of
from .views import ViewRule

Label = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Entry:
    """One image as one row labels it."""

    row: Row
    image: FoundImage
    label: Label
    view: str


def assemble(
    entries: Mapping[str, Sequence[Entry]], rules: Sequence[ViewRule] | None, several: str, problems: list[str]
) -> tuple[list[Case], tuple[str, ...]]:
    """Cases and the names of their views.

    Parameters
    ----------
    entries : mapping
        case_id to its labelled images.
    rules, several
        See `labels.CohortOptions`.
    problems : list of str
        What is left out or masked is added, with its reason.

    Raises
    ------
    UsageError
        If nothing says which view any image is.
    """
    entries = _with_groups(entries)
    view_names = _view_names(entries, rules)
    cases: list[Case] = []
    for case_id in sorted(entries):
        own = entries[case_id]
        if _contradiction(case_id, own, problems):
            continue
        if rules is None and several == "all":
            cases += _one_each(case_id, own)
        elif (case := _case(case_id, own, view_names, problems)) is not None:
            cases.append(case)
    _note_the_nameless(entries, problems)
    return _without_shared(_spelled_alike(cases, problems), problems), view_names


def _with_groups(entries: Mapping[str, Sequence[Entry]]) -> Mapping[str, Sequence[Entry]]:
    """Rows that name no group are of the one that other rows name for the same patient ID, if it is one."""
    groups: dict[str, set[str]] = defaultdict(set)
    for entry in (entry for own in entries.values() for entry in own):
        if entry.row.group and _stated_patient(entry):
            groups[_stated_patient(entry).casefold()].add(entry.row.group)

    def completed(entry: Entry) -> Entry:
        known = groups.get(_stated_patient(entry).casefold(), ())
        return replace(entry, row=replace(entry.row, group=min(known))) if len(known) == 1 else entry

    return {case_id: [completed(entry) for entry in own] for case_id, own in entries.items()} if groups else entries


def _view_names(entries: Mapping[str, Sequence[Entry]], rules: Sequence[ViewRule] | None) -> tuple[str, ...]:
    if rules is None:
        return ("",)
    if rules:
        return tuple(rule.name for rule in rules)
    names = tuple(sorted({entry.view for own in entries.values() for entry in own} - {""}))
    if not names:
        msg = (
            "No image says which view it is: name the views with rules (angles, laterality, view position or "
            "description), or give the table a view column with a row for each series."
        )
        raise UsageError(msg)
    return names


def _contradiction(case_id: str, entries: Sequence[Entry], problems: list[str]) -> bool:
    """Whether the rows of a case say different things; what they say is noted."""
    where = list(dict.fromkeys(entry.row.where for entry in entries))
    if any(entry.label != entries[0].label for entry in entries):
        problems.append(f"{case_id} was left out: its labels contradict each other ({'; '.join(where)}).")
        return True
    patients = {patient.casefold(): patient for entry in entries if (patient := _patient(entry))}.values()
    if len(patients) > 1:
        problems.append(f"{case_id} was left out: its images are of several patients ({', '.join(sorted(patients))}).")
        return True
    seen: dict[tuple, str] = {}
    for row in {entry.row.where: entry.row for entry in entries}.values():
        key = (tuple(sorted(row.identifiers.items())), row.view)
        if key in seen:
            problems.append(f"{row.name} is listed twice with the same label ({seen[key]}; {row.where}).")
        seen.setdefault(key, row.where)
    return False


def _patient(entry: Entry) -> str:
    """Whose image it is; a file that says nothing and of which the table says nothing is a person of its own."""
    if entry.row.group:
        return entry.row.group
    stated = _stated_patient(entry)
    if stated or entry.image.is_dicom:
        return stated
    return entry.row.identifiers.get("study") or without_ending(entry.image.identity.series_uid)


def _stated_patient(entry: Entry) -> str:
    return patient_of(entry.image) or entry.row.identifiers.get("patient", "")


def _spelled_alike(cases: list[Case], problems: list[str]) -> list[Case]:
    """Cases whose patients' IDs differ in case alone, under one of them: systems that exchange images change it."""
    spelling: dict[str, str] = {}
    for patient in sorted({case.patient_id for case in cases}):
        first = spelling.setdefault(patient.casefold(), patient)
        if patient != first:
            problems.append(f"The patients {first} and {patient} differ in case alone and are taken as one.")
    return [replace(case, patient_id=spelling[case.patient_id.casefold()]) for case in cases]


def _note_the_nameless(entries: Mapping[str, Sequence[Entry]], problems: list[str]) -> None:
    """Who is whom decides about the split, so what is assumed is said."""
    unknown = [
        own[0]
        for own in entries.values()
        if not (own[0].row.group or patient_of(own[0].image) or "patient" in own[0].row.identifiers)
    ]
    files = sum(not entry.image.is_dicom for entry in unknown)
    if files:
        problems.append(f"Nothing says whose {files} cases of files are: each is taken as a patient (add patient_id).")
    if len(unknown) - files > 1:
        problems.append(
            f"{len(unknown) - files} cases have no patient ID: they are taken as one patient (add patient_id)."
        )


def _case(case_id: str, entries: Sequence[Entry], view_names: Sequence[str], problems: list[str]) -> Case | None:
    chosen, left_out = largest_of_each_view(entries, view_names)
    for entry, reason in left_out:
        problems.append(f"{case_id}: series {entry.image.identity.series_uid} was left out: {reason}.")
    if not chosen:
        problems.append(f"{case_id} was left out: it has none of the views.")
        return None
    missing = [name for name in view_names if name not in chosen]
    if missing:
        problems.append(f"{case_id}: missing views are masked: {', '.join(missing)}.")
    return _made(case_id, chosen, view_names)


def _made(case_id: str, chosen: dict[str, Entry], view_names: Sequence[str]) -> Case:
    views = tuple(
        View(name, chosen[name].image.identity.series_uid, chosen[name].image.files)
        if name in chosen
        else View(name, "", ())
        for name in view_names
    )
    first = next(chosen[name] for name in view_names if name in chosen)
    facts = {**first.row.facts, **first.image.facts}
    return Case(case_id, _patient(first), first.image.identity.study_uid, views, first.label, facts)


def _one_each(case_id: str, entries: Sequence[Entry]) -> list[Case]:
    """A case of every image, called by its series; images of one series are numbered."""
    by_files = {entry.image.files: entry for entry in sorted(entries, key=preference)}
    counts: dict[str, int] = defaultdict(int)
    cases = []
    for entry in by_files.values():
        uid = entry.image.identity.series_uid or case_id
        counts[uid] += 1
        cases.append(_made(uid if counts[uid] == 1 else f"{uid}#{counts[uid]}", {"": entry}, ("",)))
    return cases


def _without_shared(cases: list[Case], problems: list[str]) -> list[Case]:
    """Cases that share an image, because rows of two levels speak of it: the first stays where the labels agree."""
    owner: dict[tuple[str, ...], Case] = {}
    dropped: set[str] = set()
    for case in cases:
        for view in case.views:
            if not view.present:
                continue
            other = owner.setdefault(view.files, case)
            if other is case:
                continue
            agree = other.labels == case.labels
            dropped |= {case.case_id} if agree else {case.case_id, other.case_id}
            what = f"{case.case_id} was" if agree else f"{case.case_id} and {other.case_id}, whose labels differ, were"
            problems.append(f"{what} left out: series {view.series_uid} is labelled as a case of both.")
    return [case for case in cases if case.case_id not in dropped]
