"""The header walk gives what pydicom gives, on every file at hand, on generated and on damaged ones."""

from __future__ import annotations

import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_slices import ct_slice, ramp, write_slice
from DicomAnalysisLib.dicom import tags
from DicomAnalysisLib.dicom.header import RefusedFileError, read_header
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # values out of bounds on purpose

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def expected(dataset: Dataset, tag: int) -> object:
    """pydicom's value in the walk's terms: a list of integers, or text."""
    element = dataset[tag]
    value = element.value
    if element.VR in ("US", "SS", "US or SS"):
        return [] if value is None else [value] if isinstance(value, int) else list(value)
    if value is None:
        return ""
    values = value if isinstance(value, (list, MultiValue)) else [value]
    return "\\".join(str(getattr(one, "original_string", one)).strip("\0 ") for one in values)


def assert_agrees(path: Path, dataset: Dataset) -> None:
    header = read_header(path)
    for tag in tags.IMAGE_TAGS:
        assert (tag in header) == (tag in dataset), (path.name, tags.name(tag))
        if tag not in header or dataset[tag].VR == "SQ" or isinstance(dataset[tag].value, bytes):
            continue
        signed = dataset[tag].VR == "SS"
        is_number = dataset[tag].VR in ("US", "SS", "US or SS")
        ours = header.integers(tag, signed) if is_number else "\\".join(header.texts(tag))
        assert ours == expected(dataset, tag), (path.name, tags.name(tag))


def pydicom_header(path: Path) -> Dataset | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pydicom.dcmread(path, stop_before_pixels=True)
        except (pydicom.errors.InvalidDicomError, OSError, RecursionError):
            return None


WHERE_PYDICOM_IS_WRONG = {"says_bigendian_is_little.dcm"}


def test_agrees_with_pydicom_on_every_file_at_hand(shared_data):
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(path for path in shared_data.rglob("*") if path.is_file()):
            dataset = pydicom_header(path)
            if dataset is None or path.name in WHERE_PYDICOM_IS_WRONG:
                continue
            try:
                assert_agrees(path, dataset)
            except RefusedFileError as error:
                assert path.name in ("rtplan_truncated.dcm", "truncated_header.dcm"), error
                continue
            compared += 1
    assert compared > 750


def test_pixel_data_are_found_where_pydicom_finds_them(shared_data):
    for path in sorted((shared_data / "transfer-syntaxes-one-ct-slice").glob("*.dcm")):
        walked = read_header(path).walked
        with path.open("rb") as stream:
            dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            start = stream.tell()
        if walked.transfer_syntax != DeflatedExplicitVRLittleEndian:
            assert walked.pixel_offset == start + (8 if dataset.original_encoding[0] else 12)


text = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=16)
number = st.decimals(-1000, 1000, places=3).map(str)


@st.composite
def nested(draw, depth: int = 3) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = draw(text)[:8], draw(text)
    if depth and draw(st.booleans()):
        sequence = Sequence(draw(st.lists(nested(depth - 1), max_size=2)))
        item.AnatomicRegionSequence = sequence
        item["AnatomicRegionSequence"].is_undefined_length = draw(st.booleans())
        for inner in sequence:
            inner.is_undefined_length_sequence_item = draw(st.booleans())
    return item


@st.composite
def headers(draw) -> Dataset:
    dataset = ct_slice(
        ramp(),
        syntax=draw(st.sampled_from(SYNTAXES)),
        SeriesDescription=draw(text),
        PatientID=draw(text),
        RescaleSlope=draw(number),
        RescaleIntercept=draw(number),
        ImagePositionPatient=draw(st.lists(number, min_size=3, max_size=3)),
        PixelPaddingValue=draw(st.integers(-32768, 32767)),
        ConvolutionKernel=draw(st.lists(text.filter(bool), min_size=1, max_size=2)),
    )
    for keyword in ("ProcedureCodeSequence", "ReferencedImageSequence", "RequestAttributesSequence"):
        if draw(st.booleans()):
            setattr(dataset, keyword, Sequence(draw(st.lists(nested(), max_size=2))))
            dataset[keyword].is_undefined_length = draw(st.booleans())
    dataset.add_new(0x00291010, "OB", b"\0" * draw(st.integers(0, 40000)))  # beyond the first read at times
    for keyword in draw(st.sets(st.sampled_from(["Modality", "SOPClassUID", "RescaleSlope", "Rows", "PatientID"]))):
        delattr(dataset, keyword)
    if dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        dataset.PixelData = ramp().astype(">i2").tobytes()
        dataset["PixelData"].VR = "OW"
    return dataset


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dataset=headers())
def test_agrees_with_pydicom_on_generated_headers(tmp_path, dataset):
    path = tmp_path / "generated.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
        assert_agrees(path, pydicom.dcmread(path))


def test_every_truncation_is_refused_or_read_right(tmp_path):
    whole = write_slice(tmp_path, ramp(), ReferencedImageSequence=Sequence([Dataset()]))
    content = whole.read_bytes()
    full = read_header(whole)
    path = tmp_path / "cut.dcm"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            header = read_header(path)
        except RefusedFileError as error:
            assert str(path) in str(error)
            continue
        for tag, value in header.walked.elements.items():
            assert value == full.walked.elements[tag]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutations_never_escape_as_another_error(tmp_path, data):
    path = write_slice(tmp_path, ramp(), syntax=data.draw(st.sampled_from(SYNTAXES[:3])))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = read_header(path)
        except RefusedFileError:
            return
        for tag in tags.IMAGE_TAGS:
            header.texts(tag), header.numbers(tag), header.integers(tag), header.whole(tag)


def element(group: int, number: int, vr: bytes, length: int, long: bool = True) -> bytes:
    form = "<HH2sHL" if long else "<HH2sH"
    return struct.pack(form, group, number, vr, *((0, length) if long else (length,)))


def prefix(syntax: str = ExplicitVRLittleEndian) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\0" * 128 + b"DICM" + element(2, 0x10, b"UI", len(uid), long=False) + uid


def test_deep_nesting_is_walked_not_recursed_into(tmp_path):
    depth = 20_000
    opening = element(0x0008, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    rest = element(0x0028, 0x0010, b"US", 2, long=False) + b"\x05\0"
    path = tmp_path / "deep.dcm"
    path.write_bytes(prefix() + opening * depth + closing * depth + rest)
    assert read_header(path).integer(tags.ROWS) == 5


def test_a_claimed_length_is_never_allocated(tmp_path):
    path = tmp_path / "claims.dcm"
    path.write_bytes(prefix() + element(0x0008, 0x103E, b"UT", 0xFFFFFFF0) + b"short")
    with pytest.raises(RefusedFileError, match=r"claims 4294967280 bytes, but the file ends after 5"):
        read_header(path)


def test_a_deflate_bomb_is_read_in_bounded_time(tmp_path):
    bomb = 256 * 1024 * 1024
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(element(0x0009, 0x1001, b"OB", bomb))
    packed += b"".join(packer.compress(b"\0" * 1024 * 1024) for _ in range(bomb >> 20)) + packer.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(prefix(DeflatedExplicitVRLittleEndian) + packed)
    start = time.process_time()
    assert not read_header(path).walked.pixel_tag
    assert time.process_time() - start < 5


def test_more_elements_than_a_header_has_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("DicomAnalysisLib.dicom.walker.MAX_ELEMENTS", 100)
    path = tmp_path / "many.dcm"
    path.write_bytes(prefix() + element(0x0009, 0x0010, b"LO", 0, long=False) * 200)
    with pytest.raises(RefusedFileError, match="implausible DICOM: its header has more than 100 elements"):
        read_header(path)


def test_what_the_walk_does_not_understand_is_read_by_pydicom(tmp_path):
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    strange = element(0x0009, 0x1001, b"OB", 0xFFFFFFFF) + b"not a sequence of items" + end
    path = write_slice(tmp_path, ramp())
    regular = read_header(path)
    content, start = path.read_bytes(), regular.walked.dataset_start
    where = content.index(b"\x10\0\x20\0LO", start)  # before Patient ID: elements stay in order
    path.write_bytes(content[:where] + strange + content[where:])
    header = read_header(path)
    assert header.walked.elements == regular.walked.elements
    assert header.walked.pixel_offset == regular.walked.pixel_offset + len(strange)
    assert header.walked.remarks == ["its header is irregular and was read by pydicom"]


def test_un_of_undefined_length_is_implicit_inside(tmp_path):
    item = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 10, 0x0008, 0x0050, 2) + b"ab"
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    rows = struct.pack(">HH2sHH", 0x0028, 0x0010, b"US", 2, 7)
    unknown = struct.pack(">HH2sHL", 0x0008, 0x2112, b"UN", 0, 0xFFFFFFFF)
    path = tmp_path / "un.dcm"
    path.write_bytes(prefix(ExplicitVRBigEndian) + unknown + item + end + rows)
    assert read_header(path).integer(tags.ROWS) == 7


def test_a_wrong_byte_order_or_vr_coding_is_recognised(tmp_path):
    path = write_slice(tmp_path, ramp())
    content = path.read_bytes()
    stated = ExplicitVRLittleEndian.encode()
    for wrong in (ExplicitVRBigEndian, ImplicitVRLittleEndian):
        path.write_bytes(content.replace(stated + b"\0", wrong.encode().ljust(len(stated) + 1, b"\0"), 1))
        header = read_header(path)
        assert header.integer(tags.ROWS) == 6
        assert "transfer syntax" in header.walked.remarks[0]


def test_character_sets_are_decoded_as_by_pydicom(tmp_path):
    path = write_slice(tmp_path, ramp(), SpecificCharacterSet="ISO_IR 100", SeriesDescription="Schädel é")
    assert read_header(path).text(tags.SERIES_DESCRIPTION) == "Schädel é"
    path = write_slice(tmp_path, ramp(), SpecificCharacterSet="ISO_IR 192", SeriesDescription="頭部")
    assert read_header(path).text(tags.SERIES_DESCRIPTION) == "頭部"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n", "a PNG picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"hello, this is only text, " * 20, "no DICOM prefix"),
    ],
)
def test_what_is_not_dicom_is_named(tmp_path, content, reason):
    path = tmp_path / "other.dcm"
    path.write_bytes(content)
    with pytest.raises(RefusedFileError, match=reason) as caught:
        read_header(path)
    assert not caught.value.is_dicom


def test_a_missing_file_is_refused_with_the_systems_reason(tmp_path):
    with pytest.raises(RefusedFileError, match="No such file"):
        read_header(tmp_path / "none.dcm")


def test_values_longer_than_the_first_read_are_fetched(tmp_path):
    value = "x" * 9000
    path = write_slice(tmp_path, ramp(), ImageComments=value, RequestAttributesSequence=None)
    header = read_header(path, wanted={0x00204000, tags.ROWS})
    assert header.text(0x00204000) == value
    assert header.integer(tags.ROWS) == 6


def test_no_pixels_are_looked_for_when_none_are_wanted(tmp_path):
    path = write_slice(tmp_path, ramp())
    header = read_header(path, wanted={tags.PATIENT_ID}, stop_group=0x0010)
    assert header.text(tags.PATIENT_ID) == "TEST"
    assert header.walked.pixel_tag == 0


def test_ramp_is_what_the_tests_think():
    assert np.array_equal(ramp(2)[0], [200, 201, 202, 203, 204])
