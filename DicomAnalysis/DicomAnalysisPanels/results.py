"""Results of the chosen volume: in words, as table, plot and surfaces, beside the original, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from .buttons import enable, why_busy, why_not
from .pages import Shared
from .views import ResultLayout, is_in_3d, show_in_3d, show_in_plot_view, show_in_table_view, show_volume

if TYPE_CHECKING:
    from DicomAnalysisLib.segmentation.result import Segment, SegmentationResult

SHOWN_WARNINGS = 4


class ResultsPanel:
    """The section *Results* of the page *Segment*.

    Parameters
    ----------
    ui : namespace of widgets
        ``statusLabel, showTableButton, showPlotButton, show3DButton, compareButton, undoButton``.
    shared : Shared
    volume_node : callable
        Gives the volume whose results are meant, or None.
    """

    def __init__(self, ui: Any, shared: Shared, volume_node: Callable[[], Any]):
        self.ui = ui
        self.shared = shared
        self.logic = shared.logic
        self._volume_node = volume_node
        self._layout = ResultLayout()
        self._texts: dict[str, str] = {}
        self._shown_id = ""  # the volume that the views show results of
        ui.showTableButton.connect("clicked(bool)", self.show_table)
        ui.showPlotButton.connect("clicked(bool)", self.show_plot)
        ui.show3DButton.connect("clicked(bool)", self.show_3d)
        ui.compareButton.connect("clicked(bool)", self.compare)
        ui.undoButton.connect("clicked(bool)", self.undo)

    def show_table(self) -> None:
        """Button *Show table*: a table view while it is down, the earlier layout when it is up again."""
        table_node = self.logic.results(self._volume_node()).tableNode
        self._arrange()
        if self.ui.showTableButton.checked and table_node is not None:
            show_in_table_view(table_node)

    def show_plot(self) -> None:
        """Button *Show plot*: the largest value of every slice while it is down."""
        if self.ui.showPlotButton.checked:
            title = _("Plot the largest value of every slice")
            nodes = self.shared.tasks.run_here(title, lambda: self.logic.sliceMaximum(self._volume_node()))
            self.ui.showPlotButton.checked = nodes is not None
            self._arrange()
            if nodes is not None:
                show_in_plot_view(nodes.chart_node)
        else:
            self._arrange()

    def show_3d(self) -> None:
        """Button *Show in 3-D*."""
        node, shown = self.logic.results(self._volume_node()).segmentationNode, self.ui.show3DButton.checked
        self.shared.tasks.run_here(_("Show surfaces") if shown else _("Hide surfaces"), lambda: show_in_3d(node, shown))

    def compare(self) -> None:
        """Button *Compare*: the cleaned volume while it is down, the original while it is up."""
        cleaned = self.logic.results(self._volume_node()).cleanedVolumeNode
        show_volume(cleaned if self.ui.compareButton.checked else self._volume_node())

    def show_original(self, volume_node: Any) -> None:
        """Put a volume, not its cleaned copy, behind its segments in the slice views."""
        self.ui.compareButton.checked = False
        if volume_node is not None:
            show_volume(volume_node)

    def undo(self) -> None:
        """Button *Undo*: the scene as it was before the last result."""
        self.logic.undo()
        self.say(_("The last result was taken back."))
        self.shared.log.add(_("The last result was taken back."))
        self.show_original(self._volume_node())

    def say(self, text: str, volume_node: Any = None) -> None:
        """Show a message about a volume (the chosen one by default) for as long as that one is chosen."""
        node = volume_node or self._volume_node()
        if node is not None:
            self._texts[node.GetID()] = text
        self.update()

    def scene_closed(self) -> None:
        """Give the views back their places."""
        self.ui.showTableButton.checked = self.ui.showPlotButton.checked = False
        self._arrange()
        self._texts = {}
        self.update()

    def update(self) -> None:
        """Buttons can be clicked when they can do their work; otherwise their tooltip says why not."""
        ui, volume_node, busy = self.ui, self._volume_node(), why_busy(self.shared.tasks.title)
        results = self.logic.results(volume_node)
        ui.statusLabel.text = self._texts.get(volume_node.GetID(), "") if volume_node is not None else ""
        ui.statusLabel.visible = bool(ui.statusLabel.text)
        nothing = _("Nothing has been segmented in this volume yet.")
        enable(
            ui.showTableButton,
            _("Show volumes, places and values of the segments in a table; click again for the earlier layout."),
            "" if results.tableNode else nothing,
        )
        enable(
            ui.showPlotButton,
            _("Plot the largest value of every slice; click again for the earlier layout."),
            busy or why_not(volume_node),
        )
        enable(
            ui.show3DButton,
            _("Make surfaces of the segments and show them in the 3-D view."),
            busy or ("" if results.segmentationNode else nothing),
        )
        enable(
            ui.compareButton,
            _("Show the cleaned volume in the slice views; click again for the original."),
            "" if results.cleanedVolumeNode else _("There is no cleaned volume yet: segment the headrest."),
        )
        enable(
            ui.undoButton,
            _("Take the last result back: what it made is removed, what it changed is as it was."),
            busy or ("" if self.logic.canUndo() else _("There is no result of this session to take back.")),
        )
        ui.show3DButton.checked = bool(results.segmentationNode) and is_in_3d(results.segmentationNode)
        if not results.cleanedVolumeNode:
            ui.compareButton.checked = False
        self._follow(volume_node, results.tableNode)

    def _follow(self, volume_node: Any, table_node: Any) -> None:
        """Another volume was chosen, or the table is gone: table and plot that are shown must not be another's."""
        ui, volume_id = self.ui, volume_node.GetID() if volume_node is not None else ""
        other, self._shown_id = volume_id != self._shown_id, volume_id
        if other:
            ui.compareButton.checked = False
        if ui.showTableButton.checked and table_node is None:
            ui.showTableButton.checked = False
            self._arrange()
        elif ui.showTableButton.checked and other:
            show_in_table_view(table_node)
        if ui.showPlotButton.checked and other:
            ui.showPlotButton.checked = False
            self._arrange()

    def _arrange(self) -> None:
        self._layout.show(table=self.ui.showTableButton.checked, plot=self.ui.showPlotButton.checked)


def summary(result: SegmentationResult) -> str:
    """What was found, in a few lines."""
    lines = [segment_line(segment) for segment in result.segments]
    if result.threshold_hu is not None:
        lines.append(_("Metal is what lies above {hu:.0f} HU.").format(hu=result.threshold_hu))
    lines += [_("Please look: {warning}").format(warning=warning) for warning in result.warnings[:SHOWN_WARNINGS]]
    if len(result.warnings) > SHOWN_WARNINGS:
        more = len(result.warnings) - SHOWN_WARNINGS
        lines.append(_("{count} more warnings are in the segmentation's description.").format(count=more))
    return "\n".join(lines)


def segment_line(segment: Segment) -> str:
    """One segment in one line."""
    if not segment.mask.any():
        return _("{name}: none found.").format(name=segment.kind.name)
    ml, pieces = segment.measurements.get("volume_ml") or 0.0, segment.measurements.get("components")
    if pieces == 1:
        return _("{name}: {ml:.1f} ml in one piece.").format(name=segment.kind.name, ml=ml)
    return _("{name}: {ml:.1f} ml in {pieces} pieces.").format(name=segment.kind.name, ml=ml, pieces=pieces)
