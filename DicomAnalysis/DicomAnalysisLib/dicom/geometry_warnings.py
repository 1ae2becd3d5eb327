"""What is unusual about a stack's geometry, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..volume import StackGeometry

if TYPE_CHECKING:
    from .stacks import DroppedSlice, Slice

SPACING_TOLERANCE_MM = 0.01
TILT_TOLERANCE_DEGREES = 0.1


def median(values: np.ndarray) -> np.ndarray:
    """Median along the first axis; `numpy.median` would import `numpy.ma`, which takes longer than reading a header."""
    ordered = np.sort(values, axis=0)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def describe_geometry(
    geometry: StackGeometry, slices: Sequence[Slice], dropped: Sequence[DroppedSlice], known_thickness: bool
) -> Iterable[str]:
    """One sentence for each thing a user should know about how the slices lie."""
    if len(slices) == 1:
        thickness = f"{geometry.slice_thickness:g} mm" if known_thickness else "unknown, taken as 1 mm"
        yield f"A single slice; its thickness is {thickness}."
    else:
        yield from _describe_gaps(geometry)
        yield from _describe_shear(geometry)
    yield from _describe_dropped(dropped)
    yield from _describe_identity(slices)


def _describe_shear(geometry: StackGeometry) -> Iterable[str]:
    """Gantry tilt shifts slices along their columns; anything else along their rows."""
    if abs(geometry.tilt_degrees) > TILT_TOLERANCE_DEGREES:
        yield f"The gantry was tilted by {abs(geometry.tilt_degrees):.1f} degrees: slices are kept as acquired."
    step = geometry.positions[-1] - geometry.positions[0]
    sideways = float(np.degrees(np.arctan2(abs(step @ geometry.row_direction), step @ geometry.normal)))
    if sideways > TILT_TOLERANCE_DEGREES:
        yield f"Slices are shifted along their rows, by {sideways:.1f} degrees: they are kept as acquired."


def _describe_gaps(geometry: StackGeometry) -> Iterable[str]:
    gaps = geometry.slice_gaps
    usual = float(median(gaps))
    if np.ptp(gaps) <= SPACING_TOLERANCE_MM:
        return
    wide = np.flatnonzero(gaps > 1.5 * usual)
    narrow = np.flatnonzero(gaps < usual - max(SPACING_TOLERANCE_MM, 0.05 * usual))
    missing = [k for k in wide if abs(gaps[k] / usual - round(gaps[k] / usual)) < 0.05]
    if len(wide) and len(missing) == len(wide) and len(wide) * 3 <= len(gaps):
        count = sum(round(gaps[k] / usual) - 1 for k in missing)
        between = ", ".join(f"{k + 1} and {k + 2} ({gaps[k]:g} mm)" for k in map(int, missing[:5]))
        more = " and elsewhere" if len(missing) > 5 else ""
        yield f"{count} slice(s) are missing: gaps between slices {between}{more}, where {usual:g} mm is usual."
    elif np.ptp(gaps) > 0.05 * usual:
        steps = ", ".join(f"{value:g} mm x {count}" for value, count in _histogram(gaps))
        yield f"The slices are unevenly spaced ({steps}); each is kept where it was acquired."
    if len(narrow):
        yield (
            f"Acquisitions overlap: {len(narrow)} slice gap(s) are down to {gaps[narrow].min():.2f} mm, "
            f"where {usual:g} mm is usual."
        )


def _histogram(gaps: np.ndarray) -> list[tuple[float, int]]:
    values, counts = np.unique(np.round(gaps, 2), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:6]
    return [(float(values[k]), int(counts[k])) for k in order]


def _describe_dropped(dropped: Sequence[DroppedSlice]) -> Iterable[str]:
    for near, what in ((False, "duplicate"), (True, "near-duplicate")):
        chosen = [slice_ for slice_ in dropped if (slice_.distance_mm > 1e-6) == near]
        if not chosen:
            continue
        names = ", ".join(_label(slice_) for slice_ in chosen[:10])
        more = f" and {len(chosen) - 10} more" if len(chosen) > 10 else ""
        distance = f" (up to {max(s.distance_mm for s in chosen):.3f} mm apart)" if near else ""
        yield f"{len(chosen)} {what} slice(s) at the place of another{distance} were left out: {names}{more}."


def _label(slice_: DroppedSlice) -> str:
    frame = f" frame {slice_.frame_number}" if len(slice_.instance.frames) > 1 else ""
    return f"{slice_.instance.sop_instance_uid} (file {Path(slice_.instance.path).name}{frame})"


def _describe_identity(slices: Sequence[Slice]) -> Iterable[str]:
    instances = {id(instance): instance for instance, _ in slices}.values()
    frames_of_reference = {instance.facts.identity.frame_of_reference_uid for instance in instances}
    if len(frames_of_reference) > 1:
        yield (
            f"Its files state {len(frames_of_reference)} different frames of reference; "
            "they are taken as one because each covers a slice or two only."
        )
    uids = [instance.sop_instance_uid for instance in instances if instance.sop_instance_uid]
    repeated = len(uids) - len(set(uids))
    if repeated:
        yield f"{repeated} SOP instance UID(s) are used at more than one position; all slices are kept."
    nameless = sum(not instance.sop_instance_uid for instance in instances)
    if nameless:
        yield f"{nameless} file(s) have no SOP instance UID."
