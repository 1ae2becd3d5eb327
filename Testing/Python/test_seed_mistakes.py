"""Mistakes that earlier programs made, whose numbers did not stand: each of them cannot happen here.

Through public functions alone, on generated cohorts whose truth is known.
"""

from __future__ import annotations

import csv
import random
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'network'")
pytest.importorskip("monai", reason="training needs the extra 'network'")

import torch
from classification_dicom import write_breast_dicom, write_vessels_dicom
from cohort_breast import CLASSES, make_breast
from cohort_vessels import CLASSES as ANEURYSM
from cohort_vessels import PLACES, VIEWS, make_vessels
from DicomAnalysisLib.classification.cohort import Split, Target
from DicomAnalysisLib.classification.dataset import CohortDataset
from DicomAnalysisLib.classification.evaluation.predictions import read_predictions
from DicomAnalysisLib.classification.heads import Heads
from DicomAnalysisLib.classification.labels import CohortOptions, build_cohort
from DicomAnalysisLib.classification.losses import loss_name, require_matching
from DicomAnalysisLib.classification.options import ClassifierOptions
from DicomAnalysisLib.classification.recipe import RECIPES
from DicomAnalysisLib.classification.splits import check_split, cross_validation_splits, leaks, split_patients
from DicomAnalysisLib.classification.targets import LabelColumns
from DicomAnalysisLib.classification.training import train_classifier
from DicomAnalysisLib.errors import DicomAnalysisError, UsageError
from DicomAnalysisLib.networks.model_folder import file_sha256

COUNT, SEED = 30, 5
LESION = CohortOptions((LabelColumns("lesion", classes=CLASSES),))
RECIPE = RECIPES["mammography-slices"].changed("slices", count=4).changed("plane", shape=(32, 32))
OPTIONS = ClassifierOptions(network="slices/small2d", epochs=3, patience=2, batch=8, device="cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made():
    return make_breast(COUNT, SEED, planted=True, prevalence=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, made):
    place = tmp_path_factory.mktemp("breast")
    write_breast_dicom(place, cohort=made)
    return place


@pytest.fixture(scope="module")
def cohort(folder):
    return build_cohort(folder, folder / "labels.csv", LESION)


@pytest.fixture(scope="module")
def split(cohort):
    return split_patients(cohort, (0.6, 0.2, 0.2), seed=1)


@pytest.fixture(scope="module")
def trained(cohort, split, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "run"
    return train_classifier(cohort, OPTIONS, output, recipe=RECIPE, split=split, evaluated=False)


def truth(made):
    return dict(zip(made.patients, made.labels["lesion"].tolist(), strict=True))


class TestLabelsJoinedByOrder:
    def test_every_patient_has_the_label_it_was_made_with(self, cohort, made):
        assert {case.patient_id: case.labels["lesion"][0] for case in cohort.cases} == truth(made)

    def test_the_order_of_rows_means_nothing(self, folder, cohort, tmp_path):
        header, *rows = list(csv.reader((folder / "labels.csv").open(encoding="utf-8")))
        random.Random(0).shuffle(rows)
        assert build_cohort(folder, (header, rows), LESION) == cohort

    def test_a_missing_row_moves_no_other_label(self, folder, made):
        header, *rows = list(csv.reader((folder / "labels.csv").open(encoding="utf-8")))
        gone = rows.pop(3)[0]
        rows.append(["nobody", CLASSES[1]])
        fewer = build_cohort(folder, (header, rows), LESION)
        labels = truth(made)
        assert {case.patient_id: case.labels["lesion"][0] for case in fewer.cases} == {
            patient: label for patient, label in labels.items() if patient != gone
        }
        assert fewer.unmatched_labels == ("nobody",) and len(fewer.unmatched_series) == 1


@pytest.fixture(scope="module")
def pairs(cohort):
    """Two cases of each patient."""
    cases = [replace(case, patient_id=f"P{number // 2}") for number, case in enumerate(cohort.cases)]
    return replace(cohort, cases=tuple(cases))


class TestPatientsOnBothSides:
    @pytest.mark.parametrize("seed", range(5))
    def test_a_drawn_split_divides_no_patient(self, pairs, seed):
        splits = (split_patients(pairs, seed=seed), *cross_validation_splits(pairs, 3, 1, seed))
        for one in splits:
            check_split(pairs, one)
            parts = [set(pairs.subset(ids).patients()) for ids in one.parts.values()]
            assert len(set.union(*parts)) == sum(map(len, parts)) == COUNT // 2
            assert not leaks(pairs, one)

    def test_a_given_split_that_divides_one_is_refused_before_training(self, pairs, tmp_path):
        ids = [case.case_id for case in pairs.cases]
        divided = Split(tuple(ids[:15]), tuple(ids[15:22]), tuple(ids[22:]))
        assert leaks(pairs, divided)
        with pytest.raises(UsageError, match="P7 is both in training"):
            train_classifier(pairs, OPTIONS, tmp_path / "run", recipe=RECIPE, split=divided)
        assert not (tmp_path / "run" / "model").exists()


class TestTheLossOfAnotherHead:
    TARGETS = (
        Target("one of two", "binary", ("no", "yes")),
        Target("one of several", "multiclass", ("a", "b", "c")),
        Target("any of several", "multilabel", ("a", "b", "c")),
    )

    def test_a_head_has_the_only_loss_that_fits(self):
        names = [loss_name(head) for head in Heads(self.TARGETS)]
        assert names[0] == names[2] != names[1]
        for head in Heads(self.TARGETS):
            for name in set(names):
                if name == loss_name(head):
                    require_matching(head, name)
                else:
                    with pytest.raises(DicomAnalysisError):
                        require_matching(head, name)

    def test_one_sigmoid_can_say_both_classes(self):
        head = Heads(self.TARGETS)[0]
        said = head.probabilities(np.array([[-3.0], [0.0], [3.0]]))
        assert head.outputs == 1
        assert np.allclose(said.sum(1), 1) and said[0, 1] < 0.1 < 0.9 < said[2, 1]


class TestTheTestPartChooses:
    def test_nothing_of_it_reaches_the_model(self, trained, cohort, split, tmp_path):
        """Test patients with the opposite label: the same weights, the same epoch, the same temperature."""
        tested = set(split.test)
        cases = [
            replace(case, labels={"lesion": (1 - case.labels["lesion"][0],)}) if case.case_id in tested else case
            for case in cohort.cases
        ]
        other = replace(cohort, cases=tuple(cases))
        again = train_classifier(other, OPTIONS, tmp_path / "run", recipe=RECIPE, split=split, evaluated=False)
        assert file_sha256(again.model / "weights.safetensors") == file_sha256(trained.model / "weights.safetensors")
        assert (again.fit.best_epoch, again.temperature) == (trained.fit.best_epoch, trained.temperature)

    def test_the_split_that_was_used_is_kept_with_the_model(self, trained, split):
        assert trained.split == split
        said = read_predictions(trained.predictions, trained.cohort.targets)
        assert set(said.of_part("test").case_ids) == set(split.test)
        assert not set(said.case_ids) & set(split.training)


class TestEarlyStoppingThatCannotFire:
    @pytest.mark.parametrize("patience", [3, 4, 100])
    def test_is_refused(self, patience):
        with pytest.raises(UsageError, match="could never end early"):
            replace(OPTIONS, patience=patience)

    def test_fires_where_nothing_is_learned(self, cohort, split, tmp_path):
        slow = replace(OPTIONS, epochs=12, patience=1, learning_rate=1e-12)
        outcome = train_classifier(cohort, slow, tmp_path / "run", recipe=RECIPE, split=split, evaluated=False)
        assert outcome.fit.stopped == "patience"
        assert len(outcome.fit.history) < 12


def test_views_are_never_scrambled(tmp_path):
    """Whatever the files are called, and whichever views are missing: each view is where its angles say."""
    made = make_vessels(8, 4, planted=False)
    labels = write_vessels_dicom(tmp_path, cohort=made)
    for n, file in enumerate(sorted(tmp_path.rglob("*.dcm"), key=lambda path: path.as_posix()[::-1])):
        file.rename(file.with_name(f"{997 * n % 1009:04d}.dcm"))
    columns = (LabelColumns("aneurysm", classes=ANEURYSM), LabelColumns("place", PLACES, "multilabel"))
    cohort = build_cohort(tmp_path, labels, CohortOptions(columns, views=()))
    assert set(cohort.view_names) == set(VIEWS)
    dataset = CohortDataset(cohort, None, RECIPES["xa-views"].changed("plane", shape=(64, 64)))
    number_of = {patient: n for n, patient in enumerate(made.patients)}
    for index, case in enumerate(cohort.cases):
        n, sample = number_of[case.patient_id], dataset.sample(index)
        assert tuple(case.labels["place"]) == tuple(made.labels["place"][n])
        for place, name in enumerate(cohort.view_names):
            v = VIEWS.index(name)
            assert bool(sample.present[place]) == bool(made.truth["present"][n, v])
            if not sample.present[place]:
                assert not sample.images[place].any()
                continue
            own = -made.arrays[n, :, 0].reshape(len(VIEWS), -1).astype(float)
            own[~made.truth["present"][n]] = np.random.default_rng(0).random(own.shape[1])
            alike = [np.corrcoef(sample.images[place].ravel(), one)[0, 1] for one in own]
            assert int(np.argmax(alike)) == v


class TestAnOutputFolderThatExists:
    def test_files_of_the_users_are_left_alone(self, cohort, split, tmp_path):
        (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
        with pytest.raises(UsageError, match="holds files that are not of a training"):
            train_classifier(cohort, OPTIONS, tmp_path, recipe=RECIPE, split=split)
        assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_training_is_not_written_over(self, trained, cohort, split):
        before = file_sha256(trained.model / "weights.safetensors")
        with pytest.raises(UsageError, match="Resume it, or choose another folder"):
            train_classifier(cohort, OPTIONS, trained.output, recipe=RECIPE, split=split)
        assert file_sha256(trained.model / "weights.safetensors") == before

    def test_an_empty_one_is_no_obstacle(self, trained, tmp_path, cohort, split):
        outcome = train_classifier(cohort, OPTIONS, tmp_path, recipe=RECIPE, split=split, evaluated=False)
        assert file_sha256(outcome.model / "weights.safetensors") == file_sha256(trained.model / "weights.safetensors")


def test_an_image_that_fails_goes_with_its_label(made, tmp_path):
    write_breast_dicom(tmp_path, cohort=made)
    cohort = build_cohort(tmp_path, tmp_path / "labels.csv", LESION)
    broken = made.patients[4]
    file = tmp_path / f"{broken}.dcm"
    file.write_bytes(file.read_bytes()[:-3000])
    outcome = train_classifier(cohort, OPTIONS, tmp_path / "run", recipe=RECIPE, evaluated=False)
    assert [one.case_id for one in outcome.left_out] == [broken]
    labels = truth(made)
    assert {case.patient_id: case.labels["lesion"][0] for case in outcome.cohort.cases} == {
        patient: label for patient, label in labels.items() if patient != broken
    }
    said = read_predictions(outcome.predictions, cohort.targets)
    patients = {case.case_id: case.patient_id for case in cohort.cases}
    told = [int(row[1]) for row in said.truth["lesion"]]
    assert told == [labels[patients[case_id]] for case_id in said.case_ids]


class TestAnImageThatFailsInAGivenSplit:
    """It was given before anybody knew which images can be read."""

    @pytest.fixture
    def place(self, made, tmp_path):
        write_breast_dicom(tmp_path, cohort=made)
        return tmp_path

    def broken_cohort(self, place, split, *parts):
        """The cohort with an image of each part cut short, and the case_ids of those."""
        cohort = build_cohort(place, place / "labels.csv", LESION)
        broken = {part: split.parts[part][1] for part in parts}
        for case_id in broken.values():
            for name in cohort.case(case_id).views[0].files:
                (place / name).write_bytes((place / name).read_bytes()[:-3000])
        return cohort, broken

    def test_goes_with_its_label_and_is_listed(self, made, place, split):
        cohort, broken = self.broken_cohort(place, split, "training", "validation", "test")
        outcome = train_classifier(cohort, OPTIONS, place / "run", recipe=RECIPE, split=split)
        assert sorted(one.case_id for one in outcome.left_out) == sorted(broken.values())
        for part, ids in split.parts.items():
            assert outcome.split.parts[part] == tuple(one for one in ids if one != broken[part])
        labels, patients = truth(made), {case.case_id: case.patient_id for case in cohort.cases}
        assert {case.patient_id: case.labels["lesion"][0] for case in outcome.cohort.cases} == {
            patients[case_id]: labels[patients[case_id]] for case_id in patients if case_id not in broken.values()
        }
        said = read_predictions(outcome.predictions, cohort.targets)
        assert [int(row[1]) for row in said.truth["lesion"]] == [labels[patients[one]] for one in said.case_ids]
        assert set(said.case_ids) == {*outcome.split.validation, *outcome.split.test}
        listed = list(csv.DictReader((place / "run" / "left-out.csv").open(encoding="utf-8")))
        assert sorted(row["identifier"] for row in listed if row["what"] == "case") == sorted(broken.values())
        assert all(row["reason"] for row in listed)
        assert outcome.scores, "the others are scored"

    def test_the_weights_are_those_of_a_split_without_it(self, place, split):
        cohort, broken = self.broken_cohort(place, split, "training")
        outcome = train_classifier(cohort, OPTIONS, place / "run", recipe=RECIPE, split=split, evaluated=False)
        rest = [case.case_id for case in cohort.cases if case.case_id != broken["training"]]
        without = train_classifier(
            cohort.subset(rest), OPTIONS, place / "other", recipe=RECIPE, split=split.only(rest), evaluated=False
        )
        assert file_sha256(outcome.model / "weights.safetensors") == file_sha256(without.model / "weights.safetensors")
        assert outcome.temperature == without.temperature

    def test_nobody_left_to_choose_the_epoch_is_an_error_that_says_why(self, place, split):
        alone = replace(split, validation=split.validation[:2])
        cohort, _broken = self.broken_cohort(place, alone, "validation")
        first = next(case for case in cohort.cases if case.case_id == alone.validation[0])
        path = place / first.views[0].files[0]
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(UsageError, match="Not one validation case of the split can be read"):
            train_classifier(cohort, OPTIONS, place / "run", recipe=RECIPE, split=alone)

    def test_a_case_that_was_never_there_is_still_refused(self, cohort, split, tmp_path):
        other = replace(split, test=(*split.test, "nobody"))
        with pytest.raises(UsageError, match="nobody in test is not of the cohort"):
            train_classifier(cohort, OPTIONS, tmp_path / "run", recipe=RECIPE, split=other)
