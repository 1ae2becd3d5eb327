"""The section *Train a classifier* of the page *Classify*: labelled series in, a model with its report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .buttons import enable
from .columns import ColumnChoice
from .folders import choose_file, is_file, open_outside
from .pages import Shared
from .train_classifier_logic import SCORE
from .training_page import Record, TrainingPanel, TrainingWidgets
from .training_texts import ended_text, why_stopped

SHOWN_SCORES, SHOWN_WARNINGS = 8, 4


class TrainClassifierPanel(TrainingPanel):
    """A classifier of series, learned from a table of labels.

    Parameters are those of `PagePanel`.
    """

    measure = SCORE
    purpose = _("Train a classifier.")
    purpose_of_use = _("Classify with this model from now on.")
    source_title = _("Folder with images")

    def __init__(self, ui: Any, shared: Shared):
        widgets = TrainingWidgets(
            folder=ui.classifierFolderLineEdit,
            folder_button=ui.classifierFolderButton,
            output_button=ui.classifierOutputButton,
            train=ui.classifierTrainButton,
            resume=ui.classifierResumeButton,
            curves=ui.classifierCurvesButton,
            use=ui.classifierUseButton,
            status=ui.classifierStatusLabel,
        )
        super().__init__(ui, shared, widgets, "classifierSource", "classifierFolder", "classifierOutput")
        self._labels_column = ColumnChoice((ui.classifierColumnSelector,), self._columns_of, self.update)
        ui.classifierLabelsButton.connect("clicked(bool)", self.browse_labels)
        ui.classifierReportButton.connect("clicked(bool)", self.open_report)
        ui.classifierCollapsibleButton.connect("contentsCollapsed(bool)", lambda _collapsed: self.shown())

    def use_model(self) -> None:
        """Button *Use this model*: the section above works with it from now on."""
        self.parameters.classifyModel = self.folder

    def open_report(self) -> None:
        """Button *Open report*: in the system's browser."""
        open_outside(self._report)

    def browse_labels(self) -> None:
        """Button *...* beside the table of labels."""
        if choose_file(self.parameters, "classifierLabels", _("Table of labels"), "*.csv *.tsv *.txt"):
            self.parameters.classifierTable = None

    def shown(self) -> None:
        """The page was opened: the output folder and the labels may be others than before."""
        self._labels_column.forget()
        super().shown()

    @property
    def _labels(self) -> Any:
        """The table node that is chosen, else the path of the file; empty where neither is."""
        return self.parameters.classifierTable or self.parameters.classifierLabels.strip()

    @property
    def _report(self) -> Path:
        return Path(self.folder) / "report.html"

    def _columns_of(self, labels: Any) -> tuple[Sequence[str], Sequence[str]]:
        columns = self.logic.labelColumns(labels)
        return columns, (columns[0] if columns else "",)

    def _beginning(self) -> tuple[str, Callable[..., Any]]:
        parameters, folder, source, labels = self.parameters, self.folder, self.source.chosen, self._labels
        choices = {
            "network": parameters.classifierNetwork.value,
            "size": parameters.classifierSize.value,
            "epochs": parameters.classifierEpochs,
            "columns": self._labels_column.chosen,
        }
        if parameters.classifierNetwork.value.startswith("multiview"):
            choices["views"] = ()  # by what the headers state, or the table's view column
        return _("Train a classifier"), lambda **calls: self.logic.trainClassifier(
            source, labels, folder, **choices, **calls
        )

    def _why_not_begin(self) -> str:
        no_source = self.source.why_none(
            _("Choose a folder with images."), _("Check series on the page DICOM database.")
        )
        return no_source or self._why_no_labels()

    def _why_no_labels(self) -> str:
        if not self._labels:
            return _("Choose a table of labels.")
        columns = self._labels_column
        return columns.problem or ("" if columns.titles else _("The table has no column that could be a label."))

    def _go_on(self, folder: str, **calls: Any) -> Any:
        return self.logic.resumeClassifierTraining(folder, **calls)

    def _can_go_on(self, folder: str) -> bool:
        return self.logic.canResumeClassifierTraining(folder)

    def _learned(self, folder: str) -> tuple[list[Record], str]:
        return self.logic.classifierTrainingHistory(folder), ""

    def _draw(self, folder: str, history: Sequence[Record]) -> Any:
        return self.logic.classifierTrainingCurves(folder, history)

    def _result_text(self, values: Mapping[str, Any]) -> str:
        return result_text(values)

    def _update_own(self) -> None:
        ui, is_from_file = self.ui, self.parameters.classifierTable is None
        ui.classifierLabelsLineEdit.enabled = ui.classifierLabelsButton.enabled = is_from_file
        self._labels_column.follow(self._labels)
        no_report = "" if self.folder and is_file(self._report) else _("There is no report in the output folder yet.")
        enable(ui.classifierReportButton, _("Open the report on the test patients in the browser."), no_report)

    def _show(self) -> None:
        super()._show()
        self.ui.classifierStatusLabel.visible = bool(self._text) and not self.ui.classifierCollapsibleButton.collapsed


def result_text(values: Mapping[str, Any]) -> str:
    """What came out, in a few lines."""
    trained = _("Trained on {cases} cases of {patients} patients; {why}. Start: {start}.").format(
        cases=values["cases"],
        patients=sum(values["patients"].values()),
        why=why_stopped(values),
        start=values["start"],
    )
    left_out = len(values["left_out"]) + len(values["unmatched_labels"]) + len(values["unmatched_series"])
    scores = [score_text(score) for score in values["test_scores"][:SHOWN_SCORES]]
    return ended_text(trained, values, SCORE, left_out, values["warnings"][:SHOWN_WARNINGS], scores)


def score_text(score: Mapping[str, Any]) -> str:
    """One class on the test patients."""
    if score["auroc"] is None:
        return _("{name}, test patients: {note}.").format(name=score["name"], note=score["note"] or _("not estimable"))
    text = _("{name}, test patients: AUROC {area:.3f}").format(name=score["name"], area=score["auroc"])
    if score["low"] is not None and score["high"] is not None:
        text += _(" ({low:.3f} to {high:.3f})").format(low=score["low"], high=score["high"])
    return f"{text}."
