"""How far two measurements of the same thing by the same method lie apart.

Sources: Bland JM, Altman DG, Lancet 1986;1:307-310 and BMJ 1996;313:744; Raunig DL et al., Stat Methods Med Res
2015;24:27-67 (repeatability and reproducibility coefficients of QIBA).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .bland_altman import Repeats
from .estimate import Estimate, estimate, not_estimable


@dataclass(frozen=True)
class Repeatability:
    """The scatter of repeats.

    Attributes
    ----------
    coefficient : Estimate
        1.96 · sqrt(2) · within-subject SD: two repeats lie within it in 95 % of cases.
    within_sd : float or None
    subjects : int
        With at least two repeats.
    """

    coefficient: Estimate
    within_sd: float | None = None
    subjects: int = 0


def repeatability(values: Sequence[Sequence[float]], confidence: float = 0.95, coverage: float = 0.95) -> Repeatability:
    """Repeatability coefficient by one-way analysis of variance.

    Parameters
    ----------
    values : sequence of sequences of float
        The repeats of each subject, as many as there are; subjects measured once do not count.
    confidence : float
    coverage : float
        Share of pairs of repeats that lie within the coefficient.
    """
    variance, freedom = within_variance(values)
    subjects = sum(len(one) > 1 for one in values)
    if freedom == 0:
        return Repeatability(not_estimable("nothing was measured twice"))
    if subjects < 2:
        return Repeatability(not_estimable("only one subject was measured twice"), math.sqrt(variance), subjects)
    factor = float(stats.norm.ppf((1 + coverage) / 2)) * math.sqrt(2)
    tail = (1 - confidence) / 2
    low, high = np.sqrt(freedom * variance / stats.chi2.ppf([1 - tail, tail], freedom))
    sd = math.sqrt(variance)
    return Repeatability(estimate(factor * sd, factor * low, factor * high), sd, subjects)


def within_variance(values: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Variance within subjects and its degrees of freedom; 0 and 0 where nothing was repeated."""
    repeated = [np.asarray(one, float) for one in values if len(one) > 1]
    freedom = sum(len(one) - 1 for one in repeated)
    total = sum(float(((one - one.mean()) ** 2).sum()) for one in repeated)
    return (total / freedom if freedom else 0.0), freedom


def repeats_of(values: Sequence[Sequence[float]]) -> Repeats:
    """What the repeats of one method add to the variance of a single difference (1999, section 5.2)."""
    variance, freedom = within_variance(values)
    weight = 1 - sum(1 / len(one) for one in values) / len(values) if values else 0.0
    return Repeats(variance, freedom, weight)
