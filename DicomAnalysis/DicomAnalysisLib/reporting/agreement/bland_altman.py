"""Limits of agreement with their intervals, and whether the difference depends on the size.

Sources: Bland JM, Altman DG, Lancet 1986;1:307-310; the same, Stat Methods Med Res 1999;8:135-160; Carkeet A,
Optom Vis Sci 2015;92:e71-e80 (exact intervals); Zou GY, Stat Methods Med Res 2013;22:630-642 (MOVER, repeats).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .estimate import APPROXIMATE, EXACT, FEWEST, MOVER, AgreementOptions, Estimate, estimate, not_estimable

_ROUNDING = 1e-12
"""Of the measurements: differences that lie this close together differ by nothing but their last bits."""


@dataclass(frozen=True)
class Repeats:
    """What repeats add to the variance of the difference of two single measurements.

    Attributes
    ----------
    variance : float
        Of one measurement about its subject's mean.
    freedom : int
        Degrees of freedom.
    weight : float
        1 minus the mean of 1 / (number of repeats): what averaging has taken away (1999, section 5.2).
    """

    variance: float
    freedom: int
    weight: float


@dataclass(frozen=True)
class LimitsOfAgreement:
    """Bias and limits; in logarithms where the options say so.

    Attributes
    ----------
    bias, lower, upper : Estimate
    sd : float or None
        Of the differences of single measurements.
    slope : Estimate
        Change of the difference for a unit of the mean: proportional bias.
    slope_p : float or None
    spread_p : float or None
        Of the rank correlation of the absolute residual with the mean: does the scatter grow with the size?
    normality_p : float or None
        Shapiro-Wilk test of the differences.
    method : str
        One of `estimate.INTERVALS`.
    """

    bias: Estimate
    lower: Estimate
    upper: Estimate
    sd: float | None
    slope: Estimate
    slope_p: float | None
    spread_p: float | None
    normality_p: float | None
    method: str


def limits_of_agreement(
    first: Sequence[float], second: Sequence[float], options: AgreementOptions, repeats: Sequence[Repeats] = ()
) -> LimitsOfAgreement:
    """Bland and Altman's limits of first minus second.

    Parameters
    ----------
    first, second : sequence of float
        One value a subject; means of the repeats where there are some. Logarithms already taken.
    options : AgreementOptions
    repeats : sequence of Repeats
        Of both methods, where the values are means: the limits are then those of single measurements.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    difference, mean = first - second, (first + second) / 2
    count = len(difference)
    if count < FEWEST:
        none = not_estimable(f"fewer than {FEWEST} pairs")
        return LimitsOfAgreement(none, none, none, None, none, None, None, None, options.interval)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    if np.ptp(difference) <= _ROUNDING * max(np.abs(first).max(), np.abs(second).max()):
        difference, sd = np.full(count, bias), 0.0  # what rounding leaves of larger numbers is no scatter
    half = _t(options.confidence, count - 1) * sd / math.sqrt(count)
    method = options.interval
    repeats = [one for one in repeats if one.weight > 0 and one.freedom > 0]
    if repeats and method == EXACT:
        method = MOVER  # there is no exact interval for a sum of variances
    single = math.sqrt(sd**2 + sum(one.weight * one.variance for one in repeats))
    lower, upper = _limits(bias, sd, single, count, options, method, repeats)
    slope, slope_p, spread_p = _dependence(mean, difference, options.confidence)
    normality = None if _is_constant(difference) else float(stats.shapiro(difference).pvalue)
    return LimitsOfAgreement(
        estimate(bias, bias - half, bias + half), lower, upper, single, slope, slope_p, spread_p, normality, method
    )


def half_width(count: int, options: AgreementOptions) -> float:
    """Half the width of a limit's interval, in standard deviations of the differences, for a number of pairs."""
    z, root = options.z, math.sqrt(count)
    if options.interval == APPROXIMATE:
        return _t(options.confidence, count - 1) * _limit_error(count, z)
    low, high = _exact_factors(count, z, options.confidence)
    return (high - low) / (2 * root)


def _limits(
    bias: float,
    sd: float,
    single: float,
    count: int,
    options: AgreementOptions,
    method: str,
    repeats: Sequence[Repeats],
) -> tuple[Estimate, Estimate]:
    z = options.z
    if method == EXACT:
        low, high = (factor * sd / math.sqrt(count) for factor in _exact_factors(count, z, options.confidence))
        inner, outer = z * sd - low, high - z * sd
    elif method == MOVER:
        half = _t(options.confidence, count - 1) * sd / math.sqrt(count)
        smallest, largest = _sd_interval(sd, count, options.confidence, repeats)
        inner = math.hypot(half, z * (single - smallest))
        outer = math.hypot(half, z * (largest - single))
    else:
        variance = sd**2 / count + z**2 * _variance_of_sd(sd, single, count, repeats)
        inner = outer = _t(options.confidence, count - 1) * math.sqrt(variance)
    lower, upper = bias - z * single, bias + z * single
    return estimate(lower, lower - outer, lower + inner), estimate(upper, upper - inner, upper + outer)


def _exact_factors(count: int, z: float, confidence: float) -> tuple[float, float]:
    """Quantiles of the non-central t that bound bias + z·SD, in units of SD / sqrt(count)."""
    tail = (1 - confidence) / 2
    low, high = stats.nct.ppf([tail, 1 - tail], count - 1, z * math.sqrt(count))
    return float(low), float(high)


def _limit_error(count: int, z: float) -> float:
    """Standard error of a limit in standard deviations (1999, section 2.1)."""
    return math.sqrt(1 / count + z**2 / (2 * (count - 1)))


def _sd_interval(sd: float, count: int, confidence: float, repeats: Sequence[Repeats]) -> tuple[float, float]:
    """Interval of the standard deviation of single differences: variances are added, their intervals by MOVER."""
    tail = (1 - confidence) / 2
    total, below, above = 0.0, 0.0, 0.0
    for variance, freedom, weight in [
        (sd**2, count - 1, 1.0),
        *((one.variance, one.freedom, one.weight) for one in repeats),
    ]:
        high, low = freedom * variance / stats.chi2.ppf([tail, 1 - tail], freedom)
        total += weight * variance
        below += (weight * (variance - low)) ** 2
        above += (weight * (high - variance)) ** 2
    return math.sqrt(max(0.0, total - math.sqrt(below))), math.sqrt(total + math.sqrt(above))


def _variance_of_sd(sd: float, single: float, count: int, repeats: Sequence[Repeats]) -> float:
    """Delta method; for no repeats SD² / (2 (n - 1)) (1999, sections 2.1 and 5.1)."""
    if single == 0:
        return 0.0
    parts = [(1.0, sd**2, count - 1), *((one.weight, one.variance, one.freedom) for one in repeats)]
    return sum(2 * (weight * variance) ** 2 / freedom for weight, variance, freedom in parts) / (4 * single**2)


def _dependence(
    mean: np.ndarray, difference: np.ndarray, confidence: float
) -> tuple[Estimate, float | None, float | None]:
    """Slope of the difference on the mean, its p, and p of the scatter growing with the mean."""
    if _is_constant(mean):
        return not_estimable("all means are the same"), None, None
    line = stats.linregress(mean, difference)
    residual = np.abs(difference - line.intercept - line.slope * mean)
    half = _t(confidence, len(mean) - 2) * line.stderr
    flat = _is_constant(difference) or residual.max() <= 1e-9 * max(1.0, np.abs(difference).max())
    spread = None if flat else float(stats.spearmanr(mean, residual).pvalue)
    p_value = None if _is_constant(difference) else float(line.pvalue)
    return estimate(line.slope, line.slope - half, line.slope + half), p_value, spread


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= _ROUNDING * max(1.0, float(np.abs(values).max())))


def _t(confidence: float, freedom: int) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, freedom))
