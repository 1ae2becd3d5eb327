"""Index files into a Slicer database: our indexer beside pydicom's headers alone and beside the bare bytes.

2,000 small CT files of 4 KB are written to a temporary folder: about 90 elements each, file names in no
order, SOP Instance UIDs as random as de-identification leaves them. Each competitor then runs in fresh
processes, in turns, over the same warm files; medians are reported, imports are not counted. pydicom only
reads the elements (`dcmread(stop_before_pixels=True, specific_tags=…)`); ours also writes the
database: patients, studies, series, images and the tag cache.

    python Benchmarks/index_files.py [--files 2000] [--repeats 5] [--check]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from fresh_process import answer, in_turns, make_parser, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

BOUND = 10.0


def read_4_kb(files: Path) -> int:
    """The limit: the first 4 KB of each file, not looked at."""
    count = 0
    for path in sorted(files.iterdir()):
        with path.open("rb") as stream:
            count += bool(stream.read(4096))
    return count


def read_with_pydicom(files: Path) -> int:
    import pydicom
    from DicomAnalysisLib.dicom.indexing.conventions import INDEX_TAGS

    wanted = list(INDEX_TAGS)
    read = [pydicom.dcmread(p, stop_before_pixels=True, specific_tags=wanted) for p in sorted(files.iterdir())]
    return len({dataset.SOPInstanceUID for dataset in read})


def index(files: Path) -> int:
    from DicomAnalysisLib.dicom.indexing.indexer import index_files

    return index_files([files], files.with_name("database")).images


def index_again(files: Path) -> int:
    """A second run over a database that is there."""
    return index(files)


COMPETITORS = {"first 4 KB": read_4_kb, "pydicom": read_with_pydicom, "ours": index, "ours again": index_again}


def measure(name: str, files: Path) -> dict:
    """Time one competitor once in this process."""
    import DicomAnalysisLib.dicom.indexing.indexer  # noqa: F401
    import pydicom  # noqa: F401

    start = time.perf_counter()
    images = COMPETITORS[name](files)
    return {"seconds": time.perf_counter() - start, "images": images}


def write_files(folder: Path, count: int) -> None:
    """Small CT slices with headers as long as those of scanners."""
    import read_series

    read_series.SIZE = 32
    read_series.write_series(folder, count)


def remove_database(folder: Path) -> None:
    for path in folder.glob("database/*"):
        path.unlink()


def main() -> int:
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--files", type=int, default=2000)
    options = parser.parse_args()
    if answer(options, measure):
        return 0
    with tempfile.TemporaryDirectory() as name:
        files = Path(name) / "files"
        files.mkdir()
        write_files(files, options.files)
        runs = in_turns(__file__, COMPETITORS, files, options.repeats, lambda: remove_database(files.parent))
    return report(runs, options)


def report(runs: dict[str, list[dict]], options: argparse.Namespace) -> int:
    """Print the medians, the ratios and whether the bound holds."""
    each = {name: statistics.median(run["seconds"] for run in done) / options.files for name, done in runs.items()}
    print(f"{options.files} files, medians of {options.repeats} fresh processes")
    for name, seconds in each.items():
        print(f"  {name:11} {seconds * 1e6:7.1f} us a file")
    ratio = each["pydicom"] / each["ours"]
    complete = all(run["images"] == options.files for run in runs["ours"] + runs["ours again"])
    print(f"  ours / first 4 KB  {each['ours'] / each['first 4 KB']:.1f}")
    print(f"  pydicom / ours     {ratio:.1f}   bound {BOUND:g}: {verdict(ratio >= BOUND)}")
    print(f"  every file in the database: {verdict(complete)}")
    return int(options.check and not (ratio >= BOUND and complete))


if __name__ == "__main__":
    sys.exit(main())
