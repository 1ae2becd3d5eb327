"""The choices of the panel, kept in the scene and bound to widgets by name."""

import enum

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper


class MetalRegion(enum.Enum):
    """Which metal is kept; the values are those of the library's options."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    ALL = "all"

    def label(self) -> str:
        """What the list shows."""
        labels = (_("In the patient or at the skin"), _("Outside the patient"), _("Everywhere"))
        return labels[list(MetalRegion).index(self)]


@parameterNodeWrapper
class DicomAnalysisParameterNode:
    """Choices of the *Segment* page, by the names that the .ui file gives its widgets."""

    inputVolume: vtkMRMLScalarVolumeNode  # noqa: N815 (Slicer's style for parameters)
    metalRegion: MetalRegion = MetalRegion.INSIDE  # noqa: N815
    createCleanedVolume: bool = True  # noqa: N815
