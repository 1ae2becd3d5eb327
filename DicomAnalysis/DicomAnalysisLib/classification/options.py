"""Options of a classifier's training: one dataclass, stored with the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ..errors import UsageError
from .architectures import NETWORKS, POOLINGS, SIZES, ClassifierDescription
from .augmentation import Augmentation
from .losses import BALANCES

DEFAULT_RECIPES = {"volume3d": "ct-volume", "slices": "ct-slices", "multiview": "xa-views"}
"""By the kind of network, where the user names none."""

FREE_ON_RESUME = ("device", "minutes", "cache_bytes")
"""Options that may differ when a training is resumed: they say where and how long, not what is computed."""

LEARNING_RATES = {"small": 1e-3, "standard": 3e-4}


@dataclass(frozen=True)
class ClassifierOptions:
    """What a classifier is, what it learns from, and how.

    Parameters
    ----------
    network : str
        One of `architectures.NETWORKS`.
    size : str
        ``small`` (minutes on two CPU cores) or ``standard`` (the published network, for a graphics card).
    pooling : str
        Over the slices of a ``slices`` network: ``attention``, ``conv`` or ``slicewise``.
    recipe : str
        Name of a recipe; empty takes the one that suits the network.
    epochs : int
        At most; also the length of the learning rate's one-cycle schedule.
    batch : int
        Cases a step.
    learning_rate : float or None
        Largest of the schedule; None takes what suits the size.
    weight_decay, dropout : float
    balance : str
        About rare classes: ``weights``, ``focal`` or ``none``.
    augmentation : Augmentation
        Without flips unless they are asked for: whether sides may be swapped is for who knows the anatomy to say.
    patience : int or None
        Epochs without a better validation score after which training ends. None takes half of `epochs` (5 to 20). It
        has to be smaller than `epochs`: early stopping that cannot fire is refused.
    minutes : float or None
        After this time no further epoch is begun.
    seed : int
        Of the split, of the first weights, of the order of cases, of augmentation and of dropout.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``. On CUDA it computes in 16 bits.
    weights : str
        Pretrained weights: a file or a URL; empty for a random start.
    sha256 : str
        Of the weights; a URL needs it.
    validation_fraction, test_fraction : float
        Of the patients.
    folds, repeats : int
        From 2 folds on: repeated grouped stratified cross-validation, then one training for the model.
    cache_bytes : int
        Prepared images on disk, at most.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    network: str = "volume3d/densenet121"
    size: str = "small"
    pooling: str = "attention"
    recipe: str = ""
    epochs: int = 30
    batch: int = 8
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    dropout: float = 0.2
    balance: str = "weights"
    augmentation: Augmentation = field(default_factory=Augmentation)
    patience: int | None = None
    minutes: float | None = None
    seed: int = 0
    device: str = "auto"
    weights: str = ""
    sha256: str = ""
    validation_fraction: float = 0.2
    test_fraction: float = 0.2
    folds: int = 0
    repeats: int = 1
    cache_bytes: int = 20_000_000_000

    def __post_init__(self) -> None:
        if isinstance(self.augmentation, Mapping):
            values = dict(self.augmentation)
            object.__setattr__(self, "augmentation", Augmentation(**values | {"flips": tuple(values.get("flips", ()))}))
        for name, known in (
            ("network", tuple(NETWORKS)),
            ("size", SIZES),
            ("pooling", POOLINGS),
            ("balance", BALANCES),
        ):
            if getattr(self, name) not in known:
                msg = f"Unknown {name} {getattr(self, name)!r}; choose one of {', '.join(known)}."
                raise UsageError(msg)
        for name, least in (("epochs", 1), ("batch", 1), ("seed", 0), ("folds", 0), ("repeats", 1), ("cache_bytes", 0)):
            if getattr(self, name) < least:
                msg = f"{name} is {getattr(self, name)}; give at least {least}."
                raise UsageError(msg)
        for name in ("learning_rate", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                msg = f"{name.replace('_', ' ')} is {value}; give a number above 0."
                raise UsageError(msg)
        self._check_together()

    def _check_together(self) -> None:
        if self.patience is not None and not 1 <= self.patience < max(2, self.epochs):
            msg = (
                f"With a patience of {self.patience} and {self.epochs} epochs, training could never end early. "
                "Give a patience from 1 to below the number of epochs."
            )
            raise UsageError(msg)
        if self.folds == 1 or (self.repeats > 1 and not self.folds):
            msg = "Cross-validation needs at least 2 folds; give folds 5, for example, or none and one repeat."
            raise UsageError(msg)
        shares = (self.validation_fraction, self.test_fraction)
        if not (0 < shares[0] < 1 and 0 <= shares[1] < 1 and sum(shares) < 1):
            msg = (
                f"The shares of validation ({shares[0]:g}) and test ({shares[1]:g}) patients cannot be used: both are "
                "from 0 to 1, their sum is below 1, and validation is above 0."
            )
            raise UsageError(msg)
        self.description(1, 1 if not self.network.startswith("multiview") else 2)  # dropout is checked there

    @property
    def patience_used(self) -> int:
        """Epochs without a better score after which training ends."""
        return (
            self.patience if self.patience is not None else max(1, min(20, self.epochs - 1, max(5, self.epochs // 2)))
        )

    @property
    def largest_rate(self) -> float:
        """Largest learning rate of the schedule."""
        return LEARNING_RATES[self.size] if self.learning_rate is None else self.learning_rate

    @property
    def recipe_name(self) -> str:
        """The recipe that is used."""
        return self.recipe or DEFAULT_RECIPES[self.network.partition("/")[0]]

    def description(self, outputs: int, views: int) -> ClassifierDescription:
        """The network in plain values."""
        return ClassifierDescription(self.network, outputs, views, self.size, self.pooling, self.dropout)

    def to_dict(self) -> dict[str, object]:
        """In JSON's types."""
        values = asdict(self)
        values["augmentation"]["flips"] = list(self.augmentation.flips)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> ClassifierOptions:
        """From what `to_dict` gave.

        Raises
        ------
        UsageError
            If it is not that.
        """
        try:
            return cls(**values)
        except TypeError as error:
            msg = f"The options of the training are not understood ({error})."
            raise UsageError(msg) from error

    def differences(self, earlier: Mapping[str, object]) -> list[str]:
        """Names of options by which a resumed training would compute something else than the `earlier` one."""
        mine = self.to_dict()
        return [name for name in mine if name not in FREE_ON_RESUME and earlier.get(name) != mine[name]]
