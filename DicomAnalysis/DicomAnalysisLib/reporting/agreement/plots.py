"""Pictures of a study of agreement, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .analysis import Agreement
from .document import number
from .estimate import Estimate
from .segment_study import METRICS, SegmentStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINT, OUTSIDE, BIAS, LIMIT = "#2b7bba", "#c2402e", "#333333", "#7a5195"
MOST_NAMED = 8
"""Outliers that get their identifier beside the point."""


def bland_altman_png(agreement: Agreement) -> bytes:
    """Difference over mean with bias, limits of agreement and their intervals; pairs outside are named."""
    figure, axes = _figure((8, 4.8))
    points = agreement.points()
    outside = [one.identifier for one in agreement.outliers]
    inner = [(x, y) for pair, x, y in points if pair.identifier not in outside]
    outer = {pair.identifier: (x, y) for pair, x, y in points if pair.identifier in outside}
    axes.scatter(*_columns(inner), s=22, color=POINT, alpha=0.8, linewidths=0, zorder=3)
    axes.scatter(*_columns(outer.values()), s=30, color=OUTSIDE, marker="D", linewidths=0, zorder=3)
    for identifier in outside[:MOST_NAMED]:
        axes.annotate(
            _short(identifier), outer[identifier], (5, 4), textcoords="offset points", fontsize=8, parse_math=False
        )
    limits, shown = agreement.limits, agreement.shown
    _line(axes, shown(limits.bias), BIAS, "bias")
    _line(axes, shown(limits.upper), LIMIT, "upper limit")
    _line(axes, shown(limits.lower), LIMIT, "lower limit")
    none = 1.0 if agreement.options.log else 0.0
    axes.axhline(none, color="#999999", linewidth=0.8, linestyle=":", zorder=1)
    _acceptable(axes, agreement)
    first, second = agreement.paired.names
    unit = f" ({agreement.paired.unit})" if agreement.paired.unit else ""
    axes.set_xlabel(
        f"{'geometric mean' if agreement.options.log else 'mean'} of {first} and {second}{unit}", parse_math=False
    )
    between = f"{first} / {second}" if agreement.options.log else f"{first} \N{MINUS SIGN} {second}{unit}"
    axes.set_ylabel(between, parse_math=False)
    if agreement.options.log:
        axes.set_yscale("log")
        from matplotlib.ticker import MaxNLocator, ScalarFormatter

        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_locator(MaxNLocator(1))
    axes.margins(x=0.08, y=0.12)
    return _png(figure)


def scatter_png(agreement: Agreement) -> bytes:
    """First over second with the line of identity."""
    figure, axes = _figure((4.8, 4.8))
    outside = {one.identifier for one in agreement.outliers}
    pairs = agreement.paired.pairs
    for wanted, colour, marker in ((False, POINT, "o"), (True, OUTSIDE, "D")):
        # The first repeat of each, as in the coefficients.
        chosen = [(pair.second[0], pair.first[0]) for pair in pairs if (pair.identifier in outside) is wanted]
        axes.scatter(*_columns(chosen), s=22, color=colour, marker=marker, alpha=0.8, linewidths=0, zorder=3)
    values = [value for pair in pairs for value in (pair.first[0], pair.second[0])]
    ends = min(values), max(values)
    room = 0.05 * (ends[1] - ends[0] or 1.0)
    ends = ends[0] - room, ends[1] + room
    axes.plot(ends, ends, color="#999999", linewidth=1, linestyle=":", label="identity")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    unit = f" ({agreement.paired.unit})" if agreement.paired.unit else ""
    axes.set_xlabel(f"{agreement.paired.names[1]}{unit}", parse_math=False)
    axes.set_ylabel(f"{agreement.paired.names[0]}{unit}", parse_math=False)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return _png(figure)


def segments_png(study: SegmentStudy) -> bytes:
    """Dice, Hausdorff 95 and surface distance of every pair, for each segment, with median and quartiles."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = study.segments
    metrics = ("dice", "hausdorff95_mm", "surface_distance_mm")
    figure = Figure(figsize=(9, 1.4 + 0.5 * max(3, len(names))), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    random = np.random.default_rng(0)
    for number_of, metric in enumerate(metrics, start=1):
        axes = figure.add_subplot(1, 3, number_of)
        for place, name in enumerate(names):
            values = [getattr(row, metric) for row in study.of(name) if getattr(row, metric) is not None]
            if not values:
                axes.text(0.5, place, "not defined", transform=axes.get_yaxis_transform(), ha="center", va="center")
                continue
            low, middle, high = np.percentile(values, (25, 50, 75))
            axes.barh(place, high - low, left=low, height=0.5, color=POINT, alpha=0.25)
            axes.plot([middle, middle], [place - 0.25, place + 0.25], color=POINT, linewidth=2)
            axes.scatter(values, place + random.uniform(-0.15, 0.15, len(values)), s=9, color=BIAS, linewidths=0)
        axes.set_yticks(range(len(names)), [_short(name) for name in names] if number_of == 1 else [""] * len(names))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_title(METRICS[metric], fontsize=9)
        axes.grid(axis="x", alpha=0.3)
        # Dice lies between 0 and 1; its axis shows where the values are, distances begin at 0.
        axes.set_xlim(*((None, 1.005) if metric == "dice" else (0, None)))
    return _png(figure)


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _line(axes: Axes, one: Estimate, colour: str, name: str) -> None:
    if one.value is None:
        return
    axes.axhline(one.value, color=colour, linewidth=1.2, linestyle="-" if name == "bias" else "--", zorder=2)
    if one.low is not None and one.high is not None:
        axes.axhspan(one.low, one.high, color=colour, alpha=0.08, linewidth=0, zorder=0)
    axes.annotate(
        f"{name}\n{number(one.value, 3)}",
        (1.0, one.value),
        (6, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
        annotation_clip=False,
    )


def _acceptable(axes: Axes, agreement: Agreement) -> None:
    allowed, log = agreement.options.acceptable, agreement.options.log
    if allowed is None:
        return
    for place in (1 / allowed, allowed) if log else (-allowed, allowed):
        axes.axhline(place, color="#2a9d5c", linewidth=1, linestyle="-.", zorder=1)
    axes.annotate(
        "acceptable",
        (0, allowed),
        (4, 3),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        fontsize=8,
        color="#2a9d5c",
    )


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _y in points], [y for _x, y in points]


def _short(text: str) -> str:
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 20 else f"{text[:8]}\N{HORIZONTAL ELLIPSIS}{text[-8:]}"


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
