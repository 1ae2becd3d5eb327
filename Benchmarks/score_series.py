"""Score headrest and metal on real series with reference masks, beside trivial baselines, with intervals.

    python Benchmarks/score_series.py DATA

DATA is a folder of series folders, each with DICOM files; those with a `reference-patient.npz` (a patient mask
for each slice by SOP Instance UID) are scored for the headrest, and the folder `metal-aapm-ctmar` (metal is
5000 HU) for metal. Intervals are 95 % percentile bootstraps over patients, with a fixed seed. Prints Markdown.

Scores of the headrest: patient lost (voxels more than 1.5 mm inside the patient that are called headrest, per
million patient voxels), support found (share of what lies more than 3 mm outside the patient, above -500 HU, in
pieces of at least 5 ml), air share (headrest voxels below -980 HU).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.volume import Volume

RESAMPLES = 2000
METAL_CASES = "metal-aapm-ctmar"


def ours(volume: Volume) -> np.ndarray:
    """The project's own headrest."""
    return segment(volume, SegmentationOptions(tasks=("headrest",))).segment("Headrest").mask


def all_but_the_largest_piece(volume: Volume) -> np.ndarray:
    """Baseline: the patient is the largest connected piece above -300 HU with its holes filled."""
    labels, _ = ndi.label(volume.voxels > -300)
    patient = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    patient = np.stack([ndi.binary_fill_holes(plane) for plane in patient])
    return (volume.voxels > -900) & ~ndi.binary_dilation(patient, np.ones((1, 9, 9)))


def nothing(volume: Volume) -> np.ndarray:
    """Baseline: no headrest at all."""
    return np.zeros(volume.shape, bool)


METHODS: dict[str, Callable[[Volume], np.ndarray]] = {
    "DicomAnalysis": ours,
    "all but the largest piece": all_but_the_largest_piece,
    "empty mask": nothing,
}


def reference_mask(folder: Path, volume: Volume) -> np.ndarray:
    """The patient on the slices of `volume`."""
    stored = np.load(folder / "reference-patient.npz")
    shape = tuple(int(n) for n in stored["shape"])
    mask = np.unpackbits(stored["mask"])[: int(np.prod(shape))].reshape(shape).astype(bool)
    row_of = {str(uid): row for row, uid in enumerate(stored["sop_instance_uids"])}
    return mask[[row_of[uid] for uid in volume.sop_instance_uids]]


def targets(volume: Volume, patient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels that must not, and voxels that must be headrest."""
    spacing = volume.geometry.pixel_spacing
    inside = np.stack([ndi.distance_transform_edt(plane, sampling=spacing) > 1.5 for plane in patient])
    outside = np.stack([ndi.distance_transform_edt(~plane, sampling=spacing) > 3.0 for plane in patient])
    pieces, count = ndi.label(outside & (volume.voxels > -500))
    volume_ml = np.bincount(pieces.ravel(), minlength=count + 1) * np.prod(volume.geometry.spacing_kji) / 1000
    volume_ml[0] = 0
    return inside, (volume_ml >= 5)[pieces]


def interval(values: list[float]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def score_headrest(data: Path) -> None:
    """Print a row a series and the means of every method."""
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = {name: {} for name in METHODS}
    print("| series | method | patient lost, ppm | support found | air share |\n|---|---|---|---|---|")
    for folder in sorted(path.parent for path in data.glob("*/reference-patient.npz")):
        volume = read_volume(folder)
        patient = reference_mask(folder, volume)
        inside, support = targets(volume, patient)
        for name, method in METHODS.items():
            mask = method(volume)
            lost = 1e6 * np.count_nonzero(mask & inside) / np.count_nonzero(patient)
            share = np.count_nonzero(mask & support) / max(1, np.count_nonzero(support))
            air = np.count_nonzero(mask & (volume.voxels < -980)) / max(1, np.count_nonzero(mask))
            found[name].setdefault(volume.identity.patient_id, []).append((lost, share, air))
            print(f"| {folder.name} | {name} | {lost:.1f} | {share:.4f} | {air:.4f} |")
    for name, patients in found.items():
        columns = np.array([np.mean(scores, axis=0) for scores in patients.values()]).T.tolist()
        lost, share, air = (f"{np.mean(c):.4g} ({interval(c)[0]:.4g} to {interval(c)[1]:.4g})" for c in columns)
        print(f"| **mean of {len(patients)} patients** | {name} | {lost} | {share} | {air} |")


def score_metal(data: Path) -> None:
    """Print the Dice coefficient on the simulated implants."""
    methods: dict[str, Callable[[Volume], np.ndarray]] = {
        "DicomAnalysis": lambda v: segment(v, SegmentationOptions(tasks=("metal",))).segment("Metal").mask,
        "above 2500 HU": lambda v: v.voxels > 2500,
        "empty mask": nothing,
    }
    print("\n| metal | mean Dice of 14 cases (95 % interval) | least |\n|---|---|---|")
    volumes = [read_volume(path) for path in sorted((data / METAL_CASES).glob("*.dcm"))]
    for name, method in methods.items():
        dice = []
        for volume in volumes:
            mask, truth = method(volume), volume.voxels == 5000
            dice.append(2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth)))
        low, high = interval(dice)
        print(f"| {name} | {np.mean(dice):.3f} ({low:.3f} to {high:.3f}) | {min(dice):.3f} |")


def main() -> None:
    """Score everything under the folder given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    score_headrest(arguments.data)
    score_metal(arguments.data)


if __name__ == "__main__":
    main()
