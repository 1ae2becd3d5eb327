"""The fan-beam simulation of metal: geometry, physics and what must not change."""

from __future__ import annotations

import numpy as np
import pytest
from DicomAnalysisLib.segmentation.training.attenuation import (
    BONE_PER_CM,
    DETECTED_SHARE,
    EFFECTIVE,
    MATERIALS,
    WATER_PER_CM,
)
from DicomAnalysisLib.segmentation.training.fan_beam import FanBeam, project, project_small, reconstruct
from DicomAnalysisLib.segmentation.training.implants import IMPLANTS, draw_implant
from DicomAnalysisLib.segmentation.training.metal_training import MetalCase, metal_training_sets
from DicomAnalysisLib.segmentation.training.streaks import (
    EXTENDED_HU,
    Scan,
    add_streaks,
    change_of_sinogram,
    tissue_paths,
    without_metal,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE, SPACING = 128, (1.5, 1.5)
BEAM = FanBeam(radius_mm=96, views=360, pitch_mm=0.8)
SCAN = Scan(beam=BEAM)


def disc(row: float, column: float, radius_mm: float, size: int = SIZE, spacing: float = SPACING[0]) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.hypot((rows - row) * spacing, (columns - column) * spacing) < radius_mm


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """Water with a ring of bone."""
    hu = np.where(disc(63.5, 63.5, 80), 40, -1000)
    hu[disc(63.5, 63.5, 80) & ~disc(63.5, 63.5, 73)] = 1000
    return (hu + np.random.default_rng(0).normal(0, 10, hu.shape)).astype(np.int16)


def test_water_attenuates_as_tabulated():
    """NIST: water at 60 keV 0.2059 cm2/g, cortical bone 0.3148 cm2/g times 1.92 g/cm3, iron at 80 keV 0.5952."""
    assert WATER_PER_CM[2] == pytest.approx(0.2059)
    assert BONE_PER_CM[2] == pytest.approx(0.3148 * 1.92)
    assert DETECTED_SHARE.sum() == pytest.approx(1)
    for material in MATERIALS.values():
        assert sum(share for _, share in material.composition) == pytest.approx(1)
    # At 70 keV gold comes before steel before titanium; 10,000 HU and more each.
    assert MATERIALS["gold"].hu > MATERIALS["steel"].hu > MATERIALS["titanium"].hu > 10000


def test_line_integrals_of_a_disc_are_its_chords():
    paths = project(disc(63.5, 63.5, 60).astype(np.float32)[None], SPACING, BEAM)[0]
    distance = np.abs(BEAM.detectors) * BEAM.source_mm / np.hypot(BEAM.source_mm, BEAM.detectors)
    chords = 2 * np.sqrt(np.maximum(60**2 - distance**2, 0))
    inner = distance < 50
    assert np.abs(paths[:, inner] - chords[inner]).max() < 4
    assert np.abs(paths[:, inner] - chords[inner]).mean() < 1
    assert not paths[:, distance > 66].any()


@settings(max_examples=15, deadline=None)
@given(st.floats(30, 98), st.floats(30, 98), st.floats(3, 12))
def test_a_small_object_comes_back_where_it_was_with_its_mass(row, column, radius):
    """Projected and reconstructed: total attenuation and centre of mass stay, wherever it lies."""
    metal = disc(row, column, radius)
    found = reconstruct(project_small(metal.astype(np.float32), SPACING, BEAM), metal.shape, SPACING, BEAM)
    near = disc(row, column, radius + 12)
    assert found[near].sum() == pytest.approx(metal.sum(), rel=0.04)
    centre = (np.argwhere(near) * found[near][:, None]).sum(0) / found[near].sum()
    assert centre == pytest.approx(np.argwhere(metal).mean(0), abs=0.15)


def test_without_metal_nothing_changes(head):
    assert np.array_equal(add_streaks(head, np.zeros(head.shape, bool), SPACING, scan=SCAN), head)


def test_a_window_is_cut_from_the_whole(head):
    metal = disc(70, 40, 5)
    window = (slice(20, 90), slice(10, 80))
    whole = add_streaks(head, metal, SPACING, scan=SCAN, seed=3)
    assert np.array_equal(add_streaks(head, metal, SPACING, scan=SCAN, seed=3, window=window), whole[window])
    assert not np.array_equal(add_streaks(head, metal, SPACING, scan=SCAN, seed=4, window=window), whole[window])


def test_metal_blooms_clips_and_streaks(head):
    """The denser, the larger it looks; between two pieces it is dark; far away almost nothing happens."""
    metal = disc(70, 40, 5) | disc(70, 88, 5)
    grown = {}
    for material in ("titanium", "steel", "gold"):
        hu = add_streaks(head, metal, SPACING, material=material, scan=SCAN, seed=1).astype(float)
        assert hu.max() == SCAN.clip_hu
        assert hu[metal].min() > 2000
        grown[material] = np.count_nonzero(hu >= 3000)
        between = hu[68:73, 58:70].mean()
        assert between < 40 - 100, material
        assert abs(np.median(hu[disc(30, 64, 8)]) - 40) < 80
    assert metal.sum() <= grown["titanium"] <= grown["steel"] <= grown["gold"]
    assert grown["gold"] > 1.5 * metal.sum()


def test_extended_scales_do_not_clip_at_twelve_bits(head):
    scan = Scan(beam=BEAM, clip_hu=EXTENDED_HU)
    hu = add_streaks(head, disc(70, 40, 5), SPACING, material="titanium", scan=scan)
    assert 5000 < hu.max() < MATERIALS["titanium"].hu * 1.3


def test_beams_harden_and_photons_run_out():
    """A thin sheet counts in full, a thick one for less than its thickness times what it attenuates at 70 keV."""
    hu = np.where(disc(63.5, 63.5, 80), 0, -1000).astype(np.int16)
    paths = tissue_paths(hu, SPACING, BEAM)
    many = Scan(beam=BEAM, photons=1e12, scatter=0.0, electronic=0.0, spot_mm=0.01)
    steel = MATERIALS["steel"].per_cm[EFFECTIVE] - WATER_PER_CM[EFFECTIVE]
    per_cm = []
    for centimetres in (0.01, 0.5, 2.0):
        through = np.full(paths.water.shape, centimetres, np.float32)
        change = change_of_sinogram(through, paths, "steel", many, 0)
        per_cm.append(float(np.median(change)) / centimetres)
    assert per_cm[0] > per_cm[1] > per_cm[2]
    assert 0.7 * steel < per_cm[0] < 1.3 * steel
    starved = change_of_sinogram(np.full(paths.water.shape, 5.0, np.float32), paths, "gold", SCAN, 0)
    assert starved.max() < np.log(SCAN.photons) * 1.5


def test_turning_slice_and_metal_turns_the_result(head):
    metal = disc(70, 40, 5)
    quiet = Scan(beam=BEAM, photons=1e12, electronic=0.0)
    straight = add_streaks(head, metal, SPACING, scan=quiet).astype(int)
    turned = add_streaks(np.rot90(head).copy(), np.rot90(metal).copy(), SPACING, scan=quiet).astype(int)
    difference = np.abs(np.rot90(straight) - turned)
    assert np.percentile(difference, 99) < 25


def test_metal_is_taken_out_again(head):
    metal = disc(70, 40, 5)
    with_metal = np.where(metal, 5000, head).astype(np.int16)
    emptied = without_metal(with_metal, metal)
    assert np.array_equal(emptied[~metal], head[~metal])
    assert abs(float(emptied[metal].mean()) - 40) < 15


@pytest.mark.parametrize("kind", sorted(IMPLANTS))
def test_implants_are_drawn_to_scale(kind):
    sizes = []
    for seed in range(6):
        place = (100.0, 90.0)
        share = draw_implant(kind, (200, 200), (0.7, 0.7), place, np.random.default_rng(seed))
        assert 0 <= share.min() <= share.max() <= 1
        again = draw_implant(kind, (200, 200), (0.7, 0.7), place, np.random.default_rng(seed))
        assert np.array_equal(share, again)
        sizes.append(share.sum() * 0.49)
    assert 1 < max(sizes) < 3500
    for material in IMPLANTS[kind][1]:
        assert material in MATERIALS


def test_training_crops_are_a_function_of_the_seed(tmp_path):
    hu = np.where(disc(127.5, 127.5, 80, 256, 0.8), 30, -1000).astype(np.int16)
    slices = [MetalCase(hu, np.zeros(hu.shape, bool), (0.8, 0.8), "A")]
    cases = [MetalCase(hu, disc(120, 130, 6, 256, 0.8), (0.8, 0.8), "B")]
    cache = tmp_path / "crops.npz"
    first = metal_training_sets(slices, cases, 5, 2, 2, cache)
    again = metal_training_sets(slices, cases, 5, 2, 2)
    stored = metal_training_sets(slices, cases, 5, 2, 2, cache)
    assert np.array_equal(first.hu, again.hu)
    assert np.array_equal(first.hu, stored.hu)
    assert np.array_equal(first.truth, stored.truth)
    assert first.patients == stored.patients == ("A", "A", "B", "B")
    assert len(first.without({"B"})) == len(first.of({"A"})) == 2
