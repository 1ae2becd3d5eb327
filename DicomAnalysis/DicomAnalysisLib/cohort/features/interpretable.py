"""Interpretable features of one stack: what is in the body, how large it is, and what lies on and in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage as ndi

from ...errors import TaskError
from ...segmentation.coarse import CoarseGrid
from ...segmentation.options import TASKS, SegmentationOptions
from ...segmentation.result import Segment
from ...segmentation.task import analyse, segments_of, silent
from ...volume import Volume
from .shapes import SHAPE_NAMES, shape_features
from .statistics import INTENSITY_NAMES, intensity_statistics, share_between

REVISION = 1
"""Rises when the same series would give other numbers."""

TISSUES_HU = {
    "air": (-2000.0, -950.0),
    "lung": (-950.0, -700.0),
    "fat": (-190.0, -30.0),
    "soft": (-30.0, 150.0),
    "bone": (300.0, 2500.0),
    "dense": (2500.0, 40000.0),
}
"""Ranges of Hounsfield units whose shares of the body are features of CT."""

_OF_SEGMENT = ("mean_hu", "max_hu", "components", "offset_lr_mm", "offset_ap_mm", "offset_si_mm")
_FOREGROUND_BINS = 256

FEATURE_NAMES: tuple[str, ...] = (
    *(f"body_{name}" for name in INTENSITY_NAMES),
    *(f"body_share_{name}" for name in TISSUES_HU),
    *(f"body_{name}" for name in SHAPE_NAMES),
    *(f"{task}_{name}" for task in TASKS for name in (*SHAPE_NAMES, *_OF_SEGMENT)),
)
"""Columns of the table, the same for every series; what a series has not is NaN."""


def interpretable_features(volume: Volume) -> dict[str, float]:
    """Measure one stack.

    Parameters
    ----------
    volume : Volume
        Hounsfield units for CT. Of other modalities the body is what is brighter than the background,
        and headrest, metal and bone are not measured.

    Returns
    -------
    dict of str to float
        `FEATURE_NAMES`. ``body_…``: intensity statistics inside the body (see `statistics`), shares of the
        ranges of `TISSUES_HU`, size and shape (see `shapes`). ``headrest_…``, ``metal_…``, ``bone_…``: size
        and shape of the segment, its values, number of pieces, and where its centre lies from the body's,
        mm to the right, front and head (RAS). Lengths are millimetres, volumes millilitres.
    """
    found = dict.fromkeys(FEATURE_NAMES, float("nan"))
    options = SegmentationOptions(tasks=TASKS, method="classical")
    is_ct = volume.identity.modality in ("", "CT")
    segments: list[Segment] = []
    try:
        if not is_ct:
            grid, body = _foreground(volume)
        else:
            analysis = analyse(volume, options, silent)
            grid, body = analysis.grid, analysis.separation.patient
            segments = segments_of(analysis, options, silent)
    except TaskError:  # too few pixels, or beyond the Hounsfield scale: all of it is measured as it is
        grid, body = _foreground(volume)
    statistics, values, counts = intensity_statistics(_values(volume, grid, body))
    found |= {f"body_{name}": value for name, value in statistics.items()}
    if is_ct:
        found |= {f"body_share_{name}": share_between(values, counts, *hu) for name, hu in TISSUES_HU.items()}
    found |= {f"body_{n}": v for n, v in shape_features(volume, body, grid.factor, grid.depth).items()}
    center = _center_ras(volume, grid, body)
    for segment in segments:
        found |= {f"{segment.kind.name.lower()}_{n}": v for n, v in _segment_features(volume, segment, center).items()}
    return found


def _segment_features(volume: Volume, segment: Segment, body_center: np.ndarray) -> dict[str, float]:
    measured = segment.measurements
    box = measured["bbox_ijk"]
    if box is None:
        return {**shape_features(volume, segment.mask), "components": 0.0}
    factor, depth, mask = _few_enough(segment.mask)
    found = shape_features(volume, mask, factor, depth)
    found["volume_ml"] = float(measured["volume_ml"])
    offset = np.array(measured["centroid_ras_mm"]) - body_center
    return found | {
        "mean_hu": float(measured["mean_hu"]),
        "max_hu": float(measured["max_hu"]),
        "components": float(measured["components"]),
        **dict(zip(("offset_lr_mm", "offset_ap_mm", "offset_si_mm"), map(float, offset), strict=True)),
    }


def _few_enough(mask: np.ndarray) -> tuple[int, int, np.ndarray]:
    """A large mask on blocks of four by four pixels that hold any of it: as good for its shape, at a sixteenth."""
    if np.count_nonzero(mask) < 200_000:
        return 1, 1, mask
    slices, rows, columns = mask.shape
    padded = np.zeros((slices, -(-rows // 4) * 4, -(-columns // 4) * 4), bool)
    padded[:, :rows, :columns] = mask
    return 4, 1, padded.reshape(slices, padded.shape[1] // 4, 4, padded.shape[2] // 4, 4).any(axis=(2, 4))


def _foreground(volume: Volume) -> tuple[CoarseGrid, np.ndarray]:
    """What is brighter than the background, in one piece and without holes, on blocks of the grid."""
    grid = CoarseGrid.of(volume.shape, volume.geometry)
    sample = volume.voxels[:: grid.depth, :: grid.factor, :: grid.factor].astype(np.float32)
    sample[~np.isfinite(sample)] = 0.0
    low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return grid, np.ones(sample.shape, bool)
    bright = sample > _otsu(sample, low, high)
    labels, count = ndi.label(bright)
    if not count:
        return grid, np.ones(sample.shape, bool)
    largest = np.bincount(labels.reshape(-1))[1:].argmax() + 1
    return grid, np.stack([ndi.binary_fill_holes(plane) for plane in labels == largest])


def _otsu(sample: np.ndarray, low: float, high: float) -> float:
    """Threshold of the greatest variance between the classes (N. Otsu, IEEE Trans. SMC 9/1, 1979)."""
    counts, edges = np.histogram(sample, _FOREGROUND_BINS, (low, high))
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(edges[int(np.nanargmax(between[:-1])) + 1])


def _values(volume: Volume, grid: CoarseGrid, body: np.ndarray) -> Iterator[np.ndarray]:
    """Values inside the body, a slice at a time, without padding."""
    for layer, blocks in enumerate(body):
        if blocks.any():
            inside = grid.repeat(blocks)
            for k in grid.layer_slices(layer):
                chosen = inside & ~volume.padding_mask(k) if volume.padding_values else inside
                yield volume.voxels[k][chosen]


def _center_ras(volume: Volume, grid: CoarseGrid, body: np.ndarray) -> np.ndarray:
    index = np.argwhere(body)
    if not len(index):
        return np.full(3, np.nan)
    middle = index.mean(axis=0)[::-1] * [grid.factor, grid.factor, grid.depth]
    return volume.geometry.index_to_ras(middle + (np.array([grid.factor, grid.factor, grid.depth]) - 1) / 2)
