"""The page *Train*: a network from the user's own series, with its curves and pictures while it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .buttons import enable
from .folders import is_folder, open_outside
from .pages import Shared
from .parameters import Method, TrainTask, own_networks
from .training_page import Record, TrainingPanel, TrainingWidgets
from .training_texts import ended_text, why_stopped

MEASURE = "Dice"


class TrainPanel(TrainingPanel):
    """A network that finds segments.

    Parameters are those of `PagePanel`.
    """

    measure = MEASURE
    purpose = _("Train a network.")
    purpose_of_use = _("Let the page Segment find segments with this network.")
    source_title = _("Folder with DICOM files")

    def __init__(self, ui: Any, shared: Shared):
        widgets = TrainingWidgets(
            folder=ui.trainFolderLineEdit,
            folder_button=ui.trainFolderButton,
            output_button=ui.trainOutputButton,
            train=ui.trainButton,
            resume=ui.trainResumeButton,
            curves=ui.trainCurvesButton,
            use=ui.useModelButton,
            status=ui.trainStatusLabel,
            strip=ui.trainStripLabel,
        )
        super().__init__(ui, shared, widgets, "trainSource", "trainFolder", "trainOutput")
        ui.trainOpenButton.connect("clicked(bool)", self.open_folder)

    def use_model(self) -> None:
        """Button *Use this model*: the page *Segment* works with it from now on."""
        task = _task_of(self.model)
        if task not in (one.value for one in TrainTask):
            self._say(_("The model in the output folder finds no segments: the page Segment cannot use it."))
            return
        others = [one for one in own_networks(self.parameters) if _task_of(Path(one)) != task]
        self.parameters.ownNetwork = ";".join([*others, str(self.model)])
        self.parameters.method = Method.NETWORK
        self._say(_("The page Segment now finds {task} with this network.").format(task=task))

    def open_folder(self) -> None:
        """Button *Open folder*: show it in the system's file manager."""
        open_outside(self.folder)

    def _beginning(self) -> tuple[str, Callable[..., Any]]:
        parameters, folder, source = self.parameters, self.folder, self.source.chosen
        choices = {
            "task": parameters.trainTask.value,
            "labels": parameters.trainLabels.value,
            "size": parameters.trainSize.value,
            "epochs": parameters.trainEpochs,
        }
        title = _("Train: {task}").format(task=parameters.trainTask.label())
        return title, lambda **calls: self.logic.trainSegmentation(source, folder, **choices, **calls)

    def _why_not_begin(self) -> str:
        return self.source.why_none(
            _("Choose a folder with DICOM files."),
            _("Check series of at least two patients on the page DICOM database."),
        )

    def _go_on(self, folder: str, **calls: Any) -> Any:
        return self.logic.resumeTraining(folder, **calls)

    def _can_go_on(self, folder: str) -> bool:
        return self.logic.canResumeTraining(folder)

    def _learned(self, folder: str) -> tuple[list[Record], str]:
        return self.logic.trainingHistory(folder)

    def _draw(self, folder: str, history: Sequence[Record]) -> Any:
        return self.logic.trainingCurves(folder, history)

    def _result_text(self, values: Mapping[str, Any]) -> str:
        return result_text(values)

    def _update_own(self) -> None:
        ui, count = self.ui, len(self.shared.checked())
        checked = _("{count} series are checked on the page DICOM database.").format(count=count)
        ui.trainSeriesLabel.text = "" if self.source.is_folder else checked
        exists = "" if is_folder(self.folder) else _("The folder is not there yet.")
        enable(ui.trainOpenButton, _("Show the output folder: curves, strips, animation, model card."), exists)


def result_text(values: Mapping[str, Any]) -> str:
    """What came out, in a few lines."""
    trained = _("Trained on {series} series of {patients} patients; {why}.").format(
        series=values["series"], patients=sum(values["patients"].values()), why=why_stopped(values)
    )
    return ended_text(trained, values, MEASURE, len(values["left_out"]), values["warnings"])


def _task_of(model: Path) -> str:
    """The task of a model folder; empty where it is none."""
    from DicomAnalysisLib.errors import DicomAnalysisError
    from DicomAnalysisLib.networks.model_folder import read_manifest

    try:
        return read_manifest(model).description.task
    except DicomAnalysisError:
        return ""
