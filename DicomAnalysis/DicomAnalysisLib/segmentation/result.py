"""What a segmentation task returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..segments import SegmentKind


@dataclass(frozen=True)
class Piece:
    """One connected piece of a segment.

    Attributes
    ----------
    voxels : int
    volume_ml : float
    centroid_ras_mm : tuple of float
        Centre of mass in Slicer's frame.
    bbox_ijk : tuple of int
        ``(i_min, i_max, j_min, j_max, k_min, k_max)``, ends included.
    max_hu, mean_hu : float
    location : str
        ``inside``, ``at the skin`` or ``outside`` the body.
    """

    voxels: int
    volume_ml: float
    centroid_ras_mm: tuple[float, float, float]
    bbox_ijk: tuple[int, int, int, int, int, int]
    max_hu: float
    mean_hu: float
    location: str


@dataclass(frozen=True)
class Segment:
    """One segment: its kind, its voxels on the acquired grid and what was measured.

    Attributes
    ----------
    kind : SegmentKind
    mask : array of bool, shape (k, j, i)
    measurements : mapping
        ``voxels, volume_ml, components, centroid_ras_mm, bbox_ijk, mean_hu, max_hu``;
        centroid and box are None for an empty segment.
    pieces : tuple of Piece
        Connected pieces, largest first.
    """

    kind: SegmentKind
    mask: np.ndarray
    measurements: Mapping[str, object] = field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class SegmentationResult:
    """Result of one or more segmentation tasks on one volume.

    Attributes
    ----------
    tasks : tuple of str
        ``"headrest"``, ``"metal"``, ``"bone"`` as asked for.
    segments : tuple of Segment
        In the order asked for; an empty segment is present with an empty mask.
    threshold_hu : float or None
        Threshold of metal, derived from the data; None when metal was not asked for or there is none.
    method, device : str
    seconds : float
        Voxels to masks, without reading and writing.
    warnings : tuple of str
        What could not be decided, by slice, and what the user should look at.
    uncertain_slices : tuple of int
        Slice indices (from 0) where patient and support could not be told apart.
    details : mapping
        Further numbers for the JSON result (clip value, cluster centres and the like).
    """

    tasks: tuple[str, ...]
    segments: tuple[Segment, ...]
    threshold_hu: float | None = None
    method: str = "classical"
    device: str = "cpu"
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    uncertain_slices: tuple[int, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    def segment(self, name: str) -> Segment | None:
        """The segment called `name`, or None."""
        return next((s for s in self.segments if s.kind.name == name), None)

    def labelmap(self) -> np.ndarray:
        """All segments in one uint8 array (k, j, i); where two overlap, the later one wins."""
        labels = np.zeros(self.segments[0].mask.shape, np.uint8)
        for segment in self.segments:
            labels[segment.mask] = segment.kind.label
        return labels

    @property
    def has_overlap(self) -> bool:
        """Whether some voxel belongs to two segments, so that one labelmap cannot hold them all."""
        seen = np.zeros(self.segments[0].mask.shape, bool)
        for segment in self.segments:
            if (seen & segment.mask).any():
                return True
            seen |= segment.mask
        return False
