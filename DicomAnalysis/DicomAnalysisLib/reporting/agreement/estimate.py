"""An estimate with its interval, or the reason why there is none; the options that all estimates share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import UsageError

EXACT, MOVER, APPROXIMATE = "exact", "mover", "approximate"
INTERVALS = {
    EXACT: "exact, by the non-central t distribution (Carkeet 2015)",
    MOVER: "method of variance estimates recovery (Zou 2013)",
    APPROXIMATE: "large-sample approximation (Bland and Altman 1999)",
}
"""How the intervals of the limits of agreement are computed, and what the report says about it."""

FEWEST = 3
"""Pairs below which nothing is estimated."""


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval, or the reason why it cannot be estimated.

    Attributes
    ----------
    value, low, high : float or None
        None where it is not estimable.
    reason : str
        Why not, in words for the user; may also say why there is a value and no interval.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


def estimate(value: float, low: float, high: float) -> Estimate:
    """An estimate; what is not a finite number is left out, and said."""
    if not math.isfinite(value):
        return Estimate(reason="not estimable: the numbers do not allow it")
    if not (math.isfinite(low) and math.isfinite(high)):
        return Estimate(float(value), reason="no interval: the numbers do not allow one")
    return Estimate(float(value), float(low), float(high))


def not_estimable(reason: str) -> Estimate:
    """No value, and why."""
    return Estimate(reason=f"not estimable: {reason}")


@dataclass(frozen=True)
class AgreementOptions:
    """What a study of agreement is to compute.

    Attributes
    ----------
    confidence : float
        Of every interval.
    coverage : float
        Share of differences that the limits of agreement are to hold.
    multiplier : float, optional
        Standard deviations from the bias to a limit, in place of what `coverage` gives (1.96 for 95 %);
        Bland and Altman (1986) rounded it to 2.
    interval : str
        One of `INTERVALS`, for the limits of agreement.
    log : bool
        Analyse logarithms: differences become ratios (Bland and Altman 1999, section 3.2).
    precision : float, optional
        Wanted half-width of the limits' intervals, in the unit of the measurement (with `log`: as a ratio, such
        as 1.05): how many pairs it takes.
    acceptable : float, optional
        Largest difference that does not matter clinically, chosen before the study (with `log`: as a ratio).

    Raises
    ------
    UsageError
        If a value cannot be used.
    """

    confidence: float = 0.95
    coverage: float = 0.95
    multiplier: float | None = None
    interval: str = EXACT
    log: bool = False
    precision: float | None = None
    acceptable: float | None = None

    def __post_init__(self) -> None:
        for name in ("confidence", "coverage"):
            if not 0.5 <= getattr(self, name) < 1:
                msg = f"The {name} is a share from 0.5 to below 1, such as 0.95; {getattr(self, name)} is none."
                raise UsageError(msg)
        if self.interval not in INTERVALS:
            msg = f"Unknown interval {self.interval!r}; choose {', '.join(INTERVALS)}."
            raise UsageError(msg)
        lowest, means = (1.0, "a ratio above 1, such as 1.05") if self.log else (0.0, "above 0")
        for name in ("precision", "acceptable", "multiplier"):
            value, least = getattr(self, name), 0.0 if name == "multiplier" else lowest
            if value is not None and not (math.isfinite(value) and value > least):
                msg = f"The {name} is {means if least == lowest else 'above 0'}; {value} is not."
                raise UsageError(msg)

    @property
    def z(self) -> float:
        """Standard deviations from the bias to a limit."""
        from scipy.stats import norm

        return self.multiplier if self.multiplier is not None else float(norm.ppf((1 + self.coverage) / 2))
