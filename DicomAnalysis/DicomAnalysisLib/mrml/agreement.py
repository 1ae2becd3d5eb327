"""A study of agreement as table and plot nodes; tables and markups of the scene as measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import slicer
import vtk

from ..errors import TaskError
from ..reporting.agreement.analysis import Agreement
from ..reporting.agreement.document import rows_of
from ..reporting.agreement.fits import angle_degrees, distance_mm, fit_circle, fit_sphere
from ..reporting.agreement.outputs import PAIR_COLUMNS, pair_rows
from ..reporting.agreement.segment_study import COLUMNS, SegmentStudy
from .hierarchy import identity_of_node
from .table_cells import table_cells

AGREEMENT = "DicomAnalysis.Agreement"
"""Attribute of the nodes: what they show of which study."""
MEASURED = "DicomAnalysis.Measured"
"""Attribute of a table of measurements: the quantity."""
IDENTIFIER = "Identifier"
SERIES = "series_uid"
CIRCLE, SPHERE = "circle", "sphere"

_BLUE, _RED, _BLACK, _PURPLE = (0.17, 0.48, 0.73), (0.76, 0.25, 0.18), (0.2, 0.2, 0.2), (0.48, 0.32, 0.58)


class AgreementNodes(NamedTuple):
    """What a study left in the scene."""

    table_node: slicer.vtkMRMLTableNode
    pairs_node: slicer.vtkMRMLTableNode
    chart_node: slicer.vtkMRMLPlotChartNode


class Measured(NamedTuple):
    """What was measured on a markups node."""

    quantity: str
    value: float
    unit: str
    remark: str
    details: Mapping[str, object]


def agreement_to_nodes(scene: slicer.vtkMRMLScene, agreement: Agreement) -> AgreementNodes:
    """The numbers as a table, the pairs as a table, and the Bland-Altman plot; nodes of an earlier call are updated.

    Parameters
    ----------
    scene : vtkMRMLScene
    agreement : Agreement
    """
    quantity = agreement.paired.quantity or "measurements"
    numbers = _node(scene, "vtkMRMLTableNode", quantity, f"Agreement of {quantity}")
    rows = [(name, one.value, one.low, one.high, unit, one.reason) for name, one, unit in rows_of(agreement)]
    titles = ("Name", "Value", "Low", "High", "Unit", "Remark")
    fill_columns(numbers, dict(zip(titles, map(list, zip(*rows, strict=True)), strict=True)))
    pairs = _node(scene, "vtkMRMLTableNode", quantity, f"Pairs of {quantity}")
    points = pair_rows(agreement)
    fill_columns(pairs, {title: [row[title] for row in points] for title in PAIR_COLUMNS})
    return AgreementNodes(numbers, pairs, _chart(scene, agreement, quantity))


def study_to_table(scene: slicer.vtkMRMLScene, study: SegmentStudy) -> slicer.vtkMRMLTableNode:
    """Dice, distances and volumes of every pair as a table; that of an earlier call is updated."""
    node = _node(scene, "vtkMRMLTableNode", " and ".join(study.names), "Comparison of segmentations")
    rows = [asdict(row) for row in study.rows]
    fill_columns(node, {title: [row[title] for row in rows] for title in COLUMNS})
    return node


def table_rows(table_node: slicer.vtkMRMLTableNode) -> list[dict[str, str]]:
    """The cells of a table node as text, by column title."""
    titles, rows = table_cells(table_node)
    return [dict(zip(titles, row, strict=True)) for row in rows]


def measure_markups(markups_node: slicer.vtkMRMLMarkupsNode, fit: str = CIRCLE) -> Measured:
    """A line's length, an angle, or the diameter of the circle or sphere closest to points; world RAS, mm.

    Parameters
    ----------
    markups_node : vtkMRMLMarkupsNode
    fit : str
        ``circle`` or ``sphere``, for points and curves.

    Raises
    ------
    TaskError
        If there are too few points, or nothing fits them.
    """
    points = control_points(markups_node)
    if markups_node.IsA("vtkMRMLMarkupsLineNode"):
        return Measured("distance", distance_mm(points), "mm", "", {})
    if markups_node.IsA("vtkMRMLMarkupsAngleNode"):
        return Measured("angle", angle_degrees(points), "deg", "", {})
    if fit not in (CIRCLE, SPHERE):
        msg = f"Unknown fit {fit!r}; choose {CIRCLE} or {SPHERE}."
        raise TaskError(msg)
    found = (fit_circle if fit == CIRCLE else fit_sphere)(points)
    return Measured(f"diameter of the {fit}", found.diameter_mm, "mm", found.warning, asdict(found))


def control_points(markups_node: slicer.vtkMRMLMarkupsNode) -> np.ndarray:
    """World RAS coordinates of the points that were placed, shape (n, 3), mm."""
    places, place = [], [0.0, 0.0, 0.0]
    for index in range(markups_node.GetNumberOfControlPoints()):
        if markups_node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined:
            markups_node.GetNthControlPointPositionWorld(index, place)
            places.append(tuple(place))
    return np.array(places, float).reshape(-1, 3)


def image_of_markups(markups_node: slicer.vtkMRMLMarkupsNode) -> slicer.vtkMRMLNode | None:
    """The image that a point was placed on, as Slicer notes it; None where it does not."""
    for index in range(markups_node.GetNumberOfControlPoints()):
        node = markups_node.GetScene().GetNodeByID(markups_node.GetNthControlPointAssociatedNodeID(index) or "")
        if node is not None:
            return node
    return None


def add_measurement(
    scene: slicer.vtkMRMLScene,
    measured: Measured,
    identifier: str,
    rater: str,
    image_node: slicer.vtkMRMLNode | None = None,
) -> slicer.vtkMRMLTableNode:
    """Put a measurement into the scene's table of its quantity: a column for each rater, a row for each case.

    A second measurement of the same case by the same rater becomes a row of its own: a repeat.
    """
    node = _marked(scene, "vtkMRMLTableNode", MEASURED, measured.quantity)
    if node is None:
        name = scene.GenerateUniqueName(f"Measured {measured.quantity}")
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
        node.SetAttribute(MEASURED, measured.quantity)
    rows = table_rows(node)
    column = f"{rater} ({measured.unit})"
    row = next((one for one in rows if one[IDENTIFIER] == identifier and not one.get(column)), None)
    if row is None:
        row = {IDENTIFIER: identifier, SERIES: identity_of_node(image_node).series_uid if image_node else ""}
        rows.append(row)
    row[column] = f"{measured.value:.6g}"
    titles = list(dict.fromkeys(title for one in rows for title in one))
    fill_columns(node, {title: [one.get(title, "") for one in rows] for title in titles})
    return node


def fill_columns(node: slicer.vtkMRMLTableNode, columns: Mapping[str, Sequence[object]]) -> None:
    """Fill a table node: columns of numbers (None becomes NaN) or of text."""
    was_modified = node.StartModify()
    node.RemoveAllColumns()
    for title, values in columns.items():
        is_text = any(isinstance(value, str) for value in values)
        array = vtk.vtkStringArray() if is_text else vtk.vtkDoubleArray()
        array.SetName(title)
        array.SetNumberOfValues(len(values))
        for index, value in enumerate(values):
            array.SetValue(index, ("" if value is None else str(value)) if is_text else _float(value))
        node.AddColumn(array)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.EndModify(was_modified)


def _float(value: object) -> float:
    return float("nan") if value is None else float(value)


def _chart(scene: slicer.vtkMRMLScene, agreement: Agreement, quantity: str) -> slicer.vtkMRMLPlotChartNode:
    outside = {one.identifier for one in agreement.outliers}
    points = [(pair.identifier, mean, difference) for pair, mean, difference in agreement.points()]
    chart = _node(scene, "vtkMRMLPlotChartNode", quantity, f"Bland-Altman plot of {quantity}")
    chart.RemoveAllPlotSeriesNodeIDs()
    for name, colour, chosen in (
        ("Pairs", _BLUE, [one for one in points if one[0] not in outside]),
        ("Outside the limits", _RED, [one for one in points if one[0] in outside]),
    ):
        if chosen:
            columns = dict(zip(("Identifier", "Mean", "Difference"), map(list, zip(*chosen, strict=True)), strict=True))
            chart.AddAndObservePlotSeriesNodeID(_series(scene, quantity, name, columns, colour, True).GetID())
    means = [mean for _identifier, mean, _difference in points]
    for name, one, colour in (
        ("Bias", agreement.limits.bias, _BLACK),
        ("Upper limit of agreement", agreement.limits.upper, _PURPLE),
        ("Lower limit of agreement", agreement.limits.lower, _PURPLE),
    ):
        shown = agreement.shown(one)
        for label, value, is_bound in ((name, shown.value, False), *_bounds(name, shown)):
            columns = {"Mean": [min(means), max(means)], "Difference": [value, value]}
            series = _series(scene, quantity, label, columns, colour, False)
            series.SetLineWidth(1.0 if is_bound else 2.0)
            styles = slicer.vtkMRMLPlotSeriesNode
            series.SetLineStyle(styles.LineStyleDot if is_bound else styles.LineStyleSolid)
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
    first, second = agreement.paired.names
    unit = f" ({agreement.paired.unit})" if agreement.paired.unit else ""
    log = agreement.options.log
    chart.SetTitle(f"Bland-Altman plot of {quantity}")
    chart.SetXAxisTitle(f"{'geometric mean' if log else 'mean'} of {first} and {second}{unit}")
    chart.SetYAxisTitle(f"{first} / {second}" if log else f"{first} - {second}{unit}")
    chart.SetLegendVisibility(False)
    return chart


def _bounds(name: str, one: object) -> list[tuple[str, float, bool]]:
    if one.low is None or one.high is None:
        return []
    return [(f"{name}, interval {end}", value, True) for end, value in (("low", one.low), ("high", one.high))]


def _series(
    scene: slicer.vtkMRMLScene,
    quantity: str,
    name: str,
    columns: Mapping[str, Sequence[object]],
    colour: Sequence[float],
    is_points: bool,
) -> slicer.vtkMRMLPlotSeriesNode:
    table = _node(scene, "vtkMRMLTableNode", quantity, f"Plot of {quantity}: {name}")
    table.SetHideFromEditors(True)  # the numbers are in the table of pairs
    fill_columns(table, columns)
    series = _node(scene, "vtkMRMLPlotSeriesNode", quantity, name)
    styles = slicer.vtkMRMLPlotSeriesNode
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(styles.PlotTypeScatter)
    series.SetXColumnName("Mean")
    series.SetYColumnName("Difference")
    series.SetLabelColumnName("Identifier" if is_points else "")
    series.SetColor(*colour)
    series.SetMarkerStyle(styles.MarkerStyleCircle if is_points else styles.MarkerStyleNone)
    if is_points:
        series.SetLineStyle(styles.LineStyleNone)
    return series


def _node(scene: slicer.vtkMRMLScene, class_name: str, quantity: str, name: str) -> slicer.vtkMRMLNode:
    """The study's node of this kind and name; a new one where there is none."""
    mark = f"{quantity}|{name}"
    found = _marked(scene, class_name, AGREEMENT, mark)
    if found is None:
        unique = name if class_name == "vtkMRMLPlotSeriesNode" else scene.GenerateUniqueName(name)
        found = scene.AddNewNodeByClass(class_name, unique)
        found.SetAttribute(AGREEMENT, mark)
    return found


def _marked(scene: slicer.vtkMRMLScene, class_name: str, attribute: str, mark: str) -> slicer.vtkMRMLNode | None:
    nodes = (scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name)))
    return next((node for node in nodes if node.GetAttribute(attribute) == mark), None)
