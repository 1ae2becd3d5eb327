"""Real series whose patient and support are known, from a folder of series with reference masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from contact_cases import KnownSeries
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.segmentation import SegmentationOptions, segment

REFERENCE = "reference-patient.npz"


def known_series(data: Path) -> list[KnownSeries]:
    """Every series of DATA with a reference mask; its support is the classical method's outside that mask."""
    return [_known(path.parent) for path in sorted(data.glob(f"*/{REFERENCE}"))]


def _known(folder: Path) -> KnownSeries:
    volume = read_volume(folder)
    patient = reference_mask(folder, volume)
    result = segment(volume, SegmentationOptions(tasks=("headrest",), method="classical"))
    return KnownSeries(
        folder.name, volume, patient, result.segment("Headrest").mask & ~patient, result.uncertain_slices
    )


def reference_mask(folder: Path, volume: object) -> np.ndarray:
    """The patient on the slices of `volume`."""
    stored = np.load(folder / REFERENCE)
    shape = tuple(int(n) for n in stored["shape"])
    mask = np.unpackbits(stored["mask"])[: int(np.prod(shape))].reshape(shape).astype(bool)
    row_of = {str(uid): row for row, uid in enumerate(stored["sop_instance_uids"])}
    return mask[[row_of[uid] for uid in volume.sop_instance_uids]]
