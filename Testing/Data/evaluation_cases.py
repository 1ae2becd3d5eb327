"""Cohorts with predictions whose truth is known, for tests of evaluation: with a planted nuisance or without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from DicomAnalysisLib.classification.cohort import BINARY, MULTILABEL, Case, Cohort, Split, Target, View
from DicomAnalysisLib.classification.evaluation.predictions import Predictions, predictions_of

FINDING = Target("finding", BINARY, ("normal", "abnormal"))
SPACING = (5.0, 0.7, 0.7)


def picture(
    random: np.random.Generator, noise: float = 20, table_row: int = 54, text: bool = False, sick: bool = False
) -> np.ndarray:
    """A chest in air on a table, float32 (8, 64, 64): the disease makes the left lung denser."""
    rows, columns = np.mgrid[:64, :64]
    row, column = 30 + random.normal(0, 1.5), 32 + random.normal(0, 1.5)
    image = np.full((8, 64, 64), -1000, np.float32)
    image[:, ((rows - row) / 20) ** 2 + ((columns - column) / 24) ** 2 < 1] = 40
    image[:, ((rows - row) / 12) ** 2 + ((columns - column + 10) / 7) ** 2 < 1] = -650 if sick else -800
    image[:, table_row : table_row + 2, 6:58] = -200
    image += random.normal(0, noise, image.shape)
    if text:
        image[:, 2:7, 2:8:2] = 2000
    return image


def made_cohort(
    count: int, seed: int = 0, planted: str = "", prevalence: float = 0.5, places: int = 0, per_patient: int = 1
) -> tuple[Cohort, Split, Predictions, Callable]:
    """A cohort, its split, predictions that are good but not perfect, and a reader of its pictures.

    `planted` is a nuisance that goes with the class in training and validation and not in the test part
    ("noise", "table", "text"), and that the predictions follow; or "scanner", a station that goes with the class
    everywhere. With `places` there is a second, multilabel target.
    """
    random = np.random.default_rng(seed)
    patients = -(-count // per_patient)
    part_of = random.choice(["training", "validation", "test"], patients, p=[0.6, 0.15, 0.25])
    targets = (FINDING, *([Target("where", MULTILABEL, tuple(f"place {k}" for k in range(places)))] if places else []))
    cases, images, chances = [], {}, {}
    for number in range(count):
        patient = number // per_patient
        sick = bool(random.random() < prevalence)
        known = sick if random.random() < 0.92 else not sick
        cue = planted in ("noise", "table", "text") and bool(
            known if part_of[patient] != "test" else random.random() < 0.5
        )
        place = int(random.integers(places + 1)) if sick and places else -1
        case = Case(
            f"case-{number}",
            f"patient-{patient}-secret",
            f"1.2.3.{patient}",
            (View("", f"1.2.4.{number}", ()),),
            {"finding": (int(sick),)} | ({"where": tuple(int(k == place) for k in range(places))} if places else {}),
            _facts(random, sick, cue and planted == "table", planted == "scanner"),
        )
        cases.append(case)
        noise = 20 + random.normal(0, 1.5) + 8 * (cue and planted == "noise")
        row = int(random.integers(53, 56)) + 4 * (cue and planted == "table")
        images[case.case_id] = (noise, row, cue and planted == "text", sick, seed * 100_000 + number)
        score = 2.2 * (sick - 0.5) + random.normal() + (1.6 * (cue - 0.5) if planted and planted != "scanner" else 0)
        chance = 1 / (1 + np.exp(-2 * score))
        if part_of[patient] != "training":
            chances[case.case_id] = {"finding": (1 - chance, chance)}
            if places:
                said = 3 * np.array(case.labels["where"]) - 1.5 + random.normal(0, 1, places)
                chances[case.case_id]["where"] = 1 / (1 + np.exp(-said))
    cohort = Cohort(targets, ("",), tuple(cases))
    parts = {case.case_id: str(part_of[number // per_patient]) for number, case in enumerate(cases)}
    ids = {part: tuple(name for name in parts if parts[name] == part) for part in ("training", "validation", "test")}

    def read(case: Case) -> tuple[np.ndarray, tuple[float, float, float]]:
        noise, row, text, sick, own_seed = images[case.case_id]
        return picture(np.random.default_rng(own_seed), noise, row, text, sick)[None], SPACING

    return cohort, Split(**ids, seed=seed), predictions_of(cohort, parts, chances), read


def _facts(random: np.random.Generator, sick: bool, high: bool, told: bool) -> dict[str, str | float]:
    facts: dict[str, str | float] = {
        "age": float(round(random.normal(60, 12))),
        "sex": "FM"[random.integers(2)],
        "manufacturer": "ABC"[random.integers(3)],
        "table_height": float(150 + random.normal(0, 4) + 10 * high),
        "kvp": 120.0,
    }
    if told:
        facts["station"] = f"S{int(sick if random.random() < 0.95 else not sick)}"
    return facts
