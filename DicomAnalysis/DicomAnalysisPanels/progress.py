"""The strip below the pages: what is running, how far it is, how long it will take, and how it failed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from slicer.i18n import tr as _

from .tasks import Job, TaskRunner

STEPS = 1000


class ProgressPanel:
    """Shows a `TaskRunner` and lets the user cancel.

    Parameters
    ----------
    ui : namespace of widgets
        ``progressFrame, stageLabel, progressBar, remainingLabel, cancelButton``;
        ``messageFrame, messageLabel, showLogButton, dismissButton``.
    tasks : TaskRunner
    show_log : callable
        Opens the log.
    """

    def __init__(self, ui: SimpleNamespace, tasks: TaskRunner, show_log: Callable[[], None]):
        self.ui = ui
        self.tasks = tasks
        ui.cancelButton.connect("clicked(bool)", self.cancel)
        ui.dismissButton.connect("clicked(bool)", self.dismiss)
        ui.showLogButton.connect("clicked(bool)", show_log)
        tasks.listeners.append(self.update)
        self.update()

    def cancel(self) -> None:
        """Button *Cancel*."""
        self.tasks.cancel()

    def dismiss(self) -> None:
        """Button *Dismiss*."""
        self.tasks.say("")

    def update(self) -> None:
        """Show what there is to show; nothing while nothing runs and nothing failed."""
        ui, tasks = self.ui, self.tasks
        job = tasks.job
        ui.messageLabel.text = tasks.message
        ui.cancelButton.visible = job is not None
        if job is None:
            ui.stageLabel.text = tasks.title
            ui.progressBar.setRange(0, 0)  # moves to and fro: no share is known
            ui.remainingLabel.text = ""
        else:
            self._show(job)
        ui.messageFrame.visible = bool(tasks.message)
        ui.progressFrame.visible = bool(tasks.title)

    def _show(self, job: Job) -> None:
        ui = self.ui
        cancelling = job.state == "cancelling"
        ui.cancelButton.enabled = not cancelling
        ui.progressBar.setRange(0, STEPS)
        ui.progressBar.value = int(STEPS * job.progress.value)
        stage = " · ".join(word for word in (job.progress.stage, shortened(job.progress.message)) if word)
        ui.stageLabel.text = _("{title}: {stage}").format(title=self.tasks.title, stage=stage or _("starting"))
        ui.remainingLabel.text = _("Stopping...") if cancelling else remaining_text(job.remaining_seconds)


def shortened(text: str, most: int = 32) -> str:
    """A long text (a UID) without its middle, so that it fits a line."""
    return text if len(text) <= most else f"{text[: most // 2 - 1]}...{text[2 - most // 2 :]}"


def remaining_text(seconds: float | None) -> str:
    """How long it will still take, as exactly as it is known."""
    if seconds is None:
        return _("Remaining time: not known yet")
    if seconds < 1:
        return _("Almost done")
    if seconds < 90:
        return _("About {seconds} s left").format(seconds=round(seconds))
    if seconds < 90 * 60:
        return _("About {minutes} min left").format(minutes=round(seconds / 60))
    return _("About {hours} h left").format(hours=round(seconds / 3600, 1))
