"""Damaged and hostile files: a named error or the right values, in bounded time and memory, whatever the bytes.

The cases run in processes of 2 GB whose every case has five seconds (see ``count_hostile``), so that
a crash or a hang is counted. DICOM_ANALYSIS_LONG_TESTS=1 tries 10,000 mutations in place of 2,000.
Every odd file at hand is in ``test_odd_files``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import count_hostile
import pytest
from conftest import REPOSITORY
from mutations import write_bombs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of memory and time are POSIX's")

MUTATIONS = 10_000 if os.environ.get("DICOM_ANALYSIS_LONG_TESTS") == "1" else 2000


def assert_harmless(counts: dict[str, count_hostile.Counts]) -> None:
    print("\n" + count_hostile.table(counts))
    for kind, one in counts.items():
        assert one.faults == [], kind
        assert (one.crashed, one.hung) == (0, 0), kind
        assert one.refused + one.read == one.tried, kind


def test_every_length_of_three_small_files(tmp_path):
    counts = count_hostile.count_truncations(tmp_path)
    assert_harmless(counts)
    assert all(one.tried > 1500 for one in counts.values())


def test_mutations(tmp_path):
    counts = count_hostile.count_mutations(MUTATIONS, tmp_path)
    assert_harmless(counts)
    assert sum(one.tried for one in counts.values()) == MUTATIONS
    assert all(one.refused for one in counts.values())
    assert sum(one.read for one in counts.values()) > MUTATIONS // 10, "mutations that spoil everything try little"
    for kind in count_hostile.HEADER_KINDS:
        one = counts[kind]
        print(f"{kind}: {one.compared} headers compared with pydicom's, differences {dict(one.differences)}")
        assert one.compared > one.tried // 5
        assert one.differences.keys() <= count_hostile.LEGITIMATE, kind


@pytest.mark.parametrize(
    "bomb", ["60,000 x 60,000 pixels", "2,000,000,000 frames", "3,000 nested sequences", "deflated"]
)
def test_bombs_take_little(tmp_path, bomb):
    """Half a gigabyte of address space, with Python's and NumPy's own in it, and two seconds."""
    path = next(path for name, path in write_bombs(tmp_path).items() if name.startswith(bomb))
    program = (
        "import resource, sys; from DicomAnalysisLib.dicom.sources import series_from_files\n"
        "from DicomAnalysisLib.dicom.reader import read_series\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() if sys.platform == 'linux'"
        " else 1 << 32\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (128 << 20),) * 2)\n"
        "series, problems = series_from_files(sys.argv[1:])\n"
        "print(len(series), [p.reason for p in problems], [v.shape for s in series for v in read_series(s)])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "DicomAnalysis"), "OPENBLAS_NUM_THREADS": "1"}
    start = time.perf_counter()
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert time.perf_counter() - start < 10
    if bomb.startswith("3,000"):
        assert "(1, 24, 24)" in done.stdout
    else:
        assert done.stdout.startswith("0 ")
    print(done.stdout)


def test_the_same_seed_gives_the_same_mutants():
    import mutations

    content = Path(__file__).read_bytes()
    for kind in ("header bytes", "pixel data", "truncations"):
        assert mutations.mutant(kind, 7, content) == mutations.mutant(kind, 7, content)
        assert mutations.mutant(kind, 7, content) != mutations.mutant(kind, 8, content)
