"""Damaged files by the thousand, read in a process of bounded memory and time: what became of them, counted.

``python count_hostile.py [NUMBER]`` prints the table of ``Documentation/hostile-input.md`` for NUMBER mutations.
A case that ends the process is a crash, one that outlasts `SECONDS` a hang; the next case is begun in a new process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "DicomAnalysis"))

import mutations
import numpy as np
from DicomAnalysisLib.dicom import tags
from DicomAnalysisLib.dicom.header import RefusedFileError, read_header
from DicomAnalysisLib.dicom.reader import read_series
from DicomAnalysisLib.dicom.sources import open_source, series_from_files
from DicomAnalysisLib.errors import DicomAnalysisError

MEMORY_BYTES = 2 << 30
SECONDS = 5
HEADER_KINDS = ("header bytes", "lengths", "sequences")
STOPPED = "elements behind one out of order are not looked for, and the file is refused for want of pixel data"
LEGITIMATE = {STOPPED}
"""Kinds of difference from pydicom that are right.

`STOPPED`: tags stand in rising order (PS3.5, 7.1). A damaged tag beyond the pixel data's ends our walk, where pydicom
goes on to the end of the file; no value is wrong, and the file is refused.
"""


@dataclass
class Counts:
    """What became of the inputs of one kind."""

    tried: int = 0
    refused: int = 0
    read: int = 0
    crashed: int = 0
    hung: int = 0
    slowest: float = 0.0
    compared: int = 0
    faults: list[str] = field(default_factory=list)
    """Answers that are neither values nor a named reason, and values that are not the file's."""
    differences: Counter = field(default_factory=Counter)
    """Header values that are not pydicom's: by tag and by what we said of the file."""


def read(path: Path) -> tuple[str, list]:
    """Read one file through the library: what came of it, and the volumes."""
    series, problems = series_from_files([path])
    if bool(series) == bool(problems):
        return "fault: neither series nor problem", []
    if any(problem.path != str(path) or not problem.reason for problem in problems):
        return "fault: a problem without name or reason", []
    volumes = []
    for one in series:
        try:
            volumes += read_series(one)
        except DicomAnalysisError as error:
            if str(path) not in str(error):
                return f"fault: the file is not named: {error}", []
    return ("read" if volumes else "refused"), volumes


def read_database(path: Path) -> str:
    """Read a database and its series."""
    try:
        source = open_source(path)
        source.summaries()
        for one in source.series():
            read_series(one)
    except DicomAnalysisError as error:
        return "refused" if str(path) in str(error) else f"fault: the file is not named: {error}"
    return "read"


def differences(path: Path) -> list[str] | None:
    """How our values are not those pydicom reads; None where either refuses the header."""
    import pydicom

    try:
        header = read_header(path)
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        theirs = {tag: dataset.get_item(tag) for tag in tags.IMAGE_TAGS}
    except RefusedFileError:
        return None
    except Exception:  # noqa: BLE001 (pydicom's ways to fail on damaged headers are many, and not what is tested)
        return None
    found = []
    for tag, element in sorted(theirs.items()):
        if element is not None and (element.VR == "SQ" or not isinstance(element.value or b"", bytes)):
            continue  # interpreted already, or nothing that has a value
        ours = header.walked.elements.get(tag)
        if ((element and element.value) or b"").strip(b"\0 ") == (ours or b"").strip(b"\0 "):
            continue
        is_stopped = ours is None and not header.walked.pixel_offset and not series_from_files([path])[0]
        found.append(STOPPED if is_stopped else f"{tags.name(tag)} {' '.join(header.walked.remarks)}".strip())
    return sorted(set(found))


def work(kind: str, first: int, last: int, folder: Path) -> None:
    """In the child: cases `first` to `last`, one line of JSON for each."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    sources = {name: path.read_bytes() for name, path in mutations.small_files(folder / "small").items()}
    is_database = kind == "SQLite file"
    if is_database:
        paths = [folder / "small" / name / "0004.dcm" for name in ("explicit", "implicit")]
        sources = {"database": mutations.small_database(folder / "database", paths).read_bytes()}
    target = folder / ("mutant.sql" if is_database else "mutant.dcm")
    expected = {}
    if kind.startswith("every length: "):
        name = kind.partition(": ")[2]
        target.write_bytes(sources[name])
        expected = {name: read(target)[1][0].voxels}
    for number in range(first, last):
        name = list(expected or sources)[number % len(expected or sources)]
        content = sources[name]
        target.write_bytes(content[:number] if expected else mutations.mutant(kind, number, content))
        print(json.dumps({"begin": number}), flush=True)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)  # its default end of the process stops C code, too
        start = time.perf_counter()
        line = {"end": number}
        try:
            if is_database:
                line["outcome"] = read_database(target)
            else:
                line["outcome"], volumes = read(target)
                if expected and not all(np.array_equal(volume.voxels, expected[name]) for volume in volumes):
                    line["outcome"] = "fault: other values than the whole file has"
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a fault, and it is reported)
            line["outcome"] = f"fault: {type(error).__name__}: {error}"
        line["seconds"] = time.perf_counter() - start
        signal.setitimer(signal.ITIMER_REAL, 0)
        if kind in HEADER_KINDS:
            line["differences"] = differences(target)
        print(json.dumps(line), flush=True)


def count(kind: str, number: int, folder: Path) -> Counts:
    """Try cases 0 to `number` of a kind; the child is started anew after each crash or hang."""
    counts, first = Counts(tried=number), 0
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    while first < number:
        command = [sys.executable, __file__, "--child", kind, str(first), str(number), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines:
            if "end" in line:
                _note(counts, kind, line)
        if done.returncode == 0:
            break
        begun = [line["begin"] for line in lines if "begin" in line]
        if not begun or "end" in lines[-1]:
            msg = f"the child cannot work: {done.stderr[-2000:]}"
            raise RuntimeError(msg)
        is_hung = done.returncode == -signal.SIGALRM
        counts.hung += is_hung
        counts.crashed += not is_hung
        counts.faults.append(f"{kind} {begun[-1]}: ended with {done.returncode} {done.stderr[-500:]}")
        first = begun[-1] + 1
    return counts


def _note(counts: Counts, kind: str, line: dict) -> None:
    outcome = line["outcome"]
    if outcome in ("read", "refused"):
        setattr(counts, outcome, getattr(counts, outcome) + 1)
    else:
        counts.faults.append(f"{kind} {line['end']}: {outcome}")
    counts.slowest = max(counts.slowest, line["seconds"])
    if line.get("differences") is not None:
        counts.compared += 1
        for one in line["differences"]:
            counts.differences[one] += 1


def count_mutations(number: int, folder: Path) -> dict[str, Counts]:
    """`number` mutations, evenly over the kinds."""
    kinds = list(mutations.KINDS)
    shares = {kind: number // len(kinds) + (k < number % len(kinds)) for k, kind in enumerate(kinds)}
    return {kind: count(kind, share, folder / kind) for kind, share in shares.items()}


def count_truncations(folder: Path, names: tuple[str, ...] = ("explicit", "deflated", "RLE")) -> dict[str, Counts]:
    """Every length of three small files."""
    sizes = {name: path.stat().st_size for name, path in mutations.small_files(folder).items()}
    kinds = {f"every length: {name}": sizes[name] for name in names}
    return {kind: count(kind, size, folder / kind) for kind, size in kinds.items()}


def table(counts: dict[str, Counts]) -> str:
    """The counts in Markdown."""
    lines = ["| Input | Tried | Refused | Read | Crashed | Hung | Slowest |", "|---|---:|---:|---:|---:|---:|---:|"]
    for kind, one in counts.items():
        numbers = (one.tried, one.refused, one.read, one.crashed, one.hung)
        lines.append(f"| {kind} | {' | '.join(f'{n:,}' for n in numbers)} | {1000 * one.slowest:.0f} ms |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--child"]:
        kind, first, last, folder = sys.argv[2:]
        work(kind, int(first), int(last), Path(folder))
        return
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        counts = count_truncations(Path(folder)) | count_mutations(number, Path(folder))
    print(table(counts))
    for kind, one in counts.items():
        for fault in one.faults[:10]:
            print(f"FAULT {fault}")
        if one.compared:
            print(
                f"{kind}: header values compared with pydicom's in {one.compared}, differences {dict(one.differences)}"
            )


if __name__ == "__main__":
    main()
