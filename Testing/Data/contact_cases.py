"""Composites in contact with known truth: a real patient, and a support that was never in the scan with it.

The support is another patient's, pushed against this one, or a made one. What the support is, is
known by construction; the patient is the series' reference mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from DicomAnalysisLib.segmentation.training.composites import (
    SUPPORT_HU,
    Composite,
    Part,
    compose,
    fit,
    push,
    take_apart,
)
from DicomAnalysisLib.segmentation.training.made_supports import make_support
from DicomAnalysisLib.volume import Volume
from scipy import ndimage as ndi

MOST_SLICES = 24


@dataclass(frozen=True)
class KnownSeries:
    """A series whose patient and support are known.

    Attributes
    ----------
    volume : Volume
    patient, support : array of bool
        The reference mask, and the support away from it.
    """

    name: str
    volume: Volume
    patient: np.ndarray
    support: np.ndarray

    @property
    def patient_id(self) -> str:
        return self.volume.identity.patient_id


@dataclass(frozen=True)
class ContactCase:
    """One composite.

    Attributes
    ----------
    name, kind : str
        `kind` is ``real`` or ``made``.
    volume : Volume
    truth : Composite
    """

    name: str
    kind: str
    volume: Volume
    truth: Composite

    def scores(self, headrest: np.ndarray) -> dict[str, float]:
        """Dice of the support and of its solid part (no foam), and patient lost (ppm, beyond 1.5 mm inside)."""
        solid = self.volume.voxels > SUPPORT_HU
        spacing = self.volume.geometry.pixel_spacing
        inside = np.stack([ndi.distance_transform_edt(plane, sampling=spacing) > 1.5 for plane in self.truth.patient])
        return {
            "dice": dice(headrest, self.truth.support),
            "dice_solid": dice(headrest & solid, self.truth.support & solid),
            "patient_lost_ppm": 1e6 * int((headrest & inside).sum()) / max(1, int(self.truth.patient.sum())),
        }


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|); 1 where both are empty."""
    both = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / both if both else 1.0


def cases(
    patients: Sequence[KnownSeries], supports: Sequence[KnownSeries], made: int = 3, real: int = 1, seed: int = 0
) -> Iterator[ContactCase]:
    """Composites of every patient with other patients' supports, and with made ones.

    Parameters
    ----------
    patients, supports : sequence of KnownSeries
    made, real : int
        Composites of either kind for each patient's series and, for `real`, each other patient's support.
    seed : int
    """
    for number, series in enumerate(patients):
        rng = np.random.default_rng((seed, number))
        volume, part = _patient_alone(series)
        for other in supports:
            if other.patient_id == series.patient_id:
                continue
            for _ in range(real):
                yield _real(series, volume, part, other, rng)
        wanted = made
        while wanted:
            truth = _made(part, rng)
            if truth.touching.mean() > 0.5 and (truth.support & truth.solid).sum() > 2000:
                yield ContactCase(
                    f"{series.name} + made {made - wanted + 1}", "made", volume.with_voxels(truth.hu), truth
                )
                wanted -= 1


def _patient_alone(series: KnownSeries) -> tuple[Volume, Part]:
    """Up to 24 neighbouring slices of the series, with and without its support."""
    volume = series.volume
    count = len(volume.voxels)
    start = max(0, (count - MOST_SLICES) // 2)
    chosen = np.arange(start, min(count, start + MOST_SLICES))
    geometry = volume.geometry.select(chosen)
    patient, _ = take_apart(volume.voxels[chosen], series.patient[chosen], series.support[chosen], geometry.spacing_kji)
    return Volume(patient.hu, geometry, volume.identity), patient


def _real(series: KnownSeries, volume: Volume, part: Part, other: KnownSeries, rng: np.random.Generator) -> ContactCase:
    _, support = take_apart(other.volume.voxels, other.patient, other.support, other.volume.geometry.spacing_kji)
    fitted = fit(support, part, int(rng.integers(1000)))
    truth = push(part, fitted, overlap_mm=float(rng.uniform(2, 10)), shift_mm=float(rng.normal(0, 10)))
    return ContactCase(f"{series.name} + {other.name}", "real", volume.with_voxels(truth.hu), truth)


def _made(part: Part, rng: np.random.Generator) -> Composite:
    middle = len(part.hu) // 2
    made = make_support(part.mask[max(0, middle - 1) : middle + 2], part.spacing, rng)
    through = (np.repeat(plane[:1], len(part.hu), axis=0) for plane in (made.hu, made.mask))
    return compose(part, Part(*through, part.spacing))
