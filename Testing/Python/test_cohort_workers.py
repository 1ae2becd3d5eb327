"""Workers of a cohort and who watches them: how a chunk goes, and every way in which a worker may end over it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from DicomAnalysisLib.cohort.engine import supervisor as supervisors
from DicomAnalysisLib.cohort.engine.course import ChunkCourse
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.options import CohortOptions
from DicomAnalysisLib.cohort.engine.records import QUARANTINED
from DicomAnalysisLib.cohort.engine.spec import TaskSpec
from DicomAnalysisLib.cohort.engine.supervisor import Supervisor
from DicomAnalysisLib.cohort.entries import Ending
from DicomAnalysisLib.errors import TaskError
from small_cohorts import series_uid, write_cohort

pytest.importorskip("pyarrow")
ITEMS = [(name, ["file"]) for name in "abc"]
CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from DicomAnalysisLib.cohort.engine import child, work\n"
    "{}\n"
    "child.main()\n"
)


def done(*names: str) -> dict[str, object]:
    return {"done": [{"item": name, "state": "done"} for name in names]}


class TestCourse:
    def test_a_chunk_that_goes_through(self) -> None:
        told: list[Ending] = []
        course = ChunkCourse(ITEMS, told.extend)
        said = ({"at": 0}, {"at": 1}, done("a"), {}, {"at": 2}, done("b", "c"))
        assert not any(course.hear(message) for message in said)
        assert course.hear({"end": True})
        assert [ending.item for ending in told] == ["a", "b", "c"]
        assert course.report.left == []

    def test_who_ends_over_a_series_names_it_and_leaves_the_others(self) -> None:
        course = ChunkCourse(ITEMS, lambda _endings: None)
        for message in ({"at": 0}, done("a"), {"at": 1}):
            course.hear(message)
        report = course.worker_ended("the worker crashed")
        assert (report.suspect, report.reason, report.left) == ("b", "the worker crashed", ["c"])
        assert report.worker_ended

    def test_what_the_worker_says_of_itself_is_the_reason(self) -> None:
        course = ChunkCourse(ITEMS, lambda _endings: None)
        for message in ({"at": 2}, {"suspect": "it needs too much"}):
            course.hear(message)
        assert course.worker_ended("the worker ended with exit code 77").reason == "it needs too much"

    @pytest.mark.parametrize("said", [[], [{"at": 0}, done("a")]])
    def test_between_two_series_nobody_is_to_blame(self, said) -> None:
        course = ChunkCourse(ITEMS, lambda _endings: None)
        for message in said:
            course.hear(message)
        report = course.worker_ended("the worker was ended by SIGKILL")
        assert report.suspect == ""
        assert report.left == [*"abc"][len(said) // 2 :]

    def test_nobody_is_to_blame_for_an_end_of_ours(self) -> None:
        course = ChunkCourse(ITEMS, lambda _endings: None)
        course.hear({"at": 0})
        assert course.worker_ended("").left == [*"abc"]

    def test_who_says_nothing_for_too_long_is_at_the_first_series(self) -> None:
        """Else a worker that freezes before its first word would be started again for ever."""
        course = ChunkCourse(ITEMS, lambda _endings: None)
        course.report.reason = "it took longer than 1 s"
        assert course.worker_ended("the worker was ended by SIGKILL").suspect == "a"

    def test_what_is_no_fault_of_a_series_ends_the_task(self) -> None:
        with pytest.raises(TaskError, match="no room"):
            ChunkCourse(ITEMS, lambda _endings: None).hear({"error": "no room"})


def spec_of(output: Path) -> TaskSpec:
    return TaskSpec("features", str(output), recipe_hash="r")


def test_a_worker_without_work_ends_and_the_next_chunk_has_another(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(supervisors, "_START", CHILD.format("child.IDLE_SECONDS = 0.2"))
    paths = write_cohort(tmp_path / "source", 3)
    chunks = [[(series_uid(n), [str(path)])] for n, path in enumerate(paths)]
    endings: list[Ending] = []
    supervisor = Supervisor(spec_of(tmp_path).to_json(), 60, 0)
    try:
        supervisor.run(chunks[0], endings.extend)
        deadline = time.monotonic() + 30
        while supervisor._child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert supervisor._child.poll() == 0
        report = supervisor.run(chunks[1], endings.extend)
        assert (report.suspect, report.left) == ("", [series_uid(1)])
        supervisor.run(chunks[1], endings.extend)
    finally:
        supervisor.end()
    assert [(ending.item, ending.state) for ending in endings] == [(series_uid(n), "done") for n in (0, 1)]


def test_a_worker_that_is_too_large_from_the_start_is_no_fault_of_a_series(tmp_path) -> None:
    supervisor = Supervisor(spec_of(tmp_path).to_json(), 60, 10 * 1024**2)
    with pytest.raises(TaskError, match="give it more memory"):
        supervisor.run([(series_uid(0), ["nowhere"])], lambda _endings: None)


def test_a_bug_that_one_series_brings_to_light_costs_that_series_alone(tmp_path, monkeypatch) -> None:
    """Its row cannot be written, which ends the worker with those of others that were finished and not yet on disk."""
    fault = (
        "right = work.SeriesTask.table\n"
        "def table(self, rows):\n"
        f"    if any(row.series == {series_uid(5)!r} for row in rows): raise KeyError('a bug')\n"
        "    return right(self, rows)\n"
        "work.SeriesTask.table = table"
    )
    monkeypatch.setattr(supervisors, "_START", CHILD.format(fault))
    write_cohort(tmp_path / "source", 12)
    report = run_cohort(tmp_path / "source", tmp_path / "output", CohortOptions(workers=1))
    assert report.done == 11
    ((item, reason),) = report.failed.items()
    assert item == series_uid(5)
    assert reason.startswith(f"{QUARANTINED} after 2 tries: an unexpected KeyError")
