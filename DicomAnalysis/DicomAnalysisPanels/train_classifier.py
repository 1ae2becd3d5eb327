"""The section *Train a classifier* of the page *Classify*: labelled series in, a model with its report out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .buttons import enable, why_busy
from .pages import PagePanel, Shared
from .parameters import TrainSource
from .views import ResultLayout, show_in_plot_view

SHOWN_SCORES, SHOWN_WARNINGS = 8, 4


class TrainClassifierPanel(PagePanel):
    """Choices live in the parameter node, what was learned in the output folder; the panel shows both.

    Parameters
    ----------
    ui : namespace of widgets
    shared : Shared
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        self._layout = ResultLayout()
        self._history: list[Mapping[str, object]] = []
        self._looked_at: str | None = None
        self._columns: list[str] = []
        self._column = ""  # the one that is the label
        self._columns_of: object = None
        self._no_columns = ""
        self._filling = False
        self._text = ""
        self._result = ("", "")  # what the last training of this session gave: its output folder, and in words
        self._running = ""  # the output folder of the training that runs, whatever is chosen meanwhile
        ui.classifierTrainButton.connect("clicked(bool)", self.train)
        ui.classifierResumeButton.connect("clicked(bool)", self.resume)
        ui.classifierFolderButton.connect("clicked(bool)", self.browse_source)
        ui.classifierLabelsButton.connect("clicked(bool)", self.browse_labels)
        ui.classifierOutputButton.connect("clicked(bool)", self.browse_output)
        ui.classifierColumnSelector.connect("currentIndexChanged(int)", self.choose_column)
        ui.classifierCurvesButton.connect("clicked(bool)", self.show_curves)
        ui.classifierReportButton.connect("clicked(bool)", self.open_report)
        ui.classifierUseButton.connect("clicked(bool)", self.use_model)
        ui.classifierCollapsibleButton.connect("contentsCollapsed(bool)", lambda _collapsed: self.shown())

    @property
    def folder(self) -> str:
        """The output folder; empty where none is chosen."""
        return self.parameters.classifierOutput.strip() if self.parameters is not None else ""

    @property
    def model(self) -> Path | None:
        """The model in the output folder, where there is one."""
        model = Path(self.folder) / "model"
        return model if self.folder and (model / "manifest.json").is_file() else None

    def train(self) -> None:
        """Button *Train classifier*."""
        parameters, folder, source, labels = self.parameters, self.folder, self._source(), self._labels()
        choices = {
            "network": parameters.classifierNetwork.value,
            "size": parameters.classifierSize.value,
            "epochs": parameters.classifierEpochs,
            "columns": (self._column,),
        }
        if parameters.classifierNetwork.value.startswith("multiview"):
            choices["views"] = ()  # by what the headers state, or the table's view column
        self._history = []
        self._run(
            _("Train a classifier"),
            lambda **calls: self.logic.trainClassifier(source, labels, folder, **choices, **calls),
        )

    def resume(self) -> None:
        """Button *Resume*: go on with the training of the output folder, as it was begun."""
        folder = self.folder
        self._run(_("Resume the training"), lambda **calls: self.logic.resumeClassifierTraining(folder, **calls))

    def use_model(self) -> None:
        """Button *Use this model*: the section above works with it from now on."""
        self.parameters.classifyModel = self.folder

    def show_curves(self) -> None:
        """Button *Show curves*: a plot view while it is down, the earlier layout when it is up again."""
        self._layout.show(table=False, plot=self.ui.classifierCurvesButton.checked)
        if self.ui.classifierCurvesButton.checked:
            nodes = self.logic.classifierTrainingCurves(self._running or self.folder, self._history)
            show_in_plot_view(nodes.chart_node)

    def open_report(self) -> None:
        """Button *Open report*: in the system's browser."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._report())))

    def browse_source(self) -> None:
        """Button *...* beside the folder with images."""
        folder = _folder(_("Folder with images"), self.parameters.classifierFolder)
        if folder:
            self.parameters.classifierFolder = folder
            self.parameters.classifierSource = TrainSource.FOLDER

    def browse_labels(self) -> None:
        """Button *...* beside the table of labels."""
        title, start = _("Table of labels"), self.parameters.classifierLabels
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, start, "*.csv *.tsv *.txt")
        path = path[0] if isinstance(path, tuple) else path  # PythonQt gives the name alone
        if path:
            self.parameters.classifierLabels = path
            self.parameters.classifierTable = None

    def browse_output(self) -> None:
        """Button *...* beside the output folder."""
        folder = _folder(_("Folder for the model"), self.folder)
        if folder:
            self.parameters.classifierOutput = folder

    def choose_column(self, index: int) -> None:
        """Another column was chosen in the list."""
        if not self._filling and 0 <= index < len(self._columns):
            self._column = self._columns[index]

    def on_epoch(self, update: Any) -> None:
        """An epoch is done: its numbers."""
        # An epoch that was done when the last run was killed, but not kept, comes again; so do those of another fold.
        self._history = [*(one for one in self._history if one["epoch"] < update.record["epoch"]), update.record]
        self._text = epoch_text(self._history)
        self.logic.classifierTrainingCurves(self._running, self._history)
        self._show()

    def shown(self) -> None:
        """The page was opened: the output folder and the labels may be others than before."""
        self._looked_at, self._columns_of = None, None
        self.update()

    def scene_closed(self) -> None:
        """The curves are gone with the scene; what they show stays in the folder."""
        self.ui.classifierCurvesButton.checked = False
        self._looked_at = None
        self.update()

    def update(self) -> None:
        """Show what the output folder holds, and what can be clicked."""
        if self.parameters is None:
            return
        ui, parameters, busy = self.ui, self.parameters, why_busy(self.shared.tasks.title)
        if self._looked_at != self.folder and not busy:
            self._look()
        is_folder, is_file = parameters.classifierSource is TrainSource.FOLDER, parameters.classifierTable is None
        ui.classifierFolderLineEdit.enabled = ui.classifierFolderButton.enabled = is_folder
        ui.classifierLabelsLineEdit.enabled = ui.classifierLabelsButton.enabled = is_file
        self._fill_columns()
        no_folder = "" if self.folder else _("Choose an output folder.")
        if self.folder and not Path(self.folder).is_absolute():
            no_folder = _("Give the whole path of the output folder.")
        reason = busy or self._why_no_source() or self._why_no_labels() or no_folder
        enable(ui.classifierTrainButton, _("Train a classifier."), reason)
        can = self.folder and self.logic.canResumeClassifierTraining(self.folder)
        cannot = "" if can else _("There is no training in the output folder.")
        enable(
            ui.classifierResumeButton, _("Go on with the training in the output folder."), busy or no_folder or cannot
        )
        nothing = "" if self._history else _("Nothing has been learned yet.")
        enable(ui.classifierCurvesButton, _("Show loss and AUROC of every epoch in a plot view."), nothing)
        no_report = "" if self._report() is not None else _("There is no report in the output folder yet.")
        enable(ui.classifierReportButton, _("Open the report on the test patients in the browser."), no_report)
        no_model = "" if self.model else _("There is no model in the output folder yet.")
        enable(ui.classifierUseButton, _("Classify with this model from now on."), busy or no_model)
        self._show()

    def _run(self, title: str, begin: Any) -> None:
        if not self.has_packages("network", _("Neural networks")):
            return
        self._text, self._running = "", self.folder
        self._show()
        self.shared.tasks.start(
            title, lambda **calls: begin(onEpoch=self.on_epoch, **calls), self._came_out, self._ended
        )

    def _came_out(self, values: Mapping[str, Any]) -> None:
        self._result = (self._running, result_text(values))

    def _ended(self) -> None:
        self._running = ""
        self.shown()

    def _source(self) -> Any:
        if self.parameters.classifierSource is TrainSource.FOLDER:
            return self.parameters.classifierFolder.strip()
        return tuple(self.shared.checked())

    def _labels(self) -> Any:
        return self.parameters.classifierTable or self.parameters.classifierLabels.strip()

    def _why_no_source(self) -> str:
        if self.parameters.classifierSource is TrainSource.CHECKED:
            return "" if self.shared.checked() else _("Check series on the page DICOM database.")
        folder = self.parameters.classifierFolder.strip()
        return "" if folder and Path(folder).exists() else _("Choose a folder with images.")

    def _why_no_labels(self) -> str:
        if not self._labels():
            return _("Choose a table of labels.")
        return self._no_columns or ("" if self._columns else _("The table has no column that could be a label."))

    def _report(self) -> Path | None:
        report = Path(self.folder) / "report.html"
        return report if self.folder and report.is_file() else None

    def _fill_columns(self) -> None:
        """List the table's columns that can be labels, when it is another table."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        labels = self._labels()
        known = (labels.GetID(), labels.GetTable().GetMTime()) if hasattr(labels, "GetID") else labels
        if known == self._columns_of:
            return
        self._columns_of, self._columns, self._no_columns = known, [], ""
        if labels:
            try:
                self._columns = self.logic.labelColumns(labels)
            except DicomAnalysisError as error:
                self._no_columns = str(error)
        selector = self.ui.classifierColumnSelector
        self._filling = True
        selector.clear()
        for title in self._columns:
            selector.addItem(title)
        self._filling = False
        if self._columns:
            self._column = self._column if self._column in self._columns else self._columns[0]
            selector.currentIndex = self._columns.index(self._column)

    def _look(self) -> None:
        """See what the output folder holds."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        folder = self._looked_at = self.folder
        self._history = []
        if folder:
            try:
                self._history = self.logic.classifierTrainingHistory(folder)
            except DicomAnalysisError as error:
                self.shared.log.add(str(error))
        about, text = self._result
        self._text = text if about == folder else epoch_text(self._history)

    def _show(self) -> None:
        shown = bool(self._text) and not self.ui.classifierCollapsibleButton.collapsed
        self.ui.classifierStatusLabel.text = self._text
        self.ui.classifierStatusLabel.visible = shown


def epoch_text(history: list[Mapping[str, object]]) -> str:
    """The last epoch, and the best one so far."""
    if not history:
        return ""
    last = history[-1]
    best = next((one for one in reversed(history) if one["is_best"]), last)
    return _(
        "Epoch {epoch}: loss {loss:.3f}, validation {validation:.3f}, AUROC {score:.3f}. "
        "Best: {best:.3f} in epoch {at}."
    ).format(
        epoch=last["epoch"],
        loss=last["training_loss"],
        validation=last["validation_loss"],
        score=last["score"],
        best=best["score"],
        at=best["epoch"],
    )


def result_text(values: Mapping[str, Any]) -> str:
    """What came out, in a few lines."""
    why = {
        "epochs": _("all epochs are done"),
        "patience": _("it no longer got better"),
        "minutes": _("the time was up"),
    }[values["stopped"]]
    lines = [
        _("Trained on {cases} cases of {patients} patients; {why}. Start: {start}.").format(
            cases=values["cases"], patients=sum(values["patients"].values()), why=why, start=values["start"]
        ),
        _("Best epoch {epoch}: AUROC {score:.3f} on the validation patients.").format(
            epoch=values["best_epoch"], score=values["best_score"]
        ),
    ]
    lines += [score_text(score) for score in values["test_scores"][:SHOWN_SCORES]]
    left_out = len(values["left_out"]) + len(values["unmatched_labels"]) + len(values["unmatched_series"])
    if left_out:
        lines.append(_("Not learned from: {count}, listed in left-out.csv.").format(count=left_out))
    lines += [_("Please look: {warning}").format(warning=one) for one in values["warnings"][:SHOWN_WARNINGS]]
    return "\n".join(lines)


def score_text(score: Mapping[str, Any]) -> str:
    """One class on the test patients."""
    if score["auroc"] is None:
        return _("{name}, test patients: {note}.").format(name=score["name"], note=score["note"] or _("not estimable"))
    text = _("{name}, test patients: AUROC {area:.3f}").format(name=score["name"], area=score["auroc"])
    if score["low"] is not None and score["high"] is not None:
        text += _(" ({low:.3f} to {high:.3f})").format(low=score["low"], high=score["high"])
    return f"{text}."


def _folder(title: str, start: str) -> str:
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, start)
