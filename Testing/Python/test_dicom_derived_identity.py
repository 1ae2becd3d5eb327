"""The cleaned series is a new one that says what it is, and what it leaves in the result folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import series_variants
from dicom_cases import assert_only_the_mask_changed, clean, edit, load, some_mask, validator_errors
from DicomAnalysisLib.dicom.writing.derived import CleanedSeries
from DicomAnalysisLib.dicom.writing.identifiers import UnfitSourceError, series_description, series_number
from DicomAnalysisLib.dicom.writing.origin import origin_of
from DicomAnalysisLib.run import segment_source
from DicomAnalysisLib.segmentation import SegmentationOptions


class TestIdentity:
    @pytest.fixture
    def case(self, tmp_path):
        series_variants.plain(tmp_path / "source", shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0))
        return tmp_path

    def written(self, case, **attributes) -> tuple[list[pydicom.Dataset], list[pydicom.Dataset]]:
        edit(case / "source", **attributes)
        stack, volume = load(case / "source")
        clean(stack, volume, some_mask(volume), case / "out")
        return [[pydicom.dcmread(p) for p in paths] for paths in (stack.paths, sorted((case / "out").iterdir()))]

    def test_new_identity_old_place(self, case):
        sources, results = self.written(case, SeriesDescription="Schädel nativ", SpecificCharacterSet="ISO_IR 100")
        assert len({result.SOPInstanceUID for result in results}) == 3
        assert len({result.SeriesInstanceUID for result in results}) == 1
        for source, result in zip(sources, results, strict=True):
            assert result.file_meta.MediaStorageSOPInstanceUID == result.SOPInstanceUID != source.SOPInstanceUID
            assert result.SeriesInstanceUID != source.SeriesInstanceUID
            assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
            assert "set to air" in result.DerivationDescription
            (code,) = result.DerivationCodeSequence
            assert (code.CodeValue, code.CodingSchemeDesignator) == ("113077", "DCM")
            (reference,) = result.SourceImageSequence
            assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
            assert reference.ReferencedSOPClassUID == source.SOPClassUID
            assert result.SeriesDescription == "Schädel nativ [headrest removed]"
            assert result.SeriesNumber == 100 * source.SeriesNumber + 1
            for keyword in ("SOPClassUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID"):
                assert result[keyword].value == source[keyword].value
            for keyword in ("InstanceNumber", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"):
                assert result[keyword].value == source[keyword].value
            for keyword in ("ContentDate", "ContentTime", "StudyDate", "AcquisitionTime", "Manufacturer", "KVP"):
                assert result[keyword].value == source[keyword].value

    def test_what_no_longer_holds_is_left_out(self, case):
        for path in (case / "source").glob("*.dcm"):
            dataset = pydicom.dcmread(path)
            block = dataset.private_block(0x0009, "SOMEBODY", create=True)
            block.add_new(1, "LO", "secret")
            dataset.LargestImagePixelValue = 4000
            dataset["LargestImagePixelValue"].VR = "US"
            dataset.InstanceCreationDate = "20240102"
            dataset.save_as(path)
        _, results = self.written(case)
        for result in results:
            assert not [element for element in result.iterall() if element.tag.is_private]
            assert "LargestImagePixelValue" not in result
            assert "InstanceCreationDate" not in result

    def test_same_input_same_bytes_and_another_mask_another_series(self, case):
        stack, volume = load(case / "source")
        mask = some_mask(volume)
        first = clean(stack, volume, mask, case / "1")
        clean(stack, volume, mask, case / "2")
        for path in (case / "1").iterdir():
            assert path.read_bytes() == (case / "2" / path.name).read_bytes()
        mask[0, 0, 0] = True
        assert clean(stack, volume, mask, case / "3").series_uid != first.series_uid

    def test_a_cleaned_series_can_be_segmented_and_cleaned_again(self, case):
        stack, volume = load(case / "source")
        first = clean(stack, volume, some_mask(volume), case / "1")
        stack, volume = load(case / "1")
        second = clean(stack, volume, some_mask(volume), case / "2")
        assert second.series_uid != first.series_uid

    def test_a_source_with_errors_gives_an_object_without(self, case):
        gone = dict.fromkeys(("PatientSex", "KVP", "AcquisitionNumber", "ImageType", "RescaleType", "Laterality"))
        _, results = self.written(
            case, **gone, SpacingBetweenSlices=-5, PlanarConfiguration=0, PatientIdentityRemoved="YES"
        )
        for path in (case / "out").iterdir():
            assert validator_errors(path) == []
        assert list(results[0].ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert results[0].SpacingBetweenSlices == 5
        assert results[0].DeidentificationMethod == "Not stated"

    def test_frames_of_a_multiframe_image_stay_in_their_order_and_say_what_was_done(self, case):
        series_variants.multiframe(case / "multi")
        stack, volume = load(case / "multi")
        mask = some_mask(volume)
        clean(stack, volume, mask, case / "out")
        (path,) = (case / "out").iterdir()
        source, result = pydicom.dcmread(stack.paths[0]), pydicom.dcmread(path)
        assert result.NumberOfFrames == source.NumberOfFrames
        assert result.SOPClassUID == source.SOPClassUID
        assert result.ImageType[:2] == ["DERIVED", "PRIMARY"]
        places = [g.PlanePositionSequence[0].ImagePositionPatient for g in result.PerFrameFunctionalGroupsSequence]
        before = source.PerFrameFunctionalGroupsSequence
        assert places == [group.PlanePositionSequence[0].ImagePositionPatient for group in before]
        for number, group in enumerate(result.PerFrameFunctionalGroupsSequence, start=1):
            (reference,) = group.DerivationImageSequence[0].SourceImageSequence
            assert (reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber) == (
                source.SOPInstanceUID,
                number,
            )
        assert_only_the_mask_changed(stack, volume, mask, case / "out")
        assert validator_errors(path) == []

    def test_frames_of_another_stack_are_left_out(self, case, shared_data):
        path = shared_data / "head-enhanced-multiframe-derived" / "philips_phantom_legacy_enhanced_28f_j2k.dcm"
        stack, volume = load(path)
        keep = np.arange(3, 20)
        part = type(volume)(
            volume.voxels[keep],
            volume.geometry.select(keep),
            volume.identity,
            tuple(volume.sop_instance_uids[k] for k in keep),
            tuple(volume.frame_numbers[k] for k in keep),
        )
        mask = some_mask(part)
        clean(stack, part, mask, case / "out")
        (written,) = (case / "out").iterdir()
        assert pydicom.dcmread(written, stop_before_pixels=True).NumberOfFrames == len(keep)
        assert_only_the_mask_changed(stack, part, mask, case / "out")


def test_numbers_and_descriptions_tell_what_a_series_is():
    assert [series_number(4, kind, stack) for stack in (1, 2, 12) for kind in (1, 2, 3)] == [
        *(401, 402, 403),
        *(411, 412, 413),
        *(491, 492, 493),
    ]
    assert [series_number(bad, 1) for bad in (None, "", "x", 0, -3, 10**9)] == [9001] * 6
    assert series_description("", "[headrest removed]") == "[headrest removed]"
    long = series_description("x" * 64, "[headrest removed]")
    assert len(long) == 64
    assert long.endswith("x [headrest removed]")


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    series_variants.single_slice(tmp_path / "source")
    stack, volume = load(tmp_path / "source")
    with pytest.raises(UnfitSourceError, match="shape"):
        CleanedSeries(origin_of(stack, volume), volume.voxels, np.zeros((2, 3, 3), bool))


class TestResultFolder:
    """What `segment --write-dicom` leaves."""

    def run(self, source: Path, out: Path, **options) -> tuple[Path, dict]:
        report = segment_source(source, out, SegmentationOptions(**options), write_dicom=True)
        (outcome,) = report.outcomes
        assert outcome.status == "done", outcome.reason
        return outcome.folder, json.loads((outcome.folder / "result.json").read_text("utf-8"))

    def test_all_objects_are_listed_and_a_second_run_gives_the_same(self, tmp_path):
        series_variants.near_duplicates(tmp_path / "source")
        folder, document = self.run(tmp_path / "source", tmp_path / "out")
        files = document["files"]
        assert files["segmentation_dicom"] == "segmentation.dcm"
        assert files["measurements_dicom"] == "measurements.dcm"
        assert files["cleaned_dicom"] == "cleaned-dicom"
        for name, key in (("segmentation.dcm", "segmentation_dicom"), ("measurements.dcm", "measurements_dicom")):
            dataset = pydicom.dcmread(folder / name)
            assert document["dicom"][key]["sop_instance_uid"] == dataset.SOPInstanceUID
            assert validator_errors(folder / name) == []
        assert document["dicom"]["cleaned_dicom"]["files"] == 12
        assert any("12 slice(s) at the place of another one are not in it" in text for text in document["warnings"])
        before = {path.name: path.read_bytes() for path in folder.rglob("*.dcm")}
        (folder / "cleaned-dicom" / "notes.txt").write_text("mine")
        self.run(tmp_path / "source", tmp_path / "out")
        assert {path.name: path.read_bytes() for path in folder.rglob("*.dcm")} == before
        assert (folder / "cleaned-dicom" / "notes.txt").read_text() == "mine"
        assert not list(folder.glob(".*"))

    def test_without_the_option_an_earlier_cleaned_series_goes(self, tmp_path):
        series_variants.plain(tmp_path / "source")
        folder, _ = self.run(tmp_path / "source", tmp_path / "out")
        segment_source(tmp_path / "source", tmp_path / "out")
        assert not (folder / "cleaned-dicom").exists()
        assert (folder / "segmentation.dcm").is_file()

    def test_what_the_source_does_not_allow_is_told_and_all_else_is_there(self, tmp_path):
        series_variants.plain(tmp_path / "source")
        with pytest.warns(UserWarning, match="Invalid value"):
            edit(tmp_path / "source", SeriesInstanceUID="1.2.abc")
        folder, document = self.run(tmp_path / "source", tmp_path / "out")
        assert any("No DICOM objects written: The series instance UID" in text for text in document["warnings"])
        assert {path.name for path in folder.iterdir()} >= {"segmentation.seg.nrrd", "cleaned.nrrd", "result.json"}
        assert not list(folder.rglob("*.dcm"))
        assert document["dicom"] == {}

    def test_without_the_headrest_there_is_no_cleaned_series(self, tmp_path):
        series_variants.plain(tmp_path / "source")
        folder, document = self.run(tmp_path / "source", tmp_path / "out", tasks=("metal",))
        assert any("needs the task headrest" in text for text in document["warnings"])
        assert not (folder / "cleaned-dicom").exists()

    def test_a_series_that_fails_in_the_middle_leaves_no_part_of_it(self, tmp_path, monkeypatch):
        from DicomAnalysisLib.dicom.writing import derived
        from DicomAnalysisLib.errors import DecodingError

        original = derived.save_with_pixels

        def fail_on_the_third(dataset, path, *rest):
            if path.name == "0003.dcm":
                raise DecodingError("the source went away")
            return original(dataset, path, *rest)

        monkeypatch.setattr(derived, "save_with_pixels", fail_on_the_third)
        series_variants.plain(tmp_path / "source")
        folder, document = self.run(tmp_path / "source", tmp_path / "out")
        assert any("No cleaned DICOM series written: the source went away" in text for text in document["warnings"])
        assert not (folder / "cleaned-dicom").exists()
        assert not list(folder.glob(".*"))
        assert (folder / "segmentation.dcm").is_file()
