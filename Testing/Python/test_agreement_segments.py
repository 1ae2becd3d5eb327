"""Two sets of segmentations: pairing, metrics by MONAI, grids that differ, empty segments, and the command."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.errors import SourceError, TaskError, UsageError
from DicomAnalysisLib.files.json_text import plain
from DicomAnalysisLib.files.nrrd import write_segmentation
from DicomAnalysisLib.reporting.agreement.fits import angle_degrees, distance_mm, fit_circle, fit_sphere
from DicomAnalysisLib.reporting.agreement.request import agreements_of
from DicomAnalysisLib.reporting.agreement.segment_files import find_segmentations
from DicomAnalysisLib.reporting.agreement.segment_study import (
    SegmentRow,
    SegmentStudy,
    describe,
    outliers,
    study_from,
    volumes,
)
from DicomAnalysisLib.segments import HEADREST, METAL
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("monai", reason="the metrics need the extra 'network'")

from DicomAnalysisLib.reporting.agreement.segment_comparison import compare_segmentations
from DicomAnalysisLib.reporting.agreement.segment_metrics import compare_masks

PEAK_FLOW = "id,Wright (l/min),mini (l/min)\n" + "".join(
    f"S{n},{a},{b}\n"
    for n, (a, b) in enumerate([(494, 512), (395, 430), (516, 520), (434, 428), (476, 500), (557, 600)])
)


def box(low, high, spacing=(1.0, 1.0, 2.0), size=(24, 22, 16), origin=(0.0, 0.0, 0.0), direction=None, value=1):
    """A binary image with a box, index bounds in (i, j, k)."""
    array = np.zeros(size[::-1], np.uint8)
    array[tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))] = value
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    return image


class TestMetrics:
    def test_a_box_moved_along_each_axis_with_its_spacing(self):
        """Dice, and a surface that is moved by two voxels: 2, 2 and 4 mm at the 95th percentile or below."""
        for axis, spacing in enumerate((1.0, 1.0, 2.0)):
            low, high = np.array([4, 4, 4]), np.array([14, 14, 10])
            shift = np.eye(3, dtype=int)[axis] * 2
            found = compare_masks(box(low + shift, high + shift), box(low, high))
            assert found.dice == pytest.approx(1 - 2 / (high - low)[axis])
            assert found.hausdorff95_mm == pytest.approx(2 * spacing)
            assert 0 < found.surface_distance_mm < 2 * spacing
            assert found.volume_first_ml == found.volume_second_ml == pytest.approx(1.2)
            assert found.volume_difference_percent == 0

    def test_the_first_is_brought_onto_the_grid_of_the_second(self):
        fine = box((8, 8, 8), (28, 28, 20), spacing=(0.5, 0.5, 1.0), size=(48, 44, 32), origin=(-0.25, -0.25, -0.5))
        found = compare_masks(fine, box((4, 4, 4), (14, 14, 10)), ("fine", "coarse"))
        assert found.dice == 1
        assert found.hausdorff95_mm == 0
        assert found.volume_first_ml == found.volume_second_ml
        assert "fine was resampled (nearest voxel) onto the grid of coarse" in found.notes

    def test_axes_in_another_order(self):
        """The same box in space, stored along other axes: nothing is to be seen of it but the note."""
        one = box((4, 5, 3), (14, 12, 10))
        turned = sitk.PermuteAxes(sitk.Flip(one, (True, False, True)), (2, 0, 1))
        found = compare_masks(turned, one)
        assert (found.dice, found.hausdorff95_mm) == (1, 0)
        assert found.notes

    def test_sheared_slices_of_a_tilted_gantry_are_set_upright(self):
        axes = np.eye(3)
        axes[:, 2] = [0, np.sin(np.radians(20)), np.cos(np.radians(20))]
        spacing = (1.0, 1.0, 2 / np.cos(np.radians(20)))
        tilted = box((4, 4, 4), (14, 14, 10), spacing, direction=axes)
        found = compare_masks(tilted, tilted)
        assert found.dice == 1
        assert any("tilted gantry" in note for note in found.notes)
        assert found.volume_first_ml == pytest.approx(1.2)
        moved = compare_masks(box((4, 6, 4), (14, 16, 10), spacing, direction=axes), tilted)
        assert moved.hausdorff95_mm == pytest.approx(2, abs=0.6)

    @pytest.mark.parametrize("tilt", [0, 20])
    def test_what_reaches_beyond_a_cropped_grid_counts(self, tilt):
        """Slicer and others can save a segmentation cropped to its segments: the same numbers as on the whole grid."""
        axes = np.eye(3)
        axes[:, 2] = [0, np.sin(np.radians(tilt)), np.cos(np.radians(tilt))]
        large = box((2, 3, 2), (22, 19, 14), direction=axes)
        small = box((6, 7, 5), (12, 13, 9), direction=axes)
        cropped = sitk.RegionOfInterest(small, (6, 6, 4), (6, 7, 5))
        whole = compare_masks(large, small)
        assert 0 < whole.dice < 0.2
        for first, second in ((large, cropped), (cropped, large)):
            found = compare_masks(first, second)
            assert found.dice == pytest.approx(whole.dice, rel=0 if not tilt else 0.1)
            assert found.hausdorff95_mm == pytest.approx(whole.hausdorff95_mm, abs=1e-4 if not tilt else 0.6)
            assert found.surface_distance_mm == pytest.approx(whole.surface_distance_mm, rel=1e-5 if not tilt else 0.1)

    def test_empty_masks_are_named(self):
        full, none = box((4, 4, 4), (14, 14, 10)), box((0, 0, 0), (0, 0, 0))
        one = compare_masks(none, full, ("network", "manual"))
        assert (one.dice, one.hausdorff95_mm, one.surface_distance_mm) == (0, None, None)
        assert "empty in network" in one.reason
        both = compare_masks(none, none)
        assert both.dice is None
        assert "both are empty" in both.reason
        assert both.volume_difference_percent is None

    def test_a_mask_that_fills_its_volume_has_a_surface(self):
        full = box((0, 0, 0), (24, 22, 16))
        assert compare_masks(full, full).hausdorff95_mm == 0


class TestStudy:
    @pytest.fixture
    def folders(self, tmp_path):
        for n in range(4):
            for name, grow in (("network", n % 2), ("manual", 0)):
                (tmp_path / name).mkdir(exist_ok=True)
                sitk.WriteImage(box((4, 4, 4), (14 + grow, 14, 10)), str(tmp_path / name / f"case{n}.nii.gz"))
        sitk.WriteImage(box((4, 4, 4), (9, 9, 9)), str(tmp_path / "network" / "alone.nii.gz"))
        return tmp_path / "network", tmp_path / "manual"

    def test_pairs_by_name(self, folders):
        study = compare_segmentations(*folders, names=("network", "manual"))
        assert [row.identifier for row in study.rows] == ["case0", "case1", "case2", "case3"]
        assert study.unmatched_first == ("alone",)
        assert [row.dice == 1 for row in study.rows] == [True, False, True, False]
        assert describe(study.rows, "dice")["count"] == 4
        paired = volumes(study, "label 1")
        assert paired.unit == "ml"
        assert paired.pairs[1].first[0] == pytest.approx(1.32)
        assert paired.pairs[1].files == (str(folders[0] / "case1.nii.gz"), str(folders[1] / "case1.nii.gz"))
        agreements, remarks = agreements_of(study, None)
        assert len(agreements) == 1
        assert not remarks
        assert study_from(json.loads(json.dumps(plain(study)))) == study

    def test_a_pattern_takes_the_identifier(self, tmp_path):
        for name, who in (("a", "ann"), ("b", "bob")):
            (tmp_path / name).mkdir()
            for n in range(2):
                sitk.WriteImage(box((4, 4, 4), (9, 9, 9)), str(tmp_path / name / f"case{n}_{who}.nrrd"))
        with pytest.raises(TaskError, match="No identifier is in both"):
            compare_segmentations(tmp_path / "a", tmp_path / "b")
        study = compare_segmentations(tmp_path / "a", tmp_path / "b", pattern=r"(case\d+)_")
        assert [row.identifier for row in study.rows] == ["case0", "case1"]
        for pattern in ("(", "case", "(a)(b)"):
            with pytest.raises(UsageError, match="pattern"):
                find_segmentations(tmp_path / "a", pattern)

    def test_results_of_segment_and_repeats(self, tmp_path):
        """Folders by Series Instance UID with Slicer's segmentations, against labelmaps of the same names."""
        uid, affine = "1.2.826.0.1.3680043.8.498.1", np.diag([1.0, 1, 2, 1])
        head, metal = np.zeros((2, 16, 22, 24), bool)
        head[4:10, 4:14, 4:14] = True
        metal[2:4, 2:6, 2:6] = True
        write_segmentation(
            tmp_path / "auto" / uid / "segmentation.seg.nrrd", [(HEADREST, head), (METAL, metal)], affine
        )
        (tmp_path / "auto" / uid / "cleaned.nrrd").write_bytes(b"not a segmentation")
        (tmp_path / "hand").mkdir()
        labels = head * HEADREST.label + metal * METAL.label
        image = sitk.GetImageFromArray(labels.astype(np.uint8))
        image.SetSpacing((1, 1, 2))
        sitk.WriteImage(image, str(tmp_path / "hand" / f"{uid}.nrrd"))
        study = compare_segmentations(tmp_path / "auto", tmp_path / "hand")
        assert {row.segment: row.dice for row in study.rows} == {"Headrest": 1, "Metal": 1}
        assert {row.series_uid for row in study.rows} == {uid}
        only = compare_segmentations(tmp_path / "auto", tmp_path / "hand", ("Metal",))
        assert only.segments == ("Metal",)
        with pytest.raises(UsageError, match="No segmentation has a segment 'Bone'"):
            compare_segmentations(tmp_path / "auto", tmp_path / "hand", ("Bone",))

    def test_further_stacks_of_different_series_are_different_cases(self, tmp_path):
        """`segment` leaves them in folders called stack-2: those of two series are no repeats of one another."""
        uids, affine = ("1.2.826.0.1.1", "1.2.826.0.1.2"), np.diag([1.0, 1, 2, 1])
        head = np.zeros((16, 22, 24), bool)
        head[4:10, 4:14, 4:14] = True
        for name, chosen in (("auto", uids), ("hand", uids[1:])):
            for uid in chosen:
                path = tmp_path / name / uid / "stack-2" / "segmentation.seg.nrrd"
                write_segmentation(path, [(HEADREST, head if uid == uids[1] else head[::-1])], affine)
        study = compare_segmentations(tmp_path / "auto", tmp_path / "hand")
        assert study.problems == ()
        assert study.unmatched_first == (f"{uids[0]}/stack-2",)
        (row,) = study.rows
        assert (row.identifier, row.series_uid, row.dice) == (f"{uids[1]}/stack-2", uids[1], 1)

    def test_overlapping_segments_in_layers(self, tmp_path):
        affine = np.diag([1.0, 1, 2, 1])
        head, metal = np.zeros((2, 16, 22, 24), bool)
        head[4:10, 4:14, 4:14] = True
        metal[5:7, 5:8, 5:8] = True
        for name in ("a", "b"):
            path = tmp_path / name / "case.seg.nrrd"
            write_segmentation(path, [(HEADREST, head), (METAL, metal if name == "a" else metal[:, ::-1])], affine)
        study = compare_segmentations(tmp_path / "a", tmp_path / "b")
        assert {row.segment: row.dice == 1 for row in study.rows} == {"Headrest": True, "Metal": False}
        assert study.rows[0].volume_first_ml == pytest.approx(1.2)

    def test_what_cannot_be_compared_is_listed(self, folders):
        (folders[0] / "case0.nii.gz").write_bytes(b"nothing")
        sitk.WriteImage(box((4, 4, 4), (9, 9, 9), origin=(500, 0, 0)), str(folders[0] / "case1.nii.gz"))
        noise = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32))
        sitk.WriteImage(noise, str(folders[0] / "case2.nii.gz"))
        study = compare_segmentations(*folders)
        assert [row.identifier for row in study.rows] == ["case3"]
        text = "\n".join(study.problems)
        assert "cannot be read" in text
        assert "different places" in text
        assert "no labelmap" in text

    def test_folders_without_segmentations(self, tmp_path):
        with pytest.raises(SourceError, match="holds no segmentations"):
            find_segmentations(tmp_path)
        with pytest.raises(SourceError, match="no folder"):
            find_segmentations(tmp_path / "none")

    def test_what_stands_out(self):
        def row(n, dice, distance, first=10.0, remark=""):
            return SegmentRow(f"P{n}", "", 1, "Liver", dice, distance, distance, first, 10.0, 0, 0, remark, "", "")

        rows = [row(n, 0.9 + 0.002 * n, 1 + 0.1 * n) for n in range(8)]
        rows += [row(8, 0.5, 1.2), row(9, 0.91, 30.0), row(10, 0.0, None, 0.0, "empty in first")]
        found = {one.identifier: one.reason for one in outliers(SegmentStudy(("a", "b"), tuple(rows)), "Liver")}
        assert set(found) == {"P8", "P9", "P10"}
        assert "Dice 0.5" in found["P8"]
        assert "Hausdorff 95 (mm) 30" in found["P9"]
        assert "empty in first" in found["P10"]


class TestCommand:
    def test_two_columns(self, tmp_path, capsys):
        (tmp_path / "flow.csv").write_text(PEAK_FLOW, encoding="utf-8")
        arguments = ["agreement", str(tmp_path / "flow.csv"), "--columns", "Wright (l/min)", "mini (l/min)"]
        assert main([*arguments, "--acceptable", "80", "--precision", "10", "--output", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out
        for words in ("Wright minus mini, 6 pairs", "ICC(2,1)", "non-central t", "Pairs needed", "report.html"):
            assert words in said
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "data:image/png;base64," in page
        assert "http" not in page.replace("http-equiv", "")
        with (tmp_path / "out" / "pairs.csv").open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == 6
        assert main([*arguments, "--json"]) == 0
        [one] = json.loads(capsys.readouterr().out)["agreements"]
        assert one["bias"]["value"] == pytest.approx(-19.6667, abs=1e-3)
        assert one["icc_2_1"]["low"] < one["icc_2_1"]["value"]

    @pytest.mark.parametrize(("coverage", "factor"), [("0.95", "1.96"), ("0.9", "1.64")])
    def test_the_report_says_by_which_factor_it_computed(self, tmp_path, coverage, factor):
        (tmp_path / "flow.csv").write_text(PEAK_FLOW, "utf-8")
        out = tmp_path / "study"
        arguments = ["agreement", str(tmp_path / "flow.csv"), "--columns", "Wright (l/min)", "mini (l/min)"]
        assert main([*arguments, "--coverage", coverage, "--output", str(out)]) == 0
        assert f"Repeatability coefficient: {factor}·√2·within-subject SD" in (out / "report.html").read_text("utf-8")

    def test_two_folders(self, tmp_path, capsys):
        for n in range(4):
            for name in ("network", "manual"):
                (tmp_path / name).mkdir(exist_ok=True)
                image = box((4, 4, 4), (14 - (name == "network") * (n % 2), 14, 10 + n))
                sitk.WriteImage(image, str(tmp_path / name / f"case{n}.nrrd"))
        folders = [str(tmp_path / "network"), str(tmp_path / "manual")]
        assert main(["agreement", *folders, "--output", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out
        assert "network against manual: 4 pairs of segmentations" in said
        assert "Hausdorff 95 (mm)" in said
        assert "Agreement of volume of label 1" in said
        document = json.loads((tmp_path / "out" / "agreement.json").read_text(encoding="utf-8"))
        assert document["segments"][0]["metrics"]["dice"]["maximum"] == 1
        assert (tmp_path / "out" / "segments.csv").is_file()

    def test_identifiers_that_look_like_markup_or_formulas_stay_text(self, tmp_path):
        text = PEAK_FLOW.replace("S0,", "<script>alert(1)</script>,").replace("S1,", "=1+1,")
        (tmp_path / "t.csv").write_text(text.replace("512", "112"), encoding="utf-8")
        assert main(["agreement", str(tmp_path / "t.csv"), "--columns", "Wright (l/min)", "mini (l/min)",
                     "--output", str(tmp_path / "out")]) == 0  # fmt: skip
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert "'=1+1" in (tmp_path / "out" / "pairs.csv").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("extra", "status", "words"),
        [
            ([], 2, "Name the two columns"),
            (["--columns", "a", "b"], 2, "There is no column 'a'"),
            (["--columns", "Wright (l/min)", "mini (l/min)", "--confidence", "2"], 2, "share from 0.5"),
        ],
    )
    def test_usage_errors(self, tmp_path, capsys, extra, status, words):
        (tmp_path / "flow.csv").write_text(PEAK_FLOW, encoding="utf-8")
        assert main(["agreement", str(tmp_path / "flow.csv"), *extra]) == status
        assert words in capsys.readouterr().err


class TestFits:
    def test_distance_and_angle(self):
        assert distance_mm([(0, 0, 0), (1, 2, 2)]) == 3
        assert angle_degrees([(1, 0, 0), (0, 0, 0), (-1, 0, 0)]) == 180
        assert angle_degrees([(1, 0, 0), (0, 0, 0), (1, 1e-9, 0)]) == pytest.approx(np.degrees(1e-9), rel=1e-6)

    @settings(max_examples=60)
    @given(st.integers(0, 2**32 - 1), st.floats(2, 100), st.integers(5, 30))
    def test_points_of_a_sphere_anywhere(self, seed, radius, count):
        random = np.random.default_rng(seed)
        center = random.uniform(-1000, 1000, 3)
        around = random.normal(size=(count, 3))
        points = center + radius * around / np.linalg.norm(around, axis=1, keepdims=True)
        found = fit_sphere(points)
        assert found.diameter_mm == pytest.approx(2 * radius, rel=1e-3)
        assert found.center_mm == pytest.approx(tuple(center), abs=1e-2 * radius)

    @settings(max_examples=60)
    @given(st.integers(0, 2**32 - 1), st.floats(2, 100), st.integers(4, 30))
    def test_points_of_a_circle_anywhere(self, seed, radius, count):
        random = np.random.default_rng(seed)
        axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False) + random.uniform(-0.2, 0.2, count)
        center = random.uniform(-1000, 1000, 3)
        points = center + radius * (np.outer(np.cos(angle), axes[0]) + np.outer(np.sin(angle), axes[1]))
        found = fit_circle(points)
        assert found.diameter_mm == pytest.approx(2 * radius, rel=1e-6)
        assert abs(np.dot(found.normal, axes[2])) == pytest.approx(1)
        assert found.residual_mm < 1e-6 * radius

    def test_scatter_is_the_residual(self):
        random = np.random.default_rng(4)
        around = random.normal(size=(400, 3))
        points = around / np.linalg.norm(around, axis=1, keepdims=True) * (25 + random.normal(0, 0.5, (400, 1)))
        found = fit_sphere(points)
        assert found.residual_mm == pytest.approx(0.5, abs=0.05)
        assert found.diameter_mm == pytest.approx(50, abs=0.2)

    def test_what_the_user_has_to_know(self):
        assert "residual says nothing" in fit_circle([(1, 0, 0), (0, 1, 0), (-1, 0, 0)]).warning
        arc = np.radians([0, 20, 40, 60, 80])
        assert "of the rim open" in fit_circle(np.column_stack([np.cos(arc), np.sin(arc), 0 * arc])).warning

    def test_a_sphere_of_points_that_are_nearly_flat_is_uncertain(self):
        """Points clicked within 0.3 mm around a rim of 50 mm lie close to spheres of 70 mm and of 400 mm alike."""
        random = np.random.default_rng(0)
        angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        rim = np.column_stack([25 * np.cos(angle), 25 * np.sin(angle), 0 * angle]) + random.normal(0, 0.3, (12, 3))
        found = fit_sphere(rim)
        assert found.residual_mm < 0.3
        assert found.diameter_mm > 60
        assert "cover little of the sphere" in found.warning
        half = random.normal(size=(40, 3))
        half[:, 2] = np.abs(half[:, 2])
        assert fit_sphere(25 * half / np.linalg.norm(half, axis=1, keepdims=True)).warning == ""

    @pytest.mark.parametrize(
        ("fit", "points", "words"),
        [
            (fit_circle, [(0, 0, 0), (1, 0, 0)], "3 points or more"),
            (fit_circle, [(0, 0, 0), (1, 0, 0), (2, 0, 0)], "on a line"),
            (fit_circle, [(1, 1, 1)] * 4, "same place"),
            (fit_sphere, [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1.5, 0)], "in a plane"),
            (fit_sphere, [(0, 0, float("nan"))] * 4, "finite"),
            (distance_mm, [(0, 0, 0)], "needs 2 points"),
            (angle_degrees, [(0, 0, 0)] * 3, "three different points"),
        ],
    )
    def test_what_nothing_fits(self, fit, points, words):
        with pytest.raises(TaskError, match=words):
            fit(points)
