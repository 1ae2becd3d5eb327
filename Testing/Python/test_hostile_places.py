"""Places that are hostile: folders that change, disks that are full, outputs that cannot be, kills at any moment.

Links, pipes, long and non-ASCII paths and databases that lead elsewhere are in ``test_dicom_sources``, two processes
that index at once and what a killed copy leaves in ``test_index``, a full disk for ``fetch`` in ``test_pacs_hostile``.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import REPOSITORY
from dicom_slices import write_series
from DicomAnalysisLib.dicom.database import DatabaseSource
from DicomAnalysisLib.dicom.indexing.indexer import index_files
from DicomAnalysisLib.dicom.reader import read_series
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import DicomAnalysisError
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX's limits and signals")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY / "DicomAnalysis"), "OPENBLAS_NUM_THREADS": "1"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "DicomAnalysisLib", *map(str, arguments)]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def head(tmp_path) -> Path:
    write_dicom_series(make_head_phantom(shape=(16, 64, 64), spacing=(8.0, 3.6, 3.6)).volume, tmp_path / "head")
    return tmp_path / "head"


def segment(head: Path, output: Path, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        command("segment", head, "--output", output, "--task", "headrest"),
        **{"capture_output": True, "text": True, "timeout": 120, "check": False, "env": ENVIRONMENT, **options},
    )


@pytest.fixture
def whole(head, tmp_path_factory) -> Path:
    """Results written with room enough."""
    folder = tmp_path_factory.mktemp("whole")
    assert segment(head, folder).returncode == 0
    return folder


class TestOutput:
    def test_below_a_file(self, head, tmp_path):
        (tmp_path / "file").write_text("kept")
        before = everything(tmp_path)
        done = segment(head, tmp_path / "file" / "results")
        assert done.returncode in (1, 2), done.stderr
        assert "Traceback" not in done.stderr
        assert str(tmp_path / "file") in done.stdout + done.stderr
        assert everything(tmp_path) == before
        assert (tmp_path / "file").read_text() == "kept"

    def test_read_only(self, head, tmp_path):
        """Modes do not bind root, for whom the folder is a file system mounted read-only."""
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o555)
        command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(locked)]
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
        if os.geteuid() == 0 and not mounted:
            pytest.skip("root may write everywhere and may not mount here")
        try:
            done = segment(head, locked / "results")
            assert done.returncode in (1, 2)
            assert "Traceback" not in done.stderr
            assert everything(locked) == set()
        finally:
            if mounted:
                subprocess.run(["umount", str(locked)], check=True)

    @pytest.mark.parametrize("room", [20_000, 60_000])
    def test_full_disk(self, head, whole, tmp_path, room):
        """A small tmpfs where one can be mounted; elsewhere files that may not grow beyond that size."""
        disk = tmp_path / "disk"
        disk.mkdir()
        size = max(4096, room)
        is_mounted = os.geteuid() == 0 and sys.platform == "linux" and mount(disk, size)

        def limit() -> None:
            if not is_mounted:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (min(size, 8192),) * 2)

        try:
            before = everything(tmp_path)
            done = segment(head, disk / "results", preexec_fn=limit)
            print("tmpfs" if is_mounted else "RLIMIT_FSIZE", room, done.returncode, done.stdout[-300:])
            assert done.returncode == 1, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            said = done.stdout + done.stderr
            assert any(reason in said for reason in ("No space left", "too large", "disk is full", "disk I/O")), said
            left = {Path(name).name for name in everything(tmp_path) - before}
            assert not [name for name in left if name.startswith(".") and name != ".ledger.lock"], left
            for path in disk.rglob("*.*"):  # what is there is whole: the same bytes as with room enough
                if path.suffix in (".nrrd", ".csv", ".png"):
                    assert path.read_bytes() == (whole / path.relative_to(disk / "results")).read_bytes(), path
            assert not list(disk.rglob("result.json")), "a result that is not all there is not called one"
        finally:
            if is_mounted:
                subprocess.run(["umount", str(disk)], check=True)


def mount(folder: Path, size: int) -> bool:
    tool = shutil.which("mount")
    arguments = ["-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    return tool is not None and subprocess.run([tool, *arguments], capture_output=True, check=False).returncode == 0


def test_files_that_vanish_between_listing_and_reading(tmp_path):
    paths = write_series(tmp_path / "series", [(0.0, 0.0, z) for z in range(6)])
    (series,) = open_source(tmp_path / "series").series()
    paths[2].unlink()
    (volume,) = read_series(series)
    assert len(volume.voxels) == 5
    assert any(str(paths[2]) in warning for warning in volume.warnings)
    for path in paths:
        path.unlink(missing_ok=True)
    with pytest.raises(DicomAnalysisError, match=r"\.dcm"):
        read_series(series)


def test_a_file_that_shrinks_after_it_was_listed(tmp_path):
    paths = write_series(tmp_path / "series", [(0.0, 0.0, z) for z in range(3)])
    (series,) = open_source(tmp_path / "series").series()
    paths[1].write_bytes(paths[1].read_bytes()[:-10])
    (volume,) = read_series(series)
    assert len(volume.voxels) == 2
    assert any(str(paths[1]) in warning for warning in volume.warnings)


@pytest.mark.parametrize(
    "name",
    ["\0", "a\0b.dcm", "x" * 300, "d/" * 3000, "../" * 40 + "etc/passwd", "/dev/zero", "/proc/self/mem", "/", ""],
)
def test_names_in_a_database(tmp_path, name):
    write_series(tmp_path / "series", [(0.0, 0.0, z) for z in range(3)])
    database = index_files([tmp_path / "series"], tmp_path / "database").database
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE Images SET Filename = ? WHERE Filename LIKE '%002.dcm'", (name,))
    start = time.process_time()
    source = DatabaseSource(database)
    (series,) = source.series()
    assert len(series.stacks[0]) == 2
    assert len(source.problems) == 1
    assert source.problems[0].reason
    assert time.process_time() - start < 2


def test_index_killed_at_any_moment_leaves_the_old_or_the_new_state(tmp_path):
    """Kill -9 at seeded moments over the length of a run; then the run is made to its end."""
    write_series(tmp_path / "old", [(0.0, 0.0, z) for z in range(3)], SeriesInstanceUID="1.2.1")
    write_many(tmp_path / "new", 300)
    index_files([tmp_path / "old"], tmp_path / "first")
    old = images(tmp_path / "first")
    assert old == 3
    rng, states = random.Random(3), []
    start = time.perf_counter()
    shutil.copytree(tmp_path / "first", tmp_path / "whole")
    subprocess.run(command("index", tmp_path / "new", "--database", tmp_path / "whole"), check=True, env=ENVIRONMENT)
    length = time.perf_counter() - start
    for k in range(10):
        folder = tmp_path / f"killed {k}"
        shutil.copytree(tmp_path / "first", folder)
        with subprocess.Popen(command("index", tmp_path / "new", "--database", folder), env=ENVIRONMENT) as process:
            time.sleep(length * rng.uniform(0.3, 1.0))
            process.kill()
        states.append(images(folder))
        index_files([tmp_path / "new"], folder)
        assert images(folder) == 303
        assert not [path for path in everything(folder) if Path(path).name.endswith("-journal")]
    print(states)
    assert set(states) <= {3, 303}


def write_many(folder: Path, count: int) -> None:
    import pydicom
    from pydicom.uid import generate_uid

    for path in write_series(folder, [(0.0, 0.0, z) for z in range(count)], SeriesInstanceUID="1.2.2"):
        instance = pydicom.dcmread(path)
        uid = generate_uid(entropy_srcs=["new", path.name])
        instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = uid
        instance.save_as(path)


def images(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "ctkDICOM.sql")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        orphans = "SELECT count(*) FROM Images WHERE SeriesInstanceUID NOT IN (SELECT SeriesInstanceUID FROM Series)"
        assert connection.execute(orphans).fetchone() == (0,)
        return connection.execute("SELECT count(*) FROM Images").fetchone()[0]
