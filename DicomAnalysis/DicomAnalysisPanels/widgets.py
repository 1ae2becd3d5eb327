"""Labels and tables filled with text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt


def say(label: Any, text: str) -> None:
    """Show a text, or nothing in its place."""
    label.text = text
    label.visible = bool(text)


def fill_texts(table: Any, rows: Sequence[Sequence[str]]) -> list[Any]:
    """Fill a table with text, no row chosen; returns the cells, which older PythonQt deletes where Python forgets."""
    items = []
    table.setRowCount(len(rows))
    for index, row in enumerate(rows):
        for column, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(index, column, item)
            items.append(item)
    table.setCurrentCell(-1, -1)
    return items
