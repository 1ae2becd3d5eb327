"""Pixels as Hounsfield units: equal to SimpleITK's file by file, and right where the header is odd."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_slices import ct_slice, ramp, write_series, write_slice
from DicomAnalysisLib.dicom.header import RefusedFileError
from DicomAnalysisLib.dicom.instance import read_instance
from DicomAnalysisLib.dicom.pixels import read_stored
from DicomAnalysisLib.dicom.reader import read_series, read_stack, read_volume
from DicomAnalysisLib.dicom.series import series_from_files
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import DecodingError, DicomAnalysisError, SourceError
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from test_dicom_stacks import SERIES

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture(params=["imagecodecs", "bundled with Slicer"])
def decoders(request, monkeypatch):
    """Every test that asks for it runs with imagecodecs and with what Slicer has instead."""
    if request.param != "imagecodecs":
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
    return request.param


def itk_values(path: str | Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.parametrize("name", [name for name in SERIES if name != "head-enhanced-multiframe-derived"])
def test_every_file_has_the_values_that_simpleitk_reads(shared_data, name):
    for series in open_source(shared_data / name).series():
        for stack in series.stacks:
            volume = read_stack(stack, series.identity)
            step = max(len(stack) // 3, 1)
            for k in range(0, len(stack), step):
                expected = itk_values(stack.slices[k][0].path)[0]
                np.testing.assert_allclose(volume.voxels[k], expected, atol=1e-3 if expected.dtype.kind == "f" else 0)


def test_enhanced_multi_frame_equals_the_series_it_was_made_from(shared_data):
    enhanced = read_volume(shared_data / "head-enhanced-multiframe-derived")
    plain = read_volume(shared_data / "head-philips-phantom" / "S2010")
    assert enhanced.voxels.dtype == plain.voxels.dtype == np.int16
    assert np.array_equal(enhanced.voxels, plain.voxels)
    assert np.array_equal(enhanced.geometry.positions, plain.geometry.positions)
    assert enhanced.geometry.pixel_spacing == plain.geometry.pixel_spacing
    assert enhanced.frame_numbers == tuple(range(28, 0, -1))  # its frames run from head to foot
    assert len(set(enhanced.sop_instance_uids)) == 1


def transfer_syntax_files(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "transfer-syntaxes-one-ct-slice").glob("*.dcm"))


def test_every_transfer_syntax_is_decoded_as_by_simpleitk(shared_data, decoders):
    paths = transfer_syntax_files(shared_data)
    assert len(paths) == 14
    for path in paths:
        volume = read_volume(path)
        np.testing.assert_allclose(volume.voxels, itk_values(path), atol=1e-3, err_msg=path.name)


def test_lossless_transfer_syntaxes_give_the_same_voxels(shared_data, decoders):
    lossy = (".50", ".51", ".53", ".55", ".81", ".91")
    volumes = [read_volume(p) for p in transfer_syntax_files(shared_data) if not any(s + "_" in p.name for s in lossy)]
    assert len(volumes) == 8
    for volume in volumes[1:]:
        assert np.array_equal(volume.voxels, volumes[0].voxels)


def test_lossy_compression_is_named(shared_data):
    (path,) = (path for path in transfer_syntax_files(shared_data) if ".50_" in path.name)
    assert any("Lossy compression" in warning for warning in read_volume(path).warnings)


def test_of_equal_places_a_lossless_slice_is_kept(shared_data):
    volume = read_volume(shared_data / "transfer-syntaxes-one-ct-slice")
    assert volume.voxels.dtype == np.int16
    assert any("13 duplicate slice(s)" in warning for warning in volume.warnings)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("J2K_pixelrep_mismatch_headCT.dcm", -2000, 1896),
        ("CT_toshiba_j2k_siz0.dcm", -2048, 1717),
        ("CT_elscint_jp2_container.dcm", -1000, 3095),
        ("CT_rle_fragments.dcm", -3024, 1254),
        ("CT_private_bigendian_GE_ts.dcm", -3024, 1254),
        ("bad_sequence_CT.dcm", -1011, 1243),
        ("explicit_all_UN_CT.dcm", -1024, 1186),
    ],
)
def test_odd_encodings_give_the_right_values(shared_data, decoders, name, low, high):
    path = shared_data / "odd" / "real" / name
    volume = read_volume(path)
    assert (volume.voxels.min(), volume.voxels.max()) == (low, high)
    if name != "CT_private_bigendian_GE_ts.dcm":  # SimpleITK cannot read it; it is the RLE slice in another syntax
        assert np.array_equal(volume.voxels, itk_values(path))
    else:
        assert np.array_equal(volume.voxels, read_volume(path.with_name("CT_rle_fragments.dcm")).voxels)


# --- what the header says of values -------------------------------------------------------------


def test_each_slice_has_its_own_rescale(tmp_path):
    for number, (slope, intercept) in enumerate([(1, -1024), (2, 10), (-1, 0)], start=1):
        write_slice(tmp_path, ramp(number), number, RescaleSlope=slope, RescaleIntercept=intercept)
    volume = read_volume(tmp_path)
    assert volume.voxels.dtype == np.int16
    for slice_, (n, slope, intercept) in zip(volume.voxels, [(1, 1, -1024), (2, 2, 10), (3, -1, 0)], strict=True):
        assert np.array_equal(slice_, ramp(n) * slope + intercept)


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(2, 16),
    signed=st.booleans(),
    slope=st.sampled_from([1, -1, 2, 3, 0.5, 1.0002441]),
    intercept=st.sampled_from([0, -1024, 1000, -32768, 32767, 0.25]),
    data=st.data(),
)
def test_any_stored_value_is_rescaled_exactly(tmp_path_factory, bits, signed, slope, intercept, data):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    values = data.draw(st.lists(st.integers(low, high), min_size=4, max_size=4))
    garbage = data.draw(st.integers(0, 15)) << bits if bits <= 12 else 0  # in bits that are not stored
    stored = ((np.array(values).reshape(2, 2) & ((1 << bits) - 1)) | garbage).astype(np.uint16)
    path = write_slice(
        tmp_path_factory.mktemp("slice"),
        stored,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=int(signed),
        RescaleSlope=slope,
        RescaleIntercept=intercept,
    )
    voxels = read_volume(path).voxels
    expected = np.array(values).reshape(1, 2, 2) * slope + intercept
    np.testing.assert_allclose(voxels, expected, rtol=1e-7)
    whole = float(slope).is_integer() and float(intercept).is_integer()
    fits = expected.min() >= -32768 and expected.max() <= 32767
    assert voxels.dtype == (np.int16 if whole and fits else np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32, np.int32])
def test_8_and_32_bit_pixels(tmp_path, dtype):
    stored = ramp(0, (6, 6), dtype) - (10 if np.dtype(dtype).kind == "i" else 0)
    volume = read_volume(write_slice(tmp_path, stored.astype(dtype), RescaleIntercept=-3))
    assert np.array_equal(volume.voxels[0], stored.astype(int) - 3)


def test_pixels_in_the_upper_bits(tmp_path):
    path = write_slice(tmp_path, ramp(0, dtype=np.uint16) << 4, BitsStored=12, HighBit=15)
    assert np.array_equal(read_volume(path).voxels[0], ramp() - 1024)


def test_big_endian_pixels_of_ges_private_syntax(tmp_path):
    path = write_slice(tmp_path, ramp().astype(">i2").view(np.int16), syntax="1.2.840.10008.1.2")
    content = path.read_bytes()
    stated = b"\x02\0\x10\0UI\x12\x001.2.840.10008.1.2\0"
    private = b"\x02\0\x10\0UI\x12\x001.2.840.113619.5.2"
    assert stated in content
    path.write_bytes(content.replace(stated, private))
    assert np.array_equal(read_volume(path).voxels[0], ramp())


@pytest.mark.parametrize("slope", ["0", "NaN", "one", None])
def test_a_slope_that_is_none_is_taken_as_1(tmp_path, slope):
    path = write_text_element(tmp_path, 0x00281053, slope)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels[0], ramp() - 7)
    assert any("slope" in warning and "taken as 1" in warning for warning in volume.warnings)


@pytest.mark.parametrize("slope", ["inf", "-inf", "1e308", "1e-300"])
def test_an_absurd_slope_is_refused(tmp_path, slope):
    with pytest.raises(SourceError, match="rescale slope"):
        read_volume(write_text_element(tmp_path, 0x00281053, slope))


@pytest.mark.parametrize("intercept", ["NaN", "inf", "minus"])
def test_an_absurd_intercept_is_refused(tmp_path, intercept):
    with pytest.raises(SourceError, match="rescale intercept"):
        read_volume(write_text_element(tmp_path, 0x00281052, intercept))


def write_text_element(folder: Path, tag: int, value: str | None) -> Path:
    """A slice with intercept -7 and one element replaced by any text, or left out."""
    dataset = ct_slice(ramp(), RescaleIntercept=-7)
    del dataset[tag]
    if value is not None:
        dataset.add_new(tag, "LO", value)  # a decimal string would not be written
    path = folder / "text.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_odd_decimal_notation(tmp_path):
    path = write_slice(
        tmp_path, ramp(), PixelSpacing=["006.445312e-01", "006.445312e-01"], RescaleSlope="001.000000E+00"
    )
    volume = read_volume(path)
    assert volume.geometry.pixel_spacing == (0.6445312, 0.6445312)
    assert np.array_equal(volume.voxels[0], ramp())


def test_monochrome1_is_not_inverted(tmp_path):
    volume = read_volume(write_slice(tmp_path, ramp(), PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(volume.voxels[0], ramp())
    assert any("MONOCHROME1" in warning for warning in volume.warnings)


@pytest.mark.parametrize("keyword", ["Modality", "SOPClassUID", "PhotometricInterpretation", "PixelRepresentation"])
def test_what_is_missing_has_a_default_with_a_warning(tmp_path, keyword):
    volume = read_volume(write_slice(tmp_path, ramp(0, dtype=np.uint16), **{keyword: None}))
    assert np.array_equal(volume.voxels[0], ramp() - 1024)
    assert volume.identity.modality == "CT"
    assert any("taken as" in warning.replace("thickness is unknown, taken as", "") for warning in volume.warnings)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ImagePositionPatient": None}, "no image position"),
        ({"ImageOrientationPatient": None}, "no image orientation"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "not two perpendicular unit vectors"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not two perpendicular unit vectors"),
        ({"PixelSpacing": None}, "no pixel spacing"),
        ({"PixelSpacing": [0, 0]}, "not two positive numbers"),
        ({"PixelSpacing": [-1, -1]}, "not two positive numbers"),
        ({"Rows": 0}, "0 rows"),
        ({"Rows": 65535, "Columns": 65535}, "not plausible"),
        ({"Rows": 7}, "cut short: 70 bytes declared, 60 present"),
        ({"NumberOfFrames": 2_000_000_000}, "2000000000 frames"),
        ({"NumberOfFrames": 0}, "number of frames"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PhotometricInterpretation": "RGB"}, "colour"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"Modality": "RTDOSE"}, "RTDOSE"),
        ({"PixelData": None}, "no pixel data"),
        ({"BitsAllocated": 12}, "12 bits"),
        ({"ModalityLUTSequence": Sequence([Dataset()])}, "look-up table"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_its_reason(tmp_path, attributes, reason):
    path = write_slice(tmp_path, ramp(), **attributes)
    with pytest.raises(RefusedFileError, match=reason) as caught:
        read_instance(path)
    assert str(path) in str(caught.value)
    series, (problem,) = series_from_files([path])
    assert series == []
    assert reason in problem.reason
    assert problem.series_uid == pydicom.dcmread(path).SeriesInstanceUID


# --- padding ------------------------------------------------------------------------------------


def padded(value: int, air: float = -1000.0, size: int = 64) -> np.ndarray:
    """A disc of noisy air with `value` outside it."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    inside = np.hypot(x, y) < size / 2
    return np.where(inside, random.normal(air, 15, inside.shape), value).astype(np.int16)


@pytest.mark.parametrize("value", [-2000, -2048, -3024, -1500])
def test_values_that_no_matter_has_are_padding(tmp_path, value):
    assert read_volume(write_slice(tmp_path, padded(value))).padding_values == (value,)


def test_minus_1024_around_the_field_of_view_is_padding(tmp_path):
    assert read_volume(write_slice(tmp_path, padded(-1024, air=-985))).padding_values == (-1024.0,)


def test_clipped_air_is_not_padding(tmp_path):
    stored = np.maximum(padded(-1024, air=-1024), -1024).astype(np.int16)
    assert read_volume(write_slice(tmp_path, stored)).padding_values == ()


def test_a_stated_padding_value_is_rescaled(tmp_path):
    stored = (padded(-2000) + 1024).astype(np.int16)
    path = write_slice(tmp_path, stored, RescaleIntercept=-1024, PixelPaddingValue=-976)
    assert read_volume(path).padding_values == (-2000.0,)


def test_a_stated_padding_range(tmp_path):
    stored = padded(-2000)
    stored[0, :5] = [-1998, -1999, -2000, -2001, -2002]
    path = write_slice(tmp_path, stored, PixelPaddingValue=-2001, PixelPaddingRangeLimit=-1999)
    assert set(read_volume(path).padding_values) >= {-2001.0, -2000.0, -1999.0}


def test_a_stated_padding_value_that_is_water_is_not_believed(tmp_path):
    stored = padded(40, air=0)
    assert read_volume(write_slice(tmp_path, stored, PixelPaddingValue=0)).padding_values == ()


# --- compressed frames --------------------------------------------------------------------------


# Taken at import: imagecodecs loads its parts late, and some tests hide it from the reader.
ENCODERS = {
    JPEG2000Lossless: partial(imagecodecs.jpeg2k_encode, level=0, codecformat="j2k"),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLosslessSV1: imagecodecs.ljpeg_encode,
}


def compressed(stored: np.ndarray, syntax: str) -> bytes:
    return ENCODERS[syntax](stored)


def write_compressed(folder: Path, frame: bytes, syntax: str, name: str = "", **attributes: object) -> Path:
    stored = np.zeros((16, 16), np.uint16)
    values = {"BitsStored": 12, "HighBit": 11, "PixelData": encapsulate([frame]), **attributes}
    return write_slice(folder, stored, syntax=syntax, name=name, **values)


RAMP = ramp(1, (16, 16), np.uint16)
FAMILY = [JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1]


@pytest.mark.parametrize("syntax", FAMILY)
def test_a_compressed_slice_decodes(tmp_path, decoders, syntax):
    path = write_compressed(tmp_path, compressed(RAMP, syntax), syntax)
    assert np.array_equal(read_volume(path).voxels[0], RAMP.astype(int) - 1024)


@pytest.mark.parametrize("syntax", FAMILY)
def test_a_frame_cut_short_is_refused(tmp_path, decoders, syntax):
    noise = np.random.default_rng(0).integers(0, 4096, (16, 16)).astype(np.uint16)
    frame = compressed(noise, syntax)
    with pytest.raises(DecodingError, match=r"\.dcm"):
        read_volume(write_compressed(tmp_path, frame[: len(frame) // 2], syntax))


@pytest.mark.parametrize("syntax", FAMILY)
def test_a_frame_of_another_size_is_refused_before_decoding(tmp_path, syntax):
    frame = compressed(ramp(0, (32, 32), np.uint16), syntax)
    with pytest.raises(DecodingError, match="its frame is 32 x 32 with 1 component"):
        read_volume(write_compressed(tmp_path, frame, syntax))


@pytest.mark.parametrize("syntax", [*FAMILY, JPEGExtended12Bit, RLELossless])
def test_garbage_for_a_frame_is_refused(tmp_path, decoders, syntax):
    for garbage in (b"\0\0", b"\xff" * 200, b"\xff\xd8\xff\xc3\0\x0b\x0c\0\x10\0\x10\x01\x01\x11\0\xff\xd9"):
        with pytest.raises(DecodingError):
            read_volume(write_compressed(tmp_path, garbage, syntax))


def test_a_transfer_syntax_without_decoder_is_named(tmp_path):
    with pytest.raises(DecodingError, match=r"no decoder for its transfer syntax 1\.2\.840\.10008\.1\.2\.4\.100"):
        read_volume(write_compressed(tmp_path, b"mpeg", "1.2.840.10008.1.2.4.100"))


def test_a_fragment_beyond_the_end_of_the_file_is_refused(tmp_path):
    path = write_compressed(tmp_path, compressed(RAMP, JPEGLSLossless), JPEGLSLossless)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DecodingError, match="cut short"):
        read_volume(path)


def test_one_undecodable_slice_leaves_a_gap_with_a_warning(tmp_path):
    frame = compressed(RAMP, JPEGLSLossless)
    for z in range(5):
        data = frame if z != 2 else frame[:30]
        plane = {"ImagePositionPatient": [0, 0, z], "SOPInstanceUID": f"1.2.{z + 1}"}
        write_compressed(tmp_path, data, JPEGLSLossless, f"{z}.dcm", **plane)
    volume = read_volume(tmp_path)
    assert volume.shape == (4, 16, 16)
    assert list(volume.geometry.distances) == [0, 1, 3, 4]
    assert volume.sop_instance_uids == ("1.2.1", "1.2.2", "1.2.4", "1.2.5")
    assert np.array_equal(volume.voxels[2], RAMP.astype(int) - 1024)
    assert any("2.dcm" in warning and "left out" in warning for warning in volume.warnings)
    assert any("1 slice(s) are missing" in warning for warning in volume.warnings)


def enhanced(folder: Path, frames: list[np.ndarray], fragments: int, table: str) -> Path:
    """A multi-frame CT whose frame n lies at z = n; each frame in some fragments."""
    per_frame = []
    for z in range(len(frames)):
        position = Dataset()
        position.ImagePositionPatient = [0, 0, z]
        group = Dataset()
        group.PlanePositionSequence = Sequence([position])
        per_frame.append(group)
    encoded = [compressed(frame, JPEGLSLossless) for frame in frames]
    extra = {}
    if table == "extended":
        data, extra["ExtendedOffsetTable"], extra["ExtendedOffsetTableLengths"] = encapsulate_extended(encoded)
    else:
        data = encapsulate(encoded, fragments_per_frame=fragments, has_bot=table == "basic")
    return write_slice(
        folder,
        frames[0],
        syntax=JPEGLSLossless,
        NumberOfFrames=len(frames),
        ImagePositionPatient=None,
        PerFrameFunctionalGroupsSequence=Sequence(per_frame),
        PixelData=data,
        **extra,
    )


@pytest.mark.parametrize(
    ("fragments", "table"), [(1, "basic"), (1, "none"), (3, "basic"), (3, "none"), (1, "extended")]
)
def test_frames_are_found_among_fragments(tmp_path, fragments, table):
    frames = [ramp(n, (16, 16), np.uint16) for n in range(4)]
    volume = read_volume(enhanced(tmp_path, frames, fragments, table))
    assert np.array_equal(volume.voxels, np.array(frames).astype(int) - 1024)
    assert volume.frame_numbers == (1, 2, 3, 4)


def test_frames_that_are_not_described_are_refused(tmp_path):
    path = enhanced(tmp_path, [RAMP, RAMP], 1, "basic")
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = 3
    dataset.save_as(path)
    with pytest.raises(RefusedFileError, match="declares 3 frames but describes 2"):
        read_instance(path)


def test_a_signed_codestream_is_believed_against_the_header(tmp_path, decoders):
    stored = (ramp(1, (16, 16)) - 200).astype(np.int16)
    path = write_compressed(tmp_path, compressed(stored, JPEG2000Lossless), JPEG2000Lossless, BitsStored=16, HighBit=15)
    assert np.array_equal(read_volume(path).voxels[0], stored - 1024)


def test_stored_values_of_an_instance(tmp_path):
    instance = read_instance(write_slice(tmp_path, ramp(), RescaleIntercept=-1000))
    assert np.array_equal(read_stored(instance, 1), ramp())


# --- the volume as a whole ----------------------------------------------------------------------


def test_non_square_and_odd_matrices(tmp_path):
    for shape in ((1, 1), (7, 3), (3, 8)):
        folder = tmp_path / str(shape)
        folder.mkdir()
        volume = read_volume(write_slice(folder, ramp(0, shape)))
        assert volume.shape == (1, *shape)
        assert np.array_equal(volume.voxels[0], ramp(0, shape))


def test_reading_holds_no_second_copy(tmp_path):
    stored = np.zeros((256, 256), np.uint16)
    for number in range(1, 41):
        write_slice(tmp_path, stored, number, BitsStored=12, HighBit=11)
    (series,) = open_source(tmp_path).series()
    read_volume(tmp_path / "001.dcm")  # whatever is imported or allocated once
    tracemalloc.start()
    volume = read_stack(series.stacks[0], series.identity)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert volume.voxels.nbytes <= peak <= 1.2 * volume.voxels.nbytes


def test_progress_is_reported_and_may_stop_the_reading(tmp_path):
    write_series(tmp_path, [(0, 0, z) for z in range(5)])
    (series,) = open_source(tmp_path).series()
    seen = []
    read_stack(series.stacks[0], series.identity, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 5) for n in range(1, 6)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        read_stack(series.stacks[0], series.identity, progress=stop)


def test_voxels_are_read_only_and_warnings_in_order(tmp_path):
    write_series(tmp_path, [(0, 0, z) for z in (0, 1, 2, 3, 4, 7)])
    (series,) = open_source(tmp_path).series()
    (volume,) = read_series(series)
    assert not volume.voxels.flags.writeable
    assert volume.warnings == ("2 slice(s) are missing: gaps between slices 5 and 6 (3 mm), where 1 mm is usual.",)


def test_read_volume_names_what_it_cannot_choose(tmp_path):
    with pytest.raises(SourceError, match="no file or folder"):
        read_volume(tmp_path / "none")
    with pytest.raises(SourceError, match="no readable image series"):
        read_volume(tmp_path)
    write_slice(tmp_path, ramp(), 1)
    write_slice(tmp_path, ramp(), 2, SeriesInstanceUID="1.2.3")
    with pytest.raises(SourceError, match="2 series"):
        read_volume(tmp_path)
    assert issubclass(SourceError, DicomAnalysisError)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path):
    path = write_slice(tmp_path, ramp())
    (series,) = open_source(path).series()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DecodingError, match="the file ends after 50 of 60 bytes"):
        read_series(series)


def test_a_private_icon_does_not_pass_for_the_image(tmp_path):
    icon = Dataset()
    icon.Rows, icon.Columns, icon.PixelData = 2, 2, struct.pack("<4H", 1, 2, 3, 4)
    icon["PixelData"].VR = "OW"
    path = write_slice(tmp_path, ramp(), IconImageSequence=Sequence([icon]))
    for undefined in (False, True):
        dataset = pydicom.dcmread(path)
        dataset["IconImageSequence"].is_undefined_length = undefined
        dataset.save_as(path)
        assert np.array_equal(read_volume(path).voxels[0], ramp())
