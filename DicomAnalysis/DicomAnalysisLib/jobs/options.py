"""Options of a task to and from JSON."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UsageError
from ..segmentation.options import SegmentationOptions


def options_from(values: Mapping[str, object]) -> SegmentationOptions:
    """Segmentation options from their JSON form.

    Raises
    ------
    UsageError
        If an option is unknown or has no such value.
    """
    try:
        return SegmentationOptions(**{**values, "tasks": tuple(values.get("tasks", SegmentationOptions().tasks))})
    except TypeError as error:
        msg = f"The options of the task are not understood ({error})."
        raise UsageError(msg) from error
