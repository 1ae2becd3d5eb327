"""What the tasks share on one volume: the coarse grid, patient and support, metal candidates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import TaskError
from ..volume import Volume
from .body import Separation, separate
from .coarse import CoarseGrid
from .frame import StackFrame
from .metal import SEED_HU, Candidates, MetalThreshold
from .options import SegmentationOptions
from .thresholds import HIGHEST_HU, BodyThresholds, body_thresholds

Progress = Callable[[float, str], None]


def _check_scale(volume: Volume, means: np.ndarray) -> None:
    if means.min() >= HIGHEST_HU:
        msg = (
            f"Series {volume.identity.series_uid or '(no UID)'} has neither air nor tissue: everything in it is above "
            f"{HIGHEST_HU} HU. Check its rescale slope and intercept."
        )
        raise TaskError(msg)


class Analysis:
    """Coarse grid, patient and metal candidates of one volume.

    Parameters
    ----------
    volume : Volume
    options : SegmentationOptions
    report : callable
        Called with a share from 0 to 1 and the stage's name.

    Raises
    ------
    TaskError
        If the volume is beyond the Hounsfield scale.
    """

    def __init__(self, volume: Volume, options: SegmentationOptions, report: Progress) -> None:
        self.volume = volume
        self.grid = CoarseGrid.of(volume.shape, volume.geometry)
        self.means = self.grid.block_means(volume.voxels)
        _check_scale(volume, self.means)
        report(0.25, "patient")
        self.levels: BodyThresholds = body_thresholds(self.means)
        self.separation: Separation = separate(self.means, self.grid, self.levels, StackFrame.of(volume, self.grid))
        self.candidates = Candidates.of(volume.voxels, options.metal_threshold_hu)
        self.metal = MetalThreshold(None, SEED_HU, None, 0.0)
        self.warnings: list[str] = []
        self.networks: dict[str, dict[str, str]] = {}
        if not self.separation.patient.any():
            self.warnings.append(
                "No patient was found: nothing as thick and dense as a head or trunk is in the volume."
            )

    def details(self, options: SegmentationOptions) -> dict[str, object]:
        """Numbers behind the result, for result.json."""
        levels = self.levels
        found: dict[str, object] = {
            "cluster_centers_hu": [round(c, 1) for c in levels.centers],
            "air_hu": round(levels.air, 1),
            "support_threshold_hu": round(levels.support, 1),
            "tissue_threshold_hu": round(levels.tissue, 1),
            "block_pixels": self.grid.factor,
            "block_slices": self.grid.depth,
        }
        if "metal" in options.tasks:
            found |= {
                "metal_seed_hu": self.metal.seed_hu,
                "scale_clipped_at_hu": self.metal.clip_hu,
                "metal_region": options.region,
            }
        if self.networks:
            found["networks"] = self.networks
        return found

    @property
    def method(self) -> str:
        """``network`` where a network drew any of the segments."""
        return "network" if self.networks else "classical"

    @property
    def device(self) -> str:
        """Where the last network ran."""
        return next((used["device"] for used in reversed(self.networks.values())), "cpu")

    def coarse_index(self, flat: np.ndarray) -> np.ndarray:
        """Flat indices on the coarse grid of flat voxel indices."""
        k, j, i = np.unravel_index(flat, self.volume.shape)
        factor, (_, rows, columns) = self.grid.factor, self.grid.shape
        return (k // self.grid.depth * rows + j // factor) * columns + i // factor

    @property
    def contact_slices(self) -> tuple[int, ...]:
        """Slices of the layers in which patient and support touch."""
        return tuple(k for layer in self.separation.contact_layers for k in self.grid.layer_slices(layer))
