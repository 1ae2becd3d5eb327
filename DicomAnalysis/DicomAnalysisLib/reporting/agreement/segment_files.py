"""Segmentations as files: finding them by identifier and reading their segments.

Slicer's ``.seg.nrrd``, and labelmaps in NRRD or NIfTI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import SourceError, UnreadableFileError, UsageError

if TYPE_CHECKING:
    import SimpleITK as sitk

ENDINGS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")
RESULT_STEM = "segmentation"
"""What ``dicom-analysis segment`` calls its file; the folder's name is then the identifier."""
STACK = re.compile(r"stack-\d+")
"""What it calls the folders of further stacks of a series, inside the one of the series."""
MOST_FILES = 200_000
MOST_LABELS = 1000


@dataclass(frozen=True)
class Segmentation:
    """The segments of a file.

    Attributes
    ----------
    path : Path
    image : SimpleITK image
    places : mapping
        Name of a segment to (layer, label value).
    is_named : bool
        Whether the names stand in the file; otherwise they are ``label 1`` and so on.
    """

    path: Path
    image: sitk.Image
    places: Mapping[str, tuple[int, int]]
    is_named: bool
    _layers: dict[int, sitk.Image] = field(default_factory=dict, repr=False)

    def mask(self, name: str) -> sitk.Image:
        """A segment as a 3-D image of 0 and 1; all 0 where the file has no such segment."""
        layer, value = self.places.get(name, (0, None))
        image = self._layer(layer)
        if value is None:
            return image != image
        return image == value

    def _layer(self, layer: int) -> sitk.Image:
        import SimpleITK as sitk

        if layer not in self._layers:
            image = self.image
            if image.GetNumberOfComponentsPerPixel() > 1:
                image = sitk.VectorIndexSelectionCast(image, layer)
            elif image.GetDimension() == 4:
                image = image[:, :, :, layer]
            self._layers[layer] = image
        return self._layers[layer]


def find_segmentations(folder: str | Path, pattern: str = "") -> dict[str, list[Path]]:
    """The segmentations below a folder by identifier; several of one identifier are repeats.

    The identifier is the file's name without its ending. Files called ``segmentation`` take that of their folder,
    which is how ``dicom-analysis segment`` writes its results (named by Series Instance UID, with ``/stack-2`` and so
    on for further stacks).

    Parameters
    ----------
    folder : path
        A file stands for itself.
    pattern : str
        A regular expression with one group, looked for in the name: the group is the identifier.

    Raises
    ------
    SourceError
        If there is no such folder, or no segmentation in it.
    UsageError
        If the pattern cannot be used.
    """
    folder = Path(folder)
    find = _compiled(pattern)
    if folder.is_file():
        paths = [folder]
    elif folder.is_dir():
        paths = sorted(path for path in folder.rglob("*") if path.name.endswith(ENDINGS) and path.is_file())
    else:
        msg = f"There is no folder {folder}."
        raise SourceError(msg)
    # `segment` writes the cleaned volume beside its segmentation.
    paths = [path for path in paths if path.name != "cleaned.nrrd" and not path.name.startswith(".")]
    if not paths:
        msg = f"{folder} holds no segmentations ({', '.join(ENDINGS)})."
        raise SourceError(msg)
    if len(paths) > MOST_FILES:
        msg = f"{folder} holds more than {MOST_FILES} files: compare parts of it."
        raise SourceError(msg)
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(_identifier(path, find), []).append(path)
    return found


def _compiled(pattern: str) -> re.Pattern[str] | None:
    if not pattern:
        return None
    try:
        find = re.compile(pattern)
    except re.error as error:
        msg = f"The pattern {pattern!r} is no regular expression: {error}."
        raise UsageError(msg) from error
    if find.groups != 1:
        msg = f"The pattern {pattern!r} needs one group in brackets, which is the identifier: such as '(case\\d+)_'."
        raise UsageError(msg)
    return find


def _identifier(path: Path, find: re.Pattern[str] | None) -> str:
    stem = path.name[: -len(next(ending for ending in ENDINGS if path.name.endswith(ending)))]
    folder = path.parent
    name = folder.name if stem == RESULT_STEM else stem
    if stem == RESULT_STEM and STACK.fullmatch(name):
        name = f"{folder.parent.name}/{name}"
    match = find.search(name) if find else None
    return match[1] if match and match[1] else name


def read_segmentation_file(path: str | Path) -> Segmentation:
    """A segmentation with the names or label values of its segments.

    Raises
    ------
    UnreadableFileError
        If it cannot be read, or is no labelmap.
    """
    import SimpleITK as sitk

    path = Path(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        msg = f"{path} cannot be read as a segmentation."
        raise UnreadableFileError(msg) from error
    layers = image.GetNumberOfComponentsPerPixel()
    if image.GetDimension() not in (3, 4) or (image.GetDimension() == 4 and layers > 1):
        msg = f"{path} has {image.GetDimension()} dimensions: a segmentation is a volume."
        raise UnreadableFileError(msg)
    places = _named_segments(image)
    if places:
        return Segmentation(path, image, places, True)
    return Segmentation(path, image, _label_values(path, image), False)


def _named_segments(image: sitk.Image) -> dict[str, tuple[int, int]]:
    """Names, layers and label values as Slicer writes them into the header."""
    keys, places = set(image.GetMetaDataKeys()), {}
    for key in sorted(key for key in keys if re.fullmatch(r"Segment\d+_Name", key)):
        stem = key.removesuffix("_Name")
        texts = [
            image.GetMetaData(f"{stem}_{what}") if f"{stem}_{what}" in keys else "" for what in ("Layer", "LabelValue")
        ]
        layer, value = (int(text) if text.isdigit() else default for text, default in zip(texts, (0, 1), strict=True))
        places[image.GetMetaData(key)] = (layer, value)
    return places


def _label_values(path: Path, image: sitk.Image) -> dict[str, tuple[int, int]]:
    import SimpleITK as sitk

    if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() == 4:
        msg = f"{path} has several values in a voxel and no names of segments: it is no labelmap."
        raise UnreadableFileError(msg)
    values = np.unique(sitk.GetArrayViewFromImage(image))
    if len(values) > MOST_LABELS or not np.array_equal(values, np.rint(values)) or values[0] < 0:
        msg = f"{path} is no labelmap: its values are not a few whole numbers from 0 upward."
        raise UnreadableFileError(msg)
    return {f"label {int(value)}": (0, int(value)) for value in values if value}
