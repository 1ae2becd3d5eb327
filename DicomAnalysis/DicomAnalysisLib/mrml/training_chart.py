"""The curves of a training as a chart that grows while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import slicer
import vtk

from .curves import CurveNodes, fill_table

TRAINING = "DicomAnalysis.Training"
"""Attribute of the nodes: the folder of the training that they show."""

_EPOCH, DICE = "Epoch", "Dice"
_LOSSES = (
    ("Training loss", "training_loss", (0.12, 0.47, 0.71)),
    ("Validation loss", "validation_loss", (1.0, 0.5, 0.05)),
)


def training_curves(
    scene: slicer.vtkMRMLScene, folder: str, history: Sequence[Mapping[str, object]], measure: str = DICE
) -> CurveNodes:
    """Show the epochs of a training: losses and the mean score.

    Nodes of an earlier call for the same folder are updated, so that a chart on screen grows.

    Parameters
    ----------
    scene : vtkMRMLScene
    folder : str
        Of the training: what tells it from others.
    history : sequence of mapping
        ``epoch``, ``training_loss``, ``validation_loss`` and ``score`` of each epoch.
    measure : str
        What the score is: ``Dice`` of segments, ``AUROC`` of classes.

    Returns
    -------
    CurveNodes
        The series node is that of the score.
    """
    folder, score = str(folder), f"Mean {measure}"
    lines = (*_LOSSES, (score, "score", (0.0, 0.0, 0.0)))
    table = _node(scene, "vtkMRMLTableNode", folder, "Training")
    columns = [(_EPOCH, vtk.vtkIntArray, "", [record["epoch"] for record in history])]
    columns += [(title, vtk.vtkDoubleArray, "", [one[key] for one in history]) for title, key, _colour in lines]
    fill_table(table, columns)
    chart = _node(scene, "vtkMRMLPlotChartNode", folder, "Training chart")
    for title, _key, colour in lines:
        series = _node(scene, "vtkMRMLPlotSeriesNode", folder, title)
        if series.GetTableNode() is not table:
            _draw(series, table, title, colour)
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle("Training")
    chart.SetXAxisTitle("epoch")
    chart.SetYAxisTitle(f"loss, and {measure} of the validation patients")
    chart.SetLegendVisibility(True)
    return CurveNodes(chart, _node(scene, "vtkMRMLPlotSeriesNode", folder, score), table)


def _draw(
    series: slicer.vtkMRMLPlotSeriesNode, table: slicer.vtkMRMLTableNode, title: str, colour: Sequence[float]
) -> None:
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetXColumnName(_EPOCH)
    series.SetYColumnName(title)
    series.SetColor(*colour)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)


def _node(scene: slicer.vtkMRMLScene, class_name: str, folder: str, name: str) -> slicer.vtkMRMLNode:
    """The training's node of this kind and name; a new one where there is none, named after what it shows."""
    mark = f"{folder}|{name}"
    nodes = (scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name)))
    found = next((node for node in nodes if node.GetAttribute(TRAINING) == mark), None)
    if found is None:
        # The name of a series node is what the chart's legend says.
        unique = name if class_name == "vtkMRMLPlotSeriesNode" else scene.GenerateUniqueName(name)
        found = scene.AddNewNodeByClass(class_name, unique)
        found.SetAttribute(TRAINING, mark)
    return found
