"""What a training says while it runs and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _


def epoch_text(history: Sequence[Mapping[str, Any]], measure: str) -> str:
    """The last epoch, and the best one so far; `measure` is what the score is."""
    if not history:
        return ""
    last = history[-1]
    best = next((one for one in reversed(history) if one["is_best"]), last)
    return _(
        "Epoch {epoch}: loss {loss:.3f}, validation {validation:.3f}, {measure} {score:.3f}. "
        "Best: {best:.3f} in epoch {at}."
    ).format(
        epoch=last["epoch"],
        loss=last["training_loss"],
        validation=last["validation_loss"],
        measure=measure,
        score=last["score"],
        best=best["score"],
        at=best["epoch"],
    )


def why_stopped(values: Mapping[str, Any]) -> str:
    """Why no further epoch was begun."""
    return {
        "epochs": _("all epochs are done"),
        "patience": _("it no longer got better"),
        "minutes": _("the time was up"),
    }[values["stopped"]]


def ended_text(
    trained: str,
    values: Mapping[str, Any],
    measure: str,
    left_out: int,
    warnings: Sequence[str],
    scores: Sequence[str] = (),
) -> str:
    """What came out, in a few lines.

    Parameters
    ----------
    trained : str
        The first line: on what.
    values : mapping
        The result of the training.
    measure : str
        What the score is.
    left_out : int
        How much was not learned from.
    warnings : sequence of str
    scores : sequence of str
        Lines about the test patients.
    """
    best = _("Best epoch {epoch}: {measure} {score:.3f} on the validation patients.")
    lines = [trained, best.format(epoch=values["best_epoch"], measure=measure, score=values["best_score"]), *scores]
    if left_out:
        lines.append(_("Not learned from: {count}, listed in left-out.csv.").format(count=left_out))
    return "\n".join([*lines, *(_("Please look: {warning}").format(warning=one) for one in warnings)])
