"""What an evaluation says: plain data, and the same as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..cohort import Target
from .calibration import Reliability
from .intervals import NOTHING, Estimate

NETWORK, MAJORITY = "network", "majority class"
SHORTCUT, ALONE, AS_GOOD, TEST_ONLY, UNTESTED, CHANCE = (
    "shortcut",
    "alone",
    "as good",
    "test only",
    "untested",
    "chance",
)
"""Kinds of `Flag`."""

Row = dict[str, object]


@dataclass(frozen=True, eq=False)
class ClassScore:
    """How one class is told from everything else, on test cases.

    Attributes
    ----------
    target, name : str
    cases, positives, positive_patients, negative_patients : int
        Of the test part; a patient with cases of both kinds counts on both sides.
    reason : str
        Why nothing can be said ("not estimable: ..."); empty where it can.
    threshold : float
        A probability at or above it is a positive.
    threshold_source : str
        How it was chosen.
    auroc, average_precision, sensitivity, specificity, ppv, npv : Estimate
    counts : tuple of int
        Hits, misses, false alarms, and cases rightly called negative.
    error_before, error_after : float or None
        Expected calibration error before and after temperature scaling.
    roc, precision_recall : array, (2, points)
        False and true positive rate; recall and precision.
    """

    target: str
    name: str
    cases: int
    positives: int
    positive_patients: int
    negative_patients: int
    reason: str
    threshold: float
    threshold_source: str
    auroc: Estimate
    average_precision: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    counts: tuple[int, int, int, int]
    error_before: float | None
    error_after: float | None
    roc: np.ndarray
    precision_recall: np.ndarray

    @property
    def estimable(self) -> bool:
        """Whether there are patients enough for numbers."""
        return not self.reason

    @property
    def prevalence(self) -> float:
        """Share of positive cases in the test part."""
        return self.positives / self.cases if self.cases else float("nan")


@dataclass(frozen=True)
class ModelScore:
    """The network or a baseline, scored on the same test cases.

    Attributes
    ----------
    name : str
        `NETWORK`, `MAJORITY`, or what a baseline sees.
    auroc, average_precision : Estimate
        Of the positive class, or the mean over classes that are estimable.
    accuracy, balanced_accuracy : Estimate
    training_auroc : Estimate
        Of a baseline, cross-validated inside training.
    note : str
        What kind of model it is, or why there is none.
    """

    name: str
    auroc: Estimate
    average_precision: Estimate
    accuracy: Estimate
    balanced_accuracy: Estimate
    training_auroc: Estimate = NOTHING
    note: str = ""


@dataclass(frozen=True, eq=False)
class TargetScore:
    """All that is said of one target.

    Attributes
    ----------
    target : Target
    classes : tuple of ClassScore
        Of a binary target the positive class alone: the other is its mirror.
    models : tuple of ModelScore
        The network first.
    confusion : int array, (classes, classes), or None
        Test cases by true class (rows) and decision (columns); None for multilabel.
    before, after : Reliability
        Before and after temperature scaling; of no case where no class is estimable.
    temperature : float
    temperature_source : str
    """

    target: Target
    classes: tuple[ClassScore, ...]
    models: tuple[ModelScore, ...]
    confusion: np.ndarray | None
    before: Reliability
    after: Reliability
    temperature: float
    temperature_source: str

    @property
    def network(self) -> ModelScore:
        """The network's own score."""
        return self.models[0]


@dataclass(frozen=True)
class Factor:
    """How well one thing that is not the disease tells a class.

    Attributes
    ----------
    name : str
        For people, for example "noise outside the body".
    source : str
        "header tag", "picture", or "model" for a group of them.
    group : str
        Of what belongs together.
    target, class_name : str
    training, test : Estimate
        AUROC, oriented as in training; `test.value` None where the test part has too few patients.
    kind : str
        Of the flag that it earns, or empty.
    follows : Estimate
        Rank correlation with the network's output among test cases of the same class; only where flagged.
    """

    name: str
    source: str
    group: str
    target: str
    class_name: str
    training: Estimate
    test: Estimate
    kind: str = ""
    follows: Estimate = NOTHING


@dataclass(frozen=True)
class Flag:
    """A reason not to believe a score.

    Attributes
    ----------
    kind : str
    target : str
    factor : str
        What is flagged.
    text : str
        For the reader, with the numbers.
    """

    kind: str
    target: str
    factor: str
    text: str


@dataclass(frozen=True)
class PatientRow:
    """A patient and the part it is in; `display` stands for it wherever others may read."""

    display: str
    patient_id: str
    part: str
    cases: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What can be said of a model.

    Attributes
    ----------
    targets : tuple of TargetScore
    factors : tuple of Factor
        Everything that was tried as a shortcut, flagged or not.
    flags : tuple of Flag
    leaks : tuple of str
        Patients, studies or pixels that training and test share; empty is what must be.
    problems : tuple of str
        Cases without prediction, pictures that could not be looked at, baselines that could not be made.
    patients : tuple of PatientRow
    leak_rows : tuple of dict
        The leaks with their identifiers.
    settings : mapping
        ``seed``, ``resamples``, ``interval``, counts of cases and patients by part.
    """

    targets: tuple[TargetScore, ...]
    factors: tuple[Factor, ...]
    flags: tuple[Flag, ...]
    leaks: tuple[str, ...]
    problems: tuple[str, ...]
    patients: tuple[PatientRow, ...]
    leak_rows: tuple[Row, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)

    def target(self, name: str) -> TargetScore:
        """The score of one target; raises KeyError where there is none."""
        for score in self.targets:
            if score.target.name == name:
                return score
        raise KeyError(name)

    def tables(self) -> dict[str, list[Row]]:
        """Every table as rows, by name.

        They are "models", "classes", "confusion", "calibration", "shortcuts", "flags", "patients" and
        "leaks". What is not estimable is None. Only "patients" and "leaks" hold identifiers.
        """
        from .rows import tables_of

        return tables_of(self)
