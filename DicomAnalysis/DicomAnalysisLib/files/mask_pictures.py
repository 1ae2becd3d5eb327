"""Masks as one black-and-white PNG for each slice, named by the image it belongs to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from ..segmentation.result import SegmentationResult
from ..volume import Volume
from .atomic import atomic_path
from .names import safe_name


def write_mask_pictures(folder: Path | str, volume: Volume, result: SegmentationResult) -> list[Path]:
    """Write ``<folder>/<segment>/<SOP Instance UID>.png``, 255 where the segment is and 0 elsewhere.

    Every slice of every segment has its file, empty or not, of the slice's own matrix.
    Frames of one multi-frame instance are named ``<UID>-frame-0001``; slices without a
    UID ``slice-0001``, counted from the first.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from PIL import Image

    paths = []
    for segment in result.segments:
        for name, mask in zip(slice_names(volume), segment.mask, strict=True):
            path = Path(folder) / segment.kind.name / f"{name}.png"
            with atomic_path(path) as temporary:
                Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(temporary, compress_level=1)
            paths.append(path)
    return paths


def slice_names(volume: Volume) -> list[str]:
    """A safe file name for each slice, all different."""
    count = len(volume.voxels)
    uids = volume.sop_instance_uids or ("",) * count
    frames = volume.frame_numbers or (1,) * count
    repeated = Counter(uids)
    names = []
    for k, (uid, frame) in enumerate(zip(uids, frames, strict=True)):
        if not uid:
            names.append(f"slice-{k + 1:04d}")
        else:
            names.append(safe_name(uid, "image") + (f"-frame-{frame:04d}" if repeated[uid] > 1 else ""))
    taken = Counter(names)
    return [name if taken[name] == 1 else f"{name}-slice-{k + 1:04d}" for k, name in enumerate(names)]
