"""Metal whose truth is known: the AAPM CT-MAR slices scanned in silico, and slices without any metal.

The challenge's slices (metal is exactly 5000 HU, no streaks) are emptied of their metal and
scanned again with it; the mask stays the truth. Several of them show one and the same person:
whoever splits them by file or by Patient ID learns from the slice that he is tested on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.segmentation.training.metal_training import MetalCase, beam_for
from DicomAnalysisLib.segmentation.training.streaks import TWELVE_BIT_HU, Scan, add_streaks, without_metal
from DicomAnalysisLib.volume import Volume

FOLDER = "metal-aapm-ctmar"
TRUTH_HU = 5000
MATERIAL = {
    "02": "titanium",  # clips of the skull
    "04": "gold",  # seed in the prostate
    "06": "amalgam",
    "08": "amalgam",
    "10": "dental gold",
    "12": "nitinol",  # stent
    "14": "titanium",  # screws of the spine
    "16": "amalgam",
    "18": "dental gold",
    "20": "amalgam",
    "22": "titanium",  # cage
    "24": "cobalt chromium",  # shoulder
    "26": "titanium",  # cage
    "28": "cobalt chromium",  # hip
}
"""What the metal of each case is taken to be; the challenge does not say."""
PATIENT = {
    **dict.fromkeys(("06", "08", "10", "18", "20"), "dental"),
    **dict.fromkeys(("14", "22", "26"), "spine"),
    **{case: case for case in ("02", "04", "12", "16", "24", "28")},
}
"""Cases that show the same slice (06, 08, 10; 18, 20; 14, 22, 26) or most likely the same person (06 and 18)."""
WITHOUT_METAL = {
    "abdomen-acrin001-t0": 6,
    "chest-lidc314-implicit": 5,
    "chest-rider-neardup": 7,
    "chest-totalseg-j2k": 5,
    "cohort-tcga-luad-single-slices": 12,
    "head-ge-tilt-uneven": 10,
    "head-pcir-ge-dental": 12,
}
"""Series, and how many of their slices metal is put into; of the dental one only slices far from its own metal."""


@dataclass(frozen=True)
class StreakedCase:
    """One slice in streaks.

    Attributes
    ----------
    number : str
    patient : str
    plain, streaked, empty : Volume
        As published; scanned in silico; without metal.
    truth : array of bool, shape (1, j, i)
    """

    number: str
    patient: str
    plain: Volume
    streaked: Volume
    empty: Volume
    truth: np.ndarray


def metal_cases(data: Path) -> list[MetalCase]:
    """The 14 slices with their metal, as material for training."""
    found = []
    for path in sorted((data / FOLDER).glob("*.dcm")):
        volume = read_volume(path)
        hu = np.asarray(volume.voxels[0])
        found.append(MetalCase(hu, hu == TRUTH_HU, volume.geometry.pixel_spacing, PATIENT[path.stem[-2:]]))
    return found


def streaked_cases(data: Path, numbers: tuple[str, ...] = tuple(MATERIAL)) -> list[StreakedCase]:
    """Slices scanned with their metal on a 12-bit scale."""
    found = []
    for number in numbers:
        plain = read_volume(data / FOLDER / f"ctmar_{number}.dcm")
        hu = np.asarray(plain.voxels[0])
        truth = hu == TRUTH_HU
        spacing = plain.geometry.pixel_spacing
        empty = without_metal(hu, truth)
        scan = Scan(beam=beam_for(hu.shape, spacing))
        streaked = add_streaks(empty, truth, spacing, material=MATERIAL[number], scan=scan, seed=int(number))
        found.append(
            StreakedCase(
                number,
                PATIENT[number],
                plain,
                plain.with_voxels(streaked[None]),
                plain.with_voxels(np.minimum(empty, TWELVE_BIT_HU)[None]),
                truth[None],
            )
        )
    return found


def slices_without_metal(data: Path) -> list[MetalCase]:
    """Slices to put metal into, spread over the series."""
    found = []
    for name, count in WITHOUT_METAL.items():
        folder = data / name
        if name.startswith("cohort"):
            volumes = [read_volume(path) for path in sorted(folder.glob("*.dcm"))]
        else:
            volumes = [read_volume(folder)]
        planes = [(volume, k) for volume in volumes for k in _far_from_metal(volume)]
        for n in np.unique(np.linspace(0, len(planes) - 1, count).round().astype(int)):
            volume, k = planes[n]
            hu = np.clip(np.rint(volume.voxels[k]), -1024, 32767).astype(np.int16)
            found.append(MetalCase(hu, np.zeros(hu.shape, bool), volume.geometry.pixel_spacing, name))
    return found


def _far_from_metal(volume: Volume) -> list[int]:
    """Slices in which nothing, and whose neighbours up to the third nothing, could be metal."""
    peak = np.array([plane.max() for plane in volume.voxels])
    return [k for k in range(len(peak)) if peak[max(0, k - 3) : k + 4].max() < 2400]
