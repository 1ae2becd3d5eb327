"""Metal: simulated truth, real implants, and series that have none."""

from __future__ import annotations

import numpy as np
import pytest
from DicomAnalysisLib.dicom.reader import read_series, read_volume
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.phantom import make_body_phantom, make_head_phantom
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.volume import StackGeometry, Volume

METAL = SegmentationOptions(tasks=("metal",))
WITHOUT_METAL = (
    "abdomen-acrin001-t0",
    "chest-lidc314-implicit",
    "chest-rider-neardup",
    "chest-totalseg-j2k",
    "head-ge-tilt-uneven",
    "head-philips-phantom",
    "head-philips-phantom-tilt-minus18.5",
    "head-philips-phantom-tilt-plus16.5",
)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))


def test_simulated_metal_is_found_whole(shared_data):
    """AAPM CT-MAR: metal is exactly 5000 HU; an empty mask scores 0, a fixed 3000 HU takes in enamel."""
    masks, truths, fixed = [], [], []
    for path in sorted((shared_data / "metal-aapm-ctmar").glob("*.dcm")):
        volume = read_volume(path)
        truth = volume.voxels == 5000
        mask = segment(volume, METAL).segment("Metal").mask
        assert dice(mask, truth) >= 0.90, path.name
        masks.append(mask.ravel())
        truths.append(truth.ravel())
        fixed.append((volume.voxels > 2500).ravel())
    assert len(masks) == 14
    total = dice(np.concatenate(masks), np.concatenate(truths))
    assert total >= 0.98
    assert total > dice(np.concatenate(fixed), np.concatenate(truths))


@pytest.mark.parametrize(
    ("name", "low_ml", "high_ml", "slices"),
    [
        ("head-pcir-ge-dental", 1.0, 8.0, (20, 50)),
        ("chest-lungfcp-sternal-wires", 0.1, 1.0, (7, 32)),
        ("abdomen-cptacpda-biliary-stent", 0.1, 2.0, (0, 34)),
        ("head-torso-acrin001-t1-port", 0.3, 3.0, (13, 47)),
    ],
)
def test_real_implants_are_found(shared_data, name, low_ml, high_ml, slices):
    volume = read_volume(shared_data / name)
    result = segment(volume, METAL)
    metal = result.segment("Metal")
    assert low_ml < metal.measurements["volume_ml"] < high_ml
    assert slices[0] <= metal.measurements["bbox_ijk"][4] <= metal.measurements["bbox_ijk"][5] <= slices[1]
    assert result.details["scale_clipped_at_hu"] == 3071
    assert 2000 <= result.threshold_hu < 3071
    assert metal.pieces[0].location == "inside"


@pytest.mark.parametrize("name", WITHOUT_METAL)
def test_no_metal_no_voxel(shared_data, name):
    for series in open_source(shared_data / name).series():
        for volume in read_series(series):
            if volume.identity.modality == "CT" and min(volume.shape[1:]) >= 16:
                result = segment(volume, SegmentationOptions(tasks=("metal",), region="all"))
                assert not result.segment("Metal").mask.any()
                assert result.threshold_hu is None


def test_slices_without_metal_stay_empty(shared_data):
    volume = read_volume(shared_data / "head-pcir-ge-dental")
    mask = segment(volume, METAL).segment("Metal").mask
    without = volume.voxels.max((1, 2)) < 2000
    assert without.any()
    assert not mask[without].any()


@pytest.mark.parametrize("make", [make_head_phantom, make_body_phantom])
def test_phantom_implants(make):
    """Every implant is found where it is. A clipped scale and blur make small metal look larger than it is."""
    phantom = make(metal=True)
    metal = segment(phantom.volume, METAL).segment("Metal")
    assert (metal.mask & phantom.metal).sum() >= 0.95 * phantom.metal.sum()
    assert metal.mask.sum() <= 2 * phantom.metal.sum()
    assert all(piece.location in ("inside", "at the skin") for piece in metal.pieces)


def head(*blocks: tuple[tuple, int]) -> Volume:
    """A ball of soft tissue in air with blocks of other HU in it."""
    voxels = np.full((20, 120, 120), -1000, np.int16)
    z, y, x = np.mgrid[:20, :120, :120]
    voxels[(x - 60) ** 2 + (y - 60) ** 2 + (2.5 * (z - 10)) ** 2 < 40**2] = 40
    for place, hu in blocks:
        voxels[place] = hu
    return Volume(voxels, StackGeometry([1, 0, 0], [0, 1, 0], (1.0, 1.0), [[0, 0, 2.5 * k] for k in range(20)]))


IMPLANT = np.s_[8:12, 55:62, 55:62]
ENAMEL = np.s_[8:12, 80:86, 55:62]
LEAD = np.s_[8:12, 5:8, 58:62]


@pytest.mark.parametrize("metal_hu", [3071, 3095, 8000, 30000])
def test_every_scale(metal_hu):
    result = segment(head((IMPLANT, metal_hu), (ENAMEL, 2400)), METAL)
    mask = result.segment("Metal").mask
    expected = np.zeros_like(mask)
    expected[IMPLANT] = True
    np.testing.assert_array_equal(mask, expected)
    assert result.threshold_hu < metal_hu
    assert result.details["scale_clipped_at_hu"] == metal_hu


@pytest.mark.parametrize("hu", [700, 1600, 2400, 2900])
def test_contrast_bone_and_enamel_are_not_metal(hu):
    result = segment(head((ENAMEL, hu)), METAL)
    assert result.threshold_hu is None
    assert not result.segment("Metal").mask.any()


def test_enamel_of_an_extended_scale_is_not_metal():
    voxels = head((ENAMEL, 3400), (np.s_[8:12, 80, 55:62], 3150))
    assert not segment(voxels, METAL).segment("Metal").mask.any()


@pytest.mark.parametrize(
    ("region", "found"), [("inside", {"inside"}), ("outside", {"outside"}), ("all", {"inside", "outside"})]
)
def test_regions(region, found):
    volume = head((IMPLANT, 3071), (LEAD, 3071))
    result = segment(volume, SegmentationOptions(tasks=("metal",), region=region))
    metal = result.segment("Metal")
    assert {piece.location for piece in metal.pieces} == found
    assert metal.mask.any((1, 2)).sum() == 4
    assert metal.measurements["components"] == len(found)


def test_a_button_on_the_skin():
    volume = head((np.s_[9:11, 17:20, 58:62], 3071))
    (piece,) = segment(volume, METAL).segment("Metal").pieces
    assert piece.location == "at the skin"


def test_pieces_are_measured():
    volume = head((IMPLANT, 3071))
    (piece,) = segment(volume, METAL).segment("Metal").pieces
    assert piece.voxels == 4 * 7 * 7
    assert piece.bbox_ijk == (55, 61, 55, 61, 8, 11)
    assert piece.max_hu == 3071
    np.testing.assert_allclose(piece.volume_ml, piece.voxels * 2.5 / 1000)
    np.testing.assert_allclose(piece.centroid_ras_mm, (-58, -58, 9.5 * 2.5))


def test_a_threshold_of_the_users_own():
    volume = head((IMPLANT, 3071), (ENAMEL, 2400))
    own = segment(volume, SegmentationOptions(tasks=("metal",), metal_threshold_hu=2000))
    assert own.threshold_hu == 2000
    assert own.segment("Metal").measurements["components"] == 2
    clipped = segment(volume, SegmentationOptions(tasks=("metal",), metal_threshold_hu=3500))
    assert clipped.threshold_hu < 3071
    assert any("scale's end" in warning for warning in clipped.warnings)


def test_a_threshold_of_the_users_own_may_be_low():
    """Aluminium and thin wires stay below 1,500 HU; whoever asks for them gets them."""
    wire = np.s_[8:12, 30:34, 55:62]
    found = segment(head((wire, 1100)), SegmentationOptions(tasks=("metal",), metal_threshold_hu=900))
    assert found.threshold_hu == 900
    assert found.segment("Metal").mask.sum() == 4 * 4 * 7
    assert found.segment("Metal").mask[wire].all()


@pytest.mark.parametrize("hu", [float("nan"), float("inf"), 0.0, -300.0])
def test_thresholds_that_make_no_sense_are_refused(hu):
    with pytest.raises(UsageError, match="metal threshold"):
        SegmentationOptions(metal_threshold_hu=hu)


def test_bone_without_metal():
    volume = head((IMPLANT, 3071), (ENAMEL, 1200), (np.s_[5:15, 40:44, 40:80], 600))
    bone = segment(volume, SegmentationOptions(tasks=("bone",))).segment("Bone").mask
    assert bone[ENAMEL].all()
    assert bone[np.s_[5:15, 40:44, 40:80]].all()
    assert not bone[IMPLANT].any()
    assert not bone[volume.voxels == 40].any()
