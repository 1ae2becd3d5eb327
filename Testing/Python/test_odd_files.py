"""Every odd, broken or hostile file gives the right values or a named reason, within bounded time and memory."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from DicomAnalysisLib.dicom.reader import read_series, read_volume
from DicomAnalysisLib.dicom.series import series_from_files
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import DecodingError, DicomAnalysisError

REFUSED = {
    # real/
    "badVR.dcm": "RTDOSE object",
    "no_meta.dcm": "no DICOM prefix",
    "no_meta_group_length.dcm": "no pixel data",
    "meta_missing_tsyntax.dcm": "0 rows",
    "MR_truncated.dcm": "cut short: 8192 bytes declared, 8130 present",
    "rtplan_truncated.dcm": "claims 976 bytes, but the file ends after 711",
    "UN_sequence.dcm": "no pixel data",
    "nested_priv_SQ.dcm": "0 rows",
    "empty_charset.dcm": "no pixel data",
    "deflated.dcm": "secondary capture",
    "j2k_embedded_seq_delim.dcm": "secondary capture",
    "rgb_3x3_odd_length.dcm": "secondary capture",
    "gzip_named.dcm": "gzip-compressed",
    "charset_japanese.dcm": "secondary capture",
    "no_pixel_spacing.dcm": "colour image (PALETTE COLOR)",
    # synthetic/
    "empty.dcm": "it is empty",
    "text.dcm": "no DICOM prefix",
    "lfs_pointer.dcm": "git-lfs pointer",
    "png.dcm": "PNG picture",
    "dicm_only.dcm": "no pixel data",
    "truncated_header.dcm": "ends inside an element's header",
    "truncated_pixels.dcm": "cut short: 4608 bytes declared, 3108 present",
    "no_pixeldata.dcm": "no pixel data",
    "rows_zero.dcm": "0 rows and 48 columns",
    "rows_cols_65535_bomb.dcm": "65535 x 65535 pixels is not plausible",
    "numberofframes_2e9.dcm": "2000000000 frames",
    "slope_1e308.dcm": "rescale slope 1e+308 cannot be right",
    "spacing_zero.dcm": "pixel spacing is not two positive numbers",
    "spacing_negative.dcm": "pixel spacing is not two positive numbers",
    "ipp_text.dcm": "image position is not three plausible numbers",
    "ipp_inf_nan.dcm": "image position is not three plausible numbers",
    "iop_zero.dcm": "not two perpendicular unit vectors",
    "iop_collinear.dcm": "not two perpendicular unit vectors",
    "no_ipp_iop.dcm": "it states no image",
    "deep_nesting_3000.dcm": "no pixel data",
}
UNDECODABLE = {
    "j2k_garbage_codestream.dcm": "not JPEG 2000",
    "CT_phantom_truncated_j2k_240.dcm": "its frame is damaged",
    "CT_phantom_truncated_j2k_241.dcm": "its frame is damaged",
    "CT_phantom_truncated_j2k_242.dcm": "its frame is damaged",
}
READ = {  # lowest and highest value, and what must be warned of
    "J2K_pixelrep_mismatch_headCT.dcm": (-2000, 1896, ""),
    "bad_sequence_CT.dcm": (-1011, 1243, "not a valid one"),
    "enhancedCT_2frames_palette.dcm": (-1024, 172, "not Hounsfield units"),
    "explicit_all_UN_CT.dcm": (-1024, 1186, ""),
    "CT_rle_fragments.dcm": (-3024, 1254, ""),
    "CT_private_bigendian_GE_ts.dcm": (-3024, 1254, ""),
    "CT_toshiba_j2k_siz0.dcm": (-2048, 1717, ""),
    "CT_elscint_jp2_container.dcm": (-1000, 3095, ""),
    "enhancedCT_23x38x3.dcm": (0, 1, ""),
    "CT_23x38.dcm": (0, 0, ""),
    "slope_zero.dcm": (-1024, 766, "taken as 1"),
    "slope_nan.dcm": (-1024, 766, "taken as 1"),
    "path_traversal_strings.dcm": (-1024, 766, ""),
    "huge_text.dcm": (-1024, 766, ""),
    "mz_preamble.dcm": (-1024, 766, ""),
    "says_bigendian_is_little.dcm": (-1024, 766, "byte order"),
    "garbage_high_bits.dcm": (-1024, 766, ""),
    "monochrome1_ct.dcm": (-1024, 766, "MONOCHROME1"),
    "dup_uid_a.dcm": (-1024, 766, ""),
    "dup_uid_b.dcm": (-1024, 766, ""),
    "invalid_uid.dcm": (-1024, 766, "not a valid one"),
    "bad_utf8.dcm": (-1024, 766, ""),
}
BOUND_SECONDS = 5


def odd_files(shared_data: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted((shared_data / "odd").glob("*/*"))}


def test_every_odd_file_has_an_expected_outcome(shared_data):
    assert set(odd_files(shared_data)) == REFUSED.keys() | UNDECODABLE.keys() | READ.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_file_is_named_with_its_reason(shared_data, name):
    path = odd_files(shared_data)[name]
    start = time.perf_counter()
    source = open_source(path)
    assert source.series() == []
    (problem,) = source.problems
    assert problem.path == str(path)
    assert REFUSED[name] in problem.reason
    assert time.perf_counter() - start < BOUND_SECONDS


@pytest.mark.parametrize("name", UNDECODABLE)
def test_an_undecodable_file_is_named_with_its_reason(shared_data, name):
    path = odd_files(shared_data)[name]
    (series,) = open_source(path).series()
    start = time.perf_counter()
    with pytest.raises(DecodingError, match=UNDECODABLE[name]) as caught:
        read_series(series)
    assert str(path) in str(caught.value)
    assert time.perf_counter() - start < BOUND_SECONDS


@pytest.mark.parametrize("name", READ)
def test_a_readable_file_has_the_right_values(shared_data, name):
    low, high, warning = READ[name]
    start = time.perf_counter()
    volume = read_volume(odd_files(shared_data)[name])
    assert (volume.voxels.min(), volume.voxels.max()) == (low, high)
    assert volume.voxels.dtype == np.int16
    assert not warning or any(warning in one for one in volume.warnings), volume.warnings
    assert time.perf_counter() - start < BOUND_SECONDS


def test_masked_pixels_are_those_of_the_clean_file(shared_data):
    files = odd_files(shared_data)
    clean = read_volume(files["mz_preamble.dcm"]).voxels
    for name in ("garbage_high_bits.dcm", "monochrome1_ct.dcm", "says_bigendian_is_little.dcm", "slope_nan.dcm"):
        assert np.array_equal(read_volume(files[name]).voxels, clean), name


def test_the_whole_folder_is_read_and_nothing_is_left_unsaid(shared_data):
    source = open_source(shared_data / "odd")
    read, failed = set(), set()
    for series in source.series():
        assert series.key
        assert "/" not in series.key
        for stack in series.stacks:
            read.update(Path(path).name for path in stack.paths)
            read.update(Path(dropped.instance.path).name for dropped in stack.dropped)
        try:
            read_series(series)
        except DecodingError as error:
            failed.add(str(error))
    assert read == READ.keys() | UNDECODABLE.keys()
    assert len(failed) == 2  # the garbage codestream, and the series of three that are cut short
    assert {Path(problem.path).name for problem in source.problems} == {*REFUSED, "MANIFEST.txt", "README.txt"}


@pytest.mark.parametrize("name", ["mz_preamble.dcm", "enhancedCT_23x38x3.dcm", "CT_23x38.dcm"])
def test_mutated_files_are_read_or_refused(shared_data, tmp_path, name):
    content = odd_files(shared_data)[name].read_bytes()
    path = tmp_path / "mutant.dcm"
    random = np.random.default_rng(7)
    for _ in range(200):
        mutant = bytearray(content)
        for _ in range(random.integers(1, 5)):
            where = int(random.integers(len(mutant) - 4))
            if random.random() < 0.7:
                mutant[where] = random.integers(256)
            elif random.random() < 0.5:
                mutant[where : where + 4] = b"\xff\xff\xff\xff"
            else:
                del mutant[where : where + int(random.integers(1, 50))]
        path.write_bytes(mutant)
        start = time.perf_counter()
        series, problems = series_from_files([path])
        assert bool(series) != bool(problems)
        for one in series:
            with contextlib.suppress(DicomAnalysisError):
                read_series(one)
        assert time.perf_counter() - start < BOUND_SECONDS


@pytest.mark.skipif(sys.platform == "win32", reason="memory limits are a POSIX thing")
def test_bombs_fit_into_a_gigabyte(shared_data):
    """The whole folder in a process that may not have more: nothing is allocated that a header merely claims."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from DicomAnalysisLib.dicom.sources import open_source\n"
        "source = open_source(sys.argv[1]); print(len(source.series()), len(source.problems))"
    )
    package = Path(__file__).resolve().parents[2] / "DicomAnalysis"
    command = [sys.executable, "-c", program, str(shared_data / "odd")]
    environment = {"PYTHONPATH": str(package), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["21", "37"]
