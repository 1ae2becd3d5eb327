"""What a study of agreement says, as rows of a table and as a document."""

from __future__ import annotations

from collections.abc import Mapping

from .analysis import Agreement
from .estimate import INTERVALS, Estimate, not_estimable


def rows_of(agreement: Agreement) -> list[tuple[str, Estimate, str]]:
    """The numbers for a table: name, estimate, unit or remark. The same for the report, the terminal and Slicer."""
    options, paired, limits = agreement.options, agreement.paired, agreement.limits
    unit = "ratio" if options.log else paired.unit
    share = f"{100 * options.coverage:g} %" if options.multiplier is None else f"{options.multiplier:g} SD"
    bias = "Bias (ratio of first to second)" if options.log else "Bias (mean of first minus second)"
    sd = not_estimable("too few pairs") if limits.sd is None else Estimate(limits.sd)
    rows = [
        (bias, agreement.shown(limits.bias), unit),
        ("SD of the differences", sd, "of logarithms" if options.log else paired.unit),
        (f"Lower limit of agreement ({share})", agreement.shown(limits.lower), unit),
        (f"Upper limit of agreement ({share})", agreement.shown(limits.upper), unit),
        ("Proportional bias (slope)", limits.slope, "per unit of the mean"),
        ("ICC(2,1), absolute agreement", agreement.icc.agreement, ""),
        ("ICC(3,1), consistency", agreement.icc.consistency, ""),
        ("Lin's concordance", agreement.lin.coefficient, ""),
    ]
    for name, one in zip(paired.names, agreement.repeatability, strict=True):
        rows.append((f"Repeatability coefficient, {name}", one.coefficient, paired.unit))
    rows.append(("Reproducibility coefficient", agreement.reproducibility.coefficient, paired.unit))
    return rows


def summary(agreement: Agreement) -> Mapping[str, object]:
    """The study as a document for JSON."""
    paired, limits, options = agreement.paired, agreement.limits, agreement.options
    return {
        "quantity": paired.quantity,
        "unit": paired.unit,
        "names": paired.names,
        "pairs": len(paired.pairs),
        "options": options,
        "interval_method": INTERVALS[limits.method],
        "bias": agreement.shown(limits.bias),
        "sd": limits.sd,
        "lower_limit": agreement.shown(limits.lower),
        "upper_limit": agreement.shown(limits.upper),
        "proportional_bias": {"slope": limits.slope, "p": limits.slope_p},
        "spread_p": limits.spread_p,
        "normality_p": limits.normality_p,
        "icc_2_1": agreement.icc.agreement,
        "icc_3_1": agreement.icc.consistency,
        "lin": agreement.lin,
        "repeatability": dict(zip(paired.names, agreement.repeatability, strict=True)),
        "reproducibility": agreement.reproducibility,
        "sample_sizes": [{"half_width": width, "pairs": count} for width, count in agreement.sample_sizes],
        "verdict": agreement.verdict,
        "outliers": agreement.outliers,
        "unmatched": {"first": paired.unmatched_first, "second": paired.unmatched_second},
        "left_out": paired.left_out,
        "notes": agreement.notes,
    }


def text_of(one: Estimate, digits: int = 4) -> str:
    """An estimate in words: ``-2.118 (-22.05 to 17.81)``, or why there is none."""
    if one.value is None:
        return one.reason
    value = number(one.value, digits)
    if one.low is None or one.high is None:
        return f"{value} ({one.reason})" if one.reason else value
    return f"{value} ({number(one.low, digits)} to {number(one.high, digits)})"


def number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, never in the form 1e+05."""
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    text = f"{float(f'{value:.{digits}g}'):.10f}".rstrip("0").rstrip(".")
    return text.replace("-", "\N{MINUS SIGN}") if text.startswith("-") else text


def verdict_text(agreement: Agreement) -> str:
    """Whether the limits keep within the acceptable difference, in a sentence; empty where none was given."""
    if not agreement.verdict:
        return ""
    options, unit = agreement.options, agreement.paired.unit
    allowed = f"a ratio of {options.acceptable:g}" if options.log else f"±{options.acceptable:g} {unit}".rstrip()
    if agreement.verdict == "within":
        return f"Both limits of agreement, with their intervals, keep within the acceptable difference of {allowed}."
    if agreement.verdict == "outside":
        return f"A limit of agreement, with its whole interval, lies beyond the acceptable difference of {allowed}."
    return (
        f"The data do not decide whether the limits of agreement keep within the acceptable difference of {allowed}: "
        "an interval reaches across it. More pairs are needed."
    )
