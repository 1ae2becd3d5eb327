"""The page *Settings and log*."""

from __future__ import annotations

import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from DicomAnalysisLib import __version__
from DicomAnalysisLib.dependencies import FEATURES
from panel_cases import nodes, open_panel, run_application
from standins import FileDialog

slicer_app = pytest.fixture(run_application)


@pytest.fixture
def page(slicer_app):
    opened = open_panel(slicer_app)
    opened.panel.pages.show("SettingsPanel")
    return opened


def test_the_log_has_a_line_for_what_is_done(page):
    assert not page.ui.copyLogButton.enabled
    assert "empty" in page.ui.saveLogButton.toolTip
    page.ui.segmentMetalButton.click()
    lines = page.ui.logTextEdit.plainText.splitlines()
    assert len(lines) == len(page.panel.log.lines) == 2
    assert "Started: Segment metal" in lines[0]
    assert "Done: Segment metal" in lines[1]


def test_the_log_is_copied_saved_and_emptied(page, tmp_path, monkeypatch):
    from PySide6 import QtGui

    page.ui.segmentMetalButton.click()
    page.ui.copyLogButton.click()
    assert "Done: Segment metal" in QtGui.QGuiApplication.clipboard().text()
    monkeypatch.setattr(FileDialog, "chosen", str(tmp_path / "log.txt"))
    page.ui.saveLogButton.click()
    saved = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert saved.startswith(f"DicomAnalysis {__version__}, Slicer 5.13.0")
    assert "Done: Segment metal" in saved
    page.ui.clearLogButton.click()
    assert page.ui.logTextEdit.plainText == ""
    assert not page.ui.copyLogButton.enabled


def test_a_log_that_cannot_be_saved_is_a_message(page, tmp_path, monkeypatch):
    page.ui.segmentMetalButton.click()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(FileDialog, "chosen", str(tmp_path / "file" / "log.txt"))
    page.ui.saveLogButton.click()
    assert "Cannot write" in page.ui.messageLabel.text
    monkeypatch.setattr(FileDialog, "chosen", "")
    page.ui.saveLogButton.click()  # the user thought better of it


def test_a_long_log_forgets_its_beginning(slicer_app):
    from DicomAnalysisPanels import Log
    from DicomAnalysisPanels.log import MOST_LINES

    log = Log()
    for number in range(MOST_LINES + 10):
        log.add(str(number))
    assert len(log.lines) == MOST_LINES
    assert log.lines[-1].endswith(str(MOST_LINES + 9))


def test_where_tasks_run(page):
    from DicomAnalysisPanels import RunPlace

    page.ui.runPlaceSelector.currentIndex = 2
    assert page.parameters.runPlace is RunPlace.INSIDE
    segment = page.panel.pages.panels[0]
    assert segment.runs_inside(page.node)
    page.ui.runPlaceSelector.currentIndex = 1
    assert not segment.runs_inside(page.node)
    page.ui.runPlaceSelector.currentIndex = 0
    assert segment.runs_inside(page.node)  # it is small
    page.node.GetImageData().SetDimensions(512, 512, 300)
    assert not segment.runs_inside(page.node)


def test_packages_are_told_and_asked_for(page, monkeypatch):
    """What is there on this machine varies: the wish is looked at, not the installation."""
    names = [name for name, feature in FEATURES.items() if feature.packages]
    assert page.ui.packagesSelector.count == len(names)
    asked = []
    monkeypatch.setattr(page.logic, "ensurePackages", lambda feature: asked.append(feature) or True)
    monkeypatch.setattr("DicomAnalysisLib.dependencies.missing", lambda feature: FEATURES[feature].packages)
    page.ui.packagesSelector.currentIndex = names.index("network")
    assert page.ui.packagesLabel.text == "Missing: torch, monai, safetensors"
    page.ui.installButton.click()
    assert asked == ["network"]
    monkeypatch.setattr("DicomAnalysisLib.dependencies.missing", lambda _feature: ())
    page.ui.packagesSelector.currentIndex = 0
    assert page.ui.packagesLabel.text == "All is there."
    assert not page.ui.installButton.enabled
    assert not nodes(page.scene, "vtkMRMLSegmentationNode")
