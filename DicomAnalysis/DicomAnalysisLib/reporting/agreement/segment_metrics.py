"""How alike two masks are: Dice, Hausdorff 95, average surface distance by MONAI; volumes.

Distances are in mm between the surfaces' voxel centres (`monai.metrics`), symmetric: the Hausdorff distance is the
larger of the two 95th percentiles, the surface distance the mean over both surfaces' points.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import GeometryError

if TYPE_CHECKING:
    import SimpleITK as sitk

SAME_GRID_MM = 0.01
SHEAR = 1e-4
"""Largest cosine between axes that counts as a right angle."""
MARGIN = 2
"""Voxels kept around both masks: surfaces need their surroundings."""


@dataclass(frozen=True)
class MaskComparison:
    """Two masks of one segment.

    Attributes
    ----------
    dice, hausdorff95_mm, surface_distance_mm : float or None
        None where they are not defined; `reason` says why.
    volume_first_ml, volume_second_ml : float
        Each on its own grid.
    notes : tuple of str
        What was done to bring them onto one grid.
    """

    dice: float | None
    hausdorff95_mm: float | None
    surface_distance_mm: float | None
    volume_first_ml: float
    volume_second_ml: float
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def volume_difference_ml(self) -> float:
        """First minus second."""
        return self.volume_first_ml - self.volume_second_ml

    @property
    def volume_difference_percent(self) -> float | None:
        """Of the second, the reference; None where that is empty."""
        return 100 * self.volume_difference_ml / self.volume_second_ml if self.volume_second_ml else None


def compare_masks(
    first: sitk.Image, second: sitk.Image, names: tuple[str, str] = ("first", "second")
) -> MaskComparison:
    """Compare two binary images; the second is the reference, onto whose grid the first is brought.

    Parameters
    ----------
    first, second : SimpleITK image
        3-D, 0 and 1; any grids that share physical space.
    names : tuple of two str
        For what is said about them.

    Raises
    ------
    GeometryError
        If the two lie in different places.
    """
    import SimpleITK as sitk

    volumes = [_volume_ml(one) for one in (first, second)]
    grid, notes = _common_grid(first, second, names)
    arrays = []
    for image in (first, second):
        if grid is not image:
            image = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        arrays.append(sitk.GetArrayFromImage(image) > 0)
    empty = [not array.any() for array in arrays]
    if all(empty):
        return MaskComparison(None, None, None, *volumes, "both are empty: Dice and distances are not defined", notes)
    if any(empty):
        reason = f"empty in {names[empty.index(True)]}: distances are not defined"
        return MaskComparison(0.0, None, None, *volumes, reason, notes)
    dice, hausdorff, surface = _metrics(*_cropped(*arrays), grid.GetSpacing()[::-1])
    return MaskComparison(dice, hausdorff, surface, *volumes, "", notes)


def _metrics(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> tuple[float, float, float]:
    """Dice, Hausdorff 95 and average surface distance of two masks (k, j, i) that are not empty."""
    import torch
    from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance

    pair = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (first, second)]
    settings = {"include_background": True, "spacing": list(spacing)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns of its own calls
        dice = compute_dice(*(one.float() for one in pair)).item()
        hausdorff = compute_hausdorff_distance(*pair, percentile=95, **settings).item()
        surface = compute_average_surface_distance(*pair, symmetric=True, **settings).item()
    return dice, hausdorff, surface


def _volume_ml(mask: sitk.Image) -> float:
    import SimpleITK as sitk

    voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
    directions = np.reshape(mask.GetDirection(), (3, 3)) * np.array(mask.GetSpacing())
    return voxels * abs(float(np.linalg.det(directions))) / 1000


def _common_grid(first: sitk.Image, second: sitk.Image, names: tuple[str, str]) -> tuple[sitk.Image, tuple[str, ...]]:
    """The grid to compare on: the second's, or an upright one where its axes are sheared; it holds all of both."""
    _require_overlap(first, second)
    notes = []
    if not _is_same_grid(first, second):
        notes.append(f"{names[0]} was resampled (nearest voxel) onto the grid of {names[1]}")
    if not _is_sheared(second):
        return _holding(second, first), tuple(notes)
    notes.append("both were resampled (nearest voxel) onto an upright grid: the slices are sheared by a tilted gantry")
    return _holding(_upright(second), first), tuple(notes)


def _holding(grid: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The grid with as many empty voxels around it as the mask reaches beyond it: a file may be cropped to its segment.

    The grid itself where the mask does not.
    """
    import SimpleITK as sitk

    array = sitk.GetArrayViewFromImage(mask)
    if not array.any():
        return grid
    ends = [(float(places[0]) - 0.5, float(places[-1]) + 0.5) for places in _occupied(array)[::-1]]
    points = (mask.TransformContinuousIndexToPhysicalPoint(corner) for corner in itertools.product(*ends))
    corners = np.array([grid.TransformPhysicalPointToContinuousIndex(point) for point in points])
    lower = np.maximum(0, -np.ceil(corners.min(0))).astype(int)
    upper = np.maximum(0, np.floor(corners.max(0)) + 1 - grid.GetSize()).astype(int)
    return sitk.ConstantPad(grid, lower.tolist(), upper.tolist()) if lower.any() or upper.any() else grid


def _is_same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    if first.GetSize() != second.GetSize():
        return False
    return bool(np.abs(_corners(first) - _corners(second)).max() <= SAME_GRID_MM)


def _require_overlap(first: sitk.Image, second: sitk.Image) -> None:
    one, other = _corners(first), _corners(second)
    if (one.min(0) > other.max(0)).any() or (other.min(0) > one.max(0)).any():
        msg = "the two segmentations lie in different places: are they of the same series?"
        raise GeometryError(msg)


def _corners(image: sitk.Image) -> np.ndarray:
    """World coordinates (LPS, mm) of the eight corner voxels."""
    size = np.array(image.GetSize()) - 1
    corners = np.array(np.meshgrid(*([0, 1],) * 3, indexing="ij")).reshape(3, -1).T * size
    return np.array([image.TransformIndexToPhysicalPoint([int(index) for index in corner]) for corner in corners])


def _is_sheared(image: sitk.Image) -> bool:
    axes = np.reshape(image.GetDirection(), (3, 3))
    axes = axes / np.linalg.norm(axes, axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > SHEAR)


def _upright(image: sitk.Image) -> sitk.Image:
    """An empty image with right angles that holds all of `image`: its rows and columns, slices along the normal."""
    import SimpleITK as sitk

    axes = np.reshape(image.GetDirection(), (3, 3))
    row, column = axes[:, 0] / np.linalg.norm(axes[:, 0]), axes[:, 1]
    column = column - row * (row @ column)
    column /= np.linalg.norm(column)
    frame = np.column_stack([row, column, np.cross(row, column)])
    steps = axes * np.array(image.GetSpacing())
    # Along the normal the slices are closer than along their sheared axis.
    spacing = np.abs(np.einsum("ij,ij->j", frame, steps))
    along = _corners(image) @ frame
    size = np.ceil((along.max(0) - along.min(0)) / spacing).astype(int) + 1
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection(frame.ravel().tolist())
    grid.SetOrigin((frame @ along.min(0)).tolist())
    return grid


def _cropped(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks without the emptiness around them."""
    occupied = _occupied(first | second)
    box = tuple(slice(max(0, int(places[0]) - MARGIN), int(places[-1]) + 1 + MARGIN) for places in occupied)
    # What touches the border of the volume has a surface there, too.
    pad = [(MARGIN, MARGIN)] * first.ndim
    return np.pad(first[box], pad), np.pad(second[box], pad)


def _occupied(mask: np.ndarray) -> list[np.ndarray]:
    """Along each axis, the indices at which there is any of a mask."""
    axes = range(mask.ndim)
    return [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
