"""Headrest and table: phantoms with known truth, and what must hold on any volume."""

from __future__ import annotations

import numpy as np
import pytest
from DicomAnalysisLib.dicom.reader import read_series, read_volume
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import TaskError, UsageError
from DicomAnalysisLib.phantom import make_body_phantom, make_head_phantom
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from scipy import ndimage as ndi

HEADREST = SegmentationOptions(tasks=("headrest",))
PHANTOMS = {
    "head pressed on its cushion": lambda: make_head_phantom(),
    "head free of its cushion": lambda: make_head_phantom(contact=False, seed=1),
    "gantry tilted": lambda: make_head_phantom(tilt_degrees=18, seed=2),
    "ears on the shell": lambda: make_head_phantom(ears_touch=True, seed=3),
    "padding outside the field of view": lambda: make_head_phantom(padding_hu=-3024, seed=4),
    "trunk with arms on a table": lambda: make_body_phantom(),
}


@pytest.mark.parametrize("name", PHANTOMS)
def test_phantom(name):
    phantom = PHANTOMS[name]()
    volume = phantom.volume
    mask = segment(volume, HEADREST).segment("Headrest").mask
    dense = phantom.headrest & (volume.voxels > -500)
    assert (mask & phantom.patient).sum() <= 200e-6 * phantom.patient.sum()
    assert (mask & dense).sum() >= 0.98 * dense.sum()
    assert 2 * (mask & phantom.headrest).sum() >= 0.9 * (mask.sum() + phantom.headrest.sum())
    assert (mask & (volume.voxels < -980)).sum() <= 0.05 * mask.sum()


def test_trivial_baselines_are_worse():
    """All that is not air, and all below the patient's middle, each lose the patient or miss the holder."""
    phantom = make_head_phantom()
    volume = phantom.volume
    ours = segment(volume, HEADREST).segment("Headrest").mask

    def dice(mask: np.ndarray) -> float:
        return 2 * (mask & phantom.headrest).sum() / (mask.sum() + phantom.headrest.sum())

    lower_half = np.zeros_like(ours)
    lower_half[:, ours.shape[1] // 2 :] = True
    assert dice(ours) > dice(volume.voxels > -900) + 0.3
    assert dice(ours) > dice(lower_half & (volume.voxels > -900)) + 0.2


def turned(volume: Volume, axis: int) -> Volume:
    """The same patient with rows or columns counted from the other side."""
    geometry = volume.geometry
    names = {1: ("column_direction", 0), 2: ("row_direction", 1)}
    name, which = names[axis]
    length = (volume.shape[axis] - 1) * geometry.pixel_spacing[which]
    direction = getattr(geometry, name)
    directions = {"row_direction": geometry.row_direction, "column_direction": geometry.column_direction}
    directions[name] = -direction
    positions = geometry.positions + length * direction
    # A mirrored axis turns the normal round: slices go the other way to stay in order.
    flipped = np.ascontiguousarray(np.flip(volume.voxels, (0, axis)))
    return Volume(flipped, StackGeometry(**directions, pixel_spacing=geometry.pixel_spacing, positions=positions[::-1]))


@pytest.mark.parametrize("axis", [1, 2])
def test_does_not_depend_on_how_the_rows_are_counted(axis):
    volume = make_head_phantom((40, 252, 252), (3.75, 0.9, 0.9)).volume  # whole blocks of 3 x 3
    straight = segment(volume, HEADREST).segment("Headrest").mask
    mirrored = segment(turned(volume, axis), HEADREST).segment("Headrest").mask
    np.testing.assert_array_equal(np.flip(mirrored, (0, axis)), straight)


def test_the_same_input_gives_the_same_result_and_is_left_alone():
    volume = make_head_phantom((30, 192, 192), (5, 1.2, 1.2)).volume
    before = volume.voxels.copy()
    first, second = segment(volume), segment(volume)
    np.testing.assert_array_equal(volume.voxels, before)
    for a, b in zip(first.segments, second.segments, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)
        assert a.measurements == b.measurements


def test_air_alone_has_neither_patient_nor_headrest():
    volume = Volume(np.full((4, 64, 64), -1000, np.int16), straight_geometry(4))
    result = segment(volume)
    assert not result.segment("Headrest").mask.any()
    assert result.segment("Headrest").measurements["centroid_ras_mm"] is None
    assert any("No patient" in warning for warning in result.warnings)


def straight_geometry(slices: int) -> StackGeometry:
    return StackGeometry([1, 0, 0], [0, 1, 0], (1.0, 1.0), [[0, 0, 2.5 * k] for k in range(slices)], 2.5)


def test_touching_slices_are_listed():
    """A stiff board pressed along the ear and going on below it: the contact is named."""
    voxels = np.full((12, 160, 160), -1000, np.int16)
    y, x = np.mgrid[:160, :160]
    voxels[:, np.hypot(x - 80, y - 70) < 45] = 40
    voxels[:8, 60:80, 125:140] = 20  # an ear
    voxels[:, 40:157, 140:146] = 200  # a board beside it
    result = segment(Volume(voxels, straight_geometry(12)), HEADREST)
    mask = result.segment("Headrest").mask
    assert set(range(8)) <= set(result.uncertain_slices)
    assert any("touch in slices" in warning for warning in result.warnings)
    assert not mask[:, 60:80, 125:138].any()
    assert mask[:, 110:154, 141:145].mean() > 0.95


def test_a_single_slice():
    volume = make_head_phantom().volume
    one = Volume(volume.voxels[30:31], volume.geometry.select(slice(30, 31)), volume.identity)
    assert segment(one, HEADREST).segment("Headrest").mask.any()


def test_other_modalities_are_refused():
    volume = Volume(np.zeros((2, 32, 32), np.int16), straight_geometry(2), SeriesIdentity("1.2.3", modality="MR"))
    with pytest.raises(TaskError, match=r"1\.2\.3 is MR"):
        segment(volume)


def test_values_beyond_tissue_are_refused():
    """A rescale that was lost leaves neither air nor tissue to tell apart."""
    volume = make_head_phantom((4, 32, 32), (30.0, 8.0, 8.0)).volume
    with pytest.raises(TaskError, match="rescale slope"):
        segment(volume.with_voxels(np.full_like(volume.voxels, 3071)))


def test_slices_too_small_are_refused():
    with pytest.raises(TaskError, match="8 x 8"):
        segment(Volume(np.zeros((2, 8, 8), np.int16), straight_geometry(2)))


@pytest.mark.parametrize("wrong", [{"tasks": ("heart",)}, {"tasks": ()}, {"region": "left"}, {"method": "magic"}])
def test_options_are_checked(wrong):
    with pytest.raises(UsageError):
        SegmentationOptions(**wrong)


def test_progress_is_reported():
    seen = []
    segment(make_head_phantom((20, 128, 128), (7.5, 1.8, 1.8)).volume, progress=lambda share, stage: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_lungs_and_thin_chest_walls_stay_with_the_patient(shared_data):
    """17 patients, one slice each: inside the body's filled outline nothing is headrest."""
    seen = 0
    for series in open_source(shared_data / "cohort-tcga-luad-single-slices").series():
        volume = read_series(series)[0]
        plane = volume.voxels[0]
        pieces, _ = ndi.label(ndi.binary_opening(ndi.binary_fill_holes(plane > -300), iterations=8))
        body = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
        mask = segment(volume, HEADREST).segment("Headrest").mask[0]
        assert (mask & ndi.binary_erosion(body, iterations=4)).sum() <= 20, series.identity.series_uid
        seen += 1
    assert seen == 17


def test_lungs_cut_by_the_field_of_view(shared_data):
    """A chest of which only the middle is imaged: lungs reach the edge and are no pad."""
    volume = read_volume(shared_data / "chest-lidc314-implicit")
    part = Volume(np.ascontiguousarray(volume.voxels[:, 110:-150, 110:-110]), volume.geometry)
    lung = (part.voxels < -600) & (part.voxels > -950)
    lung[:, :55] = False  # in front of the chest there is a blanket
    assert (segment(part, HEADREST).segment("Headrest").mask & lung).sum() <= 0.002 * lung.sum()


def test_a_table_top_pressed_into_the_back(shared_data):
    """The table of a real scan moved up by 12 mm, into the patient, who displaces it."""
    name = "abdomen-acrin001-t0"
    volume = read_volume(shared_data / name)
    reference = np.load(shared_data / name / "reference-patient.npz")
    uids = [str(uid) for uid in reference["sop_instance_uids"]]
    shape = tuple(int(n) for n in reference["shape"])
    stored = np.unpackbits(reference["mask"])[: int(np.prod(shape))].reshape(shape).astype(bool)
    patient = stored[[uids.index(uid) for uid in volume.sop_instance_uids]]
    air = ndi.binary_dilation(patient, np.ones((1, 9, 9)))
    table = np.where(air, -1000, volume.voxels)
    rows = round(12 / volume.geometry.pixel_spacing[0])
    moved = np.full_like(table, -1000)
    moved[:, :-rows] = table[:, rows:]
    pressed = np.where(patient, volume.voxels, moved).astype(np.int16)
    mask = segment(volume.with_voxels(pressed), HEADREST).segment("Headrest").mask
    support = (pressed > -500) & ~ndi.binary_dilation(patient, np.ones((1, 9, 9)))
    assert (mask & ndi.binary_erosion(patient, np.ones((1, 5, 5)))).sum() <= 200e-6 * patient.sum()
    assert (mask & support).sum() >= 0.97 * support.sum()


def test_hands_and_fingers_stay_with_the_patient():
    """A hand on the belly, a blanket's width away: palm and fingers, each with a core of bone."""
    geometry = StackGeometry([1, 0, 0], [0, 1, 0], (0.9, 0.9), [[0, 0, 2.5 * k] for k in range(64)], 2.5)
    z, y, x = np.mgrid[:64, :300, :400].astype(np.float32)
    z, y, x = (z - 32) * 2.5, (y - 165) * 0.9, (x - 200) * 0.9
    hu = np.full(z.shape, -1000, np.float32)
    trunk = (x / 150) ** 2 + (y / 90) ** 2 < 1
    palm = (np.abs(x - 20) < 40) & (np.abs(y + 105) < 12) & (np.abs(z + 20) < 40)
    hu[trunk | palm] = 40
    hand = palm
    for place in (-10, 8, 26, 44):
        across = (x - place) ** 2 + (y + 105) ** 2
        finger = (across < 8**2) & (z >= 20) & (z < 75)
        hu[finger] = 40
        hu[(finger & (across < 4**2)) | (palm & (across < 5**2))] = 600
        hand = hand | finger
    table = (np.abs(y - 100) < 3) & (np.abs(x) < 175)
    hu[table] = 0
    blurred = ndi.gaussian_filter(hu, (0.4, 0.8, 0.8)) + np.random.default_rng(0).normal(0, 15, hu.shape)
    mask = segment(Volume(np.rint(blurred).astype(np.int16), geometry), HEADREST).segment("Headrest").mask
    assert not (mask & ndi.binary_erosion(hand, np.ones((1, 5, 5)))).any()
    assert (mask & table).sum() >= 0.97 * table.sum()
