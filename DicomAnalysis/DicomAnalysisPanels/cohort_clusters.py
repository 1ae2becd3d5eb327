"""The section *What was found* of the page *Cohort*: points in a plot, rows in a table, examples of each cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from .buttons import enable
from .cohort_texts import cluster_text, drawn_text, findings_text
from .folders import open_outside
from .pages import Shared
from .progress import shortened
from .views import ResultLayout, observe_points, observe_rows, show_in_plot_view, show_in_table_view, show_volume
from .widgets import fill_texts, say

SERIES_WIDTH, MONTAGE_WIDTH = 170, 340


class ClusterSection:
    """Shows clusters, and opens the series that a user chooses among them.

    Parameters
    ----------
    ui : namespace of widgets
    shared : Shared
    changed : callable
        Called when something else was chosen.

    Attributes
    ----------
    result : CohortClusters or None
        What is shown.
    nodes : CohortNodes or None
        Its table and plot in the scene.
    chosen : str
        The series that was chosen last.
    """

    def __init__(self, ui: Any, shared: Shared, changed: Callable[[], None]):
        self.ui, self.shared, self.logic, self._changed = ui, shared, shared.logic, changed
        self.result: Any = None
        self.nodes: Any = None
        self.chosen = ""
        self._layout = ResultLayout()
        self._examples: tuple[str, ...] = ()
        self._points: set[str] = set()  # chosen in the plot
        self._items: list[Any] = []
        self._filling = False
        self._leave: Callable[[], None] | None = None  # gives the plot views back what the mouse did in them
        ui.cohortExamplesTable.setColumnWidth(0, SERIES_WIDTH)
        ui.cohortPlotButton.connect("clicked(bool)", self.show_plot)
        ui.cohortTableButton.connect("clicked(bool)", self.show_table)
        ui.cohortLoadButton.connect("clicked(bool)", self.load)
        ui.cohortReportButton.connect("clicked(bool)", self.open_report)
        ui.cohortColorSelector.connect("currentIndexChanged(int)", self.color)
        ui.cohortClusterSelector.connect("currentIndexChanged(int)", self.choose_cluster)
        ui.cohortExamplesTable.connect("cellDoubleClicked(int,int)", self.load)
        ui.cohortExamplesTable.connect("itemSelectionChanged()", self.choose_example)

    def show(self, result: Any, with_plot: bool = False) -> None:
        """Show clusters (`CohortClusters`), or none."""
        ui = self.ui
        self.result, self.nodes, self.chosen = result, None, ""
        self._filling = True
        for selector in (ui.cohortColorSelector, ui.cohortClusterSelector):
            selector.clear()
        if result is not None:
            for label in (_("Cluster"), *result.explorer.labels):
                ui.cohortColorSelector.addItem(label)
            for one in result.explorer.clusters:
                title = _("Cluster {number} ({size} series)")
                ui.cohortClusterSelector.addItem(title.format(number=one.number, size=one.size))
        self._filling = False
        self._fill_examples()
        if result is None:
            self.close_views()
            return
        if with_plot:
            ui.cohortPlotButton.checked = True
        for button, show in ((ui.cohortPlotButton, self.show_plot), (ui.cohortTableButton, self.show_table)):
            if button.checked:
                show()

    def forget_nodes(self) -> None:
        """The scene was closed."""
        self.close_views()
        self.nodes = None

    def close_views(self) -> None:
        """Give the views back their places."""
        self.ui.cohortPlotButton.checked = self.ui.cohortTableButton.checked = False
        self._leave_points()
        self._arrange()

    def color(self, _index: int = 0) -> None:
        """Another colouring was chosen in the list."""
        if not self._filling and self.nodes is not None:
            self._put_into_scene()
            self._changed()

    def show_plot(self) -> None:
        """Button *Show plot*: the points in a plot view while it is down; a click on one loads its series."""
        self._leave_points()
        self._arrange()
        if self.ui.cohortPlotButton.checked:
            self._need_nodes()
            show_in_plot_view(self.nodes.chart_node)
            self._leave = observe_points(self.on_points)

    def show_table(self) -> None:
        """Button *Show table*: the series in a table view while it is down; a double click loads one."""
        self._arrange()
        if self.ui.cohortTableButton.checked:
            self._need_nodes()
            show_in_table_view(self.nodes.table_node)
            observe_rows(self.on_row)

    def on_points(self, chart: Any) -> None:
        """Points were chosen in a plot view: a single one is loaded; of several the first can be."""
        from DicomAnalysisLib.mrml.cohort import choose_only, chosen_series

        found = chosen_series(chart)
        new = [
            series for series in found if series not in self._points
        ] or found  # a click keeps other clusters' points
        if len(new) == 1:
            choose_only(chart, new[0])
        self._points = set(new if len(new) == 1 else found)
        self._choose_and_load(new)

    def on_row(self, table_node: Any, series: str) -> None:
        """A row was double-clicked in a table view: where it is one of the cohort, its series is loaded."""
        if self.nodes is not None and table_node is self.nodes.table_node and series:
            self._choose_and_load([series])

    def choose_cluster(self, _index: int = 0) -> None:
        """Another cluster was chosen in the list: its examples."""
        if not self._filling:
            self._fill_examples()
            self._changed()

    def choose_example(self) -> None:
        """A row of the examples was chosen."""
        row = self.ui.cohortExamplesTable.currentRow()
        if not self._filling and 0 <= row < len(self._examples):
            self.chosen = self._examples[row]
            self._changed()

    def load(self) -> None:
        """Button *Load series*, a double click, and a click on a point: the chosen series."""
        series, result = self.chosen, self.result
        if not series or result is None or self.shared.tasks.title:
            return
        volume_node = self.shared.tasks.run_here(
            _("Load a series"), lambda: self.logic.loadExample(result, series), series
        )
        if volume_node is not None:
            show_volume(volume_node, fit=True)

    def open_report(self) -> None:
        """Button *Open report*: in the system's browser."""
        open_outside(self.result.report)

    def update(self, busy: str) -> None:
        """Show what can be clicked."""
        ui, result = self.ui, self.result
        nothing = "" if result is not None else _("No clusters have been found yet.")
        say(ui.cohortFindingsLabel, self._findings())
        ui.cohortColorWidget.visible = result is not None and bool(result.explorer.labels)
        enable(ui.cohortPlotButton, _("Show the series as points; a click on one loads it."), nothing)
        enable(ui.cohortTableButton, _("Show the series in a table; a double click loads one."), nothing)
        no_report = nothing or ("" if result.report else _("There is no report in the output folder."))
        enable(ui.cohortReportButton, _("Open the report on clusters (HTML)."), no_report)
        ui.cohortClustersWidget.visible = result is not None and bool(result.explorer.clusters)
        say(ui.cohortChosenLabel, _("Chosen: {series}").format(series=shortened(self.chosen)) if self.chosen else "")
        ui.cohortChosenLabel.toolTip = self.chosen
        why = nothing or ("" if self.chosen else _("Select an example, or click on a point in the plot."))
        enable(ui.cohortLoadButton, _("Load the chosen series into the scene."), busy or why)

    def _choose_and_load(self, found: Sequence[str]) -> None:
        """One series is loaded; of several the first is chosen, and can be loaded by the button."""
        if found:
            self.chosen = found[0]
            self._changed()
        if len(found) == 1:
            self.load()

    def _need_nodes(self) -> None:
        """The scene is left alone until the user asks for something in it, also after it was closed."""
        if self.nodes is None or not (self.nodes.table_node.GetScene() and self.nodes.chart_node.GetScene()):
            self._put_into_scene()

    def _put_into_scene(self) -> None:
        index = self.ui.cohortColorSelector.currentIndex
        label = list(self.result.explorer.labels)[index - 1] if index > 0 else ""
        self.nodes = self.logic.showEmbedding(self.result, label)

    def _findings(self) -> str:
        if self.result is None:
            return ""
        explorer = self.result.explorer
        drawn = drawn_text(self.nodes.drawn, len(explorer.series)) if self.nodes is not None else ""
        return "\n".join(line for line in (findings_text(explorer.findings), drawn) if line)

    def _fill_examples(self) -> None:
        ui, index = self.ui, self.ui.cohortClusterSelector.currentIndex
        clusters = self.result.explorer.clusters if self.result is not None else ()
        one = clusters[index] if 0 <= index < len(clusters) else None
        self._examples = one.examples if one is not None else ()
        say(ui.cohortClusterLabel, cluster_text(one) if one is not None else "")
        picture = self.result.montages.get(one.number) if one is not None else None
        ui.cohortMontageLabel.visible = picture is not None
        if picture is not None:
            pixmap = qt.QPixmap(str(picture))
            pixmap = pixmap.scaledToWidth(MONTAGE_WIDTH, qt.Qt.SmoothTransformation)
            ui.cohortMontageLabel.setPixmap(pixmap)
            ui.cohortMontageLabel.minimumHeight = pixmap.height()  # else it is cut where the page is low
        patients = {}
        if one is not None:
            patients = dict(zip(self.result.explorer.series, self.result.explorer.patients, strict=True))
        self._filling = True
        self._items = fill_texts(ui.cohortExamplesTable, [(uid, patients.get(uid, "")) for uid in self._examples])
        self._filling = False

    def _arrange(self) -> None:
        self._layout.show(table=self.ui.cohortTableButton.checked, plot=self.ui.cohortPlotButton.checked)

    def _leave_points(self) -> None:
        if self._leave is not None:
            self._leave()
        self._leave = None
