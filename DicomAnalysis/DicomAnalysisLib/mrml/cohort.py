"""A cohort's series as a table and as points in a plot, joined so that a row or a point leads to its series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import slicer
import vtk

from ..cohort.clustering.explorer import Explorer
from .agreement import fill_columns

COHORT = "DicomAnalysis.Cohort"
"""Attribute of the nodes: which cohort they show, and their part in it."""
FEATURES = "DicomAnalysis.CohortFeatures"
"""Attribute of the table: the folder of the features, which knows the files of each series."""
SERIES, PATIENT, CLUSTER, X, Y = "series_uid", "patient_id", "cluster", "x", "y"
NO_CLUSTER, NO_LABEL, OTHERS = "no cluster", "not labelled", "others"
MOST_POINTS, MOST_GROUPS = 50_000, 30
"""More make a plot that cannot be moved any more, and colours that cannot be told apart."""

_COLOURS = (
    (0.00, 0.45, 0.70), (0.84, 0.37, 0.00), (0.00, 0.62, 0.45), (0.80, 0.47, 0.65), (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91), (0.48, 0.32, 0.58), (0.55, 0.34, 0.29), (0.09, 0.64, 0.64), (0.55, 0.57, 0.00),
)  # fmt: skip
_GREY = (0.60, 0.64, 0.68)
_MARKERS = ("Circle", "Square", "Diamond")


class CohortNodes(NamedTuple):
    """What a cohort left in the scene.

    Attributes
    ----------
    table_node : vtkMRMLTableNode
        A row for each series, with its cluster and labels.
    chart_node : vtkMRMLPlotChartNode
    series_nodes : tuple of vtkMRMLPlotSeriesNode
        One for each cluster, or each class of a label.
    drawn : int
        How many series are points: fewer than there are rows where those are very many.
    """

    table_node: slicer.vtkMRMLTableNode
    chart_node: slicer.vtkMRMLPlotChartNode
    series_nodes: tuple[slicer.vtkMRMLPlotSeriesNode, ...]
    drawn: int


def explorer_to_nodes(
    scene: slicer.vtkMRMLScene, explorer: Explorer, color_by: str = "", name: str = "cohort", features: str = ""
) -> CohortNodes:
    """The table of a cohort and its embedding; nodes of an earlier call for the same cohort are updated.

    Parameters
    ----------
    scene : vtkMRMLScene
    explorer : Explorer
    color_by : str
        A label of the explorer; by default the cluster.
    name : str
        Which cohort: another one gets nodes of its own.
    features : str
        The folder of its features, noted at the table.
    """
    table = _table(scene, explorer, name)
    table.SetAttribute(FEATURES, features)
    shown = _thinned(len(explorer.series))
    groups = [one for one in _groups(explorer, color_by, shown) if len(one[1])]
    chart = _node(scene, "vtkMRMLPlotChartNode", name, "chart", "Embedding of the cohort")
    chart.RemoveAllPlotSeriesNodeIDs()
    series, place = [], 0
    for number, (title, rows, is_grey) in enumerate(groups):
        node = _series(scene, explorer, name, number, title, rows)
        colour = _GREY if is_grey else _COLOURS[place % len(_COLOURS)]
        node.SetColor(*colour)
        marker = _MARKERS[0 if is_grey else place // len(_COLOURS) % len(_MARKERS)]
        node.SetMarkerStyle(getattr(slicer.vtkMRMLPlotSeriesNode, f"MarkerStyle{marker}"))
        place += not is_grey
        chart.AddAndObservePlotSeriesNodeID(node.GetID())
        series.append(node)
    _remove_others(scene, name, len(groups))
    _name_axes(chart, explorer, color_by)
    return CohortNodes(table, chart, tuple(series), len(shown))


def series_of_row(table_node: slicer.vtkMRMLTableNode, row: int) -> str:
    """The series of a row, as the features name it; empty where there is no such row."""
    column = table_node.GetTable().GetColumnByName(SERIES)
    return column.GetValue(row) if column is not None and 0 <= row < column.GetNumberOfValues() else ""


def chosen_series(chart: vtk.vtkChartXY) -> list[str]:
    """The series of the points that are chosen in a chart (of a plot view); those of other plots have none."""
    found = []
    for plot in _plots(chart):
        column, selection = plot.GetInput().GetColumnByName(SERIES), plot.GetSelection()
        if column is not None and selection is not None:
            rows = (selection.GetValue(n) for n in range(selection.GetNumberOfValues()))
            found += [column.GetValue(row) for row in rows if 0 <= row < column.GetNumberOfValues()]
    return found


def choose_only(chart: vtk.vtkChartXY, series: str) -> None:
    """Let no other point of a cohort be chosen in a chart: a click leaves what was chosen in other plots."""
    for plot in _plots(chart):
        column = plot.GetInput().GetColumnByName(SERIES)
        if column is not None:
            rows = vtk.vtkIdTypeArray()
            row = column.LookupValue(series)
            if row >= 0:
                rows.InsertNextValue(row)
            plot.SetSelection(rows)


def _plots(chart: vtk.vtkChartXY) -> list[vtk.vtkPlot]:
    plots = (chart.GetPlot(index) for index in range(chart.GetNumberOfPlots()))
    return [plot for plot in plots if plot is not None and plot.GetInput() is not None]


def row_of_series(table_node: slicer.vtkMRMLTableNode, series: str) -> int:
    """The row of a series; -1 where it has none."""
    column = table_node.GetTable().GetColumnByName(SERIES)
    return column.LookupValue(series) if column is not None else -1


def features_of(table_node: slicer.vtkMRMLTableNode) -> str:
    """The folder of the features that a table of a cohort was made from; empty where it does not say."""
    return table_node.GetAttribute(FEATURES) or ""


def _table(scene: slicer.vtkMRMLScene, explorer: Explorer, name: str) -> slicer.vtkMRMLTableNode:
    node = _node(scene, "vtkMRMLTableNode", name, "table", "Series of the cohort")
    columns: dict[str, Sequence[object]] = {
        SERIES: explorer.series,
        PATIENT: explorer.patients,
        CLUSTER: [str(number) if number else "none" for number in explorer.cluster.tolist()],
        X: explorer.positions[:, 0].tolist(),
        Y: explorer.positions[:, 1].tolist(),
    }
    fill_columns(node, columns | {f"label {title}": column for title, column in explorer.labels.items()})
    return node


def _thinned(count: int) -> np.ndarray:
    """Rows to draw: all, or so many of them, the same ones each time."""
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_POINTS, replace=False))


def _groups(explorer: Explorer, color_by: str, shown: np.ndarray) -> list[tuple[str, np.ndarray, bool]]:
    """Name, rows and whether grey, of each colour; grey first, to lie below the others."""
    if color_by:
        texts = np.array(explorer.labels[color_by], object)[shown]
        ordered = [text for text, _count in sorted(Counter(texts).items(), key=lambda one: (-one[1], one[0])) if text]
        found = [(str(text), shown[texts == text], False) for text in ordered]
        none = (NO_LABEL, shown[texts == ""], True)
    else:
        numbers = explorer.cluster[shown]
        found = [(f"Cluster {n}", shown[numbers == n], False) for n in np.unique(numbers).tolist() if n]
        none = (NO_CLUSTER, shown[numbers == 0], True)
    rest = [rows for _title, rows, _grey in found[MOST_GROUPS:]]
    others = [(OTHERS, np.sort(np.concatenate(rest)), True)] if rest else []
    return [none, *others, *found[:MOST_GROUPS]]


def _series(
    scene: slicer.vtkMRMLScene, explorer: Explorer, name: str, number: int, title: str, rows: np.ndarray
) -> slicer.vtkMRMLPlotSeriesNode:
    table = _node(scene, "vtkMRMLTableNode", name, f"points {number}", "Points of the cohort")
    table.SetHideFromEditors(True)  # the rows are those of the table of the cohort
    columns = {
        SERIES: [explorer.series[row] for row in rows],
        X: explorer.positions[rows, 0].tolist(),
        Y: explorer.positions[rows, 1].tolist(),
    }
    fill_columns(table, columns)
    node = _node(scene, "vtkMRMLPlotSeriesNode", name, f"points {number}", title)
    node.SetName(title)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetXColumnName(X)
    node.SetYColumnName(Y)
    node.SetLabelColumnName(SERIES)
    node.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleNone)
    node.SetMarkerSize(6.0)
    return node


def _name_axes(chart: slicer.vtkMRMLPlotChartNode, explorer: Explorer, color_by: str) -> None:
    coloured = f"coloured by {color_by}" if color_by else "coloured by cluster"
    chart.SetTitle(f"Series of the cohort, {coloured}")
    words = "UMAP {}" if explorer.display == "umap" else "principal component {}"
    chart.SetXAxisTitle(words.format(1))
    chart.SetYAxisTitle(words.format(2))
    chart.SetLegendVisibility(True)


def _remove_others(scene: slicer.vtkMRMLScene, name: str, count: int) -> None:
    """Groups that an earlier call had and this one has not."""
    for kind in ("vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"):
        number = count
        while (node := _marked(scene, kind, f"{name}|points {number}")) is not None:
            scene.RemoveNode(node)
            number += 1


def _node(scene: slicer.vtkMRMLScene, class_name: str, name: str, part: str, title: str) -> slicer.vtkMRMLNode:
    """The cohort's node for this part; a new one where there is none."""
    mark = f"{name}|{part}"
    found = _marked(scene, class_name, mark)
    if found is None:
        unique = title if class_name == "vtkMRMLPlotSeriesNode" else scene.GenerateUniqueName(title)
        found = scene.AddNewNodeByClass(class_name, unique)
        found.SetAttribute(COHORT, mark)
    return found


def _marked(scene: slicer.vtkMRMLScene, class_name: str, mark: str) -> slicer.vtkMRMLNode | None:
    nodes = (scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name)))
    return next((node for node in nodes if node.GetAttribute(COHORT) == mark), None)
