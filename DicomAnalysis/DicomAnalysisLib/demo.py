"""The demo: the main job on a phantom of our own, from DICOM files over a database to results and their score."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .dicom.indexing.indexer import index_files
from .dicom.reader import read_stack
from .dicom.sources import open_source
from .errors import TaskError
from .files.dicom_objects import REPORT, SEGMENTATION_DICOM
from .files.result_folder import CLEANED, MEASUREMENTS, PREVIEW, RESULT, SEGMENTATION
from .phantom import Phantom, make_head_phantom, write_dicom_series
from .run import DONE, segment_source
from .segments import HEADREST, METAL
from .volume import Volume

FILES = {
    SEGMENTATION: "the segments; drag it into 3D Slicer",
    CLEANED: "the volume without headrest; drag it into 3D Slicer",
    PREVIEW: "a picture of both",
    MEASUREMENTS: "a table for a spreadsheet",
    SEGMENTATION_DICOM: "the segments as DICOM, for the PACS",
    REPORT: "the table as a DICOM structured report",
    RESULT: "all that was found, with threshold and warnings",
}


def run_demo(output: Path | str, report: Callable[[str], None] = print) -> dict[str, object]:
    """Make a phantom as a DICOM series, segment headrest and metal, and compare with the truth.

    Parameters
    ----------
    output : path
        Made when missing. The series goes to ``dicom``, a Slicer database that names its files to
        ``database``, the results to ``results/<series UID>``. Files of an earlier demo are replaced.
    report : callable
        Takes the lines that tell what happens.

    Returns
    -------
    dict
        ``dicom``, ``database`` and ``results`` (folders), ``files`` (path by file name), ``series`` (what was
        read), ``scores`` (see `score`) and ``seconds``.

    Raises
    ------
    OutputError
        If something cannot be written.
    TaskError
        If the series could not be segmented.
    """
    output, start = Path(output).resolve(), time.perf_counter()
    report("Making a CT phantom: a head in its holder, with a dental filling and a screw in the skull.")
    phantom = make_head_phantom()
    files = write_dicom_series(phantom.volume, output / "dicom")
    report(f"Wrote {len(files)} DICOM files.")
    indexed = index_files([output / "dicom"], output / "database")
    report(f"Indexed them in {indexed.seconds:.2f} s; what follows reads from that database, as Slicer does.")

    volume = _read_back(output / "database", phantom)
    facts = _facts(volume)
    report(
        f"Read {facts['shape'][0]} slices of {facts['shape'][1]} x {facts['shape'][2]}: "
        f"maximum {facts['max_hu']} HU, mean {facts['mean_hu']:.1f} HU, "
        "centre at R {:.1f}, A {:.1f}, S {:.1f} mm.".format(*facts["center_ras_mm"])
    )
    report("Segmenting headrest and metal.")
    folder = _segment(output, phantom, report)
    scores = score(phantom, folder)

    report("")
    report("Compared with what the phantom is made of:")
    report(f"  headrest  Dice {scores['headrest_dice']:.3f}")
    report(f"  metal     Dice {scores['metal_dice']:.3f}, {scores['metal_pieces_found']} of 2 pieces found")
    report(f"  patient   {scores['patient_voxels_lost']} of {scores['patient_voxels']} voxels taken for headrest")
    report(f"  place     right to {scores['position_error_mm']:.3f} mm")
    report("")
    report(f"The DICOM series is in {output / 'dicom'}")
    report(f"The database is in     {output / 'database'}; 3D Slicer opens it")
    report(f"The results are in     {folder}")
    for name, meaning in FILES.items():
        report(f"  {name:<24}{meaning}")
    return {
        "dicom": output / "dicom",
        "database": output / "database",
        "results": folder,
        "files": {name: folder / name for name in FILES},
        "series": facts,
        "scores": scores,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _read_back(folder: Path, phantom: Phantom) -> Volume:
    uid = phantom.volume.identity.series_uid
    (series,) = open_source(folder).series(uid)
    return read_stack(series.stacks[0], series.identity, series.warnings)


def _facts(volume: Volume) -> dict[str, object]:
    return {
        "series_uid": volume.identity.series_uid,
        "shape": volume.shape,
        "spacing_mm": volume.geometry.spacing_kji,
        "max_hu": int(volume.voxels.max()),
        "mean_hu": float(volume.voxels.mean()),
        "center_ras_mm": volume.center_ras,
        "warnings": volume.warnings,
    }


def _segment(output: Path, phantom: Phantom, report: Callable[[str], None]) -> Path:
    uid = phantom.volume.identity.series_uid
    done = segment_source(output / "database", output / "results", series_uid=uid, progress=report)
    (outcome,) = done.outcomes
    if outcome.status != DONE or outcome.folder is None:
        msg = f"The demo's series {uid} could not be segmented: {outcome.reason}"
        raise TaskError(msg)
    return outcome.folder


def score(phantom: Phantom, folder: Path) -> dict[str, object]:
    """Compare the files in a result folder with the phantom's truth.

    Returns
    -------
    dict
        ``headrest_dice``, ``metal_dice``; ``metal_pieces_found``, of the filling and the screw;
        ``patient_voxels`` and ``patient_voxels_lost`` to the headrest; ``patient_unchanged``,
        whether the cleaned volume has all other patient voxels as acquired;
        ``position_error_mm``, the largest distance between a corner of the segmentation and
        the same corner of the phantom.
    """
    import SimpleITK as sitk
    from scipy import ndimage

    image = sitk.ReadImage(str(folder / SEGMENTATION))
    found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    labels = {segment["name"]: segment["label"] for segment in found["segments"]}
    voxels = sitk.GetArrayFromImage(image)
    headrest, metal = (voxels == labels[kind.name] for kind in (HEADREST, METAL))
    cleaned = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / CLEANED)))
    kept = phantom.patient & ~headrest
    pieces, count = ndimage.label(phantom.metal, np.ones((3, 3, 3)))
    return {
        "headrest_dice": _dice(headrest, phantom.headrest),
        "metal_dice": _dice(metal, phantom.metal),
        "metal_pieces_found": sum(bool(metal[pieces == piece].any()) for piece in range(1, count + 1)),
        "patient_voxels": int(phantom.patient.sum()),
        "patient_voxels_lost": int((headrest & phantom.patient).sum()),
        "patient_unchanged": bool(np.array_equal(cleaned[kept], phantom.volume.voxels[kept])),
        "position_error_mm": _position_error(image, phantom.volume),
    }


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def _position_error(image: object, volume: Volume) -> float:
    slices, rows, columns = volume.shape
    corners = np.array([(i, j, k) for i in (0, columns - 1) for j in (0, rows - 1) for k in (0, slices - 1)])
    there = np.array([image.TransformIndexToPhysicalPoint([int(v) for v in corner]) for corner in corners])
    return float(np.linalg.norm(there - volume.geometry.index_to_lps(corners), axis=1).max())
