"""Markups as measurements, tables of the scene, and the Bland-Altman plot, on real MRML."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from DicomAnalysisLib.errors import TaskError
from DicomAnalysisLib.mrml import volume_to_node
from DicomAnalysisLib.mrml.agreement import (
    add_measurement,
    agreement_to_nodes,
    fill_columns,
    image_of_markups,
    measure_markups,
    study_to_table,
    table_rows,
)
from DicomAnalysisLib.mrml.arrays import to_vtk_matrix
from DicomAnalysisLib.reporting.agreement.analysis import analyse
from DicomAnalysisLib.reporting.agreement.estimate import AgreementOptions
from DicomAnalysisLib.reporting.agreement.pairing import pair_values
from DicomAnalysisLib.reporting.agreement.request import TableChoice, pair_table
from DicomAnalysisLib.reporting.agreement.segment_study import SegmentRow, SegmentStudy
from mrml_cases import IDENTITY, fresh_scene, make_volume
from scipy.spatial.transform import Rotation

scene = pytest.fixture(fresh_scene)


def markups(scene, kind, points, name="M"):
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", name)
    for point in points:
        node.AddControlPointWorld(vtk.vtkVector3d(*map(float, point)))
    return node


def rim(radius=24.0, count=9, center=(30.0, -40.0, 1000.0)):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    flat = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle])
    return flat @ Rotation.from_euler("xyz", (20, 40, 10), degrees=True).as_matrix().T + center


class TestMarkups:
    def test_a_line_is_a_distance(self, scene):
        found = measure_markups(markups(scene, "Line", [(0, 0, 0), (3, 4, 12)]))
        assert (found.quantity, found.unit, found.value) == ("distance", "mm", pytest.approx(13))

    def test_an_angle(self, scene):
        found = measure_markups(markups(scene, "Angle", [(1, 0, 0), (0, 0, 0), (0, 5, 0)]))
        assert (found.quantity, found.unit, found.value) == ("angle", "deg", pytest.approx(90))

    def test_the_diameter_of_a_hip_socket_from_points_on_its_rim(self, scene):
        found = measure_markups(markups(scene, "Fiducial", rim()))
        assert found.value == pytest.approx(48)
        assert found.details["center_mm"] == pytest.approx((30, -40, 1000))
        assert found.details["residual_mm"] == pytest.approx(0, abs=1e-6)

    def test_points_are_taken_where_a_transform_puts_them(self, scene):
        node = markups(scene, "Fiducial", rim())
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
        matrix = np.eye(4)
        matrix[:3, :3] *= 2
        matrix[:3, 3] = 1, 2, 3
        transform.SetMatrixTransformToParent(to_vtk_matrix(matrix))
        node.SetAndObserveTransformNodeID(transform.GetID())
        found = measure_markups(node)
        assert found.value == pytest.approx(96)
        assert found.details["center_mm"] == pytest.approx((61, -78, 2003))

    def test_a_point_that_was_not_placed_yet_does_not_count(self, scene):
        node = markups(scene, "Line", [(0, 0, 0), (0, 0, 7)])
        node.UnsetNthControlPointPosition(1)
        with pytest.raises(TaskError, match="there are 1"):
            measure_markups(node)

    def test_a_sphere_needs_points_off_the_plane(self, scene):
        node = markups(scene, "Fiducial", rim())
        with pytest.raises(TaskError, match="lie in a plane"):
            measure_markups(node, "sphere")


class TestMeasurementsOfRaters:
    def test_from_markups_to_agreement(self, scene):
        random = np.random.default_rng(0)
        for case in range(6):
            for rater in ("Reader A", "Reader B"):
                points = rim(20 + case) + random.normal(0, 0.2, (9, 3))
                table = add_measurement(
                    scene, measure_markups(markups(scene, "Fiducial", points)), f"case {case}", rater
                )
        rows = table_rows(table)
        assert len(rows) == 6
        paired = pair_table(rows, TableChoice(("Reader A (mm)", "Reader B (mm)")))
        found = analyse(paired)
        assert (paired.unit, paired.names) == ("mm", ("Reader A", "Reader B"))
        assert abs(found.limits.bias.value) < 0.5
        assert found.icc.agreement.value > 0.95

    def test_a_second_measurement_is_a_repeat(self, scene):
        line = measure_markups(markups(scene, "Line", [(0, 0, 0), (0, 0, 7)]))
        for rater in ("A", "A", "B"):
            table = add_measurement(scene, line, "case", rater)
        rows = table_rows(table)
        assert [row["A (mm)"] for row in rows] == ["7", "7"]
        assert [row["B (mm)"] for row in rows] == ["7", ""]

    def test_the_image_says_which_series_it_is(self, scene):
        volume = volume_to_node(scene, make_volume(), "head")
        node = markups(scene, "Line", [(0, 0, 0), (0, 0, 7)])
        node.SetNthControlPointAssociatedNodeID(0, volume.GetID())
        assert image_of_markups(node) is volume
        table = add_measurement(scene, measure_markups(node), "P1", "A", volume)
        assert table_rows(table)[0]["series_uid"] == IDENTITY.series_uid


class TestNodes:
    def study(self, count=20, **options):
        random = np.random.default_rng(1)
        truth = np.linspace(40, 60, count)
        first = truth + random.normal(0, 1, count)
        first[3] += 12
        ids = [f"P{n}" for n in range(count)]
        names = ("network", "manual")
        return analyse(pair_values(first, truth, ids, "diameter", "mm", names), AgreementOptions(**options))

    def test_a_bland_altman_plot(self, scene):
        found = self.study()
        nodes = agreement_to_nodes(scene, found)
        chart = nodes.chart_node
        series = {chart.GetNthPlotSeriesNode(n).GetName(): chart.GetNthPlotSeriesNode(n) for n in range(11)}
        assert len(series) == chart.GetNumberOfPlotSeriesNodes() == 11
        outside = table_rows(series["Outside the limits"].GetTableNode())
        assert [row["Identifier"] for row in outside] == ["P3"]
        assert len(table_rows(series["Pairs"].GetTableNode())) == 19
        upper = table_rows(series["Upper limit of agreement"].GetTableNode())
        assert [float(row["Difference"]) for row in upper] == pytest.approx([found.limits.upper.value] * 2, rel=1e-5)
        assert series["Pairs"].GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleNone
        assert series["Pairs"].GetLabelColumnName() == "Identifier"
        assert chart.GetYAxisTitle() == "network - manual (mm)"

    def test_tables(self, scene):
        nodes = agreement_to_nodes(scene, self.study())
        rows = {row["Name"]: row for row in table_rows(nodes.table_node)}
        assert float(rows["ICC(2,1), absolute agreement"]["Low"]) < float(rows["ICC(2,1), absolute agreement"]["Value"])
        assert "nothing was measured twice" in rows["Repeatability coefficient, manual"]["Remark"]
        assert len(table_rows(nodes.pairs_node)) == 20

    def test_a_second_study_updates_the_first(self, scene):
        first = agreement_to_nodes(scene, self.study())
        count = scene.GetNumberOfNodes()
        second = agreement_to_nodes(scene, self.study(log=True))
        assert second == first
        assert scene.GetNumberOfNodes() == count
        assert second.chart_node.GetYAxisTitle() == "network / manual"

    def test_segmentations(self, scene):
        row = SegmentRow("1.2.3", "1.2.3", 1, "Metal", 0.9, None, None, 1.0, 2.0, -1.0, -50.0, "said", "a", "b")
        table = study_to_table(scene, SegmentStudy(("a", "b"), (row,)))
        [cells] = table_rows(table)
        assert (cells["segment"], float(cells["dice"]), cells["hausdorff95_mm"]) == ("Metal", 0.9, "nan")

    def test_numbers_of_a_table_keep_all_digits(self, scene):
        """VTK writes six of them: volumes of 1234567.8 and 1234561.2 mm3 would not differ by 6.6."""
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")
        values = [1234567.8, 1234561.2, 0.1, None]
        fill_columns(node, {"id": ["a", "b", "c", "d"], "volume (mm3)": values})
        single = vtk.vtkFloatArray()
        single.SetName("single")
        for value in (0.1, 12345678.0, 2.0, 3.5):
            single.InsertNextValue(value)
        node.AddColumn(single)
        rows = table_rows(node)
        assert [row["volume (mm3)"] for row in rows] == ["1234567.8", "1234561.2", "0.1", "nan"]
        assert [row["single"] for row in rows] == ["0.1", "12345678", "2", "3.5"]

    def test_rows_without_a_number_for_their_case_are_no_repeats(self, scene):
        """A missing identifier in a column of numbers is NaN: not a case of that name, measured several times."""
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
        fill_columns(node, {"id": [1, 2, None, None, 3], "a": [5.0, 6, 1, 90, 7], "b": [5.5, 6, 2, 80, 7]})
        paired = pair_table(table_rows(node), TableChoice(("a", "b")))
        assert [pair.identifier for pair in paired.pairs] == ["1", "2", "3"]
        assert paired.left_out == ("a: a row without identifier",) * 2 + ("b: a row without identifier",) * 2

    def test_a_table_of_the_scene_with_text_and_numbers(self, scene):
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", "t")
        fill_columns(node, {"id": ["a", "b", "c"], "x": [1.5, None, 3], "y (mm)": ["1", "2", "3,5"]})
        paired = pair_table(table_rows(node), TableChoice(("x", "y (mm)")))
        assert [(pair.identifier, pair.first, pair.second) for pair in paired.pairs] == [
            ("a", (1.5,), (1.0,)),
            ("c", (3.0,), (3.5,)),
        ]
