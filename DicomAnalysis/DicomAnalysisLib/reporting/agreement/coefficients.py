"""Coefficients of agreement: intraclass correlation and Lin's concordance.

Written here because scipy has none of them and the packages that have are under the GPL.
Sources: Shrout PE, Fleiss JL, Psychol Bull 1979;86:420-428; McGraw KO, Wong SP, Psychol Methods 1996;1:30-46;
Lin LI, Biometrics 1989;45:255-268, with the correction in Biometrics 2000;56:324-325.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .estimate import FEWEST, Estimate, estimate, not_estimable

_FEW = f"fewer than {FEWEST} subjects"
_NO_SPREAD = "the subjects do not differ"


@dataclass(frozen=True)
class Intraclass:
    """Two of Shrout and Fleiss' coefficients.

    Attributes
    ----------
    agreement : Estimate
        ICC(2,1): raters are a sample of all raters; their bias counts. McGraw and Wong's ICC(A,1).
    consistency : Estimate
        ICC(3,1): these raters only; a constant bias does not count. McGraw and Wong's ICC(C,1).
    """

    agreement: Estimate
    consistency: Estimate


@dataclass(frozen=True)
class Concordance:
    """Lin's coefficient and its two factors.

    Attributes
    ----------
    coefficient : Estimate
        Interval by the inverse hyperbolic tangent.
    precision : float or None
        Pearson's correlation: how close to a line.
    accuracy : float or None
        Bias correction factor C_b: how close that line is to the line of identity.
    """

    coefficient: Estimate
    precision: float | None = None
    accuracy: float | None = None


def intraclass(ratings: np.ndarray, confidence: float = 0.95) -> Intraclass:
    """ICC(2,1) and ICC(3,1) of a two-way layout, with intervals by the F distribution.

    Parameters
    ----------
    ratings : array of shape (subjects, raters)
        Complete.
    confidence : float
    """
    ratings = np.asarray(ratings, float)
    subjects, raters = ratings.shape
    if subjects < FEWEST or raters < 2:
        return Intraclass(not_estimable(_FEW), not_estimable(_FEW))
    rows, columns, error = mean_squares(ratings)
    if rows <= 1e-20 * max(1.0, float((ratings**2).max())):
        return Intraclass(not_estimable(_NO_SPREAD), not_estimable(_NO_SPREAD))
    return Intraclass(
        _agreement(rows, columns, error, subjects, raters, confidence),
        _consistency(rows, error, subjects, raters, confidence),
    )


def mean_squares(ratings: np.ndarray) -> tuple[float, float, float]:
    """Mean squares between subjects, between raters and of the residual (1979, table 2)."""
    subjects, raters = ratings.shape
    grand = ratings.mean()
    by_subject, by_rater = ratings.mean(axis=1), ratings.mean(axis=0)
    rows = raters * float(((by_subject - grand) ** 2).sum()) / (subjects - 1)
    columns = subjects * float(((by_rater - grand) ** 2).sum()) / (raters - 1)
    residual = ratings - by_subject[:, None] - by_rater[None, :] + grand
    error = float((residual**2).sum()) / ((subjects - 1) * (raters - 1))
    return rows, columns, 0.0 if error <= 1e-20 * rows else error


def _consistency(rows: float, error: float, n: int, k: int, confidence: float) -> Estimate:
    if error == 0:
        return Estimate(1.0, reason="no interval: there is no residual scatter")
    ratio, tail = rows / error, (1 + confidence) / 2
    low = ratio / stats.f.ppf(tail, n - 1, (n - 1) * (k - 1))
    high = ratio * stats.f.ppf(tail, (n - 1) * (k - 1), n - 1)
    return estimate(*((value - 1) / (value + k - 1) for value in (ratio, low, high)))


def _agreement(rows: float, columns: float, error: float, n: int, k: int, confidence: float) -> Estimate:
    value = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    if error == 0 and columns == 0:
        return Estimate(1.0, reason="no interval: all ratings agree")
    # McGraw and Wong 1996, table 7, case A,1.
    a, b = k * value / (n * (1 - value)), 1 + k * value * (n - 1) / (n * (1 - value))
    parts = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    freedom = (a * columns + b * error) ** 2 / parts
    tail = (1 + confidence) / 2
    below, above = stats.f.ppf(tail, n - 1, freedom), stats.f.ppf(tail, freedom, n - 1)
    rest = k * columns + (k * n - k - n) * error
    with np.errstate(all="ignore"):  # quantiles of few degrees of freedom run out of the range of numbers
        low = n * (rows - below * error) / (below * rest + n * rows)
        high = n * (above * rows - error) / (rest + n * above * rows)
    return estimate(value, low, high)


def concordance(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Concordance:
    """Lin's concordance correlation coefficient; moments are divided by n, as in Lin's paper."""
    x, y = np.asarray(first, float), np.asarray(second, float)
    n = len(x)
    if n < FEWEST:
        return Concordance(not_estimable(f"fewer than {FEWEST} pairs"))
    sx, sy, shift = float(x.std()), float(y.std()), float(x.mean() - y.mean())
    scale = max(1.0, float(np.abs([x, y]).max()))
    for name, spread in (("first", sx), ("second", sy)):
        if spread <= 1e-12 * scale:
            return Concordance(not_estimable(f"the {name} values are all the same"))
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    r = max(-1.0, min(1.0, covariance / (sx * sy)))
    value = 2 * covariance / (sx**2 + sy**2 + shift**2)
    accuracy = 2 * sx * sy / (sx**2 + sy**2 + shift**2)
    if 1 - abs(value) < 1e-12:
        return Concordance(Estimate(value, reason="no interval: the pairs lie on the line"), r, accuracy)
    if abs(r) < 1e-12:
        return Concordance(Estimate(value, reason="no interval: the values do not correlate"), r, accuracy)
    u2, rest = shift**2 / (sx * sy), 1 - value**2
    variance = (1 - r**2) * value**2 / (rest * r**2) + 2 * value**3 * (1 - value) * u2 / (r * rest**2)
    variance -= value**4 * u2**2 / (2 * r**2 * rest**2)
    if n == FEWEST - 1 or variance < 0:
        return Concordance(Estimate(value, reason="no interval: its variance cannot be estimated"), r, accuracy)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(variance / (n - 2))
    z = math.atanh(value)
    return Concordance(estimate(value, math.tanh(z - half), math.tanh(z + half)), r, accuracy)
