"""A task on every series of a cohort: nothing finished is lost, whoever is killed, and results are always the same."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from cohort_runs import command, finished, notes, table_bytes, wait_for
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.journal import WORK, Journal, read_journals, read_notes
from DicomAnalysisLib.cohort.engine.options import SMALLEST_MEMORY, CohortOptions
from DicomAnalysisLib.cohort.engine.plan import Plan
from DicomAnalysisLib.cohort.engine.records import QUARANTINED
from DicomAnalysisLib.cohort.engine.spec import TaskSpec
from DicomAnalysisLib.cohort.engine.status import look_at_run
from DicomAnalysisLib.cohort.engine.work import make_task
from DicomAnalysisLib.cohort.ledger import NAME as LEDGER
from DicomAnalysisLib.cohort.ledger import Ending
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.dicom.indexing.indexer import index_files
from DicomAnalysisLib.errors import SourceError, UsageError
from DicomAnalysisLib.jobs import JobProcess, cohort_run_job
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from DicomAnalysisLib.segmentation.options import SegmentationOptions
from small_cohorts import patient_id, series_uid, write_cohort, write_giant

pytest.importorskip("pyarrow")
SERIES = 200
posix = pytest.mark.skipif(os.name == "nt", reason="signals of Linux and macOS")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, SERIES)
    (folder / "notes.txt").write_text("no DICOM")
    return folder


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> Path:
    """What one worker makes of it when nobody disturbs it."""
    output = tmp_path_factory.mktemp("undisturbed")
    report = run_cohort(source, output, CohortOptions(workers=1))
    assert report.complete
    assert (report.done, report.kept, report.refused) == (SERIES, 0, 1)
    return output


def test_a_bare_loop_gives_the_same_numbers(source, undisturbed) -> None:
    table = FeatureStore(undisturbed / "features").read()
    assert table.series == tuple(series_uid(n) for n in range(SERIES))
    assert table.patients == tuple(patient_id(n) for n in range(SERIES))
    task = make_task(TaskSpec("features", ""))
    with closing(Plan(source, undisturbed)) as plan:
        for item in plan.items[:20]:
            ending, (row,) = task.run(item, plan.files(item))
            assert ending.state == "done"
            np.testing.assert_array_equal(table.select([item]).values, task.table([row]).values)
    assert table.tags["station"][:2] == ("SCANNER_A", "SCANNER_B")
    assert not set(table.tags) & set(table.names)


def test_results_are_the_same_whatever_the_number_of_workers(source, undisturbed, tmp_path) -> None:
    report = run_cohort(source, tmp_path, CohortOptions(workers=3))
    assert report.complete
    assert table_bytes(tmp_path) == table_bytes(undisturbed)
    assert not (tmp_path / WORK).exists()


def test_a_second_run_has_nothing_to_do(source, undisturbed, tmp_path) -> None:
    before = table_bytes(undisturbed)
    report = run_cohort(source, undisturbed, CohortOptions(workers=2))
    assert (report.done, report.kept, report.complete) == (0, SERIES, True)
    assert table_bytes(undisturbed) == before


def test_a_driver_that_is_killed_loses_nothing(source, undisturbed, tmp_path) -> None:
    rng = random.Random(7)
    known: set[str] = set()
    for _ in range(2):
        with command(source, tmp_path, "--workers", "2") as process:
            # Something new is finished, then a moment that nobody chose.
            before = len(known)
            wait_for(lambda n=before, p=process: len(finished(tmp_path)) > n or p.poll() is not None)
            time.sleep(rng.uniform(0, 0.1))
            workers = psutil.Process(process.pid).children() if process.poll() is None else []
            process.kill()
            process.wait()
        psutil.wait_procs(workers, 10)
        assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
        assert known <= finished(tmp_path), known - finished(tmp_path)
        known = finished(tmp_path)
        assert known
    report = run_cohort(source, tmp_path, CohortOptions(workers=2))
    assert report.complete
    assert report.kept >= len(known)
    assert report.done + report.kept == SERIES
    assert table_bytes(tmp_path) == table_bytes(undisturbed)


@posix
def test_workers_that_are_killed_cost_nothing_but_time(source, undisturbed, tmp_path) -> None:
    rng = random.Random(3)
    over = threading.Event()
    killed: list[int] = []

    def kill_some() -> None:
        while not over.wait(0.05) and len(killed) < 3:
            at_work = [pid for pid, item in notes(tmp_path).items() if item and pid not in killed]
            if at_work and len(finished(tmp_path)) > 10 * len(killed):
                killed.append(rng.choice(at_work))
                with suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        report = run_cohort(source, tmp_path, CohortOptions(workers=2))
    finally:
        over.set()
        killer.join()
    assert killed
    assert report.complete
    assert report.done == SERIES
    assert table_bytes(tmp_path) == table_bytes(undisturbed)


@posix
def test_poisonous_series_are_put_aside_after_two_tries(tmp_path) -> None:
    """A worker is killed whenever it is at one series, hangs at another, and a third does not fit into memory."""
    source, output = tmp_path / "source", tmp_path / "output"
    write_cohort(source, 30)
    write_giant(source, 101, 15_000)  # 450 MB
    for number in (102, 103):
        write_giant(source, number, 3000)  # long enough to be met
    fatal, hanging = series_uid(102), series_uid(103)
    done_to: list[tuple[str, int]] = []
    over = threading.Event()

    def poison() -> None:
        while not over.wait(0.01):
            for pid, item in notes(output).items():
                action = {fatal: signal.SIGKILL, hanging: signal.SIGSTOP}.get(item)
                if action is not None and (item, pid) not in done_to:
                    done_to.append((item, pid))
                    with suppress(ProcessLookupError):
                        os.kill(pid, action)

    thread = threading.Thread(target=poison)
    thread.start()
    options = CohortOptions(workers=2, limit_seconds=4, memory_per_worker=SMALLEST_MEMORY)
    lines: list[str] = []
    try:
        report = run_cohort(source, output, options, progress=lines.append)
    finally:
        over.set()
        thread.join()
    assert report.done == 30, lines
    assert sorted(report.failed) == [series_uid(n) for n in (101, 102, 103)]
    assert all(reason.startswith(f"{QUARANTINED} after 2 tries") for reason in report.failed.values()), report.failed
    assert "512 MB" in report.failed[series_uid(101)]
    assert "SIGKILL" in report.failed[fatal]
    assert "longer than 4 s" in report.failed[hanging]
    assert [item for item, _ in done_to].count(fatal) == 2
    assert report.memory <= SMALLEST_MEMORY
    # A second run leaves them where they are; only asked to, it tries again.
    again = run_cohort(source, output, options)
    assert (again.done, again.kept, again.failed) == (0, 30, report.failed)
    (status,) = look_at_run(output)
    assert (status.counts["done"], status.failed) == (30, report.failed)
    assert not status.is_running
    retried = run_cohort(source, output, replace(options, retry_failed=True, limit_seconds=60))
    assert (retried.done, retried.kept, list(retried.failed)) == (2, 30, [series_uid(101)])


def test_memory_stays_flat(tmp_path) -> None:
    """One worker, 2,000 series: in the second half it holds no more than 8 MB more than in the first."""
    write_cohort(tmp_path / "source", 2000)
    report = run_cohort(tmp_path / "source", tmp_path / "output", CohortOptions(workers=1))
    assert report.done == 2000
    sizes = [size for _, size in report.memory_over_time]
    half = len(sizes) // 2
    assert half >= 2
    assert max(sizes[half:]) - max(sizes[:half]) < 8 * 1024**2


def test_tables_without_identifiers(tmp_path) -> None:
    source, output, key = tmp_path / "source", tmp_path / "output", tmp_path / "keys" / "cohort.key"
    write_cohort(source, 12)
    (source / "broken.dcm").write_bytes(next(source.rglob("*.dcm")).read_bytes()[:-100])
    options = CohortOptions(workers=1, key=key)
    lines: list[str] = []
    report = run_cohort(source, output, options, progress=lines.append)
    assert report.done == 12
    secrets = [*(series_uid(n) for n in range(12)), *(patient_id(n) for n in range(12))]
    secrets += ["SECRET", "PERSON", "1951", "20210304", "2021", str(source), "SCANNER_", key.read_text().strip()]
    written = b"".join(path.read_bytes() for path in output.rglob("*") if path.is_file()) + "\n".join(lines).encode()
    for file in (output / "features").glob("*.parquet"):  # columns are compressed
        written += repr(FeatureStore(file.parent).read()).encode()
    assert [text for text in secrets if text.encode() in written] == []
    with closing(sqlite3.connect(output / LEDGER)) as ledger:
        assert set(ledger.execute("SELECT DISTINCT started, finished FROM entries")) == {(None, None)}
    table = FeatureStore(output / "features").read()
    assert len(set(table.series)) == 12
    assert len(set(table.patients)) == 4
    assert len(set(table.tags["station"])) == 2
    assert not table.sources
    if os.name != "nt":
        assert key.stat().st_mode & 0o777 == 0o600
    # The same key gives the same pseudonyms: nothing is left to do; another one has others.
    assert run_cohort(source, output, options).kept == 12
    other = run_cohort(source, tmp_path / "other", replace(options, key=tmp_path / "other.key"))
    assert not set(FeatureStore(other.table[0].parent).read().series) & set(table.series)


def test_segments_of_a_cohort(tmp_path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    phantom = make_head_phantom((10, 48, 48), (14.0, 4.8, 4.8))
    for number in range(2):
        write_dicom_series(phantom.volume, source / str(number), series_uid=f"1.2.3.{number}")
    options = CohortOptions(
        task="segment", workers=2, segmentation=SegmentationOptions(tasks=("headrest",), method="classical")
    )
    report = run_cohort(source, output, options)
    assert report.complete
    table = FeatureStore(output / "segment").read()
    assert table.series == ("1.2.3.0", "1.2.3.1")
    result = json.loads((output / "1.2.3.0" / "result.json").read_text())
    assert table.column("headrest_volume_ml")[0] == pytest.approx(result["segments"][0]["volume_ml"], rel=1e-6)
    # The command `segment` keeps a ledger in the same folder, too: neither disturbs the other.
    assert main(["segment", str(source), "--output", str(output), "--task", "headrest", "--method", "classical"]) == 0
    (output / "1.2.3.1" / "result.json").unlink()
    assert (run_cohort(source, output, options).done, run_cohort(source, output, options).done) == (1, 0)
    # With pseudonyms no images are written, which say whose they are.
    hidden = run_cohort(source, tmp_path / "hidden", replace(options, key=tmp_path / "key"))
    assert hidden.done == 2
    np.testing.assert_array_equal(
        np.sort(FeatureStore(tmp_path / "hidden" / "segment").read().values, axis=0), np.sort(table.values, axis=0)
    )
    assert not list((tmp_path / "hidden").rglob("*.nrrd"))


def test_what_cannot_be_measured_is_told(tmp_path) -> None:
    source = tmp_path / "source"
    paths = write_cohort(source, 4)
    paths[1].write_bytes(paths[1].read_bytes()[:-50])
    report = run_cohort(source, tmp_path / "output", CohortOptions(workers=1))
    assert report.done == 3
    assert not report.complete
    assert list(report.failed) == [series_uid(1)]
    assert "shorter" in report.failed[series_uid(1)] or "pixel" in report.failed[series_uid(1)]


def test_a_database_is_a_source(source, undisturbed, tmp_path) -> None:
    index_files([source], tmp_path / "database")
    report = run_cohort(tmp_path / "database", tmp_path / "output", CohortOptions(workers=1))
    assert report.done == SERIES
    np.testing.assert_array_equal(
        FeatureStore(tmp_path / "output" / "features").read().values,
        FeatureStore(undisturbed / "features").read().values,
    )


def test_only_one_run_at_a_time_and_other_mistakes(source, undisturbed, tmp_path, capsys) -> None:
    with pytest.raises(SourceError):
        run_cohort(tmp_path / "nowhere", tmp_path / "output")
    with pytest.raises(UsageError, match="is the source"):
        run_cohort(source, source)
    with pytest.raises(UsageError, match="no series"):
        run_cohort(source, tmp_path / "output", series_uid="9.9")
    with pytest.raises(UsageError, match="lies in the output"):
        run_cohort(source, tmp_path / "output", CohortOptions(key=tmp_path / "output" / "key"))
    with pytest.raises(UsageError):
        CohortOptions(task="classify")
    with pytest.raises(SourceError, match="no run of a cohort"):
        look_at_run(tmp_path)
    assert main(["cohort", "run", str(source), "--task", "features", "--output", str(tmp_path), "--deidentify"]) == 2
    assert main(["cohort", "status", str(undisturbed), "--json"]) == 0
    (status,) = json.loads(capsys.readouterr().out.rpartition('{\n  "output"')[2].join(['{"output"', ""]))["tasks"]
    assert status["counts"]["done"] == SERIES


def test_the_journal_keeps_what_was_said_whole(tmp_path) -> None:
    journal = Journal(tmp_path, "features", "options")
    journal.at("1.2.3")
    journal.add([Ending("1.2", "done")])
    journal.add([Ending("1.3", "failed", "why")])
    assert read_notes(tmp_path) == ["1.2.3"]
    (file,) = (tmp_path / WORK).glob("journal-*")
    file.write_bytes(file.read_bytes()[:-5])  # killed in the middle of a line
    assert read_journals(tmp_path) == {("features", "options"): [Ending("1.2", "done")]}
    file.write_bytes(file.read_bytes().replace(b'"version": "', b'"version": "another '))
    assert read_journals(tmp_path) == {}
    journal.close()


def test_the_run_as_a_job(source, undisturbed) -> None:
    process = JobProcess(cohort_run_job(source, undisturbed, CohortOptions(workers=1)))
    process.start()
    process.wait(60)
    assert process.state == "done", process.failure
    assert (process.value["kept"], process.value["complete"]) == (SERIES, True)
