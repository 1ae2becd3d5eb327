"""Features of a series: numbers that can be checked by hand, and those of a classifier's last layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dicom_slices import SERIES_UID, write_series, write_slice
from DicomAnalysisLib.cohort.deidentify import Pseudonyms, read_or_make_key
from DicomAnalysisLib.cohort.engine.classifying import NetworkFeatures, describe_model
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.options import CohortOptions, recipe_of
from DicomAnalysisLib.cohort.features.acquisition import ACQUISITION_TAGS, acquisition_tags
from DicomAnalysisLib.cohort.features.interpretable import FEATURE_NAMES, interpretable_features
from DicomAnalysisLib.cohort.features.shapes import shape_features
from DicomAnalysisLib.cohort.features.statistics import intensity_statistics, share_between
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.dicom.series import series_from_files
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import OutputError, UsageError
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from small_cohorts import write_cohort


def volume_of(voxels: np.ndarray, spacing=(2.0, 1.0, 1.0), modality: str = "CT") -> Volume:
    positions = np.zeros((len(voxels), 3))
    positions[:, 2] = np.arange(len(voxels)) * spacing[0]
    geometry = StackGeometry(np.array([1, 0, 0]), np.array([0, 1, 0]), spacing[1:], positions, spacing[0])
    return Volume(voxels, geometry, SeriesIdentity(series_uid="1.2.3", modality=modality))


@given(arrays(np.int16, st.integers(2, 200), elements=st.integers(-3000, 3000)), st.integers(1, 3), st.booleans())
def test_statistics_are_those_of_scipy(values, parts, as_float) -> None:
    dtype = np.float32 if as_float else np.int16
    found, levels, counts = intensity_statistics(part.astype(dtype) for part in np.array_split(values, parts))
    assert found["mean"] == pytest.approx(values.mean(dtype=float), abs=1e-6)
    assert found["sd"] == pytest.approx(values.std(dtype=float), abs=1e-6)
    if values.std() > 0:
        assert found["skewness"] == pytest.approx(stats.skew(values.astype(float)), abs=1e-6)
        assert found["kurtosis"] == pytest.approx(stats.kurtosis(values.astype(float)), abs=1e-6)
    assert found["p50"] == np.percentile(values, 50, method="inverted_cdf")
    assert found["p95"] == np.percentile(values, 95, method="inverted_cdf")
    assert share_between(levels, counts, -30, 150) == pytest.approx(((values >= -30) & (values < 150)).mean())
    assert 0 <= found["entropy"] <= 6


def test_large_slices_are_counted_as_small_ones_are() -> None:
    values = np.random.default_rng(1).integers(-1000, 1000, 40_000).astype(np.int16)
    assert intensity_statistics([values])[0] == intensity_statistics(np.array_split(values, 10))[0]


def test_shape_of_a_box() -> None:
    volume = volume_of(np.zeros((20, 40, 60), np.int16))
    mask = np.zeros(volume.shape, bool)
    mask[5:15, 10:30, 20:50] = True  # 20 mm x 20 mm x 30 mm
    found = shape_features(volume, mask)
    assert found["volume_ml"] == pytest.approx(12.0)
    assert (found["extent_lr_mm"], found["extent_ap_mm"], found["extent_si_mm"]) == (29, 19, 18)
    assert found["largest_area_mm2"] == 600
    assert found["slices_share"] == 0.5
    assert found["solidity"] == 1
    assert found["length_mm"] == pytest.approx(4 * 30 / 12**0.5, rel=0.01)
    assert found["elongation"] == pytest.approx(20 / 30, rel=0.02)
    coarse = shape_features(volume, mask[:, ::2, ::2], 2, 1)
    assert coarse["volume_ml"] == pytest.approx(12.0)
    assert coarse["length_mm"] == pytest.approx(found["length_mm"], rel=0.02)
    empty = shape_features(volume, np.zeros(volume.shape, bool))
    assert empty["volume_ml"] == 0
    assert np.isnan(empty["length_mm"])


def test_features_of_a_head_are_those_of_its_segments() -> None:
    volume = make_head_phantom((20, 96, 96), (7.0, 2.4, 2.4)).volume
    found = interpretable_features(volume)
    assert tuple(found) == FEATURE_NAMES
    segments = segment(volume, SegmentationOptions(tasks=("headrest", "metal", "bone"), method="classical"))
    for one in segments.segments:
        name = one.kind.name.lower()
        assert found[f"{name}_volume_ml"] == pytest.approx(one.measurements["volume_ml"])
        assert found[f"{name}_mean_hu"] == pytest.approx(one.measurements["mean_hu"], nan_ok=True)
    assert found["headrest_offset_ap_mm"] < -40  # it lies under the head
    assert abs(found["bone_offset_lr_mm"]) < 10
    assert 0.3 < found["body_share_soft"] < 0.8
    assert 1000 < found["body_volume_ml"] < 4000
    again = interpretable_features(volume)
    np.testing.assert_array_equal(list(found.values()), list(again.values()))


def test_what_is_no_ct_is_measured_by_its_foreground() -> None:
    voxels = np.full((4, 32, 32), 10, np.float32)
    voxels[:, 8:24, 8:24] = 500
    found = interpretable_features(volume_of(voxels, (2.0, 2.0, 2.0), "MR"))
    assert found["body_mean"] == 500
    assert found["body_volume_ml"] == pytest.approx(4 * 256 * 8 / 1000)
    assert np.isnan(found["body_share_bone"])
    assert np.isnan(found["headrest_volume_ml"])
    flat = interpretable_features(volume_of(np.full((1, 4, 4), 7, np.int16)))
    assert (flat["body_mean"], flat["body_sd"]) == (7, 0)


def test_padding_is_no_body() -> None:
    voxels = np.full((3, 8, 8), 40, np.int16)
    voxels[:, :, :4] = -2000
    volume = replace(volume_of(voxels), padding_values=(-2000.0,))
    assert interpretable_features(volume)["body_mean"] == 40


@pytest.mark.parametrize(("stated", "told"), [("120", "120"), ("120.0", "120"), ("000130", "130"), ("", "")])
def test_one_voltage_is_one_tag(tmp_path, stated, told) -> None:
    write_series(tmp_path, [(0, 0, 0), (0, 0, 5)], KVP=stated or None)
    (found,) = series_from_files(tmp_path.iterdir())[0]
    assert acquisition_tags(found.stacks[0])["kvp"] == told


def test_acquisition_tags_stand_apart(tmp_path) -> None:
    (path,) = write_cohort(tmp_path, 1)
    series, _ = series_from_files([path])
    found = acquisition_tags(series[0].stacks[0])
    assert tuple(found) == ACQUISITION_TAGS
    assert found["manufacturer"] == "Maker"
    assert found["station"] == "SCANNER_A"
    assert (found["rows"], found["pixel_spacing_mm"], found["modality"]) == ("12", "4", "CT")
    assert not set(found) & set(FEATURE_NAMES)
    assert not any("SECRET" in text or "1951" in text for text in found.values())


def test_pseudonyms_are_keyed(tmp_path) -> None:
    key = read_or_make_key(tmp_path / "key", tmp_path / "output")
    assert read_or_make_key(tmp_path / "key", tmp_path / "output") == key
    one, other = Pseudonyms(key), Pseudonyms(bytes(32))
    assert one.of("patient", "17") == Pseudonyms(key).of("patient", "17") != other.of("patient", "17")
    assert one.of("patient", "17") != one.of("series", "17")
    assert one.series("1.2/stack-2") == one.series("1.2") + "/stack-2"
    assert one.of("patient", "") == ""
    hidden = one.tags({"station": "A", "kvp": "120", "protocol": "Smith 20210304"})
    assert hidden["kvp"] == "120"
    assert "Smith" not in hidden["protocol"]
    with pytest.raises(UsageError, match="lies in the output"):
        read_or_make_key(tmp_path / "output" / "key", tmp_path / "output")
    (tmp_path / "wrong").write_text("password")
    with pytest.raises(UsageError, match="no key"):
        read_or_make_key(tmp_path / "wrong", tmp_path / "output")
    with pytest.raises(UsageError, match="too short"):
        Pseudonyms(b"short")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        read_or_make_key(tmp_path / "folder", tmp_path / "output")


def test_images_that_lie_nowhere_are_measured(tmp_path) -> None:
    stored = np.full((40, 30), 5, np.uint16)
    stored[8:32, 8:20] = 900
    (tmp_path / "source").mkdir()
    for number in (1, 2):
        write_slice(
            tmp_path / "source",
            stored,
            number,
            Modality="MG",
            ImagePositionPatient=None,
            ImageOrientationPatient=None,
            SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2",
            RescaleIntercept=None,
            RescaleSlope=None,
        )
    report = run_cohort(tmp_path / "source", tmp_path / "output", CohortOptions(workers=1))
    assert report.complete, report.failed
    table = FeatureStore(tmp_path / "output" / "features").read()
    assert table.series == (SERIES_UID, f"{SERIES_UID}/stack-2")
    assert table.tags["modality"] == ("MG", "MG")
    np.testing.assert_array_equal(table.column("body_mean"), [900, 900])


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("heads")
    for number in range(3):
        phantom = make_head_phantom((8 + number, 48, 48), (16.0, 4.8, 4.8))
        write_dicom_series(phantom.volume, folder / str(number), series_uid=f"1.2.3.{number}")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("monai")
    from small_classifiers import write_classifier

    folder = tmp_path_factory.mktemp("model")
    write_classifier(folder)
    return folder


def test_features_of_a_network_are_those_of_its_last_layer(heads, model, tmp_path) -> None:
    options = CohortOptions(task="features", model=str(model), workers=2, device="cpu")
    report = run_cohort(heads, tmp_path, options)
    assert report.complete, report.failed
    table = FeatureStore(tmp_path / "features").read()
    assert table.values.shape == (3, 128)
    assert table.model_hash == describe_model(str(model))[0]
    assert not np.isnan(table.values).any()
    assert len(np.unique(table.values, axis=0)) == 3
    measure = NetworkFeatures(str(model), "cpu")
    rows = [row for one in open_source(heads).series() for row in measure.rows([one], ())]
    known = {row.series: [row.values[name] for name in measure.names] for row in rows}
    np.testing.assert_array_equal(table.values, np.float32([known[uid] for uid in table.series]))
    # Interpretable ones of the same series go beside them.
    assert run_cohort(heads, tmp_path, CohortOptions(workers=1)).done == 3
    assert [bool(v.model_hash) for v in FeatureStore(tmp_path / "features").versions()] == [True, False]


def test_a_cohort_is_classified(heads, model, tmp_path) -> None:
    report = run_cohort(heads, tmp_path, CohortOptions(task="classify", model=str(model), workers=1, device="cpu"))
    assert report.complete, report.failed
    table = FeatureStore(tmp_path / "classify").read()
    assert table.names == ("p finding:normal", "p finding:abnormal")
    np.testing.assert_allclose(table.values.sum(axis=1), 1, atol=1e-6)


def test_the_recipe_hash_tells_what_numbers_depend_on() -> None:
    plain = recipe_of(CohortOptions(), {})
    assert plain == recipe_of(CohortOptions(workers=7, limit_seconds=3), {})
    assert plain != recipe_of(CohortOptions(model="m"), {"input": 1})
    bone = SegmentationOptions(tasks=("bone",))
    assert recipe_of(CohortOptions(task="segment"), {}) != recipe_of(
        CohortOptions(task="segment", segmentation=bone), {}
    )
