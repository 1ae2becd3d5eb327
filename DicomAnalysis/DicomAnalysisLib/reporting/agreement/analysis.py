"""One study of agreement: everything that is estimated from paired measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import TaskError
from .bland_altman import LimitsOfAgreement, limits_of_agreement
from .coefficients import Concordance, Intraclass, concordance, intraclass
from .estimate import EXACT, FEWEST, MOVER, AgreementOptions, Estimate
from .pairing import Pair, PairedMeasurements
from .repeatability import Repeatability, repeatability, repeats_of
from .sample_size import sample_size_for_limits

FRACTIONS = (0.5, 0.34, 0.25, 0.2, 0.1)
"""Precisions in the table of sample sizes, in standard deviations of the differences."""

SUGGESTED_P = 0.05


@dataclass(frozen=True)
class Outlier:
    """A pair outside the limits of agreement.

    Attributes
    ----------
    identifier, series_uid : str
    difference : float
        First minus second; with logarithms the ratio.
    reason : str
    files : tuple of str
    """

    identifier: str
    series_uid: str
    difference: float
    reason: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """What came out.

    Attributes
    ----------
    paired : PairedMeasurements
    options : AgreementOptions
    limits : LimitsOfAgreement
        In logarithms where `options.log` is set; `shown` gives ratios.
    icc : Intraclass
    lin : Concordance
    repeatability : tuple of two Repeatability
        Of the first and the second method.
    reproducibility : Repeatability
        Both taken as repeats of one method, as in a test and its retest.
    sample_sizes : tuple of (float, int or None)
        Half-width of the limits' interval (unit of the measurement; with logarithms a ratio) and pairs needed.
    outliers : tuple of Outlier
        Farthest first.
    verdict : str
        ``within``, ``outside`` or ``inconclusive`` against `options.acceptable`; empty without it.
    notes : tuple of str
        What has to be known to read the numbers.
    """

    paired: PairedMeasurements
    options: AgreementOptions
    limits: LimitsOfAgreement
    icc: Intraclass
    lin: Concordance
    repeatability: tuple[Repeatability, Repeatability]
    reproducibility: Repeatability
    sample_sizes: tuple[tuple[float, int | None], ...]
    outliers: tuple[Outlier, ...]
    verdict: str
    notes: tuple[str, ...]

    def shown(self, one: Estimate) -> Estimate:
        """Bias or limit as people read it: with logarithms the ratio of first to second."""
        if not (self.options.log and one.is_known):
            return one
        return Estimate(*(None if value is None else math.exp(value) for value in (one.value, one.low, one.high)))

    def points(self) -> list[tuple[Pair, float, float]]:
        """For the plot: pair, mean (geometric with logarithms), and difference or ratio."""
        found = []
        for pair, first, second in zip(self.paired.pairs, *_means(self.paired, self.options.log), strict=True):
            mean, difference = (first + second) / 2, first - second
            found.append((pair, *((math.exp(mean), math.exp(difference)) if self.options.log else (mean, difference))))
        return found


def analyse(paired: PairedMeasurements, options: AgreementOptions | None = None) -> Agreement:
    """Bland-Altman limits, intraclass correlation, Lin's concordance, repeatability, sample sizes and outliers.

    Parameters
    ----------
    paired : PairedMeasurements
    options : AgreementOptions, optional

    Raises
    ------
    TaskError
        If there are fewer than three pairs, or logarithms are wanted of values that are not above 0.
    """
    options = options or AgreementOptions()
    _require(paired, options)
    first, second = _means(paired, options.log)
    logged = [[_logs(side, options.log) for side in sides] for sides in _sides(paired)]
    # Coefficients are those of single measurements: the first repeat stands for a subject measured several times.
    single = np.array([[one[0] for one in side] for side in _sides(paired)], float).T
    limits = limits_of_agreement(first, second, options, [repeats_of(side) for side in logged])
    confidence, coverage = options.confidence, options.coverage
    within = tuple(repeatability(side, confidence, coverage) for side in _sides(paired))
    both = repeatability([tuple(row) for row in single], confidence, coverage)
    return Agreement(
        paired,
        options,
        limits,
        intraclass(single, confidence),
        concordance(single[:, 0], single[:, 1], confidence),
        within,
        both,
        _sample_sizes(limits, options),
        _outliers(paired, limits, options, first, second),
        _verdict(limits, options),
        tuple(_notes(paired, limits, options)),
    )


def _require(paired: PairedMeasurements, options: AgreementOptions) -> None:
    if len(paired.pairs) < FEWEST:
        one_sided = len(paired.unmatched_first) + len(paired.unmatched_second)
        msg = (
            f"Only {len(paired.pairs)} pairs of measurements: {FEWEST} are the least. {one_sided} identifiers are in "
            f"one of the two sets only, and {len(paired.left_out)} rows have no usable value."
        )
        if one_sided and not paired.pairs:
            examples = (*paired.unmatched_first[:1], *paired.unmatched_second[:1])
            msg += f" Are the identifiers the same? Some of them: {', '.join(examples)}."
        raise TaskError(msg)
    lowest = min(min(*pair.first, *pair.second) for pair in paired.pairs)
    if options.log and lowest <= 0:
        msg = f"Logarithms need values above 0, and there is one of {lowest:g}: analyse without them."
        raise TaskError(msg)


def _sides(paired: PairedMeasurements) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    return [pair.first for pair in paired.pairs], [pair.second for pair in paired.pairs]


def _logs(values: Sequence[float], log: bool) -> tuple[float, ...]:
    return tuple(math.log(value) for value in values) if log else tuple(values)


def _means(paired: PairedMeasurements, log: bool) -> tuple[list[float], list[float]]:
    return tuple([float(np.mean(_logs(one, log))) for one in side] for side in _sides(paired))


def _sample_sizes(limits: LimitsOfAgreement, options: AgreementOptions) -> tuple[tuple[float, int | None], ...]:
    if not limits.sd:
        return ()
    wanted = [fraction * limits.sd for fraction in FRACTIONS]
    if options.precision is not None:
        wanted.insert(0, math.log(options.precision) if options.log else options.precision)
    shown = (math.exp(one) if options.log else one for one in wanted)
    return tuple(
        (value, sample_size_for_limits(limits.sd, one, options)) for value, one in zip(shown, wanted, strict=True)
    )


def _outliers(
    paired: PairedMeasurements,
    limits: LimitsOfAgreement,
    options: AgreementOptions,
    first: Sequence[float],
    second: Sequence[float],
) -> tuple[Outlier, ...]:
    if limits.lower.value is None or limits.upper.value is None or not limits.sd:
        return ()
    found = []
    for pair, one, other in zip(paired.pairs, first, second, strict=True):
        difference = one - other
        if limits.lower.value <= difference <= limits.upper.value:
            continue
        side = "above the upper" if difference > limits.upper.value else "below the lower"
        distance = abs(difference - (limits.bias.value or 0.0)) / limits.sd
        reason = f"{side} limit of agreement, {distance:.1f} SD from the bias"
        shown = math.exp(difference) if options.log else difference
        found.append((distance, Outlier(pair.identifier, pair.series_uid, shown, reason, pair.files)))
    return tuple(one for _distance, one in sorted(found, key=lambda item: (-item[0], item[1].identifier)))


def _verdict(limits: LimitsOfAgreement, options: AgreementOptions) -> str:
    if options.acceptable is None or limits.lower.low is None or limits.upper.high is None:
        return ""
    allowed = math.log(options.acceptable) if options.log else options.acceptable
    if -allowed <= limits.lower.low and limits.upper.high <= allowed:
        return "within"
    # A limit is shown to lie outside when its whole interval does.
    return "outside" if limits.lower.high < -allowed or limits.upper.low > allowed else "inconclusive"


def _notes(paired: PairedMeasurements, limits: LimitsOfAgreement, options: AgreementOptions) -> list[str]:
    notes = list(paired.notes)
    if limits.sd == 0:
        notes.append("All differences are the same: the limits of agreement fall together.")
    if paired.has_repeats:
        notes.append(
            "Bias and limits are of single measurements, from the means of the repeats with their scatter added "
            "(Bland and Altman 1999, section 5); coefficients are of the first repeat of each."
        )
        if options.interval == EXACT and limits.method == MOVER:
            notes.append("With repeats there is no exact interval of the limits: it is by MOVER (Zou 2013).")
    if options.log:
        notes.append("Coefficients and repeatability are of the values as measured, not of their logarithms.")
    if limits.slope_p is not None and limits.slope_p < SUGGESTED_P:
        notes.append(
            f"The difference changes with the size (slope {limits.slope.value:.3g}, p = {limits.slope_p:.2g}): "
            "one pair of limits does not describe all sizes alike."
        )
    if limits.spread_p is not None and limits.spread_p < SUGGESTED_P:
        positive = min(min(*pair.first, *pair.second) for pair in paired.pairs) > 0
        advice = " Analyse logarithms." if positive and not options.log else ""
        notes.append(f"The scatter changes with the size (p = {limits.spread_p:.2g}).{advice}")
    if limits.normality_p is not None and limits.normality_p < SUGGESTED_P:
        notes.append(
            f"The differences are not normally distributed (Shapiro-Wilk, p = {limits.normality_p:.2g}): look at the "
            "plot; outliers may be errors, and the limits may hold another share than they say."
        )
    if len(paired.pairs) < 30:
        notes.append(f"{len(paired.pairs)} pairs are few: read the intervals, not the values alone.")
    return notes
