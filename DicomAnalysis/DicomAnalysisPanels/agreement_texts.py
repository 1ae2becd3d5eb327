"""What the page *Agreement* says: results in words, the cases to look at, and the columns it begins with."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

SHOWN_NOTES = 4


def suggested(rows: list[dict[str, str]]) -> tuple[str, str, str]:
    """Columns to begin with: a usual name for the case, and the first two of numbers."""
    from DicomAnalysisLib.reporting.agreement.tables import IDENTIFIERS, SERIES, guess, is_number

    titles = list(rows[0]) if rows else []
    identifier = guess(titles, IDENTIFIERS)
    others = [title for title in titles if title not in (identifier, guess(titles, SERIES))]
    numbers = [title for title in others if any(is_number(row[title]) for row in rows)]
    first, second = (*numbers, "", "")[:2]
    return identifier, first, second


def outliers_of(nodes: Any) -> list[Any]:
    """The cases to look at, each once: outside the limits, or with exceptional overlap."""
    from DicomAnalysisLib.reporting.agreement.segment_study import outliers

    found = [one for agreement in nodes.agreements for one in agreement.outliers]
    if nodes.study is not None:
        found += [one for segment in nodes.study.segments for one in outliers(nodes.study, segment)]
    return found


def result_text(nodes: Any) -> str:
    """What came out, in a few lines."""
    from DicomAnalysisLib.reporting.agreement.document import text_of, verdict_text
    from DicomAnalysisLib.reporting.agreement.segment_study import METRICS, describe

    lines = []
    if nodes.study is not None:
        for segment in nodes.study.segments:
            rows = nodes.study.of(segment)
            for metric in ("dice", "hausdorff95_mm", "surface_distance_mm"):
                told = describe(rows, metric)
                if told["median"] is not None:
                    lines.append(
                        _("{segment}: {metric}, median {value:.3g} ({low:.3g} to {high:.3g})").format(
                            segment=segment,
                            metric=METRICS[metric],
                            value=told["median"],
                            low=told["minimum"],
                            high=told["maximum"],
                        )
                    )
        lines += [_("Left out: {problem}").format(problem=problem) for problem in nodes.study.problems[:SHOWN_NOTES]]
    for one in nodes.agreements:
        limits, unit = one.limits, "" if one.options.log else f" {one.paired.unit}"
        lines.append(
            _("{pairs} pairs of {quantity}, {first} and {second}.").format(
                pairs=len(one.paired.pairs),
                quantity=one.paired.quantity or _("measurements"),
                first=one.paired.names[0],
                second=one.paired.names[1],
            )
        )
        for label, value in (
            (_("Bias"), limits.bias),
            (_("Lower limit"), limits.lower),
            (_("Upper limit"), limits.upper),
        ):
            lines.append(f"{label}: {text_of(one.shown(value), 3)}{unit}")
        lines.append(f"ICC(2,1): {text_of(one.icc.agreement, 3)}")
        lines.append(f"ICC(3,1): {text_of(one.icc.consistency, 3)}")
        lines.append(_("Lin's concordance: {value}").format(value=text_of(one.lin.coefficient, 3)))
        if one.verdict:
            lines.append(verdict_text(one))
        alone = len(one.paired.unmatched_first) + len(one.paired.unmatched_second)
        if alone:
            lines.append(_("{count} cases are in one of the two only.").format(count=alone))
        lines += [_("Please look: {note}").format(note=note) for note in one.notes[:SHOWN_NOTES]]
    return "\n".join([*lines, *nodes.remarks])


def measured_text(measured: Any) -> str:
    """A measurement of markups in a line or two."""
    text = f"{measured.quantity}: {measured.value:.2f} {measured.unit}"
    if measured.details:
        center = ", ".join(f"{value:.1f}" for value in measured.details["center_mm"])
        text += _("; residual {residual:.2f} mm, centre {center} (RAS, mm)").format(
            residual=measured.details["residual_mm"], center=center
        )
    return f"{text}\n{_('Please look: {note}').format(note=measured.remark)}" if measured.remark else text
