"""The cleaned series: air where the headrest was, every other stored value bit for bit, same place, new identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import series_variants
import SimpleITK as sitk
from conftest import SHARED
from dicom_cases import AIR_HU, GEOMETRIES, assert_only_the_mask_changed, clean, load, some_mask, validator_errors
from dicom_slices import write_slice
from DicomAnalysisLib.dicom.pixels import read_stored
from DicomAnalysisLib.dicom.reader import read_stack
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.dicom.writing.derived import CleanedSeries
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

REFERENCES = sorted(path.parent.name for path in (SHARED / "data").glob("*/reference-patient.npz"))


@pytest.mark.parametrize("name", REFERENCES)
def test_patients_of_real_series_keep_every_bit(shared_data, tmp_path, name):
    """All that lies outside the reference mask and is no air is taken out; pydicom reads the rest unchanged."""
    (series,) = open_source(shared_data / name).series()
    stack = series.stacks[0]
    volume = read_stack(stack, series.identity)
    reference = np.load(shared_data / name / "reference-patient.npz")
    patient = dict(
        zip(
            reference["sop_instance_uids"].tolist(),
            np.unpackbits(reference["mask"], count=int(np.prod(reference["shape"]))).reshape(reference["shape"]),
            strict=True,
        )
    )
    known = [uid in patient for uid in volume.sop_instance_uids]
    assert sum(known) >= len(known) - 1
    mask = np.array([patient.get(uid, np.ones(volume.shape[1:])) == 0 for uid in volume.sop_instance_uids])
    mask &= volume.voxels > -900
    assert mask.any()
    clean(stack, volume, mask, tmp_path / "out")
    assert_only_the_mask_changed(stack, volume, mask, tmp_path / "out")
    instance, number = stack.slices[-1]
    last = pydicom.dcmread(sorted((tmp_path / "out").glob("*.dcm"))[-1])
    np.testing.assert_array_equal(last.pixel_array[~mask[-1]], read_stored(instance, number)[~mask[-1]])
    assert validator_errors(Path(last.filename)) == []


class TestEncodings:
    @pytest.mark.parametrize("name", GEOMETRIES)
    def test_geometries(self, tmp_path, name):
        GEOMETRIES[name](tmp_path / "source")
        stack, volume = load(tmp_path / "source")
        mask = some_mask(volume)
        clean(stack, volume, mask, tmp_path / "out")
        assert_only_the_mask_changed(stack, volume, mask, tmp_path / "out")
        for path in sorted((tmp_path / "out").glob("*.dcm"))[:2]:
            assert validator_errors(path) == []

    @pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
    def test_compressed_sources_are_written_uncompressed(self, tmp_path, syntax):
        series_variants.compressed(tmp_path / "source", syntax)
        stack, volume = load(tmp_path / "source")
        mask = some_mask(volume)
        clean(stack, volume, mask, tmp_path / "out")
        assert_only_the_mask_changed(stack, volume, mask, tmp_path / "out")
        written = pydicom.dcmread(tmp_path / "out" / "0002.dcm")
        assert written.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert written["PixelData"].VR == "OW"

    @pytest.mark.parametrize(
        "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
    )
    def test_native_deflated_and_rle_sources(self, tmp_path, syntax):
        from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series

        phantom = make_head_phantom(shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0))
        write_dicom_series(phantom.volume, tmp_path / "source", transfer_syntax=syntax)
        stack, volume = load(tmp_path / "source")
        mask = some_mask(volume)
        clean(stack, volume, mask, tmp_path / "out")
        assert_only_the_mask_changed(stack, volume, mask, tmp_path / "out")
        assert validator_errors(tmp_path / "out" / "0002.dcm") == []

    def test_every_transfer_syntax_of_one_real_slice(self, shared_data, tmp_path):
        for number, path in enumerate(sorted((shared_data / "transfer-syntaxes-one-ct-slice").glob("*.dcm"))):
            stack, volume = load(path)
            mask = some_mask(volume)
            mask[0, 200:210, 100:120] = True
            clean(stack, volume, mask, tmp_path / str(number))
            written = pydicom.dcmread(tmp_path / str(number) / "0001.dcm")
            instance, frame = stack.slices[0]
            np.testing.assert_array_equal(written.pixel_array[~mask[0]], read_stored(instance, frame)[~mask[0]])
            is_lossy = instance.facts.is_lossy
            assert (written.get("LossyImageCompression") == "01") == is_lossy, path.name
            if is_lossy:
                assert written.LossyImageCompressionMethod
                assert written.LossyImageCompressionRatio > 0
            assert validator_errors(Path(written.filename)) == [], path.name

    def test_another_reader_sees_the_same_values(self, tmp_path):
        """SimpleITK on source and result: equal outside the mask, air inside it."""
        series_variants.tilted(tmp_path / "source")
        stack, volume = load(tmp_path / "source")
        mask = some_mask(volume)
        clean(stack, volume, mask, tmp_path / "out")
        for k, (path, source) in enumerate(zip(sorted((tmp_path / "out").iterdir()), stack.paths, strict=True)):
            now, was = sitk.ReadImage(str(path)), sitk.ReadImage(source)
            assert now.GetOrigin() == was.GetOrigin()
            assert now.GetDirection() == was.GetDirection()
            expected = sitk.GetArrayFromImage(was)[0]
            expected[mask[k]] = AIR_HU
            np.testing.assert_array_equal(sitk.GetArrayFromImage(now)[0], expected)


class TestStoredValues:
    def one(self, tmp_path, stored, mask, **attributes) -> tuple[pydicom.Dataset, CleanedSeries]:
        tmp_path.joinpath("source").mkdir()
        write_slice(tmp_path / "source", stored, **attributes)
        stack, volume = load(tmp_path / "source")
        series = clean(stack, volume, mask[None], tmp_path / "out")
        return pydicom.dcmread(tmp_path / "out" / "0001.dcm"), series

    @pytest.fixture
    def mask(self):
        mask = np.zeros((6, 5), bool)
        mask[2, 1:4] = True
        return mask

    @pytest.mark.parametrize(
        ("dtype", "attributes", "air"),
        [
            (np.uint16, {"RescaleIntercept": -1024}, 24),
            (np.int16, {"RescaleIntercept": 0}, -1000),
            (np.int16, {"RescaleSlope": "2", "RescaleIntercept": "-1000"}, 0),
            (np.int16, {"RescaleSlope": "-1", "RescaleIntercept": "0"}, 1000),
            (np.uint16, {"RescaleSlope": "0.5", "RescaleIntercept": "-1024.5"}, 49),
            (np.uint16, {"RescaleIntercept": -1024, "BitsStored": 12, "HighBit": 11}, 24),
            (np.int16, {"RescaleIntercept": 0, "BitsStored": 12, "HighBit": 11}, -1000),
            (np.uint8, {"RescaleIntercept": -1024, "RescaleSlope": 8}, 3),
        ],
    )
    def test_air_by_slope_intercept_and_sign(self, tmp_path, mask, dtype, attributes, air):
        stored = np.arange(100, 130).reshape(6, 5).astype(dtype)
        written, series = self.one(tmp_path, stored, mask, **attributes)
        expected = np.where(mask, air, stored)
        np.testing.assert_array_equal(written.pixel_array, expected)
        assert series.warnings == []

    def test_each_slice_has_air_by_its_own_rescale(self, tmp_path):
        (tmp_path / "source").mkdir()
        for number, intercept in enumerate((-1024, -1000, -2000), start=1):
            stored = np.full((6, 5), 1500, np.uint16)
            write_slice(tmp_path / "source", stored, number, RescaleIntercept=intercept)
        stack, volume = load(tmp_path / "source")
        clean(stack, volume, np.ones(volume.shape, bool), tmp_path / "out")
        found = [int(pydicom.dcmread(path).pixel_array[0, 0]) for path in sorted((tmp_path / "out").iterdir())]
        assert found == [24, 0, 1000]

    def test_air_that_cannot_be_stored_is_the_nearest_value_and_told(self, tmp_path, mask):
        stored = np.full((6, 5), 100, np.uint16)
        written, series = self.one(tmp_path, stored, mask, RescaleIntercept=0)
        assert set(written.pixel_array[mask]) == {0}
        assert series.warnings == ["Cleaned DICOM series: -1000 HU cannot be stored in 1 slice(s); 0 HU was written."]

    @pytest.mark.parametrize(
        ("padding", "limit", "air"), [(24, None, 25), (0, 30, 31), (-2000, None, 24), (63536, None, 24), (24, 20, 25)]
    )
    def test_air_is_not_a_value_declared_as_padding(self, tmp_path, mask, padding, limit, air):
        signed = padding < 0
        stored = np.full((6, 5), 1100, np.int16 if signed else np.uint16)
        attributes = {"PixelPaddingValue": padding, "RescaleIntercept": -1024}
        if limit is not None:
            attributes["PixelPaddingRangeLimit"] = limit
        written, _ = self.one(tmp_path, stored, mask, **attributes)
        assert set(written.pixel_array[mask]) == {air}
        assert written.PixelPaddingValue == padding

    def test_unused_bits_stay_as_they_are(self, tmp_path, mask):
        """Bits above the stored ones hold an overlay or rubbish; all but the mask's are copied."""
        stored = (np.arange(30).reshape(6, 5) | 0xA000).astype(np.uint16)
        written, _ = self.one(tmp_path, stored, mask, BitsStored=12, HighBit=11)
        words = np.frombuffer(written.PixelData, "<u2").reshape(6, 5)
        np.testing.assert_array_equal(words[~mask], stored[~mask])
        assert set(words[mask]) == {24}

    def test_an_overlay_in_the_pixels_stays_even_under_the_mask(self, tmp_path, mask):
        stored = (np.arange(30).reshape(6, 5) | 0x1000).astype(np.uint16)
        (tmp_path / "source").mkdir()
        path = write_slice(tmp_path / "source", stored, BitsStored=12, HighBit=11)
        dataset = pydicom.dcmread(path)
        for element, vr, value in ((0x10, "US", 6), (0x11, "US", 5), (0x40, "CS", "G"), (0x50, "SS", [1, 1])):
            dataset.add_new((0x6000, element), vr, value)
        dataset.add_new((0x6000, 0x0100), "US", 16)
        dataset.add_new((0x6000, 0x0102), "US", 12)
        dataset.save_as(path)
        stack, volume = load(tmp_path / "source")
        clean(stack, volume, mask[None], tmp_path / "out")
        words = np.frombuffer(pydicom.dcmread(tmp_path / "out" / "0001.dcm").PixelData, "<u2").reshape(6, 5)
        assert set(words[mask]) == {0x1000 | 24}
        np.testing.assert_array_equal(words[~mask], stored[~mask])

    def test_codestream_of_other_sign_than_its_header(self, shared_data, tmp_path):
        stack, volume = load(shared_data / "odd" / "real" / "J2K_pixelrep_mismatch_headCT.dcm")
        mask = some_mask(volume)
        clean(stack, volume, mask, tmp_path / "out")
        assert_only_the_mask_changed(stack, volume, mask, tmp_path / "out")
        _, again = load(tmp_path / "out")
        np.testing.assert_array_equal(again.voxels[~mask], volume.voxels[~mask])
