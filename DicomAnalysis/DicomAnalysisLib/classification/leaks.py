"""What two parts of a split share that they must not: a patient, a study, a series, or the same pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import combinations

from .cohort import Case, Cohort, Split
from .grouping import NO_PATIENT_ID, patient_key


@dataclass(frozen=True)
class Leak:
    """Something that stands on two sides.

    Attributes
    ----------
    kind : str
        "case", "patient", "study", "series", or "pixels".
    what : str
        The identifier; for pixels a digest's beginning.
    parts : tuple of str
        The two parts.
    cases : tuple of str
        A case of each part.
    """

    kind: str
    what: str
    parts: tuple[str, str]
    cases: tuple[str, str]

    def __str__(self) -> str:
        first, second = (f"{case} in {part}" for case, part in zip(self.cases, self.parts, strict=True))
        if self.kind == "pixels":
            return f"Identical pixels: {first} and {second} hold the same slices under other identifiers."
        return f"The {self.kind} {self.what} is on both sides: {first} and {second}."


def leaks(cohort: Cohort, split: Split, digests: Mapping[str, Collection[bytes]] | None = None) -> list[Leak]:
    """Every patient, study, series and picture that two parts of a split share.

    Parameters
    ----------
    cohort : Cohort
    split : Split
    digests : mapping, optional
        case_id to digests of its slices, as `CohortDataset.digests` gives them. Default: those that the cohort
        knows, which are none before its images were prepared; then pixels are not compared.

    Returns
    -------
    list of Leak
        Empty where the parts share nothing; pixels once for each pair of cases. A pair that shares its patient
        is not listed for its pixels, too.
    """
    digests = cohort.digests if digests is None else digests
    by_id = {case.case_id: case for case in cohort.cases}
    parts = {name: [by_id[one] for one in ids if one in by_id] for name, ids in split.parts.items()}
    found: list[Leak] = []
    for first, second in combinations(parts, 2):
        pair = (first, second)
        for kind, keys in _KINDS.items():
            found += _shared(kind, pair, parts[first], parts[second], keys)
        if digests:
            found += _same_pixels(pair, parts[first], parts[second], digests)
    return found


def _patient(case: Case) -> list[str]:
    return [patient_key(case)]


def _study(case: Case) -> list[str]:
    return [case.study_uid] if case.study_uid else []


def _series(case: Case) -> list[str]:
    """By UID for DICOM; other files, whose names say little, by their paths."""
    return [view.series_uid if case.study_uid else view.files[0] for view in case.views if view.present]


_KINDS: Mapping[str, Callable[[Case], list[str]]] = {
    "case": lambda case: [case.case_id],
    "patient": _patient,
    "study": _study,
    "series": _series,
}


def _shared(
    kind: str, pair: tuple[str, str], first: list[Case], second: list[Case], keys: Callable[[Case], list[str]]
) -> list[Leak]:
    where: dict[str, str] = {}
    for case in first:
        for key in keys(case):
            where.setdefault(key, case.case_id)
    met: dict[str, Leak] = {}
    for case in second:
        for key in keys(case):
            if key in where and key not in met:
                met[key] = Leak(kind, key, pair, (where[key], case.case_id))
    return [met[key] for key in sorted(met)]


def _same_pixels(
    pair: tuple[str, str], first: list[Case], second: list[Case], digests: Mapping[str, Collection[bytes]]
) -> list[Leak]:
    holders: dict[bytes, list[Case]] = defaultdict(list)
    for case in first:
        for digest in digests.get(case.case_id, ()):
            holders[digest].append(case)
    met: dict[tuple[str, str], bytes] = {}
    for case in second:
        for digest in sorted(digests.get(case.case_id, ())):
            for other in holders.get(digest, ()):
                same_patient = patient_key(other) == patient_key(case) != NO_PATIENT_ID
                if not same_patient:
                    met.setdefault((other.case_id, case.case_id), digest)
    return [Leak("pixels", digest.hex()[:16], pair, cases) for cases, digest in sorted(met.items())]
