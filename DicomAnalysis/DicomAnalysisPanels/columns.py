"""Which columns of a table (a CSV file, or a table node of the scene) a page works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class ColumnChoice:
    """Lists of a table's columns; a choice is kept for as long as the table has such a column.

    Parameters
    ----------
    selectors : sequence of QComboBox
    read : callable
        Given the table, gives the titles to offer and, for each list, the one to begin with. A `DicomAnalysisError`
        says why the table cannot be read.
    changed : callable
        Called when the user chose another column.

    Attributes
    ----------
    titles : tuple of str
        What is offered; empty where there is no table, or none that can be read.
    problem : str
        Why it cannot be read.
    """

    def __init__(
        self,
        selectors: Sequence[Any],
        read: Callable[[Any], tuple[Sequence[str], Sequence[str]]],
        changed: Callable[[], None],
    ):
        self.titles: tuple[str, ...] = ()
        self.problem = ""
        self._selectors, self._read, self._changed = tuple(selectors), read, changed
        self._kept = [""] * len(self._selectors)
        self._known: object = None
        self._filling = False
        for selector in self._selectors:
            selector.connect("currentIndexChanged(int)", self._on_choice)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The title that is chosen in each list; empty where none is."""
        return tuple(selector.currentText for selector in self._selectors)

    def forget(self) -> None:
        """Read the table again the next time, changed or not."""
        self._known = None

    def follow(self, table: Any) -> None:
        """Offer the columns of a table (a path or a node), or none; it is read where it is not the one it was."""
        from DicomAnalysisLib.errors import DicomAnalysisError

        known = _state(table)
        if known == self._known:
            return
        self._known, self.problem = known, ""
        titles, first = (), ("",) * len(self._selectors)
        if table:
            try:
                titles, first = self._read(table)
            except DicomAnalysisError as error:
                self.problem = str(error)
        if tuple(titles) != self.titles:
            self._fill(tuple(titles), first)

    def _fill(self, titles: tuple[str, ...], first: Sequence[str]) -> None:
        self._filling = True
        self.titles = titles
        for index, selector in enumerate(self._selectors):
            selector.clear()
            for title in titles:
                selector.addItem(title)
            kept = self._kept[index]
            wanted = kept if kept and kept in titles else first[index]
            if wanted in titles:
                selector.currentIndex = titles.index(wanted)
                self._kept[index] = wanted
        self._filling = False

    def _on_choice(self, _index: int) -> None:
        if not self._filling:
            self._kept = list(self.chosen)
            self._changed()


def _state(table: Any) -> object:
    """What is another where a table is another, or was changed."""
    if not table:
        return ("",)
    if isinstance(table, (str, Path)):
        try:
            stat = Path(table).stat()
        except OSError as error:
            return str(table), error.errno
        return str(table), stat.st_mtime_ns, stat.st_size
    return table.GetID(), table.GetMTime(), table.GetTable().GetMTime()
