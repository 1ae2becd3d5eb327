"""The curves of a training as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files.atomic import atomic_path
from .fit_options import EpochRecord

NAME = "curves.png"


def write_curves(
    folder: Path, history: Sequence[EpochRecord], class_names: Sequence[str] = (), measure: str = "Dice"
) -> Path:
    """Draw losses and scores over epochs; the best epoch is marked.

    Parameters
    ----------
    folder : Path
    history : sequence of EpochRecord
    class_names : sequence of str
        Of the foreground classes, or of those that are scored.
    measure : str
        What the scores are.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    epochs = [record.epoch for record in history]
    marker = "o" if len(epochs) < 30 else ""
    losses.plot(epochs, [r.training_loss for r in history], marker=marker, markersize=3, label="training")
    losses.plot(epochs, [r.validation_loss for r in history], marker=marker, markersize=3, label="validation")
    losses.set(xlabel="epoch", ylabel="loss", title="Loss")
    for index in range(len(history[0].class_scores)):
        name = class_names[index] if index < len(class_names) else f"class {index + 1}"
        values = [float("nan") if r.class_scores[index] is None else r.class_scores[index] for r in history]
        scores.plot(epochs, values, linewidth=1, label=name)
    if len(history[0].class_scores) > 1:
        scores.plot(epochs, [r.score for r in history], color="black", marker=marker, markersize=3, label="mean")
    best = next(record for record in reversed(history) if record.is_best)
    scores.axvline(best.epoch, color="grey", linestyle=":", label=f"best: {best.score:.3f}")
    title = "Validation, voxels of all patients together" if measure == "Dice" else "Validation patients"
    scores.set(xlabel="epoch", ylabel=measure, ylim=(0, 1.02), title=title)
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        axes.legend()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    with atomic_path(folder / NAME) as temporary:
        FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})
    return folder / NAME
