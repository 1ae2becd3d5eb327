"""Segment the headrest and metal of a loaded volume, and show what was found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from .views import is_in_3d, show_in_3d, show_table, show_volume

if TYPE_CHECKING:
    from DicomAnalysisLib.segmentation.result import Segment, SegmentationResult

    from DicomAnalysis import DicomAnalysisLogic, DicomAnalysisParameterNode

SHOWN_WARNINGS = 4


class SegmentPanel:
    """The *Segment* page: choices live in the parameter node, results in the scene; the panel joins them to widgets.

    Parameters
    ----------
    ui : namespace of widgets
    logic : DicomAnalysisLogic
    """

    def __init__(self, ui: SimpleNamespace, logic: DicomAnalysisLogic):
        self.ui = ui
        self.logic = logic
        self.parameters: DicomAnalysisParameterNode | None = None
        self.purposes = (
            (ui.segmentHeadrestButton, _("Find the headrest, table and pads.")),
            (ui.segmentMetalButton, _("Find metal, with a threshold derived from the volume.")),
            (ui.segmentBothButton, _("Find headrest and metal in one run.")),
        )
        ui.segmentHeadrestButton.connect("clicked(bool)", self.segment_headrest)
        ui.segmentMetalButton.connect("clicked(bool)", self.segment_metal)
        ui.segmentBothButton.connect("clicked(bool)", self.segment_both)
        ui.showTableButton.connect("clicked(bool)", self.show_table)
        ui.show3DButton.connect("clicked(bool)", self.show_3d)
        ui.compareButton.connect("clicked(bool)", self.compare)
        self.update()

    def set_parameters(self, parameters: DicomAnalysisParameterNode | None) -> None:
        """Work with another parameter node, or with none while the scene is being closed."""
        self.parameters = parameters
        self.update()

    @property
    def volume_node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume chosen, or None."""
        return self.parameters.inputVolume if self.parameters is not None else None

    def choose_first(self) -> None:
        """Choose the scene's first volume where none is chosen and that one can be segmented."""
        first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        if self.volume_node is None and not why_not(first):
            self.parameters.inputVolume = first

    def select(self, volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Choose a volume."""
        if self.parameters is not None:
            self.parameters.inputVolume = volume_node
            self.say(volume_node.GetDescription() or _("Loaded {name}.").format(name=volume_node.GetName()))

    def segment_headrest(self) -> None:
        """Button *Segment headrest*."""
        self.run(("headrest",))

    def segment_metal(self) -> None:
        """Button *Segment metal*."""
        self.run(("metal",))

    def segment_both(self) -> None:
        """Button *Segment both*."""
        self.run(("headrest", "metal"))

    def run(self, tasks: tuple[str, ...]) -> None:
        """Segment the chosen volume, show the results and say what was found."""
        volume_node = self.volume_node
        self.say(_("Segmenting {name}...").format(name=volume_node.GetName()))
        slicer.app.processEvents()
        with slicer.util.tryWithErrorDisplay(_("The volume could not be segmented."), waitCursor=True):
            try:
                results = self.logic.segment(
                    volume_node,
                    tasks,
                    region=self.parameters.metalRegion.value,
                    createCleanedVolume=self.parameters.createCleanedVolume,
                )
            except Exception as error:
                self.say(str(error))
                raise
            show_volume(volume_node)
            self.say(summary(results.result))
            self.update()

    def show_table(self) -> None:
        """Button *Show table*."""
        show_table(self.logic.results(self.volume_node).tableNode)

    def show_3d(self) -> None:
        """Button *Show in 3-D*."""
        with slicer.util.tryWithErrorDisplay(_("The segments could not be shown in 3-D."), waitCursor=True):
            show_in_3d(self.logic.results(self.volume_node).segmentationNode, self.ui.show3DButton.checked)

    def compare(self) -> None:
        """Button *Show cleaned*: the cleaned volume while it is down, the original while it is up."""
        cleaned = self.logic.results(self.volume_node).cleanedVolumeNode
        show_volume(cleaned if self.ui.compareButton.checked else self.volume_node)

    def update(self) -> None:
        """Buttons can be clicked when they can do their work; otherwise their tooltip says why not."""
        reason = why_not(self.volume_node)
        for button, purpose in self.purposes:
            enable(button, purpose, reason)
        results = self.logic.results(self.volume_node)
        nothing = _("Nothing has been segmented in this volume yet.")
        enable(
            self.ui.showTableButton,
            _("Show volumes, places and values of the segments in a table."),
            "" if results.tableNode else nothing,
        )
        enable(
            self.ui.show3DButton,
            _("Make surfaces of the segments and show them in the 3-D view."),
            "" if results.segmentationNode else nothing,
        )
        enable(
            self.ui.compareButton,
            _("Show the volume without its headrest in the slice views; click again for the original."),
            "" if results.cleanedVolumeNode else _("There is no cleaned volume yet: segment the headrest."),
        )
        self.ui.show3DButton.checked = bool(results.segmentationNode) and is_in_3d(results.segmentationNode)
        if not results.cleanedVolumeNode:
            self.ui.compareButton.checked = False

    def say(self, text: str) -> None:
        """Show a message on the page."""
        self.ui.statusLabel.text = text


def enable(button: object, purpose: str, reason: str) -> None:
    """Enable a button, or disable it with the reason in its tooltip."""
    button.enabled = not reason
    button.toolTip = reason or purpose


def why_not(volume_node: slicer.vtkMRMLNode | None) -> str:
    """Why a node cannot be segmented, in words for the user; empty where it can."""
    from DicomAnalysisLib.errors import TaskError
    from DicomAnalysisLib.mrml import require_scalar_volume

    try:
        require_scalar_volume(volume_node)
    except TaskError as error:
        return str(error)
    return ""


def summary(result: SegmentationResult) -> str:
    """What was found, in a few lines."""
    lines = [segment_line(segment) for segment in result.segments]
    if result.threshold_hu is not None:
        lines.append(_("Metal is what lies above {hu:.0f} HU.").format(hu=result.threshold_hu))
    lines += [_("Please look: {warning}").format(warning=warning) for warning in result.warnings[:SHOWN_WARNINGS]]
    if len(result.warnings) > SHOWN_WARNINGS:
        more = len(result.warnings) - SHOWN_WARNINGS
        lines.append(_("{count} more warnings are in the segmentation's description.").format(count=more))
    return "\n".join(lines)


def segment_line(segment: Segment) -> str:
    """One segment in one line."""
    if not segment.mask.any():
        return _("{name}: none found.").format(name=segment.kind.name)
    ml, pieces = segment.measurements.get("volume_ml") or 0.0, segment.measurements.get("components")
    if pieces == 1:
        return _("{name}: {ml:.1f} ml in one piece.").format(name=segment.kind.name, ml=ml)
    return _("{name}: {ml:.1f} ml in {pieces} pieces.").format(name=segment.kind.name, ml=ml, pieces=pieces)
