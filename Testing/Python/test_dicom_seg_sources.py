"""DICOM SEG of sources that lack something or state it wrongly, and files that are no SEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import series_variants
from dicom_cases import edit, load, make_segments, validator_errors
from DicomAnalysisLib.dicom.segmentation_file import read_segmentation
from DicomAnalysisLib.dicom.writing.identifiers import UnfitSourceError
from DicomAnalysisLib.dicom.writing.origin import origin_of
from DicomAnalysisLib.dicom.writing.saving import save
from DicomAnalysisLib.dicom.writing.seg import make_segmentation
from DicomAnalysisLib.errors import GeometryError, UnreadableFileError


def write(path: Path, stack, volume, segments, **options) -> Path:
    save(make_segmentation(origin_of(stack, volume), segments, **options), path)
    return path


class TestSources:
    """What the source lacks or states wrongly."""

    @pytest.fixture
    def folder(self, tmp_path):
        series_variants.plain(tmp_path / "source", shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0))
        return tmp_path / "source"

    def check(self, folder: Path) -> pydicom.Dataset:
        stack, volume = load(folder)
        path = write(folder.parent / "seg.dcm", stack, volume, make_segments(volume))
        assert validator_errors(path) == []
        return pydicom.dcmread(path)

    def test_what_is_missing_stays_empty_and_is_not_made_up(self, folder):
        gone = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate")
        gone += ("StudyTime", "ReferringPhysicianName", "SeriesNumber", "SeriesDescription", "Manufacturer", "Modality")
        gone += ("SliceThickness", "FrameOfReferenceUID", "PositionReferenceIndicator", "ContentDate", "SeriesDate")
        gone += ("AcquisitionDate", "BodyPartExamined")
        edit(folder, **dict.fromkeys(gone))
        seg = self.check(folder)
        for keyword in gone[:9]:
            assert seg[keyword].is_empty, keyword
        assert (seg.ContentDate, seg.ContentTime) == ("19000101", "000000")
        assert seg.SeriesNumber == 9002
        assert seg.FrameOfReferenceUID.is_valid

    def test_values_that_the_standard_forbids_are_put_right_or_left_empty(self, folder):
        with pytest.warns(UserWarning, match="Invalid value"):
            edit(
                folder,
                PatientSex="X",
                PatientBirthDate="19701",
                StudyTime="25:61",
                StudyDescription="x" * 70,
                BodyPartExamined="knee",
            )
        seg = self.check(folder)
        assert not seg.PatientSex
        assert not seg.PatientBirthDate
        assert not seg.StudyTime
        assert seg.StudyDescription == "x" * 64
        assert seg.BodyPartExamined == "KNEE"

    def test_names_in_any_script_come_through(self, folder):
        edit(folder, SpecificCharacterSet="ISO_IR 144", PatientName="Люкceмбypг^Роза", StudyDescription="Голова")
        seg = self.check(folder)
        assert seg.PatientName == "Люкceмбypг^Роза"
        assert seg.StudyDescription == "Голова"
        assert seg.SpecificCharacterSet == "ISO_IR 192"

    def test_no_patient_name_in_warnings_or_log(self, folder, caplog, recwarn):
        edit(folder, PatientName="Geheim", PatientBirthDate="19010203")
        caplog.set_level("DEBUG")
        recwarn.clear()
        seg = self.check(folder)
        assert "Geheim" in str(seg.PatientName)
        said = caplog.text + "".join(str(warning.message) for warning in recwarn)
        assert "Geheim" not in said
        assert "19010203" not in said

    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({"SeriesInstanceUID": "1.2.abc"}, "series instance UID is not a valid one"),
            ({"StudyInstanceUID": "../x"}, "study instance UID is not a valid one"),
            ({"SeriesInstanceUID": None}, "series instance UID is missing"),
            ({"SOPInstanceUID": "1.2.3"}, "3 slices have the same SOP instance UID 1.2.3"),
            ({"SOPInstanceUID": None}, "is missing"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
    def test_a_source_without_valid_uids_is_refused_with_the_reason(self, folder, attributes, reason):
        edit(folder, **attributes)
        stack, volume = load(folder)
        with pytest.raises(UnfitSourceError, match=reason):
            origin_of(stack, volume)

    def test_a_study_without_uid_gets_one_that_all_objects_share(self, folder):
        edit(folder, StudyInstanceUID=None)
        assert self.check(folder).StudyInstanceUID == self.check(folder).StudyInstanceUID

    def test_a_volume_of_other_slices_is_refused(self, folder, tmp_path):
        series_variants.plain(tmp_path / "other", seed=2)
        stack, _ = load(folder)
        _, volume = load(tmp_path / "other")
        with pytest.raises(UnfitSourceError, match="was not read from"):
            origin_of(stack, volume)

    def test_slices_that_could_not_be_read_are_left_out(self, folder):
        stack, volume = load(folder)
        short = type(volume)(
            volume.voxels[[0, 2]],
            volume.geometry.select(np.array([0, 2])),
            volume.identity,
            (volume.sop_instance_uids[0], volume.sop_instance_uids[2]),
            (1, 1),
        )
        origin = origin_of(stack, short)
        assert [instance.sop_instance_uid for instance, _ in origin.slices] == list(short.sop_instance_uids)


class TestOurReader:
    def test_what_is_no_binary_segmentation_is_refused(self, tmp_path):
        case = series_variants.plain(tmp_path / "source", shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0))
        stack, volume = load(case.folder)
        with pytest.raises(UnreadableFileError, match="not an uncompressed binary"):
            read_segmentation(stack.paths[0], volume)
        path = write(tmp_path / "seg.dcm", stack, volume, make_segments(volume))
        (tmp_path / "cut.dcm").write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UnreadableFileError, match="cut short"):
            read_segmentation(tmp_path / "cut.dcm", volume)

    def test_frames_of_a_copied_series_are_found_by_place_and_of_another_refused(self, tmp_path):
        series_variants.tilted(tmp_path / "source")
        stack, volume = load(tmp_path / "source")
        segments = make_segments(volume)
        path = write(tmp_path / "seg.dcm", stack, volume, segments)
        copied = type(volume)(volume.voxels, volume.geometry, volume.identity)
        for found, segment in zip(read_segmentation(path, copied), segments, strict=True):
            np.testing.assert_array_equal(found.mask, segment.mask)
        moved = type(volume)(volume.voxels, volume.geometry.select(slice(0, None)), volume.identity)
        object.__setattr__(moved.geometry, "positions", np.add(volume.geometry.positions, (0, 0, 3)))
        with pytest.raises(GeometryError, match="at the place of none"):
            read_segmentation(path, moved)
