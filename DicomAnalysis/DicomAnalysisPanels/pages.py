"""Which pages the panel has. A later page is one more line in `PAGES`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import slicer
from slicer.i18n import tr as _

from .log import Log
from .tasks import TaskRunner

if TYPE_CHECKING:
    from DicomAnalysis import DicomAnalysisLogic, DicomAnalysisParameterNode


class Page(NamedTuple):
    """One page: what its tab says, its .ui file, its panel class (``module:class`` in this package) and what it needs.

    A page whose part of the library (`needs`, a module) is not there is not shown. `parts` are further sections below
    it, each with a .ui file and a panel class of its own.
    """

    title: str
    ui: str
    panel: str
    needs: str
    parts: tuple[tuple[str, str], ...] = ()


PAGES = (
    Page(_("Segment"), "Segment.ui", "segment:SegmentPanel", "DicomAnalysisLib.segmentation"),
    Page(_("DICOM database"), "Database.ui", "database:DatabasePanel", "DicomAnalysisLib.dicom"),
    Page(_("Train"), "Train.ui", "train:TrainPanel", "DicomAnalysisLib.segmentation.training"),
    Page(
        _("Classify"),
        "Classify.ui",
        "classify:ClassifyPanel",
        "DicomAnalysisLib.classification",
        (("TrainClassifier.ui", "train_classifier:TrainClassifierPanel"),),
    ),
    Page(_("Agreement"), "Agreement.ui", "agreement:AgreementPanel", "DicomAnalysisLib.reporting.agreement"),
    Page(_("Cohort"), "Cohort.ui", "cohort:CohortPanel", "DicomAnalysisLib.cohort.clustering"),
    Page(_("Settings and log"), "Settings.ui", "settings:SettingsPanel", "DicomAnalysisLib.errors"),
)


@dataclass
class Shared:
    """What pages share.

    Attributes
    ----------
    logic : DicomAnalysisLogic
    tasks : TaskRunner
    log : Log
    select : callable
        Chooses a volume node and shows the page that works on it.
    checked : callable
        Gives the UIDs of the series that are checked in the list of the DICOM database.
    """

    logic: DicomAnalysisLogic
    tasks: TaskRunner
    log: Log
    select: Callable[[Any], None] = lambda _node: None
    checked: Callable[[], Sequence[str]] = tuple


class PagePanel:
    """What every page answers to.

    Parameters
    ----------
    ui : namespace of widgets
        Those of all pages, by name.
    shared : Shared
    """

    def __init__(self, ui: Any, shared: Shared):
        self.ui = ui
        self.shared = shared
        self.logic = shared.logic
        self.parameters: DicomAnalysisParameterNode | None = None

    def set_parameters(self, parameters: DicomAnalysisParameterNode | None) -> None:
        """Work with another parameter node, or with none while the scene is being closed."""
        self.parameters = parameters
        if parameters is not None:
            self.update()

    def update(self) -> None:
        """Something changed (a choice, a node, a task): show it, and what can be clicked now."""

    def entered(self) -> None:
        """The module was opened."""

    def shown(self) -> None:
        """The page was opened."""

    def scene_closed(self) -> None:
        """The scene is empty now."""

    def has_packages(self, feature: str, name: str) -> bool:
        """Have the packages of a feature (`name` in the user's words), asking the user where they are missing."""
        from DicomAnalysisLib.dependencies import missing

        if not missing(feature):
            return True
        title = _("Install packages: {name}").format(name=name)
        return bool(self.shared.tasks.run_here(title, lambda: self.logic.ensurePackages(feature)))


class Pages:
    """Builds every page that can be shown and passes on what all of them have to know.

    There are more pages than tabs fit into a narrow panel, so they are chosen from a list above them.

    Parameters
    ----------
    tabs : QTabWidget
    resource_path : callable
        From a name below ``Resources`` to its path.
    pages : sequence of Page
    """

    def __init__(self, tabs: Any, resource_path: Callable[[str], str], pages: tuple[Page, ...] = PAGES):
        self.tabs = tabs
        self.pages = [page for page in pages if _is_there(page.needs)]
        self.panels: list[PagePanel] = []
        self.parts: list[tuple[int, PagePanel]] = []
        self.widgets = []
        for page in self.pages:
            widget = slicer.util.loadUI(resource_path(f"UI/{page.ui}"))
            self.widgets.append(widget)
            for ui, _panel in page.parts:
                part = slicer.util.loadUI(resource_path(f"UI/{ui}"))
                self.widgets.append(part)
                widget.layout().insertWidget(widget.layout().count() - 1, part)  # the last item is the empty space
            tabs.addTab(widget, page.title)

    def build(self, ui: Any, shared: Shared) -> None:
        """Make the panels, once all widgets are known by name."""
        for index, page in enumerate(self.pages):
            self.panels.append(_panel_class(page.panel)(ui, shared))
            self.parts += [(index, _panel_class(panel)(ui, shared)) for _ui, panel in page.parts]
        self.selector = ui.pageSelector
        for page in self.pages:
            self.selector.addItem(page.title)
        self.tabs.tabBar().hide()
        self.selector.connect("currentIndexChanged(int)", self.choose)
        self.tabs.connect("currentChanged(int)", self.on_changed)
        shared.tasks.listeners.append(self.update)

    def set_scene(self, scene: slicer.vtkMRMLScene | None) -> None:
        """Tell the pages that list nodes which scene to list."""
        for widget in self.widgets:
            if widget.className() == "qMRMLWidget":
                widget.setMRMLScene(scene)

    def show(self, panel_name: str) -> None:
        """Open the page whose panel has this class name."""
        for index, page in enumerate(self.pages):
            if page.panel.endswith(f":{panel_name}"):
                self.tabs.currentIndex = index

    def entered(self) -> None:
        """The module was opened."""
        for panel in self._all():
            panel.entered()

    def choose(self, index: int) -> None:
        """Another page was chosen in the list."""
        self.tabs.currentIndex = index

    def on_changed(self, index: int) -> None:
        """Another page was opened."""
        self.selector.currentIndex = index
        if 0 <= index < len(self.panels):
            for panel in (self.panels[index], *(part for page, part in self.parts if page == index)):
                panel.shown()

    def set_parameters(self, parameters: DicomAnalysisParameterNode | None) -> None:
        """Work with another parameter node, or with none."""
        for panel in self._all():
            panel.set_parameters(parameters)

    def update(self) -> None:
        """Something changed."""
        for panel in self._all():
            panel.update()

    def scene_closed(self) -> None:
        """The scene is empty now."""
        for panel in self._all():
            panel.scene_closed()

    def _all(self) -> list[PagePanel]:
        return [*self.panels, *(part for _index, part in self.parts)]


def _panel_class(name: str) -> type[PagePanel]:
    module, _colon, panel = name.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), panel)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
