"""Load a series of Slicer's DICOM database with this extension's own reader."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from .views import show_volume

if TYPE_CHECKING:
    from DicomAnalysis import DicomAnalysisLogic


class LoadPanel:
    """The list of CT series and the button that loads one.

    Parameters
    ----------
    ui : namespace of widgets
        ``loadCollapsibleButton, seriesSelector, refreshButton, loadSeriesButton``.
    logic : DicomAnalysisLogic
    loaded : callable
        Called with the volume node that was loaded.
    """

    def __init__(self, ui: SimpleNamespace, logic: DicomAnalysisLogic, loaded: Callable[[slicer.vtkMRMLNode], None]):
        self.ui = ui
        self.logic = logic
        self.loaded = loaded
        # Reading the list costs time in a large database: it waits until somebody wants to see it.
        ui.loadCollapsibleButton.connect("contentsCollapsed(bool)", self.on_collapsed)
        ui.refreshButton.connect("clicked(bool)", self.refresh)
        ui.loadSeriesButton.connect("clicked(bool)", self.load)
        ui.seriesSelector.connect("currentIndexChanged(int)", self.update)
        self.update()

    def on_collapsed(self, collapsed: bool) -> None:
        """Fill the list the first time it is opened."""
        if not collapsed and self.ui.seriesSelector.count == 0:
            self.refresh()

    def refresh(self) -> None:
        """Read the list of CT series from the database again."""
        selector = self.ui.seriesSelector
        selector.clear()
        for uid, label in self.logic.databaseSeries():
            selector.addItem(label, uid)
        self.update()

    def update(self) -> None:
        """The button can be clicked when there is a series to load; otherwise its tooltip says why not."""
        there = self.ui.seriesSelector.count > 0
        self.ui.loadSeriesButton.enabled = there
        self.ui.loadSeriesButton.toolTip = (
            _("Load the series as one volume, with every slice where it was acquired.")
            if there
            else _("There is no CT series in the list: add DICOM files in Slicer's DICOM module, then refresh it.")
        )

    def load(self) -> None:
        """Load the chosen series and show it."""
        selector = self.ui.seriesSelector
        with slicer.util.tryWithErrorDisplay(_("The series could not be loaded."), waitCursor=True):
            volume_node = self.logic.loadSeries(selector.itemData(selector.currentIndex))
            show_volume(volume_node, fit=True)
            self.loaded(volume_node)
