"""What it costs to have a volume segmented in a child process: beside an export, and beside doing it here.

The volume has 300 slices of 512 x 512 (int16, 157 MB), as a node of the application holds it. Handed over:
all that the parent does before the child can read the voxels, with the longest time that its window stands
still for. The peer is what an export does: the volume written as NRRD, compressed and not, and read back by
the child's reader. The limit is one write of the same bytes. The whole job is timed beside the same work in
this process; the difference is Python's start, imports and the way back.

    python Benchmarks/hand_over_volume.py [--slices 300] [--repeats 3] [--check]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

SIZE = 512
EXPORT_BOUND, STILL_BOUND_S, OVERHEAD_BOUND_S = 0.5, 0.5, 3.0


def hand_over(volume: object) -> float:
    """Write the volume for the child and map it, as the child does; seconds."""
    from DicomAnalysisLib.files.raw_volume import read_raw_volume, write_raw_volume

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for _ in write_raw_volume(folder, volume):
            pass
        read_raw_volume(folder).voxels[0].max()
        return time.perf_counter() - start


def export(volume: object, compressed: bool) -> float:
    """Write the volume as NRRD and read it back; seconds."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "volume.nrrd")
        start = time.perf_counter()
        sitk.WriteImage(sitk.GetImageFromArray(volume.voxels), path, compressed)
        sitk.GetArrayFromImage(sitk.ReadImage(path))
        return time.perf_counter() - start


def one_write(volume: object) -> float:
    """The same bytes into a file, at once; seconds."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        (Path(folder) / "volume").write_bytes(memoryview(np.ascontiguousarray(volume.voxels)).cast("B"))
        return time.perf_counter() - start


def whole_job(volume: object) -> tuple[float, float]:
    """Segment in a child: seconds in all, and the longest poll."""
    from DicomAnalysisLib.jobs import JobProcess, segment_volume_job

    start, longest = time.perf_counter(), 0.0
    process = JobProcess(segment_volume_job(volume))
    process.start()
    while not process.is_over:
        before = time.perf_counter()
        process.poll()
        longest = max(longest, time.perf_counter() - before)
        time.sleep(0.02)
    if process.failure is not None:
        raise RuntimeError(process.failure.message)
    return time.perf_counter() - start, longest


def here(volume: object) -> float:
    """Segment in this process; seconds."""
    from DicomAnalysisLib.segmentation import segment

    start = time.perf_counter()
    segment(volume)
    return time.perf_counter() - start


def main() -> int:
    """Run the benchmark and print its table."""
    from DicomAnalysisLib.phantom import make_head_phantom

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="end with 1 when a bound is missed")
    arguments = parser.parse_args()
    volume = make_head_phantom((arguments.slices, SIZE, SIZE), (165.0 / arguments.slices, 0.488, 0.488), seed=1).volume

    def median(work: Callable[[], float]) -> float:
        return statistics.median(work() for _ in range(arguments.repeats))

    limit, ours = median(lambda: one_write(volume)), median(lambda: hand_over(volume))
    plain = median(lambda: export(volume, compressed=False))
    packed = export(volume, compressed=True)
    at_once = median(lambda: here(volume))
    jobs = [whole_job(volume) for _ in range(arguments.repeats)]
    beside, still = (statistics.median(job[part] for job in jobs) for part in (0, 1))
    print(f"{arguments.slices} slices of {SIZE} x {SIZE}, {volume.voxels.nbytes / 1e6:.0f} MB")
    print(f"  one write of the same bytes (limit)  {limit:7.3f} s")
    print(f"  NRRD, written and read (peer)        {plain:7.3f} s")
    print(f"  NRRD, compressed                     {packed:7.3f} s")
    print(f"  handed over: written and mapped      {ours:7.3f} s")
    print(f"  segmented here                       {at_once:7.3f} s")
    print(f"  segmented in a child, all in all     {beside:7.3f} s")
    bounds = (
        ("handed over / NRRD", ours / plain, EXPORT_BOUND),
        ("longest time that the window stands still, s", still, STILL_BOUND_S),
        ("in a child beyond here, s", beside - at_once, OVERHEAD_BOUND_S),
    )
    for what, value, bound in bounds:
        print(f"{what} {value:.2f}, bound {bound}: {'met' if value <= bound else 'MISSED'}")
    return int(arguments.check and any(value > bound for _, value, bound in bounds))


if __name__ == "__main__":
    sys.exit(main())
