"""Buttons that say why they cannot be clicked."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _


def enable(button: Any, purpose: str, reason: str = "") -> None:
    """Enable a button, or disable it with the reason in its tooltip."""
    button.enabled = not reason
    button.toolTip = reason or purpose


def why_not(volume_node: slicer.vtkMRMLNode | None) -> str:
    """Why a node cannot be segmented, in words for the user; empty where it can."""
    from DicomAnalysisLib.errors import TaskError
    from DicomAnalysisLib.mrml import require_scalar_volume

    try:
        require_scalar_volume(volume_node)
    except TaskError as error:
        return str(error)
    return ""


def why_busy(title: str) -> str:
    """Why nothing can be started while a task runs."""
    return _("Wait until this task has ended, or cancel it: {title}").format(title=title) if title else ""
