"""Options of a training: one dataclass, stored with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import UsageError
from ...networks.fit_options import FREE_ON_RESUME, FitOptions
from .split import require_shares

TRAINED_TASKS = ("headrest", "metal")
CLASSICAL, OWN, BOTH = "classical", "own", "both"
SIZES = ("small", "standard")


@dataclass(frozen=True)
class SizeOfTraining:
    """How much is computed.

    Attributes
    ----------
    pixels : int
        Rows and columns of a sample.
    training, validation : int
        Samples an epoch.
    scenes : int
        Pictures that training samples are looks at; making one takes longer than training with it.
    learning_rate : float
        A smaller network bears a larger one.
    """

    pixels: int
    training: int
    validation: int
    scenes: int
    learning_rate: float


SIZES_OF_TRAINING = {
    "small": SizeOfTraining(128, 64, 16, 64, 5e-3),
    "standard": SizeOfTraining(192, 800, 160, 3200, 1e-3),
}


@dataclass(frozen=True)
class TrainingOptions:
    """What a segmentation network learns from, and how.

    Parameters
    ----------
    labels : tuple of str
        ``classical`` (the program's own segmentation; slices it is not sure of are left out), a folder with
        segmentations, or both: then the folder's are used where there is one.
    size : str
        ``small`` (a look, minutes on a laptop) or ``standard``.
    epochs, batch, loss, seed, device, patience, minutes, tensorboard, workers
        See `networks.fit_options.FitOptions`.
    learning_rate : float or None
        Likewise; None takes what suits the size.
    validation_fraction, test_fraction : float
        Of the patients.
    test_patients : tuple of str
        Patient IDs, instead of a share.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    labels: tuple[str, ...] = (CLASSICAL,)
    size: str = "standard"
    epochs: int = 40
    batch: int = 8
    learning_rate: float | None = None
    loss: str = "dice+ce"
    seed: int = 0
    device: str = "auto"
    patience: int = 8
    minutes: float | None = None
    tensorboard: bool = False
    workers: int = 0
    validation_fraction: float = 0.2
    test_fraction: float = 0.0
    test_patients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("labels", "test_patients"):
            object.__setattr__(self, name, tuple(dict.fromkeys(str(one) for one in getattr(self, name))))
        if self.size not in SIZES:
            msg = f"Unknown size {self.size!r}; choose one of {', '.join(SIZES)}."
            raise UsageError(msg)
        folders = [one for one in self.labels if one != CLASSICAL]
        if not self.labels or len(folders) > 1:
            msg = "Give as labels: classical, one folder with segmentations, or both."
            raise UsageError(msg)
        for folder in folders:
            if not Path(folder).is_dir():
                msg = f"There is no folder with labels {folder}; give one, or the labels {CLASSICAL}."
                raise UsageError(msg)
        require_shares(self.validation_fraction, self.test_fraction)
        self.fit_options(classes=2)  # its values are checked there

    @property
    def label_source(self) -> tuple[str, Path | None]:
        """Labels and folder of segmentations, as `examples.collect_examples` takes them."""
        folders = [Path(one) for one in self.labels if one != CLASSICAL]
        if not folders:
            return CLASSICAL, None
        return BOTH if CLASSICAL in self.labels else OWN, folders[0]

    @property
    def amount(self) -> SizeOfTraining:
        """Samples and their size."""
        return SIZES_OF_TRAINING[self.size]

    def fit_options(self, classes: int) -> FitOptions:
        """What of it is `networks.fitting`'s."""
        names = ("epochs", "batch", "loss", "seed", "device", "patience", "minutes", "tensorboard", "workers")
        rate = self.amount.learning_rate if self.learning_rate is None else self.learning_rate
        return FitOptions(**{name: getattr(self, name) for name in names}, learning_rate=rate, classes=classes)

    def differences(self, earlier: Mapping[str, object]) -> list[str]:
        """Names of options by which a resumed training would compute something else than the `earlier` one."""
        mine = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return [name for name in mine if name not in FREE_ON_RESUME and earlier.get(name) != mine[name]]
