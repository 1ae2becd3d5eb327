"""The user's segmentations: Slicer's ``.seg.nrrd`` files and DICOM SEG objects, found by Series Instance UID."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import GeometryError, UnreadableFileError
from ...volume import Volume

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
        Empty if the file has no such segment.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read.
    GeometryError
        If the segmentation lies elsewhere.
    """
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        msg = f"{path} cannot be read as a segmentation."
        raise UnreadableFileError(msg) from error
    layer, value = _segment_place(image, name)
    if value is None:
        return np.zeros(volume.shape, bool)
    labels = sitk.GetArrayFromImage(image)
    labels = labels[..., layer] if labels.ndim == 4 else labels
    to_lps = np.eye(4)
    to_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    to_lps[:3, 3] = image.GetOrigin()
    out = _sampled(labels == value, np.linalg.inv(to_lps), volume)
    if out is None:
        msg = f"{path} lies outside the series it is named after; is it another series' segmentation?"
        raise GeometryError(msg)
    return out


def _segment_place(image: object, name: str) -> tuple[int, int | None]:
    """Layer and label value of a named segment."""
    keys = image.GetMetaDataKeys()
    for key in keys:
        if key.endswith("_Name") and image.GetMetaData(key) == name:
            stem = key[: -len("_Name")]
            layer = int(image.GetMetaData(f"{stem}_Layer")) if f"{stem}_Layer" in keys else 0
            return layer, int(image.GetMetaData(f"{stem}_LabelValue"))
    return 0, None


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
