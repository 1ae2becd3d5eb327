"""What headers say of cases and what was measured in their pictures, as columns that a small model can learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..cohort import Case
from .nuisance import WORDS as NUISANCES

HEADER, PICTURE = "header tag", "picture"
AGE_AND_SEX, SCANNER, ACQUISITION = "age and sex", "scanner", "acquisition settings"
_GROUPS = {
    AGE_AND_SEX: ("age", "sex"),
    SCANNER: ("manufacturer", "model", "station", "institution", "software", "magnetic_field", "serial", "modality"),
}
WORDS = {
    "kvp": "tube voltage",
    "table_height": "table height",
    "tube_current": "tube current",
    "spacing_mm": "distance of slices",
    "pixel_mm": "pixel size",
    "slice_thickness": "slice thickness",
    "model": "scanner model",
    "station": "station name",
    "kernel": "convolution kernel",
    "description": "series description",
    "body_part": "body part",
    "view_position": "view position",
    "magnetic_field": "magnetic field strength",
    "primary_angle": "primary angle",
    "secondary_angle": "secondary angle",
    "study_year": "year of the study",
}

_MOST_VALUES = 30
"""Values of a text that get a column of their own: those that most patients have."""


@dataclass(frozen=True, eq=False)
class Fact:
    """One thing that is known of every case and is not the disease.

    Attributes
    ----------
    words : str
        Its name for people.
    group : str
    source : str
        `HEADER` or `PICTURE`.
    numbers : float array, (cases,), or None
        NaN where a header does not say it; None for a text.
    texts : array of str, (cases,), or None
        Empty where a header does not say it; None for a number.
    """

    words: str
    group: str
    source: str
    numbers: np.ndarray | None = None
    texts: np.ndarray | None = None

    @property
    def missing(self) -> np.ndarray:
        """Where it is not said, bool (cases,)."""
        return ~np.isfinite(self.numbers) if self.numbers is not None else self.texts == ""


def facts_of(cases: Sequence[Case]) -> list[Fact]:
    """Everything that headers say of these cases, and that differs among them."""
    keys = sorted({key for case in cases for key in case.facts})
    found = (_fact(key, [case.facts.get(key, "") for case in cases]) for key in keys)
    return [fact for fact in found if _differs(fact)]


def picture_facts(features: Mapping[str, Mapping[str, float]], case_ids: Sequence[str]) -> list[Fact]:
    """What was measured in pictures (see `nuisance`), as facts of these cases; what does not differ is left out."""
    names = dict.fromkeys(name for of_case in features.values() for name in of_case)
    found = []
    for name in names:
        values = np.array([features.get(case, {}).get(name, np.nan) for case in case_ids], np.float64)
        group, words = NUISANCES.get(name, (name, name.replace("_", " ")))
        known = values[np.isfinite(values)]
        if len(known) and known.min() < known.max():
            found.append(Fact(words, group, PICTURE, numbers=values))
    return found


def coded(facts: Sequence[Fact], patients: Sequence[str], learning: np.ndarray) -> np.ndarray:
    """Numbers standardised and texts one-hot, float64 (cases, columns).

    Parameters
    ----------
    facts : sequence of Fact
    patients : sequence of str
        Of each case: a value of a single patient is no column, for it tells that patient alone.
    learning : bool array, (cases,)
        Those whose values say what columns there are, and what is usual.
    """
    names = np.asarray(patients, dtype=str)
    columns: list[np.ndarray] = []
    for fact in facts:
        if fact.numbers is not None:
            columns += _number_columns(fact.numbers, learning)
        else:
            columns += _text_columns(fact.texts, names, learning)
    return np.stack(columns, axis=1) if columns else np.zeros((len(names), 0))


def _fact(key: str, values: Sequence[str | float]) -> Fact:
    numbers = [_number(value) for value in values]
    words = WORDS.get(key, key.replace("_", " "))
    group = next((group for group, keys in _GROUPS.items() if key in keys), ACQUISITION)
    if all(number is not None for number in numbers):
        return Fact(words, group, HEADER, numbers=np.array(numbers, np.float64))
    return Fact(words, group, HEADER, texts=np.array([str(value).strip() for value in values], dtype=str))


def _number(value: str | float) -> float | None:
    """NaN for an empty value; None for a text."""
    if isinstance(value, str) and not value.strip():
        return float("nan")
    try:
        return float(value)
    except ValueError:
        return None


def _differs(fact: Fact) -> bool:
    if fact.texts is not None:
        return len(set(fact.texts.tolist())) > 1
    known = fact.numbers[np.isfinite(fact.numbers)]
    return bool(len(known)) and (len(known) < len(fact.numbers) or float(known.min()) < float(known.max()))


def _number_columns(values: np.ndarray, learning: np.ndarray) -> list[np.ndarray]:
    known = values[learning & np.isfinite(values)]
    if not len(known):
        return []
    columns = []
    spread = known.std()
    if spread > 0:
        filled = np.where(np.isfinite(values), values, np.median(known))
        columns.append(np.clip((filled - known.mean()) / spread, -10, 10))
    missing = ~np.isfinite(values)
    if missing[learning].any():
        columns.append(missing.astype(np.float64))
    return columns


def _text_columns(texts: np.ndarray, patients: np.ndarray, learning: np.ndarray) -> list[np.ndarray]:
    owners: Mapping[str, set[str]] = {}
    for text, patient in zip(texts[learning].tolist(), patients[learning].tolist(), strict=True):
        owners.setdefault(text, set()).add(patient)
    usual = sorted((text for text, of in owners.items() if len(of) > 1), key=lambda text: (-len(owners[text]), text))
    return [(texts == text).astype(np.float64) for text in usual[:_MOST_VALUES]] if len(owners) > 1 else []
