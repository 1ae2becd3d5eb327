"""The parent's side: a child that is watched, cancelled, killed, that crashes; and what is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import child_tasks
import numpy as np
import psutil
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib.errors import TaskError, UsageError
from DicomAnalysisLib.jobs import Job, JobProcess, find_python, remove_abandoned_workspaces, segment_volume_job
from DicomAnalysisLib.jobs import workspace as workspaces
from DicomAnalysisLib.jobs.endings import unexplained_ending
from DicomAnalysisLib.jobs.events import Failure, Progress, Result, SeriesUpdate, from_line, to_line
from DicomAnalysisLib.jobs.process import DONE
from DicomAnalysisLib.jobs.remaining import RemainingTime
from DicomAnalysisLib.phantom import make_head_phantom
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.volume import StackGeometry, Volume
from hypothesis import given
from hypothesis import strategies as st
from test_worker import same_result

LIBRARY = str(REPOSITORY / "DicomAnalysis")


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def misbehave(tmp_path, temporary):
    """Start a task that misbehaves."""
    started = []

    def start(how, *, launcher=False, memory_limit=None, clean=None, collect=None, **arguments):
        job = Job("misbehave", {"how": how, "with": arguments}, memory_limit=memory_limit, clean=clean, collect=collect)
        process = JobProcess(job, python=child_tasks.program(tmp_path, launcher=launcher), temporary=temporary)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()


def until(condition, process, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        process.poll()
        assert not process.is_over, process.failure
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def is_empty(folder):
    return not list(folder.iterdir())


class TestVolume:
    def test_value_progress_and_nothing_left(self, temporary):
        phantom = make_head_phantom(shape=(24, 96, 96), spacing=(6.0, 2.4, 2.4))
        options = SegmentationOptions(tasks=("metal", "headrest"))
        seen, ends = [], []
        process = JobProcess(
            segment_volume_job(phantom.volume, options),
            on_progress=seen.append,
            on_done=ends.append,
            temporary=temporary,
        )
        assert process.state == "new"
        process.start()
        process.wait()
        assert (process.state, process.failure, ends) == (DONE, None, [process])
        same_result(process.value, segment(phantom.volume, options))
        values = [progress.value for progress in seen]
        assert len(values) >= 5
        assert values == sorted(values)
        assert is_empty(temporary)
        process.poll()
        process.cancel()
        process.close()
        assert process.state == DONE
        assert len(ends) == 1

    def test_polling_takes_no_time_of_the_window(self, temporary):
        """A 150 MB volume, as a whole head at full resolution has; counted from the end, as some nodes are."""
        voxels = np.zeros((300, 512, 512), np.int16)
        voxels[:] = np.arange(512, dtype=np.int16)
        geometry = StackGeometry([1, 0, 0], [0, 1, 0], (0.5, 0.5), [(0, 0, k) for k in range(300)])
        process = JobProcess(segment_volume_job(Volume(voxels[::-1], geometry)), temporary=temporary)
        process.start()
        longest, begun = 0.0, time.monotonic()
        while process.state == "preparing":
            before = time.thread_time()
            process.poll()
            longest = max(longest, time.thread_time() - before)
        prepared = time.monotonic() - begun
        until(lambda: process.progress.stage, process)
        file = next(temporary.rglob("voxels.raw"))
        assert file.stat().st_size == voxels.nbytes
        process.close()
        assert longest < 0.25
        assert prepared < 5
        assert is_empty(temporary)


class TestCancel:
    @pytest.mark.parametrize("launcher", [False, True])
    def test_the_child_and_its_children_are_gone_within_two_seconds(self, tmp_path, temporary, misbehave, launcher):
        pids = tmp_path / "pids"
        process = misbehave("family", launcher=launcher, pids=str(pids))
        until(lambda: process.progress.stage == "waiting", process)
        family = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
        assert len(family) == 3
        begun, worked = time.monotonic(), time.thread_time()
        process.cancel()
        assert time.thread_time() - worked < 0.05
        process.wait(5)
        assert time.monotonic() - begun < 2
        assert (process.state, process.failure.kind) == ("cancelled", "cancelled")
        _, alive = psutil.wait_procs(family, timeout=max(0.1, 2 - (time.monotonic() - begun)))
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
        assert is_empty(temporary)

    def test_one_that_takes_no_notice_is_ended(self, temporary, misbehave):
        process = misbehave("stubborn")
        until(lambda: process.progress.stage == "waiting", process)
        begun = time.monotonic()
        process.cancel()
        process.poll()
        assert process.state == "cancelling"
        process.wait(5)
        assert 0.5 < time.monotonic() - begun < 2
        assert process.state == "cancelled"
        assert is_empty(temporary)

    def test_before_it_has_begun(self, temporary):
        ends = []
        process = JobProcess(Job("misbehave"), on_done=ends.append, temporary=temporary)
        process.cancel()
        process.poll()
        assert process.state == "cancelled"
        assert ends == [process]
        assert is_empty(temporary)

    def test_while_its_input_is_being_written(self, temporary):
        def prepare(folder):
            for number in range(1000):
                (folder / str(number)).write_text("half")
                time.sleep(0.02)
                yield

        process = JobProcess(Job("misbehave", prepare=prepare), temporary=temporary)
        process.start()
        process.poll()
        assert process.state == "preparing"
        assert not is_empty(temporary)
        process.cancel()
        assert process.state == "cancelled"
        assert is_empty(temporary)

    def test_what_it_left_elsewhere_is_cleaned(self, misbehave):
        told = []
        process = misbehave("count", clean=told.append, steps=1000)
        until(lambda: process.progress.stage, process)
        process.close()
        assert told == [True]

    @pytest.mark.parametrize("launcher", [False, True])
    def test_the_death_of_the_parent_ends_the_child(self, tmp_path, temporary, launcher):
        """And the next start removes what the parent left."""
        code = (
            f"import sys, time; sys.path[:0] = [{LIBRARY!r}, {str(REPOSITORY / 'Testing' / 'Data')!r}]\n"
            "import child_tasks, pathlib\n"
            "from DicomAnalysisLib.jobs import Job, JobProcess\n"
            f"job = Job('misbehave', {{'how': 'count', 'with': {{'steps': 2000}}}})\n"
            f"python = child_tasks.program(pathlib.Path({str(tmp_path)!r}), launcher={launcher})\n"
            f"process = JobProcess(job, python=python, temporary={str(temporary)!r})\n"
            "process.start()\n"
            "while not process.progress.stage: process.poll(); time.sleep(0.01)\n"
            "print(process._child.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        gone, _ = psutil.wait_procs([child], timeout=5)
        assert gone
        [left] = temporary.iterdir()
        assert remove_abandoned_workspaces(temporary) == 0, "it is too young to be sure"
        past = time.time() - 2 * workspaces.NEWBORN_SECONDS
        os.utime(left, (past, past))
        assert remove_abandoned_workspaces(temporary) == 1
        assert is_empty(temporary)

    def test_the_folder_of_a_living_owner_stays(self, temporary):
        mine = workspaces.Workspace(temporary)
        past = time.time() - 2 * workspaces.NEWBORN_SECONDS
        os.utime(mine.path, (past, past))
        assert remove_abandoned_workspaces(temporary) == 0
        assert mine.path.is_dir()
        assert mine.remove()


class TestEndings:
    def test_a_kill_by_the_system(self, temporary, misbehave):
        process = misbehave("kill", name="SIGKILL").wait(20)
        assert (process.state, process.failure.kind) == ("failed", "memory")
        assert "memory was used up" in process.failure.message
        assert is_empty(temporary)

    def test_a_kill_and_a_crash_behind_a_launcher(self, misbehave):
        assert misbehave("kill", launcher=True, name="SIGKILL").wait(20).failure.kind == "memory"
        crashed = misbehave("segfault", launcher=True).wait(20).failure
        assert crashed.kind == "crash"
        assert "The task crashed." in crashed.message

    def test_the_limit_of_memory(self, misbehave):
        process = misbehave("eat_memory", memory_limit=2 * 2**30).wait(30)
        assert process.failure.kind == "memory"
        assert "not enough memory" in process.failure.message

    def test_a_crash_has_the_log_behind_it(self, misbehave):
        process = misbehave("segfault").wait(20)
        assert process.failure.kind == "crash"
        assert "SIGSEGV" in process.failure.message
        assert "before the crash" in process.failure.details
        assert "in segfault" in process.failure.details
        assert "before the crash" in process.log

    def test_a_missing_dependency(self, misbehave):
        process = misbehave("want_module", name="torch").wait(20)
        assert process.failure.kind == "dependency"
        assert "extension PyTorch" in process.failure.message

    @pytest.mark.parametrize("status", [0, 1, 3])
    def test_an_end_without_a_word(self, misbehave, status):
        process = misbehave("leave", status=status).wait(20)
        assert process.failure.kind == "crash"
        assert ("without a result" if status == 0 else f"exit code {status}") in process.failure.message

    def test_what_is_no_event_goes_to_the_log(self, misbehave):
        process = misbehave("garbage").wait(20)
        assert process.state == DONE
        assert process.value == {"answer": 42}
        assert "not JSON" in process.log
        assert "binary" in process.log

    def test_an_interpreter_that_is_not_there(self, tmp_path, temporary):
        process = JobProcess(Job("misbehave"), python=str(tmp_path / "nowhere"), temporary=temporary)
        process.start()
        process.wait(5)
        assert process.state == "failed"
        assert "could not be started" in process.failure.message
        assert is_empty(temporary)

    def test_a_temporary_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        process = JobProcess(Job("misbehave"), temporary=tmp_path / "file")
        process.start()
        process.poll()
        assert (process.state, process.failure.kind) == ("failed", "user")
        assert "temporary folder" in process.failure.message

    def test_a_full_disk_is_told_with_what_it_takes(self, temporary, monkeypatch):
        """The limit on the size of a file stands in for a disk that is full."""
        import resource

        volume = make_head_phantom(shape=(24, 96, 96), spacing=(6.0, 2.4, 2.4)).volume
        process = JobProcess(segment_volume_job(volume), temporary=temporary)
        process.start()
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        try:
            process.poll()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        assert process.failure.kind == "user"
        assert "Make room there" in process.failure.message
        assert is_empty(temporary)

    def test_errors_of_the_caller_are_told_and_lose_nothing(self, misbehave, temporary):
        def collect(_values, _folder):
            raise TaskError("the volume is gone")

        process = misbehave("succeed", collect=collect).wait(20)
        assert (process.state, process.failure.kind) == ("failed", "user")
        assert process.failure.message == "the volume is gone"
        assert is_empty(temporary)

    def test_a_callback_that_fails_does_not_stop_the_job(self, tmp_path, temporary):
        def fail(progress):
            raise ZeroDivisionError(progress.stage)

        process = JobProcess(
            Job("misbehave", {"how": "count", "with": {"steps": 3}}),
            on_progress=fail,
            python=child_tasks.program(tmp_path),
            temporary=temporary,
        )
        process.start()
        failures = 0
        while not process.is_over:
            try:
                process.poll()
            except ZeroDivisionError:
                failures += 1
            time.sleep(0.01)
        assert failures >= 1
        assert process.value == {"steps": 3}

    def test_a_callback_may_run_an_event_loop(self, tmp_path, temporary):
        """As one that opens a dialogue does: the timer goes on meanwhile."""
        order = []

        def nested(progress):
            if not order:
                order.append("first")
                while not process.is_over:
                    process.poll()
                    time.sleep(0.01)
            order.append(progress.stage)

        process = JobProcess(
            Job("misbehave", {"how": "count", "with": {"steps": 4, "seconds": 0.1}}),
            on_progress=nested,
            on_done=lambda _: order.append("done"),
            python=child_tasks.program(tmp_path),
            temporary=temporary,
        )
        process.start()
        process.wait(20)
        assert process.state == DONE
        assert order.count("done") == 1
        assert {"step 1", "step 2", "step 3"} <= set(order)

    @pytest.mark.parametrize(
        ("returncode", "kind", "part"),
        [
            (-9, "memory", "memory was used up"),
            (137, "memory", "memory was used up"),
            (-11, "crash", "SIGSEGV"),
            (139, "crash", "SIGSEGV"),
            (0xC0000017, "memory", "memory was used up"),
            (0xC0000005, "crash", "0xC0000005"),
            (2, "crash", "exit code 2"),
        ],
    )
    def test_exit_codes_of_every_system(self, returncode, kind, part):
        failure = unexplained_ending(returncode, "the log")
        assert failure.kind == kind
        assert part in failure.message
        assert "the log" in failure.details


class TestParts:
    @given(
        st.one_of(
            st.builds(Progress, st.floats(0, 1), st.text(), st.text()),
            st.builds(
                SeriesUpdate,
                st.text(),
                st.integers(1, 9),
                st.sampled_from(["running", "done", "failed"]),
                st.text(),
                st.text(),
                st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
                st.lists(st.text()).map(tuple),
            ),
            st.builds(Failure, st.text(), st.text(), st.text()),
            st.builds(Result, st.dictionaries(st.text().filter(lambda key: key != "type"), st.integers())),
        )
    )
    def test_events_come_back_as_they_were(self, event):
        line = to_line(event)
        assert line.isascii()
        assert line.count(b"\n") == 1
        text = repr(event).encode("utf-8", "replace").decode()
        assert repr(from_line(line)) == text

    @given(st.binary(max_size=80))
    def test_any_line_is_read(self, line):
        from_line(line)

    def test_the_time_that_is_left(self):
        remaining = RemainingTime()
        assert remaining.seconds(0.0) is None
        for step in range(11):
            remaining.add(100 + step, 0.05 * step)
        assert remaining.seconds(110.0) == pytest.approx(10.0)
        assert remaining.seconds(113.0) == pytest.approx(7.0)
        assert remaining.seconds(200.0) == 0.0

    def test_a_slow_start_is_forgotten(self):
        remaining = RemainingTime()
        remaining.add(0.0, 0.0)
        for step in range(1, 61):
            remaining.add(1000.0 + step, 0.01 * step)
        assert remaining.seconds(1060.0) == pytest.approx(40.0)

    def test_python_is_found_outside_and_inside_the_application(self, tmp_path, monkeypatch):
        assert find_python() == sys.executable
        launcher = tmp_path / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
        launcher.write_text("#!/bin/sh\n")
        launcher.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "SlicerApp-real"))
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        assert find_python() == str(launcher)
        launcher.unlink()
        monkeypatch.setenv("PATH", "")
        with pytest.raises(UsageError, match="PythonSlicer"):
            find_python()

    def test_temporary_folders_are_the_systems_own_by_default(self, monkeypatch, tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        mine = workspaces.Workspace()
        assert mine.path.parent == Path(tmp_path)
        assert mine.remove()
