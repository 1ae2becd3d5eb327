"""What a classifier said, as a table row for every series, and where it looked, as an overlay volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import slicer
import vtk

from ..classification.result import ClassificationResult, Explanation, ModelStamp
from ..errors import GeometryError
from .arrays import allocate
from .grid import grid_of_node
from .hierarchy import place_beside

EXPLANATION_ROLE = "DicomAnalysis.explanationOf"
"""Node reference from an overlay to the volume that was classified."""

MODEL = "DicomAnalysis.Classifier"
"""Attribute of tables and overlays: which model they are of."""

EXPLAINED = "DicomAnalysis.Explained"
"""Attribute of overlays: the target and class that they explain."""

COLOURS = "DicomAnalysis explanation"
FAINTEST = 0.1
"""Values below this are not drawn."""
OPACITY = 0.5
"""Of the overlay in the slice views."""

_SERIES, _UID, _PATIENT = "Series", "Series Instance UID", "Patient ID"
_TEXTS = {
    _SERIES: "Name of the volume or series",
    _UID: "",
    _PATIENT: "",
    "Result": "Calibrated probabilities in words",
}
_ENDS = {
    "Model": "Name and version",
    "SHA-256": "Of the model's weights",
    "Please look": "In which ways the series is not like those of the training, and what was unusual about it",
}


class ClassificationNodes(NamedTuple):
    """What a classification left in the scene.

    Attributes
    ----------
    table_node : vtkMRMLTableNode or None
        One row for every series that this model classified.
    overlay_nodes : tuple of vtkMRMLScalarVolumeNode
        For every class that was explained, one for every view.
    result : ClassificationResult or None
        None for what was found in the scene.
    """

    table_node: slicer.vtkMRMLTableNode | None = None
    overlay_nodes: tuple[slicer.vtkMRMLScalarVolumeNode, ...] = ()
    result: ClassificationResult | None = None


def classification_to_nodes(
    scene: slicer.vtkMRMLScene,
    result: ClassificationResult,
    volume_nodes: Mapping[str, slicer.vtkMRMLScalarVolumeNode],
) -> ClassificationNodes:
    """Put the result of one case into the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    result : ClassificationResult
        Its explanations are on the slices that `node_to_volume` gives.
    volume_nodes : mapping of str to vtkMRMLScalarVolumeNode
        The volume of each view, by its name; ``""`` for the only one.

    Raises
    ------
    GeometryError
        If a volume was changed since, so that its explanation does not fit it; nothing is added then.
    """
    for one in result.explanations:
        _require_fit(one, volume_nodes[one.view])
    name = next(iter(volume_nodes.values())).GetName()
    table = classification_table(scene, [(name, result)])
    overlays = tuple(
        explanation_to_node(scene, one, volume_nodes[one.view], result.model) for one in result.explanations
    )
    return ClassificationNodes(table, overlays, result)


def find_classification(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode | None, model: ModelStamp | None = None
) -> ClassificationNodes:
    """The table of a model (without one the newest), and the overlays of a volume, the oldest first."""
    tables = [
        node
        for node in _nodes(scene, "vtkMRMLTableNode")
        if node.GetAttribute(MODEL) and (model is None or node.GetAttribute(MODEL) == _mark(model))
    ]
    overlays = () if volume_node is None else tuple(_overlays_of(scene, volume_node))
    return ClassificationNodes(tables[-1] if tables else None, overlays)


def classification_table(
    scene: slicer.vtkMRMLScene, results: Sequence[tuple[str, ClassificationResult]]
) -> slicer.vtkMRMLTableNode:
    """One row for every series; the table of an earlier call with the same model is added to.

    Parameters
    ----------
    scene : vtkMRMLScene
    results : sequence of (str, ClassificationResult)
        Name of the series as the user knows it, and what was said about it; all of one model. A series
        that has a row already gets it anew.

    Returns
    -------
    vtkMRMLTableNode
        Probabilities are numbers, a column for every class.
    """
    model = results[0][1].model
    node = find_classification(scene, None, model).table_node
    classes = list(results[0][1].probabilities)
    rows = _rows_of(node, classes)
    for name, result in results:
        row = _row(name, result)
        key = _key(row)
        rows = [one for one in rows if _key(one) != key] + [row]
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(f"Classification by {model.name}"))
        node.SetAttribute(MODEL, _mark(model))
    _fill(node, rows, classes)
    return node


def explanation_to_node(
    scene: slicer.vtkMRMLScene,
    explanation: Explanation,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    model: ModelStamp,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Where the classifier looked, as a volume in the place of the one that was classified.

    An earlier overlay of the same volume, target and class is written over, also one of another model.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        From 0 to 1, with colours whose opacity grows with the value; meant for the foreground of slice views.

    Raises
    ------
    GeometryError
        If the volume was changed since it was classified.
    """
    planes = _require_fit(explanation, volume_node)
    earlier = [one for one in _overlays_of(scene, volume_node) if one.GetAttribute(EXPLAINED) == explanation.name]
    if earlier:
        node = earlier[-1]
    else:
        name = scene.GenerateUniqueName(f"{volume_node.GetName()} explanation {explanation.name}")
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    image = vtk.vtkImageData()
    allocate(image, planes.shape, np.dtype(np.float32))[:] = planes
    node.CopyOrientation(volume_node)
    node.SetAndObserveImageData(image)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetAttribute(MODEL, _mark(model))
    node.SetAttribute(EXPLAINED, explanation.name)
    node.SetDescription(
        f"What speaks for {explanation.class_name} ({explanation.target}), by {explanation.method}; model {model}."
    )
    node.SetNodeReferenceID(EXPLANATION_ROLE, volume_node.GetID())
    place_beside(scene, node, volume_node)
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    if display is not None:
        display.SetAndObserveColorNodeID(_colours(scene).GetID())
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0.0, 1.0)
        display.SetThreshold(FAINTEST, 1.0)
        display.ApplyThresholdOn()
        display.InterpolateOff()
    return node


def _require_fit(explanation: Explanation, volume_node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The explanation on all planes of the node."""
    grid = grid_of_node(volume_node)
    columns, rows, _planes = volume_node.GetImageData().GetDimensions()
    if explanation.values.shape != (len(grid.plane_of_slice), rows, columns):
        msg = f"{volume_node.GetName()!r} was changed while it was being classified; classify it again."
        raise GeometryError(msg)
    return grid.to_planes(explanation.values)


def _overlays_of(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> list[slicer.vtkMRMLScalarVolumeNode]:
    nodes = _nodes(scene, "vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetNodeReferenceID(EXPLANATION_ROLE) == volume_node.GetID()]


def _nodes(scene: slicer.vtkMRMLScene, class_name: str) -> Iterable[slicer.vtkMRMLNode]:
    return [scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name))]


def _mark(model: ModelStamp) -> str:
    return f"{model.name}|{model.version}|{model.sha256}"


def _row(name: str, result: ClassificationResult) -> dict[str, object]:
    identity = result.identity
    return {
        _SERIES: name,
        _UID: identity.series_uid,
        _PATIENT: identity.patient_id,
        "Result": result.words,
        **{_column(key): value for key, value in result.probabilities.items()},
        "Model": f"{result.model.name} {result.model.version}",
        "SHA-256": result.model.sha256,
        "Please look": " ".join(result.warnings),
    }


def _key(row: Mapping[str, object]) -> object:
    return row[_UID] or row[_SERIES]


def _column(key: str) -> str:
    """The title of a class's column: ``finding: abnormal``."""
    return key.replace(":", ": ", 1)


def _columns(classes: Sequence[str]) -> dict[str, tuple[type, str]]:
    texts = {title: (vtk.vtkStringArray, what) for title, what in _TEXTS.items()}
    numbers = {_column(key): (vtk.vtkDoubleArray, "Calibrated probability") for key in classes}
    return texts | numbers | {title: (vtk.vtkStringArray, what) for title, what in _ENDS.items()}


def _rows_of(node: slicer.vtkMRMLTableNode | None, classes: Sequence[str]) -> list[dict[str, object]]:
    if node is None:
        return []
    table = node.GetTable()
    arrays = {title: table.GetColumnByName(title) for title in _columns(classes)}
    if any(array is None for array in arrays.values()):
        return []
    return [{title: array.GetValue(row) for title, array in arrays.items()} for row in range(table.GetNumberOfRows())]


def _fill(node: slicer.vtkMRMLTableNode, rows: Sequence[Mapping[str, object]], classes: Sequence[str]) -> None:
    was_modified = node.StartModify()
    node.RemoveAllColumns()
    for title, (kind, description) in _columns(classes).items():
        array = kind()
        array.SetName(title)
        array.SetNumberOfValues(len(rows))
        for index, row in enumerate(rows):
            array.SetValue(index, row[title])
        node.AddColumn(array)
        node.SetColumnDescription(title, description)
    node.EndModify(was_modified)


def _colours(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """Black-red-yellow-white, from transparent to opaque; one for all overlays of a scene."""
    found = scene.GetFirstNodeByName(COLOURS)
    if found is not None and found.IsA("vtkMRMLColorTableNode"):
        return found
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(COLOURS)
    node.SetNumberOfColors(256)
    for index in range(256):
        share = index / 255
        red, green, blue = np.clip([3 * share, 3 * share - 1, 3 * share - 2], 0, 1)
        node.SetColor(index, f"{share:.2f}", float(red), float(green), float(blue), share)
    return scene.AddNode(node)
