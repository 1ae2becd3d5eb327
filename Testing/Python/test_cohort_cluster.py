"""A cohort on a real Dask cluster of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from cohort_runs import finished, table_bytes, wait_for
from conftest import REPOSITORY
from DicomAnalysisLib import __version__
from DicomAnalysisLib.cohort.engine.cluster import DaskWorkers, do_chunk
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.messages import Messages
from DicomAnalysisLib.cohort.engine.options import CohortOptions
from DicomAnalysisLib.cohort.engine.spec import TaskSpec
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.errors import TaskError, UsageError
from small_cohorts import series_uid, write_cohort

pytest.importorskip("pyarrow")
distributed = pytest.importorskip("distributed")
SERIES = 60


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, SERIES)
    return folder


@pytest.fixture(scope="module")
def local(source, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("local")
    assert run_cohort(source, output, CohortOptions(workers=1)).complete
    return output


def test_a_cluster_gives_the_same_table(cluster, source, local, tmp_path) -> None:
    report = run_cohort(source, tmp_path, CohortOptions(scheduler=cluster.scheduler_address))
    assert report.complete
    assert report.done == SERIES
    assert table_bytes(tmp_path) == table_bytes(local)


@pytest.mark.skipif(os.name == "nt", reason="signals of Linux and macOS")
def test_a_worker_of_the_cluster_that_is_killed_costs_nothing(cluster, source, local, tmp_path) -> None:
    over = threading.Event()
    killed: list[int] = []

    def kill_one() -> None:
        while not over.wait(0.02) and not killed:
            if list((tmp_path / ".work").glob("journal-*")):
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        report = run_cohort(source, tmp_path, CohortOptions(scheduler=cluster.scheduler_address))
    finally:
        over.set()
        killer.join()
    assert killed
    assert report.complete, report.failed
    assert table_bytes(tmp_path) == table_bytes(local)


def test_where_the_folder_is_not_shared_results_are_sent_back(source, tmp_path) -> None:
    """A worker that does not see the token of the output folder writes nothing there."""
    output = tmp_path / "elsewhere"
    files = sorted(map(str, source.rglob("*.dcm")))[:3]
    items = [[series_uid(n), [file]] for n, file in enumerate(files)]
    spec = TaskSpec("features", str(output), recipe_hash="r")
    request = {"spec": asdict(spec), "token": "none", "items": items, "limit_seconds": 60.0, "memory_limit": 0}
    answer = do_chunk(json.dumps({**request, "version": __version__}))
    assert not output.exists()
    assert [ending["state"] for ending in answer["endings"]] == ["done"] * 3
    ((name, data),) = answer["files"].items()
    (tmp_path / "back" / name).parent.mkdir(parents=True)
    (tmp_path / "back" / name).write_bytes(data)
    assert FeatureStore(tmp_path / "back" / "features").read().series == tuple(series_uid(n) for n in range(3))
    # Another version would give numbers that the ledger takes for ours.
    answer = do_chunk(json.dumps({**request, "version": "0"}))
    assert "install the same" in answer["error"]
    assert not answer["endings"]


def test_no_cluster_is_said_so(source, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("DicomAnalysisLib.cohort.engine.cluster.CONNECT_SECONDS", 1)
    started = time.monotonic()
    with pytest.raises(UsageError, match="no Dask scheduler"):
        run_cohort(source, tmp_path, CohortOptions(scheduler="tcp://127.0.0.1:9"))
    assert time.monotonic() - started < 30


def test_workers_that_come_later_are_used(source, tmp_path) -> None:
    """A cluster of a queueing system begins with what little was free."""
    lines: list[str] = []
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
    ) as growing:
        spec = TaskSpec("features", str(tmp_path))
        workers = DaskWorkers(growing.scheduler_address, spec, 60.0, 0, Messages(), lines.append)
        try:
            assert workers.capacity == 2
            growing.scale(3)
            growing.wait_for_workers(3)
            workers.look()
            assert workers.capacity == 6
            growing.scale(0)
            deadline = time.monotonic() + 60
            while workers.capacity and time.monotonic() < deadline:
                time.sleep(0.1)
                workers.look()
            assert workers.capacity == 0
        finally:
            workers.close()
    assert [line.partition(" at ")[0] for line in (lines[0], lines[1])] == ["1 worker threads", "3 worker threads"]
    assert "waiting" in lines[-1]


CLUSTER = """
import distributed, time
if __name__ == "__main__":
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    )
    print(cluster.scheduler_address, flush=True)
    time.sleep(1000)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Linux and macOS")
def test_a_scheduler_that_goes_away_ends_the_run_and_loses_nothing(tmp_path) -> None:
    source = tmp_path / "source"
    write_cohort(source, 500)
    program = tmp_path / "cluster.py"
    program.write_text(CLUSTER)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
    process = subprocess.Popen([sys.executable, str(program)], env=environment, stdout=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip()
    family = psutil.Process(process.pid).children(recursive=True)
    caught: list[BaseException] = []

    def go() -> None:
        try:
            run_cohort(source, tmp_path / "output", CohortOptions(scheduler=address))
        except TaskError as error:
            caught.append(error)

    run = threading.Thread(target=go, daemon=True)
    run.start()
    try:
        wait_for(lambda: finished(tmp_path / "output"))
        family += psutil.Process(process.pid).children(recursive=True)
        process.kill()
        run.join(120)
        assert not run.is_alive(), "it waits for what never comes"
    finally:
        process.kill()
        process.communicate()
        for one in psutil.wait_procs(set(family), 30)[1]:
            one.kill()
    assert "connection to the Dask scheduler" in str(caught[0])
    known = finished(tmp_path / "output")
    assert known
    report = run_cohort(source, tmp_path / "output", CohortOptions(workers=1))
    assert report.complete
    assert report.kept >= len(known)
    assert report.kept + report.done == 500
    assert len(FeatureStore(tmp_path / "output" / "features").read()) == 500
