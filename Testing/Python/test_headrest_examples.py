"""What the headrest network learns from: labels, examples, composites in contact, scenes and looks at them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from contact_cases import KnownSeries, cases
from DicomAnalysisLib.batch.units import FileList
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.files.nrrd import write_segmentation, write_volume
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from DicomAnalysisLib.run import segment_source
from DicomAnalysisLib.segmentation import SegmentationOptions, segment
from DicomAnalysisLib.segmentation.network.grid import (
    BACKGROUND,
    CHANNELS,
    PATIENT,
    SUPPORT,
    network_grid,
    network_input,
)
from DicomAnalysisLib.segmentation.training import examples as collecting
from DicomAnalysisLib.segmentation.training import headrest_samples
from DicomAnalysisLib.segmentation.training.composites import AIR_HU, Part, compose, fit, push, take_apart
from DicomAnalysisLib.segmentation.training.example import headrest_example, store
from DicomAnalysisLib.segmentation.training.examples import collect_examples
from DicomAnalysisLib.segmentation.training.headrest_samples import HeadrestSamples, varied
from DicomAnalysisLib.segmentation.training.labels import classical_labels, labels_with
from DicomAnalysisLib.segmentation.training.made_supports import make_support
from DicomAnalysisLib.segmentation.training.scenes import Scene, make_scene
from DicomAnalysisLib.segments import HEADREST
from hypothesis import given
from hypothesis import strategies as st

SHAPE, SPACING = (10, 144, 144), (6.0, 1.7, 1.7)


def phantom(seed: int = 1, patient: str = "A"):
    made = make_head_phantom(shape=SHAPE, spacing=SPACING, seed=seed)
    return replace(made, volume=replace(made.volume, identity=replace(made.volume.identity, patient_id=patient)))


def write_own(path, volume):
    """What a user keeps of Slicer: the headrest as a segmentation file."""
    result = segment(volume, SegmentationOptions(tasks=("headrest",), method="classical"))
    path.parent.mkdir(exist_ok=True)
    write_segmentation(path, [(one.kind, one.mask) for one in result.segments], volume.geometry.ijk_to_lps)


@pytest.fixture(scope="module")
def head():
    return phantom()


@pytest.fixture(scope="module")
def labels(head):
    return classical_labels(head.volume)


@pytest.fixture(scope="module")
def examples(head, labels):
    other = phantom(2, "B").volume
    found = classical_labels(other)
    return [
        headrest_example(head.volume, labels.patient, labels.support),
        headrest_example(other, found.patient, found.support),
    ]


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def disc(shape, centre, radius):
    y, x = np.ogrid[: shape[1], : shape[2]]
    return np.repeat((np.hypot(y - centre[0], x - centre[1]) <= radius)[None], shape[0], axis=0)


def part(mask, hu, spacing=(5.0, 1.0, 1.0)):
    return Part(np.where(mask, hu, AIR_HU).astype(np.int16), mask, spacing)


def test_labels_are_the_phantoms_own(head, labels):
    assert not (labels.patient & labels.support).any()
    assert dice(labels.support, head.headrest) > 0.9
    assert dice(labels.patient, head.patient) > 0.97


def test_a_users_marks_win_over_the_classical_method(head, labels):
    upper = labels.support.copy()
    upper[:, SHAPE[1] // 2 :] = False
    mine = labels_with(head.volume, upper)
    assert np.array_equal(mine.support, upper)
    assert not (mine.patient & upper).any()
    assert not mine.uncertain


def test_a_users_segmentation_is_found_and_laid_on_the_series(head, labels, tmp_path):
    series, own = tmp_path / "dicom", tmp_path / "own"
    write_dicom_series(head.volume, series)
    uid = head.volume.identity.series_uid
    write_own(own / f"{uid}.seg.nrrd", head.volume)
    found = collect_examples(series, labels="own", segmentations=own)
    mine = labels_with(head.volume, labels.support)
    expected = headrest_example(head.volume, mine.patient, mine.support)
    assert np.array_equal(found.examples[0].labels, expected.labels)
    assert found.patients == (head.volume.identity.patient_id,)


def test_a_segmentation_of_another_place_is_left_out_with_a_reason(head, tmp_path):
    series, own = tmp_path / "dicom", tmp_path / "own"
    write_dicom_series(head.volume, series)
    geometry = head.volume.geometry
    moved = replace(geometry, positions=geometry.positions + 5000)
    elsewhere = replace(head.volume, geometry=moved)
    write_own(own / f"{head.volume.identity.series_uid}.seg.nrrd", elsewhere)
    with pytest.raises(UsageError, match="lies outside the series"):
        collect_examples(series, labels="own", segmentations=own)


def test_a_segmentation_of_which_most_lies_elsewhere_is_left_out_with_a_reason(head, tmp_path):
    series, own = tmp_path / "dicom", tmp_path / "own"
    write_dicom_series(head.volume, series)
    geometry = head.volume.geometry
    moved = replace(geometry, positions=geometry.positions + np.array([0, 0, 0.7 * SHAPE[0] * SPACING[0]]))
    write_own(own / f"{head.volume.identity.series_uid}.seg.nrrd", replace(head.volume, geometry=moved))
    with pytest.raises(UsageError, match="lies outside the series"):
        collect_examples(series, labels="own", segmentations=own)


@pytest.mark.parametrize("labels", ["own", "both"])
@pytest.mark.parametrize("ending", ["seg.nrrd", "dcm"])
def test_a_segmentation_without_the_segment_does_not_teach_that_there_is_none(head, tmp_path, ending, labels):
    """What ``segment --task metal`` left says nothing of the headrest, nor does a segment of another name."""
    series, own = tmp_path / "dicom", tmp_path / "own"
    write_dicom_series(head.volume, series)
    segment_source(series, own, SegmentationOptions(tasks=("metal",), method="classical"))
    folder = own / head.volume.identity.series_uid
    for path in folder.glob("segmentation.*"):
        if not path.name.endswith(ending):
            path.unlink()
    with pytest.raises(UsageError, match=r"has no segment Headrest \(it has Metal\)"):
        collect_examples(series, labels=labels, segmentations=own)
    assert collect_examples(series, "metal", labels=labels, segmentations=own).examples


def test_an_empty_segment_of_the_users_says_that_there_is_none(head, tmp_path):
    write_dicom_series(head.volume, tmp_path / "dicom")
    path = tmp_path / "own" / f"{head.volume.identity.series_uid}.seg.nrrd"
    path.parent.mkdir()
    empty = np.zeros(SHAPE, bool)
    write_segmentation(path, [(HEADREST, empty)], head.volume.geometry.ijk_to_lps)
    [example] = collect_examples(tmp_path / "dicom", labels="own", segmentations=path.parent).examples
    assert not (example.labels == SUPPORT).any()


def test_a_plain_labelmap_is_no_segmentation(head, tmp_path):
    write_dicom_series(head.volume, tmp_path / "dicom")
    (tmp_path / "own").mkdir()
    path = tmp_path / "own" / f"{head.volume.identity.series_uid}.nrrd"
    write_volume(path, head.headrest.astype(np.uint8), SHAPE, np.uint8, head.volume.geometry.ijk_to_lps)
    with pytest.raises(UsageError, match="no segment Headrest"):
        collect_examples(tmp_path / "dicom", labels="own", segmentations=tmp_path / "own")


def test_a_list_of_files_with_nothing_to_learn_from_is_named_in_words():
    """What an application gives is no path."""
    with pytest.raises(UsageError, match=r"Nothing to learn from in the series that were given: there is no series\."):
        collect_examples(FileList([]))


def test_series_without_a_segmentation_are_listed(head, tmp_path):
    write_dicom_series(head.volume, tmp_path / "dicom")
    (tmp_path / "own").mkdir()
    with pytest.raises(UsageError, match="no segmentation of it"):
        collect_examples(tmp_path / "dicom", labels="own", segmentations=tmp_path / "own")
    with pytest.raises(UsageError, match="folder of segmentations"):
        collect_examples(tmp_path / "dicom", labels="own")


def test_what_is_not_read_is_listed(head, tmp_path):
    """Further stacks of a series, damaged files, and series that are asked for and not there."""
    volume = head.volume
    write_dicom_series(volume, tmp_path)
    turned = volume.geometry
    turned = replace(turned, row_direction=turned.column_direction, column_direction=-turned.row_direction)
    first = slice(0, 3)
    write_dicom_series(
        replace(
            volume,
            voxels=volume.voxels[first],
            geometry=turned.select(first),
            sop_instance_uids=tuple(f"{uid}.9" for uid in volume.sop_instance_uids[first]),
            frame_numbers=volume.frame_numbers[first],
        ),
        tmp_path / "more",
    )
    damaged = sorted(path for path in tmp_path.glob("*.dcm"))[5]
    data = pydicom.dcmread(damaged)
    del data.PixelData
    data.save_as(damaged)
    uid = volume.identity.series_uid
    found = collect_examples(tmp_path, series_uids=[uid, "1.2.3"])
    assert len(found.examples) == 1
    reasons = {(one.series_uid, one.slices, one.reason.partition(":")[0]) for one in found.left_out}
    assert ("1.2.3", (), "there is no readable image of it in the source") in reasons
    assert (uid, (), f"the file {damaged} alone") in reasons
    assert (uid, (), "its stack 2 alone (3 slices)") in reasons


@pytest.mark.parametrize("new_uid", [False, True])
def test_a_copy_under_another_patient_id_is_left_out(head, tmp_path, new_uid):
    """It would be trained on and validated on."""
    volume = head.volume
    uid = "1.2.9" if new_uid else volume.identity.series_uid
    identity = replace(volume.identity, patient_id="Z", series_uid=uid, study_uid="1.2.8")
    uids = tuple(f"1.2.9.{k}" for k in range(1, SHAPE[0] + 1))
    write_dicom_series(volume, tmp_path / "one")
    write_dicom_series(replace(volume, identity=identity, sop_instance_uids=uids), tmp_path / "copy")
    found = collect_examples(tmp_path)
    assert found.patients == ("A",)
    [left] = found.left_out
    assert (left.series_uid, left.slices) == (uid, ())
    assert left.reason == f"its images are those of the series {volume.identity.series_uid}"


def test_uncertain_slices_are_neighbours_only(head, labels):
    example = headrest_example(head.volume, labels.patient, labels.support, uncertain=(2, 3))
    assert set(example.usable) == set(range(SHAPE[0])) - {2, 3}
    assert example.hu.shape[0] == SHAPE[0]


def test_a_series_with_uncertain_slices_alone_is_left_out(head, labels, tmp_path, monkeypatch):
    write_dicom_series(head.volume, tmp_path / "sure")
    doubtful = phantom(2, "B").volume
    write_dicom_series(doubtful, tmp_path / "doubtful")
    uid = doubtful.identity.series_uid

    def found(volume):
        unsure = volume.identity.series_uid == uid
        return replace(labels, uncertain=tuple(range(SHAPE[0])) if unsure else ())

    monkeypatch.setattr(collecting, "classical_labels", found)
    collected = collect_examples(tmp_path)
    assert collected.patients == (head.volume.identity.patient_id,), "nothing can be learned from the other patient"
    [left] = collected.left_out
    assert (left.series_uid, left.slices) == (uid, ())
    assert "touch" in left.reason


def test_examples_on_disk_are_those_in_memory(examples, tmp_path):
    kept = store(examples[0], tmp_path / "one")
    assert isinstance(kept.hu, np.memmap)
    assert np.array_equal(kept.hu, examples[0].hu)
    assert np.array_equal(kept.labels, examples[0].labels)


@given(st.integers(8, 20), st.floats(-3, 12), st.integers(-300, 300))
def test_a_composite_holds_both_and_the_support_gives_way(radius, overlap, hu):
    patient = part(disc((3, 80, 80), (35, 40), 18), 40)
    support = part(disc((3, 80, 80), (60, 40), radius), hu)
    made = push(patient, support, overlap)
    assert not (made.patient & made.support).any()
    assert np.array_equal(made.patient, patient.mask)
    assert np.array_equal(made.hu[patient.mask], patient.hu[patient.mask])
    assert (made.hu[made.support] == hu).all()
    assert (made.hu[~made.patient & ~made.support] == AIR_HU).all()
    assert made.touching.all() or overlap < 3


def test_attenuation_adds_up_where_both_share_a_voxel():
    patient = part(disc((1, 40, 40), (15, 20), 8), 0)
    patient.hu[0, 24, 20] = -600  # two fifths of it are patient
    support = part(disc((1, 40, 40), (30, 20), 6), 0)
    support.hu[0, 24, 20] = -700
    assert compose(patient, support).hu[0, 24, 20] == -300


def test_taken_apart_and_put_together_is_the_scan_again(head):
    volume = head.volume
    patient, support = take_apart(volume.voxels, head.patient, head.headrest, SPACING)
    again = compose(patient, support)
    apart = head.patient | support.mask
    assert np.array_equal(again.hu[apart], np.maximum(volume.voxels, AIR_HU)[apart])


def test_a_support_of_other_pixels_keeps_its_size_in_millimetres():
    support = part(disc((2, 60, 60), (30, 30), 10), 0, (5.0, 2.0, 2.0))
    patient = part(disc((4, 200, 200), (100, 100), 30), 0, (5.0, 0.8, 0.8))
    fitted = fit(support, patient)
    area = np.count_nonzero(fitted.mask[0]) * 0.8**2
    assert area == pytest.approx(np.count_nonzero(support.mask[0]) * 4.0, rel=0.03)
    assert len(fitted.hu) == 4


@given(st.integers(0, 400))
def test_made_supports_stand_outside_at_the_patient(seed):
    patient = disc((3, 90, 90), (45, 45), 20)
    made = make_support(patient, (5.0, 2.0, 2.0), np.random.default_rng(seed))
    assert made.hu.shape == made.mask.shape == patient.shape
    assert made.hu.min() >= AIR_HU
    assert np.array_equal(made.hu[0], made.hu[-1])
    assert made.mask[made.hu > -850].all()  # what shows of it is part of it
    again = make_support(patient, (5.0, 2.0, 2.0), np.random.default_rng(seed))
    assert np.array_equal(made.hu, again.hu)


def test_scenes_are_a_function_of_seed_and_number(examples):
    first, again, other = (make_scene(examples, (64, 64), 3, n) for n in (5, 5, 6))
    assert np.array_equal(first.blocks, again.blocks)
    assert np.array_equal(first.classes, again.classes)
    assert not np.array_equal(first.blocks, other.blocks)
    assert first.blocks.shape == (3, 64, 64)
    assert set(np.unique(first.classes)) <= {BACKGROUND, PATIENT, SUPPORT}


def test_scenes_say_whose_scans_are_in_them(examples):
    seen = {make_scene(examples, (64, 64), 3, n).patients for n in range(40)}
    assert {("A", "B"), ("B", "A")} <= seen  # one's body, the other's support
    assert all(len(set(patients)) == len(patients) for patients in seen)


def test_a_scenes_guess_is_the_classical_methods(examples):
    scenes = [make_scene(examples, (64, 64), 3, n, compose_share=0) for n in range(6)]
    right = [(scene.guess == scene.classes)[scene.classes > 0].mean() for scene in scenes]
    assert min(right) > 0.8
    assert all(set(np.unique(scene.guess)) <= {BACKGROUND, PATIENT, SUPPORT} for scene in scenes)


def test_a_narrow_field_of_view_cuts_image_classes_and_guess_alike(examples):
    scene = make_scene(examples, (64, 64), 3, 1)
    full = Scene(np.full((3, 64, 64), 40, np.int16), np.ones((64, 64), np.uint8), np.ones((64, 64), np.uint8), ())
    seen = [varied(full, np.random.default_rng(n)) for n in range(60)]
    cut = [one for one in seen if (one.classes == 0).any()]
    assert cut
    for one in cut:
        assert (one.blocks[:, one.classes == 0] <= -1000).all()
        assert np.array_equal(one.classes == 0, one.guess == 0)
    assert varied(scene, np.random.default_rng(0)).blocks.shape == scene.blocks.shape


def test_samples_differ_by_epoch_and_repeat_for_a_resumed_run(examples, tmp_path):
    kept, mapped = (
        HeadrestSamples(examples, size=(64, 64), per_epoch=6, pool=6, seed=4, folder=folder)
        for folder in (None, tmp_path / "scenes")
    )
    for epoch, index in ((0, 2), (1, 2)):
        image, classes = kept.sample(epoch, index)
        assert image.shape == (CHANNELS, 64, 64)
        assert image.dtype == np.float32
        assert classes.dtype == np.uint8
        assert np.array_equal(image, mapped.sample(epoch, index)[0])
    assert not np.array_equal(kept.sample(0, 2)[0], kept.sample(1, 2)[0])


def test_scenes_that_another_process_made_are_not_made_again(examples, tmp_path, monkeypatch):
    """Making a scene takes fifty times as long as a look at it, and processes end with the epoch."""
    pytest.importorskip("torch", reason="torch starts the processes")
    from DicomAnalysisLib.networks.batches import training_batches

    samples = HeadrestSamples(examples, size=(64, 64), per_epoch=3, pool=3, seed=4, folder=tmp_path)
    alone = HeadrestSamples(examples, size=(64, 64), per_epoch=3, pool=3, seed=4)
    expected = [alone.sample(1, index)[0] for index in range(3)]
    assert len(list(training_batches(samples, 0, 3, seed=0, workers=1))) == 1

    def make_again(*_arguments):
        raise AssertionError

    monkeypatch.setattr(headrest_samples, "make_scene", make_again)
    assert all(np.array_equal(samples.sample(1, index)[0], expected[index]) for index in range(3))


def test_validation_looks_are_the_same_in_every_epoch(examples):
    samples = HeadrestSamples(examples, size=(64, 64), per_epoch=4, seed=4, augment=False)
    assert np.array_equal(samples.sample(0, 1)[0], samples.sample(7, 1)[0])


def test_what_the_network_sees_is_bounded(head):
    grid = network_grid(head.volume.shape, head.volume.geometry)
    means = grid.block_means(head.volume.voxels)
    guess = np.zeros(means[1].shape, np.uint8)
    guess[0, :2] = PATIENT, SUPPORT
    seen = network_input(means[0], means[1], means[2], guess)
    assert seen.shape == (CHANNELS, *grid.shape[1:])
    assert seen[-1, 0, :3].tolist() == [1, -1, 0]
    assert np.abs(seen).max() <= 1


def test_composites_for_scoring_have_their_truth_apart_from_the_patient(head, labels):
    other = phantom(2, "B").volume
    found = classical_labels(other)
    known = [
        KnownSeries("one", head.volume, labels.patient, labels.support),
        KnownSeries("two", other, found.patient, found.support),
    ]
    made = list(cases(known[:1], known, made=2))
    assert [case.kind for case in made] == ["real", "made", "made"]
    for case in made:
        assert case.truth.touching.any()
        assert case.scores(case.truth.support) == {"dice": 1.0, "dice_solid": 1.0, "patient_lost_ppm": 0.0}
        assert case.scores(case.truth.patient)["dice"] == 0.0
        assert case.scores(case.truth.patient)["patient_lost_ppm"] > 5e5
