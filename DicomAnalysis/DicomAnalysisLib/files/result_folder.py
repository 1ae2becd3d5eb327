"""The folder of one segmented series: what `segment` leaves for people and programs to find."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .. import __version__
from ..dicom.stacks import Stack
from ..errors import OutputError
from ..preprocessing.cleaning import cleaned_voxels
from ..preprocessing.resampling import RegularGrid, to_regular_grid
from ..segmentation.options import SegmentationOptions
from ..segmentation.result import SegmentationResult
from ..segments import HEADREST, KINDS
from ..volume import Volume
from .atomic import write_text
from .dicom_objects import DicomObjects, remove_dicom_objects, write_dicom_objects
from .json_text import json_text
from .mask_pictures import write_mask_pictures
from .measurements import piece_measurements, write_measurements
from .nrrd import write_segmentation, write_volume

RESULT, SEGMENTATION, CLEANED = "result.json", "segmentation.seg.nrrd", "cleaned.nrrd"
MEASUREMENTS, PREVIEW, MASKS = "measurements.csv", "preview.png", "masks"


def write_result(
    folder: Path | str,
    volume: Volume,
    result: SegmentationResult,
    *,
    options: SegmentationOptions | None = None,
    masks_png: bool = False,
    stack: Stack | None = None,
    stack_number: int = 1,
    write_dicom: bool = False,
    extra: Mapping[str, object] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Path]:
    """Write everything one segmentation leaves behind.

    ``result.json`` goes first and comes last: where it stands, the folder is complete and
    of one run. Files of an earlier run that this one does not make are removed.

    Parameters
    ----------
    folder : path
        Made when missing.
    volume : Volume
        The acquired slices that were segmented.
    result : SegmentationResult
    options : SegmentationOptions, optional
        Stored with the result.
    masks_png : bool
        Also a black-and-white PNG for each slice and segment under ``masks``.
    stack : Stack, optional
        The DICOM slices that `volume` was read from; without them no DICOM objects are written.
    stack_number : int
        1 for the main stack of its series.
    write_dicom : bool
        Also the series without its headrest as DICOM, under ``cleaned-dicom``.
    extra : mapping, optional
        Further keys of ``result.json``.
    progress : callable, optional
        Called with the share of the writing that is done, and with what comes next.

    Returns
    -------
    dict of str to Path
        ``segmentation, cleaned, measurements, preview, masks, segmentation_dicom, measurements_dicom,
        cleaned_dicom, result``; only what was written.

    Raises
    ------
    OutputError
        If something cannot be written.
    GeometryError
        If no regular grid holds the slices.
    """
    from ..reporting.preview import write_preview

    folder = Path(folder)
    tell = progress or (lambda _share, _stage: None)
    tell(0.0, "writing segments")
    grid = to_regular_grid(volume)
    remove_result(folder)
    written = {"segmentation": folder / SEGMENTATION}
    _write_masks(written["segmentation"], result, grid)
    headrest = result.segment(HEADREST.name)
    if headrest is not None:
        tell(0.1, "writing the cleaned volume")
        written["cleaned"] = folder / CLEANED
        _write_cleaned(written["cleaned"], volume, headrest.mask, grid)
    written["measurements"] = folder / MEASUREMENTS
    write_measurements(written["measurements"], volume.identity, result)
    tell(0.6, "drawing")
    written["preview"] = folder / PREVIEW
    write_preview(written["preview"], volume, result, all_warnings(volume, result, grid))
    if masks_png:
        written["masks"] = folder / MASKS
        write_mask_pictures(written["masks"], volume, result)
    objects = DicomObjects()
    if stack is not None:
        tell(0.7, "writing DICOM")
        objects = write_dicom_objects(folder, stack, volume, result, stack_number=stack_number, cleaned=write_dicom)
        written |= objects.files
    written["result"] = folder / RESULT
    document = result_document(volume, result, grid, options) | dict(extra or {})
    document["warnings"] += objects.warnings
    document["dicom"] = objects.identifiers
    document["files"] = {name: path.name for name, path in written.items()}
    write_text(written["result"], json_text(document))
    return written


def _write_cleaned(path: Path, volume: Volume, headrest: np.ndarray, grid: RegularGrid) -> None:
    planes = grid.image_planes(cleaned_voxels(volume, headrest), volume.padding_values)
    write_volume(path, planes, grid.shape, volume.voxels.dtype, grid.ijk_to_lps)


def _write_masks(path: Path, result: SegmentationResult, grid: RegularGrid) -> None:
    segments = [(segment.kind, segment.mask) for segment in result.segments]
    if grid.shift_px.any():
        # Slices that wander sideways have to be moved; otherwise planes show slices as they are.
        write_segmentation(path, [(kind, grid.labels(mask)) for kind, mask in segments], grid.ijk_to_lps)
    else:
        write_segmentation(path, segments, grid.ijk_to_lps, grid.nearest_slice.tolist())


def result_document(
    volume: Volume,
    result: SegmentationResult,
    grid: RegularGrid | None = None,
    options: SegmentationOptions | None = None,
) -> dict[str, object]:
    """The content of ``result.json``; its keys are stable."""
    identity = volume.identity
    document: dict[str, object] = {
        "series_uid": identity.series_uid,
        "study_uid": identity.study_uid,
        "frame_of_reference_uid": identity.frame_of_reference_uid,
        "patient_id": identity.patient_id,
        "task": list(result.tasks),
        "segments": [
            {
                "name": segment.kind.name,
                "label": segment.kind.label,
                **segment.measurements,
                "pieces": [piece_measurements(piece) for piece in segment.pieces],
            }
            for segment in result.segments
        ],
        "threshold_hu": result.threshold_hu,
        "method": result.method,
        "device": result.device,
        "seconds": round(result.seconds, 3),
        "warnings": all_warnings(volume, result, grid),
        "uncertain_slices": list(result.uncertain_slices),
        "shape": list(volume.shape),
        "details": dict(result.details),
        "version": __version__,
    }
    if grid is not None:
        document["grid"] = {
            "shape": list(grid.shape),
            "ijk_to_ras": grid.ijk_to_ras,
            "as_acquired": grid.is_identity,
            "plane_of_slice": grid.plane_of_slice,
        }
    if options is not None:
        document["options"] = options
    return document


def all_warnings(volume: Volume, result: SegmentationResult, grid: RegularGrid | None = None) -> list[str]:
    """What a user should know: of the series, of the grid the files are on, of the task; each once."""
    warnings = (*volume.warnings, *(grid.warnings if grid else ()), *result.warnings)
    return list(dict.fromkeys(warnings))


def remove_result(folder: Path) -> None:
    """Remove what an earlier run wrote into `folder`; files of any other name stay.

    Raises
    ------
    OutputError
        If a file is in the way and cannot be removed.
    """
    try:
        for name in (RESULT, SEGMENTATION, CLEANED, MEASUREMENTS, PREVIEW):
            (folder / name).unlink(missing_ok=True)
        for segment in KINDS:
            for picture in (folder / MASKS / segment).glob("*.png"):
                picture.unlink()
        for emptied in (*(folder / MASKS / segment for segment in KINDS), folder / MASKS):
            with contextlib.suppress(OSError):  # it is not there, or holds files that are not ours
                emptied.rmdir()
        remove_dicom_objects(folder)
    except OSError as error:
        msg = f"Cannot replace the earlier result in {folder}: {error.strerror or error}. Choose another output folder."
        raise OutputError(msg) from error
