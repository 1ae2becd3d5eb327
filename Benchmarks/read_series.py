"""Read a CT series to Hounsfield units: our reader beside SimpleITK and beside the bare bytes.

A synthetic series of 300 slices of 512 x 512 (a noisy head, unsigned 12-bit pixels with intercept -1024,
explicit little endian) is written to a temporary folder. Each reader then runs in
fresh processes, in turns, over the same warm files; medians are reported, imports are not counted.

    python Benchmarks/read_series.py [--slices 300] [--repeats 7] [--check]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fresh_process import answer, in_turns, make_parser, peak_bytes, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

SIZE = 512
TIME_BOUND = 0.2
MEMORY_BOUND = 1.2


def write_series(folder: Path, slices: int) -> None:
    """Write a head with skull, air and noise, one file a slice, file names in no order."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    random = np.random.default_rng(1)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    study, series, frame = (generate_uid(entropy_srcs=["read_series", part]) for part in ("study", "series", "frame"))
    names = random.permutation(slices)
    for k in range(slices):
        scale = 0.75 * np.sqrt(max(1 - (2 * k / slices - 1) ** 2, 0.05))
        radius = np.hypot(x / scale, y / (1.2 * scale))
        hounsfield = np.where(radius < 0.9, 40.0, np.where(radius < 1, 900.0, -1000.0))
        stored = np.clip(hounsfield + random.normal(0, 12, radius.shape) + 1024, 0, 4095).astype(np.uint16)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        uid = generate_uid(entropy_srcs=["read_series", str(k)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
        dataset.SpecificCharacterSet, dataset.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Modality, dataset.Manufacturer, dataset.SeriesDescription = "CT", "Benchmark", "Synthetic head"
        dataset.PatientName, dataset.PatientID = "Benchmark", "BENCHMARK"
        dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20200101"
        dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
        dataset.ReferencedImageSequence = Sequence([_reference(CTImageStorage, uid)])
        dataset.KVP, dataset.XRayTubeCurrent, dataset.ExposureTime, dataset.Exposure = 120, 200, 500, 100
        dataset.ConvolutionKernel, dataset.PatientPosition, dataset.GantryDetectorTilt = "H30s", "HFS", 0
        dataset.SliceThickness, dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 1, 2, 1, k + 1
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-125, -125, k], [1, 0, 0, 0, 1, 0]
        dataset.SliceLocation = k
        block = dataset.private_block(0x0021, "BENCHMARK 1.0", create=True)
        for element in range(40):
            block.add_new(element, "LO", f"private value {element}")
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns, dataset.PixelSpacing = SIZE, SIZE, [0.488, 0.488]
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.WindowCenter, dataset.WindowWidth = 40, 80
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
        dataset.PixelData = stored.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(folder / f"image{names[k]:04d}.dcm", enforce_file_format=True)


def _reference(sop_class: str, uid: str):
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item


def read_bytes(folder: Path) -> np.ndarray:
    """The limit: the pixel bytes into the final array, with nothing known but that they end the file."""
    paths = sorted(folder.iterdir())
    voxels = np.empty((len(paths), SIZE, SIZE), np.int16)
    for path, slice_ in zip(paths, voxels, strict=True):
        with path.open("rb", buffering=0) as stream:
            stream.seek(-slice_.nbytes, 2)
            stream.readinto(memoryview(slice_).cast("B"))
    return voxels


def read_ours(folder: Path) -> np.ndarray:
    from DicomAnalysisLib.dicom.reader import read_volume

    return read_volume(folder).voxels


def read_simpleitk(folder: Path) -> np.ndarray:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    read_simpleitk.image = reader.Execute()  # the view below does not keep it alive
    return sitk.GetArrayViewFromImage(read_simpleitk.image)


READERS = {"bytes": read_bytes, "ours": read_ours, "SimpleITK": read_simpleitk}


def measure(name: str, folder: Path) -> dict:
    """Time one reader once in this process and say what it read."""
    import DicomAnalysisLib.dicom.reader
    import DicomAnalysisLib.dicom.sources  # noqa: F401
    import SimpleITK  # noqa: F401

    before = peak_bytes()
    start = time.perf_counter()
    voxels = READERS[name](folder)
    seconds = time.perf_counter() - start
    peak = peak_bytes() - before
    return {"seconds": seconds, "peak": peak, "nbytes": int(voxels.size) * 2, "sum": int(voxels.sum(dtype=np.int64))}


def main() -> int:
    parser = make_parser(__doc__, repeats=7)
    parser.add_argument("--slices", type=int, default=300)
    options = parser.parse_args()
    if answer(options, measure):
        return 0
    with tempfile.TemporaryDirectory() as name:
        write_series(Path(name), options.slices)
        runs = in_turns(__file__, READERS, Path(name), options.repeats)
    return report(runs, options)


def report(runs: dict[str, list[dict]], options: argparse.Namespace) -> int:
    """Print the medians, the ratios and whether the bounds hold."""
    seconds = {reader: statistics.median(run["seconds"] for run in done) for reader, done in runs.items()}
    volume = runs["ours"][0]["nbytes"]
    print(f"{options.slices} slices of {SIZE} x {SIZE} (int16), medians of {options.repeats} fresh processes")
    for reader, done in runs.items():
        peak = statistics.median(run["peak"] for run in done)
        best = min(run["seconds"] for run in done)
        print(f"  {reader:10} {seconds[reader]:7.3f} s (best {best:.3f}), peak memory {peak / volume:.2f} x the volume")
    agree = runs["ours"][0]["sum"] == runs["SimpleITK"][0]["sum"]
    ratio = seconds["ours"] / seconds["SimpleITK"]
    memory = statistics.median(run["peak"] for run in runs["ours"]) / volume
    print(f"  ours / bytes      {seconds['ours'] / seconds['bytes']:.2f}")
    print(f"  ours / SimpleITK  {ratio:.3f}   bound {TIME_BOUND}: {verdict(ratio <= TIME_BOUND)}")
    print(f"  memory            {memory:.2f}    bound {MEMORY_BOUND}: {verdict(memory <= MEMORY_BOUND)}")
    print(f"  same sum of HU as SimpleITK: {verdict(agree)}")
    return int(options.check and not (ratio <= TIME_BOUND and memory <= MEMORY_BOUND and agree))


if __name__ == "__main__":
    sys.exit(main())
