"""Compressed frames in the workers of a cohort: all of them together start no more decoders than there are cores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psutil
import pytest
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.options import CohortOptions
from DicomAnalysisLib.cohort.engine.spec import TaskSpec
from DicomAnalysisLib.cohort.engine.supervisor import Supervisor
from DicomAnalysisLib.cohort.features.interpretable import interpretable_features
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.dicom.decoding import pool
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.errors import TaskError
from series_variants import compressed
from small_cohorts import write_cohort

pytest.importorskip("pyarrow")
JPEG_LS = "1.2.840.10008.1.2.4.80"


@pytest.mark.parametrize("decoders", [1, 3])
def test_a_worker_has_as_many_as_it_is_given(tmp_path, decoders) -> None:
    case = compressed(tmp_path / "source", JPEG_LS)
    spec = TaskSpec("features", str(tmp_path / "output"), decoders=decoders)
    supervisor = Supervisor(spec.to_json(), 60, 0)
    endings = []
    try:
        supervisor.run([("1.2", [str(path) for path in sorted(case.folder.iterdir())])], endings.extend)
        assert [ending.state for ending in endings] == ["done"]
        assert len(psutil.Process(supervisor._child.pid).children()) == decoders
    finally:
        supervisor.end()
    table = FeatureStore(tmp_path / "output" / "features").read()
    assert table.column("body_mean")[0] == np.float32(interpretable_features(read_volume(case.folder))["body_mean"])


@pytest.mark.parametrize(("cores", "workers", "decoders"), [(2, 2, 1), (8, 3, 2), (4, 1, 4), (2, 3, 1)])
def test_the_cores_are_shared_among_the_workers(tmp_path, monkeypatch, cores, workers, decoders) -> None:
    asked: list[tuple[int, int]] = []

    def start(count: int, spec: str, *_more: object) -> None:
        asked.append((count, json.loads(spec)["decoders"]))
        raise TaskError("that was all there is to know")

    monkeypatch.setattr("DicomAnalysisLib.cohort.engine.local.LocalWorkers", start)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    write_cohort(tmp_path / "source", 10)
    with pytest.raises(TaskError, match="all there is"):
        run_cohort(tmp_path / "source", tmp_path / "output", CohortOptions(workers=workers))
    assert asked == [(workers, decoders)]


def test_one_decoder_reads_what_several_do(tmp_path: Path, monkeypatch) -> None:
    case = compressed(tmp_path, JPEG_LS)
    monkeypatch.setattr(pool, "_shared", pool._Shared())
    pool.limit_decoders(1)
    np.testing.assert_array_equal(read_volume(case.folder).voxels, case.hu)
    assert len(pool._shared.pool._free.queue) == 1
    pool.end_children()
