"""The page *Classify*: what a trained classifier says about a volume, and about the checked series of the database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .buttons import enable, why_busy, why_not
from .pages import PagePanel, Shared
from .views import ResultLayout, hide_overlay, show_in_table_view, show_overlay

SHOWN_WARNINGS = 4
SERIES_WIDTH = 130
RESULT_COLUMN = "Result"


class ClassifyPanel(PagePanel):
    """Choices live in the parameter node, results in the scene's table; the panel joins them to widgets.

    Parameters
    ----------
    ui : namespace of widgets
    shared : Shared
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        self._layout = ResultLayout()
        self._shipped: list[str] | None = None
        self._known: tuple[str, Any, str] = ("", None, "")  # a model, what it says about itself, why it cannot be used
        self._filling = False
        self._texts: dict[str, str] = {}
        self._batch: dict[str, str] = {}  # cases of the batch that runs, and what became of them
        self._folders: list[str] = []
        self._drawn: tuple | None = None
        self._items: list[Any] = []  # Qt's own, but older PythonQt deletes what Python forgets
        ui.classifyButton.connect("clicked(bool)", self.run)
        ui.classifyShippedSelector.connect("currentIndexChanged(int)", self.choose)
        ui.classifyModelButton.connect("clicked(bool)", self.browse_model)
        ui.classifyOverlayButton.connect("clicked(bool)", self.show_overlay)
        ui.classifyTableButton.connect("clicked(bool)", self.show_table)
        ui.classifyUndoButton.connect("clicked(bool)", self.undo)
        ui.classifyOutputButton.connect("clicked(bool)", self.browse_output)
        ui.classifyBatchButton.connect("clicked(bool)", self.run_batch)
        ui.classifyOpenButton.connect("clicked(bool)", self.open_folder)
        ui.classifyTable.setColumnWidth(0, SERIES_WIDTH)

    @property
    def volume_node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume chosen, or None."""
        return self.parameters.classifyVolume if self.parameters is not None else None

    @property
    def model(self) -> str:
        """Name or folder of the model chosen; empty where none is."""
        return self.parameters.classifyModel.strip() if self.parameters is not None else ""

    @property
    def output(self) -> str:
        """The output folder of batches; empty where none is chosen."""
        return self.parameters.classifyOutput.strip() if self.parameters is not None else ""

    def run(self) -> None:
        """Button *Classify*."""
        node, model, explain = self.volume_node, self.model, self.parameters.classifyExplain
        if not self.has_packages("network", _("Neural networks")):
            return
        self._say("", node)
        self.shared.tasks.start(
            _("Classify"),
            lambda **calls: self.logic.classifyInBackground(node, model, explain=explain, **calls),
            lambda made: self.show(node, made),
            about=_identifier(node),
        )

    def run_batch(self) -> None:
        """Button *Classify checked series*."""
        checked, folder, model = tuple(self.shared.checked()), self.output, self.model
        explain = self.parameters.classifyExplain
        if not self.has_packages("network", _("Neural networks")):
            return
        self._batch, self._folders = {}, []
        self._tell_batch(len(checked))

        def begin(**calls: Any) -> Any:
            return self.logic.classifySeries(
                checked, folder, model, explain=explain, onSeries=lambda one: self._on_case(one, len(checked)), **calls
            )

        title = _("Classify {count} series").format(count=len(checked))
        self.shared.tasks.start(title, begin, self._batch_done, self._batch_ended)

    def show(self, volume_node: Any, made: Any) -> None:
        """Show the result of a volume (`ClassificationNodes`)."""
        result = made.result
        shown = [_("Please look: {warning}").format(warning=line) for line in result.warnings[:SHOWN_WARNINGS]]
        if len(result.warnings) > SHOWN_WARNINGS:
            more = len(result.warnings) - SHOWN_WARNINGS
            shown.append(_("{count} more remarks are in the table.").format(count=more))
        self._say("\n".join([f"{result.words}.", *shown]), volume_node)
        self.ui.classifyOverlayButton.checked = bool(made.overlay_nodes)
        self.show_overlay()

    def show_overlay(self) -> None:
        """Button *Overlay*: where the model looked, over the volume, while it is down."""
        node = self.volume_node
        overlays = self.logic.classification(node).overlay_nodes
        if self.ui.classifyOverlayButton.checked and overlays:
            show_overlay(node, overlays[-1])
        else:
            hide_overlay()
        self.update()

    def show_table(self) -> None:
        """Button *Show table*: a table view while it is down, the earlier layout when it is up again."""
        table_node = self.logic.classification(None).table_node
        self._layout.show(table=self.ui.classifyTableButton.checked, plot=False)
        if self.ui.classifyTableButton.checked and table_node is not None:
            show_in_table_view(table_node)

    def undo(self) -> None:
        """Button *Undo*: the scene as it was before the last result."""
        self.logic.undo()
        self.shared.log.add(_("The last result was taken back."))
        self._say(_("The last result was taken back."), self.volume_node)

    def choose(self, index: int) -> None:
        """A model that comes with the program was chosen in the list, whose first line stands for none of them."""
        if not self._filling and self.parameters is not None and self._shipped:
            self.parameters.classifyModel = self._shipped[index - 1] if index > 0 else ""

    def browse_model(self) -> None:
        """Button *...* beside the model's folder."""
        title = _("Folder of a trained classifier")
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, self.model)
        if folder:
            self.parameters.classifyModel = folder

    def browse_output(self) -> None:
        """Button *...* beside the output folder."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the results"), self.output)
        if folder:
            self.parameters.classifyOutput = folder

    def open_folder(self) -> None:
        """Button *Open folder*: show it in the system's file manager."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self.output))

    def shown(self) -> None:
        """The page was opened: what the page *Segment* works on is chosen where nothing is."""
        self._known = ("", None, "")  # the folder may hold another model than before
        if self.parameters is not None and self.parameters.classifyVolume is None:
            chosen = self.parameters.inputVolume
            if not why_not(chosen):
                self.parameters.classifyVolume = chosen
        self.update()

    def scene_closed(self) -> None:
        """Nothing is there to say anything about."""
        self._texts, self._drawn = {}, None
        self.ui.classifyOverlayButton.checked = self.ui.classifyTableButton.checked = False
        self._layout.show(table=False, plot=False)
        self.update()

    def update(self) -> None:
        """Show what is chosen and known, and what can be clicked."""
        if self.parameters is None:
            return
        self._fill_models()
        ui, node, busy = self.ui, self.volume_node, why_busy(self.shared.tasks.title)
        information, no_model = self._model_known()
        ui.classifyModelText.text = no_model if self.model and no_model else model_text(information)
        ui.classifyModelText.visible = bool(ui.classifyModelText.text)
        ui.classifyStatusLabel.text = self._texts.get(node.GetID(), "") if node is not None else ""
        ui.classifyStatusLabel.visible = bool(ui.classifyStatusLabel.text)
        views = information["views"] if information else ("",)
        several = ""
        if len(views) > 1:
            several = _("This model looks at {count} views of a case: check their series on the page DICOM database.")
        enable(
            ui.classifyButton,
            _("Ask the model about this volume; it takes some seconds."),
            busy or why_not(node) or no_model or several.format(count=len(views)),
        )
        found = self.logic.classification(node)
        nothing = _("Nothing has been classified yet.")
        no_overlay = _("There is no overlay of this volume: classify it with the box above checked.")
        enable(
            ui.classifyOverlayButton,
            _("Show where the model looked; click again to hide it."),
            "" if found.overlay_nodes else no_overlay,
        )
        if not found.overlay_nodes:
            ui.classifyOverlayButton.checked = False
        enable(
            ui.classifyTableButton,
            _("Show all probabilities in a table view; click again for the earlier layout."),
            "" if found.table_node else nothing,
        )
        if not found.table_node and ui.classifyTableButton.checked:
            ui.classifyTableButton.checked = False
            self._layout.show(table=False, plot=False)
        possible = "" if self.logic.canUndo() else _("There is no result of this session to take back.")
        enable(ui.classifyUndoButton, _("Take the last result back."), busy or possible)
        self._update_batch(busy, no_model)
        self._draw_rows(found.table_node)

    def _update_batch(self, busy: str, no_model: str) -> None:
        ui, count = self.ui, len(self.shared.checked())
        ui.classifyCheckedLabel.text = _("{count} series are checked on the page DICOM database.").format(count=count)
        none_checked = "" if count else _("Check series on the page DICOM database.")
        no_output = "" if self.output else _("Choose an output folder.")
        if self.output and not Path(self.output).is_absolute():
            no_output = _("Give the whole path of the output folder.")
        enable(
            ui.classifyBatchButton,
            _("Ask the model about every checked series; one that fails does not stop the others."),
            busy or none_checked or no_model or no_output,
        )
        there = bool(self.output) and Path(self.output).is_dir()
        enable(ui.classifyOpenButton, _("Show the results as files."), "" if there else _("There is no such folder."))
        ui.classifyBatchLabel.visible = bool(ui.classifyBatchLabel.text)

    def _fill_models(self) -> None:
        """List the shipped classifiers, once; where there are none, there is no list."""
        selector = self.ui.classifyShippedSelector
        self._filling = True
        if self._shipped is None:
            self._shipped = self.logic.classifiers()
            for name in (_("None: the one below"), *self._shipped):
                selector.addItem(name)
        selector.currentIndex = self._shipped.index(self.model) + 1 if self.model in self._shipped else 0
        self._filling = False
        selector.visible = self.ui.classifyShippedLabel.visible = bool(self._shipped)

    def _model_known(self) -> tuple[Any, str]:
        """What the chosen model says about itself, and why it cannot be used; read once a choice."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        if not self.model:
            return None, _("Choose a model: the folder of a trained classifier.")
        if self._known[0] != self.model:
            try:
                self._known = (self.model, self.logic.classifierInformation(self.model), "")
            except DicomAnalysisError as error:
                self._known = (self.model, None, str(error))
        return self._known[1], self._known[2]

    def _draw_rows(self, table_node: Any) -> None:
        """The newest table's series and results, the last one on top."""
        rows = []
        if table_node is not None:
            table = table_node.GetTable()
            names, results = table.GetColumnByName("Series"), table.GetColumnByName(RESULT_COLUMN)
            if names is not None and results is not None:
                rows = [(names.GetValue(n), results.GetValue(n)) for n in range(table.GetNumberOfRows())][::-1]
        if tuple(rows) == self._drawn:
            return
        self._drawn, self._items = tuple(rows), []
        widget = self.ui.classifyTable
        widget.setRowCount(len(rows))
        for index, row in enumerate(rows):
            for column, text in enumerate(row):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                widget.setItem(index, column, item)
                self._items.append(item)

    def _say(self, text: str, node: Any) -> None:
        if node is not None:
            self._texts[node.GetID()] = text
        self.update()

    def _on_case(self, update: Any, count: int) -> None:
        """A case of the batch begins or has ended."""
        if update.status not in ("done", "failed"):
            return
        if update.status == "failed":
            self.shared.log.add(_("Series {uid} failed: {reason}").format(uid=update.series_uid, reason=update.reason))
        else:
            self._folders.append(update.folder)
        self._batch[update.series_uid] = update.status
        self._tell_batch(count)

    def _tell_batch(self, count: int) -> None:
        ended = list(self._batch.values())
        text = _("{ended} of {count} series: {done} done, {failed} failed.")
        self.ui.classifyBatchLabel.text = text.format(
            ended=len(ended), count=count, done=ended.count("done"), failed=ended.count("failed")
        )
        self.ui.classifyBatchLabel.visible = True

    def _batch_done(self, values: Mapping[str, Any]) -> None:
        if values["counts"].get("failed"):
            failed = _("{count} series could not be classified; the reasons are in the log.")
            self.shared.tasks.say(failed.format(count=values["counts"]["failed"]))
        for line in values["left_out"]:
            self.shared.log.add(line)

    def _batch_ended(self) -> None:
        """Put what was done into the scene's table, also after a cancel."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        if self._folders:
            try:
                self.logic.loadClassifications(self._folders)
            except DicomAnalysisError as error:
                self.shared.log.add(str(error))
        self.update()


def model_text(information: Mapping[str, Any] | None) -> str:
    """A model in a few words: what it tells, which one it is, what it was trained on."""
    if information is None:
        return ""
    told = "; ".join(f"{target.name}: {', '.join(target.classes)}" for target in information["targets"])
    lines = [
        _("Tells {what}.").format(what=told),
        _("{name}, version {version}, {sha}.").format(
            name=information["name"], version=information["version"], sha=information["sha256"][:12]
        ),
    ]
    known = information["range"]
    words = [", ".join(known.get(key, ())) for key in ("modality", "body_part")]
    if any(words):
        number = known.get("cases")
        of = _(" ({count} cases)").format(count=number) if number else ""
        lines.append(_("Trained on {what}{of}.").format(what=" ".join(filter(None, words)), of=of))
    if len(information["views"]) > 1:
        lines.append(_("Views: {names}.").format(names=", ".join(information["views"])))
    return "\n".join(lines)


def _identifier(volume_node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """What a volume is called in the log: its name may be a patient's."""
    from DicomAnalysisLib.mrml.hierarchy import identity_of_node

    return identity_of_node(volume_node).series_uid or volume_node.GetID()
