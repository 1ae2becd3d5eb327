"""Pictures of a classifier's scores: ROC and precision-recall, calibration, confusion, one interval for each class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..classification.cohort import MULTICLASS, MULTILABEL
from ..classification.evaluation.calibration import Reliability
from ..classification.evaluation.result import ClassScore, TargetScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, told apart by colour-blind readers."""

_GREY = "#8c959f"
_MOST_CURVES = 7
_MOST_NAMES = 25


def curves_png(score: TargetScore) -> bytes:
    """ROC and precision-recall curves of the estimable classes; of many classes those with the lowest AUROC."""
    figure, (left, right) = _figure(9.2, 4.3, 2)
    shown = [one for one in score.classes if one.estimable]
    # Of many, the ones that are told worst are those to look at.
    shown = sorted(shown, key=lambda one: one.auroc.value)[:_MOST_CURVES] if len(shown) > _MOST_CURVES else shown
    for one, colour in zip(shown, COLOURS, strict=False):
        name = printable(one.name)
        left.plot(*one.roc, color=colour, linewidth=1.8, label=f"{name}: {one.auroc.value:.2f}")
        right.step(
            *one.precision_recall,
            where="post",
            color=colour,
            linewidth=1.8,
            label=f"{name}: {one.average_precision.value:.2f}",
        )
        if len(shown) == 1:
            _mark_threshold(left, one)
            right.axhline(one.prevalence, color=_GREY, linestyle="--", linewidth=1, label="guessing")
    left.plot((0, 1), (0, 1), color=_GREY, linestyle="--", linewidth=1, label="guessing: 0.50")
    left.set(xlabel="false positive rate (1 - specificity)", ylabel="sensitivity", title="ROC (area)")
    right.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", title="Precision and recall (average precision)")
    for axes, place in ((left, "lower right"), (right, "best")):
        _unit_square(axes)
        _legend(axes, place)
    return _png(figure)


def calibration_png(score: TargetScore) -> bytes:
    """Reliability before and after temperature scaling, and how many cases said what."""
    figure, (axes, below) = _figure(4.9, 5.2, 2, heights=(3.2, 1))
    axes.plot((0, 1), (0, 1), color=_GREY, linestyle="--", linewidth=1, label="as it should be")
    same = abs(score.temperature - 1) < 1e-6
    drawn = [("as predicted", score.after)] if same else [("before", score.before), ("after", score.after)]
    for (name, curve), colour, marker in zip(drawn, COLOURS[1::-1][-len(drawn) :], ("s", "o"), strict=False):
        label = f"{name}: error {curve.error:.3f}"
        axes.plot(curve.said, curve.was, color=colour, linewidth=1, alpha=0.6)
        # Few cases make a small mark: a point that says little does not stand out.
        sizes = 14 + 160 * np.asarray(curve.counts) / max(1, *curve.counts)
        axes.scatter(curve.said, curve.was, s=sizes, color=colour, marker=marker, alpha=0.85, label=label)
    _unit_square(axes)
    what = {MULTICLASS: "class decided for", MULTILABEL: "all labels together"}.get(score.target.kind, "positive class")
    axes.set(ylabel="share in which it was so", title=f"Calibration, {what}")
    _legend(axes, "upper left")
    _counts(below, score.after)
    return _png(figure)


def confusion_png(score: TargetScore) -> bytes:
    """Test cases by truth and decision, with the share of each true class."""
    counts = score.confusion
    size = len(counts)
    side = min(9.0, 2.6 + 0.62 * size + (0.6 if size < 4 else 0))
    figure, (axes,) = _figure(side, side * 0.92, 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for row in range(size):
        for column in range(size):
            text = f"{counts[row, column]}" + (f"\n{shares[row, column]:.0%}" if size <= 8 else "")
            colour = "white" if shares[row, column] > 0.62 else "#1b1f24"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10 if size <= 8 else 7)
    names = [printable(name, _MOST_NAMES) for name in score.target.classes]
    turned = 0 if max(map(len, names)) * size < 40 else 40
    axes.set_xticks(range(size), names, rotation=turned, ha="right" if turned else "center")
    axes.set_yticks(range(size), names)
    axes.set(xlabel="decided", ylabel="true", title="Test cases (share of the true class)")
    return _png(figure)


def classes_png(classes: Sequence[ClassScore]) -> bytes:
    """AUROC of every class with its interval; classes that are not estimable say so."""
    figure, (axes,) = _figure(7.2, 1.3 + 0.27 * len(classes), 1)
    names = [printable(one.name, _MOST_NAMES) for one in classes]
    for row, one in enumerate(classes):
        area = one.auroc
        if area.value is None:
            text = f"not estimable ({one.positive_patients} positive, {one.negative_patients} negative patients)"
            axes.text(0.51, row, text, va="center", fontsize=8, color="#57606a")
            continue
        if area.low is not None:
            axes.plot((area.low, area.high), (row, row), color=COLOURS[0], linewidth=2)
        axes.plot(area.value, row, "o", color=COLOURS[0], markersize=6)
    axes.axvline(0.5, color=_GREY, linestyle="--", linewidth=1)
    lows = [one.auroc.low for one in classes if one.auroc.low is not None]
    axes.set_yticks(range(len(classes)), names)
    axes.set(xlabel="AUROC with 95 % interval (dashed: guessing)", xlim=(min([0.45, *lows]) - 0.02, 1.02))
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def printable(text: str, longest: int = 40) -> str:
    """Text that can be drawn: one line, of bounded length, without what matplotlib takes for mathematics."""
    text = "".join(c if c.isprintable() else "?" for c in text).replace("$", r"\$")
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _figure(width: float, height: float, count: int, heights: Sequence[float] = ()) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    found = figure.subplots(count, 1, sharex=True, height_ratios=heights) if heights else figure.subplots(1, count)
    axes = list(np.atleast_1d(found))
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)
    axes.grid(alpha=0.25)


def _legend(axes: Axes, place: str) -> None:
    axes.legend(loc=place, fontsize=8.5, framealpha=0.9)


def _mark_threshold(axes: Axes, one: ClassScore) -> None:
    place = (1 - one.specificity.value, one.sensitivity.value)
    axes.plot(*place, "o", color=COLOURS[1], markersize=7, label=f"threshold {one.threshold:.3g}, from validation")


def _counts(axes: Axes, curve: Reliability) -> None:
    axes.bar(curve.said, curve.counts, width=0.06, color=_GREY)
    axes.set(xlabel="probability that was said", ylabel="cases" if sum(curve.counts) else "")
    axes.margins(y=0.1)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
