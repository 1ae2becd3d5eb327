"""Pictures of clusters and of learning: the embedding, the gap statistic, scores, importances."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..classification.evaluation.result import ModelScore
from ..cohort.clustering.gap import GapStatistic
from ..cohort.learning.boosting import Importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c564b", "#17a2a2", "#b5bd00",
)  # fmt: skip
_MARKERS = "os^DvP*Xph"
_GREY = "#9aa3ad"
_MOST_GROUPS = 20
_NAMED = 12


def embedding_png(positions: np.ndarray, groups: Sequence[str], title: str, no_group: str, display: str) -> bytes:
    """Each series as a point, coloured by group; shapes differ, too, for those who do not see colours.

    Parameters
    ----------
    positions : array, (series, 2)
    groups : sequence of str
        One for each series; an empty text: none.
    title : str
    no_group : str
        What the grey points are called.
    display : str
        "umap" or "pca".
    """
    figure, axes = _figure(6.2, 5.4)
    texts = np.asarray(groups, dtype=str)
    names, counts = np.unique(texts[texts != ""], return_counts=True)
    order = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], _natural(pair[0])))
    shown = sorted((name for name, _ in order[:_MOST_GROUPS]), key=_natural)
    size = float(np.clip(4000 / max(len(texts), 1), 4, 28))
    rest = ~np.isin(texts, shown)
    if rest.any():
        label = no_group if len(order) <= _MOST_GROUPS else f"{no_group}, or one of {len(order) - _MOST_GROUPS} more"
        axes.scatter(*positions[rest].T, s=size, c=_GREY, alpha=0.45, linewidths=0, label=f"{label} ({rest.sum():,})")
    for k, name in enumerate(shown):
        rows = texts == name
        axes.scatter(
            *positions[rows].T,
            s=size,
            color=_COLOURS[k % len(_COLOURS)],
            marker=_MARKERS[(k + k // len(_COLOURS)) % len(_MARKERS)],
            alpha=0.75,
            linewidths=0,
            label=f"{printable(name)} ({rows.sum():,})",
        )
    axes.set(title=printable(title, 60), xlabel=_axis_name(display, 1), ylabel=_axis_name(display, 2))
    if display == "umap":  # the numbers on the axes mean nothing
        axes.set_xticks([])
        axes.set_yticks([])
    columns = 1 if len(shown) <= _NAMED else 2
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False, markerscale=1.6, ncols=columns)
    return _png(figure)


def gap_png(gap: GapStatistic) -> bytes:
    """The gap of every number of clusters, and the one that was chosen."""
    figure, axes = _figure(5.2, 3.6)
    counts = np.arange(1, len(gap.gaps) + 1)
    axes.errorbar(counts, gap.gaps, yerr=gap.errors, color=_COLOURS[0], marker="o", markersize=4, capsize=3)
    axes.axvline(gap.best, color=_COLOURS[1], linestyle="--", linewidth=1, label=_chosen(gap))
    axes.set(
        xlabel="clusters (k-means)", ylabel="gap to data without structure", xticks=counts[:: 1 + len(counts) // 15]
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8.5)
    return _png(figure)


def scores_png(scores: Sequence[ModelScore]) -> bytes:
    """AUROC of every model with its interval."""
    shown = [score for score in scores if score.auroc.value is not None]
    figure, axes = _figure(6.4, 0.9 + 0.42 * max(len(shown), 1))
    for k, score in enumerate(shown):
        area = score.auroc
        low, high = (area.value if limit is None else limit for limit in (area.low, area.high))
        axes.plot((low, high), (k, k), color=_COLOURS[0], linewidth=2)
        axes.plot(area.value, k, "o", color=_COLOURS[0], markersize=6)
    axes.axvline(0.5, color=_GREY, linestyle="--", linewidth=1)
    lows = [score.auroc.low for score in shown if score.auroc.low is not None]
    axes.set_yticks(range(len(shown)), [printable(score.name) for score in shown])
    axes.set(
        xlabel="AUROC on test patients with 95 % interval (dashed: guessing)", xlim=(min([0.45, *lows]) - 0.02, 1.02)
    )
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def importance_png(found: Sequence[Importance], most: int = 15) -> bytes:
    """How much each of the first features moves an answer; blue speaks for the class with higher values."""
    shown = found[:most]
    figure, axes = _figure(6.4, 1.0 + 0.28 * max(len(shown), 1))
    colours = [_COLOURS[0] if one.direction > 0.1 else _COLOURS[1] if one.direction < -0.1 else _GREY for one in shown]
    axes.barh(range(len(shown)), [one.shap for one in shown], color=colours)
    axes.set_yticks(range(len(shown)), [printable(one.feature) for one in shown], fontsize=8.5)
    axes.set(xlabel="mean absolute SHAP value (log odds)")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def printable(text: str, longest: int = 34) -> str:
    """One line of bounded length, without what matplotlib takes for mathematics."""
    text = "".join(c if c.isprintable() else "?" for c in text).replace("$", r"\$")
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _chosen(gap: GapStatistic) -> str:
    return "1: no structure" if gap.best == 1 else f"{gap.best} clusters"


def _axis_name(display: str, number: int) -> str:
    return f"UMAP {number} (no unit)" if display == "umap" else f"principal component {number}"


def _natural(text: str) -> tuple:
    digits = "".join(c for c in text if c.isdecimal())
    return (int(digits) if digits else 0, text)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight")
    return buffer.getvalue()
