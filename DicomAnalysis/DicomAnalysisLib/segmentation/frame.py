"""How the slices of a stack lie in the scanner: what the decisions need of geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume import Volume
from .coarse import CoarseGrid

_SCANNER_AXIS = np.array([0.0, 0.0, 1.0])
_DOWN_LPS = {"S": (0.0, 1.0, 0.0), "P": (0.0, -1.0, 0.0), "DL": (1.0, 0.0, 0.0), "DR": (-1.0, 0.0, 0.0)}


@dataclass(frozen=True)
class StackFrame:
    """The scanner's axis and gravity, seen on the coarse grid.

    Attributes
    ----------
    shifts : array of int, shape (layers, 2)
        How far a line along the scanner's axis has moved, in rows and columns of blocks,
        from the first layer to each layer.
    down : tuple of float or None
        Direction of gravity as (rows, columns); None where it points out of the slices.
    """

    shifts: np.ndarray
    down: tuple[float, float] | None

    @classmethod
    def of(cls, volume: Volume, grid: CoarseGrid) -> StackFrame:
        """Frame of a volume; gravity follows Patient Position (PS3.3 C.7.3.1.1.2), supine when absent."""
        geometry = volume.geometry
        position = volume.identity.patient_position.upper()[2:]
        gravity = np.array(_DOWN_LPS.get(position, _DOWN_LPS["S"]))
        down = (float(gravity @ geometry.column_direction), float(gravity @ geometry.row_direction))
        return cls(
            shifts=_axis_shifts(volume, grid),
            down=down if max(map(abs, down)) > 0.5 else None,
        )


def _axis_shifts(volume: Volume, grid: CoarseGrid) -> np.ndarray:
    """Zeros where the slices are not roughly across the axis (coronal or sagittal reformats)."""
    geometry = volume.geometry.select(grid.first_slices)
    normal = geometry.normal
    if abs(normal @ _SCANNER_AXIS) < 0.5:
        return np.zeros((len(geometry), 2), int)
    offset = geometry.positions - geometry.positions[0]
    along = (offset @ normal) / (normal @ _SCANNER_AXIS)
    moved = along[:, None] * _SCANNER_AXIS - offset
    rows = moved @ geometry.column_direction / geometry.pixel_spacing[0]
    columns = moved @ geometry.row_direction / geometry.pixel_spacing[1]
    return np.rint(np.stack([rows, columns], axis=1) / grid.factor).astype(int)
