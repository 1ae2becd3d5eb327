"""How far a training is, and what came out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...networks.fit_options import EpochRecord, FitResult
from .evaluation import ClassScore
from .example import LeftOut
from .split import PatientSplit


@dataclass(frozen=True)
class TrainingProgress:
    """How far the training is.

    Attributes
    ----------
    value : float
        From 0 to 1.
    stage : str
    message : str
        More about it, with a series UID or numbers; never a name.
    seconds_left : float or None
        Of the training itself; early stopping may end it before.
    record : EpochRecord or None
        After an epoch.
    strip : Path or None
        Its picture, where one was drawn.
    """

    value: float
    stage: str
    message: str = ""
    seconds_left: float | None = None
    record: EpochRecord | None = None
    strip: Path | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What came out of a training.

    Attributes
    ----------
    task : str
    output, model : Path
        The folder of all, and the model's in it.
    fit : FitResult
    split : PatientSplit
    series : int
        Learned from, validated and tested on.
    left_out : tuple of LeftOut
        Slices and series that nothing is learned from, and why.
    scores : tuple of ClassScore
        On the test patients; empty where there are none.
    warnings : tuple of str
    """

    task: str
    output: Path
    model: Path
    fit: FitResult
    split: PatientSplit
    series: int
    left_out: tuple[LeftOut, ...]
    scores: tuple[ClassScore, ...]
    warnings: tuple[str, ...]
