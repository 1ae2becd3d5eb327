"""Real series whose patient and support are known, from a folder of series with reference masks."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from contact_cases import KnownSeries
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.segmentation.training.labels import classical_labels
from scipy import ndimage as ndi
from score_series import reference_mask

REFERENCE = "reference-patient.npz"
SOLID_HU = -500
UNSEEN = ("head-philips-phantom/S2010", "chest-totalseg-j2k")


def known_series(data: Path, names: Collection[str] = ()) -> list[KnownSeries]:
    """Every series of DATA with a reference mask, or those of the names given.

    Support is what the classical method finds outside that mask, and what is solid and connected to it
    more than 1.5 mm outside: where the two touch, the classical method leaves a rim to the patient.
    """
    folders = [path.parent for path in sorted(data.glob(f"*/{REFERENCE}"))]
    return [_known(folder) for folder in folders if not names or folder.name in names]


def unseen_supports(data: Path) -> list[KnownSeries]:
    """Supports that no training has shown: the Philips head holder, and a table with arm rests."""
    return [_labelled(data / name, name) for name in UNSEEN]


def _labelled(folder: Path, name: str) -> KnownSeries:
    volume = read_volume(folder)
    found = classical_labels(volume)
    return KnownSeries(name, volume, found.patient, found.support)


def _known(folder: Path) -> KnownSeries:
    volume = read_volume(folder)
    patient = reference_mask(folder, volume)
    result = segment(volume, SegmentationOptions(tasks=("headrest",), method="classical"))
    found = result.segment("Headrest").mask & ~patient
    spacing = volume.geometry.pixel_spacing
    away = np.stack([ndi.distance_transform_edt(~plane, sampling=spacing) > 1.5 for plane in patient])
    labels, count = ndi.label((away & (volume.voxels > SOLID_HU)) | found)
    of_support = np.zeros(count + 1, bool)
    of_support[labels[found]] = True
    of_support[0] = False
    return KnownSeries(folder.name, volume, patient, of_support[labels] & ~patient)
