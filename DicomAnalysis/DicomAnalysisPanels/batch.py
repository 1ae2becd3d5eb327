"""The section *Segment all checked series*: an output folder, a batch in a child process, and its resumption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from .buttons import enable, why_busy
from .folders import choose_folder, is_folder, open_outside, why_no_output
from .pages import Shared
from .parameters import own_networks, threshold_hu

if TYPE_CHECKING:
    from DicomAnalysisLib.batch.overview import Overview
    from DicomAnalysisLib.batch.request import BatchRequest

    from DicomAnalysis import DicomAnalysisParameterNode

ENDED = ("done", "failed", "skipped")


class BatchPanel:
    """Starts and resumes batches; what is done stands in the output folder, not in this object.

    Parameters
    ----------
    ui : namespace of widgets
        ``outputLineEdit, browseButton, choicesLabel, batch…Button, resumeButton, openFolderButton, batchLabel``.
    shared : Shared
    changed : callable
        Called when other series are done than before.
    """

    def __init__(self, ui: Any, shared: Shared, changed: Callable[[], None]):
        self.ui = ui
        self.shared = shared
        self.parameters: DicomAnalysisParameterNode | None = None
        self._changed = changed
        self._overview: Overview | None = None
        self._request: BatchRequest | None = None
        self._looked_at: str | None = None
        self._checked: tuple[str, ...] = ()
        self._running = False
        self._ended: dict[str, str] = {}  # of the batch that runs: series and what became of it
        self.purposes = (
            (ui.batchHeadrestButton, _("Find the headrest, table and pads in every checked series."), ("headrest",)),
            (ui.batchMetalButton, _("Find metal in every checked series."), ("metal",)),
            (ui.batchBothButton, _("Find headrest and metal in every checked series."), ("headrest", "metal")),
        )
        for button, _purpose, tasks in self.purposes:
            button.connect("clicked(bool)", lambda _checked=False, tasks=tasks: self.start(tasks))
        ui.browseButton.connect("clicked(bool)", self.browse)
        ui.resumeButton.connect("clicked(bool)", self.resume)
        ui.openFolderButton.connect("clicked(bool)", self.open_folder)

    @property
    def folder(self) -> str:
        """The output folder; empty where none is chosen."""
        return self.parameters.outputFolder.strip() if self.parameters is not None else ""

    @property
    def done(self) -> Mapping[str, str]:
        """Series with results in the output folder, and what was segmented in them."""
        return self._overview.done if self._overview is not None else {}

    def result_folder(self, uid: str) -> str:
        """Where the results of a series are; empty where it has none."""
        return str(Path(self.folder) / uid) if uid in self.done else ""

    def look(self) -> None:
        """See what the output folder holds; that of a batch that runs is known from the batch."""
        if self._running:
            return
        folder = self._looked_at = self.folder
        self._overview = self._request = None
        if why_no_output(folder):
            return
        from DicomAnalysisLib.batch.overview import look_at
        from DicomAnalysisLib.batch.request import read_request
        from DicomAnalysisLib.errors import UsageError

        self._overview = look_at(folder)
        try:
            self._request = read_request(folder)
        except UsageError as error:
            self.shared.log.add(str(error))

    def look_where_changed(self) -> None:
        """See what the output folder holds if it is another one."""
        if self._looked_at != self.folder and not self._running:
            self._say("")  # that was about a batch of the other folder
            self.look()

    def browse(self) -> None:
        """Button *...*: choose the output folder."""
        choose_folder(self.parameters, "outputFolder", _("Folder for the results"))

    def open_folder(self) -> None:
        """Button *Open folder*: show it in the system's file manager."""
        open_outside(self.folder)

    def start(self, tasks: tuple[str, ...]) -> None:
        """Segment all checked series."""
        checked, folder = self._checked, self.folder
        options = {
            "region": self.parameters.metalRegion.value,
            "metalThreshold": threshold_hu(self.parameters),
            "method": self.parameters.method.value,
            "models": own_networks(self.parameters),
        }

        def begin(**callbacks: Any) -> Any:
            return self.shared.logic.segmentSeries(checked, folder, tasks, **options, **callbacks)

        self._run(_("Segment {count} series").format(count=len(checked)), begin, checked)

    def resume(self) -> None:
        """Button *Resume*: do what the batch of the output folder has not done."""
        folder, uids = self.folder, self._request.series_uids
        title = _("Resume the batch: {left} of {count} series").format(left=self._left()[0], count=len(uids))
        self._run(title, lambda **callbacks: self.shared.logic.resumeSeries(folder, **callbacks), uids)

    def update(self, checked: Sequence[str]) -> None:
        """Show what can be clicked for the checked series, and why not."""
        self._checked = tuple(checked)
        busy = why_busy(self.shared.tasks.title)
        no_folder = why_no_output(self.folder)
        reason = busy or ("" if checked else _("Check at least one series in the list.")) or no_folder
        for button, purpose, _tasks in self.purposes:
            enable(button, purpose, reason)
        enable(self.ui.outputLineEdit, _("Every series gets a folder of its own in it."), busy)
        enable(self.ui.browseButton, _("Choose the output folder."), busy)
        left = self._left()
        resume_reason = busy or no_folder or left[1]
        self.ui.resumeButton.text = _("Resume ({left} left)").format(left=left[0]) if left[0] else _("Resume")
        enable(self.ui.resumeButton, _("Do only what the batch in this folder has not done yet."), resume_reason)
        there = "" if is_folder(self.folder) else _("There is no such folder.")
        enable(self.ui.openFolderButton, _("Show the results as files."), there)
        self.ui.choicesLabel.text = self._choices()
        self.ui.batchLabel.visible = bool(self.ui.batchLabel.text)

    def _left(self) -> tuple[int, str]:
        """How many series of the folder's batch are left, and why it cannot be resumed."""
        if self._request is None:
            return 0, _("No batch was started in this folder.")
        left = len(self._overview.left(self._request.series_uids))
        failed = sum(uid in self._overview.failed for uid in self._request.series_uids)
        return left + failed, "" if left + failed else _("The batch in this folder is complete.")

    def _choices(self) -> str:
        parameters = self.parameters
        if parameters is None:
            return ""
        threshold = threshold_hu(parameters)
        above = _("derived from each series") if threshold is None else _("{hu:.0f} HU").format(hu=threshold)
        text = _('Metal: {region}; threshold {above} (chosen on the page "Segment").')
        return text.format(region=parameters.metalRegion.label().lower(), above=above)

    def _run(self, title: str, begin: Callable[..., Any], uids: Sequence[str]) -> None:
        count = len(uids)
        self._running, self._ended = True, {}
        self._say(self._so_far(count))

        def begin_watched(**callbacks: Any) -> Any:
            return begin(onSeries=lambda update: self._on_series(update, count), **callbacks)

        self.shared.tasks.start(title, begin_watched, self._finished, lambda: self._on_end(count))

    def _on_series(self, update: Any, count: int) -> None:
        """A series begins or has ended."""
        if update.status not in ENDED:
            return
        if update.status == "failed":
            self.shared.log.add(_("Series {uid} failed: {reason}").format(uid=update.series_uid, reason=update.reason))
        if update.stack != 1:
            return
        self._ended[update.series_uid] = update.status
        self._say(self._so_far(count))
        if update.status == "done":
            self._overview.done[update.series_uid] = ", ".join(update.segments)
            self._changed()

    def _so_far(self, count: int) -> str:
        ended = list(self._ended.values())
        words = ((_("done"), "done"), (_("failed"), "failed"), (_("nothing to segment"), "skipped"))
        parts = [f"{ended.count(state)} {word}" for word, state in words if state in ended]
        return _("{ended} of {count} series: {parts}.").format(
            ended=len(ended), count=count, parts=", ".join(parts) or _("none yet")
        )

    def _finished(self, result: Mapping[str, Any]) -> None:
        counts = result["counts"]
        if counts.get("failed"):
            self.shared.tasks.say(
                _("{count} series could not be segmented; the reasons are in the log. Resume tries them again.").format(
                    count=counts["failed"]
                )
            )

    def _on_end(self, count: int) -> None:
        ended = len(self._ended)
        text = self._so_far(count)
        if ended < count:
            text += " " + _("Resume does the rest.")
        self._say(text)
        self._running, self._ended = False, {}
        self.look()
        self._changed()

    def _say(self, text: str) -> None:
        self.ui.batchLabel.text = text
        self.ui.batchLabel.visible = bool(text)
