"""Headrest and metal from voxels to labelmap, beside one pass of connected components over the same volume.

The volume is a phantom of 300 slices of 512 x 512 (0.488 mm): the head phantom in its holder, with metal. The
peer is one `scipy.ndimage.label` of the same volume, the bound twice its time; the limit is one pass that only
reads every voxel. Each runs in fresh processes, in turns; medians are reported, imports are not counted.

    python Benchmarks/segment_volume.py [--slices 300] [--repeats 5] [--check]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fresh_process import answer, in_turns, make_parser, peak_bytes, verdict

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

    before = peak_bytes()
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
    return {"seconds": seconds, "memory": (peak_bytes() - before) / voxels.nbytes, "checked": checked}


def main() -> int:
    """Run the benchmark and print its table."""
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--slices", type=int, default=300)
    arguments = parser.parse_args()
    if answer(arguments, measure):
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.npy"
        write_volume(path, arguments.slices)
        runs = in_turns(__file__, MODES, path, arguments.repeats)
    seconds = {mode: statistics.median(run["seconds"] for run in found) for mode, found in runs.items()}
    memory = statistics.median(run["memory"] for run in runs["ours"])
    ratio = statistics.median(a["seconds"] / b["seconds"] for a, b in zip(runs["ours"], runs["label"], strict=True))
    print(f"{arguments.slices} slices of {SIZE} x {SIZE}, median of {arguments.repeats} runs")
    print(f"  one maximum over all voxels (limit)  {seconds['maximum']:7.3f} s")
    print(f"  scipy.ndimage.label (peer)           {seconds['label']:7.3f} s")
    print(f"  headrest + metal to labelmap         {seconds['ours']:7.3f} s")
    met_time, met_memory = ratio <= TIME_BOUND, memory <= MEMORY_BOUND
    print(f"ours / label {ratio:.2f}, bound {TIME_BOUND}: {verdict(met_time)}")
    print(f"peak memory {memory:.2f} x the int16 volume, itself included, bound {MEMORY_BOUND}: {verdict(met_memory)}")
    return int(arguments.check and not (met_time and met_memory))


if __name__ == "__main__":
    sys.exit(main())
