"""The parts of a split for a reader: who is in which, under names that stand for patients, and what they share."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence

from ..cohort import Cohort, Split
from ..leaks import leaks
from .result import PatientRow, Row

Digests = Mapping[str, Collection[bytes]] | None


def display_names(patients: Sequence[str]) -> dict[str, str]:
    """Names that stand for patients in a report: the same in every report of the same cohort.

    They are keyed by the whole list of patients, so that nobody who lacks the list can find out
    which patient a name stands for by trying identifiers.
    """
    names = sorted(set(patients))
    key = hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).digest()
    digests = {name: hmac.new(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest() for name in names}
    length = 6
    while len({digest[:length] for digest in digests.values()}) < len(names):
        length += 1
    return {name: f"P-{digest[:length]}" for name, digest in digests.items()}


def shared(cohort: Cohort, split: Split, digests: Digests) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """What the parts share: lines without identifiers, and rows with them."""
    found = leaks(cohort, split, digests)
    names = display_names(cohort.patients())
    of = {case.case_id: names[case.patient_id] for case in cohort.cases}
    lines = []
    for leak in found:
        (first, second), (here, there) = (of[case] for case in leak.cases), leak.parts
        if leak.kind == "pixels":
            line = f"Identical pixels: patient {first} in {here} and patient {second} in {there} hold the same slices."
        elif leak.kind == "patient":
            line = f"Patient {first} is in {here} and in {there}."
        else:
            line = f"The same {leak.kind} is in {here} (patient {first}) and in {there} (patient {second})."
        lines.append(line + " The score on such a case says nothing about new patients.")
    rows = [
        {
            "kind": one.kind,
            "what": one.what,
            **dict(zip(("part", "other_part", "case", "other_case"), one.parts + one.cases, strict=True)),
        }
        for one in found
    ]
    return tuple(lines), tuple(rows)


def patient_rows(cohort: Cohort, split: Split) -> tuple[PatientRow, ...]:
    """Every patient of every part, with the number of its cases there."""
    names = display_names(cohort.patients())
    of = {case.case_id: case.patient_id for case in cohort.cases}
    counts: dict[tuple[str, str], int] = {}
    for part, case_ids in split.parts.items():
        for case_id in case_ids:
            key = (part, of[case_id])
            counts[key] = counts.get(key, 0) + 1
    order = {part: number for number, part in enumerate(split.parts)}
    rows = [PatientRow(names[patient], patient, part, count) for (part, patient), count in counts.items()]
    return tuple(sorted(rows, key=lambda row: (order[row.part], row.display)))
