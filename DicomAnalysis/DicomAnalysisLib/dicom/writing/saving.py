"""Data sets to files: file meta information that follows from the data set alone."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from .identifiers import IMPLEMENTATION_CLASS_UID
from .origin import Origin
from .repair import is_ascii

IMPLEMENTATION_VERSION_NAME = "DICOMANALYSIS"
MAX_PIXEL_BYTES = 2**32 - 2
"""What the length field of an uncompressed element can state (PS3.5 section 7.1)."""


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set as Explicit VR Little Endian.

    Parameters
    ----------
    dataset : Dataset
        With SOP class and instance UID; its file meta information is made new.
    path : Path
        Written in place: the caller provides a temporary one.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)


def save_with_pixels(dataset: Dataset, path: Path, frames: Iterable[bytes], frame_bytes: int, count: int) -> None:
    """Write a data set and then its pixel data frame by frame, so that only one of them is in memory.

    Parameters
    ----------
    dataset : Dataset
        Without pixel data, and without anything that would follow them.
    path : Path
    frames : iterable of bytes-like
        Uncompressed, little endian.
    frame_bytes, count : int
        Size of each and their number.
    """
    save(dataset, path)
    length = frame_bytes * count
    padding = length % 2
    vr = b"OW" if dataset.BitsAllocated > 8 else b"OB"
    with path.open("ab") as file:
        file.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, vr, 0, length + padding))
        for frame in frames:
            file.write(frame)
        file.write(b"\0" * padding)


def finish(dataset: Dataset, origin: Origin) -> None:
    """Give an object that highdicom made what this package has rules of its own for.

    The patient's name, when the content was made (not when the file was), and the character set
    that the texts need.
    """
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SpecificCharacterSet"):
        dataset.pop(keyword, None)
    for item in dataset.get("ContributingEquipmentSequence") or ():
        item.pop("ContributionDateTime", None)  # highdicom states the time of writing
    dataset.PatientName = origin.header.PatientName
    dataset.ContentDate, dataset.ContentTime = dataset.SeriesDate, dataset.SeriesTime = origin.moment
    if not is_ascii(dataset):
        dataset.SpecificCharacterSet = "ISO_IR 192"
