"""The ledger of a batch, and batches that are ended at any moment and resumed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import REPOSITORY
from DicomAnalysisLib.batch.leftovers import remove_unfinished
from DicomAnalysisLib.cohort import ledger as ledgers
from DicomAnalysisLib.cohort.ledger import BusyFolderError, Ledger, open_ledger, options_hash
from DicomAnalysisLib.errors import OutputError
from DicomAnalysisLib.jobs import JobProcess, segment_series_job
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from DicomAnalysisLib.run import segment_source
from DicomAnalysisLib.segmentation.options import SegmentationOptions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

SHAPE, SPACING = (10, 48, 48), (14.0, 4.8, 4.8)
SERIES = 5
TASK = "segment"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Five small series, and one that is no CT."""
    import pydicom

    folder = tmp_path_factory.mktemp("source")
    phantom = make_head_phantom(SHAPE, SPACING)
    for number in range(SERIES):
        write_dicom_series(phantom.volume, folder / str(number), series_uid=f"1.2.3.{number}")
    for path in write_dicom_series(phantom.volume, folder / "mr", series_uid="1.2.3.99"):
        dataset = pydicom.dcmread(path)
        dataset.Modality = "MR"
        dataset.save_as(path)
    return folder


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def states(folder: Path) -> dict[str, str]:
    with open_ledger(folder) as ledger:
        return {entry.item: entry.state for entry in ledger.entries()}


def batch(source, output, temporary, **keywords):
    updates = []
    job = segment_series_job(source, output, SegmentationOptions(tasks=("headrest",)), **keywords)
    process = JobProcess(job, on_series=updates.append, temporary=temporary)
    process.start()
    return process, updates


def contents(folder: Path) -> dict[str, object]:
    """What the results hold, without times, paths and identifiers that are made anew."""
    found = {}
    for path in sorted(folder.rglob("*.nrrd")):
        found[str(path.relative_to(folder))] = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).tobytes()
    for path in sorted(folder.rglob("result.json")):
        document = json.loads(path.read_text("utf-8"))
        found[str(path.relative_to(folder))] = {k: v for k, v in document.items() if k not in ("seconds", "files")}
    return found


def half_files(folder: Path) -> list[Path]:
    """Temporary files, and result folders without a result."""
    left = [path for path in folder.rglob(".*") if path.name != ledgers.LOCK]
    left += [path for path in folder.iterdir() if path.is_dir() and not (path / "result.json").is_file()]
    return left


class TestEntries:
    def test_what_is_noted_is_read_back(self, tmp_path):
        with open_ledger(tmp_path) as ledger:
            ledger.add(["a", "b", "a/stack-2"], TASK)
            assert ledger.counts() == {"pending": 3, "running": 0, "done": 0, "failed": 0, "skipped": 0}
            ledger.start("a", TASK, "0123", "folder-a")
            assert ledger.entry("a", TASK).state == "running"
            ledger.finish("a", TASK, "done", outcome={"volume": 1.5})
            ledger.start("b", TASK, "0123")
            ledger.finish("b", TASK, "failed", "no CT")
        entry = Ledger(tmp_path / "ledger.sqlite").entry("a", TASK)
        assert (entry.state, entry.options_hash, entry.folder, entry.outcome) == (
            "done",
            "0123",
            "folder-a",
            {"volume": 1.5},
        )
        assert entry.version
        assert entry.started <= entry.finished
        assert entry.is_current("0123")
        assert not entry.is_current("4567")
        assert Ledger(tmp_path / "ledger.sqlite").entry("b", TASK).reason == "no CT"
        assert [one.item for one in ledger.family("a", TASK)] == ["a", "a/stack-2"]
        assert [one.item for one in ledger.entries(state="pending")] == ["a/stack-2"]
        assert ledger.entry("c", TASK) is None

    def test_what_is_known_stays_unless_it_is_done_anew(self, tmp_path):
        with open_ledger(tmp_path) as ledger:
            ledger.start("a", TASK, "0")
            ledger.finish("a", TASK, "done")
            ledger.add(["a", "b"], TASK)
            assert ledger.counts()["done"] == 1
            ledger.add(["a"], TASK, anew=True)
            assert ledger.counts() == {"pending": 2, "running": 0, "done": 0, "failed": 0, "skipped": 0}

    def test_tasks_are_kept_apart(self, tmp_path):
        with open_ledger(tmp_path) as ledger:
            ledger.start("a", "segment", "0")
            ledger.add(["a"], "classify")
            assert ledger.counts("classify")["pending"] == 1
            assert ledger.counts("segment")["running"] == 1

    def test_an_interrupted_item_is_tried_again_and_then_put_aside(self, tmp_path):
        with open_ledger(tmp_path) as ledger:
            ledger.start("a", TASK, "0", "a")
            assert [entry.folder for entry in ledger.release(blame=False)] == ["a"]
            assert (ledger.entry("a", TASK).state, ledger.entry("a", TASK).interruptions) == ("pending", 0)
            for count in range(1, ledgers.MAX_INTERRUPTIONS + 1):
                ledger.start("a", TASK, "0", "a")
                ledger.release(blame=True)
                assert ledger.entry("a", TASK).interruptions == count
            assert ledger.entry("a", TASK).state == "failed"
            assert "ended 5 times" in ledger.entry("a", TASK).reason

    @given(st.dictionaries(st.text(), st.integers() | st.none() | st.text()))
    def test_the_hash_is_of_the_options_alone(self, options):
        turned = dict(reversed(options.items()))
        assert options_hash(options) == options_hash(turned)
        assert options_hash({**options, "one more": 1}) != options_hash({**options, "one more": 2})

    def test_options_have_hashes_of_their_own(self):
        assert options_hash(SegmentationOptions()) == options_hash(SegmentationOptions())
        assert options_hash(SegmentationOptions()) != options_hash(SegmentationOptions(region="all"))

    def test_one_process_at_a_time(self, tmp_path):
        with open_ledger(tmp_path), pytest.raises(BusyFolderError, match="Another run"), open_ledger(tmp_path):
            pass
        with open_ledger(tmp_path):
            pass

    @pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\x00" + b"\xff" * 200])
    def test_a_broken_ledger_is_named(self, tmp_path, content):
        (tmp_path / "ledger.sqlite").write_bytes(content)
        with pytest.raises(OutputError, match=r"ledger\.sqlite"), open_ledger(tmp_path):
            pass

    def test_a_newer_one_is_refused(self, tmp_path):
        with open_ledger(tmp_path) as ledger:
            path = ledger.path
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(OutputError, match="newer version"):
            Ledger(path)

    def test_many_items_are_noted_at_once(self, tmp_path):
        with open_ledger(tmp_path) as ledger:
            before = time.process_time()
            ledger.add((f"1.2.3.{number}" for number in range(20_000)), TASK)
            assert time.process_time() - before < 5
            assert ledger.counts()["pending"] == 20_000


class LedgerRules(RuleBasedStateMachine):
    """The ledger against a plain dict, with ends of the process at any place."""

    @initialize()
    def begin(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")
        self.known: dict[str, str] = {}

    @rule(items=st.lists(st.sampled_from("abcd")))
    def add(self, items):
        self.ledger.add(items, TASK)
        for item in items:
            self.known.setdefault(item, "pending")

    @rule(item=st.sampled_from("abcd"))
    def start(self, item):
        self.ledger.start(item, TASK, "0")
        self.known[item] = "running"

    @rule(item=st.sampled_from("abcd"), state=st.sampled_from(["done", "failed", "skipped"]))
    def finish(self, item, state):
        self.ledger.finish(item, TASK, state)
        if item in self.known:
            self.known[item] = state

    @rule()
    def the_process_ends(self):
        self.ledger = Ledger(self.ledger.path)
        self.ledger.release(blame=False)
        self.known = {item: "pending" if state == "running" else state for item, state in self.known.items()}

    @invariant()
    def same(self):
        if hasattr(self, "ledger"):
            assert {entry.item: entry.state for entry in self.ledger.entries()} == self.known

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestLedgerRules = LedgerRules.TestCase
TestLedgerRules.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)


class TestKill:
    def test_no_finished_item_is_lost_at_any_moment(self, tmp_path):
        """A process that does nothing but note items is killed again and again."""
        code = (
            f"import sys; sys.path.insert(0, {str(REPOSITORY / 'DicomAnalysis')!r})\n"
            "from DicomAnalysisLib.cohort.ledger import open_ledger\n"
            f"with open_ledger({str(tmp_path)!r}, patience=5) as ledger:\n"
            "    ledger.release(blame=False)\n"
            "    for number in range(10**6):\n"
            "        item = f'{sys.argv[1]}-{number}'\n"
            "        ledger.start(item, 'note', '0')\n"
            "        ledger.finish(item, 'note', 'done')\n"
            "        print(item, flush=True)\n"
        )
        draw = random.Random(4)
        told = []
        for life in range(6):
            child = subprocess.Popen([sys.executable, "-c", code, str(life)], stdout=subprocess.PIPE, text=True)
            told.append(child.stdout.readline().strip())
            time.sleep(draw.uniform(0.0, 0.15))
            child.send_signal(signal.SIGKILL)
            told += child.stdout.read().split("\n")[:-1]
            child.wait()
        with open_ledger(tmp_path, patience=5) as ledger:
            done = {entry.item for entry in ledger.entries(state="done")}
            assert set(told) <= done
            assert len(told) > 6
            assert ledger.counts()["running"] <= 1


class TestResume:
    def test_a_batch_that_is_killed_again_and_again_comes_to_its_end(self, tmp_path, source, temporary):
        whole, _ = batch(source, tmp_path / "whole", temporary)
        whole.wait()
        output = tmp_path / "out"
        draw = random.Random(7)
        finished, kills = set(), 0
        process, updates = batch(source, output, temporary)
        while kills < 3:
            running = len(updates)
            while not process.is_over and len(updates) == running:  # until something begins or ends
                process.poll()
                time.sleep(0.005)
            if process.is_over:
                break
            time.sleep(draw.uniform(0.0, 0.25))
            os.kill(process._child.pid, signal.SIGKILL)
            process.wait(10)
            assert process.failure.kind == "memory"
            kills += 1
            finished |= {update.series_uid for update in updates if update.status == "done"}
            assert not half_files(output)
            now = states(output)
            assert all(now[uid] == "done" for uid in finished)
            assert "running" not in now.values()
            process, updates = batch(source, output, temporary, resume=True)
        process.wait()
        assert kills >= 2
        assert process.state == "done", process.failure
        kept = {update.series_uid for update in updates if update.kept}
        assert finished <= kept, "what was finished is not done again"
        assert states(output) == {f"1.2.3.{number}": "done" for number in range(SERIES)} | {"1.2.3.99": "failed"}
        assert process.value["counts"] == {"done": SERIES, "failed": 1}
        assert contents(output) == contents(tmp_path / "whole"), "as if nothing had happened"
        assert not list(temporary.iterdir())

    def test_cancelled_and_resumed(self, tmp_path, source, temporary):
        process, updates = batch(source, tmp_path / "out", temporary)
        while not [update for update in updates if update.status == "done"]:
            process.poll()
            time.sleep(0.005)
        begun = time.monotonic()
        process.cancel()
        process.wait(5)
        assert time.monotonic() - begun < 2
        assert process.state == "cancelled"
        assert not half_files(tmp_path / "out")
        assert not list(temporary.iterdir())
        now = states(tmp_path / "out")
        assert 1 <= list(now.values()).count("done") < SERIES
        assert "running" not in now.values()
        with open_ledger(tmp_path / "out") as ledger:
            assert not any(entry.interruptions for entry in ledger.entries()), "a cancel is nobody's fault"
        process, updates = batch(source, tmp_path / "out", temporary, resume=True)
        process.wait()
        kept = [update.series_uid for update in updates if update.kept]
        assert sorted(kept) == sorted(item for item, state in now.items() if state == "done")
        assert process.value["counts"] == {"done": SERIES, "failed": 1}

    def test_other_options_and_missing_results_are_done_again(self, tmp_path, source):
        def run(options, resume=True):
            with open_ledger(tmp_path) as ledger:
                report = segment_source(
                    source, tmp_path, options, series_uid=["1.2.3.0", "1.2.3.1"], ledger=ledger, resume=resume
                )
            return [outcome.kept for outcome in report.outcomes]

        metal = SegmentationOptions(tasks=("metal",))
        assert run(metal) == [False, False]
        assert run(metal) == [True, True]
        (tmp_path / "1.2.3.1" / "result.json").unlink()
        assert run(metal) == [True, False]
        assert run(SegmentationOptions(tasks=("metal",), region="all")) == [False, False]
        assert run(metal, resume=False) == [False, False]

    def test_a_series_that_may_end_the_process_comes_last(self, tmp_path, source):
        with open_ledger(tmp_path) as ledger:
            ledger.start("1.2.3.0", TASK, "0", "1.2.3.0")
            ledger.release(blame=True)
            report = segment_source(source, tmp_path, series_uid=["1.2.3.0", "1.2.3.1"], ledger=ledger, resume=True)
            assert [outcome.series_uid for outcome in report.outcomes] == ["1.2.3.1", "1.2.3.0"]
            assert report.complete
            assert ledger.entry("1.2.3.0", TASK).interruptions == 0

    def test_a_series_that_ends_the_process_is_put_aside(self, tmp_path, source):
        with open_ledger(tmp_path) as ledger:
            for _ in range(ledgers.MAX_INTERRUPTIONS):
                ledger.start("1.2.3.1", TASK, "0", "1.2.3.1")
                ledger.release(blame=True)
            report = segment_source(source, tmp_path, series_uid=["1.2.3.0", "1.2.3.1"], ledger=ledger, resume=True)
            first, second = report.outcomes
            assert (first.status, second.status) == ("done", "failed")
            assert "ended 5 times" in second.reason
            assert not report.complete
            anew = segment_source(source, tmp_path, series_uid=["1.2.3.1"], ledger=ledger)
            assert anew.complete, "without resume it is tried again"

    def test_a_database_is_resumed_without_opening_what_is_done(self, tmp_path, slicer_golden):
        """Every file that the database names is gone; what the ledger has done is kept nevertheless."""
        from DicomAnalysisLib.dicom.sources import open_source

        database = open_source(slicer_golden / "slicer-database")
        uids = [summary.identity.series_uid for summary in database.summaries()][:3]
        assert len(uids) == 3
        options = SegmentationOptions()
        with open_ledger(tmp_path) as ledger:
            key = options_hash({"options": options, "masks_png": False, "write_dicom": False})
            for uid in uids[:2]:
                ledger.start(uid, TASK, key, uid)
                (tmp_path / uid).mkdir()
                (tmp_path / uid / "result.json").write_text("{}")
                values = {"series_uid": uid, "status": "done", "stack": 1, "segments": {"Metal": 1.0}, "warnings": []}
                ledger.finish(uid, TASK, "done", outcome=values)
            report = segment_source(database, tmp_path, options, series_uid=uids, ledger=ledger, resume=True)
        assert [outcome.kept for outcome in report.outcomes[:2]] == [True, True]
        assert report.outcomes[0].segments == {"Metal": 1.0}
        assert report.outcomes[0].folder == tmp_path / uids[0]

    def test_the_command_resumes(self, tmp_path, source):
        def command(*arguments):
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
            line = [
                sys.executable,
                "-m",
                "DicomAnalysisLib",
                "segment",
                str(source),
                "--output",
                str(tmp_path),
                "--json",
            ]
            done = subprocess.run([*line, *arguments], capture_output=True, env=environment, check=False, timeout=120)
            return done.returncode, json.loads(done.stdout), done.stderr.decode()

        status, first, _ = command("--task", "metal")
        assert status == 1, "one series is no CT"
        status, second, lines = command("--task", "metal", "--resume")
        assert status == 1
        assert [entry["kept"] for entry in second["series"]] == [True] * SERIES + [False]
        assert lines.count("done earlier") == SERIES
        for before, after in zip(first["series"], second["series"], strict=True):
            assert {**before, "kept": None, "seconds": None} == {**after, "kept": None, "seconds": None}

    def test_one_series_leaves_no_ledger(self, tmp_path, source):
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
        line = [sys.executable, "-m", "DicomAnalysisLib", "segment", str(source / "0"), "--output", str(tmp_path)]
        subprocess.run(line, env=environment, check=True, capture_output=True)
        assert [path.name for path in tmp_path.iterdir()] == ["1.2.3.0"]


class TestLeftovers:
    def test_half_a_result_goes_and_what_is_not_ours_stays(self, tmp_path):
        folder = tmp_path / "1.2.3" / "stack-2"
        (folder / "masks" / "Metal").mkdir(parents=True)
        for name in ("cleaned.nrrd", ".0123abcd.preview.png", "masks/Metal/0001.png", "masks/Metal/.0123abcd.0002.png"):
            (folder / name).write_text("half")
        remove_unfinished(tmp_path, folder)
        assert not list(tmp_path.iterdir())
        folder.mkdir(parents=True)
        (folder / "cleaned.nrrd").write_text("half")
        (folder / "my notes.txt").write_text("mine")
        remove_unfinished(tmp_path, folder)
        assert [path.name for path in folder.iterdir()] == ["my notes.txt"]

    def test_a_whole_result_stays(self, tmp_path):
        folder = tmp_path / "1.2.3"
        folder.mkdir()
        for name in ("result.json", "cleaned.nrrd", ".0123abcd.result.json"):
            (folder / name).write_text("whole")
        remove_unfinished(tmp_path, folder)
        assert sorted(path.name for path in folder.iterdir()) == ["cleaned.nrrd", "result.json"]
        remove_unfinished(tmp_path, tmp_path / "not there")


def test_masks_of_a_batch_are_those_of_the_volume(tmp_path, source, temporary):
    """Bit-identical, whether a series is segmented here, in a child, or as a volume."""
    from DicomAnalysisLib.dicom.reader import read_volume
    from DicomAnalysisLib.segmentation import segment

    process, _ = batch(source, tmp_path / "child", temporary, series_uids=["1.2.3.2"])
    process.wait()
    assert process.value["complete"]
    segment_source(source, tmp_path / "here", SegmentationOptions(tasks=("headrest",)), series_uid=["1.2.3.2"])
    child, here = ((tmp_path / name / "1.2.3.2" / "segmentation.seg.nrrd").read_bytes() for name in ("child", "here"))
    assert child == here
    mask = segment(read_volume(source / "2"), SegmentationOptions(tasks=("headrest",))).segments[0].mask
    image = sitk.ReadImage(str(tmp_path / "child" / "1.2.3.2" / "segmentation.seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image) == 1, mask)
