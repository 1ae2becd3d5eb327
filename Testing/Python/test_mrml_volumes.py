"""Volumes <-> volume nodes, on the real MRML classes of slicer-core."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import vtk
from DicomAnalysisLib.errors import GeometryError, TaskError
from DicomAnalysisLib.mrml import (
    cleaned_volume_node,
    load_files,
    node_to_volume,
    result_to_segmentation_node,
    result_to_table_node,
    volume_to_node,
)
from DicomAnalysisLib.mrml.arrays import from_vtk_matrix, image_array
from DicomAnalysisLib.mrml.hierarchy import identity_of_node
from DicomAnalysisLib.volume import SeriesIdentity, Volume
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrml_cases import (
    IDENTITY,
    NAME_UNEVEN,
    SHAPE,
    UNEVEN,
    fresh_scene,
    make_result,
    make_volume,
    node_of,
)


@pytest.fixture
def scene():
    yield from fresh_scene()


class TestVolumes:
    @given(
        euler=st.tuples(*[st.floats(-180, 180)] * 3),
        tilt=st.floats(-25, 25),
        spacing=st.tuples(*[st.floats(0.2, 3)] * 2),
        gap=st.floats(0.5, 8),
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_node_gives_back_the_volume(self, scene, euler, tilt, spacing, gap):
        volume = make_volume(np.arange(SHAPE[0]) * gap, euler, tilt, spacing)
        again = node_to_volume(volume_to_node(scene, volume, "head"))
        assert again.voxels.dtype == np.int16
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        corners = np.array([(i, j, k) for i in (0, 9) for j in (0, 11) for k in (0, 3, 6)])
        np.testing.assert_allclose(
            again.geometry.index_to_lps(corners), volume.geometry.index_to_lps(corners), atol=1e-4
        )
        assert again.geometry.tilt_degrees == pytest.approx(volume.geometry.tilt_degrees, abs=1e-4)

    @pytest.mark.parametrize("tilt", [0.0, 18.5])
    def test_an_uneven_stack_gives_back_its_acquired_slices(self, scene, tilt):
        volume = make_volume(UNEVEN, (10, -5, 20), tilt)
        node = volume_to_node(scene, volume, "head")
        assert node.GetImageData().GetDimensions()[2] > len(UNEVEN)
        again = node_to_volume(node)
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        assert again.sop_instance_uids == volume.sop_instance_uids
        assert np.abs(again.geometry.positions - volume.geometry.positions).max() <= 0.1

    def test_a_single_slice(self, scene):
        volume = make_volume([4.0])
        again = node_to_volume(volume_to_node(scene, volume, "slice"))
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        np.testing.assert_allclose(again.geometry.positions, volume.geometry.positions, atol=1e-4)

    def test_the_affine_is_sheared_by_the_tilt(self, scene):
        node = volume_to_node(scene, make_volume(tilt=-18.5), "tilted")
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        axes = from_vtk_matrix(matrix)[:3, :3]
        assert axes[:, 1] @ axes[:, 2] != pytest.approx(0, abs=0.1)
        np.testing.assert_allclose(axes[:, 2], [0, 2.5 * np.tan(np.radians(18.5)), 2.5], atol=1e-6)

    def test_identity_survives(self, scene):
        volume = make_volume()
        node = volume_to_node(scene, volume, "Head")
        assert node.GetAttribute("DICOM.instanceUIDs").split() == list(volume.sop_instance_uids)
        again = node_to_volume(node)
        assert again.identity == IDENTITY
        assert again.sop_instance_uids == volume.sop_instance_uids

    def test_frames_of_one_instance_share_its_uid(self, scene):
        volume = make_volume()
        frames = Volume(volume.voxels, volume.geometry, IDENTITY, ("1.2.3.4.5",) * SHAPE[0], tuple(range(1, 8)))
        node = volume_to_node(scene, frames, "enhanced")
        assert node.GetAttribute("DICOM.instanceUIDs") == "1.2.3.4.5"
        assert node_to_volume(node).sop_instance_uids == frames.sop_instance_uids

    def test_padding_and_warnings_stay_with_the_node(self, scene):
        volume = make_volume()
        odd = Volume(
            volume.voxels,
            volume.geometry,
            IDENTITY,
            padding_values=(-2000.0,),
            warnings=("One slice was twice there.",),
        )
        node = volume_to_node(scene, odd, "odd")
        assert node_to_volume(node).padding_values == (-2000.0,)
        assert "twice" in node.GetDescription()

    def test_names_are_made_unique(self, scene):
        assert [volume_to_node(scene, make_volume(), "head").GetName() for _ in range(2)] == ["head", "head_1"]

    def test_voxels_are_shown_in_a_window_for_ct(self, scene):
        display = volume_to_node(scene, make_volume(), "head").GetScalarVolumeDisplayNode()
        assert (display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel()) == (0, 400, 40)


class TestVoxelTypes:
    @pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.float64, np.float32, np.uint8])
    def test_whole_numbers_that_fit_become_int16(self, scene, dtype):
        array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
        voxels = node_to_volume(node_of(scene, array)).voxels
        assert voxels.dtype == np.int16
        np.testing.assert_array_equal(voxels, array)

    def test_int16_is_not_copied(self, scene):
        node = node_of(scene, np.zeros((2, 3, 4), np.int16))
        assert np.shares_memory(node_to_volume(node).voxels, image_array(node.GetImageData()))

    def test_int32_beyond_int16_does_not_overflow(self, scene):
        array = np.array([[[-70000, 40000, 3]]], np.int32)
        voxels = node_to_volume(node_of(scene, array)).voxels
        assert voxels.dtype == np.float32
        np.testing.assert_array_equal(voxels, array)

    def test_fractions_stay_fractions(self, scene):
        voxels = node_to_volume(node_of(scene, np.array([[[0.5, -1.25]]]))).voxels
        assert voxels.dtype == np.float32
        np.testing.assert_array_equal(voxels, [[[0.5, -1.25]]])

    def test_what_is_not_a_number_becomes_air_and_is_named(self, scene):
        volume = node_to_volume(node_of(scene, np.array([[[np.nan, np.inf, 7.0]]])))
        np.testing.assert_array_equal(volume.voxels, [[[-1000, -1000, 7]]])
        assert "2 voxels" in volume.warnings[0]

    def test_nothing_but_nan_is_refused(self, scene):
        with pytest.raises(TaskError, match="load the series again"):
            node_to_volume(node_of(scene, np.full((1, 2, 2), np.nan)))


class TestRefusals:
    def test_no_node(self):
        with pytest.raises(TaskError, match="select a CT volume"):
            node_to_volume(None)

    def test_a_labelmap(self, scene):
        node = node_of(scene, np.zeros((2, 2, 2), np.uint8), class_name="vtkMRMLLabelMapVolumeNode")
        with pytest.raises(TaskError, match="labelmap"):
            node_to_volume(node)

    def test_a_colour_image(self, scene):
        node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
        image = vtk.vtkImageData()
        image.SetDimensions(2, 2, 2)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        node.SetAndObserveImageData(image)
        with pytest.raises(TaskError, match="3 values"):
            node_to_volume(node)

    def test_an_empty_node(self, scene):
        with pytest.raises(TaskError, match="no voxels"):
            node_to_volume(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))

    def test_a_node_of_another_kind(self, scene):
        with pytest.raises(TaskError, match="not a volume"):
            node_to_volume(scene.AddNewNodeByClass("vtkMRMLTableNode", "table"))

    def test_slanted_pixels(self, scene):
        slanted = np.eye(4)
        slanted[0, 1] = 0.2
        with pytest.raises(GeometryError, match="right angles"):
            node_to_volume(node_of(scene, np.zeros((2, 2, 2), np.int16), slanted))


class TestSubjectHierarchy:
    def path_of(self, scene, node):
        hierarchy = scene.GetSubjectHierarchyNode()
        item = hierarchy.GetItemByDataNode(node)
        path = []
        while item and item != hierarchy.GetSceneItemID():
            path.insert(0, hierarchy.GetItemName(item))
            item = hierarchy.GetItemParent(item)
        return path

    def test_results_stand_under_the_study_of_their_volume(self, scene):
        labels = {"patient": "Phantom", "study": "Head CT"}
        node = volume_to_node(scene, make_volume(), "head", labels)
        result = make_result()
        for made in (
            result_to_segmentation_node(scene, result, node),
            result_to_table_node(scene, result, node),
            cleaned_volume_node(scene, result, node),
        ):
            assert self.path_of(scene, made) == ["Phantom", "Head CT", made.GetName()]
        hierarchy = scene.GetSubjectHierarchyNode()
        assert hierarchy.GetItemByUID("DICOM", "1.2.3.4") == hierarchy.GetItemByDataNode(node)
        assert hierarchy.GetItemLevel(hierarchy.GetItemByUID("DICOM", "1.2.3")) == "Study"
        assert hierarchy.GetItemLevel(hierarchy.GetItemByUID("DICOM", "P-1")) == "Patient"

    def test_two_stacks_of_one_series_share_its_study(self, scene):
        nodes = [volume_to_node(scene, make_volume(seed=seed), "head") for seed in (0, 1)]
        assert [self.path_of(scene, node)[:2] for node in nodes] == [["P-1", "Study"]] * 2
        assert identity_of_node(nodes[1]).series_uid == "1.2.3.4"

    def test_a_volume_without_identity_stays_at_the_top(self, scene):
        plain = make_volume()
        node = volume_to_node(scene, Volume(plain.voxels, plain.geometry), "plain")
        segmentation = result_to_segmentation_node(scene, make_result(), node)
        assert self.path_of(scene, segmentation) == ["plain segmentation"]
        assert node_to_volume(node).identity.study_uid == ""

    def test_a_patient_without_an_id_is_kept_apart_from_the_study(self, scene):
        volume = make_volume()
        nameless = Volume(volume.voxels, volume.geometry, SeriesIdentity("1.2.3.4", "1.2.3"))
        assert self.path_of(scene, volume_to_node(scene, nameless, "head")) == ["Patient-1.2.3", "Study", "head"]


class TestAgainstTheApplication:
    """Where a real Slicer places series right, ours lie at the same place."""

    def files(self, folder):
        return sorted(folder.rglob("*.dcm"))

    def load(self, scene, shared_data, slicer_golden, name):
        [node] = load_files(scene, self.files(shared_data / name))
        record = json.loads((slicer_golden / "loaded-by-slicer.json").read_text(encoding="utf-8"))
        [series] = record[name]["series"].values()
        return node, next(one for one in series["nodes"] if one["class"] == "vtkMRMLScalarVolumeNode")

    @pytest.mark.parametrize(
        "name",
        [
            "chest-lidc314-implicit",
            "chest-lungfcp-sternal-wires",
            "head-enhanced-multiframe-derived",
            "head-philips-phantom-tilt-minus18.5",
            "head-philips-phantom-tilt-plus16.5",
        ],
    )
    def test_even_series_have_the_same_matrix(self, scene, shared_data, slicer_golden, name):
        node, theirs = self.load(scene, shared_data, slicer_golden, name)
        assert list(image_array(node.GetImageData()).shape) == theirs["shape_kji"]
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        last = np.array(theirs["shape_kji"][::-1]) - 1
        corners = np.array([(*(last * corner), 1) for corner in np.ndindex(2, 2, 2)])
        difference = (from_vtk_matrix(matrix) - np.array(theirs["ijk_to_ras"])) @ corners.T
        assert np.abs(difference).max() < 0.01
        voxels = image_array(node.GetImageData())
        assert (voxels.max(), voxels.min()) == (theirs["max"], theirs["min"])

    def test_the_uneven_tilted_series_lies_where_its_grid_transform_puts_it(self, scene, shared_data, slicer_golden):
        node, theirs = self.load(scene, shared_data, slicer_golden, NAME_UNEVEN)
        geometry = node_to_volume(node).geometry
        assert len(geometry) == theirs["instance_count"]
        for index, place in theirs["ijk_to_world_ras_samples"].items():
            ijk = np.array(json.loads(index))
            if ijk[2] in (0, 27):  # between the ends Slicer's transform is up to 41 mm off what the headers say
                assert np.abs(geometry.index_to_ras(ijk) - place).max() < 0.1, index
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in self.files(shared_data / NAME_UNEVEN)]
        stated = sorted(np.array(header.ImagePositionPatient, float)[2] for header in headers)
        assert np.abs(geometry.positions[:, 2] - stated).max() < 0.1

    def test_what_slicer_tears_apart_is_one_volume(self, scene, shared_data):
        folder = shared_data / "head-phantom-derived-dup-missing-mixed"
        main, other = load_files(
            scene, [path for path in folder.rglob("*") if path.suffix != ".txt" and path.is_file()]
        )
        assert main.GetImageData().GetDimensions()[2] > 20
        assert other.GetImageData().GetDimensions()[2] == 1
        assert "missing" in main.GetDescription()
