"""A study of agreement as one HTML page that needs nothing else: for people, with Slicer or without."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from .analysis import Agreement
from .document import number, rows_of, text_of, verdict_text
from .estimate import INTERVALS
from .plots import bland_altman_png, scatter_png, segments_png
from .segment_study import METRICS, SegmentStudy, describe, outliers

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: .8rem 0; } th, td { padding: .25rem .7rem; text-align: left;
border-bottom: 1px solid #ddd; vertical-align: top; } td { overflow-wrap: anywhere; }
th { background: #f3f5f7; }
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.r { color: #555; } img { max-width: 100%; }
.plots { display: flex; gap: 1rem; align-items: flex-start; } .plots img { min-width: 0; }
.plots img:first-child { width: 62%; } .plots img:last-child { width: 37%; }
.verdict { padding: .6rem 1rem; border-left: 5px solid #888; background: #f3f5f7; }
.within { border-color: #2a9d5c; } .outside { border-color: #c2402e; } .inconclusive { border-color: #d9a400; }
.muted { color: #555; font-size: .9em; } details { margin: .5rem 0; }
@media print { body { max-width: none; margin: 0; } h2 { break-after: avoid; } tr, img { break-inside: avoid; } }
"""
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
    parts = [f"<h1>{escape(title)}</h1>", _intro(agreements, study)]
    if study is not None:
        parts += _overlap(study)
    for one in agreements:
        parts += _quantity(one)
    parts += _left_out(agreements, study)
    parts += ["<h2>How it was computed</h2>", *_methods(agreements, study)]
    made = f" {version}" if version else ""
    parts.append(f'<p class="muted">Made by DicomAnalysis{escape(made)}. For research; not a medical device.</p>')
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _intro(agreements: Sequence[Agreement], study: SegmentStudy | None) -> str:
    names = study.names if study is not None else agreements[0].paired.names
    text = f"<b>{escape(names[0])}</b> against <b>{escape(names[1])}</b>. Differences are the first minus the second."
    if study is not None:
        pairs = len({(row.identifier, row.repeat) for row in study.rows})
        text += f" {pairs} pairs of segmentations."
    return f"<p>{text}</p>"


def _quantity(agreement: Agreement) -> list[str]:
    paired = agreement.paired
    quantity = paired.quantity or "Measurements"
    name = quantity[:1].upper() + quantity[1:] + (f" ({paired.unit})" if paired.unit else "")
    parts = [f"<h2>{escape(name)}: {len(paired.pairs)} pairs</h2>"]
    verdict = verdict_text(agreement)
    if verdict:
        parts.append(f'<p class="verdict {agreement.verdict}">{escape(verdict)}</p>')
    difference = "Ratio" if agreement.options.log else "Difference"
    alt = f"Bland-Altman plot. {difference} over mean: bias {text_of(agreement.shown(agreement.limits.bias))}."
    parts += [
        '<div class="plots">',
        _picture(bland_altman_png(agreement), alt),
        _picture(scatter_png(agreement), f"{paired.names[0]} over {paired.names[1]} with the line of identity."),
        "</div>",
    ]
    parts += [f"<p>Please note: {escape(note)}</p>" for note in agreement.notes]
    level = f"{100 * agreement.options.confidence:g} % interval"
    rows = [(label, *_cells(one), unit) for label, one, unit in rows_of(agreement)]
    parts += _table(("", "Value", level, "Unit or remark"), rows, numbers=(1, 2))
    parts.append(f'<p class="muted">Intervals of the limits: {escape(INTERVALS[agreement.limits.method])}.</p>')
    parts += _sample_sizes(agreement)
    if agreement.outliers:
        expected = 100 * (1 - agreement.options.coverage)
        parts.append(
            f"<h3>Outside the limits: {len(agreement.outliers)} of {len(paired.pairs)}</h3>"
            f'<p class="muted">About {expected:g} % are expected there.</p>'
        )
        parts += _outliers(
            agreement.outliers, "Ratio" if agreement.options.log else f"Difference ({paired.unit or '1'})"
        )
    return parts


def _cells(one: object) -> tuple[str, str]:
    if one.value is None:
        return one.reason, ""
    interval = one.reason if one.low is None else f"{number(one.low)} to {number(one.high)}"
    return number(one.value), interval


def _sample_sizes(agreement: Agreement) -> list[str]:
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
    return [f"<h3>Sample size</h3><p>{text}</p>", *_table(("Half-width of the interval", "Pairs"), rows, numbers=(1,))]


def _overlap(study: SegmentStudy) -> list[str]:
    parts = ["<h2>Overlap and distances</h2>", _picture(segments_png(study), "Metrics of every pair by segment.")]
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
    parts += _table(titles, rows, numbers=range(2, 9))
    odd = [row for row in study.rows if row.remark]
    if odd:
        rows = [(row.identifier, row.segment, row.remark) for row in odd[:MOST_LISTED]]
        more = "" if len(odd) <= MOST_LISTED else f" (the first {MOST_LISTED})"
        parts += [
            f"<details open><summary>Comparisons with a remark: {len(odd)}{more}</summary>",
            *_table(("Identifier", "Segment", "Remark"), rows),
            "</details>",
        ]
    for segment in study.segments:
        found = outliers(study, segment)
        if found:
            parts.append(f"<h3>{escape(segment)}: look at these first</h3>")
            parts += _outliers(found, "Volume difference (ml)")
    return parts


def _outliers(found: Iterable[object], title: str) -> list[str]:
    rows = []
    for one in found:
        series = one.series_uid if one.series_uid != one.identifier else ""
        rows.append(
            (
                one.identifier,
                number(one.difference),
                one.reason,
                series,
                " · ".join("/".join(Path(file).parts[-2:]) for file in one.files),
            )
        )
    used = [place for place in range(5) if place < 3 or any(row[place] for row in rows)]
    titles = ("Identifier", title, "Why", "Series Instance UID", "Files")
    chosen = [[row[place] for place in used] for row in rows]
    return _table([titles[place] for place in used], chosen, numbers=(1,))


def _left_out(agreements: Sequence[Agreement], study: SegmentStudy | None) -> list[str]:
    source = study if study is not None else agreements[0].paired
    lists = [
        (f"Only in {source.names[0]}", source.unmatched_first),
        (f"Only in {source.names[1]}", source.unmatched_second),
        ("Left out", study.problems if study is not None else agreements[0].paired.left_out),
    ]
    parts = []
    for title, lines in lists:
        if lines:
            items = "".join(f"<li>{escape(line)}</li>" for line in lines[:MOST_LISTED])
            more = f"<li>and {len(lines) - MOST_LISTED} more</li>" if len(lines) > MOST_LISTED else ""
            parts.append(f"<h3>{escape(title)}: {len(lines)}</h3><ul>{items}{more}</ul>")
    return ["<h2>Not compared</h2>", *parts] if parts else []


def _methods(agreements: Sequence[Agreement], study: SegmentStudy | None) -> list[str]:
    lines = []
    if study is not None:
        lines.append(
            "Dice, Hausdorff distance (95th percentile, the larger of both directions) and average surface distance "
            "(mean over both surfaces) by MONAI, in mm. Where grids differ, the first is resampled by nearest voxel "
            "onto the grid of the second; volumes are those of each one's own grid."
        )
    if agreements:
        lines.append(
            "ICC(2,1): two-way random effects, absolute agreement, one measurement; ICC(3,1): two-way mixed effects, "
            "consistency, one measurement; intervals by the F distribution. Lin's concordance: interval by Fisher's z. "
            "Repeatability coefficient: 1.96·√2·within-subject SD. Reproducibility coefficient: the same with the two "
            "sets taken as repeats. Their intervals are by the chi-squared distribution."
        )
    return [*(f"<p>{escape(line)}</p>" for line in lines), *(f'<p class="muted">{escape(one)}</p>' for one in SOURCES)]


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int] = ()) -> list[str]:
    numbers = set(numbers)
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    parts = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    for row in rows:
        cells = (
            f"<td{' class=n' if place in numbers else ''}>{escape(str(cell))}</td>" for place, cell in enumerate(row)
        )
        parts.append(f"<tr>{''.join(cells)}</tr>")
    return [*parts, "</tbody></table>"]


def _class(is_number: bool, text: str) -> str:
    """Numbers stand to the right; a reason in place of one is text."""
    return "" if not is_number else " class=r" if text[:1].isalpha() and len(text) > 30 else " class=n"


def _picture(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(alt, quote=True)}" src="data:image/png;base64,{data}">'
