"""What the metal network learns from: real slices without metal, and metal put into them.

Two sources of metal: made implants (`implants`) of random size, place and material, and the
masks of slices whose metal is known, moved, turned and scaled. Beside metal there is what
looks like it: enamel and calcifications up to the end of the scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

from .attenuation import MATERIALS
from .fan_beam import FanBeam
from .implants import IMPLANTS, draw_implant
from .metal_samples import CROP, MetalCrops
from .streaks import EXTENDED_HU, TWELVE_BIT_HU, Scan, TissuePaths, add_streaks, tissue_paths, without_metal

LARGE_MM2 = 300.0
"""Larger implants are not made of gold or amalgam."""
_LARGE = ("titanium", "cobalt chromium", "steel")
_TEETH = ("filling", "crown", "disc", "disc", "polygon")
_THIN = ("seed", "clips", "stent", "coil", "wires")
"""Often thinner than a slice, which then shows them weakly, but as wide as they are."""


@dataclass(frozen=True)
class MetalCase:
    """A slice to put metal into.

    Attributes
    ----------
    hu : array of int16, shape (j, i)
    metal : array of bool
        Metal that is known to be in the slice; empty where there is none.
    spacing : tuple of float
        Between rows and columns, mm.
    patient : str
    """

    hu: np.ndarray
    metal: np.ndarray
    spacing: tuple[float, float]
    patient: str


class _Metal(NamedTuple):
    """Metal to put into a slice.

    Attributes
    ----------
    share : array of float32, shape (j, i)
        Share of each pixel that it covers.
    material : str
    depth : float
        Share of the slice's thickness that it fills.
    """

    share: np.ndarray
    material: str
    depth: float = 1.0


@dataclass(frozen=True)
class _Stage:
    """A slice made ready: emptied of its metal, its tissue projected."""

    case: MetalCase
    hu: np.ndarray
    paths: TissuePaths
    beam: FanBeam

    @classmethod
    def of(cls, case: MetalCase) -> _Stage:
        hu = without_metal(case.hu, case.metal)
        beam = beam_for(case.hu.shape, case.spacing)
        return cls(case, hu, tissue_paths(hu, case.spacing, beam), beam)


def beam_for(shape: tuple[int, int], spacing: tuple[float, float]) -> FanBeam:
    """The usual beam, its field of measurement no larger than the slice."""
    return FanBeam(radius_mm=float(min(250.0, 0.5 * max(n * step for n, step in zip(shape, spacing, strict=True)))))


def metal_training_sets(
    slices: Sequence[MetalCase],
    cases: Sequence[MetalCase],
    seed: int = 0,
    per_slice: int = 4,
    per_case: int = 8,
    cache: Path | None = None,
    report: Callable[[int, int], None] | None = None,
    jobs: int = 1,
) -> MetalCrops:
    """Make the crops that the network is trained on: a pure function of its arguments.

    Parameters
    ----------
    slices : sequence of MetalCase
        Without metal.
    cases : sequence of MetalCase
        With metal that is known.
    seed, per_slice, per_case : int
        Crops made of each slice, and of each case.
    cache : Path or None
        A file (.npz) to read if it exists, to write otherwise. It is up to the caller to
        name it after the arguments.
    report : callable or None
        Called with slices done and their number.
    jobs : int
        Processes; the result does not depend on them.

    Returns
    -------
    MetalCrops
        Two thirds of a case's crops keep metal and slice together.
    """
    if cache is not None and cache.exists():
        stored = np.load(cache)
        return MetalCrops(stored["hu"], stored["truth"], stored["pixel_mm"], tuple(str(p) for p in stored["patients"]))
    found: list[tuple[np.ndarray, np.ndarray, float, str]] = []
    total = len(slices) + len(cases)
    crops = partial(_crops_of, slices, cases, seed, per_slice, per_case)
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        for done, some in enumerate((map if pool is None else pool.map)(crops, range(total)), start=1):
            found += some
            if report is not None:
                report(done, total)
    hu, truth, pixel_mm, patients = zip(*found, strict=True)
    crops = MetalCrops(np.stack(hu), np.stack(truth), np.array(pixel_mm), patients)
    if cache is not None:
        _store(crops, cache)
    return crops


def _crops_of(
    slices: Sequence[MetalCase], cases: Sequence[MetalCase], seed: int, per_slice: int, per_case: int, number: int
) -> list[tuple[np.ndarray, np.ndarray, float, str]]:
    """All crops of one slice or, counted on, one case."""
    own = number < len(slices)
    case = slices[number] if own else cases[number - len(slices)]
    stage, found = _Stage.of(case), []
    for n in range(per_slice if own else per_case):
        rng = np.random.default_rng((seed, number, n))
        found.append(_crop(stage, None if own else _donor(case, cases, n, rng), n == 0, rng))
    return found


def _donor(case: MetalCase, cases: Sequence[MetalCase], n: int, rng: np.random.Generator) -> MetalCase:
    """Whose metal the n-th crop of a case gets."""
    return case if n % 3 < 2 else cases[int(rng.integers(len(cases)))]


def _store(crops: MetalCrops, cache: Path) -> None:
    part = cache.with_suffix(".part.npz")
    np.savez_compressed(
        part, hu=crops.hu, truth=crops.truth, pixel_mm=crops.pixel_mm, patients=np.array(crops.patients)
    )
    part.replace(cache)


def _crop(
    stage: _Stage, donor: MetalCase | None, as_it_is: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float, str]:
    """One crop: HU, truth, the pixel's size in mm, and whose they are."""
    case = stage.case
    metal = _Metal(np.zeros(case.hu.shape, np.float32), "titanium")
    for _ in range(20):
        metal = _made(stage, rng) if donor is None else _given(stage, donor, as_it_is, rng)
        if np.count_nonzero(metal.share >= 0.5) >= 5:
            break
    share = metal.share
    if rng.random() < 0.5:
        share = (share >= 0.5).astype(np.float32)
    kind = rng.random()
    hu = _with_bright_tissue(stage, rng) if rng.random() < 0.5 or kind < 0.1 else stage.hu
    truth = share >= 0.5
    window = _window(hu > 2000 if kind < 0.1 else truth, rng)
    if kind < 0.1:
        # Enamel alone: what reaches the end of the scale need not be metal.
        truth = np.zeros_like(truth)
        image = np.minimum(hu[window], TWELVE_BIT_HU).astype(np.int16)
    elif kind < 0.2:
        # Metal without a streak, as a scanner's artefact correction leaves it.
        image = np.where(truth, int(rng.choice([TWELVE_BIT_HU, 5000, 8000])), hu)[window].astype(np.int16)
    else:
        image = add_streaks(
            hu,
            share * metal.depth,
            case.spacing,
            material=metal.material,
            scan=_any_scan(stage.beam, rng),
            seed=int(rng.integers(2**31)),
            window=window,
            paths=stage.paths,
        )
    patients = {case.patient} | ({donor.patient} if donor is not None else set())
    pixel_mm = float(np.sqrt(case.spacing[0] * case.spacing[1]))
    return image, truth[window].astype(np.uint8), pixel_mm, "+".join(sorted(patients))


def crop_at(case: MetalCase, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, str]:
    """A crop of a case around its metal, as it was acquired: HU, truth, the pixel's size in mm, and whose it is."""
    window = _window(case.metal, rng)
    pixel_mm = float(np.sqrt(case.spacing[0] * case.spacing[1]))
    return case.hu[window], case.metal[window].astype(np.uint8), pixel_mm, case.patient


def _any_scan(beam: FanBeam, rng: np.random.Generator) -> Scan:
    return Scan(
        beam=beam,
        photons=float(10 ** rng.uniform(4.8, 6.3)),
        scatter=float(10 ** rng.uniform(-2.5, -1.5)),
        spot_mm=float(rng.uniform(0.4, 0.9)),
        sharpness=float(rng.uniform(0.75, 1.4)),
        clip_hu=TWELVE_BIT_HU if rng.random() < 0.75 else EXTENDED_HU,
    )


def _made(stage: _Stage, rng: np.random.Generator) -> _Metal:
    """One to four made implants of one material."""
    teeth = np.argwhere(stage.hu > 1400)
    at_teeth = len(teeth) > 150 and rng.random() < 0.7
    kind = str(rng.choice(_TEETH if at_teeth else list(IMPLANTS)))
    spacing, shape = stage.case.spacing, stage.hu.shape
    if at_teeth:
        places = teeth
    else:
        inside = ndi.binary_erosion(stage.hu > -300, iterations=6)
        bone = inside & (stage.hu > 250)
        places = np.argwhere(bone if bone.sum() > 200 and rng.random() < 0.4 else inside)
    if not len(places):
        places = np.array([[shape[0] // 2, shape[1] // 2]])
    share = np.zeros(shape, np.float32)
    place = places[rng.integers(len(places))]
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        share = np.maximum(share, draw_implant(kind, shape, spacing, tuple(place), rng))
        near = np.hypot(*((places - place) * spacing).T) < 60
        place = places[near][rng.integers(np.count_nonzero(near))]
    materials = IMPLANTS[kind][1]
    depth = rng.uniform(0.15, 1.0) if kind in _THIN and rng.random() < 0.6 else 1.0
    return _Metal(share, materials[rng.integers(len(materials))], depth)


def _given(stage: _Stage, donor: MetalCase, as_it_is: bool, rng: np.random.Generator) -> _Metal:
    """A case's own metal, as it is or moved, turned and scaled."""
    metal = donor.metal.astype(np.float32)
    if not (as_it_is and donor is stage.case):
        inside = _inside(stage.hu)
        place = inside[rng.integers(len(inside))]
        turn, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.4, 0.4))
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / scale
        centre = np.argwhere(donor.metal).mean(0)
        metal = ndi.affine_transform(metal, matrix, centre - matrix @ place, stage.hu.shape, order=1)
    area = np.count_nonzero(metal >= 0.5) * stage.case.spacing[0] * stage.case.spacing[1]
    materials = _LARGE if area > LARGE_MM2 else tuple(MATERIALS)
    return _Metal(metal, materials[rng.integers(len(materials))])


def _with_bright_tissue(stage: _Stage, rng: np.random.Generator) -> np.ndarray:
    """Enamel, calcification and contrast medium, up to beyond the end of a 12-bit scale."""
    hu = stage.hu.astype(np.float32)
    inside = _inside(stage.hu)
    rows, columns = np.mgrid[: hu.shape[0], : hu.shape[1]].astype(np.float32)
    place = inside[rng.integers(len(inside))].astype(float)
    for _ in range(int(rng.integers(1, 7))):
        size = rng.uniform(1.0, 5.0, 2) / stage.case.spacing
        turn = rng.uniform(0, np.pi)
        y, x = rows - place[0], columns - place[1]
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        level = np.hypot(u / size[1], v / size[0])
        if rng.random() < 0.5:
            level = np.abs(level - 0.8) * 3
        # Borders a pixel or so wide, as the scan blurs everything.
        share = np.clip((1.2 - level) * size.mean() / rng.uniform(1.0, 2.5), 0, 1)
        hu += share * np.maximum(rng.uniform(1400, 3450) - hu, 0)
        place += rng.normal(0, 9, 2) / stage.case.spacing
    return np.rint(hu).astype(np.int16)


def _inside(hu: np.ndarray) -> np.ndarray:
    """Places inside the tissue of a slice; its middle where there is none, as above the head."""
    places = np.argwhere(ndi.binary_erosion(hu > -300, iterations=6))
    return places if len(places) else np.array([[size // 2 for size in hu.shape]])


def _window(marked: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice]:
    """A crop that holds some of what is marked, seldom in its middle."""
    marks = np.argwhere(marked)
    centre = marks[rng.integers(len(marks))] if len(marks) else np.array(marked.shape) // 2
    start = centre - CROP // 2 + rng.integers(-35, 36, 2)
    start = np.clip(start, 0, np.array(marked.shape) - CROP)
    return slice(int(start[0]), int(start[0]) + CROP), slice(int(start[1]), int(start[1]) + CROP)
