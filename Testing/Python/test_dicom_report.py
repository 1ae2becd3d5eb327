"""The structured report: measurements that others find again, beside the segments they are of."""

from __future__ import annotations

import json
from dataclasses import replace

import dicom_cases
import highdicom as hd
import numpy as np
import pydicom
import pytest
import series_variants
from dicom_cases import GEOMETRIES, edit, load, make_segments, validator_errors
from DicomAnalysisLib.dicom.writing.origin import origin_of
from DicomAnalysisLib.dicom.writing.report import MAX_PIECES, make_report
from DicomAnalysisLib.dicom.writing.saving import save
from DicomAnalysisLib.dicom.writing.seg import make_segmentation

GROUPS = "get_volumetric_roi_measurement_groups"


def write(folder, stack, volume, segments):
    """Both files; their paths."""
    origin = origin_of(stack, volume)
    segmentation = make_segmentation(origin, segments)
    save(segmentation, folder / "seg.dcm")
    save(make_report(origin, segmentation, segments), folder / "sr.dcm")
    return folder / "seg.dcm", folder / "sr.dcm"


@pytest.fixture(scope="module", params=["regular", "tilted", "single-slice", "multi-frame"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    GEOMETRIES[request.param](folder / "source")
    stack, volume = load(folder / "source")
    segments = make_segments(volume)
    return volume, segments, *write(folder, stack, volume, segments)


def numbers(group) -> dict[tuple[str, str], tuple[float, str]]:
    """Name and derivation of each measurement to its value and unit."""
    found = {}
    for measurement in group.get_measurements():
        derivation = measurement.derivation
        found[measurement.name.meaning, derivation.meaning if derivation else ""] = (
            measurement.value,
            measurement.unit.value,
        )
    return found


def test_each_segment_is_a_group_that_refers_to_it(written):
    _, segments, seg_path, sr_path = written
    seg, report = pydicom.dcmread(seg_path), hd.sr.srread(sr_path)
    groups = [g for g in getattr(report.content, GROUPS)() if g.reference_type.value == "121191"]
    assert len(groups) == 2
    for number, (group, segment) in enumerate(zip(groups, segments, strict=True), start=1):
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == number
        described = seg.SegmentSequence[number - 1]
        assert group.tracking_uid == described.TrackingUID
        assert group.tracking_identifier == described.TrackingID == segment.kind.name
        assert group.finding_type.value == segment.kind.type.value
        assert group.finding_category.value == segment.kind.category.value
        assert numbers(group) == {
            ("Volume", ""): (segment.measurements["volume_ml"], "ml"),
            ("Attenuation Coefficient", "Mean"): (segment.measurements["mean_hu"], "[hnsf'U]"),
            ("Attenuation Coefficient", "Maximum"): (segment.measurements["max_hu"], "[hnsf'U]"),
        }


def test_each_piece_is_at_its_centroid_in_the_sources_frame_of_reference(written):
    volume, segments, _, sr_path = written
    report = hd.sr.srread(sr_path)
    (group,) = [g for g in getattr(report.content, GROUPS)() if g.reference_type.value == "121231"]
    (piece,) = segments[1].pieces
    right, anterior, superior = piece.centroid_ras_mm
    surface = group.roi
    np.testing.assert_allclose(np.ravel(surface.graphic_data[0]), [-right, -anterior, superior])
    assert surface.frame_of_reference_uid == volume.identity.frame_of_reference_uid
    assert numbers(group)["Volume", ""] == (piece.volume_ml, "ml")
    said = {item.name.meaning: item.value.meaning for item in group.get_qualitative_evaluations()}
    assert said["Location relative to the body"] == "At the skin"


def test_evidence_names_the_segmentation_and_every_source_image(written):
    volume, _, seg_path, sr_path = written
    (study,) = pydicom.dcmread(sr_path).CurrentRequestedProcedureEvidenceSequence
    named = {
        str(series.SeriesInstanceUID): [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence]
        for series in study.ReferencedSeriesSequence
    }
    seg = pydicom.dcmread(seg_path)
    assert named.pop(str(seg.SeriesInstanceUID)) == [str(seg.SOPInstanceUID)]
    assert named == {volume.identity.series_uid: list(dict.fromkeys(volume.sop_instance_uids))}


def test_the_validator_finds_no_error(written):
    assert validator_errors(written[-1]) == []


def test_slicers_reader_finds_the_same_numbers(tmp_path):
    """dcmqi's tid1500reader, with which Slicer reads such reports."""
    series_variants.plain(tmp_path / "source")
    stack, volume = load(tmp_path / "source")
    segments = make_segments(volume)
    seg, report = write(tmp_path, stack, volume, segments)
    out = tmp_path / "report.json"
    dicom_cases.dcmqi("tid1500reader", "--inputDICOM", str(report), "--outputMetadata", str(out))
    found = json.loads(out.read_text())["Measurements"]
    assert [group["TrackingIdentifier"] for group in found] == ["Headrest", "Metal", "Metal piece 1"]
    assert found[0]["segmentationSOPInstanceUID"] == pydicom.dcmread(seg).SOPInstanceUID
    assert [group.get("ReferencedSegment") for group in found] == [1, 2, None]
    for group, segment in zip(found, segments, strict=False):
        assert float(group["measurementItems"][0]["value"]) == segment.measurements["volume_ml"]
        assert group["Finding"]["CodeValue"] == segment.kind.type.value


def test_an_empty_segment_has_a_volume_of_zero_and_no_other_number(tmp_path):
    series_variants.plain(tmp_path / "source")
    stack, volume = load(tmp_path / "source")
    _, path = write(tmp_path, stack, volume, make_segments(volume, with_metal=False))
    groups = {g.tracking_identifier: g for g in getattr(hd.sr.srread(path).content, GROUPS)()}
    assert set(groups) == {"Headrest", "Metal"}
    assert numbers(groups["Metal"]) == {("Volume", ""): (0.0, "ml")}
    assert validator_errors(path) == []


def test_same_input_same_bytes_and_other_numbers_another_uid(tmp_path):
    series_variants.plain(tmp_path / "source")
    stack, volume = load(tmp_path / "source")
    headrest, metal = make_segments(volume)
    first = write(tmp_path, stack, volume, (headrest, metal))[1].read_bytes()
    assert write(tmp_path, stack, volume, (headrest, metal))[1].read_bytes() == first
    uid = pydicom.dcmread(tmp_path / "sr.dcm").SOPInstanceUID
    changed = replace(metal, measurements={**metal.measurements, "mean_hu": 2951.0})
    assert pydicom.dcmread(write(tmp_path, stack, volume, (headrest, changed))[1]).SOPInstanceUID != uid


def test_identity_and_dates_are_the_sources(tmp_path, caplog, recwarn):
    series_variants.plain(tmp_path / "source", shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0))
    edit(tmp_path / "source", PatientName="Geheim", SpecificCharacterSet="ISO_IR 192", StudyDescription="Schädel")
    stack, volume = load(tmp_path / "source")
    caplog.set_level("DEBUG")
    _, path = write(tmp_path, stack, volume, make_segments(volume))
    report, source = pydicom.dcmread(path), pydicom.dcmread(stack.paths[0])
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyDescription", "ContentDate"):
        assert report[keyword].value == source[keyword].value, keyword
    assert (report.Modality, report.SeriesNumber) == ("SR", 100 * source.SeriesNumber + 3)
    assert report.SeriesDescription.endswith("[measurements]")
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert "Geheim" not in caplog.text + "".join(str(warning.message) for warning in recwarn)


def test_a_multitude_of_pieces_is_reported_up_to_a_bound(tmp_path):
    series_variants.plain(tmp_path / "source", shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0))
    stack, volume = load(tmp_path / "source")
    headrest, metal = make_segments(volume)
    many = replace(metal, pieces=metal.pieces * (MAX_PIECES + 5))
    _, path = write(tmp_path, stack, volume, (headrest, many))
    assert len(getattr(hd.sr.srread(path).content, GROUPS)()) == 2 + MAX_PIECES
