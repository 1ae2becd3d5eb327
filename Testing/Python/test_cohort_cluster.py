"""A cohort on a real Dask cluster of this machine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from cohort_runs import table_bytes
from DicomAnalysisLib.cohort.engine.cluster import do_chunk
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.options import CohortOptions
from DicomAnalysisLib.cohort.engine.spec import TaskSpec
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.errors import UsageError
from small_cohorts import series_uid, write_cohort

pytest.importorskip("pyarrow")
distributed = pytest.importorskip("distributed")
SERIES = 60


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
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
    answer = do_chunk(json.dumps(request))
    assert not output.exists()
    assert [ending["state"] for ending in answer["endings"]] == ["done"] * 3
    ((name, data),) = answer["files"].items()
    (tmp_path / "back" / name).parent.mkdir(parents=True)
    (tmp_path / "back" / name).write_bytes(data)
    assert FeatureStore(tmp_path / "back" / "features").read().series == tuple(series_uid(n) for n in range(3))


def test_no_cluster_is_said_so(source, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("DicomAnalysisLib.cohort.engine.cluster.CONNECT_SECONDS", 1)
    started = time.monotonic()
    with pytest.raises(UsageError, match="no Dask scheduler"):
        run_cohort(source, tmp_path, CohortOptions(scheduler="tcp://127.0.0.1:9"))
    assert time.monotonic() - started < 30
