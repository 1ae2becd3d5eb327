"""The user's segmentations: Slicer's ``.seg.nrrd`` files and DICOM SEG objects, found by Series Instance UID."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...errors import GeometryError, UnreadableFileError
from ...volume import Volume

FOUND_SHARE = 0.5
"""A segmentation of which less than this lies in the series is another one's."""
_ENDINGS = (".seg.nrrd", ".nrrd", ".dcm")


def find_segmentation(folder: Path, series_uid: str) -> Path | None:
    """The segmentation of a series.

    Looked for as ``<UID>.seg.nrrd``, ``<UID>.nrrd`` and ``<UID>.dcm``, then in a folder ``<UID>`` as
    ``segmentation.*``, which is what ``dicom-analysis segment`` writes and Slicer's user corrects.
    """
    for stem in (folder / series_uid, folder / series_uid / "segmentation"):
        for ending in _ENDINGS:
            path = stem.with_name(stem.name + ending)
            if path.is_file():
                return path
    return None


def read_labelmap(path: Path, volume: Volume, name: str) -> np.ndarray:
    """A named segment of a ``.seg.nrrd`` on the slices of a volume, looked up in physical space.

    Parameters
    ----------
    path : Path
    volume : Volume
    name : str
        Of the segment.

    Returns
    -------
    array of bool, shape of the volume
        False everywhere if the segment is empty.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read, or has no such segment: whether there is nothing to mark it does not say.
    GeometryError
        If the segmentation lies elsewhere.
    """
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
        layer, value = _segment_place(image, path, name)
        labels = sitk.GetArrayFromImage(image)
        labels = labels[..., layer] if labels.ndim == 4 else labels
    except (RuntimeError, ValueError, IndexError) as error:
        msg = f"{path} cannot be read as a segmentation; save it as .seg.nrrd in Slicer."
        raise UnreadableFileError(msg) from error
    to_lps = np.eye(4)
    to_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    to_lps[:3, 3] = image.GetOrigin()
    mask = labels == value
    out = _sampled(mask, np.linalg.inv(to_lps), volume)
    marked_ml = np.count_nonzero(mask) * abs(np.linalg.det(to_lps)) / 1000
    if out is None or np.count_nonzero(out, (1, 2)) @ volume.voxel_volumes_ml() < FOUND_SHARE * marked_ml:
        msg = f"{path} lies outside the series it is named after, or most of it; is it another series' segmentation?"
        raise GeometryError(msg)
    return out


def require_segment(path: Path, name: str, names: Iterable[str]) -> None:
    """Refuse a file without a segment of a name.

    Raises
    ------
    UnreadableFileError
        If it is not among the `names` of the file's segments.
    """
    names = sorted(names)
    if name not in names:
        there = f"it has {', '.join(names)}" if names else "it names none"
        msg = f"{path} has no segment {name} ({there}); name it so, empty where there is none, or take the file away."
        raise UnreadableFileError(msg)


def _segment_place(image: object, path: Path, name: str) -> tuple[int, int]:
    """Layer and label value of a named segment."""
    keys = image.GetMetaDataKeys()
    stems = {image.GetMetaData(key): key[: -len("_Name")] for key in reversed(keys) if key.endswith("_Name")}
    require_segment(path, name, stems)
    stem = stems[name]
    if image.GetDimension() != 3:
        msg = f"an image of {image.GetDimension()} dimensions"
        raise ValueError(msg)
    layer = int(image.GetMetaData(f"{stem}_Layer")) if f"{stem}_Layer" in keys else 0
    return layer, int(image.GetMetaData(f"{stem}_LabelValue"))


def _sampled(mask: np.ndarray, from_lps: np.ndarray, volume: Volume) -> np.ndarray | None:
    """Nearest voxel of `mask` for every voxel of the volume; None if the two do not overlap."""
    out = np.zeros(volume.shape, bool)
    rows, columns = np.mgrid[: volume.shape[1], : volume.shape[2]]
    overlap = False
    for k in range(volume.shape[0]):
        matrix = from_lps @ volume.geometry.slice_to_lps(k)
        index = [np.rint(matrix[a, 0] * columns + matrix[a, 1] * rows + matrix[a, 3]).astype(int) for a in (2, 1, 0)]
        inside = np.all([(axis >= 0) & (axis < size) for axis, size in zip(index, mask.shape, strict=True)], axis=0)
        overlap |= bool(inside.any())
        clipped = tuple(np.clip(axis, 0, size - 1) for axis, size in zip(index, mask.shape, strict=True))
        out[k] = inside & mask[clipped]
    return out if overlap else None
