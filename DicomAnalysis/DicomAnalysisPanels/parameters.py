"""The choices of the panel, kept in the scene and bound to widgets by name."""

import enum
from types import SimpleNamespace
from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

DERIVED = 0.0
"""Value of the metal threshold that stands for: derived from each series."""


class MetalRegion(enum.Enum):
    """Which metal is kept; the values are those of the library's options."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    ALL = "all"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("In the patient or at the skin"), _("Outside the patient"), _("Everywhere"))
        return labels[list(MetalRegion).index(self)]


class RunPlace(enum.Enum):
    """Where a task on a loaded volume runs."""

    AUTO = "auto"
    BESIDE = "beside"
    INSIDE = "inside"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("Automatic"), _("Always beside Slicer"), _("Always inside Slicer"))
        return labels[list(RunPlace).index(self)]


@parameterNodeWrapper
class DicomAnalysisParameterNode:
    """Choices of all pages, by the names that the .ui files give their widgets (`SlicerParameterName`)."""

    inputVolume: vtkMRMLScalarVolumeNode  # noqa: N815 (Slicer's style for parameters)
    metalRegion: MetalRegion = MetalRegion.INSIDE  # noqa: N815
    metalThreshold: Annotated[float, WithinRange(0.0, 30000.0)] = DERIVED  # noqa: N815
    createCleanedVolume: bool = True  # noqa: N815
    seriesFilter: str = ""  # noqa: N815
    onlyCT: bool = True  # noqa: N815
    hideDone: bool = False  # noqa: N815
    outputFolder: str = ""  # noqa: N815
    runPlace: RunPlace = RunPlace.AUTO  # noqa: N815


def bind(parameters: DicomAnalysisParameterNode, ui: SimpleNamespace) -> int:
    """Let widgets and parameters of the same name follow each other; returns the tag for `disconnectGui`.

    What `connectGui(ui)` does, but with its tag: `connectGui` returns none up to Slicer 5.13 (its issue
    7547), so that the widgets would go on writing to the choices of a scene that was closed.
    """
    named = {}
    for widget in vars(ui).values():
        name = widget.property("SlicerParameterName")
        if name:
            named[name] = widget
    return parameters.connectParametersToGui(named)


def threshold_hu(parameters: DicomAnalysisParameterNode) -> "float | None":
    """The metal threshold that a user set, or None where it is to be derived."""
    return parameters.metalThreshold if parameters.metalThreshold > DERIVED else None
