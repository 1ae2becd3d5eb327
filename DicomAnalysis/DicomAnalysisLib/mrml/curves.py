"""Curves as plots: a table node, a series node and a chart node that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import slicer
import vtk

from ..reporting.info import describe
from .hierarchy import item_of, place_beside
from .volumes import node_to_volume

CURVE_ROLE = "DicomAnalysis.curveOf"
"""Node reference from the nodes of a curve to the node that it describes."""

KIND = "DicomAnalysis.Curve"
SLICE_MAXIMUM = "slice maximum"
MOST_MARKERS = 80
"""With more points than this a line without markers is easier to read."""


class CurveNodes(NamedTuple):
    """One curve in the scene: the chart shows the series, which draws columns of the table."""

    chart_node: slicer.vtkMRMLPlotChartNode | None = None
    series_node: slicer.vtkMRMLPlotSeriesNode | None = None
    table_node: slicer.vtkMRMLTableNode | None = None


def slice_maximum_curve(scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode) -> CurveNodes:
    """The largest value of every slice over its position: metal stands out, and where a scanner clips.

    Nodes of an earlier call are updated.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume_node : vtkMRMLScalarVolumeNode
        Its slices as acquired are drawn.

    Raises
    ------
    TaskError, GeometryError
        If the volume cannot be read (see `node_to_volume`).
    """
    told = describe(node_to_volume(volume_node))
    values = told["slice_max"]
    unit = "HU" if told["modality"] == "CT" else "value"
    columns = (
        ("Slice", vtk.vtkIntArray, "", range(1, len(values) + 1)),
        ("Position", vtk.vtkDoubleArray, "mm", told["slice_positions_mm"]),
        ("Maximum", vtk.vtkDoubleArray, "[hnsf'U]" if unit == "HU" else "", values),
    )
    name = f"{volume_node.GetName()} {SLICE_MAXIMUM}"
    nodes = curve_nodes(scene, volume_node, SLICE_MAXIMUM, name)
    fill_table(nodes.table_node, columns)
    nodes.series_node.SetXColumnName("Position")
    nodes.series_node.SetYColumnName("Maximum")
    styles = slicer.vtkMRMLPlotSeriesNode
    nodes.series_node.SetMarkerStyle(
        styles.MarkerStyleCircle if len(values) <= MOST_MARKERS else styles.MarkerStyleNone
    )
    nodes.chart_node.SetTitle(f"Largest value of each slice, {volume_node.GetName()}")
    nodes.chart_node.SetXAxisTitle("position along the slice normal (mm)")
    nodes.chart_node.SetYAxisTitle(f"largest value in the slice ({unit})")
    return nodes


def curve_nodes(scene: slicer.vtkMRMLScene, source: slicer.vtkMRMLNode, kind: str, name: str) -> CurveNodes:
    """The nodes of a curve, joined and in the source's study; those of an earlier call where there are any."""
    found = find_curve(scene, source, kind)
    if found.chart_node is not None:
        return found
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", scene.GenerateUniqueName(f"{name} series"))
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(f"{name} chart"))
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    series.SetColor(0.17, 0.48, 0.73)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetLegendVisibility(False)
    for node in (table, series, chart):
        node.SetNodeReferenceID(CURVE_ROLE, source.GetID())
        node.SetAttribute(KIND, kind)
        place_beside(scene, node, source)
    return CurveNodes(chart, series, table)


def find_curve(scene: slicer.vtkMRMLScene, source: slicer.vtkMRMLNode | None, kind: str) -> CurveNodes:
    """The nodes of a curve that an earlier call made, also in a scene that was opened again; all or none."""
    if source is None:
        return CurveNodes()
    classes = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")
    found = CurveNodes(*(_of(scene, class_name, source, kind) for class_name in classes))
    return found if all(found) else CurveNodes()


def remove_curve(scene: slicer.vtkMRMLScene, nodes: CurveNodes) -> None:
    """Take a curve out of the scene."""
    hierarchy = scene.GetSubjectHierarchyNode()
    for node in nodes:
        if node is not None:
            hierarchy.RemoveItem(item_of(hierarchy, node))


def fill_table(node: slicer.vtkMRMLTableNode, columns: Sequence[tuple[str, type, str, Sequence[float]]]) -> None:
    """Fill a table node with numbers: columns of (title, VTK array type, unit in UCUM, values)."""
    was_modified = node.StartModify()
    node.RemoveAllColumns()
    for title, array_type, unit, values in columns:
        array = array_type()
        array.SetName(title)
        array.SetNumberOfValues(len(values))
        for index, value in enumerate(values):
            array.SetValue(index, np.nan if value is None else value)
        node.AddColumn(array)
        node.SetColumnUnitLabel(title, unit)
    node.EndModify(was_modified)


def _of(
    scene: slicer.vtkMRMLScene, class_name: str, source: slicer.vtkMRMLNode, kind: str
) -> slicer.vtkMRMLNode | None:
    nodes = (scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name)))
    ours = (node for node in nodes if node.GetNodeReferenceID(CURVE_ROLE) == source.GetID())
    return next((node for node in ours if node.GetAttribute(KIND) == kind), None)
