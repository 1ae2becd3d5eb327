"""DICOM SEG: the same voxels, names, codes, colours and place when others read it."""

from __future__ import annotations

import json
from pathlib import Path

import dicom_cases
import highdicom
import numpy as np
import pydicom
import pytest
import series_variants
import SimpleITK as sitk
from dicom_cases import GEOMETRIES, load, make_segments, validator_errors
from DicomAnalysisLib import __version__
from DicomAnalysisLib.dicom.segmentation_file import read_segmentation
from DicomAnalysisLib.dicom.writing.identifiers import UnfitSourceError
from DicomAnalysisLib.dicom.writing.origin import origin_of
from DicomAnalysisLib.dicom.writing.saving import save
from DicomAnalysisLib.dicom.writing.seg import make_segmentation
from DicomAnalysisLib.segments import HEADREST, METAL

PLACE_MM = 0.1


@pytest.fixture(scope="module", params=GEOMETRIES)
def written(request, tmp_path_factory):
    """A source, its volume, segments on it and the file that was written of them."""
    folder = tmp_path_factory.mktemp(request.param)
    GEOMETRIES[request.param](folder / "source")
    stack, volume = load(folder / "source")
    segments = make_segments(volume)
    path = write(folder / "seg.dcm", stack, volume, segments)
    return folder / "source", volume, segments, path


def write(path: Path, stack, volume, segments, **options) -> Path:
    save(make_segmentation(origin_of(stack, volume), segments, **options), path)
    return path


def sources(folder: Path) -> dict[str, pydicom.Dataset]:
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("*.dcm"))]
    return {str(dataset.SOPInstanceUID): dataset for dataset in found}


def place_of(source: pydicom.Dataset, frame: int | None) -> tuple[list, list, list]:
    """Position, orientation and spacing of an image or of a frame of it, as its header states them."""
    if frame is None:
        return source.ImagePositionPatient, source.ImageOrientationPatient, source.PixelSpacing
    own, shared = source.PerFrameFunctionalGroupsSequence[frame - 1], source.SharedFunctionalGroupsSequence[0]
    orientation = (own if "PlaneOrientationSequence" in own else shared).PlaneOrientationSequence[0]
    measures = (own if "PixelMeasuresSequence" in own else shared).PixelMeasuresSequence[0]
    position = own.PlanePositionSequence[0]
    return position.ImagePositionPatient, orientation.ImageOrientationPatient, measures.PixelSpacing


class TestReadBack:
    def test_every_frame_covers_the_image_it_refers_to(self, written):
        folder, volume, segments, path = written
        images = sources(folder)
        seg = pydicom.dcmread(path)
        frames = seg.pixel_array.reshape(-1, *volume.shape[1:])
        shared = seg.SharedFunctionalGroupsSequence[0]
        slices = {pair: k for k, pair in enumerate(zip(volume.sop_instance_uids, volume.frame_numbers, strict=True))}
        seen = np.zeros((2, len(volume.voxels)), int)
        for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True):
            (derivation,) = group.DerivationImageSequence
            (source,) = derivation.SourceImageSequence
            image = images[source.ReferencedSOPInstanceUID]
            number = source.get("ReferencedFrameNumber")
            assert source.ReferencedSOPClassUID == image.SOPClassUID
            assert (number is None) == ("NumberOfFrames" not in image)
            position, orientation, spacing = place_of(image, number)
            here = group.PlanePositionSequence[0].ImagePositionPatient
            np.testing.assert_allclose(here, np.array(position, float), atol=PLACE_MM / 10)
            there = shared.PlaneOrientationSequence[0].ImageOrientationPatient
            np.testing.assert_allclose(there, np.array(orientation, float), atol=1e-5)
            np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, np.array(spacing, float))
            segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1
            k = slices[source.ReferencedSOPInstanceUID, number or 1]
            np.testing.assert_array_equal(frame.astype(bool), segments[segment].mask[k])
            seen[segment, k] += 1
        np.testing.assert_array_equal(seen, [[plane.any() for plane in segment.mask] for segment in segments])

    def test_highdicom_gives_the_same_voxels(self, written):
        _, volume, segments, path = written
        seg = highdicom.seg.segread(path)
        if volume.frame_numbers[-1] > 1 or len(set(volume.sop_instance_uids)) < len(volume.voxels):
            (uid,) = set(volume.sop_instance_uids)
            found = seg.get_pixels_by_source_frame(uid, volume.frame_numbers, assert_missing_frames_are_empty=True)
        else:
            found = seg.get_pixels_by_source_instance(volume.sop_instance_uids, assert_missing_frames_are_empty=True)
        for number, segment in enumerate(segments):
            np.testing.assert_array_equal(found[..., number].astype(bool), segment.mask)

    def test_our_reader_gives_the_same_segments(self, written):
        _, volume, segments, path = written
        for found, segment in zip(read_segmentation(path, volume), segments, strict=True):
            np.testing.assert_array_equal(found.mask, segment.mask)
            assert (found.kind.name, found.kind.category, found.kind.type) == (
                segment.kind.name,
                segment.kind.category,
                segment.kind.type,
            )
            np.testing.assert_allclose(found.kind.color, segment.kind.color, atol=2 / 255)

    def test_the_validator_finds_no_error(self, written):
        assert validator_errors(written[-1]) == []

    def test_all_images_of_the_volume_are_referred_to_and_no_other(self, written):
        _, volume, _, path = written
        (series,) = pydicom.dcmread(path).ReferencedSeriesSequence
        assert series.SeriesInstanceUID == volume.identity.series_uid
        named = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
        assert named == list(dict.fromkeys(volume.sop_instance_uids))


class TestSlicersReader:
    """dcmqi, with which Slicer reads DICOM SEG (slicer-core has no reader of its own)."""

    def read(self, path: Path, out: Path) -> tuple[sitk.Image, list[dict]]:
        out.mkdir()
        dicom_cases.dcmqi(
            "segimage2itkimage", "--inputDICOM", str(path), "--outputDirectory", str(out), "--mergeSegments"
        )
        (attributes,) = json.loads((out / "meta.json").read_text())["segmentAttributes"]
        return sitk.ReadImage(str(out / "1.nrrd")), attributes

    @pytest.mark.parametrize("name", ["regular", "gap", "multi-frame"])
    def test_voxels_names_codes_colours_and_place(self, tmp_path, name):
        GEOMETRIES[name](tmp_path / "source")
        stack, volume = load(tmp_path / "source")
        segments = make_segments(volume)
        image, attributes = self.read(write(tmp_path / "seg.dcm", stack, volume, segments), tmp_path / "out")
        labels = sitk.GetArrayFromImage(image)
        for number, (segment, found) in enumerate(zip(segments, attributes, strict=True), start=1):
            assert found["SegmentLabel"] == segment.kind.name
            assert found["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == segment.kind.type.value
            assert found["SegmentedPropertyCategoryCodeSequence"]["CodeValue"] == segment.kind.category.value
            rgb = np.array(found["recommendedDisplayRGBValue"]) / 255
            np.testing.assert_allclose(rgb, segment.kind.color, atol=3 / 255)
            planes, rows, columns = np.nonzero(labels == number)
            assert len(planes) == segment.mask.sum()
            indices = np.stack([columns, rows, planes], axis=-1).tolist()
            there = [image.TransformIndexToPhysicalPoint(index) for index in indices]
            k, j, i = np.nonzero(segment.mask)
            expected = volume.geometry.index_to_lps(np.stack([i, j, k], axis=-1))
            np.testing.assert_allclose(there, expected, atol=PLACE_MM)

    def test_an_empty_segment_does_not_take_the_name_of_another(self, tmp_path):
        """Slicer gives names to label values in their order; what has no voxels must come last."""
        series_variants.plain(tmp_path / "source")
        stack, volume = load(tmp_path / "source")
        headrest, metal = make_segments(volume, with_metal=False)
        image, attributes = self.read(write(tmp_path / "seg.dcm", stack, volume, (metal, headrest)), tmp_path / "out")
        present = [int(v) for v in np.unique(sitk.GetArrayFromImage(image)) if v]
        names = {found["labelID"]: found["SegmentLabel"] for found in attributes}
        assert [names[value] for value in present] == ["Headrest"]
        assert sorted(names)[: len(present)] == present


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("content")
    series_variants.plain(folder)
    stack, volume = load(folder)
    return stack, volume, origin_of(stack, volume)


class TestContent:
    def test_names_codes_algorithm_and_tracking(self, case):
        _, volume, origin = case
        seg = make_segmentation(origin, make_segments(volume), parameters={"threshold_hu": "2500"})
        for item, kind in zip(seg.SegmentSequence, (HEADREST, METAL), strict=True):
            assert (item.SegmentLabel, item.TrackingID) == (kind.name, kind.name)
            type_, category = item.SegmentedPropertyTypeCodeSequence[0], item.SegmentedPropertyCategoryCodeSequence[0]
            assert (type_.CodeValue, type_.CodingSchemeDesignator) == (kind.type.value, kind.type.scheme)
            assert category.CodeValue == kind.category.value
            (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
            assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("DicomAnalysis", __version__)
            assert "threshold_hu=2500" in algorithm.AlgorithmParameters
            assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert len({item.TrackingUID for item in seg.SegmentSequence}) == 2

    def test_series_has_a_number_and_a_description_that_tell_what_it_is(self, case):
        stack, volume, _ = case
        seg = make_segmentation(origin_of(stack, volume, 3), make_segments(volume))
        source = pydicom.dcmread(stack.paths[0])
        assert seg.SeriesNumber == 100 * source.SeriesNumber + 22
        assert seg.SeriesDescription == f"{source.SeriesDescription} [segmentation]".strip()
        assert seg.StudyInstanceUID == source.StudyInstanceUID
        assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert (seg.ContentDate, seg.ContentTime) == (source.ContentDate, source.ContentTime)
        assert "InstanceCreationDate" not in seg

    def test_distance_of_the_slices_is_stated_where_there_is_one(self, tmp_path):
        for name, expected in {"tilted": 12.0, "gap": 12.0, "uneven": None}.items():
            GEOMETRIES[name](tmp_path / name)
            stack, volume = load(tmp_path / name)
            seg = make_segmentation(origin_of(stack, volume), make_segments(volume))
            stated = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].get("SpacingBetweenSlices")
            if expected is None:
                assert stated is None
            else:
                assert float(stated) == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize("empty", ["metal", "both"])
    def test_an_empty_segment_is_described_and_the_object_stays_legal(self, case, tmp_path, empty):
        stack, volume, _ = case
        headrest, metal = make_segments(volume, with_metal=False)
        if empty == "both":
            headrest = type(headrest)(HEADREST, np.zeros_like(headrest.mask))
        path = write(tmp_path / "seg.dcm", stack, volume, (metal, headrest))
        seg = pydicom.dcmread(path)
        assert seg.NumberOfFrames >= 1
        assert {item.SegmentLabel for item in seg.SegmentSequence} == {"Headrest", "Metal"}
        found = {segment.kind.name: segment.mask for segment in read_segmentation(path, volume)}
        np.testing.assert_array_equal(found["Headrest"], headrest.mask)
        assert not found["Metal"].any()
        assert validator_errors(path) == []

    def test_overlapping_segments_both_keep_their_voxels(self, case, tmp_path):
        stack, volume, _ = case
        segments = make_segments(volume, overlap=True)
        assert (segments[0].mask & segments[1].mask).any()
        path = write(tmp_path / "seg.dcm", stack, volume, segments)
        for found, segment in zip(read_segmentation(path, volume), segments, strict=True):
            np.testing.assert_array_equal(found.mask, segment.mask)
        assert pydicom.dcmread(path).SegmentsOverlap == "YES"

    def test_same_input_same_bytes_and_other_masks_other_uids(self, case, tmp_path):
        stack, volume, _ = case
        segments = make_segments(volume)
        first = write(tmp_path / "1.dcm", stack, volume, segments).read_bytes()
        assert write(tmp_path / "2.dcm", stack, volume, segments).read_bytes() == first
        other = make_segmentation(origin_of(stack, volume), make_segments(volume, overlap=True))
        seg = pydicom.dcmread(tmp_path / "1.dcm")
        assert other.SOPInstanceUID != seg.SOPInstanceUID
        assert other.SeriesInstanceUID != seg.SeriesInstanceUID
        for uid in (seg.SOPInstanceUID, seg.SeriesInstanceUID):
            assert uid.is_valid
            assert len(uid) <= 64

    def test_masks_of_another_shape_are_refused(self, case):
        _, volume, origin = case
        (headrest, _) = make_segments(volume)
        with pytest.raises(UnfitSourceError, match="shape"):
            make_segmentation(origin, [type(headrest)(HEADREST, headrest.mask[1:])])


def test_segments_are_in_place_in_slicers_data_model(tmp_path):
    """Tilted: what dcmqi refuses is right when it is read with its series."""
    from DicomAnalysisLib.mrml import result_to_segmentation_node, volume_to_node
    from DicomAnalysisLib.segmentation.result import Segment, SegmentationResult
    from mrml_cases import assert_in_place, fresh_scene

    series_variants.tilted(tmp_path / "source")
    stack, volume = load(tmp_path / "source")
    path = write(tmp_path / "seg.dcm", stack, volume, make_segments(volume))
    stored = read_segmentation(path, volume)
    result = SegmentationResult(("headrest", "metal"), tuple(Segment(one.kind, one.mask) for one in stored))
    for scene in fresh_scene():
        node = result_to_segmentation_node(scene, result, volume_to_node(scene, volume, "head"))
        assert_in_place(node, result, volume.geometry)
