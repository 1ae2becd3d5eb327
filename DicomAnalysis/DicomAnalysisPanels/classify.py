"""The page *Classify*: what a trained classifier says about a volume, and about the checked series of the database."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from .buttons import enable, why_busy, why_not
from .classify_batch import ClassifyBatch
from .classify_texts import answer_text, model_text
from .folders import choose_folder
from .log import called_in_log
from .overlays import OverlayList, explanations_wanted
from .pages import PagePanel, Shared
from .views import ResultLayout, hide_overlay, show_in_table_view, show_overlay
from .widgets import fill_texts, say

SERIES_WIDTH = 130
RESULT_COLUMN = "Result"

_NOTHING_KNOWN = (None, None, "")
"""Of which model, and when; what it says about itself; why it cannot be used."""


class ClassifyPanel(PagePanel):
    """Choices live in the parameter node, results in the scene's table; the panel joins them to widgets.

    Parameters are those of `PagePanel`.
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        self._layout = ResultLayout()
        self._shipped: list[str] | None = None
        self._known: tuple[Any, Any, str] = _NOTHING_KNOWN
        self._shown_id = ""  # the volume that the views show the overlay of
        self._filling = False
        self._texts: dict[str, str] = {}
        self.batch = ClassifyBatch(ui, shared, self._has_packages, self.update)
        self._drawn: tuple | None = None
        self._overlays = OverlayList(ui.classifyOverlaySelector, self.show_overlay)
        self._items: list[Any] = []  # Qt's own, but older PythonQt deletes what Python forgets
        ui.classifyButton.connect("clicked(bool)", self.run)
        ui.classifyShippedSelector.connect("currentIndexChanged(int)", self.choose)
        ui.classifyModelButton.connect("clicked(bool)", self.browse_model)
        ui.classifyOverlayButton.connect("clicked(bool)", self.show_overlay)
        ui.classifyTableButton.connect("clicked(bool)", self.show_table)
        ui.classifyUndoButton.connect("clicked(bool)", self.undo)
        ui.classifyTable.setColumnWidth(0, SERIES_WIDTH)

    @property
    def volume_node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume chosen, or None."""
        return self.parameters.classifyVolume if self.parameters is not None else None

    @property
    def model(self) -> str:
        """Name or folder of the model chosen; empty where none is."""
        return self.parameters.classifyModel.strip() if self.parameters is not None else ""

    def run(self) -> None:
        """Button *Classify*."""
        node, model, explain = self.volume_node, self.model, explanations_wanted(self.parameters)
        if not self._has_packages():
            return
        self._say("", node)
        self.shared.tasks.start(
            _("Classify"),
            lambda **calls: self.logic.classifyInBackground(node, model, explain=explain, **calls),
            lambda made: self.show(node, made),
            about=called_in_log(node),
        )

    def show(self, volume_node: Any, made: Any) -> None:
        """Show the result of a volume (`ClassificationNodes`)."""
        self._say(answer_text(made.result), volume_node)
        self._overlays.fill(self.logic.classification(volume_node).overlay_nodes, next(iter(made.overlay_nodes), None))
        self.ui.classifyOverlayButton.checked = bool(made.overlay_nodes)
        self.show_overlay()

    def show_overlay(self) -> None:
        """Button *Overlay*: where the model looked, over the volume, while it is down."""
        node = self.volume_node
        overlay = self._overlays.fill(self.logic.classification(node).overlay_nodes)
        if self.ui.classifyOverlayButton.checked and overlay is not None:
            show_overlay(node, overlay)
        else:
            hide_overlay()
        self.update()

    def show_table(self) -> None:
        """Button *Show table*: a table view while it is down, the earlier layout when it is up again."""
        table_node = self.logic.classification(None).table_node
        self._layout.show(table=self.ui.classifyTableButton.checked, plot=False)
        if self.ui.classifyTableButton.checked and table_node is not None:
            show_in_table_view(table_node)

    def undo(self) -> None:
        """Button *Undo*: the scene as it was before the last result."""
        self.logic.undo()
        self.shared.log.add(_("The last result was taken back."))
        self._say(_("The last result was taken back."), self.volume_node)

    def choose(self, index: int) -> None:
        """A model that comes with the program was chosen in the list, whose first line stands for none of them."""
        if not self._filling and self.parameters is not None and self._shipped:
            self.parameters.classifyModel = self._shipped[index - 1] if index > 0 else ""

    def browse_model(self) -> None:
        """Button *...* beside the model's folder."""
        choose_folder(self.parameters, "classifyModel", _("Folder of a trained classifier"))

    def shown(self) -> None:
        """The page was opened: what the page *Segment* works on is chosen where nothing is."""
        self._known = _NOTHING_KNOWN  # the folder may hold another model than before
        if self.parameters is not None and self.parameters.classifyVolume is None:
            chosen = self.parameters.inputVolume
            if not why_not(chosen):
                self.parameters.classifyVolume = chosen
        self.update()

    def set_parameters(self, parameters: Any) -> None:
        """Work with another parameter node, or with none."""
        self.batch.parameters = parameters
        super().set_parameters(parameters)

    def scene_closed(self) -> None:
        """Nothing is there to say anything about."""
        self._texts, self._drawn = {}, None
        self.batch.scene_closed()
        self.ui.classifyOverlayButton.checked = self.ui.classifyTableButton.checked = False
        self._layout.show(table=False, plot=False)
        self.update()

    def update(self) -> None:
        """Show what is chosen and known, and what can be clicked."""
        if self.parameters is None:
            return
        self._fill_models()
        ui, node, busy = self.ui, self.volume_node, why_busy(self.shared.tasks.title)
        information, no_model = self._model_known()
        say(ui.classifyModelText, no_model if self.model and no_model else model_text(information))
        say(ui.classifyStatusLabel, self._texts.get(node.GetID(), "") if node is not None else "")
        views = information["views"] if information else ("",)
        several = ""
        if len(views) > 1:
            several = _("This model looks at {count} views of a case: check their series on the page DICOM database.")
        enable(
            ui.classifyButton,
            _("Ask the model about this volume; it takes some seconds."),
            busy or why_not(node) or no_model or several.format(count=len(views)),
        )
        found = self.logic.classification(node)
        nothing = _("Nothing has been classified yet.")
        no_overlay = _("There is no overlay of this volume: classify it with the box above checked.")
        enable(
            ui.classifyOverlayButton,
            _("Show where the model looked; click again to hide it."),
            "" if found.overlay_nodes else no_overlay,
        )
        self._follow(node, self._overlays.fill(found.overlay_nodes))
        enable(
            ui.classifyTableButton,
            _("Show all probabilities in a table view; click again for the earlier layout."),
            "" if found.table_node else nothing,
        )
        if not found.table_node and ui.classifyTableButton.checked:
            ui.classifyTableButton.checked = False
            self._layout.show(table=False, plot=False)
        possible = "" if self.logic.canUndo() else _("There is no result of this session to take back.")
        enable(ui.classifyUndoButton, _("Take the last result back."), busy or possible)
        self.batch.update(busy, no_model)
        self._draw_rows(found.table_node)

    def _fill_models(self) -> None:
        """List the shipped classifiers, once; where there are none, there is no list."""
        selector = self.ui.classifyShippedSelector
        self._filling = True
        if self._shipped is None:
            self._shipped = self.logic.classifiers()
            for name in (_("None: the one below"), *self._shipped):
                selector.addItem(name)
        selector.currentIndex = self._shipped.index(self.model) + 1 if self.model in self._shipped else 0
        self._filling = False
        selector.visible = self.ui.classifyShippedLabel.visible = bool(self._shipped)

    def _model_known(self) -> tuple[Any, str]:
        """What the chosen model says about itself, and why it cannot be used."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        if not self.model:
            return None, _("Choose a model: the folder of a trained classifier.")
        about = (self.model, self.shared.tasks.title)  # a task that has ended may have trained it
        if self._known[0] != about:
            try:
                self._known = (about, self.logic.classifierInformation(self.model), "")
            except (DicomAnalysisError, OSError) as error:
                self._known = (about, None, str(error))
        return self._known[1], self._known[2]

    def _follow(self, volume_node: Any, overlay_node: Any) -> None:
        """Another volume was chosen, or the overlay is gone: an overlay that is shown must not be another's."""
        button, volume_id = self.ui.classifyOverlayButton, volume_node.GetID() if volume_node is not None else ""
        other, self._shown_id = volume_id != self._shown_id, volume_id
        if button.checked and overlay_node is None:
            button.checked = False
            hide_overlay()
        elif button.checked and other:
            show_overlay(volume_node, overlay_node)

    def _draw_rows(self, table_node: Any) -> None:
        """The newest table's series and results, the last one on top."""
        rows = []
        if table_node is not None:
            table = table_node.GetTable()
            names, results = table.GetColumnByName("Series"), table.GetColumnByName(RESULT_COLUMN)
            if names is not None and results is not None:
                rows = [(names.GetValue(n), results.GetValue(n)) for n in range(table.GetNumberOfRows())][::-1]
        if tuple(rows) == self._drawn:
            return
        self._drawn, self._items = tuple(rows), fill_texts(self.ui.classifyTable, rows)

    def _say(self, text: str, node: Any) -> None:
        if node is not None:
            self._texts[node.GetID()] = text
        self.update()

    def _has_packages(self) -> bool:
        return self.has_packages("network", _("Neural networks"))
