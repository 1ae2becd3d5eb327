"""What a training is told, what it tells while it runs, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np

from ..errors import DicomAnalysisError, UsageError

LOSSES = ("dice+ce", "ce")
AUTOCAST = ("bfloat16", "float16")

FREE_ON_RESUME = ("device", "minutes", "tensorboard", "workers")
"""Options that may differ when a training is resumed: they say where and how long, not what is computed."""


class TrainingError(DicomAnalysisError):
    """A training cannot go on; the message says what to change."""


class TrainingCancelledError(TrainingError):
    """The training was told to stop. What its last full epoch reached is in the checkpoint."""


class Samples(Protocol):
    """What a network is trained or validated on.

    `sample` is a pure function of the samples' own seed, of epoch and index, so that a resumed
    training sees what an unbroken one sees. It is called from one other thread, one call at a time.
    """

    def __len__(self) -> int:
        """Samples an epoch."""

    def sample(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image, float32 (channels, rows, columns), and classes, uint8 (rows, columns); all of one size."""


@dataclass(frozen=True)
class FitOptions:
    """How to train.

    Parameters
    ----------
    epochs : int
        At most; also the length of the learning rate's schedule.
    batch : int
        Samples a step.
    learning_rate : float
        Largest rate of the one-cycle schedule.
    loss : str
        ``dice+ce`` or, to see what it is worth, ``ce`` alone.
    patience : int
        Training ends after so many epochs without a better validation score.
    minimum_improvement : float
        What counts as better.
    seed : int
        Of the order of samples and of what in the network is random.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    amp : bool or str
        Compute in 16 bits where the device gains by it; a name of `AUTOCAST` asks for that type anywhere.
    classes : int
        With the background.
    minutes : float or None
        After this time no further epoch is begun.
    tensorboard : bool
        Also write logs for TensorBoard.
    workers : int
        Processes that make samples; 0 makes them in a thread beside the training.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    epochs: int = 40
    batch: int = 8
    learning_rate: float = 1e-3
    loss: str = "dice+ce"
    patience: int = 8
    minimum_improvement: float = 1e-4
    seed: int = 0
    device: str = "auto"
    amp: bool | str = True
    classes: int = 3
    minutes: float | None = None
    tensorboard: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("patience", 1), ("classes", 2), ("workers", 0), ("seed", 0)):
            if getattr(self, name) < least:
                msg = f"{name} is {getattr(self, name)}; give at least {least}."
                raise UsageError(msg)
        for name in ("learning_rate", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                msg = f"{name} is {value}; give a number above 0."
                raise UsageError(msg)
        if self.loss not in LOSSES:
            msg = f"Unknown loss {self.loss!r}; choose one of {', '.join(LOSSES)}."
            raise UsageError(msg)
        if not isinstance(self.amp, bool) and self.amp not in AUTOCAST:
            msg = f"Unknown type {self.amp!r} to compute in; choose one of {', '.join(AUTOCAST)}."
            raise UsageError(msg)

    def differences(self, earlier: Mapping[str, object]) -> list[str]:
        """Names of options by which a resumed training would compute something else than the `earlier` one."""
        mine = asdict(self)
        return [name for name in mine if name not in FREE_ON_RESUME and earlier.get(name) != mine[name]]


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch reached.

    Attributes
    ----------
    epoch : int
        From 1.
    training_loss, validation_loss : float
        Means over samples.
    score : float
        Mean Dice of the foreground classes; each from counts summed over the whole validation set.
    class_scores : tuple of float or None
        Dice of each foreground class; None for one that is neither there nor found.
    learning_rate : float
        At the end of the epoch.
    seconds : float
        Training and validation.
    is_best : bool
    """

    epoch: int
    training_loss: float
    validation_loss: float
    score: float
    class_scores: tuple[float | None, ...]
    learning_rate: float
    seconds: float
    is_best: bool

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> EpochRecord:
        """From what `dataclasses.asdict` gave."""
        return cls(**{**values, "class_scores": tuple(values["class_scores"])})


@dataclass(frozen=True)
class FitProgress:
    """How far a training is.

    Attributes
    ----------
    value : float
        From 0 to 1, of all epochs.
    stage : str
        ``training`` or ``validation``.
    epoch, epochs : int
        From 1.
    batch, batches : int
        Of the epoch's training.
    loss : float or None
        Of this epoch so far.
    seconds_left : float or None
        To the last epoch; early stopping may end it before.
    record : EpochRecord or None
        With the last event of an epoch.
    """

    value: float
    stage: str
    epoch: int
    epochs: int
    batch: int = 0
    batches: int = 0
    loss: float | None = None
    seconds_left: float | None = None
    record: EpochRecord | None = None


@dataclass(frozen=True)
class FitResult:
    """What a training gave; the network it was called with has the weights of the best epoch.

    Attributes
    ----------
    history : tuple of EpochRecord
    best_epoch : int
    best_score : float
    stopped : str
        ``epochs`` (all were done), ``patience`` (no more improvement) or ``minutes`` (time was up).
    device : str
    seconds : float
        Of all epochs, also of those before a resumption.
    warnings : tuple of str
    """

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_score: float
    stopped: str
    device: str
    seconds: float
    warnings: tuple[str, ...] = field(default=())
