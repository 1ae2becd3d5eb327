"""The child process by itself: a JSON job in, JSON lines out and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import child_tasks
import numpy as np
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib.files.raw_result import read_raw_result
from DicomAnalysisLib.files.raw_volume import read_raw_volume, write_raw_volume
from DicomAnalysisLib.jobs.workspace import Workspace, is_told_to_stop
from DicomAnalysisLib.phantom import make_head_phantom
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from hypothesis import given, settings
from hypothesis import strategies as st

PYTHONPATH = {"PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}


@pytest.fixture(scope="module")
def phantom():
    return make_head_phantom(shape=(24, 96, 96), spacing=(6.0, 2.4, 2.4), tilt_degrees=10.0)


def work(job, tmp_path, *, tasks=False, **keywords):
    """Run a worker on a job to its end: exit status, events, standard error."""
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job) if not isinstance(job, str) else job)
    command = [sys.executable, "-m", "DicomAnalysisLib.worker", str(file)]
    if tasks:
        command = [child_tasks.program(tmp_path), "-c", "", "", str(file)]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, **PYTHONPATH}, timeout=60, check=False, **keywords
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, events, done.stderr.decode()


def misbehave(how, tmp_path, memory_limit=None, **arguments):
    job = {"task": "misbehave", "arguments": {"how": how, "with": arguments}, "memory_limit": memory_limit}
    return work(job, tmp_path, tasks=True)


def prepare(volume, folder):
    folder.mkdir(exist_ok=True)
    for _ in write_raw_volume(folder, volume):
        pass
    return folder


class TestVolumeHandedOver:
    def same(self, one, other):
        assert one.voxels.dtype == other.voxels.dtype
        np.testing.assert_array_equal(one.voxels, other.voxels)
        assert asdict(one.identity) == asdict(other.identity)
        for name in ("sop_instance_uids", "frame_numbers", "padding_values", "warnings"):
            assert getattr(one, name) == getattr(other, name)
        for name in ("row_direction", "column_direction", "positions"):
            np.testing.assert_array_equal(getattr(one.geometry, name), getattr(other.geometry, name))
        assert one.geometry.pixel_spacing == other.geometry.pixel_spacing
        assert one.geometry.slice_thickness == other.geometry.slice_thickness

    @settings(max_examples=60, deadline=None)
    @given(
        data=st.data(),
        shape=st.tuples(*[st.integers(1, 5)] * 3),
        dtype=st.sampled_from([np.int16, np.float32]),
        order=st.sampled_from(["as is", "from the end", "every second column"]),
    )
    def test_every_number_comes_back_as_it_was(self, tmp_path_factory, data, shape, dtype, order):
        number = st.floats(-1e6, 1e6, allow_nan=False)
        random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        voxels = (random.random((shape[0], shape[1], 2 * shape[2])) * 4000 - 1000).astype(dtype)
        voxels = {"as is": voxels, "from the end": voxels[::-1], "every second column": voxels[..., ::2]}[order]
        positions = np.array(
            data.draw(st.lists(st.tuples(number, number, number), min_size=shape[0], max_size=shape[0]))
        )
        spacing = data.draw(st.tuples(*[st.floats(1e-3, 1e3)] * 2))
        axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
        geometry = StackGeometry(axes[0], axes[1], spacing, positions, data.draw(st.floats(1e-3, 1e2)))
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        identity = SeriesIdentity(*data.draw(st.tuples(*[text] * 8)))
        uids = tuple(f"1.2.{k}" for k in range(shape[0]))
        padding = tuple(data.draw(st.lists(number, max_size=2)))
        volume = Volume(voxels, geometry, identity, uids, (1,) * shape[0], padding, (data.draw(text),))
        folder = prepare(volume, tmp_path_factory.mktemp("volume"))
        self.same(read_raw_volume(folder), volume)

    def test_the_voxels_are_mapped_not_read(self, tmp_path, phantom):
        read = read_raw_volume(prepare(phantom.volume, tmp_path))
        assert isinstance(read.voxels.base.base, np.memmap) or isinstance(read.voxels.base, np.memmap)
        assert not read.voxels.flags.writeable

    def test_results_come_back_as_they_were(self, tmp_path, phantom):
        from DicomAnalysisLib.files.raw_result import write_raw_result

        result = segment(phantom.volume, SegmentationOptions(tasks=("headrest", "metal", "bone")))
        write_raw_result(tmp_path, result)
        same_result(read_raw_result(tmp_path), result)


def same_result(one, other):
    for name in ("tasks", "threshold_hu", "method", "device", "warnings", "uncertain_slices"):
        assert getattr(one, name) == getattr(other, name)
    assert dict(one.details) == dict(other.details)
    assert len(one.segments) == len(other.segments)
    for mine, theirs in zip(one.segments, other.segments, strict=True):
        assert mine.kind is theirs.kind
        assert mine.mask.dtype == bool
        np.testing.assert_array_equal(mine.mask, theirs.mask)
        assert dict(mine.measurements) == dict(theirs.measurements)
        assert mine.pieces == theirs.pieces


class TestJobs:
    def test_a_volume_is_segmented_as_in_process(self, tmp_path, phantom):
        folder = prepare(phantom.volume, tmp_path / "work")
        options = SegmentationOptions(region="all", metal_threshold_hu=2500.0)
        job = {"task": "segment-volume", "arguments": {"options": asdict(options), "workspace": str(folder)}}
        status, events, errors = work(job, tmp_path)
        assert status == 0, errors
        kinds = [event["type"] for event in events]
        assert kinds == ["progress"] * (len(kinds) - 1) + ["result"]
        values = [event["value"] for event in events[:-1]]
        assert values == sorted(values)
        assert len({event["stage"] for event in events[:-1]}) >= 4
        same_result(read_raw_result(folder), segment(phantom.volume, options))

    def test_the_job_may_come_on_standard_input(self, tmp_path, phantom):
        folder = prepare(phantom.volume, tmp_path / "work")
        job = {"task": "segment-volume", "arguments": {"options": {"tasks": ["metal"]}, "workspace": str(folder)}}
        done = subprocess.run(
            [sys.executable, "-m", "DicomAnalysisLib.worker", "-"],
            input=json.dumps(job).encode() + b"\n",
            capture_output=True,
            env={**os.environ, **PYTHONPATH},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == {"type": "result", "result": "segmentation.json"}

    @pytest.mark.parametrize(
        ("job", "part"),
        [
            ("not JSON", "cannot be read"),
            ({"task": "fly", "arguments": {}}, "segment-volume"),
            ({}, "segment-volume"),
            ([1], "segment-volume"),
            ({"task": "segment-volume", "arguments": {"options": {"wings": 2}, "workspace": "/nowhere"}}, "nowhere"),
        ],
    )
    def test_a_job_that_is_none(self, tmp_path, job, part):
        status, [event], _ = work(job, tmp_path)
        assert status == 1
        assert (event["type"], event["kind"]) == ("error", "user")
        assert part in event["message"]

    def test_unknown_options_are_refused(self, tmp_path, phantom):
        folder = prepare(phantom.volume, tmp_path / "work")
        job = {"task": "segment-volume", "arguments": {"options": {"wings": 2}, "workspace": str(folder)}}
        _, [event], _ = work(job, tmp_path)
        assert "wings" in event["message"]

    def test_what_a_user_can_mend(self, tmp_path, phantom):
        volume = Volume(phantom.volume.voxels, phantom.volume.geometry, SeriesIdentity("1.2.3", modality="MR"))
        folder = prepare(volume, tmp_path / "work")
        job = {"task": "segment-volume", "arguments": {"options": {}, "workspace": str(folder)}}
        status, [*_, event], _ = work(job, tmp_path)
        assert status == 1
        assert (event["type"], event["kind"]) == ("error", "user")
        assert "1.2.3 is MR, not CT" in event["message"]


class TestOutput:
    def test_standard_output_is_for_events_alone(self, tmp_path):
        status, events, errors = misbehave("talk", tmp_path)
        assert status == 0
        assert [event["type"] for event in events] == ["progress", "result"]
        for line in ("from Python", "from the operating system", "from C", "from a child"):
            assert line in errors

    def test_a_thousand_steps_are_no_thousand_lines(self, tmp_path):
        _, events, _ = misbehave("count", tmp_path, steps=3, seconds=0)
        assert len(events) == 4  # stages differ: each is told
        from DicomAnalysisLib.jobs.events import Reporter

        lines = []
        reporter = Reporter(lines.append)
        for step in range(1000):
            reporter.progress(step / 1000, "reading")
        assert len(lines) < 10


class TestFailures:
    def test_memory(self, tmp_path):
        status, [event], _ = misbehave("eat_memory", tmp_path, memory_limit=2 * 2**30)
        assert status == 1
        assert event["kind"] == "memory"
        assert "not enough memory" in event["message"]

    @pytest.mark.parametrize(
        ("module", "part"), [("hdbscan", "pip download"), ("monai.losses", "monai"), ("zlib", "Slicer")]
    )
    def test_a_missing_dependency(self, tmp_path, module, part):
        status, [event], _ = misbehave("want_module", tmp_path, name=module)
        assert (status, event["kind"]) == (1, "dependency")
        assert module.partition(".")[0] in event["message"]
        assert part in event["message"]

    def test_an_unexpected_error_quotes_nothing(self, tmp_path):
        status, [event], errors = misbehave("stumble", tmp_path, name="Geheim^Gerda")
        assert (status, event["kind"]) == (1, "crash")
        assert "ValueError" in event["message"]
        assert "in stumble" in event["details"]
        assert "Geheim" not in json.dumps(event) + errors


class TestStop:
    @pytest.fixture
    def start(self, tmp_path):
        """A child at work in a workspace of its own."""
        children = []

        def start(how, **arguments):
            self.workspace = Workspace(tmp_path)
            job = self.workspace.path / "job.json"
            job.write_text(json.dumps({"task": "misbehave", "arguments": {"how": how, "with": arguments}}))
            command = [child_tasks.program(tmp_path), "-c", "", "", str(job), "--watch", str(job.parent)]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
            children.append(child)
            assert json.loads(child.stdout.readline())["type"] == "progress"
            return child

        yield start
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()

    def ends(self, child, within, status=(130,)):
        """Ends by itself, in about so many seconds; on a machine with other work to do it may be some more."""
        assert child.wait(within + 10) in status

    def test_a_word_stops_the_task(self, start):
        child = start("count", steps=1000)
        self.workspace.ask_to_stop()
        self.ends(child, 2)
        last = json.loads(child.stdout.readlines()[-1])
        assert last == {"type": "error", "kind": "cancelled", "message": "Cancelled.", "details": ""}

    def test_a_task_whose_parent_is_gone_stops(self, start):
        child = start("count", steps=1000)
        for _ in range(5):  # it has begun to watch
            child.stdout.readline()
        self.workspace._lock.release()  # as the system does when the parent dies
        self.ends(child, 3)

    def test_a_task_whose_folder_is_gone_stops(self, start):
        child = start("count", steps=1000)
        self.workspace.remove()
        self.ends(child, 2)

    def test_a_disk_without_locks_is_no_reason_to_stop(self, tmp_path):
        told = is_told_to_stop(tmp_path)
        assert [next(told) for _ in range(30)] == [False] * 30
        (tmp_path / "stop").touch()
        assert next(told)

    def test_a_task_that_does_not_yield_ends_with_its_process(self, start):
        child = start("stubborn")
        self.workspace.ask_to_stop()
        self.ends(child, 7, (130, -signal.SIGKILL))

    def test_interrupts_that_are_ignored_from_the_start_make_no_difference(self, start):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what runs in the background
        try:
            child = start("count", steps=1000)
        finally:
            signal.signal(signal.SIGINT, before)
        self.workspace.ask_to_stop()
        self.ends(child, 2)
