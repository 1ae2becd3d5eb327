"""The page *DICOM database*: its series as a list, of which one is loaded or many are checked for a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from .batch import BatchPanel
from .buttons import enable, why_busy
from .pages import PagePanel, Shared
from .series_table import SeriesTable, date_text
from .views import show_volume


class DatabasePanel(PagePanel):
    """List, filter, check boxes and *Load*; the batch itself is a panel of its own below them.

    Parameters are those of `PagePanel`.
    """

    def __init__(self, ui: Any, shared: Shared):
        super().__init__(ui, shared)
        self.series: Sequence[Any] = ()
        self.was_read = False
        self._texts: list[str] = []
        self._listed: tuple | None = None
        self.batch = BatchPanel(ui, shared, self.list_again)
        self.list = SeriesTable(ui.seriesTable, self.update, self.load)
        shared.checked = self.checked
        ui.refreshButton.connect("clicked(bool)", self.refresh)
        ui.checkShownButton.connect("clicked(bool)", self.check_shown)
        ui.uncheckAllButton.connect("clicked(bool)", self.uncheck_all)
        ui.loadButton.connect("clicked(bool)", self.load_current)

    def shown(self) -> None:
        """Fill the list the first time that the page is opened: nobody waits for it before."""
        self.batch.look()
        if self.was_read:
            self.list_again()
        else:
            self.refresh()

    def refresh(self) -> None:
        """Button *Refresh*: read the list from the database again."""
        found = self.shared.tasks.run_here(_("Read the list of series"), self.logic.databaseSeries)
        self.was_read, self._listed = found is not None, None
        self.series = found or ()
        self._texts = [searchable(one) for one in self.series]
        self.list.set_series(self.series)
        self.batch.look()
        self.update()

    def checked(self) -> tuple[str, ...]:
        """UIDs of the checked series, in the order of the list."""
        return tuple(uid for uid in self._order() if uid in self.list.checked)

    def list_again(self) -> None:
        """Results came or went: show which series are done."""
        self._listed = None
        self.update()

    def check_shown(self) -> None:
        """Button *Check shown*."""
        self.list.check(self.list.shown)

    def uncheck_all(self) -> None:
        """Button *Uncheck all*."""
        self.list.check(tuple(self.list.checked), checked=False)

    def load_current(self) -> None:
        """Button *Load*."""
        self.load(self.list.current)

    def load(self, uid: str) -> None:
        """Load a series and show it; what the output folder holds about it comes with it."""
        if self.shared.tasks.title:
            return
        folder = self.batch.result_folder(uid)
        volume_node = self.shared.tasks.run_here(
            _("Load a series"), lambda: self.logic.loadSeries(uid, resultFolder=folder), uid
        )
        if volume_node is not None:
            show_volume(volume_node, fit=True)
            self.shared.select(volume_node)

    def set_parameters(self, parameters: Any) -> None:
        """Work with another parameter node, or with none."""
        self.batch.parameters = parameters
        super().set_parameters(parameters)

    def update(self) -> None:
        """Show the series that the filter asks for, and what can be clicked."""
        if self.parameters is None:
            return
        parameters, batch = self.parameters, self.batch
        batch.look_where_changed()
        wanted = (parameters.seriesFilter, parameters.onlyCT, parameters.hideDone, parameters.outputFolder)
        if wanted != self._listed:
            self._listed = wanted
            self.list.show(self._chosen(batch.done), batch.done)
        self._tell()
        busy = why_busy(self.shared.tasks.title)
        ui, nothing = self.ui, _("There is no series in the list.")
        enable(ui.refreshButton, _("Read the list from the DICOM database again."), busy)
        enable(
            ui.checkShownButton,
            _("Check every series that the filter shows."),
            "" if self.list.shown_count else nothing,
        )
        enable(
            ui.uncheckAllButton,
            _("Uncheck every series, also those that the filter hides."),
            "" if self.list.checked else _("No series is checked."),
        )
        enable(
            ui.loadButton,
            _("Load the selected series as one volume, with every slice where it was acquired."),
            busy or ("" if self.list.current else _("Select a series: click its row.")),
        )
        batch.update(self.checked())

    def _order(self) -> list[str]:
        return [one.identity.series_uid for one in self.series] if self.list.checked else []

    def _chosen(self, done: Mapping[str, str]) -> list[int]:
        """Places in the list of the series that the filter and the choices let through."""
        parameters = self.parameters
        words, only_ct, hide_done = parameters.seriesFilter.casefold().split(), parameters.onlyCT, parameters.hideDone
        return [
            index
            for index, (one, text) in enumerate(zip(self.series, self._texts, strict=True))
            # Files without a modality are shown: the reader decides what they are.
            if (not only_ct or one.identity.modality in ("CT", ""))
            and not (hide_done and one.identity.series_uid in done)
            and all(word in text or ("." in word and word in one.identity.series_uid) for word in words)
        ]

    def _tell(self) -> None:
        total, shown, checked = len(self.series), self.list.shown_count, len(self.list.checked)
        if not self.was_read:
            text = _("The list has not been read yet.")
        elif not total:
            text = _(
                "There is no series in Slicer's DICOM database: add DICOM files in the module DICOM, then refresh."
            )
        else:
            text = _("{shown} of {total} series shown, {checked} checked.").format(
                shown=f"{shown:,}", total=f"{total:,}", checked=f"{checked:,}"
            )
        self.ui.countLabel.text = text


def searchable(one: Any) -> str:
    """What the filter looks through, beside the UID for words with a dot in them."""
    who = one.identity
    dates = (one.study_date, date_text(one.study_date))
    words = (who.patient_id, one.study_description, who.series_description, who.modality, who.body_part)
    return " ".join((*dates, *words)).casefold()
