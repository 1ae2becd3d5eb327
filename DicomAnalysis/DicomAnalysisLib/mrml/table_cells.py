"""The cells of a table node as text, as a CSV file would hold them."""

from __future__ import annotations

import numpy as np
import slicer
import vtk


def table_cells(table_node: slicer.vtkMRMLTableNode) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Titles of the columns, and the rows; a number has as many digits as tell it from others (VTK writes six)."""
    table = table_node.GetTable()
    columns = range(table.GetNumberOfColumns())
    titles = tuple(table.GetColumnName(column) or f"column {column + 1}" for column in columns)
    rows = tuple(
        tuple(_text(table.GetValue(row, column)) for column in columns) for row in range(table.GetNumberOfRows())
    )
    return titles, rows


def _text(cell: vtk.vtkVariant) -> str:
    if cell.IsDouble() or cell.IsFloat():
        return np.format_float_positional((np.float64 if cell.IsDouble() else np.float32)(cell.ToDouble()), trim="-")
    return cell.ToString().strip()
