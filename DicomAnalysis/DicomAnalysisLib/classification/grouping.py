"""Cases that must stay together: of one patient, of one study, or of the same pixels under other names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from .cohort import Case

NO_PATIENT_ID = "(no patient ID)"
"""Cases without a patient ID may all be of one patient, so they stay together."""


def patient_key(case: Case) -> str:
    """The patient ID without the blanks that DICOM pads it with; `NO_PATIENT_ID` where there is none."""
    return case.patient_id.strip(" \0") or NO_PATIENT_ID


def grouped(cases: Sequence[Case], digests: Mapping[str, Collection[bytes]] | None = None) -> list[list[int]]:
    """Indices of the cases in groups that share a patient, a study, or a slice's pixels, directly or by others.

    Parameters
    ----------
    cases : sequence of Case
    digests : mapping, optional
        case_id to digests of its slices (`CohortDataset.digests`).

    Returns
    -------
    list of list of int
        Ordered by the smallest patient ID in each, whatever the order of the cases.
    """
    parent = list(range(len(cases)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[tuple[str, object], int] = {}
    for index, case in enumerate(cases):
        keys: list[tuple[str, object]] = [("patient", patient_key(case))]
        if case.study_uid:
            keys.append(("study", case.study_uid))
        keys += [("series", view.series_uid) for view in case.views if view.present and case.study_uid]
        keys += [("pixels", digest) for digest in (digests or {}).get(case.case_id, ())]
        for key in keys:
            other = first.setdefault(key, index)
            parent[root(index)] = root(other)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(cases)):
        groups[root(index)].append(index)
    return sorted(groups.values(), key=lambda group: min((patient_key(cases[k]), cases[k].case_id) for k in group))
