"""The part of the page *Classify* for many series: those that are checked, into files and the scene's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from .buttons import enable
from .folders import choose_folder, is_folder, open_outside, why_no_output
from .overlays import explanations_wanted
from .pages import Shared
from .widgets import say

if TYPE_CHECKING:
    from DicomAnalysis import DicomAnalysisParameterNode


class ClassifyBatch:
    """Asks a model about every checked series, in a child process.

    Parameters
    ----------
    ui : namespace of widgets
        ``classifyCheckedLabel, classifyOutputButton, classifyBatchButton, classifyBatchLabel, classifyOpenButton``.
    shared : Shared
    has_packages : callable
        Has what a network needs, asking the user where it is missing.
    changed : callable
        Called when there are new rows in the scene's table.
    """

    def __init__(self, ui: Any, shared: Shared, has_packages: Callable[[], bool], changed: Callable[[], None]):
        self.ui, self.shared, self.logic = ui, shared, shared.logic
        self.parameters: DicomAnalysisParameterNode | None = None
        self._has_packages, self._changed = has_packages, changed
        self._count = self._kept = 0
        self._cases: dict[str, str] = {}  # of the batch that runs, and what became of them
        self._folders: list[str] = []
        ui.classifyOutputButton.connect("clicked(bool)", self.browse_output)
        ui.classifyBatchButton.connect("clicked(bool)", self.run)
        ui.classifyOpenButton.connect("clicked(bool)", self.open_folder)

    @property
    def output(self) -> str:
        """The output folder; empty where none is chosen."""
        return self.parameters.classifyOutput.strip() if self.parameters is not None else ""

    def run(self) -> None:
        """Button *Classify checked series*."""
        checked, folder, parameters = tuple(self.shared.checked()), self.output, self.parameters
        model, explain = parameters.classifyModel.strip(), explanations_wanted(parameters)
        if not self._has_packages():
            return
        self._count, self._kept, self._cases, self._folders = len(checked), 0, {}, []
        self._tell()
        self.shared.tasks.start(
            _("Classify {count} series").format(count=len(checked)),
            lambda **calls: self.logic.classifySeries(
                checked, folder, model, explain=explain, resume=True, onSeries=self.on_case, **calls
            ),
            self._came_out,
            self._ended,
        )

    def browse_output(self) -> None:
        """Button *...* beside the output folder."""
        choose_folder(self.parameters, "classifyOutput", _("Folder for the results"))

    def open_folder(self) -> None:
        """Button *Open folder*: show it in the system's file manager."""
        open_outside(self.output)

    def on_case(self, update: Any) -> None:
        """A case begins or has ended."""
        if update.status not in ("done", "failed"):
            return
        if update.status == "failed":
            self.shared.log.add(_("Series {uid} failed: {reason}").format(uid=update.series_uid, reason=update.reason))
        else:
            self._folders.append(update.folder)
            self._kept += update.kept
        self._cases[update.series_uid] = update.status
        self._tell()

    def scene_closed(self) -> None:
        """What was said of an earlier batch is of the choices that are gone; one that runs goes on."""
        if not self.shared.tasks.title:
            say(self.ui.classifyBatchLabel, "")

    def update(self, busy: str, no_model: str) -> None:
        """Show what can be clicked."""
        ui, count = self.ui, len(self.shared.checked())
        ui.classifyCheckedLabel.text = _("{count} series are checked on the page DICOM database.").format(count=count)
        none_checked = "" if count else _("Check series on the page DICOM database.")
        enable(
            ui.classifyBatchButton,
            _(
                "Ask the model about every checked series; one that fails does not stop the others. What this model "
                "has answered in the output folder already is kept."
            ),
            busy or none_checked or no_model or why_no_output(self.output),
        )
        there = "" if is_folder(self.output) else _("There is no such folder.")
        enable(ui.classifyOpenButton, _("Show the results as files."), there)
        ui.classifyBatchLabel.visible = bool(ui.classifyBatchLabel.text)

    def _tell(self) -> None:
        ended = list(self._cases.values())
        text = _("{ended} of {count} series: {done} done, {failed} failed.").format(
            ended=len(ended), count=self._count, done=ended.count("done"), failed=ended.count("failed")
        )
        if self._kept:
            text += " " + _("Done earlier: {count}.").format(count=self._kept)
        say(self.ui.classifyBatchLabel, text)

    def _came_out(self, values: Mapping[str, Any]) -> None:
        if values["counts"].get("failed"):
            failed = _("{count} series could not be classified; the reasons are in the log.")
            self.shared.tasks.say(failed.format(count=values["counts"]["failed"]))
        for line in values["left_out"]:
            self.shared.log.add(line)

    def _ended(self) -> None:
        """Put what was done into the scene's table, also after a cancel."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        if self._folders:
            try:
                self.logic.loadClassifications(self._folders)
            except DicomAnalysisError as error:
                self.shared.log.add(str(error))
        self._changed()
