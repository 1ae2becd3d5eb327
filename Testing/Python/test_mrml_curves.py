"""Curves as plot nodes, and taking back the last result, on real MRML."""

from __future__ import annotations

import numpy as np
import pytest
from DicomAnalysisLib.mrml import (
    NodeResults,
    UndoPoint,
    find_curve,
    find_results,
    result_to_nodes,
    segmentation_node_to_masks,
    slice_maximum_curve,
    volume_to_node,
)
from DicomAnalysisLib.mrml.arrays import image_array
from DicomAnalysisLib.mrml.curves import SLICE_MAXIMUM, remove_curve
from mrml_cases import fresh_scene, make_result, make_volume

scene = pytest.fixture(fresh_scene)


def study_of(scene, node):
    hierarchy = scene.GetSubjectHierarchyNode()
    return hierarchy.GetItemAncestorAtLevel(hierarchy.GetItemByDataNode(node), "Study")


def column(table_node, title):
    array = table_node.GetTable().GetColumnByName(title)
    return [array.GetValue(row) for row in range(array.GetNumberOfValues())]


class TestCurves:
    def test_the_largest_value_of_every_slice(self, scene):
        volume = make_volume(tilt=10.0)
        node = volume_to_node(scene, volume, "head")
        curve = slice_maximum_curve(scene, node)
        assert column(curve.table_node, "Maximum") == volume.voxels.max(axis=(1, 2)).tolist()
        np.testing.assert_allclose(column(curve.table_node, "Position"), volume.geometry.distances)
        assert column(curve.table_node, "Slice") == list(range(1, len(volume.voxels) + 1))
        assert curve.table_node.GetColumnUnitLabel("Position") == "mm"

    def test_chart_series_and_table_belong_together_in_the_study(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        curve = slice_maximum_curve(scene, node)
        assert curve.chart_node.GetPlotSeriesNodeID() == curve.series_node.GetID()
        assert curve.series_node.GetTableNode() is curve.table_node
        titles = curve.series_node.GetXColumnName(), curve.series_node.GetYColumnName()
        assert titles == ("Position", "Maximum")
        assert "mm" in curve.chart_node.GetXAxisTitle()
        assert "HU" in curve.chart_node.GetYAxisTitle()
        assert {study_of(scene, one) for one in curve} == {study_of(scene, node)}
        assert study_of(scene, node)

    def test_a_second_call_updates_the_first(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        first = slice_maximum_curve(scene, node)
        image_array(node.GetImageData())[2, 3, 4] = 4000
        second = slice_maximum_curve(scene, node)
        assert second == first
        assert column(second.table_node, "Maximum")[2] == 4000
        assert find_curve(scene, node, SLICE_MAXIMUM) == first
        remove_curve(scene, first)
        assert find_curve(scene, node, SLICE_MAXIMUM).chart_node is None

    def test_many_slices_are_a_line_without_markers(self, scene):
        few = slice_maximum_curve(scene, volume_to_node(scene, make_volume(), "few"))
        many = slice_maximum_curve(scene, volume_to_node(scene, make_volume(np.arange(120) * 1.0), "many"))
        assert few.series_node.GetMarkerStyle() != many.series_node.GetMarkerStyle()

    def test_a_curve_is_not_taken_for_the_measurements(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        made = result_to_nodes(scene, make_result(), node)
        slice_maximum_curve(scene, node)
        assert find_results(scene, node).table_node is made.table_node


class TestUndo:
    def test_a_first_result_goes_with_its_helpers(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        before = {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}
        point = UndoPoint(scene, NodeResults())
        made = result_to_nodes(scene, make_result(), node)
        made.segmentation_node.CreateDefaultStorageNode()
        point.note(made[:3])
        assert point.is_possible
        point.undo()
        left = {scene.GetNthNode(n).GetClassName() for n in range(scene.GetNumberOfNodes())}
        assert not left & {"vtkMRMLSegmentationNode", "vtkMRMLTableNode", "vtkMRMLSegmentationDisplayNode"}
        assert {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())} == before
        assert not point.is_possible

    def test_a_changed_result_is_as_it_was(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        first = result_to_nodes(scene, make_result(), node)
        first.segmentation_node.SetDescription("as it was")
        segmentation = first.segmentation_node.GetSegmentation()
        masks = segmentation_node_to_masks(first.segmentation_node, node)
        cells = [first.table_node.GetCellText(row, 4) for row in range(first.table_node.GetNumberOfRows())]
        voxels = image_array(first.cleaned_volume_node.GetImageData()).copy()
        colors = [segmentation.GetNthSegment(n).GetColor() for n in range(segmentation.GetNumberOfSegments())]
        point = UndoPoint(scene, find_results(scene, node))
        made = result_to_nodes(scene, make_result(overlap=True), node, update=find_results(scene, node))
        point.note(made[:3])
        assert made[:3] == first[:3]
        image_array(made.cleaned_volume_node.GetImageData())[:] = 0
        point.undo()
        for name, mask in segmentation_node_to_masks(first.segmentation_node, node).items():
            np.testing.assert_array_equal(mask, masks[name])
        assert first.segmentation_node.GetDescription() == "as it was"
        assert [segmentation.GetNthSegment(n).GetColor() for n in range(segmentation.GetNumberOfSegments())] == colors
        assert [first.table_node.GetCellText(row, 4) for row in range(len(cells))] == cells
        np.testing.assert_array_equal(image_array(first.cleaned_volume_node.GetImageData()), voxels)

    def test_what_a_user_removed_meanwhile_stays_away(self, scene):
        node = volume_to_node(scene, make_volume(), "head")
        result_to_nodes(scene, make_result(), node)
        point = UndoPoint(scene, find_results(scene, node))
        scene.RemoveNode(find_results(scene, node).table_node)
        made = result_to_nodes(scene, make_result(), node, update=find_results(scene, node))
        point.note(made[:3])
        scene.RemoveNode(made.segmentation_node)
        point.undo()
        assert find_results(scene, node)[:2] == (None, None)
        assert find_results(scene, node).cleaned_volume_node is not None
