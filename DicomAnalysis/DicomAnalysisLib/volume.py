"""Voxels with geometry and identity: the value that travels through the program.

Ground floor: imports nothing of ours but the errors. Arrays are ``(k, j, i)`` =
(slice, row, column). Directions and positions are millimetres in the DICOM patient
frame, LPS (x to the left, y to the back, z to the head); functions that answer in
Slicer's frame, RAS, say so in their name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .errors import GeometryError

POSITION_TOLERANCE_MM = 0.1
"""A voxel's position is right when it is off by no more than this."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class StackGeometry:
    """Where the slices of one stack lie, as acquired.

    All slices share orientation and pixel spacing; their positions are free, so gantry
    tilt and uneven spacing are stated as they are, not bent onto a grid.

    Parameters
    ----------
    row_direction : array of shape (3,)
        Unit vector, LPS, along which the column index ``i`` grows
        (first triple of Image Orientation (Patient), PS3.3 C.7.6.2.1.1).
    column_direction : array of shape (3,)
        Unit vector, LPS, along which the row index ``j`` grows (second triple).
    pixel_spacing : tuple of float
        ``(between rows, between columns)`` in mm, DICOM's order: ``(dy, dx)``.
    positions : array of shape (n, 3)
        Centre of the first voxel of each slice, LPS mm, ordered along `normal`.
    slice_thickness : float
        Nominal thickness in mm; the slice step of a single slice.
    """

    row_direction: np.ndarray
    column_direction: np.ndarray
    pixel_spacing: tuple[float, float]
    positions: np.ndarray
    slice_thickness: float = 1.0

    def __post_init__(self) -> None:
        for name in ("row_direction", "column_direction", "positions"):
            value = np.array(getattr(self, name), dtype=np.float64)
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        if self.positions.ndim != 2 or self.positions.shape[1] != 3 or not len(self.positions):
            msg = f"positions must have shape (n, 3) with n of at least 1, not {self.positions.shape}"
            raise GeometryError(msg)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def normal(self) -> np.ndarray:
        """Unit normal of the slices, LPS: row direction x column direction."""
        normal = np.cross(self.row_direction, self.column_direction)
        return normal / np.linalg.norm(normal)

    @property
    def distances(self) -> np.ndarray:
        """Position of each slice along the normal, mm, shape (n,)."""
        return self.positions @ self.normal

    @property
    def slice_gaps(self) -> np.ndarray:
        """Distance between neighbouring slices along the normal, mm, shape (n - 1,)."""
        return np.diff(self.distances)

    @property
    def slice_step(self) -> np.ndarray:
        """Mean step from one slice to the next, LPS mm; not along the normal where the gantry was tilted."""
        if len(self) == 1:
            return self.normal * self.slice_thickness
        return (self.positions[-1] - self.positions[0]) / (len(self) - 1)

    @property
    def slice_spacing(self) -> float:
        """Median distance between slices along the normal, mm (thickness for a single slice)."""
        return float(np.median(self.slice_gaps)) if len(self) > 1 else float(self.slice_thickness)

    @property
    def spacing_kji(self) -> tuple[float, float, float]:
        """Spacing in the order of the array's axes, mm."""
        return (self.slice_spacing, *self.pixel_spacing)

    @property
    def slice_weights_mm(self) -> np.ndarray:
        """Extent along the normal that each slice stands for, mm, shape (n,): half of both gaps.

        Volumes of uneven stacks are sums over slices of area times this weight.
        """
        if len(self) == 1:
            return np.array([self.slice_thickness])
        half = self.slice_gaps / 2
        weights = np.zeros(len(self))
        weights[:-1] += half
        weights[1:] += half
        weights[0] += half[0]
        weights[-1] += half[-1]
        return weights

    @property
    def tilt_degrees(self) -> float:
        """Angle between the stacking direction and the slice normal (gantry tilt), signed about the row axis."""
        step = self.positions[-1] - self.positions[0]
        if len(self) == 1 or np.linalg.norm(step) < POSITION_TOLERANCE_MM:
            return 0.0
        return float(np.degrees(np.arctan2(step @ self.column_direction, step @ self.normal)))

    @property
    def is_regular(self) -> bool:
        """Whether one affine (sheared or not) puts every slice within 0.1 mm of where it was acquired."""
        expected = self.positions[0] + np.arange(len(self))[:, None] * self.slice_step
        return bool(np.linalg.norm(self.positions - expected, axis=1).max() <= POSITION_TOLERANCE_MM)

    @property
    def ijk_to_lps(self) -> np.ndarray:
        """4x4 affine from index (i, j, k) to LPS mm; sheared where the gantry was tilted.

        Raises
        ------
        GeometryError
            If the slices are not evenly spaced: no affine is right for such a stack.
            Use `preprocessing.resampling.to_regular_grid` first.
        """
        if not self.is_regular:
            msg = (
                "The slices are unevenly spaced, so no single affine describes them; "
                "resample the volume to a regular grid first (to_regular_grid)."
            )
            raise GeometryError(msg)
        affine = self.slice_to_lps(0)
        affine[:3, 2] = self.slice_step
        return affine

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """The same affine in Slicer's frame (RAS)."""
        return LPS_TO_RAS @ self.ijk_to_lps

    def slice_to_lps(self, k: int) -> np.ndarray:
        """4x4 affine from (i, j, 0) of slice `k` to LPS mm: exact for every stack."""
        affine = np.eye(4)
        affine[:3, 0] = self.row_direction * self.pixel_spacing[1]
        affine[:3, 1] = self.column_direction * self.pixel_spacing[0]
        affine[:3, 2] = self.normal * self.slice_spacing
        affine[:3, 3] = self.positions[k]
        return affine

    def index_to_lps(self, ijk: np.ndarray) -> np.ndarray:
        """LPS mm of continuous indices; between slices the position is interpolated, outside extrapolated.

        Parameters
        ----------
        ijk : array of shape (..., 3)
            Continuous voxel indices (i, j, k); whole numbers are voxel centres.
        """
        ijk = np.asarray(ijk, dtype=np.float64)
        i, j, k = ijk[..., 0], ijk[..., 1], ijk[..., 2]
        low = np.clip(np.floor(k), 0, max(len(self) - 2, 0)).astype(int)
        high = np.minimum(low + 1, len(self) - 1)
        step = np.where((high > low)[..., None], self.positions[high] - self.positions[low], self.slice_step)
        along = self.positions[low] + (k - low)[..., None] * step
        dy, dx = self.pixel_spacing
        return along + (i * dx)[..., None] * self.row_direction + (j * dy)[..., None] * self.column_direction

    def index_to_ras(self, ijk: np.ndarray) -> np.ndarray:
        """RAS mm of continuous indices (see `index_to_lps`)."""
        return self.index_to_lps(ijk) * np.array([-1.0, -1.0, 1.0])

    def select(self, slices: slice | np.ndarray) -> StackGeometry:
        """The geometry of some of the slices."""
        return replace(self, positions=self.positions[slices])


@dataclass(frozen=True)
class SeriesIdentity:
    """Who and what a volume is: the identifiers that results must keep.

    Patient name and birth date are deliberately absent.
    """

    series_uid: str = ""
    study_uid: str = ""
    patient_id: str = ""
    frame_of_reference_uid: str = ""
    modality: str = "CT"
    series_description: str = ""
    body_part: str = ""
    patient_position: str = ""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels of one stack as acquired, in Hounsfield units for CT.

    Parameters
    ----------
    voxels : array of shape (k, j, i)
        int16 where rescaled values are whole numbers that fit, else float32. Read-only.
    geometry : StackGeometry
        One position per slice.
    identity : SeriesIdentity
    sop_instance_uids : tuple of str
        One per slice; frames of one multi-frame instance repeat its UID.
    frame_numbers : tuple of int
        One per slice, counted from 1 inside the instance (1 for single-frame instances).
    padding_values : tuple of float
        Rescaled values that stand for "outside the field of view"; kept apart in statistics.
    warnings : tuple of str
        What was unusual about the series and how it was handled.

    Raises
    ------
    GeometryError
        If the number of positions or identifiers differs from the number of slices.
    """

    voxels: np.ndarray
    geometry: StackGeometry
    identity: SeriesIdentity = field(default_factory=SeriesIdentity)
    sop_instance_uids: tuple[str, ...] = ()
    frame_numbers: tuple[int, ...] = ()
    padding_values: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or self.voxels.size == 0:
            msg = f"A volume needs three axes (slice, row, column) of at least one voxel, not shape {self.voxels.shape}"
            raise GeometryError(msg)
        counts = {"positions": len(self.geometry)}
        if self.sop_instance_uids:
            counts["SOP instance UIDs"] = len(self.sop_instance_uids)
        for what, count in counts.items():
            if count != len(self.voxels):
                msg = f"The volume has {len(self.voxels)} slices but {count} {what}"
                raise GeometryError(msg)
        view = self.voxels.view()
        view.flags.writeable = False
        object.__setattr__(self, "voxels", view)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.voxels.shape

    @property
    def center_lps(self) -> np.ndarray:
        """LPS mm of the continuous index (n - 1) / 2 on each axis."""
        k, j, i = self.shape
        return self.geometry.index_to_lps(np.array([(i - 1) / 2, (j - 1) / 2, (k - 1) / 2]))

    @property
    def center_ras(self) -> np.ndarray:
        """The same point in Slicer's frame (RAS)."""
        return self.center_lps * np.array([-1.0, -1.0, 1.0])

    def padding_mask(self, k: int) -> np.ndarray:
        """Which voxels of slice `k` are padding, bool of shape (rows, columns)."""
        mask = np.zeros(self.shape[1:], bool)
        for value in self.padding_values:
            mask |= self.voxels[k] == value
        return mask

    def voxel_volumes_ml(self) -> np.ndarray:
        """Volume that one voxel of each slice stands for, ml, shape (k,)."""
        dy, dx = self.geometry.pixel_spacing
        return self.geometry.slice_weights_mm * dy * dx / 1000.0

    def with_voxels(self, voxels: np.ndarray) -> Volume:
        """A volume in the same place with other voxels."""
        return replace(self, voxels=voxels)
