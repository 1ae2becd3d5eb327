"""CT slices made for a test: small, deterministic, and wrong in exactly one way where a test wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SERIES_UID = generate_uid(entropy_srcs=["series"])
STUDY_UID = generate_uid(entropy_srcs=["study"])
FRAME_UID = generate_uid(entropy_srcs=["frame of reference"])


def ct_slice(stored: np.ndarray, number: int = 1, syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> Dataset:
    """One CT slice of stored values; ``attributes`` replace or, where None, remove what it states.

    Axial, at z = `number` mm, slope 1, intercept -1024 for unsigned and 0 for signed pixels.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    bits = stored.dtype.itemsize * 8
    stated: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(entropy_srcs=["instance", str(number)]),
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientID": "TEST",
        "StudyInstanceUID": STUDY_UID,
        "SeriesInstanceUID": SERIES_UID,
        "FrameOfReferenceUID": FRAME_UID,
        "AcquisitionNumber": 1,
        "InstanceNumber": number,
        "SliceThickness": 1,
        "ImagePositionPatient": [-10, -20, number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.5],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "RescaleSlope": 1,
        "RescaleIntercept": 0 if stored.dtype.kind == "i" else -1024,
        "PixelData": stored.tobytes(),
    }
    for keyword, value in {**stated, **attributes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    return dataset


def write_slice(folder: Path, stored: np.ndarray, number: int = 1, name: str = "", **attributes: Any) -> Path:
    """Write one slice; the file's path."""
    path = folder / (name or f"{number:03d}.dcm")
    ct_slice(stored, number, **attributes).save_as(path, enforce_file_format=True)
    return path


def ramp(number: int = 0, shape: tuple[int, int] = (6, 5), dtype: type = np.int16) -> np.ndarray:
    """Stored values that tell every voxel from every other: 100 x slice + row-major index."""
    return (np.arange(shape[0] * shape[1]).reshape(shape) + 100 * number).astype(dtype)


def write_series(folder: Path, positions: list[tuple[float, float, float]], **attributes: Any) -> list[Path]:
    """One slice for each position, in this order; slice number n holds ``ramp(n)`` (from 1)."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_slice(folder, ramp(n), n, ImagePositionPatient=list(position), **attributes)
        for n, position in enumerate(positions, start=1)
    ]
