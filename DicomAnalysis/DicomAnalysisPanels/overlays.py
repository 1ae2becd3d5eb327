"""Which of a volume's overlays is shown: one for each target and class that a classifier explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def explanations_wanted(parameters: Any) -> str:
    """What the logic is to explain: every target, or nothing."""
    return "all" if parameters.classifyExplain else ""


class OverlayList:
    """A list of overlays, seen where there are several.

    Parameters
    ----------
    selector : ctk or Qt combo box
    changed : callable
        Called when the user has chosen another one.
    """

    def __init__(self, selector: Any, changed: Callable[[], None]):
        self._selector, self._changed = selector, changed
        self._nodes: tuple[Any, ...] = ()
        self._listed: tuple[str, ...] = ()
        self._chosen = ""
        self._filling = False
        selector.connect("currentIndexChanged(int)", self._choose)

    def fill(self, nodes: Sequence[Any], chosen: Any = None) -> Any:
        """List what overlays explain; returns the one to be shown, or None.

        Parameters
        ----------
        nodes : sequence of vtkMRMLScalarVolumeNode
        chosen : vtkMRMLScalarVolumeNode, optional
            The one to be shown from now on; by default the one that was, else the last one.
        """
        from DicomAnalysisLib.mrml.classification import EXPLAINED

        listed = tuple(node.GetID() for node in nodes)
        self._nodes = tuple(nodes)
        if chosen is not None:
            self._chosen = chosen.GetID()
        if self._chosen not in listed:
            self._chosen = listed[-1] if listed else ""
        self._filling = True
        if listed != self._listed:
            self._selector.clear()
            for node in nodes:
                self._selector.addItem(node.GetAttribute(EXPLAINED) or node.GetName())
            self._listed = listed
        if listed:
            self._selector.currentIndex = listed.index(self._chosen)
        self._filling = False
        self._selector.visible = len(listed) > 1
        return self._nodes[listed.index(self._chosen)] if listed else None

    def _choose(self, index: int) -> None:
        if not self._filling and 0 <= index < len(self._listed):
            self._chosen = self._listed[index]
            self._changed()
