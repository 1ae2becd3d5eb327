"""Headrest and metal from voxels to labelmap, beside one pass of connected components over the same volume.

The volume is a phantom of 300 slices of 512 x 512 (0.488 mm): the head phantom in its holder, with metal. The
peer is one `scipy.ndimage.label` of the same volume, the bound twice its time; the limit is one pass that only
reads every voxel. Each runs in fresh processes, in turns; medians are reported, imports are not counted.

    python Benchmarks/segment_volume.py [--slices 300] [--repeats 5] [--check]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

SIZE, PIXEL_MM, SLICE_MM = 512, 0.488, 0.55
TIME_BOUND, MEMORY_BOUND = 2.0, 3.0
MODES = ("ours", "label", "maximum")


def write_volume(path: Path, slices: int) -> None:
    """The head phantom at full size, kept as a plain array."""
    from DicomAnalysisLib.phantom import make_head_phantom

    phantom = make_head_phantom((slices, SIZE, SIZE), (165.0 / slices, PIXEL_MM, PIXEL_MM), seed=1)
    np.save(path, phantom.volume.voxels)


def measure(mode: str, path: Path) -> dict[str, float]:
    """Time one run in this process; memory counts the volume and all that is made from it."""
    from DicomAnalysisLib.segmentation import segment
    from DicomAnalysisLib.volume import StackGeometry, Volume
    from scipy import ndimage as ndi

    before = _peak_bytes()
    with path.open("rb") as stream:
        voxels = np.load(stream)
    positions = [[0.0, 0.0, SLICE_MM * k] for k in range(len(voxels))]
    volume = Volume(voxels, StackGeometry([1, 0, 0], [0, 1, 0], (PIXEL_MM, PIXEL_MM), positions))
    start = time.perf_counter()
    if mode == "ours":
        labels = segment(volume).labelmap()
        checked = int(np.count_nonzero(labels))
    elif mode == "label":
        checked = int(ndi.label(voxels > -300)[1])
    else:
        checked = int(voxels.max())
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "memory": (_peak_bytes() - before) / voxels.nbytes, "checked": checked}


def _peak_bytes() -> int:
    """Highest resident memory of this program so far; 0 where the system does not tell.

    The kernel's figure for the program is asked for first: the one in `resource` carries over
    what the parent process held when it started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(found[0].split()[1]) * 1024 if found else 0
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="end with 1 when a bound is missed")
    parser.add_argument("--measure", nargs=2, metavar=("MODE", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure[0], Path(arguments.measure[1]))))
        return 0
    runs: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.npy"
        write_volume(path, arguments.slices)
        for _ in range(arguments.repeats):
            for mode in MODES:
                command = [sys.executable, __file__, "--measure", mode, str(path)]
                runs[mode].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    seconds = {mode: statistics.median(run["seconds"] for run in found) for mode, found in runs.items()}
    memory = statistics.median(run["memory"] for run in runs["ours"])
    ratio = statistics.median(a["seconds"] / b["seconds"] for a, b in zip(runs["ours"], runs["label"], strict=True))
    print(f"{arguments.slices} slices of {SIZE} x {SIZE}, median of {arguments.repeats} runs")
    print(f"  one maximum over all voxels (limit)  {seconds['maximum']:7.3f} s")
    print(f"  scipy.ndimage.label (peer)           {seconds['label']:7.3f} s")
    print(f"  headrest + metal to labelmap         {seconds['ours']:7.3f} s")
    met_time, met_memory = ratio <= TIME_BOUND, memory <= MEMORY_BOUND
    print(f"ours / label {ratio:.2f}, bound {TIME_BOUND}: {'met' if met_time else 'MISSED'}")
    print(f"peak memory {memory:.2f} x the int16 volume, itself included, bound {MEMORY_BOUND}: ", end="")
    print("met" if met_memory else "MISSED")
    return int(arguments.check and not (met_time and met_memory))


if __name__ == "__main__":
    sys.exit(main())
