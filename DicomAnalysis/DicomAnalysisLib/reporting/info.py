"""What a series is, in numbers: extent, place, values. The `info` command, the panel and the tests share it."""

from __future__ import annotations

import numpy as np

from ..volume import Volume
from .planes import plane_of, side_letter

OBLIQUE_DEGREES = 30.0
"""Slices turned farther than this from every anatomical plane are called oblique; gantries tilt by up to 30."""


def describe(volume: Volume) -> dict[str, object]:
    """Numbers about a volume, in JSON's types (NaN where there is none).

    One pass slice by slice; nothing the size of the volume is made.

    Returns
    -------
    dict
        ``shape`` and ``spacing_mm`` in the order (slice, row, column); ``orientation``
        with the nearest anatomical plane and direction cosines (LPS); ``tilt_degrees``;
        ``is_regular`` and ``slice_gaps_mm``; ``minimum, maximum, mean`` of all voxels and,
        ending in ``_without_padding``, of those that are not padding (None where all are);
        ``center_lps_mm`` and ``center_ras_mm``: the continuous index (n - 1) / 2 on each
        axis, which on uneven stacks is the middle by count; ``extent_center_*``: half way
        between the first and the last slice; ``slice_max``: one value for each slice, and
        ``slice_positions_mm`` along the normal.
    """
    geometry, identity = volume.geometry, volume.identity
    extent_center = _extent_center_lps(volume)
    return {
        "series_uid": identity.series_uid,
        "study_uid": identity.study_uid,
        "patient_id": identity.patient_id,
        "frame_of_reference_uid": identity.frame_of_reference_uid,
        "modality": identity.modality,
        "series_description": identity.series_description,
        "patient_position": identity.patient_position,
        "shape": list(volume.shape),
        "spacing_mm": [float(v) for v in geometry.spacing_kji],
        "slice_thickness_mm": float(geometry.slice_thickness),
        "orientation": _orientation(volume),
        "tilt_degrees": geometry.tilt_degrees,
        "is_regular": geometry.is_regular,
        "slice_gaps_mm": _gaps(geometry.slice_gaps),
        **_statistics(volume),
        "center_lps_mm": volume.center_lps.tolist(),
        "center_ras_mm": volume.center_ras.tolist(),
        "extent_center_lps_mm": extent_center.tolist(),
        "extent_center_ras_mm": (extent_center * [-1.0, -1.0, 1.0]).tolist(),
        "slice_positions_mm": geometry.distances.tolist(),
        "warnings": list(volume.warnings),
    }


def _statistics(volume: Volume) -> dict[str, object]:
    whole = np.issubdtype(volume.voxels.dtype, np.integer)
    number = int if whole else float
    total = kept_total = 0
    kept_count = 0
    slice_max, slice_min, kept_max, kept_min = [], [], [], []
    for k, voxels in enumerate(volume.voxels):
        plane_sum = voxels.sum(dtype=np.int64 if whole else np.float64)
        total += number(plane_sum)
        slice_max.append(number(voxels.max()))
        slice_min.append(number(voxels.min()))
        kept = voxels[~volume.padding_mask(k)] if _has_padding(volume, slice_min[-1], slice_max[-1]) else voxels
        kept_count += kept.size
        if kept.size:
            kept_total += number(plane_sum if kept is voxels else kept.sum(dtype=plane_sum.dtype))
            kept_max.append(number(kept.max()))
            kept_min.append(number(kept.min()))
    return {
        "minimum": min(slice_min),
        "maximum": max(slice_max),
        "mean": total / volume.voxels.size,
        "padding_values": [float(v) for v in volume.padding_values],
        "padding_voxels": volume.voxels.size - kept_count,
        "minimum_without_padding": min(kept_min, default=None),
        "maximum_without_padding": max(kept_max, default=None),
        "mean_without_padding": kept_total / kept_count if kept_count else None,
        "slice_max": slice_max,
    }


def _has_padding(volume: Volume, low: float, high: float) -> bool:
    return any(low <= value <= high for value in volume.padding_values)


def _orientation(volume: Volume) -> dict[str, object]:
    geometry = volume.geometry
    normal = geometry.normal
    degrees = float(np.degrees(np.arccos(min(1.0, np.abs(normal).max()))))
    directions = (geometry.row_direction, geometry.column_direction, normal)
    return {
        "plane": plane_of(normal) if degrees <= OBLIQUE_DEGREES else "oblique",
        "degrees_from_plane": degrees,
        "axes": "".join(side_letter(direction) for direction in directions),
        "row_direction_lps": geometry.row_direction.tolist(),
        "column_direction_lps": geometry.column_direction.tolist(),
        "normal_lps": normal.tolist(),
    }


def _gaps(gaps: np.ndarray) -> list[dict[str, float]]:
    """Distinct distances between neighbouring slices (to 0.01 mm) and how often each occurs."""
    values, counts = np.unique(np.round(gaps, 2), return_counts=True)
    return [{"mm": float(mm), "count": int(n)} for mm, n in zip(values, counts, strict=True)]


def _extent_center_lps(volume: Volume) -> np.ndarray:
    k, j, i = volume.shape
    ends = np.array([[(i - 1) / 2, (j - 1) / 2, end] for end in (0, k - 1)])
    return volume.geometry.index_to_lps(ends).mean(axis=0)
