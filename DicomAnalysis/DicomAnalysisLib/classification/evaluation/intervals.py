"""How sure a score is: resampling of patients, never of images.

Images of one patient are alike, so the patients are drawn, with all of their cases (a cluster
bootstrap). Limits are percentiles of the scores of the resamples. A resample that lacks what a
score needs (no positive case) is left out of that score.

Where every resample gives the same value because nothing was ever wrong, resampling says "certain",
which it is not; there an exact bound takes its place:

* a rate of 0 or 1: Clopper and Pearson's, with the number of patients;
* AUROC 1 or 0: positives and negatives that are paired at random are independent pairs and all in
  order, so the same bound holds with the number of pairs, that of the rarer kind of patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
METHOD = "percentile bootstrap over patients"
_FEWEST = 0.5
"""Share of the resamples that must have a value; below it no interval is given."""


@dataclass(frozen=True)
class Estimate:
    """A score with its interval.

    Attributes
    ----------
    value : float or None
        None: not estimable, and `note` says why.
    low, high : float or None
        95 % interval; None where there is none.
    note : str
        Why there is no value or no interval, or that an exact bound was used; else empty.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    def text(self, digits: int = 2) -> str:
        """As people write it: "0.93 (0.88–0.97)", or "not estimable"."""
        if self.value is None:
            return "not estimable" if self.note else "–"
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


NOTHING = Estimate(None)
"""Where there is nothing to estimate."""


def not_estimable(reason: str) -> Estimate:
    """No number, and why."""
    return Estimate(None, note=reason)


class PatientResamples:
    """How often each case counts in every resample of the patients.

    Parameters
    ----------
    patients : sequence of str
        The patient of each case.
    resamples : int
    seed : int
        The same seed gives the same resamples.

    Attributes
    ----------
    weights : float32 array, (resamples, cases)
    """

    def __init__(self, patients: Sequence[str], resamples: int = 1000, seed: int = 0):
        names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
        count = len(names)
        drawn = np.random.default_rng(seed).integers(0, max(count, 1), (resamples, count))
        drawn += np.arange(resamples)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)
        self.patients = index
        self.weights = times[:, index].astype(np.float32)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The weights of some cases, (resamples, rows)."""
        return self.weights[:, rows]


def estimate(value: float, resampled: np.ndarray, exact: tuple[float, float] | None = None) -> Estimate:
    """A score with the percentile interval of its resamples.

    Parameters
    ----------
    value : float
        Of the cases as they are.
    resampled : float array, (resamples,)
        NaN where a resample has no value.
    exact : (low, high), optional
        What to say where all resamples agree; without it there is then no interval.
    """
    value = float(value)
    if not np.isfinite(value):
        return not_estimable("nothing to judge")
    known = resampled[np.isfinite(resampled)]
    if len(known) < max(2, _FEWEST * len(resampled)):
        return Estimate(value, note="too few resamples have a value: no interval")
    if known.min() == known.max():
        if exact is None:
            return Estimate(value, note="every resample gives the same value: no interval")
        return Estimate(value, *exact, note="every resample gives the same value: exact bound")
    low, high = np.quantile(known, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Estimate(value, float(low), float(high))


def exact_bound(value: float, trials: int) -> tuple[float, float] | None:
    """Clopper and Pearson's interval of a rate that is 0 or 1 in `trials` independent trials; None for others."""
    if trials < 1 or value not in (0.0, 1.0):
        return None
    far = ((1 - CONFIDENCE) / 2) ** (1 / trials)
    return (far, 1.0) if value == 1.0 else (0.0, 1 - far)


def patients_among(patients: Sequence[str], chosen: np.ndarray) -> int:
    """Different patients among the chosen cases."""
    return len({name for name, yes in zip(patients, chosen, strict=True) if yes})
