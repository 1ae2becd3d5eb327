"""The list of series on the page *DICOM database*, beside asking the database's files for the same.

A database of 20,000 series in Slicer's format is generated (100 images each by default; none of the files
exists). Measured: the two queries, and all that happens between a click on *Refresh* and the list on the
screen (Qt without a screen, widgets of PySide6 in place of PythonQt's: the time inside the application is
not measured here). The peer is what `fileValue` for every file does where the tag is not cached: the header
of each file is read. That is measured on real DICOM files on this machine's disk and multiplied; an
estimate, and said to be one. The bound is 2 seconds for the list.

    python Benchmarks/list_database.py [--series 20000] [--images 100] [--sample 500] [--check]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("DicomAnalysis", "Testing/Python", "Testing/Data")]

BOUND_SECONDS = 2.0
REPEATS = 5


def measure_queries(database: Path) -> tuple[float, int]:
    """Seconds that the database takes to name its series, without any widget."""
    from DicomAnalysisLib.dicom.database import DatabaseSource

    start = time.perf_counter()
    found = DatabaseSource(database).summaries()
    return time.perf_counter() - start, len(found)


def measure_panel(database: Path) -> tuple[list[float], list[float], int]:
    """Seconds from the click on *Refresh* to the painted list, and from a typed filter to the shorter one."""
    from types import SimpleNamespace

    from standins import application

    listing, filtering = [], []
    with application() as running:
        import slicer

        slicer.dicomDatabase = SimpleNamespace(isOpen=True, databaseFilename=str(database))
        panel = running.widget()
        panel.enter()
        panel.ui.onlyCTCheckBox.checked = False
        panel.parent.qobject.resize(500, 900)
        panel.parent.qobject.show()
        panel.ui.pageTabs.currentIndex = 1
        for number in range(REPEATS):
            start = time.perf_counter()
            panel.ui.refreshButton.click()
            _paint(running, panel)
            listing.append(time.perf_counter() - start)
            start = time.perf_counter()
            panel.ui.filterLineEdit.text = f"p-0{number}"
            _paint(running, panel)
            filtering.append(time.perf_counter() - start)
            panel.ui.filterLineEdit.text = ""
        return listing, filtering, panel.ui.seriesTable.rowCount


def _paint(running: object, panel: object) -> None:
    running.app.processEvents()
    panel.parent.qobject.grab()


def measure_headers(folder: Path, count: int) -> dict[str, float]:
    """Seconds to read the header of one DICOM file, with this library's reader and with pydicom."""
    import pydicom
    from DicomAnalysisLib.dicom.header import read_header
    from DicomAnalysisLib.phantom import make_body_phantom, write_dicom_series

    files = write_dicom_series(make_body_phantom((count, 256, 256), (300 / count, 1.9, 1.9)).volume, folder)
    seconds = {}
    for name, read in (
        ("this library's reader", lambda path: read_header(path, stop_group=0x0028)),
        ("pydicom", lambda path: pydicom.dcmread(path, stop_before_pixels=True)),
    ):
        times = []
        for path in files:
            start = time.perf_counter()
            read(path)
            times.append(time.perf_counter() - start)
        seconds[name] = statistics.median(times)
    return seconds


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=20000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--sample", type=int, default=500, help="files of which the header is really read")
    parser.add_argument("--check", action="store_true", help="end with 1 when the bound is missed")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON document")
    arguments = parser.parse_args()
    from database_files import write_database

    with tempfile.TemporaryDirectory() as folder:
        database = write_database(Path(folder) / "database", arguments.series, arguments.images)
        queries = statistics.median(measure_queries(database)[0] for _ in range(REPEATS))
        listing, filtering, rows = measure_panel(database)
        headers = measure_headers(Path(folder) / "files", arguments.sample)
    files = arguments.series * arguments.images
    worst, typical = max(listing), statistics.median(listing)
    met = worst < BOUND_SECONDS and rows == arguments.series
    if arguments.json:
        print(json.dumps({"queries": queries, "listing": listing, "filtering": filtering, "headers": headers}))
        return int(arguments.check and not met)
    print(f"{arguments.series:,} series, {files:,} images; {rows:,} rows in the list")
    print(f"  the queries alone                              {queries:9.2f} s (median of {REPEATS})")
    print(
        f"  from Refresh to the painted list               {typical:9.2f} s (median of {REPEATS}; {worst:.2f} s worst)"
    )
    print(f"  from a typed filter to the painted list        {statistics.median(filtering):9.2f} s")
    for name, seconds in headers.items():
        print(f"  estimate: one header a series, {name:<22}{seconds * arguments.series:5.0f} s", end="")
        print(f"; a header of every file {seconds * files:8.0f} s")
    print(f"  (estimated from the median of {arguments.sample} files that were just written: a cold disk takes longer)")
    print(f"list in under {BOUND_SECONDS} s: {'met' if met else 'MISSED'}")
    return int(arguments.check and not met)


if __name__ == "__main__":
    sys.exit(main())
