"""One stack of a batch: read, segment, write."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..dicom.series import Series
from ..dicom.stacks import Stack
from ..errors import DicomAnalysisError, TaskError
from ..segmentation.options import SegmentationOptions
from .outcomes import DONE, FAILED, SeriesOutcome
from .places import refuse_to_write_among

logger = logging.getLogger(__name__)

READ, SEGMENTED = 0.15, 0.4
"""Shares of a stack's time after which it is read and segmented; the rest goes into writing."""


@dataclass(frozen=True)
class Work:
    """What is done with every stack, and who is told.

    Attributes
    ----------
    options : SegmentationOptions
    masks_png : bool
    tell : callable
        Takes one line for people.
    share : callable
        Takes the share of the stack that is done and the stage.
    write_dicom : bool
        Whether to write the series without its headrest as DICOM, too.
    """

    options: SegmentationOptions
    masks_png: bool
    tell: Callable[[str], None]
    share: Callable[[float, str], None]
    write_dicom: bool = False


def segment_stack(series: Series, stack: Stack, work: Work, outcome: SeriesOutcome) -> SeriesOutcome:
    """Segment one stack into the folder of `outcome`; what goes wrong stands in the outcome that is returned."""
    started = time.perf_counter()
    folder = outcome.folder
    outcome = replace(outcome, status=FAILED, folder=None)
    try:
        refuse_to_write_among(stack.paths[0], folder)
        outcome = _read_segment_write(series, stack, folder, work, outcome)
    except DicomAnalysisError as error:
        outcome = replace(outcome, reason=str(error))
    except MemoryError:
        slices, rows, columns = stack.shape
        outcome = replace(outcome, reason=f"there is not enough memory for {slices} slices of {rows} x {columns}")
    except Exception as error:  # a bug met on one series must not stop the others
        # The message may quote the header; the traceback goes to the log only when it is asked for.
        logger.debug("unexpected error", exc_info=True)
        outcome = replace(outcome, reason=f"an unexpected {type(error).__name__}; please report it")
    return replace(outcome, seconds=time.perf_counter() - started)


def _read_segment_write(
    series: Series, stack: Stack, folder: Path, work: Work, outcome: SeriesOutcome
) -> SeriesOutcome:
    from ..dicom.reader import read_stack
    from ..files.result_folder import write_result
    from ..segmentation import segment

    options = work.options
    modality = series.identity.modality
    if modality != "CT":
        msg = f"it is {modality or 'of unknown modality'}; {', '.join(options.tasks)} need the Hounsfield units of CT"
        raise TaskError(msg)
    slices, rows, columns = stack.shape
    work.tell(f"    reading {slices} slices of {rows} x {columns}")
    volume = read_stack(
        stack, series.identity, series.warnings, lambda done, of: work.share(READ * done / of, "reading")
    )
    work.tell("    segmenting " + ", ".join(options.tasks))
    result = segment(volume, options, lambda share, stage: work.share(READ + (SEGMENTED - READ) * share, stage))
    work.tell("    writing")
    extra = {"stack": outcome.stack, "stacks": len(series.stacks)}
    written = write_result(
        folder,
        volume,
        result,
        options=options,
        masks_png=work.masks_png,
        stack=stack,
        stack_number=outcome.stack,
        write_dicom=work.write_dicom,
        extra=extra,
        progress=lambda share, stage: work.share(SEGMENTED + (1.0 - SEGMENTED) * share, stage),
    )
    return replace(
        outcome,
        status=DONE,
        folder=folder,
        segments={s.kind.name: float(s.measurements.get("volume_ml") or 0.0) for s in result.segments},
        warnings=tuple(json.loads(written["result"].read_text("utf-8"))["warnings"]),
    )
