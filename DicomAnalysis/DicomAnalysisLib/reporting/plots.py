"""Plots of what was measured along a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files.atomic import atomic_path

CLIP_HU = 3071
"""Highest value of a 12-bit scanner (4095 - 1024)."""


def plot_slice_maximum(description: Mapping[str, object], path: Path | str) -> None:
    """Draw the largest value of every slice over its position, as PNG.

    Parameters
    ----------
    description : mapping
        From `reporting.info.describe`: ``slice_max``, ``slice_positions_mm``, ``series_uid``.
    path : path

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values: Sequence[float] = description["slice_max"]  # type: ignore[assignment]
    positions: Sequence[float] = description["slice_positions_mm"]  # type: ignore[assignment]
    unit = "HU" if description.get("modality", "CT") == "CT" else "value"
    figure = Figure(figsize=(9, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(positions, values, color="#2b7bba", linewidth=1.2, marker="o", markersize=3)
    highest = max(range(len(values)), key=values.__getitem__)
    axes.annotate(
        f"slice {highest + 1}: {values[highest]:g} {unit}",
        (positions[highest], values[highest]),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
    )
    if unit == "HU" and values[highest] == CLIP_HU:
        axes.axhline(CLIP_HU, color="#c25b4e", linewidth=0.8, linestyle="--")
        axes.annotate(
            f"{CLIP_HU} HU: a 12-bit scanner clips here",
            (1, CLIP_HU),
            xytext=(-4, -12),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            color="#c25b4e",
        )
    axes.margins(y=0.15)
    axes.grid(alpha=0.3)
    axes.set_xlabel("position along the slice normal (mm)")
    axes.set_ylabel(f"largest value in the slice ({unit})")
    axes.set_title(f"Series {_printable(str(description.get('series_uid', '')))}", fontsize=10, parse_math=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:64]) or "(no UID)"
