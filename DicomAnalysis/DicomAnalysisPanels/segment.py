"""The page *Segment*: headrest and metal of a loaded volume."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from .buttons import enable, why_busy, why_not
from .cards import show_cards
from .folders import choose_folder
from .log import called_in_log
from .pages import PagePanel, Shared
from .parameters import Method, RunPlace, own_networks, threshold_hu
from .results import ResultsPanel, summary

NETWORK_TASKS = ("headrest", "metal")
SMALL_VOXELS = 4_000_000
"""Volumes up to this size are segmented inside Slicer: that takes less time than starting a process."""


class SegmentPanel(PagePanel):
    """Choices live in the parameter node, results in the scene; the panel joins them to widgets.

    Parameters are those of `PagePanel`.
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        self.results = ResultsPanel(ui, shared, lambda: self.volume_node)
        self.purposes = (
            (ui.segmentHeadrestButton, _("Find the headrest, table and pads."), ("headrest",)),
            (ui.segmentMetalButton, _("Find metal."), ("metal",)),
            (ui.segmentBothButton, _("Find headrest and metal in one run."), ("headrest", "metal")),
        )
        for button, _purpose, tasks in self.purposes:
            button.connect("clicked(bool)", lambda _checked=False, tasks=tasks: self.run(tasks))
        ui.ownNetworkButton.connect("clicked(bool)", self.browse_network)
        ui.networkCardButton.connect("clicked(bool)", self.show_cards)
        self.cards: Any = None
        self.update()

    @property
    def volume_node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume chosen, or None."""
        return self.parameters.inputVolume if self.parameters is not None else None

    def entered(self) -> None:
        """The scene's first volume is chosen where none is."""
        if self.parameters is not None and self.parameters.inputVolume is None:
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if not why_not(first):
                self.parameters.inputVolume = first

    def select(self, volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Choose a volume that was just loaded, and say what is unusual about it."""
        if self.parameters is not None:
            self.parameters.inputVolume = volume_node
            loaded = _("Loaded {name}.").format(name=volume_node.GetName())
            self.results.say("\n".join(line for line in (loaded, volume_node.GetDescription()) if line))

    def run(self, tasks: tuple[str, ...]) -> None:
        """Segment the chosen volume, show the results and say what was found."""
        volume_node, parameters = self.volume_node, self.parameters
        title = _("Segment {wanted}").format(wanted=_(" and ").join(_task_name(task) for task in tasks))
        options = {
            "region": parameters.metalRegion.value,
            "metalThreshold": threshold_hu(parameters),
            "createCleanedVolume": parameters.createCleanedVolume,
            "method": parameters.method.value,
            "models": own_networks(parameters),
        }
        self.results.say("")
        if self.runs_inside(volume_node):
            made = self.shared.tasks.run_here(
                title, lambda: self.logic.segment(volume_node, tasks, **options), called_in_log(volume_node)
            )
            if made is not None:
                self.show(volume_node, made)
        else:
            self.shared.tasks.start(
                title,
                lambda **callbacks: self.logic.segmentInBackground(volume_node, tasks, **options, **callbacks),
                lambda made: self.show(volume_node, made),
                about=called_in_log(volume_node),
            )

    def browse_network(self) -> None:
        """Button *...*: choose the folder of a model."""
        choose_folder(self.parameters, "ownNetwork", _("Folder of a model"))

    def show_cards(self) -> None:
        """Button *Card*: of the networks of one's own, else of those that come with the program."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        try:
            wanted = own_networks(self.parameters) or NETWORK_TASKS
            self.cards = show_cards([self.logic.modelCard(one) for one in wanted])
        except DicomAnalysisError as error:
            self.results.say(str(error))

    def runs_inside(self, volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
        """Whether a volume is segmented inside Slicer, without a process of its own."""
        place = self.parameters.runPlace
        if place is RunPlace.AUTO and self.parameters.method is Method.NETWORK:
            return False  # loading torch alone takes seconds
        if place is RunPlace.AUTO:
            i, j, k = volume_node.GetImageData().GetDimensions()
            return i * j * k <= SMALL_VOXELS
        return place is RunPlace.INSIDE

    def show(self, volume_node: slicer.vtkMRMLScalarVolumeNode, made: Any) -> None:
        """Show the results of a volume (`SegmentationNodes`)."""
        self.results.show_original(volume_node)
        self.results.say(summary(made.result), volume_node)

    def update(self) -> None:
        """Buttons can be clicked when they can do their work; otherwise their tooltip says why not."""
        reason = why_busy(self.shared.tasks.title) or why_not(self.volume_node)
        for button, purpose, _tasks in self.purposes:
            enable(button, purpose, reason)
        self.results.update()

    def scene_closed(self) -> None:
        """Nothing is there to say anything about."""
        self.results.scene_closed()


def _task_name(task: str) -> str:
    return {"headrest": _("headrest"), "metal": _("metal"), "bone": _("bone")}.get(task, task)
