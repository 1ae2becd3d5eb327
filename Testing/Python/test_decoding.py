"""Compressed frames are decoded in child processes, whose end is not ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from conftest import REPOSITORY
from dicom_slices import ramp
from DicomAnalysisLib.dicom import codecs
from DicomAnalysisLib.dicom.codecs import CodecError
from DicomAnalysisLib.dicom.decoding import child, interpreter, pool
from DicomAnalysisLib.dicom.facts import PixelFormat
from DicomAnalysisLib.dicom.reader import read_stack, read_volume
from DicomAnalysisLib.dicom.sources import open_source
from series_variants import compressed

PIXELS = PixelFormat(6, 5, 16, 16, 15, False, False)
JPEG_LS = "1.2.840.10008.1.2.4.80"

TROUBLE = """
import os, sys, time
from DicomAnalysisLib.dicom import codecs
from DicomAnalysisLib.dicom.decoding import child
right = codecs.decode_frame
def decode(data, syntax, pixels):
    if data == b"crash": os.abort()
    if data == b"leave": os._exit(0)
    if data == b"exit": sys.exit(3)
    if data == b"loop": sum(range(10**15))
    if data == b"sleep": time.sleep(1000)
    if data == b"memory": return bytes(10**10)
    if data == b"print": print("noise"); os.write(1, b"noise"); os.write(2, b"noise")
    return right(data if data != b"print" else FRAME, syntax, pixels)
codecs.decode_frame = decode
child.SECONDS = 0.3
child.main()
"""


def encode(stored: np.ndarray) -> bytes:
    import imagecodecs

    return imagecodecs.jpegls_encode(stored)


@pytest.fixture
def frame() -> bytes:
    return encode(ramp(3, dtype=np.uint16))


@pytest.fixture
def own_pool(monkeypatch):
    """A pool for one test alone."""
    monkeypatch.setattr(pool, "_shared", pool._Shared())
    yield pool
    with pool.decoders() as children:
        children.close()


@pytest.fixture
def troubled(own_pool, monkeypatch, frame):
    """A pool whose children do what frames say."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); FRAME = " + repr(frame) + "\n" + TROUBLE
    monkeypatch.setattr(pool, "_PROGRAM", program)
    return own_pool


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


class TestDecodes:
    def test_the_same_as_inside(self, shared_data) -> None:
        folder = shared_data / "transfer-syntaxes-one-ct-slice"
        compared = 0
        for path in sorted(folder.glob("*.dcm")):
            for series in open_source(path).series():
                ((instance, number),) = series.stacks[0].slices
                if instance.is_encapsulated:
                    from DicomAnalysisLib.dicom.pixels import read_encoded

                    data, syntax = read_encoded(instance, number), instance.facts.transfer_syntax
                    there = pool.decode_frame(data, syntax, instance.pixels)
                    here = codecs.decode_frame(data, syntax, instance.pixels)
                    np.testing.assert_array_equal(there, here)
                    assert there.dtype == here.dtype
                    compared += 1
        assert compared >= 9

    def test_into_a_target(self, frame) -> None:
        target = np.zeros((6, 5), np.int16)
        values = pool.decode_frame(frame, JPEG_LS, PIXELS, target)
        assert np.shares_memory(values, target)
        assert values.dtype == np.uint16
        np.testing.assert_array_equal(target, ramp(3))

    def test_a_target_of_another_width_is_left_alone(self) -> None:
        target = np.zeros((6, 5), np.int16)
        narrow = PixelFormat(6, 5, 8, 8, 7, False, False)
        values = pool.decode_frame(encode(ramp(dtype=np.uint8)), JPEG_LS, narrow, target)
        np.testing.assert_array_equal(values, ramp())
        assert not target.any()

    def test_damage_is_told_and_the_child_stays(self, own_pool, frame) -> None:
        own_pool.decode_frame(frame, JPEG_LS, PIXELS)
        (before,) = children_of(own_pool)
        with pytest.raises(CodecError, match="not JPEG"):
            own_pool.decode_frame(b"nothing", JPEG_LS, PIXELS)
        assert children_of(own_pool) == [before]

    def test_many_threads(self, own_pool) -> None:
        frames = [encode(ramp(k, dtype=np.uint16)) for k in range(60)]
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(lambda data: own_pool.decode_frame(data, JPEG_LS, PIXELS), frames))
        for k, values in enumerate(done):
            np.testing.assert_array_equal(values, ramp(k))
        assert len(children_of(own_pool)) <= (os.cpu_count() or 1)

    def test_nothing_is_decoded_in_this_process(self, tmp_path) -> None:
        case = compressed(tmp_path, JPEG_LS)
        code = (
            "import sys; from DicomAnalysisLib.dicom.reader import read_volume; read_volume(sys.argv[1]); "
            "print({'imagecodecs', 'SimpleITK', 'pylibjpeg'} & set(sys.modules))"
        )
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
        command = [sys.executable, "-c", code, str(case.folder)]
        assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "set()\n"


def children_of(module) -> list[int]:
    return [one._process.pid for one in module._shared.pool._free.queue if one is not None]


class TestTrouble:
    @pytest.mark.parametrize("data", [b"crash", b"leave", b"loop", b"sleep"])
    def test_a_child_that_ends_costs_its_frame_alone(self, troubled, frame, data) -> None:
        troubled.decode_frame(frame, JPEG_LS, PIXELS)
        start = time.monotonic()
        with pytest.raises(CodecError, match="crashed or was stopped"):
            troubled.decode_frame(data, JPEG_LS, PIXELS)
        assert time.monotonic() - start < 10
        np.testing.assert_array_equal(troubled.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))

    def test_what_is_no_exception_is_told(self, troubled, frame) -> None:
        with pytest.raises(CodecError, match="SystemExit"):
            troubled.decode_frame(b"exit", JPEG_LS, PIXELS)

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
    def test_memory_is_capped(self, troubled, frame) -> None:
        with pytest.raises(CodecError, match="more memory"):
            troubled.decode_frame(b"memory", JPEG_LS, PIXELS)
        (pid,) = children_of(troubled)
        assert psutil.Process(pid).memory_info().rss < 200e6
        np.testing.assert_array_equal(troubled.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))

    def test_what_a_codec_prints_is_not_an_answer(self, troubled) -> None:
        np.testing.assert_array_equal(troubled.decode_frame(b"print", JPEG_LS, PIXELS), ramp(3))

    def test_a_killed_child_is_replaced(self, own_pool, frame) -> None:
        own_pool.decode_frame(frame, JPEG_LS, PIXELS)
        (pid,) = children_of(own_pool)
        psutil.Process(pid).kill()
        with pytest.raises(CodecError):
            own_pool.decode_frame(frame, JPEG_LS, PIXELS)
        np.testing.assert_array_equal(own_pool.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))

    def test_a_slice_that_crashes_its_decoder_is_left_out_by_name(self, troubled, tmp_path, monkeypatch) -> None:
        from DicomAnalysisLib.dicom import pixels

        case = compressed(tmp_path, JPEG_LS)
        bad = sorted(case.folder.iterdir())[4]
        right = pixels.read_encoded
        monkeypatch.setattr(
            pixels, "read_encoded", lambda one, number: b"crash" if one.path == str(bad) else right(one, number)
        )
        (series,) = open_source(case.folder).series()
        volume = read_stack(series.stacks[0], series.identity)
        keep = [k for k in range(len(case.hu)) if k != 4]
        np.testing.assert_array_equal(volume.voxels, case.hu[keep])
        assert any(bad.name in warning and "crashed" in warning for warning in volume.warnings)

    def test_the_cap_leaves_room_for_the_largest_frames(self) -> None:
        """4096 x 4096 JPEG 2000, which takes the most memory of all."""
        import imagecodecs

        values = (np.arange(4096 * 4096, dtype=np.uint32) % 4093).astype(np.uint16).reshape(4096, 4096)
        data = imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k")
        pixels = PixelFormat(4096, 4096, 16, 16, 15, False, False)
        np.testing.assert_array_equal(pool.decode_frame(data, "1.2.840.10008.1.2.4.90", pixels), values)


class TestNoChild:
    def test_frames_are_decoded_inside_and_the_volume_says_so(self, own_pool, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(pool, "find_interpreter", lambda: None)
        case = compressed(tmp_path, JPEG_LS)
        volume = read_volume(case.folder)
        np.testing.assert_array_equal(volume.voxels, case.hu)
        assert any("inside this program" in warning for warning in volume.warnings)
        with pytest.raises(CodecError, match="too large"):
            own_pool.decode_frame(b"", JPEG_LS, PixelFormat(30000, 30000, 16, 16, 15, False, False))

    def test_no_word_of_it_where_there_are_children(self, tmp_path) -> None:
        volume = read_volume(compressed(tmp_path, JPEG_LS).folder)
        assert not any("inside" in warning for warning in volume.warnings)

    @pytest.mark.parametrize("what", ["missing", "ends at once", "talks and hangs"])
    def test_a_program_that_is_no_interpreter(self, own_pool, frame, tmp_path, monkeypatch, what) -> None:
        program = tmp_path / "PythonSlicer"
        if what != "missing":
            rest = "exit 0" if what == "ends at once" else "echo Switch to module; exec sleep 100"
            program.write_text(f"#!/bin/sh\n{rest}\n")
            program.chmod(0o755)
        monkeypatch.setattr(pool, "find_interpreter", lambda: str(program))
        monkeypatch.setattr(pool, "_START_SECONDS", 0.5)
        np.testing.assert_array_equal(own_pool.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))
        assert pool.inside_warning()

    def test_inside_slicer_it_is_pythonslicer(self, tmp_path, monkeypatch) -> None:
        application = tmp_path / "Slicer" / "bin" / "SlicerApp-real"
        launcher = tmp_path / "Slicer" / "bin" / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
        application.parent.mkdir(parents=True)
        monkeypatch.setattr(sys, "executable", str(application))
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("SLICER_HOME", raising=False)
        assert interpreter.find_interpreter() is None
        launcher.write_text("")
        assert interpreter.find_interpreter() == str(launcher)
        for name in ("python", "python3.12", "pythonw.exe", "PythonSlicer", "python-real", "python.exe"):
            monkeypatch.setattr(sys, "executable", f"/somewhere/{name}")
            assert interpreter.find_interpreter() == f"/somewhere/{name}"


class TestLife:
    def test_idle_children_end(self, own_pool, frame, monkeypatch) -> None:
        monkeypatch.setattr(pool, "IDLE_SECONDS", 0.1)
        own_pool.decode_frame(frame, JPEG_LS, PIXELS)
        (pid,) = children_of(own_pool)
        deadline = time.monotonic() + 10
        while psutil.pid_exists(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not psutil.pid_exists(pid)
        np.testing.assert_array_equal(own_pool.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))

    @pytest.mark.parametrize("ending", ["kill", "exit"])
    def test_children_end_with_their_parent(self, ending) -> None:
        code = (
            "import sys, time, numpy\n"
            "from DicomAnalysisLib.dicom.decoding import pool\n"
            "from DicomAnalysisLib.dicom.facts import PixelFormat\n"
            "try: pool.decode_frame(b'', '1.2.840.10008.1.2.4.80', PixelFormat(6, 5, 16, 16, 15, False, False))\n"
            "except Exception as error: print(type(error).__name__)\n"
            "print(*[one._process.pid for one in pool._shared.pool._free.queue if one], flush=True)\n"
            "sys.stdin.read()\n"
        )
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
        parent = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout.readline() == "CodecError\n"
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        if ending == "kill":
            parent.kill()
        parent.communicate(timeout=30)
        deadline = time.monotonic() + 10
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_running(pid)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_a_forked_process_has_children_of_its_own(self, frame) -> None:
        pool.decode_frame(frame, JPEG_LS, PIXELS)
        pid = os.fork()
        if not pid:
            try:
                right = np.array_equal(pool.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))
                pool.end_children()
            finally:
                os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        np.testing.assert_array_equal(pool.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no interrupts for one process")
    def test_an_interrupt_of_ours_is_not_theirs(self, own_pool, frame) -> None:
        """Ctrl-C reaches every process of the terminal."""
        own_pool.decode_frame(frame, JPEG_LS, PIXELS)
        (pid,) = children_of(own_pool)
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
        np.testing.assert_array_equal(own_pool.decode_frame(frame, JPEG_LS, PIXELS), ramp(3))


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_memory_of_a_child_is_bounded_by_its_frame() -> None:
    """What the document states: 192 MB, and ten times the frame as 32-bit integers."""
    assert child.SPARE_BYTES == 192 * 2**20
    assert child.TIMES * 512 * 512 * 4 < 11 * 2**20
    assert threading.active_count() < 50
