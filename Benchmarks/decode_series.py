"""Read a compressed CT series to Hounsfield units: our reader beside SimpleITK, on all cores.

A synthetic series of 300 slices of 512 x 512 (a noisy head, 12 bits) is written to a temporary folder in
each transfer syntax. Each reader then runs in fresh processes, in turns, over the same warm files;
medians are reported. Imports are not counted; the start of the processes that decode is.
Memory is that of the program and of the processes that decode for it, each at its peak.

    python Benchmarks/decode_series.py [--slices 300] [--repeats 5] [--syntax NAME] [--check]
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
sys.path.insert(0, str(Path(__file__).resolve().parent))

BOUNDS = {"JPEG Lossless": 0.5, "JPEG-LS": 0.6, "JPEG 2000": 1.0, "RLE": 0.25}
"""Our time by SimpleITK's, at most."""
SYNTAXES = {
    "JPEG Lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
}


def encode(stored: np.ndarray, name: str) -> bytes:
    import imagecodecs

    if name == "JPEG Lossless":
        return imagecodecs.ljpeg_encode(stored, bitspersample=12)
    if name == "JPEG-LS":
        return imagecodecs.jpegls_encode(stored)
    if name == "JPEG 2000":
        return imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k", bitspersample=12)
    return encode_rle(stored)


def encode_rle(stored: np.ndarray) -> bytes:
    """One RLE frame (PS3.5 annex G): the high bytes, then the low ones, each row PackBits-encoded."""
    import imagecodecs

    planes = [(stored >> 8).astype(np.uint8), (stored & 255).astype(np.uint8)]
    segments = [b"".join(imagecodecs.packbits_encode(row) for row in plane) for plane in planes]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    offsets = np.zeros(16, "<u4")
    offsets[:3] = 2, 64, 64 + len(segments[0])
    return offsets.tobytes() + b"".join(segments)


def write_compressed(source: Path, folder: Path, name: str) -> None:
    """The series in `source` in another transfer syntax."""
    import pydicom
    from pydicom.encaps import encapsulate

    for path in sorted(source.iterdir()):
        instance = pydicom.dcmread(path)
        instance.PixelData = encapsulate([encode(instance.pixel_array, name)])
        instance["PixelData"].VR = "OB"
        instance["PixelData"].is_undefined_length = True
        instance.file_meta.TransferSyntaxUID = pydicom.uid.UID(SYNTAXES[name])
        instance.save_as(folder / path.name, enforce_file_format=True)


def measure(reader: str, folder: Path) -> dict:
    """Time one reader once in this process and say what it read."""
    import fresh_process
    import read_series
    import SimpleITK  # noqa: F401

    before = fresh_process.peak_bytes()
    start = time.perf_counter()
    voxels = read_series.READERS[reader](folder)
    seconds = time.perf_counter() - start
    peak = fresh_process.peak_bytes() - before
    return {"seconds": seconds, "peak": peak, "children": _children_peak(), "sum": int(voxels.sum(dtype=np.int64))}


def _children_peak() -> int:
    """Highest resident memory of the processes that this one started, together; 0 where the system does not tell."""
    import psutil

    total = 0
    for child in psutil.Process().children(recursive=True):
        try:
            lines = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--syntax", choices=SYNTAXES, action="append", help="default: all")
    parser.add_argument("--check", action="store_true", help="end with 1 where a bound is missed")
    parser.add_argument("--measure", choices=("ours", "SimpleITK"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder)))
        return 0
    import read_series

    missed = False
    print(f"{options.slices} slices of {read_series.SIZE} x {read_series.SIZE}, medians of {options.repeats} processes")
    with tempfile.TemporaryDirectory() as name:
        plain = Path(name) / "plain"
        plain.mkdir()
        read_series.write_series(plain, options.slices)
        for syntax in options.syntax or SYNTAXES:
            with tempfile.TemporaryDirectory(dir=name) as folder:
                write_compressed(plain, Path(folder), syntax)
                missed |= not compare(syntax, Path(folder), options)
    return int(options.check and missed)


def compare(syntax: str, folder: Path, options: argparse.Namespace) -> bool:
    """Time both readers on one series and print the result; whether the bound holds."""
    runs: dict[str, list[dict]] = {"ours": [], "SimpleITK": []}
    for _ in range(options.repeats):
        for reader, done in runs.items():
            command = [sys.executable, __file__, "--measure", reader, "--folder", str(folder)]
            done.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    seconds = {reader: statistics.median(run["seconds"] for run in done) for reader, done in runs.items()}
    ratio = seconds["ours"] / seconds["SimpleITK"]
    agree = len({run["sum"] for done in runs.values() for run in done}) == 1
    passed = ratio <= BOUNDS[syntax] and agree
    print(f"{syntax}: {ratio:.2f} of SimpleITK's time   bound {BOUNDS[syntax]}: {'pass' if passed else 'FAIL'}")
    for reader, done in runs.items():
        own, children = (statistics.median(run[key] for run in done) / 2**20 for key in ("peak", "children"))
        print(f"  {reader:10} {seconds[reader]:7.3f} s   peak memory {own:5.0f} MB, children {children:4.0f} MB")
    print(f"  same sum of HU: {'pass' if agree else 'FAIL'}", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
