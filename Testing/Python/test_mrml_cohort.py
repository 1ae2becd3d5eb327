"""A cohort in a scene: its table, its points, and the way from a point or a row back to the series; on real MRML."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from DicomAnalysisLib.cohort.clustering.explorer import Explorer, ExplorerCluster
from DicomAnalysisLib.mrml import cohort
from DicomAnalysisLib.mrml.agreement import table_rows
from DicomAnalysisLib.mrml.cohort import (
    NO_CLUSTER,
    NO_LABEL,
    choose_only,
    chosen_series,
    explorer_to_nodes,
    features_of,
    row_of_series,
    series_of_row,
)
from mrml_cases import fresh_scene
from standins.application import chart_of

scene = pytest.fixture(fresh_scene)


def make_explorer(cluster, labels=None, display="umap") -> Explorer:
    cluster = np.asarray(cluster)
    count = len(cluster)
    random = np.random.default_rng(0)
    described = tuple(
        ExplorerCluster(int(n), int((cluster == n).sum()), 2, "brighter", (f"1.2.{np.flatnonzero(cluster == n)[0]}",))
        for n in np.unique(cluster)
        if n
    )
    return Explorer(
        tuple(f"1.2.{n}" for n in range(count)),
        tuple(f"P{n}" for n in range(count)),
        random.normal(size=(count, 2)).astype(np.float32),
        cluster,
        labels or {},
        described,
        "clusters",
        ("2 clusters.",),
        display,
    )


def points(node) -> list[str]:
    return [row["series_uid"] for row in table_rows(node.GetTableNode())]


def choose(chart, plot, *rows):
    """What a click, or a frame, does in a plot view."""
    array = vtk.vtkIdTypeArray()
    for row in rows:
        array.InsertNextValue(row)
    chart.GetPlot(plot).SetSelection(array)


def test_every_series_is_a_row_and_a_point(scene):
    explorer = make_explorer([1, 2, 1, 0, 2, 1])
    nodes = explorer_to_nodes(scene, explorer, features="/features")
    rows = table_rows(nodes.table_node)
    assert [row["series_uid"] for row in rows] == list(explorer.series)
    assert [row["cluster"] for row in rows] == ["1", "2", "1", "none", "2", "1"]
    assert features_of(nodes.table_node) == "/features"
    assert [node.GetName() for node in nodes.series_nodes] == [NO_CLUSTER, "Cluster 1", "Cluster 2"]
    assert [points(node) for node in nodes.series_nodes] == [["1.2.3"], ["1.2.0", "1.2.2", "1.2.5"], ["1.2.1", "1.2.4"]]
    chart = nodes.chart_node
    assert chart.GetNumberOfPlotSeriesNodes() == 3
    assert chart.GetXAxisTitle() == "UMAP 1"
    colours = {tuple(node.GetColor()) for node in nodes.series_nodes}
    assert len(colours) == 3
    for node in nodes.series_nodes:
        assert node.GetPlotType() == slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter
        assert node.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleNone


def test_points_lie_where_the_embedding_puts_them(scene):
    explorer = make_explorer([1, 1, 2], display="pca")
    nodes = explorer_to_nodes(scene, explorer)
    for node in nodes.series_nodes:
        for row in table_rows(node.GetTableNode()):
            place = explorer.positions[explorer.series.index(row["series_uid"])]
            assert (float(row["x"]), float(row["y"])) == pytest.approx(tuple(place), rel=1e-4)
    assert nodes.chart_node.GetYAxisTitle() == "principal component 2"


def test_from_a_point_and_from_a_row_to_the_series_and_back(scene):
    nodes = explorer_to_nodes(scene, make_explorer([1, 2, 1, 0, 2, 1]))
    chart = chart_of(nodes.chart_node)
    assert chosen_series(chart) == []
    choose(chart, 2, 1)
    assert chosen_series(chart) == ["1.2.4"]
    choose(chart, 1, 0, 2)
    assert chosen_series(chart) == ["1.2.0", "1.2.5", "1.2.4"]
    choose_only(chart, "1.2.2")
    assert chosen_series(chart) == ["1.2.2"]
    chart.AddPlot(vtk.vtkPlotPoints())  # without a table
    choose(chart, 2, 99)
    assert chosen_series(chart) == ["1.2.2"]
    assert series_of_row(nodes.table_node, 4) == "1.2.4"
    assert series_of_row(nodes.table_node, -1) == ""
    assert row_of_series(nodes.table_node, "1.2.4") == 4
    assert row_of_series(nodes.table_node, "9.9") == -1


def test_coloured_by_a_label(scene):
    labels = {"finding": ("yes", "no", "", "no", "no", "yes")}
    nodes = explorer_to_nodes(scene, make_explorer([1, 1, 1, 2, 2, 2], labels), "finding")
    assert [node.GetName() for node in nodes.series_nodes] == [NO_LABEL, "no", "yes"]
    assert points(nodes.series_nodes[2]) == ["1.2.0", "1.2.5"]
    assert "finding" in nodes.chart_node.GetTitle()
    assert [row["label finding"] for row in table_rows(nodes.table_node)] == list(labels["finding"])


def test_again_updates_and_another_cohort_has_its_own(scene):
    def counts():
        kinds = ("vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode", "vtkMRMLTableNode")
        return [scene.GetNumberOfNodesByClass(kind) for kind in kinds]

    first = explorer_to_nodes(scene, make_explorer([1, 2, 3, 0]))
    assert counts() == [4, 1, 5]
    again = explorer_to_nodes(scene, make_explorer([1, 2, 1, 2]))
    assert again.chart_node is first.chart_node
    assert counts() == [2, 1, 3]
    assert again.chart_node.GetNumberOfPlotSeriesNodes() == 2
    explorer_to_nodes(scene, make_explorer([1, 2]), name="another")
    assert counts() == [4, 2, 6]


def test_very_many_series_are_thinned_and_it_is_said(scene, monkeypatch):
    monkeypatch.setattr(cohort, "MOST_POINTS", 40)
    monkeypatch.setattr(cohort, "MOST_GROUPS", 3)
    explorer = make_explorer(np.arange(100) % 5 + 1)
    nodes = explorer_to_nodes(scene, explorer)
    assert nodes.drawn == 40
    assert nodes.table_node.GetNumberOfRows() == 100
    names = [node.GetName() for node in nodes.series_nodes]
    assert names == ["others", "Cluster 1", "Cluster 2", "Cluster 3"]
    drawn = [series for node in nodes.series_nodes for series in points(node)]
    assert len(set(drawn)) == 40
    again = explorer_to_nodes(scene, explorer)
    assert [points(node) for node in again.series_nodes] == [points(node) for node in nodes.series_nodes]


def test_no_cluster_at_all(scene):
    nodes = explorer_to_nodes(scene, make_explorer([0, 0, 0]))
    assert [node.GetName() for node in nodes.series_nodes] == [NO_CLUSTER]


def test_a_saved_scene_keeps_them(scene, tmp_path):
    nodes = explorer_to_nodes(scene, make_explorer([1, 2, 1]), name="/a", features="/f")
    name = nodes.series_nodes[1].GetName()
    path = tmp_path / "scene.mrml"
    scene.SetURL(str(path))
    assert scene.Commit()
    again = slicer.vtkMRMLScene()
    again.SetURL(str(path))
    again.Connect()
    tables = [again.GetNthNodeByClass(n, "vtkMRMLTableNode") for n in range(3)]
    assert "/f" in [features_of(table) for table in tables]
    plots = [again.GetNthNodeByClass(n, "vtkMRMLPlotSeriesNode") for n in range(2)]
    assert name in [plot.GetName() for plot in plots]
