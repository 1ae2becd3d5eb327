"""Model cards in a window of their own, which stays open beside the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

WIDTH, HEIGHT = 760, 620


def show_cards(card_nodes: Sequence[slicer.vtkMRMLTextNode]) -> Any:
    """Show the text of some cards; returns the window, which its owner keeps."""
    window = qt.QDialog(slicer.util.mainWindow())
    window.setWindowTitle(_("Model cards"))
    window.resize(WIDTH, HEIGHT)
    layout = qt.QVBoxLayout(window)
    browser = qt.QTextBrowser()
    browser.setMarkdown("\n\n".join(node.GetText() for node in card_nodes))
    layout.addWidget(browser)
    window.show()
    return window
