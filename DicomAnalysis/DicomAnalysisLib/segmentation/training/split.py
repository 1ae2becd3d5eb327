"""Patients for training, validation and test: whole patients, so that no score is of somebody the network has seen.

Two slices of one scan are all but the same picture. A split of slices, or of a patient's series,
makes a score of memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

from ...errors import UsageError

NO_PATIENT_ID = "(no patient ID)"
"""Series without a patient ID may all be of one patient, so they stay together."""


@dataclass(frozen=True)
class PatientSplit:
    """Patients by what they are for.

    Parameters
    ----------
    training, validation, test : tuple of str
        Patient IDs.

    Raises
    ------
    UsageError
        If a patient is on two sides, or there is none to train or validate on.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for (one, first), (other, second) in combinations(asdict(self).items(), 2):
            both = sorted(set(map(patient_key, first)) & set(map(patient_key, second)))
            if both:
                msg = (
                    f"The patient {', '.join(both)} is both in {one} and in {other}: the score would be of patients "
                    "that the network has seen. Put every patient on one side."
                )
                raise UsageError(msg)
        for name in ("training", "validation"):
            if not getattr(self, name):
                msg = f"There is no patient for {name}. Give series of more patients, or ask for a smaller test share."
                raise UsageError(msg)

    def side_of(self, patient_id: str) -> str:
        """``training``, ``validation`` or ``test``.

        Raises
        ------
        KeyError
            If the patient is none of them.
        """
        key = patient_key(patient_id)
        return {patient_key(one): side for side, patients in asdict(self).items() for one in patients}[key]


def split_patients(
    patient_ids: Iterable[str],
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    test_patients: Sequence[str] = (),
    seed: int = 0,
) -> PatientSplit:
    """Split patients.

    The same patients and seed give the same split, in whatever order they come; each patient has
    a place of its own in a row drawn by the seed, so that one more patient moves few others.

    Parameters
    ----------
    patient_ids : iterable of str
        Also with repetitions: one a series.
    validation_fraction, test_fraction : float
        Of the patients; at least one where the share is above 0, and at least one is left for training.
    test_patients : sequence of str
        The test patients, instead of a share drawn.
    seed : int

    Raises
    ------
    UsageError
        If there are too few patients, a share makes no sense, or a test patient is not there.
    """
    require_shares(validation_fraction, test_fraction)
    keys = sorted({patient_key(one) for one in patient_ids}, key=lambda key: (_place(seed, key), key))
    wanted = {patient_key(one) for one in test_patients}
    unknown = sorted(wanted - set(keys))
    if unknown:
        msg = f"The test patient {', '.join(unknown)} has no series here that can be used."
        raise UsageError(msg)
    rest = [key for key in keys if key not in wanted]
    tested = 0 if wanted or not test_fraction else max(1, round(test_fraction * len(keys)))
    needed = 2 + (tested > 0)
    if len(rest) < needed:
        what = "training, validation and test" if tested or wanted else "training and validation"
        msg = (
            f"Patients with usable series: {len(keys)}, too few to keep {what} apart "
            f"({needed + len(wanted)} are needed). Slices and series of one patient are never split: add patients."
        )
        raise UsageError(msg)
    tested = min(tested, len(rest) - 2)
    validated = min(max(1, round(validation_fraction * len(keys))), len(rest) - tested - 1)
    test = sorted(wanted) or rest[:tested]
    rest = rest[tested:]
    return PatientSplit(tuple(sorted(rest[validated:])), tuple(sorted(rest[:validated])), tuple(sorted(test)))


def require_shares(validation_fraction: float, test_fraction: float) -> None:
    """Refuse shares of patients that leave none for a side.

    Raises
    ------
    UsageError
        If they do.
    """
    if not (0 < validation_fraction < 1 and 0 <= test_fraction < 1 and validation_fraction + test_fraction < 1):
        msg = (
            f"Shares of {validation_fraction:g} for validation and {test_fraction:g} for test make no sense: "
            "both are from 0 to 1, their sum is below 1, and validation is above 0."
        )
        raise UsageError(msg)


def patient_key(patient_id: str) -> str:
    """A patient ID without the blanks that DICOM pads it with; `NO_PATIENT_ID` where there is none."""
    return patient_id.strip(" \0") or NO_PATIENT_ID


def _place(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()
