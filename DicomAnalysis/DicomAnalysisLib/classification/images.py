"""An image for the classifier as a `Volume`: DICOM first, then NIfTI, NRRD, MetaImage, PNG and JPEG.

DICOM that states its place in space (CT, MR, PET, tomosynthesis) is read as everywhere else in this
library. DICOM that does not (angiography, mammography, radiography) is read frame by frame by
`dicom.flat`. Compressed pixels are decoded in a child process either way. Other files are read by
SimpleITK; their directions are LPS as ITK's are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..dicom.flat import read_flat
from ..dicom.reader import read_stack
from ..dicom.series import series_from_files
from ..errors import SourceError, UnreadableFileError
from ..volume import SeriesIdentity, StackGeometry, Volume

FILE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".jpeg", ".jpg")
"""Files that are no DICOM and are read all the same, by their names' endings."""
MAX_VOXELS = 1 << 30
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721], np.float32)
_AGAIN = "Export it again, or leave it out."


def is_other_image(path: str | Path) -> bool:
    """Whether a file's name says that it is NIfTI, NRRD, MetaImage, PNG or JPEG."""
    return os.fspath(path).lower().endswith(FILE_ENDINGS)


def is_header_alone(path: str | Path) -> bool:
    """Whether a file's name says that it may be a header whose voxels are in another file."""
    return os.fspath(path).lower().endswith((".mhd", ".nhdr"))


def without_ending(name: str) -> str:
    """A file's name without folder and without the ending of an image: ``a/scan.nii.gz`` is ``scan``."""
    name = Path(name).name
    for ending in (*FILE_ENDINGS, ".dcm", ".ima"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def read_image(files: str | Path | Sequence[str | Path]) -> Volume:
    """Read the image of one view.

    Parameters
    ----------
    files : path or sequence of path
        The files of one DICOM series (or one stack of it), one multi-frame DICOM file, or one other file.

    Returns
    -------
    Volume
        The largest stack; shape (k, j, i). For images without a place in space k counts frames.

    Raises
    ------
    SourceError
        If there is no file, or the files hold no image or several series.
    UnreadableFileError
        If a file cannot be read or decoded; the message names it.
    """
    paths = [os.fspath(files)] if isinstance(files, (str, os.PathLike)) else [os.fspath(path) for path in files]
    if not paths:
        msg = "There are no files to read an image from."
        raise SourceError(msg)
    if is_other_image(paths[0]):
        if len(paths) > 1:
            msg = f"{paths[0]} and {len(paths) - 1} more files: one NIfTI, NRRD, PNG or JPEG file makes an image."
            raise SourceError(msg)
        return _read_other(paths[0])
    series, problems = series_from_files(paths)
    if len(series) > 1:
        uids = ", ".join(one.identity.series_uid for one in series[:3])
        msg = f"The {len(paths)} files are of {len(series)} series ({uids}); give those of one."
        raise SourceError(msg)
    if series:
        return read_stack(series[0].stacks[0], series[0].identity, series[0].warnings)
    if len(paths) == 1:
        return read_flat(paths[0])
    msg = f"None of {len(paths)} files is an image. The first one's reason: {problems[0].path}: {problems[0].reason}."
    raise SourceError(msg)


def _read_other(path: str) -> Volume:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
        size = [int(n) for n in reader.GetSize()]
        while len(size) > 3 and size[-1] == 1:
            size.pop()
        if len(size) not in (2, 3) or not all(size) or np.prod(size, dtype=np.int64) > MAX_VOXELS:
            shape = " x ".join(map(str, reader.GetSize()))
            msg = f"{path}: an image of {shape} is no picture and no volume; give one with two or three axes."
            raise UnreadableFileError(msg)
        image = reader.Execute()
    except RuntimeError as error:
        reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "unknown reason")
        msg = f"{path} cannot be read as an image ({reason[:200]}). {_AGAIN}"
        raise UnreadableFileError(msg) from error
    warnings: list[str] = []
    voxels = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        voxels = _grey(path, voxels, warnings)
    voxels = _finite(voxels.reshape(size[::-1]), warnings)
    if voxels.ndim == 2:
        voxels = voxels[None]
    geometry, voxels = _geometry(image, len(size), voxels)
    identity = SeriesIdentity(series_uid=Path(path).name, modality="")
    return Volume(voxels, geometry, identity, warnings=tuple(warnings))


def _grey(path: str, voxels: np.ndarray, warnings: list[str]) -> np.ndarray:
    """Colours as luminance (ITU-R BT.709); alpha is not looked at."""
    components = voxels.shape[-1]
    if components == 2:  # grey and alpha
        return voxels[..., 0]
    if components not in (3, 4):
        msg = f"{path}: its voxels have {components} numbers each; give an image of one quantity."
        raise UnreadableFileError(msg)
    warnings.append("A colour picture was turned to grey.")
    return voxels[..., :3].astype(np.float32) @ _LUMINANCE


def _finite(voxels: np.ndarray, warnings: list[str]) -> np.ndarray:
    """int16 where it holds all values, else float32 without NaN and infinities."""
    if voxels.dtype.kind in "iu" and voxels.dtype.itemsize < 8:
        low, high = int(voxels.min()), int(voxels.max())
        return voxels.astype(np.int16 if low >= -32768 and high <= 32767 else np.float32)
    voxels = voxels.astype(np.float32)
    bad = ~np.isfinite(voxels)
    if bad.any():
        voxels[bad] = voxels[~bad].min() if not bad.all() else 0.0
        warnings.append(f"{np.count_nonzero(bad)} voxels are no numbers; they were given the lowest value.")
    return voxels


def _geometry(image: object, axes: int, voxels: np.ndarray) -> tuple[StackGeometry, np.ndarray]:
    """Where the slices lie, and the voxels with slices ordered along their normal."""
    spacing = [float(value) for value in image.GetSpacing()[:axes]] + [1.0] * (3 - axes)
    full = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:axes, :axes]
    direction = np.eye(3)
    direction[:axes, :axes] = full
    origin = np.zeros(3)
    origin[:axes] = image.GetOrigin()[:axes]
    normal = np.cross(direction[:, 0], direction[:, 1])
    step = direction[:, 2] * spacing[2]
    positions = origin + np.arange(len(voxels))[:, None] * step
    if normal @ step < 0:
        positions, voxels = positions[::-1], np.ascontiguousarray(voxels[::-1])
    geometry = StackGeometry(direction[:, 0], direction[:, 1], (spacing[1], spacing[0]), positions, spacing[2])
    return geometry, voxels
