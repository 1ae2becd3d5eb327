"""What the panel did, line by line, for the user to read and to report. Patients are not named."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import slicer

logger = logging.getLogger("DicomAnalysis")

MOST_LINES = 5000


class Log:
    """Lines with their time; whoever wants to show them is told of each."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.listeners: list[Callable[[str], None]] = []

    def add(self, text: str, *, error: bool = False) -> None:
        """Note what happened; an error goes to the application's log, too."""
        if error:
            logger.error(text)
        line = f"{time.strftime('%H:%M:%S')}  {text.rstrip()}"
        self.lines = [*self.lines[1 - MOST_LINES :], line]
        for listener in self.listeners:
            listener(line)

    def clear(self) -> None:
        """Forget all lines."""
        self.lines = []


def called_in_log(volume_node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """What a volume is called in the log: its name may be a patient's."""
    from DicomAnalysisLib.mrml.hierarchy import identity_of_node

    return identity_of_node(volume_node).series_uid or volume_node.GetID()
