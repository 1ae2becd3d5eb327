"""Measurements of a result as a table node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from ..segmentation.result import Piece, Segment, SegmentationResult
from .grid import NodeGrid, grid_of_node
from .hierarchy import place_result

ALL_PIECES = "all"
NO_INDEX = -1


@dataclass(frozen=True)
class Column:
    """One column: its title, VTK array type, unit (UCUM) and what it says."""

    title: str
    array: type
    unit: str = ""
    description: str = ""


COLUMNS = (
    Column("Segment", vtk.vtkStringArray, description="Name of the segment"),
    Column("Piece", vtk.vtkStringArray, description="'all', or the number of one connected piece, largest first"),
    Column("Location", vtk.vtkStringArray, description="Inside the body, at the skin or outside"),
    Column("Pieces", vtk.vtkIntArray, description="Connected pieces"),
    Column("Voxels", vtk.vtkIntArray),
    Column("Volume", vtk.vtkDoubleArray, "mL"),
    Column("Mean", vtk.vtkDoubleArray, "[hnsf'U]"),
    Column("Maximum", vtk.vtkDoubleArray, "[hnsf'U]"),
    Column("Centroid R", vtk.vtkDoubleArray, "mm", "Centre of mass in world coordinates"),
    Column("Centroid A", vtk.vtkDoubleArray, "mm", "Centre of mass in world coordinates"),
    Column("Centroid S", vtk.vtkDoubleArray, "mm", "Centre of mass in world coordinates"),
    *(
        Column(f"{axis} {end}", vtk.vtkIntArray, description="Bounding box, voxel index, ends included; -1: empty")
        for axis in "IJK"
        for end in ("min", "max")
    ),
)


def result_to_table_node(
    scene: slicer.vtkMRMLScene,
    result: SegmentationResult,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    grid: NodeGrid | None = None,
    node: slicer.vtkMRMLTableNode | None = None,
) -> slicer.vtkMRMLTableNode:
    """One row for each segment and, where there are several or they matter, for each of its pieces.

    Parameters
    ----------
    scene : vtkMRMLScene
    result : SegmentationResult
        On the slices of `volume_node`.
    volume_node : vtkMRMLScalarVolumeNode
        Its voxel indices are those of the bounding boxes.
    grid : NodeGrid, optional
        Of `volume_node`, where the caller has it.
    node : vtkMRMLTableNode, optional
        An earlier table of the same volume: rows of the same segments are replaced, others stay.

    Returns
    -------
    vtkMRMLTableNode
        Columns typed, with units (ml, HU, mm).
    """
    grid = grid or grid_of_node(volume_node)
    replaced = {segment.kind.name for segment in result.segments}
    kept = [row for row in _rows_of(node) if row["Segment"] not in replaced]
    if node is None:
        name = scene.GenerateUniqueName(f"{volume_node.GetName()} measurements")
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    _fill(node, [*kept, *(row for segment in result.segments for row in _segment_rows(segment, grid))])
    place_result(scene, node, volume_node)
    return node


def _segment_rows(segment: Segment, grid: NodeGrid) -> Iterable[dict[str, object]]:
    measured = segment.measurements
    yield _row(
        segment.kind.name,
        ALL_PIECES,
        "",
        int(measured.get("components") or 0),
        {key: measured.get(key) for key in Piece.__dataclass_fields__},
        grid,
    )
    for number, piece in enumerate(segment.pieces, start=1):
        values = {key: getattr(piece, key) for key in Piece.__dataclass_fields__}
        yield _row(segment.kind.name, str(number), piece.location, 1, values, grid)


def _row(
    name: str, piece: str, location: str, pieces: int, values: Mapping[str, object], grid: NodeGrid
) -> dict[str, object]:
    centroid = values.get("centroid_ras_mm") or (np.nan,) * 3
    cells = (
        *(name, piece, location, pieces, int(values.get("voxels") or 0)),
        *(_number(values.get(key)) for key in ("volume_ml", "mean_hu", "max_hu")),
        *(float(value) for value in centroid),
        *_node_box(values.get("bbox_ijk"), grid),
    )
    return {column.title: cell for column, cell in zip(COLUMNS, cells, strict=True)}


def _number(value: object) -> float:
    return float("nan") if value is None else float(value)


def _node_box(box: tuple[int, ...] | None, grid: NodeGrid) -> tuple[int, ...]:
    """The box in voxel indices of the node, whose planes may run the other way."""
    if box is None:
        return (NO_INDEX,) * 6
    planes = sorted(int(grid.plane_of_slice[k]) for k in box[4:6])
    return (*(int(index) for index in box[:4]), *planes)


def _rows_of(node: slicer.vtkMRMLTableNode | None) -> list[dict[str, object]]:
    if node is None:
        return []
    table = node.GetTable()
    arrays = {column.title: table.GetColumnByName(column.title) for column in COLUMNS}
    if any(array is None for array in arrays.values()):
        return []
    return [{title: array.GetValue(row) for title, array in arrays.items()} for row in range(table.GetNumberOfRows())]


def _fill(node: slicer.vtkMRMLTableNode, rows: list[dict[str, object]]) -> None:
    was_modified = node.StartModify()
    node.RemoveAllColumns()
    for column in COLUMNS:
        array = column.array()
        array.SetName(column.title)
        array.SetNumberOfValues(len(rows))
        for index, row in enumerate(rows):
            array.SetValue(index, row[column.title])
        node.AddColumn(array)
        node.SetColumnUnitLabel(column.title, column.unit)
        node.SetColumnDescription(column.title, column.description)
        node.SetColumnTitle(column.title, _title(column))
    node.SetUseColumnTitleAsColumnHeader(True)
    node.EndModify(was_modified)


def _title(column: Column) -> str:
    unit = {"[hnsf'U]": "HU", "mL": "ml"}.get(column.unit, column.unit)
    return f"{column.title} ({unit})" if unit else column.title
