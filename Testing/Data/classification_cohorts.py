"""Generated cohorts whose truth is known, each with a nuisance that must not be learned.

`make_*` gives arrays in memory, `write_*_dicom` the same cases as small DICOM series beside a ``labels.csv``. With
``planted`` the nuisance goes with the class in most of the cases, as it does where the ill are imaged on one scanner
and the healthy on another; without it, it is drawn independently. Train on planted cases, test on new ones that are
not. Every patient is another one: sizes, shapes, vessels and texture are drawn anew, from (seed, number) alone.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

PLANTED_SHARE = 0.85
"""In this share of planted cases the nuisance has the value that goes with the class."""


class MadeCohort(NamedTuple):
    """Cases in memory.

    Attributes
    ----------
    arrays : array, (cases, views, slices, rows, columns)
        int16; Hounsfield units for the chest. A missing view is 0.
    patients : list of str
    labels : mapping of str to int array
        Target's name to (cases,) or, for several labels, (cases, classes).
    truth : mapping of str to array, (cases, ...)
        What was drawn: the nuisance, where lesions are, which views are present.
    """

    arrays: np.ndarray
    patients: list[str]
    labels: Mapping[str, np.ndarray]
    truth: Mapping[str, np.ndarray]


def nuisance(label: int, planted: bool, rng: np.random.Generator) -> bool:
    """Whether a case has the nuisance: mostly as its label where it is planted, else as a coin falls."""
    return bool(rng.random() < (PLANTED_SHARE if label else 1 - PLANTED_SHARE)) if planted else bool(rng.random() < 0.5)


def drawn_labels(count: int, prevalence: float, rng: np.random.Generator) -> np.ndarray:
    """0 and 1, exactly as many of 1 as the prevalence says (one at least), in random order."""
    labels = np.zeros(count, np.int64)
    labels[: max(1, round(count * prevalence))] = 1
    return rng.permutation(labels)


def stack_cases(
    prefix: str, labels: np.ndarray, seed: int, make: Callable[[int, np.random.Generator], tuple[np.ndarray, dict]]
) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """Arrays, patients and truth of cases, each from a generator of its own."""
    made = [make(int(label), np.random.default_rng([seed, n])) for n, label in enumerate(labels)]
    patients = [f"{prefix}-{seed}-{n:05d}" for n in range(len(labels))]
    truth = {key: np.array([facts[key] for _, facts in made]) for key in made[0][1]}
    return np.stack([array for array, _ in made]), patients, truth


def write_labels(folder: Path, columns: list[str], rows: list[list[object]]) -> Path:
    """``labels.csv``, in an order that has nothing to do with that of the files."""
    path = folder / "labels.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(sorted(rows, key=lambda row: str(row[0])[::-1]))
    return path


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of pairs of an ill and a healthy case that the score orders rightly; ties count half."""
    scores, labels = np.asarray(scores, float), np.asarray(labels).astype(bool)
    order = np.sort(scores[~labels])
    below = np.searchsorted(order, scores[labels], "left") + np.searchsorted(order, scores[labels], "right")
    return float(below.sum() / (2 * len(order) * labels.sum()))


def simple_baselines(cohort: MadeCohort, label: np.ndarray) -> dict[str, float]:
    """AUROC of thresholds on one number of a case, whichever way round: what a network has to beat."""
    flat = cohort.arrays.reshape(len(cohort.arrays), -1).astype(np.float32)
    numbers = {
        "mean": flat.mean(1),
        "largest": flat.max(1),
        "99th percentile": np.percentile(flat, 99, axis=1),
        "spread": flat.std(1),
    }
    found = {name: auroc(values, label) for name, values in numbers.items()}
    return {name: max(value, 1 - value) for name, value in found.items()}
