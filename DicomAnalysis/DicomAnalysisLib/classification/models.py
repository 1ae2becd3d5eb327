"""Which classifiers there are, and what their folders say: known without torch and without weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError, UsageError

if TYPE_CHECKING:
    from ..networks.model_folder import Manifest

TASK = "classify"
"""``task`` in the description of a classifier."""


def shipped_classifiers() -> tuple[Manifest, ...]:
    """The classifiers that come with the program, by name; neither torch nor weights are needed."""
    from ..networks.model_folder import shipped_models

    return tuple(one for one in shipped_models() if one.description.task == TASK)


def read_classifier(name_or_folder: str | Path) -> Manifest:
    """What the folder of a classifier says about it, without torch and without its weights.

    A folder that ``train-classifier`` wrote may be given itself: its ``model`` is meant.

    Raises
    ------
    UsageError
        If there is no such model, or it does not classify.
    ModelError
        If its manifest is missing or was changed.
    """
    from ..networks.model_folder import MANIFEST, find_model, read_manifest

    inside = Path(name_or_folder) / "model"
    manifest = read_manifest(inside if (inside / MANIFEST).is_file() else find_model(name_or_folder))
    if manifest.description.task != TASK:
        msg = (
            f"The model {manifest.description.name} finds {manifest.description.task} and does not classify. "
            "Choose one that train-classifier made."
        )
        raise UsageError(msg)
    return manifest


def view_names(values: Mapping[str, object]) -> tuple[str, ...]:
    """The views that a model's description (its ``input``) names."""
    names = values.get("views")
    return tuple(str(one) for one in names) if isinstance(names, (list, tuple)) and names else ("",)


def temperatures(output: Mapping[str, object]) -> dict[str, float]:
    """By which the logits of each target are divided.

    Raises
    ------
    ModelError
        If one is not a number above 0.
    """
    values = output.get("temperature") or {}
    if not isinstance(values, Mapping) or not all(
        isinstance(one, (int, float)) and 0 < one < float("inf") for one in values.values()
    ):
        msg = "The model's description states a temperature that is not a number above 0. Train it again."
        raise ModelError(msg)
    return {str(name): float(one) for name, one in values.items()}
