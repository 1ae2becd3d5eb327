"""How labels are learned from features."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError


@dataclass(frozen=True)
class LearningOptions:
    """How labels are learned from features.

    Parameters
    ----------
    fractions : tuple of float
        Shares of the patients for training, validation and test.
    depths, rates, columns : tuple
        The grid of the boosted trees: depth, learning rate, and share of the features that each tree sees.
    rounds, patience : int
        Most trees, and how many without a better validation loss end the training.
    trees : int
        Of the random forest.
    strengths : tuple of float
        Inverse penalties of logistic regression that validation chooses from.
    resamples : int
        Of the test patients, for intervals.
    threads : int
        0: all cores. The answers do not depend on it.
    seed : int

    Raises
    ------
    UsageError
        If a value cannot be used.
    """

    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    depths: tuple[int, ...] = (2, 4, 6)
    rates: tuple[float, ...] = (0.1, 0.3)
    columns: tuple[float, ...] = (0.5, 1.0)
    rounds: int = 400
    patience: int = 20
    trees: int = 300
    strengths: tuple[float, ...] = (0.01, 0.1, 1.0)
    resamples: int = 1000
    threads: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("depths", "rates", "columns", "strengths"):
            values = getattr(self, name)
            if not values or min(values) <= 0:
                raise UsageError(f"{name} needs at least one value, all above 0.")
        for name in ("rounds", "patience", "trees", "resamples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1.")
        if max(self.columns) > 1:
            raise UsageError("columns are shares of the features: above 0, at most 1.")
        if self.seed < 0 or self.threads < 0:
            raise UsageError("seed and threads must not be negative.")
