"""The DICOM objects among the results of a series: segmentation, report and, on request, the cleaned series."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..dicom.stacks import Stack
from ..errors import UnreadableFileError
from ..segmentation.result import SegmentationResult
from ..segments import HEADREST
from ..volume import Volume
from .atomic import atomic_folder, atomic_path

if TYPE_CHECKING:
    from ..dicom.writing.origin import Origin

SEGMENTATION_DICOM, REPORT, CLEANED_DICOM = "segmentation.dcm", "measurements.dcm", "cleaned-dicom"


@dataclass
class DicomObjects:
    """What was written and what could not be.

    Attributes
    ----------
    files : dict of str to Path
        ``segmentation_dicom``, ``measurements_dicom``, ``cleaned_dicom``; only what was written.
    identifiers : dict of str to dict
        Series number, series and SOP instance UID of each.
    warnings : list of str
        Why something could not be written, and what is not as one may expect.
    """

    files: dict[str, Path] = field(default_factory=dict)
    identifiers: dict[str, dict[str, object]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def write_dicom_objects(
    folder: Path,
    stack: Stack,
    volume: Volume,
    result: SegmentationResult,
    *,
    stack_number: int = 1,
    cleaned: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DicomObjects:
    """Write ``segmentation.dcm``, ``measurements.dcm`` and, if asked for, the series ``cleaned-dicom``.

    A source that does not allow one of them (invalid UIDs, say) is told in the warnings; the others are written.

    Parameters
    ----------
    folder : Path
    stack : Stack
        The slices that `volume` was read from.
    volume : Volume
    result : SegmentationResult
    stack_number : int
        1 for the main stack of the series.
    cleaned : bool
        Whether to write the series without its headrest, too.
    progress : callable, optional
        Called as ``progress(files written, files in all)`` of the cleaned series.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written = DicomObjects()
    with _told(written, "DICOM objects"):
        _write(folder, stack, volume, result, written, stack_number, cleaned, progress)
    # pydicom's elements of several values refer to themselves: without this, some MB a series wait for the collector.
    gc.collect()
    return written


def _write(
    folder: Path,
    stack: Stack,
    volume: Volume,
    result: SegmentationResult,
    written: DicomObjects,
    stack_number: int,
    cleaned: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    from ..dicom.writing.origin import origin_of

    origin = origin_of(stack, volume, stack_number)
    _write_segmentation_and_report(folder, origin, result, written)
    if cleaned:
        _write_cleaned(folder, origin, stack, volume, result, written, progress)


@contextlib.contextmanager
def _told(written: DicomObjects, what: str) -> Iterator[None]:
    """Turn what a source does not allow into a warning."""
    from ..dicom.writing.identifiers import UnfitSourceError

    try:
        yield
    except (UnfitSourceError, UnreadableFileError) as error:
        written.warnings.append(f"No {what} written: {error}")


def _write_segmentation_and_report(
    folder: Path, origin: Origin, result: SegmentationResult, written: DicomObjects
) -> None:
    from ..dicom.writing.report import MAX_PIECES, make_report
    from ..dicom.writing.saving import save
    from ..dicom.writing.seg import make_segmentation

    parameters = {"method": result.method}
    if result.threshold_hu is not None:
        parameters["threshold_hu"] = f"{result.threshold_hu:g}"
    with _told(written, "DICOM segmentation and report"):
        segmentation = make_segmentation(origin, result.segments, method=result.method, parameters=parameters)
        report = make_report(origin, segmentation, result.segments)
        for segment in result.segments:
            if len(segment.pieces) > MAX_PIECES:
                written.warnings.append(
                    f"{segment.kind.name} has {len(segment.pieces)} pieces: the DICOM report holds the {MAX_PIECES} "
                    "largest one by one, the table all of them."
                )
        for name, key, dataset in (
            (SEGMENTATION_DICOM, "segmentation_dicom", segmentation),
            (REPORT, "measurements_dicom", report),
        ):
            written.files[key] = folder / name
            with atomic_path(written.files[key]) as temporary:
                save(dataset, temporary)
            written.identifiers[key] = {
                "series_uid": str(dataset.SeriesInstanceUID),
                "sop_instance_uid": str(dataset.SOPInstanceUID),
                "series_number": int(dataset.SeriesNumber),
            }


def _write_cleaned(
    folder: Path,
    origin: Origin,
    stack: Stack,
    volume: Volume,
    result: SegmentationResult,
    written: DicomObjects,
    progress: Callable[[int, int], None] | None,
) -> None:
    from ..dicom.writing.derived import CleanedSeries

    headrest = result.segment(HEADREST.name)
    if headrest is None:
        written.warnings.append("No cleaned DICOM series written: it needs the task headrest.")
        return
    with _told(written, "cleaned DICOM series"):
        series = CleanedSeries(origin, volume.voxels, headrest.mask)
        with atomic_folder(folder / CLEANED_DICOM) as temporary:
            count = len(series.write(temporary, progress))
        written.files["cleaned_dicom"] = folder / CLEANED_DICOM
        written.identifiers["cleaned_dicom"] = {
            "series_uid": series.series_uid,
            "series_number": series.series_number,
            "files": count,
        }
        written.warnings.extend(series.warnings)
        if not headrest.mask.any():
            written.warnings.append("Cleaned DICOM series: no headrest was found, so nothing in it was changed.")
        if stack.dropped:
            written.warnings.append(
                f"Cleaned DICOM series: {len(stack.dropped)} slice(s) at the place of another one are not in it."
            )


def remove_dicom_objects(folder: Path) -> None:
    """Remove what an earlier run wrote; files of any other name stay.

    Raises
    ------
    OSError
        If a file is in the way and cannot be removed.
    """
    for name in (SEGMENTATION_DICOM, REPORT):
        (folder / name).unlink(missing_ok=True)
    cleaned = folder / CLEANED_DICOM
    for file in cleaned.glob("[0-9][0-9][0-9][0-9]*.dcm"):
        file.unlink()
    with contextlib.suppress(OSError):  # there is none, or it holds files that are not ours
        cleaned.rmdir()
