"""Runs over a cohort as tests start and watch them: as a process of its own, by its ledger, journals and notes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from conftest import REPOSITORY
from DicomAnalysisLib.cohort.engine.journal import WORK
from DicomAnalysisLib.cohort.ledger import NAME as LEDGER


def table_bytes(output: Path) -> bytes:
    (file,) = (output / "features").glob("*.parquet")
    return file.read_bytes()


@contextmanager
def command(
    source: Path, output: Path, *more: str, file_bytes: int = 0, temporary: Path | None = None
) -> Iterator[subprocess.Popen]:
    """`cohort run` as a process of its own.

    With `file_bytes` the system refuses to make any file longer than that: what a full disk does, to this run alone.
    """
    arguments = [sys.executable, "-m", "DicomAnalysisLib", "cohort", "run", str(source), "--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
    if temporary is not None:
        temporary.mkdir(exist_ok=True)
        environment["TMPDIR"] = str(temporary)
    process = subprocess.Popen(
        [*arguments, *(() if "--task" in more else ("--task", "features")), "--json", *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=(lambda: _bound_files(file_bytes)) if file_bytes else None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _bound_files(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def finished(output: Path) -> set[str]:
    """What is finished as far as ledger and journals say."""
    done: set[str] = set()
    if (output / LEDGER).is_file():
        with closing(sqlite3.connect(output / LEDGER, timeout=30)) as ledger, suppress(sqlite3.OperationalError):
            done |= {row[0] for row in ledger.execute("SELECT item FROM entries WHERE state = 'done'")}
    for path in (output / WORK).glob("journal-*.jsonl"):
        for line in path.read_text().splitlines():
            done |= {ending["item"] for ending in json.loads(line)["endings"]}
    return done


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def notes(output: Path) -> dict[int, str]:
    """Which worker is at which series."""
    found = {}
    for path in (output / WORK).glob("at-*.txt"):
        with suppress(OSError):
            found[int(path.name.split("-")[1])] = path.read_text().strip()
    return found
