"""The page *Train*: a network from the user's own series, with its curves and pictures while it learns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .buttons import enable, why_busy
from .pages import PagePanel, Shared
from .parameters import Method, TrainSource, own_networks
from .views import ResultLayout, show_in_plot_view

SMALLEST_PICTURE = 200
"""Pixels; the page may not have its width yet."""


class TrainPanel(PagePanel):
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
        self._strip = ""
        self._text = ""
        self._result = ("", "")  # what the last training of this session gave: its output folder, and in words
        self._can_resume = False
        self._running = ""  # the output folder of the training that runs, whatever is chosen meanwhile
        ui.trainButton.connect("clicked(bool)", self.train)
        ui.trainResumeButton.connect("clicked(bool)", self.resume)
        ui.trainFolderButton.connect("clicked(bool)", self.browse_source)
        ui.trainOutputButton.connect("clicked(bool)", self.browse_output)
        ui.trainCurvesButton.connect("clicked(bool)", self.show_curves)
        ui.useModelButton.connect("clicked(bool)", self.use_model)
        ui.trainOpenButton.connect("clicked(bool)", self.open_folder)

    @property
    def folder(self) -> str:
        """The output folder; empty where none is chosen."""
        return self.parameters.trainOutput.strip() if self.parameters is not None else ""

    @property
    def model(self) -> Path | None:
        """The model in the output folder, where there is one."""
        model = Path(self.folder) / "model"
        return model if self.folder and (model / "manifest.json").is_file() else None

    def train(self) -> None:
        """Button *Train*."""
        parameters, folder, source = self.parameters, self.folder, self._source()
        choices = {
            "task": parameters.trainTask.value,
            "labels": parameters.trainLabels.value,
            "size": parameters.trainSize.value,
            "epochs": parameters.trainEpochs,
        }
        self._history = []
        self._run(
            _("Train: {task}").format(task=parameters.trainTask.label()),
            lambda **calls: self.logic.trainSegmentation(source, folder, **choices, **calls),
        )

    def resume(self) -> None:
        """Button *Resume*: go on with the training of the output folder, as it was begun."""
        folder = self.folder
        self._run(_("Resume the training"), lambda **calls: self.logic.resumeTraining(folder, **calls))

    def use_model(self) -> None:
        """Button *Use this model*: the page *Segment* works with it from now on."""
        task = _task_of(self.model)
        others = [one for one in own_networks(self.parameters) if _task_of(Path(one)) != task]
        self.parameters.ownNetwork = ";".join([*others, str(self.model)])
        self.parameters.method = Method.NETWORK
        self._say(_("The page Segment now finds {task} with this network.").format(task=task))

    def show_curves(self) -> None:
        """Button *Show curves*: a plot view while it is down, the earlier layout when it is up again."""
        self._layout.show(table=False, plot=self.ui.trainCurvesButton.checked)
        if self.ui.trainCurvesButton.checked:
            show_in_plot_view(self.logic.trainingCurves(self._running or self.folder, self._history).chart_node)

    def open_folder(self) -> None:
        """Button *Open folder*: show it in the system's file manager."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self.folder))

    def browse_source(self) -> None:
        """Button *...* beside the folder with series."""
        folder = _folder(_("Folder with DICOM files"), self.parameters.trainFolder)
        if folder:
            self.parameters.trainFolder = folder
            self.parameters.trainSource = TrainSource.FOLDER

    def browse_output(self) -> None:
        """Button *...* beside the output folder."""
        folder = _folder(_("Folder for the model"), self.folder)
        if folder:
            self.parameters.trainOutput = folder

    def on_epoch(self, update: Any) -> None:
        """An epoch is done: its numbers and its picture."""
        # An epoch that was done when the last run was killed, but not kept, comes again.
        self._history = [*(one for one in self._history if one["epoch"] < update.record["epoch"]), update.record]
        self._strip = update.strip
        self._text = epoch_text(self._history)
        self.logic.trainingCurves(self._running, self._history)
        self._show()

    def shown(self) -> None:
        """The page was opened: the output folder may hold another state than before, the page another width."""
        self._looked_at = None
        self.update()
        self._show()

    def scene_closed(self) -> None:
        """The curves are gone with the scene; what they show stays in the folder."""
        self.ui.trainCurvesButton.checked = False
        self._looked_at = None
        self.update()

    def update(self) -> None:
        """Show what the output folder holds, and what can be clicked."""
        if self.parameters is None:
            return
        ui, busy = self.ui, why_busy(self.shared.tasks.title)
        if self._looked_at != self.folder and not busy:
            self._look()
        is_folder = self.parameters.trainSource is TrainSource.FOLDER
        ui.trainFolderLineEdit.enabled = ui.trainFolderButton.enabled = is_folder
        count = len(self.shared.checked())
        checked = _("{count} series are checked on the page DICOM database.").format(count=count)
        ui.trainSeriesLabel.text = "" if is_folder else checked
        no_folder = "" if self.folder else _("Choose an output folder.")
        enable(ui.trainButton, _("Train a network."), busy or self._why_not_train() or no_folder)
        cannot = "" if self._can_resume else _("There is no training in the output folder.")
        enable(ui.trainResumeButton, _("Go on with the training in the output folder."), busy or no_folder or cannot)
        nothing = "" if self._history else _("Nothing has been learned yet.")
        enable(ui.trainCurvesButton, _("Show loss and Dice of every epoch in a plot view."), nothing)
        no_model = "" if self.model else _("There is no model in the output folder yet.")
        enable(ui.useModelButton, _("Let the page Segment find segments with this network."), busy or no_model)
        exists = "" if self.folder and Path(self.folder).is_dir() else _("The folder is not there yet.")
        enable(ui.trainOpenButton, _("Show the output folder: curves, strips, animation, model card."), exists)

    def _run(self, title: str, begin: Any) -> None:
        if not self.has_packages("network", _("Neural networks")):
            return
        self._strip, self._text, self._running = "", "", self.folder
        self._show()
        self.shared.tasks.start(
            title,
            lambda **calls: begin(onEpoch=self.on_epoch, **calls),
            self._came_out,
            self._ended,
        )

    def _came_out(self, values: Mapping[str, Any]) -> None:
        self._result = (self._running, result_text(values))

    def _ended(self) -> None:
        self._running = ""
        self.shown()

    def _source(self) -> Any:
        if self.parameters.trainSource is TrainSource.FOLDER:
            return self.parameters.trainFolder.strip()
        return tuple(self.shared.checked())

    def _why_not_train(self) -> str:
        if self.parameters.trainSource is TrainSource.CHECKED:
            return (
                "" if self.shared.checked() else _("Check series of at least two patients on the page DICOM database.")
            )
        folder = self.parameters.trainFolder.strip()
        return "" if folder and Path(folder).exists() else _("Choose a folder with DICOM files.")

    def _look(self) -> None:
        """See what the output folder holds."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        folder = self._looked_at = self.folder
        self._history, self._strip = [], ""
        self._can_resume = bool(folder) and self.logic.canResumeTraining(folder)
        if self._can_resume:
            try:
                self._history, self._strip = self.logic.trainingHistory(folder)
            except DicomAnalysisError as error:
                self.shared.log.add(str(error))
        about, text = self._result
        self._text = text if about == folder else epoch_text(self._history)
        self._show()

    def _say(self, text: str) -> None:
        self._text = text
        self._show()

    def _show(self) -> None:
        self.ui.trainStatusLabel.text = self._text
        picture = qt.QPixmap(self._strip) if self._strip else qt.QPixmap()
        if not picture.isNull():
            width = max(SMALLEST_PICTURE, self.ui.trainStatusLabel.width)
            picture = picture.scaledToWidth(width, qt.Qt.SmoothTransformation)
        self.ui.trainStripLabel.setPixmap(picture)


def epoch_text(history: list[Mapping[str, object]]) -> str:
    """The last epoch, and the best one so far."""
    if not history:
        return ""
    last, best = history[-1], next(one for one in reversed(history) if one["is_best"])
    return _(
        "Epoch {epoch}: loss {loss:.3f}, validation {validation:.3f}, Dice {score:.3f}. Best: {best:.3f} in epoch {at}."
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
        _("Trained on {series} series of {patients} patients; {why}.").format(
            series=values["series"], patients=sum(values["patients"].values()), why=why
        ),
        _("Best epoch {epoch}: Dice {score:.3f} on the validation patients.").format(
            epoch=values["best_epoch"], score=values["best_score"]
        ),
    ]
    if values["left_out"]:
        lines.append(_("Not learned from: {count}, listed in left-out.csv.").format(count=len(values["left_out"])))
    lines += [_("Please look: {warning}").format(warning=warning) for warning in values["warnings"]]
    return "\n".join(lines)


def _task_of(model: Path) -> str:
    """The task of a model folder; empty where it is none."""
    from DicomAnalysisLib.errors import DicomAnalysisError
    from DicomAnalysisLib.networks.model_folder import read_manifest

    try:
        return read_manifest(model).description.task
    except DicomAnalysisError:
        return ""


def _folder(title: str, start: str) -> str:
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, start)
