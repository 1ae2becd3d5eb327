"""How far a classifier's training is, and what came out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..networks.fit_options import EpochRecord, FitResult
from .cases import LeftOutCase
from .cohort import Cohort, Split


@dataclass(frozen=True)
class ClassifierProgress:
    """How far the training is.

    Attributes
    ----------
    value : float
        From 0 to 1.
    stage : str
    message : str
        More about it, with a case or numbers; never a name.
    seconds_left : float or None
        Of the epochs; early stopping may end them before.
    record : EpochRecord or None
        After an epoch.
    fold : str
        In cross-validation, which training this is.
    """

    value: float
    stage: str
    message: str = ""
    seconds_left: float | None = None
    record: EpochRecord | None = None
    fold: str = ""


@dataclass(frozen=True)
class TrainingOutcome:
    """What came out of a training.

    Attributes
    ----------
    output, model : Path
        The folder of all, and the model's in it.
    fit : FitResult
        Scores are the mean AUROC on validation patients.
    cohort : Cohort
        The cases that could be read.
    split : Split
        In cross-validation every case is a test case of the report.
    classes : tuple of str
        Those that are scored, in the order of `FitResult.history`'s class scores.
    left_out : tuple of LeftOutCase
    temperature : mapping of str to float
        By target, chosen on validation patients.
    predictions : Path or None
        ``predictions.csv``; None where nobody was kept apart and nobody validated.
    start : str
        What the weights began as: at random, or a file by its SHA-256.
    files : mapping of str to Path
        Of what was written besides: ``report``, ``curves``, ``history``, ``split``, ``left_out``.
    scores : tuple of mapping
        Of every scored class: ``name``, ``auroc``, ``low``, ``high``, ``note``; of test patients.
    warnings : tuple of str
    """

    output: Path
    model: Path
    fit: FitResult
    cohort: Cohort
    split: Split
    classes: tuple[str, ...]
    left_out: tuple[LeftOutCase, ...]
    temperature: Mapping[str, float]
    predictions: Path | None
    start: str
    files: Mapping[str, Path] = field(default_factory=dict)
    scores: tuple[Mapping[str, object], ...] = ()
    warnings: tuple[str, ...] = ()
