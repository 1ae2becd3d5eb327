"""X-ray images without a place in space, made for a test: angiography runs and mammograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dicom_slices import ct_slice
from pydicom.uid import generate_uid

XA_IMAGE = "1.2.840.10008.5.1.4.1.1.12.1"
MG_IMAGE = "1.2.840.10008.5.1.4.1.1.1.2"


def write_flat(path: Path, frames: np.ndarray, modality: str = "XA", **attributes: Any) -> Path:
    """One file of frames, shape (frames, rows, columns), that does not say where it lies."""
    stated: dict[str, Any] = {
        "SOPClassUID": XA_IMAGE if modality == "XA" else MG_IMAGE,
        "SOPInstanceUID": generate_uid(entropy_srcs=["flat", str(path)]),
        "Modality": modality,
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
        "FrameOfReferenceUID": None,
        "PixelSpacing": None,
        "SliceThickness": None,
        "ImagerPixelSpacing": [0.3, 0.3],
        "Rows": frames.shape[1],
        "Columns": frames.shape[2],
        "PixelData": frames.tobytes(),
        "RescaleSlope": None,
        "RescaleIntercept": None,
    }
    if len(frames) > 1:
        stated["NumberOfFrames"] = len(frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    ct_slice(frames[0], **{**stated, **attributes}).save_as(path, enforce_file_format=True)
    return path


def picture(seed: int, shape: tuple[int, ...] = (1, 24, 20)) -> np.ndarray:
    """Stored values that no other seed gives."""
    return np.random.default_rng(seed).integers(10, 4000, shape).astype(np.uint16)
