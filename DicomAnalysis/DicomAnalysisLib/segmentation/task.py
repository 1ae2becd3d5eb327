"""The segmentation task: a Volume and options in, a SegmentationResult out."""

from __future__ import annotations

import time

import numpy as np

from ..classification.body_region.use import region_warnings
from ..errors import TaskError
from ..segments import BONE, HEADREST, METAL
from ..volume import Volume
from . import morphology as morph
from .analysis import Analysis, Progress
from .bone import segment_bone
from .headrest import draw, support_region
from .measure import measure_mask, measure_piece
from .metal import location, metal_pieces, metal_threshold
from .network.fusion import draw_headrest, draw_metal
from .options import SegmentationOptions, require_available
from .result import Segment, SegmentationResult

SKIN_MM = 3.0
"""Metal within this of the surface, on either side, lies at the skin."""


def segment(
    volume: Volume, options: SegmentationOptions | None = None, progress: Progress | None = None
) -> SegmentationResult:
    """Segment headrest, metal and bone in one CT volume.

    Parameters
    ----------
    volume : Volume
        Slices as acquired, in Hounsfield units.
    options : SegmentationOptions or None
        None means headrest and metal with defaults.
    progress : callable or None
        Called with a share from 0 to 1 and the stage's name.

    Returns
    -------
    SegmentationResult
        Masks on the acquired grid, one Segment per task, in the order asked for.

    Raises
    ------
    TaskError
        If the volume is not CT, too small to tell patient from support, or beyond the Hounsfield scale.
    UsageError
        If `method` is ``network`` and packages, a model or the device are missing.
    ModelError
        If a model's file was changed or cut short.

    Examples
    --------
    >>> from DicomAnalysisLib.phantom import make_head_phantom
    >>> from DicomAnalysisLib.segmentation import segment
    >>> result = segment(make_head_phantom().volume)
    >>> [s.kind.name for s in result.segments]
    ['Headrest', 'Metal']
    """
    options = options or SegmentationOptions()
    report = progress or silent
    start = time.perf_counter()
    analysis = analyse(volume, options, report)
    segments = segments_of(analysis, options, report)
    report(1.0, "done")
    threshold = analysis.metal.threshold_hu if "metal" in options.tasks else None
    return SegmentationResult(
        tasks=options.tasks,
        segments=tuple(segments),
        threshold_hu=threshold,
        method=analysis.method,
        device=analysis.device,
        seconds=round(time.perf_counter() - start, 3),
        warnings=(*analysis.warnings, *region_warnings(volume, options.tasks)),
        uncertain_slices=analysis.contact_slices if "headrest" in options.tasks else (),
        details=analysis.details(options),
    )


def analyse(volume: Volume, options: SegmentationOptions, report: Progress) -> Analysis:
    """Check a volume and tell patient from support: what every task begins with; errors as for `segment`."""
    _check(volume, options)
    report(0.0, "block means")
    return Analysis(volume, options, report)


def segments_of(analysis: Analysis, options: SegmentationOptions, report: Progress) -> list[Segment]:
    """The segments of an analysed volume, one for each task in the order asked for."""
    return [_TASKS[task](analysis, options, report) for task in options.tasks]


def silent(_share: float, _stage: str) -> None:
    """Report to nobody."""


def _check(volume: Volume, options: SegmentationOptions) -> None:
    modality = volume.identity.modality
    uid = volume.identity.series_uid or "(no UID)"
    if modality and modality != "CT":
        msg = (
            f"Series {uid} is {modality}, not CT: headrest, metal and bone are defined in Hounsfield units. "
            "Choose a CT series."
        )
        raise TaskError(msg)
    if min(volume.shape[1:]) < 16:
        msg = f"Series {uid} has slices of {volume.shape[2]} x {volume.shape[1]} pixels; at least 16 x 16 are needed."
        raise TaskError(msg)
    require_available(options)


def segment_headrest(analysis: Analysis, options: SegmentationOptions, report: Progress) -> Segment:
    """Headrest of an analysed volume; `report` is told a share of the whole task."""
    report(0.5, "headrest")
    volume, grid, levels = analysis.volume, analysis.grid, analysis.levels
    if not analysis.separation.patient.any():
        mask = np.zeros(volume.shape, bool)
        return Segment(HEADREST, mask, measure_mask(volume, mask, components=0))
    block_ml = np.add.reduceat(volume.voxel_volumes_ml(), grid.first_slices) * grid.factor**2
    streaks = np.logical_or.reduceat(analysis.candidates.slices_above(2500.0), grid.first_slices)
    support = support_region(analysis.means, analysis.separation, grid, levels, block_ml, streaks)
    mask = draw(volume.voxels, support, grid, levels, np.empty(volume.shape, bool))
    drawn = draw_headrest(analysis, options, mask, lambda share: report(0.5 + 0.3 * share, "network"))
    if analysis.contact_slices:
        how = "drawn by the network" if drawn else "drawn midway and in doubt left to the patient"
        analysis.warnings.append(
            f"Patient and support touch in slices {_ranges(analysis.contact_slices)} (counted from 1); "
            f"the border there is {how}: look at these slices."
        )
    components = None if drawn else support.pieces
    return Segment(HEADREST, mask, measure_mask(volume, mask, components=components))


def _metal(analysis: Analysis, options: SegmentationOptions, report: Progress) -> Segment:
    report(0.8, "metal")
    volume, patient = analysis.volume, analysis.separation.patient
    analysis.metal = metal_threshold(analysis.candidates, options.metal_threshold_hu)
    used, wanted_hu = analysis.metal.threshold_hu, options.metal_threshold_hu
    if wanted_hu is not None and used is not None and used != wanted_hu:
        analysis.warnings.append(
            f"The threshold {wanted_hu:g} HU lies at or above the scale's end ({analysis.metal.clip_hu:g} HU); "
            f"{used:g} HU was used."
        )
    deep = morph.erode(patient, analysis.grid.steps(SKIN_MM))
    skin = morph.dilate(patient, analysis.grid.steps(SKIN_MM))
    wanted = {"inside": ("inside", "at the skin"), "outside": ("outside",)}.get(options.region)
    mask = np.zeros(volume.shape, bool)
    pieces = []
    for index in draw_metal(analysis, options, metal_pieces(analysis.candidates, analysis.metal)):
        where = location(analysis.coarse_index(index), deep, skin)
        if wanted is None or where in wanted:
            pieces.append(measure_piece(volume, index, where))
            mask.reshape(-1)[index] = True
    return Segment(METAL, mask, measure_mask(volume, mask, components=len(pieces)), tuple(pieces))


def _bone(analysis: Analysis, options: SegmentationOptions, report: Progress) -> Segment:  # noqa: ARG001
    report(0.9, "bone")
    mask = segment_bone(analysis.volume.voxels, analysis.separation.patient, analysis.grid, analysis.levels)
    for index in metal_pieces(analysis.candidates, metal_threshold(analysis.candidates)):
        mask.reshape(-1)[index] = False
    return Segment(BONE, mask, measure_mask(analysis.volume, mask))


_TASKS = {"headrest": segment_headrest, "metal": _metal, "bone": _bone}


def _ranges(slices: tuple[int, ...]) -> str:
    """Slice indices as ranges counted from 1: (0, 1, 2, 7) gives '1-3, 8'."""
    runs: list[list[int]] = []
    for k in slices:
        if runs and k == runs[-1][1] + 1:
            runs[-1][1] = k
        else:
            runs.append([k, k])
    return ", ".join(f"{a + 1}-{b + 1}" if b > a else f"{a + 1}" for a, b in runs)
