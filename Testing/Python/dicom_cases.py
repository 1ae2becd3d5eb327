"""What the tests of DICOM writing share: series, segments on them, and the validator."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import series_variants
from DicomAnalysisLib.dicom.pixels import read_stored
from DicomAnalysisLib.dicom.reader import read_stack
from DicomAnalysisLib.dicom.series import series_from_files
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.dicom.stacks import Stack
from DicomAnalysisLib.dicom.writing.derived import CleanedSeries
from DicomAnalysisLib.dicom.writing.origin import origin_of
from DicomAnalysisLib.segmentation.result import Piece, Segment
from DicomAnalysisLib.segments import HEADREST, METAL
from DicomAnalysisLib.volume import Volume

AIR_HU = -1000
GEOMETRIES = {
    "regular": series_variants.plain,
    "tilted": series_variants.tilted,
    "tilted-back": lambda folder: series_variants.tilted(folder, -18.0),
    "uneven": series_variants.uneven,
    "gap": series_variants.missing_slice,
    "near-duplicates": series_variants.near_duplicates,
    "single-slice": series_variants.single_slice,
    "multi-frame": series_variants.multiframe,
}


def load(folder: Path, stack: int = 0) -> tuple[Stack, Volume]:
    """One stack of the only series in a folder, and its volume."""
    (series,) = open_source(folder).series()
    return series.stacks[stack], read_stack(series.stacks[stack], series.identity, series.warnings)


def make_segments(volume: Volume, *, overlap: bool = False, with_metal: bool = True) -> tuple[Segment, ...]:
    """A headrest on all but the first slice and metal on two, different on every slice and asymmetric in it."""
    count, rows, columns = volume.shape
    headrest, metal = np.zeros(volume.shape, bool), np.zeros(volume.shape, bool)
    for k in range(min(1, count - 1), count):
        headrest[k, rows * 3 // 4 :, 3 : 3 + columns // 2 - k % 5] = True
        headrest[k, rows // 2 + k % 3, 1] = True
    if with_metal:
        for k in {count // 2, min(count // 2 + 1, count - 1)}:
            metal[k, 5 : 7 + k % 4, 11:15] = True
        if overlap:
            metal[count // 2, rows * 3 // 4, 3:8] = True
    piece = Piece(8, 0.25, (-12.5, 34.25, -7.75), (11, 14, 5, 8, 1, 2), 3071.0, 2950.5, "at the skin")
    return (
        Segment(HEADREST, headrest, {"volume_ml": 12.5, "mean_hu": -700.25, "max_hu": 300.0}),
        Segment(METAL, metal, _measured(with_metal), (piece,) if with_metal else ()),
    )


def _measured(with_metal: bool) -> dict[str, object]:
    return {"volume_ml": 0.25 * with_metal} | dict.fromkeys(("mean_hu", "max_hu"), 2950.5 if with_metal else None)


def edit(folder: Path, **attributes: object) -> None:
    """Change attributes of every file; None removes one."""
    for path in sorted(folder.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        for keyword, value in attributes.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(path)


def validator_errors(path: Path) -> list[str]:
    """What dciodvfy finds wrong with a file.

    Skips where there is no dciodvfy: a user's machine needs none, CI installs it (Debian's dicom3tools).
    """
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs the validator dciodvfy (Debian package dicom3tools), which is not installed")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


def dcmqi(program: str, *arguments: str) -> None:
    """Run a program of dcmqi, with which Slicer reads SEG and SR; skips where it is not installed."""
    # Beside the interpreter that runs the tests, whose folder need not be on the path.
    tool = shutil.which(program, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if tool is None:
        pytest.skip(f"needs {program} of dcmqi (pip install dcmqi; Linux only), which is not installed")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def clean(stack, volume, mask, folder: Path) -> CleanedSeries:
    folder.mkdir(exist_ok=True)
    series = CleanedSeries(origin_of(stack, volume), volume.voxels, mask)
    series.write(folder)
    return series


def some_mask(volume) -> np.ndarray:
    """Different on every slice, none on the first of several."""
    mask = np.zeros(volume.shape, bool)
    for k in range(min(1, len(mask) - 1), len(mask)):
        mask[k, -4:, 1 : 4 + k % 3] = True
    return mask


def assert_only_the_mask_changed(stack, volume, mask, folder: Path) -> None:
    """Compare stored values of source and result slice by slice, and the place of every slice."""
    origin = origin_of(stack, volume)
    (series,), problems = series_from_files(sorted(folder.glob("*.dcm")))
    assert not problems
    (result,) = series.stacks
    assert len(result) == len(origin.slices)
    for k, ((before, m), (after, n)) in enumerate(zip(origin.slices, result.slices, strict=True)):
        frame, source = after.frames[n - 1], before.frames[m - 1]
        was = np.rint((volume.voxels[k].astype(float) - source.intercept) / source.slope).astype(np.int64)
        now = read_stored(after, n).astype(np.int64)
        np.testing.assert_array_equal(now[~mask[k]], was[~mask[k]])
        assert (frame.slope, frame.intercept) == (source.slope, source.intercept)
        assert np.abs(now[mask[k]] * frame.slope + frame.intercept - AIR_HU).max(initial=0) <= abs(frame.slope) / 2
        assert (frame.position, frame.spacing) == (source.position, source.spacing)
        np.testing.assert_allclose(frame.orientation, source.orientation, atol=1e-6)
