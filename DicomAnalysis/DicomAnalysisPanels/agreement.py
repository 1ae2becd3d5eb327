"""The page *Agreement*: is one measurement as good as the other? And: measurements of markups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .agreement_texts import measured_text, outliers_of, result_text, suggested
from .buttons import enable, why_busy
from .columns import ColumnChoice
from .folders import choose_file, choose_folder, is_file, is_folder, open_outside
from .pages import PagePanel, Shared
from .parameters import AgreementSource
from .views import ResultLayout, show_in_plot_view, show_in_table_view, show_volume
from .widgets import fill_texts, say

NO_COLUMN = ""
WIDTHS = (120, 80)


class AgreementPanel(PagePanel):
    """Choices live in the parameter node; what came out in the scene, and for this session here.

    Parameters are those of `PagePanel`.
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        self._layout = ResultLayout()
        self._nodes: Any = None
        self._text, self._measured = "", ""
        self._outliers: list[Any] = []
        self._items: list[Any] = []  # Qt's own, but older PythonQt deletes what Python forgets
        self._filling = False
        self._selectors = (ui.agreementIdentifierSelector, ui.agreementColumn1Selector, ui.agreementColumn2Selector)
        self._columns = ColumnChoice(self._selectors, self._columns_of, self.update)
        for column, width in enumerate(WIDTHS):
            ui.agreementOutliersTable.setColumnWidth(column, width)
        ui.agreementButton.connect("clicked(bool)", self.compare)
        ui.agreementMeasureButton.connect("clicked(bool)", self.measure)
        ui.agreementFirstButton.connect("clicked(bool)", self.browse_first)
        ui.agreementSecondButton.connect("clicked(bool)", self.browse_second)
        ui.agreementOutputButton.connect("clicked(bool)", self.browse_output)
        ui.agreementTableButton.connect("clicked(bool)", self.show_table)
        ui.agreementPlotButton.connect("clicked(bool)", self.show_plot)
        ui.agreementReportButton.connect("clicked(bool)", self.write_report)
        ui.agreementLoadButton.connect("clicked(bool)", self.load)
        ui.agreementOutliersTable.connect("cellDoubleClicked(int,int)", self.load)
        ui.agreementOutliersTable.connect("itemSelectionChanged()", self.update)

    def compare(self) -> None:
        """Button *Compare*."""
        parameters, options = self.parameters, self._options()
        if parameters.agreementSource is AgreementSource.FOLDERS:
            if not self.has_packages("network", _("Overlap and distances")):
                return
            folders = parameters.agreementFirst.strip(), parameters.agreementSecond.strip()
            names = tuple(Path(folder).name for folder in folders)
            names = names if names[0] != names[1] else (_("first"), _("second"))
            self.shared.tasks.start(
                _("Compare segmentations"),
                lambda **calls: self.logic.compareSegmentations(*folders, names=names, **options, **calls),
                self._came_out,
            )
            return
        identifier, first, second = self._columns.chosen
        nodes = self.shared.tasks.run_here(
            _("Compare measurements"),
            lambda: self.logic.agreement(self._table(), columns=(first, second), identifier=identifier, **options),
        )
        if nodes is not None:
            self._came_out(nodes)
        self.update()

    def measure(self) -> None:
        """Button *Measure*."""
        parameters = self.parameters
        made = self.shared.tasks.run_here(
            _("Measure markups"),
            lambda: self.logic.addMeasurement(
                parameters.agreementMarkups,
                parameters.agreementRater.strip(),
                parameters.agreementCase.strip(),
                parameters.agreementFit.value,
            ),
        )
        self._measured = ""
        if made is not None:
            table_node, measured = made
            self._measured = measured_text(measured)
            parameters.agreementSource = AgreementSource.TABLE
            parameters.agreementTable = table_node
        self.update()

    def show_table(self) -> None:
        """Button *Show table*: a table view while it is down."""
        self._arrange()
        if self.ui.agreementTableButton.checked:
            show_in_table_view(self._nodes.tableNode)

    def show_plot(self) -> None:
        """Button *Show plot*: the Bland-Altman plot while it is down."""
        self._arrange()
        if self.ui.agreementPlotButton.checked:
            show_in_plot_view(self._nodes.chartNode)

    def write_report(self) -> None:
        """Button *Write report*: into the chosen folder, and shown by the system's browser."""
        if not self.has_packages("plots", _("Plots as pictures")):
            return
        folder, nodes = self.parameters.agreementOutput.strip(), self._nodes
        path = self.shared.tasks.run_here(
            _("Write the report"), lambda: self.logic.writeAgreement(folder, nodes, _("Agreement"))
        )
        if path is not None:
            open_outside(path)

    def load(self) -> None:
        """Button *Load series*, and a double click: the series of the selected case."""
        one = self._current()
        if one is None or not one.series_uid or self.shared.tasks.title:
            return
        volume_node = self.shared.tasks.run_here(
            _("Load a series"), lambda: self.logic.loadSeries(one.series_uid), one.series_uid
        )
        if volume_node is not None:
            show_volume(volume_node, fit=True)

    def browse_first(self) -> None:
        """Button *...* beside the first file or folder."""
        if self.parameters.agreementSource is AgreementSource.FILE:
            choose_file(self.parameters, "agreementFirst", _("Table of measurements"), "CSV (*.csv *.tsv)")
        else:
            choose_folder(self.parameters, "agreementFirst", _("Folder with segmentations"))

    def browse_second(self) -> None:
        """Button *...* beside the second folder."""
        choose_folder(self.parameters, "agreementSecond", _("Folder with segmentations of the reference"))

    def browse_output(self) -> None:
        """Button *...* beside the folder of the report."""
        choose_folder(self.parameters, "agreementOutput", _("Folder for the report"))

    def shown(self) -> None:
        """The page was opened: tables may have got other columns."""
        self._columns.forget()
        self.update()

    def scene_closed(self) -> None:
        """The nodes are gone with the scene."""
        self.ui.agreementTableButton.checked = self.ui.agreementPlotButton.checked = False
        self._arrange()
        self._nodes, self._text, self._measured = None, "", ""
        self._fill_outliers([])
        self.update()

    def update(self) -> None:
        """Show what fits the choices, and what can be clicked."""
        if self.parameters is None or self._filling:
            return
        ui, source, busy = self.ui, self.parameters.agreementSource, why_busy(self.shared.tasks.title)
        is_table, is_folders = source is AgreementSource.TABLE, source is AgreementSource.FOLDERS
        for widget in (ui.agreementTableLabel, ui.agreementTableSelector):
            widget.visible = is_table
        ui.agreementFirstLabel.text = _("First folder:") if is_folders else _("CSV file:")
        for widget in (ui.agreementFirstLabel, ui.agreementFirstLineEdit, ui.agreementFirstButton):
            widget.visible = not is_table
        for widget in (ui.agreementSecondLabel, ui.agreementSecondLineEdit, ui.agreementSecondButton):
            widget.visible = is_folders
        labels = (ui.agreementIdentifierLabel, ui.agreementColumn1Label, ui.agreementColumn2Label)
        for widget in (*labels, *self._selectors):
            widget.visible = not is_folders
        self._columns.follow(self._table() if self._has_table() else None)
        say(ui.agreementStatusLabel, self._text)
        say(ui.agreementMeasureStatusLabel, self._measured)
        enable(ui.agreementButton, _("Compare the two, with plot and table."), busy or self._why_not())
        why = _("Select markups.") if self.parameters.agreementMarkups is None else ""
        why = why or ("" if self.parameters.agreementRater.strip() else _("Say who measures."))
        enable(ui.agreementMeasureButton, _("Measure, and put the value into the rater's column."), busy or why)
        self._update_results(busy)

    def _update_results(self, busy: str) -> None:
        ui, nodes = self.ui, self._nodes
        nothing = "" if nodes is not None else _("Nothing has been compared yet.")
        no_plot = nothing or ("" if nodes.chartNode else _("There are too few pairs for limits of agreement."))
        removed = _("It was removed from the scene: compare again.")
        no_table = nothing or ("" if nodes.tableNode.GetScene() else removed)
        no_plot = no_plot or ("" if nodes.chartNode.GetScene() else removed)
        enable(ui.agreementTableButton, _("Show the numbers in a table view."), no_table)
        enable(ui.agreementPlotButton, _("Show the Bland-Altman plot in a plot view."), no_plot)
        for button, reason in ((ui.agreementTableButton, no_table), (ui.agreementPlotButton, no_plot)):
            if reason and button.checked:
                button.checked = False
                self._arrange()
        no_folder = "" if self.parameters.agreementOutput.strip() else _("Choose a folder for the report.")
        enable(
            ui.agreementReportButton, _("Write a report with plots and tables (HTML)."), busy or nothing or no_folder
        )
        one = self._current()
        why = _("Select a case in the list.") if one is None else ""
        why = why or ("" if one.series_uid else _("The series of this case is not known."))
        enable(ui.agreementLoadButton, _("Load the series of the selected case from the DICOM database."), busy or why)
        ui.agreementOutliersWidget.visible = bool(self._outliers)

    def _came_out(self, nodes: Any) -> None:
        self._nodes = nodes
        self._text = result_text(nodes)
        self._fill_outliers(outliers_of(nodes))
        if self.ui.agreementTableButton.checked:
            show_in_table_view(nodes.tableNode)
        if self.ui.agreementPlotButton.checked and nodes.chartNode is not None:
            show_in_plot_view(nodes.chartNode)
        self.update()

    def _fill_outliers(self, found: list[Any]) -> None:
        self._filling, self._outliers = True, found
        rows = [(one.identifier, f"{one.difference:.4g}", one.reason) for one in found]
        self._items = fill_texts(self.ui.agreementOutliersTable, rows)
        self._filling = False

    def _current(self) -> Any:
        row = self.ui.agreementOutliersTable.currentRow()
        return self._outliers[row] if 0 <= row < len(self._outliers) else None

    def _columns_of(self, table: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        rows = self.logic.tableRows(table)
        return (NO_COLUMN, *(rows[0] if rows else ())), suggested(rows)

    def _has_table(self) -> bool:
        parameters = self.parameters
        if parameters.agreementSource is AgreementSource.TABLE:
            return parameters.agreementTable is not None
        return parameters.agreementSource is AgreementSource.FILE and is_file(parameters.agreementFirst.strip())

    def _table(self) -> Any:
        if self.parameters.agreementSource is AgreementSource.TABLE:
            return self.parameters.agreementTable
        return self.parameters.agreementFirst.strip()

    def _options(self) -> dict[str, Any]:
        acceptable = self.parameters.agreementAcceptable
        return {"log": self.parameters.agreementLog, "acceptable": acceptable if acceptable > 0 else None}

    def _why_not(self) -> str:
        parameters = self.parameters
        if parameters.agreementSource is AgreementSource.FOLDERS:
            folders = (parameters.agreementFirst.strip(), parameters.agreementSecond.strip())
            return "" if all(map(is_folder, folders)) else _("Choose two folders with segmentations.")
        if not self._has_table():
            is_table = parameters.agreementSource is AgreementSource.TABLE
            return _("Select a table.") if is_table else _("Choose a CSV file.")
        if self._columns.problem:
            return self._columns.problem
        _identifier, first, second = self._columns.chosen
        return "" if first and second and first != second else _("Choose two different columns.")

    def _arrange(self) -> None:
        ui = self.ui
        self._layout.show(table=ui.agreementTableButton.checked, plot=ui.agreementPlotButton.checked)
