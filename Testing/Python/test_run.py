"""The batch: every series done, skipped or failed with a reason; nothing of the input touched."""

from __future__ import annotations

import hashlib
import json
import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
import series_variants
import SimpleITK as sitk
from dicom_slices import write_slice
from DicomAnalysisLib.dicom import instance
from DicomAnalysisLib.dicom.series import Problem
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import SourceError, UsageError
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from DicomAnalysisLib.run import RunReport, SeriesOutcome, choose_series, is_damaged_image, segment_source
from DicomAnalysisLib.segmentation.options import SegmentationOptions
from pydicom.uid import DeflatedExplicitVRLittleEndian

SHAPE, SPACING = (24, 96, 96), (6.0, 2.4, 2.4)


@pytest.fixture(scope="module")
def phantom():
    return make_head_phantom(shape=SHAPE, spacing=SPACING)


@pytest.fixture
def source(tmp_path, phantom) -> Path:
    write_dicom_series(phantom.volume, tmp_path / "source" / "head")
    return tmp_path / "source"


def edit(folder: Path, **values: object) -> None:
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        for name, value in values.items():
            setattr(dataset, name, value)
        dataset.save_as(path)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_series_becomes_a_folder_with_segments_in_their_place(tmp_path, source, phantom):
    before = digests(source)
    report = segment_source(source, tmp_path / "out")
    assert report.complete
    (outcome,) = report.outcomes
    uid = phantom.volume.identity.series_uid
    assert outcome.folder == tmp_path / "out" / uid
    assert set(outcome.segments) == {"Headrest", "Metal"}
    document = json.loads((outcome.folder / "result.json").read_text("utf-8"))
    assert document["series_uid"] == uid
    assert document["patient_id"] == phantom.volume.identity.patient_id
    assert document["options"] == json.loads(json.dumps(SegmentationOptions().__dict__))
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(outcome.folder / "segmentation.seg.nrrd")))
    found, truth = labels == 1, phantom.headrest
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    cleaned = sitk.GetArrayFromImage(sitk.ReadImage(str(outcome.folder / "cleaned.nrrd")))
    np.testing.assert_array_equal(cleaned[~found], phantom.volume.voxels[~found])
    assert digests(source) == before, "the input is never modified"


def test_a_second_run_gives_the_same_files(tmp_path, source):
    first = segment_source(source, tmp_path / "out", masks_png=True)
    before = digests(tmp_path / "out")
    second = segment_source(source, tmp_path / "out", masks_png=True)
    assert first.complete
    assert second.complete
    after = digests(tmp_path / "out")
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} <= {name for name in after if name.endswith(".json")}


def test_a_failing_series_stops_no_other_and_is_named(tmp_path, source):
    for name in ("mr", "broken"):
        extra = make_head_phantom(shape=(4, 32, 32), spacing=(20.0, 7.0, 7.0), seed=len(name))
        write_dicom_series(extra.volume, source / name, series_uid=f"1.2.3.{len(name)}")
    edit(source / "mr", Modality="MR")
    for path in sorted((source / "broken").iterdir())[:1]:
        path.write_bytes(path.read_bytes()[:-500])
    (source / "notes.txt").write_text("not DICOM")
    report = segment_source(source, tmp_path / "out")
    statuses = {outcome.series_uid: outcome for outcome in report.outcomes}
    assert statuses["1.2.3.2"].status == "failed"
    assert "MR" in statuses["1.2.3.2"].reason
    assert sum(outcome.status == "done" for outcome in report.outcomes) == 2
    assert not report.complete
    reasons = {Path(problem.path).name: problem.reason for problem in report.problems}
    assert "cut short" in reasons["0001.dcm"]
    assert "not DICOM" in reasons["notes.txt"]


def test_one_series_can_be_asked_for(tmp_path, source, phantom):
    write_dicom_series(phantom.volume, source / "other", series_uid="1.2.3.9")
    report = segment_source(source, tmp_path / "out", series_uid="1.2.3.9")
    assert [outcome.series_uid for outcome in report.outcomes] == ["1.2.3.9"]
    with pytest.raises(UsageError, match=r"no readable series 1\.2\.3\.10"):
        choose_series(open_source(source), "1.2.3.10")


def test_stacks_and_scouts_of_one_series(tmp_path):
    case = series_variants.mixed(tmp_path / "source")
    report = segment_source(tmp_path / "source", tmp_path / "out")
    assert len(report.outcomes) > 1
    assert {outcome.series_uid for outcome in report.outcomes} == {case.series_uid}
    for outcome in report.outcomes:
        if outcome.status == "done":
            inside = outcome.folder.relative_to(tmp_path / "out" / case.series_uid)
            assert str(inside) == ("." if outcome.stack == 1 else f"stack-{outcome.stack}")
    main = json.loads((tmp_path / "out" / case.series_uid / "result.json").read_text("utf-8"))
    assert main["shape"][0] == len(case.slices)
    assert main["stacks"] == len(report.outcomes)


def test_output_inside_the_source_is_not_read_again(tmp_path, source, phantom):
    out = source / "out"
    write_dicom_series(phantom.volume, out / "derived", series_uid="1.2.3.4")
    for _ in range(2):
        report = segment_source(source, out)
        assert report.complete
        assert [(o.status, o.reason) for o in report.outcomes if o.series_uid == "1.2.3.4"] == [
            ("skipped", "it lies in the output folder")
        ]
        assert not report.problems, "results of the first run are no refused files of the second"


def test_output_that_is_the_source_or_its_series_folder_is_refused(tmp_path, phantom):
    folder = tmp_path / "out" / phantom.volume.identity.series_uid
    write_dicom_series(phantom.volume, folder)
    before = digests(folder)
    with pytest.raises(UsageError, match="is the source"):
        segment_source(tmp_path / "out", tmp_path / "out")
    (outcome,) = segment_source(folder, tmp_path / "out").outcomes
    assert outcome.status == "failed"
    assert "choose another output folder" in outcome.reason
    assert digests(folder) == before


def test_hostile_and_repeated_identifiers_stay_in_the_output(tmp_path, phantom):
    small = make_head_phantom(shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0)).volume
    for number, uid in enumerate(["../../escape", "1.2.3", "1.2.3", "", "C:\\x"]):
        folder = tmp_path / "source" / str(number)
        write_dicom_series(small, folder, series_uid="1.2.3.4")
        edit(folder, SeriesInstanceUID=uid, StudyInstanceUID=f"1.9.{number}", PatientID=f"../{number}")
    report = segment_source(tmp_path / "source", tmp_path / "results" / "out")
    folders = [outcome.folder for outcome in report.outcomes]
    assert all(outcome.status == "done" for outcome in report.outcomes)
    assert len(set(folders)) == 5
    assert {folder.parent for folder in folders} == {tmp_path / "results" / "out"}
    assert {path.name for path in tmp_path.iterdir()} == {"source", "results"}


def test_no_name_in_lines_or_results(tmp_path, source, caplog):
    edit(source / "head", PatientName="Geheim^Gerda", PatientBirthDate="19010203")
    (source / "head" / "0003.dcm").write_bytes((source / "head" / "0003.dcm").read_bytes()[:-100])
    lines: list[str] = []
    with caplog.at_level(logging.DEBUG):
        report = segment_source(source, tmp_path / "out", progress=lines.append)
    everything = " ".join([*lines, str(report), caplog.text])
    everything += "".join(path.read_text("utf-8") for path in (tmp_path / "out").rglob("*.[jc]s*"))
    everything += (next((tmp_path / "out").rglob("segmentation.seg.nrrd"))).read_bytes()[:4000].decode("latin-1")
    assert lines
    assert "Geheim" not in everything
    assert "19010203" not in everything


def test_memory_is_flat_over_many_series(tmp_path, phantom):
    peaks = []
    for count in (1, 4):
        for number in range(count):
            write_dicom_series(phantom.volume, tmp_path / f"s{count}" / str(number), series_uid=f"1.2.3.{number}")
        tracemalloc.start()
        segment_source(tmp_path / f"s{count}", tmp_path / f"o{count}", SegmentationOptions(tasks=("metal",)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + phantom.volume.voxels.nbytes


def test_nothing_to_do_is_not_complete(tmp_path):
    (tmp_path / "empty").mkdir()
    assert not segment_source(tmp_path / "empty", tmp_path / "out").complete
    with pytest.raises(SourceError):
        segment_source(tmp_path / "nowhere", tmp_path / "out")


def test_frames_that_take_too_long_to_inflate_are_a_failure(tmp_path, monkeypatch):
    """Such a file holds images, so that a run without it is not complete."""
    write_slice(tmp_path, np.zeros((64, 64), np.int16), syntax=DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(instance, "MAX_INFLATED_BYTES", 100)
    (problem,) = open_source(tmp_path).problems
    assert "takes too long" in problem.reason
    assert is_damaged_image(problem)


def test_what_counts_as_a_damaged_image(shared_data):
    """Objects of other kinds are left out without fuss; images that should be readable count as failures."""
    kinds = {Path(p.path).name: is_damaged_image(p) for p in open_source(shared_data / "odd").problems}
    assert kinds["truncated_pixels.dcm"]
    assert kinds["iop_zero.dcm"]
    assert not kinds["rgb_3x3_odd_length.dcm"], "a secondary capture"
    assert not kinds["badVR.dcm"], "a dose"
    assert not kinds["text.dcm"], "not DICOM"
    done = SeriesOutcome("1", "done")
    assert RunReport((done,), (Problem("a", "it is a secondary capture"),)).complete
    assert not RunReport((done,), (Problem("a", "its pixel data are cut short"),)).complete


def test_scouts_are_skipped(tmp_path, shared_data):
    report = segment_source(shared_data / "head-philips-phantom" / "S1000", tmp_path / "out")
    assert [(outcome.status, outcome.reason) for outcome in report.outcomes] == [("skipped", "a scout image")]
    assert not (tmp_path / "out").exists()
