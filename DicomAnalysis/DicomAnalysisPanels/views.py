"""What the user sees change in the application's views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer


def show_volume(volume_node: slicer.vtkMRMLScalarVolumeNode, fit: bool = False) -> None:
    """Put a volume behind everything else in the slice views."""
    # Fitting needs views; there are none without a main window.
    slicer.util.setSliceViewerLayers(background=volume_node, fit=fit and slicer.app.layoutManager() is not None)


class ResultLayout:
    """Makes room for a table and a plot beside the other views, and gives the views back their places.

    A layout that the user chose meanwhile is left as it is.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        self._ours: int | None = None

    def show(self, table: bool, plot: bool) -> None:
        """Show a table view, a plot view, both, or neither: the layout there was before."""
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        if manager.layout != self._ours:
            self._before, self._ours = manager.layout, None
        if not (table or plot):
            if self._ours is not None:
                manager.setLayout(self._before)
            self._ours = None
            return
        layout = self._before
        if plot:
            layout = slicer.modules.plots.logic().GetLayoutWithPlot(layout)
        if table:
            layout = slicer.modules.tables.logic().GetLayoutWithTable(layout)
        manager.setLayout(layout)
        self._ours = manager.layout


def show_in_table_view(table_node: slicer.vtkMRMLTableNode) -> None:
    """Show a table in the table views."""
    application_logic = slicer.app.applicationLogic()
    application_logic.GetSelectionNode().SetActiveTableID(table_node.GetID())
    application_logic.PropagateTableSelection()


def show_in_plot_view(chart_node: slicer.vtkMRMLPlotChartNode) -> None:
    """Show a chart in the plot views."""
    application_logic = slicer.app.applicationLogic()
    application_logic.GetSelectionNode().SetActivePlotChartID(chart_node.GetID())
    application_logic.PropagatePlotChartSelection()


def show_in_3d(segmentation_node: slicer.vtkMRMLSegmentationNode, shown: bool) -> None:
    """Make the surfaces of a segmentation and show them in the 3-D views, or take them away."""
    if shown:
        segmentation_node.CreateClosedSurfaceRepresentation()
        segmentation_node.GetDisplayNode().SetVisibility3D(True)
        if slicer.app.layoutManager() is not None:
            slicer.util.resetThreeDViews()
    else:
        segmentation_node.RemoveClosedSurfaceRepresentation()


def is_in_3d(segmentation_node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether a segmentation has surfaces."""
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return segmentation_node.GetSegmentation().ContainsRepresentation(name)


def show_overlay(volume_node: slicer.vtkMRMLScalarVolumeNode, overlay_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Put an overlay in front of a volume in the slice views, half transparent."""
    from DicomAnalysisLib.mrml.classification import OPACITY

    slicer.util.setSliceViewerLayers(background=volume_node, foreground=overlay_node, foregroundOpacity=OPACITY)


def hide_overlay() -> None:
    """Take away what is in front of volumes in the slice views."""
    slicer.util.setSliceViewerLayers(foreground=None)


def observe_points(slot: Callable[[Any], None]) -> Callable[[], None]:
    """Call `slot` with the vtkChartXY when points were chosen in a plot view, by a click or a frame around them.

    Plot views that are there now; each is connected once. What is returned lets the mouse do again in them what it
    did before: it moves a plot, where it does not choose points.
    """
    choosing = slicer.vtkMRMLPlotViewNode.InteractionModeSelectPoints
    before = []
    for view in _views("plot"):
        node = view.mrmlPlotViewNode()
        if node is not None:
            before.append((node, node.GetInteractionMode()))
            node.SetInteractionMode(choosing)
        if _is_new(view, slot):
            later = _Later(lambda view=view: slot(view.chart()))
            view.connect("dataSelected(vtkStringArray*,vtkCollection*)", later.start)

    def leave() -> None:
        for node, mode in before:
            if node.GetInteractionMode() == choosing:  # else the user chose another one
                node.SetInteractionMode(mode)

    return leave


class _Later:
    """Calls once the event is over: a click tells of itself before the point is chosen."""

    def __init__(self, call: Callable[[], None]):
        import qt

        self._call, self._timer = call, qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._now)

    def start(self, *_arguments: Any) -> None:
        """Something happened."""
        self._timer.start()

    def _now(self) -> None:
        self._timer.stop()
        self._call()


def observe_rows(slot: Callable[[Any, str], None]) -> None:
    """Call `slot` with the table node, and the text of the row's first cell, at a double click in a table view."""
    for view in _views("table"):
        if _is_new(view, slot):
            view.connect(
                "doubleClicked(QModelIndex)",
                lambda index, view=view: slot(view.mrmlTableNode(), str(index.sibling(index.row(), 0).data())),
            )


_observed: list[tuple[Any, Any]] = []


def _is_new(view: Any, slot: Any) -> bool:
    if any(one is view and other == slot for one, other in _observed):
        return False
    _observed.append((view, slot))
    return True


def _views(kind: str) -> list[Any]:
    """The plot or table views of the layout."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    widget, view = f"{kind}Widget", f"{kind}View"
    return [getattr(getattr(manager, widget)(number), view)() for number in range(getattr(manager, f"{kind}ViewCount"))]
