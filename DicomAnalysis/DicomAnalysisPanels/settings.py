"""The page *Settings and log*."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .buttons import enable
from .pages import PagePanel, Shared


class SettingsPanel(PagePanel):
    """Where tasks run, which versions there are, and the log with what can be done with it.

    Parameters
    ----------
    ui : namespace of widgets
    shared : Shared
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        ui.copyLogButton.connect("clicked(bool)", self.copy)
        ui.saveLogButton.connect("clicked(bool)", self.save)
        ui.clearLogButton.connect("clicked(bool)", self.clear)
        ui.versionLabel.text = versions()
        for line in shared.log.lines:
            self.add_line(line)
        shared.log.listeners.append(self.add_line)
        self.update()

    def add_line(self, line: str) -> None:
        """Show one more line of the log."""
        self.ui.logTextEdit.appendPlainText(line)
        self.update()

    def copy(self) -> None:
        """Button *Copy*: the log goes to the clipboard."""
        self.ui.logTextEdit.selectAll()
        self.ui.logTextEdit.copy()

    def save(self) -> None:
        """Button *Save...*: the log becomes a text file."""
        title = _("Save the log")
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, "DicomAnalysis-log.txt", "*.txt")
        path = path[0] if isinstance(path, tuple) else path  # PythonQt gives the name alone
        if path:
            self.shared.tasks.run_here(_("Save the log"), lambda: self._write(Path(path)))

    def clear(self) -> None:
        """Button *Clear*."""
        self.shared.log.clear()
        self.ui.logTextEdit.plainText = ""
        self.update()

    def update(self) -> None:
        """There is something to copy where there are lines."""
        reason = "" if self.shared.log.lines else _("The log is empty.")
        enable(self.ui.copyLogButton, _("Copy the log, for example to report a problem."), reason)
        enable(self.ui.saveLogButton, _("Save the log as a text file."), reason)
        enable(self.ui.clearLogButton, _("Empty the log."), reason)

    def _write(self, path: Path) -> None:
        from DicomAnalysisLib.files.atomic import write_text

        write_text(path, "\n".join((versions(), "", *self.shared.log.lines, "")))


def versions() -> str:
    """What runs here, for a report."""
    from DicomAnalysisLib import __version__

    return f"DicomAnalysis {__version__}, Slicer {slicer.app.applicationVersion}"
