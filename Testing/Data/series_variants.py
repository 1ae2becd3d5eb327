"""Folders of DICOM made from the phantom, each with one thing about it that readers get wrong.

Every function writes into `folder` and returns a `Case` that says what a right reader finds.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from DicomAnalysisLib.phantom import Phantom, make_head_phantom, write_dicom_series
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, generate_uid

SHAPE, SPACING = (12, 64, 64), (12.0, 3.6, 3.6)


@dataclass(frozen=True)
class Case:
    """What was written.

    Attributes
    ----------
    folder : Path
    phantom : Phantom
        What the slices were taken from.
    slices : tuple of int
        Which slices of the phantom a right reader returns, foot to head.
    """

    folder: Path
    phantom: Phantom
    slices: tuple[int, ...]

    @property
    def series_uid(self) -> str:
        return self.phantom.volume.identity.series_uid

    @property
    def hu(self) -> np.ndarray:
        """Voxels that a right reader returns, (k, j, i)."""
        return self.phantom.volume.voxels[list(self.slices)]

    @property
    def positions(self) -> np.ndarray:
        """Centre of each returned slice's first voxel, LPS mm."""
        return self.phantom.volume.geometry.positions[list(self.slices)]


def plain(folder: Path, **phantom: object) -> Case:
    """A regular series without anything odd; keywords go to `make_head_phantom`."""
    made = make_head_phantom(**{"shape": SHAPE, "spacing": SPACING, "seed": 1, **phantom})
    write_dicom_series(made.volume, folder)
    return Case(folder, made, tuple(range(len(made.volume.voxels))))


def shuffled(folder: Path) -> Case:
    """File names, Instance Number and Slice Location that all contradict the positions."""
    case = plain(folder)
    order = np.random.default_rng(3).permutation(len(case.slices))
    for k, path in enumerate(_files(folder)):
        _edit(path, path.with_name(f"IM{order[k]:05d}"), InstanceNumber=int(order[-k - 1]), SliceLocation=0)
        path.unlink()
    return case


def missing_slice(folder: Path, k: int = 5) -> Case:
    """A gap where one slice is not there."""
    case = plain(folder)
    _files(folder)[k].unlink()
    return Case(folder, case.phantom, tuple(s for s in case.slices if s != k))


def exact_duplicates(folder: Path) -> Case:
    """Two instances present twice, byte for byte."""
    case = plain(folder)
    for k in (2, 7):
        path = _files(folder)[k]
        shutil.copyfile(path, path.with_name(f"copy{k}.dcm"))
    return case


def near_duplicates(folder: Path, shift_mm: float = 0.005) -> Case:
    """Each slice again under another SOP Instance UID, a hair further along."""
    case = plain(folder)
    for path in _files(folder):
        x, y, z = (float(v) for v in pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient)
        _edit(path, path.with_name("b" + path.name), new_uid=True, ImagePositionPatient=[x, y, round(z + shift_mm, 4)])
    return case


def uneven(folder: Path) -> Case:
    """Slices 4, 7 and 8 mm apart in one series."""
    case = plain(folder, shape=(30, 64, 64), spacing=(1.0, 3.6, 3.6))
    keep = (0, 4, 8, 12, 19, 26, 27, 28)
    for k, path in enumerate(_files(folder)):
        if k not in keep:
            path.unlink()
    return Case(folder, case.phantom, keep)


def tilted(folder: Path, degrees: float = 18.0) -> Case:
    """Gantry tilt."""
    return plain(folder, tilt_degrees=degrees)


def padded(folder: Path, padding_hu: int = -3024) -> Case:
    """Padding outside the circular field of view, stored signed."""
    return plain(folder, padding_hu=padding_hu)


def single_slice(folder: Path, k: int = 6) -> Case:
    """One slice only."""
    case = plain(folder)
    for other, path in enumerate(_files(folder)):
        if other != k:
            path.unlink()
    return Case(folder, case.phantom, (k,))


def mixed(folder: Path) -> Case:
    """A scout and two sagittal reformats under the series' own UID, beside notes that are no DICOM."""
    case = plain(folder)
    voxels = case.phantom.volume.voxels
    first = _files(folder)[0]
    scout = np.repeat(voxels.mean(axis=1), 4, axis=0).astype(np.int16)[::-1]
    sagittal = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "PixelSpacing": [12.0, 3.6]}
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    _edit(first, folder / "scout.dcm", new_uid=True, pixels=scout, PixelSpacing=[3.0, 3.6], **coronal)
    for i in (20, 40):
        plane = voxels[::-1, :, i]
        position = [round(3.6 * i - 113.4, 4), -100.4, 66.0]
        path = folder / f"sagittal{i}.dcm"
        _edit(first, path, new_uid=True, pixels=plane, ImagePositionPatient=position, **sagittal)
    (folder / "notes.txt").write_text("not an image\n", encoding="utf-8")
    (folder / "empty.dcm").touch()
    return case


def compressed(folder: Path, transfer_syntax: str) -> Case:
    """JPEG Lossless, JPEG-LS or JPEG 2000 (lossless) pixel data."""
    import imagecodecs

    encode = {
        JPEGLosslessSV1: lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12),
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEG2000Lossless: lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True, codecformat="j2k"),
    }[UID(transfer_syntax)]
    case = plain(folder)
    for path in _files(folder):
        instance = pydicom.dcmread(path)
        stored = instance.pixel_array
        instance.PixelData = encapsulate([encode(stored)])
        instance["PixelData"].VR = "OB"
        instance["PixelData"].is_undefined_length = True
        instance.file_meta.TransferSyntaxUID = UID(transfer_syntax)
        instance.save_as(path)
    return case


def multiframe(folder: Path) -> Case:
    """The whole series as one Legacy Converted Enhanced CT instance."""
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    case = plain(folder)
    files = _files(folder)
    instances = [pydicom.dcmread(path) for path in files]
    series = case.phantom.volume.identity.series_uid
    whole = LegacyConvertedEnhancedCTImage(
        instances, series_instance_uid=series, series_number=2, sop_instance_uid=_uid(series), instance_number=1
    )
    for path in files:
        path.unlink()
    whole.save_as(folder / "multiframe.dcm")
    return case


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))


def _uid(*what: object) -> str:
    return str(generate_uid(entropy_srcs=["DicomAnalysis variant", *(str(w) for w in what)]))


def _edit(
    path: Path, target: Path, *, new_uid: bool = False, pixels: np.ndarray | None = None, **attributes: object
) -> None:
    """Write a changed copy of one instance; `pixels` are HU."""
    instance = pydicom.dcmread(path)
    if new_uid:
        instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = _uid(
            instance.SOPInstanceUID, target.name
        )
    if pixels is not None:
        instance.Rows, instance.Columns = pixels.shape
        instance.PixelData = (pixels.astype(np.int32) + 1024).astype("<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(instance, keyword, value)
    instance.save_as(target)
