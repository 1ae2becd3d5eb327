"""A study of agreement as one HTML page that needs nothing else: for people, with Slicer or without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..html import GOOD, NOTE, WARNING, Html, details, element, figure, figures, notice, page, paragraph, table
from .analysis import Agreement, Outlier
from .document import number, rows_of, text_of, verdict_text
from .estimate import INTERVALS, Estimate
from .plots import bland_altman_png, scatter_png, segments_png
from .segment_study import METRICS, SegmentStudy, describe, outliers

MOST_LISTED = 200
SOURCES = (
    "Bland JM, Altman DG. Lancet 1986;1:307–310, and Stat Methods Med Res 1999;8:135–160 (limits of agreement).",
    "Carkeet A. Optom Vis Sci 2015;92:e71–e80 (exact intervals); Zou GY. Stat Methods Med Res 2013;22:630–642 (MOVER).",
    "Shrout PE, Fleiss JL. Psychol Bull 1979;86:420–428; McGraw KO, Wong SP. Psychol Methods 1996;1:30–46 (ICC).",
    "Lin LI. Biometrics 1989;45:255–268, corrected 2000;56:324–325 (concordance).",
)


def report_html(
    agreements: Sequence[Agreement], study: SegmentStudy | None = None, title: str = "Agreement", version: str = ""
) -> str:
    """The page.

    Parameters
    ----------
    agreements : sequence of Agreement
        One for each quantity.
    study : SegmentStudy, optional
        The segmentations that the volumes are of.
    title : str
    version : str
        Of the program.
    """
    parts = [_intro(agreements, study)]
    if study is not None:
        parts += _overlap(study)
    for one in agreements:
        parts += _quantity(one)
    parts += _left_out(agreements, study)
    parts += [element("h2", "How it was computed"), *_methods(agreements, study)]
    made = f"Made by DicomAnalysis {version}".rstrip()
    parts.append(paragraph(f"{made}. For research; not a medical device.", "faint"))
    return page(title, parts)


def _intro(agreements: Sequence[Agreement], study: SegmentStudy | None) -> Html:
    names = study.names if study is not None else agreements[0].paired.names
    text = f"{names[0]} against {names[1]}. Differences are the first minus the second."
    if study is not None:
        pairs = len({(row.identifier, row.repeat) for row in study.rows})
        text += f" {pairs} pairs of segmentations."
    return paragraph(text, "lead")


def _quantity(agreement: Agreement) -> list[Html]:
    paired = agreement.paired
    quantity = paired.quantity or "Measurements"
    name = quantity[:1].upper() + quantity[1:] + (f" ({paired.unit})" if paired.unit else "")
    parts = [element("h2", f"{name}: {len(paired.pairs)} pairs")]
    if agreement.verdict:
        kind, title = {
            "within": (GOOD, "Within the acceptable difference"),
            "outside": (WARNING, "Beyond the acceptable difference"),
            "inconclusive": (NOTE, "Not decided"),
        }[agreement.verdict]
        parts.append(notice(kind, title, [verdict_text(agreement)]))
    difference = "Ratio" if agreement.options.log else "Difference"
    alt = f"Bland-Altman plot. {difference} over mean: bias {text_of(agreement.shown(agreement.limits.bias))}."
    other = f"{paired.names[0]} over {paired.names[1]} with the line of identity."
    parts.append(
        figures([figure(bland_altman_png(agreement), alt, width=680), figure(scatter_png(agreement), other, width=380)])
    )
    if agreement.notes:
        parts.append(notice(NOTE, "Please note", agreement.notes))
    level = f"{100 * agreement.options.confidence:g} % interval"
    known = [(label, *_cells(one), unit) for label, one, unit in rows_of(agreement) if one.is_known]
    parts.append(table(("", "Value", level, "Unit or remark"), known, numbers=(1, 2)))
    unknown = [f"{label}: {one.reason}." for label, one, _unit in rows_of(agreement) if not one.is_known]
    parts += [paragraph(line, "faint") for line in unknown]
    parts.append(paragraph(f"Intervals of the limits: {INTERVALS[agreement.limits.method]}.", "faint"))
    parts += _sample_sizes(agreement)
    if agreement.outliers:
        expected = 100 * (1 - agreement.options.coverage)
        parts += [
            element("h3", f"Outside the limits: {len(agreement.outliers)} of {len(paired.pairs)}"),
            paragraph(f"About {expected:.3g} % are expected there.", "faint"),
            _outliers(agreement.outliers, "Ratio" if agreement.options.log else f"Difference ({paired.unit or '1'})"),
        ]
    return parts


def _cells(one: Estimate) -> tuple[str, str]:
    interval = one.reason if one.low is None else f"{number(one.low)} to {number(one.high)}"
    return number(one.value), interval


def _sample_sizes(agreement: Agreement) -> list[Html]:
    if not agreement.sample_sizes:
        return []
    log = agreement.options.log
    wanted = agreement.options.precision is not None
    rows = []
    for place, (width, count) in enumerate(agreement.sample_sizes):
        shown = f"a factor of {number(width)}" if log else f"±{number(width)} {agreement.paired.unit}".rstrip()
        pairs = "more than a million" if count is None else f"{count}"
        rows.append((f"{shown} (wanted)" if wanted and place == 0 else shown, pairs))
    text = "Pairs that a study needs for limits of agreement known to within, at the SD of the differences found here:"
    titles = ("Half-width of the interval", "Pairs")
    return [element("h3", "Sample size"), paragraph(text), table(titles, rows, numbers=(1,))]


def _overlap(study: SegmentStudy) -> list[Html]:
    picture = figure(
        segments_png(study), "Dice, Hausdorff 95 and surface distance of every pair by segment.", width=900
    )
    parts = [element("h2", "Overlap and distances"), picture]
    rows = []
    for segment in study.segments:
        for metric, label in METRICS.items():
            told = describe(study.of(segment), metric)
            numbers = ["" if told[key] is None else number(told[key], 3) for key in ("median", "mean", "sd")]
            spans = [
                "" if told[low] is None else f"{number(told[low], 3)} to {number(told[high], 3)}"
                for low, high in (("quartile_1", "quartile_3"), ("minimum", "maximum"))
            ]
            rows.append((segment, label, told["count"], told["undefined"] or "", *numbers, *spans))
    titles = ("Segment", "Metric", "Pairs", "Not defined", "Median", "Mean", "SD", "Quartiles", "Range")
    parts.append(table(titles, rows, numbers=range(2, 9)))
    odd = [(row.identifier, row.segment, row.remark) for row in study.rows if row.remark]
    if odd:
        more = "" if len(odd) <= MOST_LISTED else f" (the first {MOST_LISTED} are shown)"
        rows = table(("Identifier", "Segment", "Remark"), odd[:MOST_LISTED])
        parts.append(details(f"Comparisons with a remark: {len(odd)}{more}", rows))
    for segment in study.segments:
        found = outliers(study, segment)
        if found:
            parts += [element("h3", f"{segment}: look at these first"), _outliers(found, "Volume difference (ml)")]
    return parts


def _outliers(found: Iterable[Outlier], title: str) -> Html:
    rows = []
    for one in found:
        series = one.series_uid if one.series_uid != one.identifier else ""
        # The last folder and the name: a report is passed on, and the whole path is nobody's business.
        files = " · ".join("/".join(Path(file).parts[-2:]) for file in one.files)
        rows.append((one.identifier, number(one.difference), one.reason, series, files))
    used = [place for place in range(5) if place < 3 or any(row[place] for row in rows)]
    titles = ("Identifier", title, "Why", "Series Instance UID", "Files")
    return table([titles[place] for place in used], [[row[place] for place in used] for row in rows], numbers=(1,))


def _left_out(agreements: Sequence[Agreement], study: SegmentStudy | None) -> list[Html]:
    source = study if study is not None else agreements[0].paired
    lists = [
        (f"Only in {source.names[0]}", source.unmatched_first),
        (f"Only in {source.names[1]}", source.unmatched_second),
        ("Left out", study.problems if study is not None else agreements[0].paired.left_out),
    ]
    parts = []
    for title, lines in lists:
        if lines:
            more = [f"and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else []
            parts.append(notice(WARNING, f"{title}: {len(lines)}", [*lines[:MOST_LISTED], *more]))
    return [element("h2", "Not compared"), *parts] if parts else []


def _methods(agreements: Sequence[Agreement], study: SegmentStudy | None) -> list[Html]:
    lines = []
    if study is not None:
        lines.append(
            "Dice, Hausdorff distance (95th percentile, the larger of both directions) and average surface distance "
            "(mean over both surfaces) by MONAI, in mm. Where grids differ, the first is resampled by nearest voxel "
            "onto the grid of the second; volumes are those of each one's own grid."
        )
    if agreements:
        z = replace(agreements[0].options, multiplier=None).z
        lines.append(
            "ICC(2,1): two-way random effects, absolute agreement, one measurement; ICC(3,1): two-way mixed effects, "
            "consistency, one measurement; intervals by the F distribution. Lin's concordance: interval by Fisher's z. "
            f"Repeatability coefficient: {z:.3g}·√2·within-subject SD. Reproducibility coefficient: the same with the "
            "two sets taken as repeats. Their intervals are by the chi-squared distribution."
        )
    return [*(paragraph(line) for line in lines), *(paragraph(one, "faint") for one in SOURCES)]
