"""A training that is watched, whatever is learned: begun, gone on with, its curves and pictures, what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import qt
from slicer.i18n import tr as _

from .buttons import enable, why_busy
from .folders import SeriesSource, choose_folder, is_file, why_no_output
from .pages import PagePanel, Shared
from .training_texts import epoch_text
from .views import ResultLayout, show_in_plot_view

SMALLEST_PICTURE = 200
"""Pixels; the page may not have its width yet."""

Record = Mapping[str, Any]
"""What an epoch reached: see `DicomAnalysisLib.jobs.EpochUpdate`."""


class TrainingWidgets(NamedTuple):
    """The widgets of a training, whatever they are called on their page.

    Attributes
    ----------
    folder, folder_button
        With the series, where they are not those that are checked.
    output_button
        Asks for the output folder.
    train, resume, curves, use
        Buttons; `curves` is one that stays down.
    status
        Says how far the training is.
    strip
        Shows the picture of an epoch's predictions, where the training makes some.
    """

    folder: Any
    folder_button: Any
    output_button: Any
    train: Any
    resume: Any
    curves: Any
    use: Any
    status: Any
    strip: Any = None


class TrainingPanel(PagePanel):
    """What every page with a training does: choices live in the parameter node, what was learned in the output folder.

    A page says what it trains by its attributes, and by the methods that raise `NotImplementedError` here.

    Parameters
    ----------
    ui : namespace of widgets
    shared : Shared
    widgets : TrainingWidgets
    source, folder, output : str
        Names of the parameters that say where the series come from and which output folder is chosen.

    Attributes
    ----------
    measure : str
        What the score of an epoch is.
    purpose, purpose_of_use : str
        What the buttons *Train* and *Use this model* are for.
    source_title : str
        What the user is asked to choose beside the folder with series.
    """

    measure = purpose = purpose_of_use = source_title = ""

    def __init__(self, ui: Any, shared: Shared, widgets: TrainingWidgets, source: str, folder: str, output: str):
        super().__init__(ui, shared)
        self.widgets = widgets
        self.source = SeriesSource(self, source, folder)
        self._output = output
        self._layout = ResultLayout()
        self._about = ""  # the output folder that the following is of: of the training that runs, else the chosen one
        self._is_known = False
        self._history: list[Record] = []
        self._strip, self._text = "", ""
        self._result = ("", "")  # what the last training of this session gave: its output folder, and in words
        self._curves_of = ""  # the output folder whose curves are in the plot view
        widgets.train.connect("clicked(bool)", self.train)
        widgets.resume.connect("clicked(bool)", self.resume)
        widgets.folder_button.connect("clicked(bool)", self.browse_source)
        widgets.output_button.connect("clicked(bool)", self.browse_output)
        widgets.curves.connect("clicked(bool)", self.show_curves)
        widgets.use.connect("clicked(bool)", self.use_model)

    @property
    def folder(self) -> str:
        """The output folder; empty where none is chosen."""
        return getattr(self.parameters, self._output).strip() if self.parameters is not None else ""

    @property
    def model(self) -> Path | None:
        """The model in the output folder, where there is one."""
        model = Path(self.folder) / "model"
        return model if self.folder and is_file(model / "manifest.json") else None

    def train(self) -> None:
        """Button *Train*."""
        title, begin = self._beginning()
        self._run(title, begin)

    def resume(self) -> None:
        """Button *Resume*: go on with the training of the output folder, as it was begun."""
        folder = self.folder
        self._run(_("Resume the training"), lambda **calls: self._go_on(folder, **calls), self._history)

    def use_model(self) -> None:
        """Button *Use this model*."""
        raise NotImplementedError

    def show_curves(self) -> None:
        """Button *Show curves*: a plot view while it is down, the earlier layout when it is up again."""
        shown = self.widgets.curves.checked
        self._layout.show(table=False, plot=shown)
        if shown:
            self._curves_of = self._about
            show_in_plot_view(self._draw(self._about, self._history).chart_node)

    def browse_source(self) -> None:
        """Button *...* beside the folder with series."""
        self.source.browse(self.source_title)

    def browse_output(self) -> None:
        """Button *...* beside the output folder."""
        choose_folder(self.parameters, self._output, _("Folder for the model"))

    def on_epoch(self, update: Any) -> None:
        """An epoch is done: its numbers, and its picture where it has one."""
        # An epoch that was done when the last run was killed, but not kept, comes again; so do those of another fold.
        self._history = [*(one for one in self._history if one["epoch"] < update.record["epoch"]), update.record]
        self._strip = update.strip
        self._text = epoch_text(self._history, self.measure)
        self._draw(self._about, self._history)
        self._show()

    def shown(self) -> None:
        """The page was opened: the output folder may hold another state than before, the page another width."""
        self._is_known = False
        self.update()
        self._show()

    def scene_closed(self) -> None:
        """The curves are gone with the scene; what they show stays in the folder."""
        self._hide_curves()
        self._is_known = False
        self.update()

    def update(self) -> None:
        """Show what the output folder holds, and what can be clicked."""
        if self.parameters is None:
            return
        widgets, busy, no_folder = self.widgets, why_busy(self.shared.tasks.title), why_no_output(self.folder)
        if not busy and not (self._is_known and self._about == self.folder):
            self._look(no_folder)
        widgets.folder.enabled = widgets.folder_button.enabled = self.source.is_folder
        self._update_own()
        enable(widgets.train, self.purpose, busy or self._why_not_begin() or no_folder)
        reason = busy or no_folder
        if not reason and not self._can_go_on(self.folder):
            reason = _("There is no training in the output folder.")
        enable(widgets.resume, _("Go on with the training in the output folder."), reason)
        nothing = "" if self._history else _("Nothing has been learned yet.")
        purpose = _("Show loss and {measure} of every epoch in a plot view.").format(measure=self.measure)
        enable(widgets.curves, purpose, nothing)
        self._follow()
        no_model = "" if self.model else _("There is no model in the output folder yet.")
        enable(widgets.use, self.purpose_of_use, busy or no_model)

    def _beginning(self) -> tuple[str, Callable[..., Any]]:
        """A title for the user, and the call of the logic that begins what is chosen (see `TaskRunner.start`)."""
        raise NotImplementedError

    def _why_not_begin(self) -> str:
        """What is missing, beside the output folder."""
        raise NotImplementedError

    def _go_on(self, folder: str, **calls: Any) -> Any:
        """Go on with the training of a folder."""
        raise NotImplementedError

    def _can_go_on(self, folder: str) -> bool:
        """Whether there is a training in a folder."""
        raise NotImplementedError

    def _learned(self, folder: str) -> tuple[list[Record], str]:
        """The epochs of the training in a folder, and the picture of the last one (empty where there is none)."""
        raise NotImplementedError

    def _draw(self, folder: str, history: Sequence[Record]) -> Any:
        """Put the curves of a folder's training into the scene; returns `CurveNodes`."""
        raise NotImplementedError

    def _result_text(self, values: Mapping[str, Any]) -> str:
        """What came out, in words."""
        raise NotImplementedError

    def _update_own(self) -> None:
        """Show the choices and buttons that no other training has."""

    def _run(self, title: str, begin: Callable[..., Any], history: Sequence[Record] = ()) -> None:
        if not self.has_packages("network", _("Neural networks")):
            return
        self._about, self._history = self.folder, list(history)
        self._strip, self._text = "", ""
        self._show()
        self.shared.tasks.start(
            title, lambda **calls: begin(onEpoch=self.on_epoch, **calls), self._came_out, self._ended
        )

    def _came_out(self, values: Mapping[str, Any]) -> None:
        self._result = (self._about, self._result_text(values))

    def _ended(self) -> None:
        self.shown()

    def _look(self, no_folder: str) -> None:
        """See what the output folder holds."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        self._about, self._is_known = self.folder, True
        self._history, self._strip = [], ""
        if not no_folder:
            try:
                self._history, self._strip = self._learned(self.folder)
            except DicomAnalysisError as error:
                self.shared.log.add(str(error))
        about, text = self._result
        # A result whose model is gone was of an earlier training in this folder.
        is_of_this = about == self.folder and self.model is not None
        self._text = text if is_of_this else epoch_text(self._history, self.measure)
        self._show()

    def _follow(self) -> None:
        """Curves that are shown must not be those of another output folder."""
        if self.widgets.curves.checked and not self._history:
            self._hide_curves()
        elif self.widgets.curves.checked and self._curves_of != self._about:
            self.show_curves()

    def _hide_curves(self) -> None:
        self.widgets.curves.checked = False
        self._layout.show(table=False, plot=False)

    def _say(self, text: str) -> None:
        self._text = text
        self._show()

    def _show(self) -> None:
        self.widgets.status.text = self._text
        if self.widgets.strip is None:
            return
        picture = qt.QPixmap(self._strip) if self._strip else qt.QPixmap()
        if not picture.isNull():
            width = max(SMALLEST_PICTURE, self.widgets.status.width)
            picture = picture.scaledToWidth(width, qt.Qt.SmoothTransformation)
        self.widgets.strip.setPixmap(picture)
