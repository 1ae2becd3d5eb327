"""The list of series: tens of thousands of rows, of which the widget is given those that are seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from DicomAnalysisLib.dicom.database import SeriesSummary

AHEAD = 100
"""Rows that are filled at once: more than any window shows."""

WIDTHS = (120, 150, 140, 66, 80, 58, 70)


class SeriesTable:
    """Rows with a check box each, sorted by a click on a column's title.

    All is kept in Python lists; cells are made for the rows that come into sight. A table of 20,000
    rows is thereby as fast as one of twenty.

    Parameters
    ----------
    table : QTableWidget
        With columns for patient ID, study, series, modality, body part, images, done.
    changed : callable
        Called when a box was checked or unchecked, or another row became the current one.
    activated : callable
        Called with a series UID when its row was double-clicked.
    """

    def __init__(self, table: Any, changed: Callable[[], None], activated: Callable[[str], None]):
        self.table = table
        self.checked: set[str] = set()
        self._changed, self._activated = changed, activated
        self._series: Sequence[SeriesSummary] = ()
        self._done: Mapping[str, str] = {}
        self._rows: list[int] = []
        self._filled: set[int] = set()
        self._items: dict[tuple[int, int], Any] = {}  # Qt's own, but older PythonQt deletes what Python forgets
        self._sorted_by, self._falling = 0, False
        self._filling = False
        for column, width in enumerate(WIDTHS):
            table.setColumnWidth(column, width)
        table.connect("cellChanged(int,int)", self._on_cell_changed)
        table.connect("cellDoubleClicked(int,int)", self._on_double_click)
        table.connect("itemSelectionChanged()", changed)
        table.verticalScrollBar().connect("valueChanged(int)", self._fill)
        header = table.horizontalHeader()
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setSortIndicator(0, qt.Qt.AscendingOrder)
        header.connect("sectionClicked(int)", self.sort)

    def set_series(self, series: Sequence[SeriesSummary]) -> None:
        """Work with another list; nothing is shown before `show` is called."""
        self._rows = []
        self._items = {}
        self.table.setRowCount(0)
        self._series = series
        self.checked &= {one.identity.series_uid for one in series}

    def show(self, indices: Sequence[int], done: Mapping[str, str]) -> None:
        """Show some of the series, by their place in the list, and which of them are done (UID and what)."""
        current = self.current
        self._rows, self._done = list(indices), done
        self._order()
        self._refill(current)

    def sort(self, column: int) -> None:
        """Sort by a column; a second time the other way round."""
        current = self.current
        self._falling = not self._falling if column == self._sorted_by else False
        self._sorted_by = column
        order = qt.Qt.DescendingOrder if self._falling else qt.Qt.AscendingOrder
        self.table.horizontalHeader().setSortIndicator(column, order)
        self._order()
        self._refill(current)

    @property
    def shown(self) -> list[str]:
        """Series UIDs of the rows, from the top."""
        return [self._series[index].identity.series_uid for index in self._rows]

    @property
    def shown_count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    @property
    def current(self) -> str:
        """Series UID of the selected row; empty where none is."""
        row = self.table.currentRow()
        return self._uid(row) if 0 <= row < len(self._rows) else ""

    def check(self, uids: Sequence[str], checked: bool = True) -> None:
        """Check or uncheck series, shown or not."""
        self.checked = self.checked | set(uids) if checked else self.checked - set(uids)
        self._refill(self.current)
        self._changed()

    def _uid(self, row: int) -> str:
        return self._series[self._rows[row]].identity.series_uid

    def _order(self) -> None:
        column = CELLS[self._sorted_by]

        def key(index: int) -> tuple[int, str]:
            one = self._series[index]
            return (one.files, "") if column is images else (0, column(one, self._done).casefold())

        self._rows.sort()  # equals stay in the order of the list, whichever way it is sorted
        self._rows.sort(key=key, reverse=self._falling)

    def _refill(self, current: str = "") -> None:
        """Show the rows anew; what is seen stays where it is as long as the rows do."""
        self._filled = set()
        self._filling = True
        if self.table.rowCount != len(self._rows):
            self.table.setRowCount(len(self._rows))
        if current != self.current:
            self._select(current)
        self._filling = False
        self._fill()

    def _select(self, uid: str) -> None:
        shown = self.shown
        if uid in shown:
            self.table.selectRow(shown.index(uid))
        else:
            self.table.clearSelection()
            self.table.setCurrentCell(-1, -1)

    def _fill(self, *_value: int) -> None:
        """Make the cells of the rows that are seen, and of some before and after them."""
        top = max(0, self.table.rowAt(0))
        wanted = range(max(0, top - AHEAD // 4), min(len(self._rows), top + AHEAD))
        missing = [row for row in wanted if row not in self._filled]
        if not missing:
            return
        self._filling = True
        for row in missing:
            one, uid = self._series[self._rows[row]], self._uid(row)
            for column, text in enumerate(cell(one, self._done) for cell in CELLS):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                if column == 0:
                    item.setCheckState(qt.Qt.Checked if uid in self.checked else qt.Qt.Unchecked)
                self.table.setItem(row, column, item)
                self._items[row, column] = item
        self._filled |= set(missing)
        self._filling = False

    def _on_cell_changed(self, row: int, column: int) -> None:
        if self._filling or column != 0:
            return
        uid, state = self._uid(row), self.table.item(row, 0).checkState()
        if state == qt.Qt.Checked:
            self.checked.add(uid)
        else:
            self.checked.discard(uid)
        self._changed()

    def _on_double_click(self, row: int, _column: int) -> None:
        self._activated(self._uid(row))


def date_text(date: str) -> str:
    """A date as DICOM writes it, as people do: 2015-02-06."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def study(one: SeriesSummary, _done: Mapping[str, str]) -> str:
    """Date and description of the study."""
    return " ".join(word for word in (date_text(one.study_date), one.study_description) if word)


def series(one: SeriesSummary, _done: Mapping[str, str]) -> str:
    """Number and description of the series."""
    return ": ".join(word for word in (one.series_number, one.identity.series_description) if word)


def images(one: SeriesSummary, _done: Mapping[str, str]) -> str:
    """How many images there are."""
    return str(one.files)


def done_text(one: SeriesSummary, done: Mapping[str, str]) -> str:
    """What was segmented, where something was."""
    what = done.get(one.identity.series_uid)
    return "" if what is None else what or _("yes")


CELLS: tuple[Callable[[SeriesSummary, Mapping[str, str]], str], ...] = (
    lambda one, _done: one.identity.patient_id,
    study,
    series,
    lambda one, _done: one.identity.modality,
    lambda one, _done: one.identity.body_part,
    images,
    done_text,
)
"""What the columns show."""
