"""The page *Settings and log*."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .buttons import enable, why_busy
from .pages import PagePanel, Shared


class SettingsPanel(PagePanel):
    """Where tasks run, which versions there are, and the log with what can be done with it.

    Parameters are those of `PagePanel`.
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        ui.copyLogButton.connect("clicked(bool)", self.copy)
        ui.saveLogButton.connect("clicked(bool)", self.save)
        ui.clearLogButton.connect("clicked(bool)", self.clear)
        ui.installButton.connect("clicked(bool)", self.install)
        ui.packagesSelector.connect("currentIndexChanged(int)", self.update)
        ui.versionLabel.text = versions()
        self.features: list[str] = []
        for line in shared.log.lines:
            self.add_line(line)
        shared.log.listeners.append(self.add_line)
        self.update()

    def add_line(self, line: str) -> None:
        """Show one more line of the log."""
        self.ui.logTextEdit.appendPlainText(line)
        self.update()

    def shown(self) -> None:
        """List the features that need packages of their own, the first time that the page is opened."""
        from DicomAnalysisLib.dependencies import FEATURES

        if not self.features:
            self.features = [name for name, feature in FEATURES.items() if feature.packages]
            for name in self.features:
                self.ui.packagesSelector.addItem(FEATURES[name].title)
        self.update()

    def install(self) -> None:
        """Button *Install...*: asks, says what, how large and where from, and installs."""
        feature = self.features[self.ui.packagesSelector.currentIndex]
        title = _("Install packages: {name}").format(name=self.ui.packagesSelector.currentText)
        self.shared.tasks.run_here(title, lambda: self.logic.ensurePackages(feature))

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
        text, missing = self._packages()
        self.ui.packagesLabel.text = text
        busy = why_busy(self.shared.tasks.title)
        purpose = _("Install what is missing; you are asked first, and told how large it is and where it comes from.")
        enable(self.ui.installButton, purpose, busy or ("" if missing else _("Nothing is missing.")))

    def _packages(self) -> tuple[str, bool]:
        """What the chosen feature has and lacks, and whether it lacks anything."""
        index = self.ui.packagesSelector.currentIndex
        if not 0 <= index < len(self.features):
            return "", False
        from DicomAnalysisLib.dependencies import missing

        lacking = [package.name for package in missing(self.features[index])]
        return (_("Missing: {names}").format(names=", ".join(lacking)) if lacking else _("All is there.")), bool(
            lacking
        )

    def _write(self, path: Path) -> None:
        from DicomAnalysisLib.files.atomic import write_text

        write_text(path, "\n".join((versions(), "", *self.shared.log.lines, "")))


def versions() -> str:
    """What runs here, for a report."""
    from DicomAnalysisLib import __version__

    return f"DicomAnalysis {__version__}, Slicer {slicer.app.applicationVersion}"
