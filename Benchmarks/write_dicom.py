"""DICOM objects of one segmented series, beside the segmentation itself and highdicom given whole data sets.

The series is the head phantom in its holder, 300 slices of 512 x 512. Measured are SEG, report and cleaned series
with what it takes to read headers again. The bound for SEG and report is three times the segmentation, in the same
process; peers are highdicom's SEG from 300 data sets read by pydicom, and, for the cleaned series, copying the source
files. Each runs in fresh processes, in turns; medians are reported, imports are not counted.

    python Benchmarks/write_dicom.py [--slices 300] [--repeats 3] [--check]
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fresh_process import answer, in_turns, make_parser, peak_bytes, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

SIZE, PIXEL_MM, BOUND = 512, 0.488, 3.0
MODES = ("ours", "highdicom")


def write_source(folder: Path, slices: int) -> None:
    """The head phantom at full size as a DICOM series."""
    from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series

    phantom = make_head_phantom((slices, SIZE, SIZE), (165.0 / slices, PIXEL_MM, PIXEL_MM), seed=1)
    write_dicom_series(phantom.volume, folder)


def measure(mode: str, source: Path) -> dict[str, float]:
    """Time one run in this process."""
    import highdicom  # noqa: F401 (imports are not counted)
    from DicomAnalysisLib.dicom.reader import read_stack
    from DicomAnalysisLib.dicom.sources import open_source
    from DicomAnalysisLib.segmentation import segment

    (series,) = open_source(source).series()
    stack = series.stacks[0]
    volume = read_stack(stack, series.identity)
    found: dict[str, float] = {}
    result = _timed(found, "segment", lambda: segment(volume))
    with tempfile.TemporaryDirectory() as folder:
        if mode == "ours":
            _measure_ours(found, stack, volume, result, Path(folder))
        else:
            _timed(found, "highdicom", lambda: _highdicom_alone(stack, result, Path(folder)))
            _timed(found, "copy", lambda: shutil.copytree(source, Path(folder) / "copy"))
    return found


def _timed(found: dict[str, float], name: str, work: Callable[[], object]) -> object:
    start = time.perf_counter()
    answer = work()
    found[name] = time.perf_counter() - start
    return answer


def _measure_ours(found: dict[str, float], stack: object, volume: object, result: object, folder: Path) -> None:
    from DicomAnalysisLib.dicom.writing.derived import CleanedSeries
    from DicomAnalysisLib.dicom.writing.origin import origin_of
    from DicomAnalysisLib.dicom.writing.report import make_report
    from DicomAnalysisLib.dicom.writing.saving import save
    from DicomAnalysisLib.dicom.writing.seg import make_segmentation

    before = peak_bytes()
    origin = _timed(found, "headers", lambda: origin_of(stack, volume))
    made = _timed(found, "seg", lambda: make_segmentation(origin, result.segments))
    _timed(found, "save", lambda: save(made, folder / "seg.dcm"))
    report = _timed(found, "report", lambda: make_report(origin, made, result.segments))
    save(report, folder / "report.dcm")
    found["memory"] = (peak_bytes() - before) / volume.voxels.nbytes
    found["megabytes"] = (folder / "seg.dcm").stat().st_size / 1e6
    found["frames"] = int(made.NumberOfFrames)
    mask = result.segments[0].mask
    (folder / "cleaned").mkdir()
    _timed(found, "cleaned", lambda: CleanedSeries(origin, volume.voxels, mask).write(folder / "cleaned"))


def _highdicom_alone(stack: object, result: object, folder: Path) -> None:
    """What one would write without this program: whole headers and highdicom."""
    import highdicom as hd
    import pydicom
    from DicomAnalysisLib.dicom.writing.seg import concept

    images = [pydicom.dcmread(instance.path, stop_before_pixels=True) for instance, _ in stack.slices]
    algorithm = hd.AlgorithmIdentificationSequence("peer", hd.sr.CodedConcept("123110", "DCM", "AI"), "1")
    described = [
        hd.seg.SegmentDescription(
            n, s.kind.name, concept(s.kind.category), concept(s.kind.type), "AUTOMATIC", algorithm
        )
        for n, s in enumerate(result.segments, start=1)
    ]
    seg = hd.seg.Segmentation(
        images, result.labelmap(), "BINARY", described, hd.UID(), 100, hd.UID(), 1, "peer", "peer", "1", "1"
    )
    seg.save_as(folder / "peer.dcm")


def main() -> int:
    """Run the benchmark and print its table."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--slices", type=int, default=300)
    arguments = parser.parse_args()
    if answer(arguments, measure):
        return 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        write_source(source, arguments.slices)
        runs = in_turns(__file__, MODES, source, arguments.repeats)
    ours, peer = ({key: statistics.median(run[key] for run in runs[mode]) for key in runs[mode][0]} for mode in MODES)
    objects = ours["headers"] + ours["seg"] + ours["save"] + ours["report"]
    ratio = statistics.median(
        (run["headers"] + run["seg"] + run["save"] + run["report"]) / run["segment"] for run in runs["ours"]
    )
    print(f"{arguments.slices} slices of {SIZE} x {SIZE}, median of {arguments.repeats} runs")
    print(f"  headrest + metal                          {ours['segment']:6.2f} s")
    print(f"  SEG of {ours['frames']:.0f} frames, {ours['megabytes']:.1f} MB, and report  {objects:6.2f} s", end="")
    print(
        f" (headers {ours['headers']:.2f}, SEG {ours['seg']:.2f}, file {ours['save']:.2f}, report {ours['report']:.2f})"
    )
    print(f"  SEG by highdicom from whole headers (peer){peer['highdicom']:6.2f} s")
    print(f"  cleaned series                            {ours['cleaned']:6.2f} s")
    print(f"  copying the source files (limit)          {peer['copy']:6.2f} s")
    met = ratio <= BOUND
    print(f"SEG and report / segmentation {ratio:.2f}, bound {BOUND}: {verdict(met)}")
    print(f"peak memory of SEG and report {ours['memory']:.2f} x the int16 volume, above what was held before")
    return int(arguments.check and not met)


if __name__ == "__main__":
    sys.exit(main())
