"""From loose instances to ordered stacks: which slices belong together, and in which order.

Slices are ordered by Image Position (Patient) along their normal, never by file name,
instance number or slice location. One series can hold several stacks: slices of another
matrix, orientation, pixel spacing or lateral place, scouts, and repeated scans of one
place are stacks of their own. Within a stack:

- **The same place twice** (closer than `same_place_mm`): one slice is kept, the others are
  dropped and named. Kept is the one of the acquisition that gives the stack most slices, then one that was not lossily
  compressed, then of the lower acquisition number, instance number, and SOP instance UID.
- **Repeated scans** (phases, energies, kernels): where at least half of the places are
  taken more than once and a header attribute tells the scans apart, each scan becomes a stack.
- **Gaps, uneven spacing, overlapping acquisitions, gantry tilt**: slices stay where they were
  acquired; a warning says what there is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..volume import POSITION_TOLERANCE_MM, StackGeometry
from .geometry_warnings import describe_geometry, median
from .instance import Instance

Slice = tuple[Instance, int]
"""An instance and a frame number counted from 1."""

CORNER_TOLERANCE_MM = POSITION_TOLERANCE_MM / 2
"""Slices share a plane grid when no voxel of one is further than this from where the other's grid has it."""


@dataclass(frozen=True)
class DroppedSlice:
    """A slice left out because another one is at its place."""

    instance: Instance
    frame_number: int
    kept: Instance
    kept_frame_number: int
    distance_mm: float


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that make one volume.

    Attributes
    ----------
    slices : tuple of (Instance, int)
        Instance and frame number (from 1), ordered along the normal.
    geometry : StackGeometry
    dropped : tuple of DroppedSlice
    warnings : tuple of str
    is_localizer : bool
        Whether these are scout images.
    """

    slices: tuple[Slice, ...]
    geometry: StackGeometry
    dropped: tuple[DroppedSlice, ...] = ()
    warnings: tuple[str, ...] = ()
    is_localizer: bool = False

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        pixels = self.slices[0][0].pixels
        return len(self.slices), pixels.rows, pixels.columns

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, in the order of the slices."""
        return tuple(dict.fromkeys(instance.path for instance, _ in self.slices))


def build_stacks(instances: Iterable[Instance]) -> tuple[Stack, ...]:
    """Sort the instances of one series into stacks, largest first, scouts last."""
    planes: list[list[Slice]] = []
    for group in _by_frame_of_reference(list(instances)):
        for slices in _by_plane(group):
            for lateral in _by_lateral_place(slices):
                planes.extend(_by_repetition(lateral))
    stacks = [_build(slices) for slices in planes]
    return tuple(sorted(stacks, key=_rank))


def without(stack: Stack, unreadable: Collection[int]) -> Stack:
    """The stack that remains when the slices at some indices turn out to be unreadable."""
    left = [entry for k, entry in enumerate(stack.slices) if k not in unreadable]
    ids = {(id(instance), number) for instance, number in left}
    dropped = tuple(one for one in stack.dropped if (id(one.kept), one.kept_frame_number) in ids)
    return _build(left, dropped)


def _rank(stack: Stack) -> tuple:
    count, rows, columns = stack.shape
    first = stack.slices[0][0]
    return stack.is_localizer, -count, -rows * columns, tuple(stack.geometry.positions[0]), first.sop_instance_uid


def same_place_mm(pixel_spacing: tuple[float, float]) -> float:
    """Slices closer than this are at the same place: a tenth of a pixel, at most 0.1 mm."""
    return min(POSITION_TOLERANCE_MM, 0.1 * min(pixel_spacing))


def _by_frame_of_reference(instances: list[Instance]) -> list[list[Slice]]:
    """Split where the frame of reference changes, unless it changes with nearly every file.

    De-identification tools that give each file a frame of reference of its own are known; positions of
    such a series still fit together, while two real frames of reference come as blocks of slices.
    """
    groups: dict[str, list[Slice]] = defaultdict(list)
    for instance in instances:
        groups[instance.facts.identity.frame_of_reference_uid].extend(
            (instance, n + 1) for n in range(len(instance.frames))
        )
    if len(groups) * 2 > sum(map(len, groups.values())):
        return [[entry for group in groups.values() for entry in group]]
    return list(groups.values())


def _by_plane(slices: list[Slice]) -> list[list[Slice]]:
    """Group by matrix, kind, and by rows, columns and spacing to `CORNER_TOLERANCE_MM` at the far corner."""
    groups: dict[tuple, list[tuple[np.ndarray, list[Slice]]]] = defaultdict(list)
    exact: dict[tuple, list[Slice]] = {}
    for instance, number in sorted(slices, key=_order_of_preference):
        frame, pixels = instance.frames[number - 1], instance.pixels
        matrix = (pixels.rows, pixels.columns, instance.is_localizer)
        key = (matrix, frame.orientation, frame.spacing)
        if key not in exact:
            dy, dx = frame.spacing
            edges = np.concatenate(
                [
                    np.array(frame.orientation[:3]) * dx * (pixels.columns - 1),
                    np.array(frame.orientation[3:]) * dy * (pixels.rows - 1),
                ]
            )
            for known, members in groups[matrix]:
                if np.abs(known - edges).max() <= CORNER_TOLERANCE_MM / 2:
                    exact[key] = members
                    break
            else:
                exact[key] = []
                groups[matrix].append((edges, exact[key]))
        exact[key].append((instance, number))
    return [members for matrix in groups.values() for _, members in matrix]


def _order_of_preference(entry: Slice) -> tuple:
    instance, number = entry
    facts = instance.facts
    return (
        facts.is_lossy,
        facts.acquisition_number,
        instance.instance_number,
        instance.sop_instance_uid,
        instance.path,
        number,
    )


def _positions(slices: Sequence[Slice]) -> np.ndarray:
    return np.array([instance.frames[number - 1].position for instance, number in slices])


def _axes(entry: Slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row direction, column direction and unit normal."""
    orientation = entry[0].frames[entry[1] - 1].orientation
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def _by_lateral_place(slices: list[Slice]) -> list[list[Slice]]:
    """Split slices whose planes lie beside each other (another reconstruction centre).

    A straight line through the positions is allowed for: gantry tilt shifts every slice by
    the same amount for each millimetre. What is further than a millimetre off that line is another stack.
    """
    if len(slices) < 3:
        return [slices]
    row, column, normal = _axes(slices[0])
    positions = _positions(slices)
    along, lateral = positions @ normal, np.stack([positions @ row, positions @ column], axis=1)
    order = np.argsort(along, kind="stable")
    steps, shifts = np.diff(along[order]), np.diff(lateral[order], axis=0)
    moved = steps > same_place_mm(slices[0][0].frames[slices[0][1] - 1].spacing)
    drift = median(shifts[moved] / steps[moved, None]) if moved.any() else np.zeros(2)
    residual = lateral - along[:, None] * drift
    labels = np.zeros(len(slices), int)
    for axis in range(2):
        by_residual = np.argsort(residual[:, axis], kind="stable")
        jumps = np.diff(residual[by_residual, axis]) > 1.0
        cluster = np.zeros(len(slices), int)
        cluster[by_residual[1:]] = np.cumsum(jumps)
        labels = labels * (cluster.max() + 1) + cluster
    groups: dict[int, list[Slice]] = defaultdict(list)
    for entry, label in zip(slices, labels.tolist(), strict=True):
        groups[label].append(entry)
    return list(groups.values())


def _by_repetition(slices: list[Slice]) -> list[list[Slice]]:
    """Split repeated scans of the same places where an attribute of the header tells them apart."""
    tolerance = same_place_mm(slices[0][0].frames[slices[0][1] - 1].spacing)
    along = _positions(slices) @ _axes(slices[0])[2]
    places = _places(along, tolerance)
    counts = np.bincount(places)
    if len(counts) < 2 or np.count_nonzero(counts > 1) * 2 < len(counts):
        return [slices]
    for attribute in range(max(len(instance.frames[number - 1].phase) for instance, number in slices) + 1):
        scans: dict[object, list[int]] = defaultdict(list)
        for k, (instance, number) in enumerate(slices):
            phase = instance.frames[number - 1].phase
            scans[phase[attribute] if attribute < len(phase) else instance.facts.image_type].append(k)
        clean = all(len(np.unique(places[members])) == len(members) > 1 for members in scans.values())
        if len(scans) > 1 and clean:
            return [[slices[k] for k in members] for members in scans.values()]
    return [slices]


def _places(along: np.ndarray, tolerance: float) -> np.ndarray:
    """Number the distinct places: positions closer than `tolerance` to the one before share a number."""
    order = np.argsort(along, kind="stable")
    places = np.zeros(len(along), int)
    places[order[1:]] = np.cumsum(np.diff(along[order]) > tolerance)
    return places


def _build(slices: list[Slice], already_dropped: tuple[DroppedSlice, ...] = ()) -> Stack:
    first = slices[0][0].frames[slices[0][1] - 1]
    tolerance = same_place_mm(first.spacing)
    row, column, normal = _axes(slices[0])
    along = _positions(slices) @ normal
    places = _places(along, tolerance)
    kept, dropped = _keep_one_at_each_place(slices, along, places)
    dropped = already_dropped + dropped
    kept_slices = tuple(slices[k] for k in kept)
    thickness = next((frame.thickness for frame in _frames(kept_slices) if frame.thickness), 0.0)
    geometry = StackGeometry(
        row_direction=row,
        column_direction=column,
        pixel_spacing=first.spacing,
        positions=_positions(kept_slices),
        slice_thickness=thickness or 1.0,
    )
    is_localizer = slices[0][0].is_localizer
    warnings = describe_geometry(geometry, kept_slices, dropped, known_thickness=bool(thickness))
    return Stack(kept_slices, geometry, dropped, tuple(warnings), is_localizer)


def _frames(slices: Iterable[Slice]) -> Iterable:
    return (instance.frames[number - 1] for instance, number in slices)


def _keep_one_at_each_place(
    slices: list[Slice], along: np.ndarray, places: np.ndarray
) -> tuple[list[int], tuple[DroppedSlice, ...]]:
    """Indices of the kept slices in order of place, and what was dropped."""
    if places.max() + 1 == len(slices):
        return [int(k) for k in np.argsort(along, kind="stable")], ()
    acquisitions = Counter(instance.facts.acquisition_number for instance, _ in slices)

    def preference(k: int) -> tuple:
        return (-acquisitions[slices[k][0].facts.acquisition_number], *_order_of_preference(slices[k]))

    kept, dropped = [], []
    for place in range(int(places.max()) + 1):
        members = sorted((int(k) for k in np.flatnonzero(places == place)), key=preference)
        best = members[0]
        kept.append(best)
        dropped.extend(DroppedSlice(*slices[k], *slices[best], abs(float(along[k] - along[best]))) for k in members[1:])
    return kept, tuple(dropped)
