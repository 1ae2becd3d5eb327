"""Training, validation and test patients are disjoint, whatever comes in."""

from __future__ import annotations

import pytest
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.segmentation.training.split import NO_PATIENT_ID, PatientSplit, patient_key, split_patients
from hypothesis import given
from hypothesis import strategies as st

IDS = st.lists(st.text(max_size=8), min_size=1, max_size=60)
SHARES = st.floats(0.01, 0.6)


def sides(split):
    return [set(map(patient_key, side)) for side in (split.training, split.validation, split.test)]


@given(ids=IDS, validation=SHARES, test=st.floats(0, 0.39), seed=st.integers(0, 5))
def test_every_patient_is_on_one_side(ids, validation, test, seed):
    patients = {patient_key(one) for one in ids}
    if len(patients) < 2 + (test > 0):
        with pytest.raises(UsageError, match="too few to keep"):
            split_patients(ids, validation, test, seed=seed)
        return
    split = split_patients(ids, validation, test, seed=seed)
    training, validating, testing = sides(split)
    assert not (training & validating or training & testing or validating & testing)
    assert training | validating | testing == patients
    assert training
    assert validating
    assert bool(testing) == (test > 0)
    assert len(split.training) + len(split.validation) + len(split.test) == len(patients)
    for one in ids:
        assert patient_key(one) in {patient_key(p) for p in getattr(split, split.side_of(one))}


@given(ids=IDS, seed=st.integers(0, 5), order=st.randoms(use_true_random=False))
def test_order_and_repetitions_do_not_matter(ids, seed, order):
    if len({patient_key(one) for one in ids}) < 3:
        return
    expected = split_patients(ids, 0.3, 0.2, seed=seed)
    again = [*ids, *ids[: len(ids) // 2]]
    order.shuffle(again)
    assert split_patients(again, 0.3, 0.2, seed=seed) == expected


@given(ids=st.sets(st.text("abcdef", min_size=1, max_size=6), min_size=4, max_size=40), data=st.data())
def test_test_patients_by_name(ids, data):
    wanted = data.draw(st.sets(st.sampled_from(sorted(ids)), min_size=1, max_size=len(ids) - 2))
    split = split_patients(ids, test_patients=sorted(wanted))
    assert set(split.test) == wanted
    assert set(split.training) | set(split.validation) == ids - wanted


def test_two_patients_are_enough():
    split = split_patients(["a", "a", "b"])
    assert sorted(split.training + split.validation) == ["a", "b"]


def test_shares():
    split = split_patients([str(n) for n in range(100)], 0.2, 0.1)
    assert (len(split.training), len(split.validation), len(split.test)) == (70, 20, 10)
    assert split_patients([str(n) for n in range(100)], 0.2, 0.1, seed=1) != split


def test_one_more_patient_moves_few_others():
    ids = [str(n) for n in range(50)]
    before, after = split_patients(ids), split_patients([*ids, "new"])
    assert len(set(before.validation) ^ set(after.validation)) <= 2


def test_padded_and_missing_patient_ids():
    split = split_patients(["a ", "a", "b\0", "", " "])
    assert set(split.training + split.validation) == {"a", "b", NO_PATIENT_ID}


def test_a_patient_on_two_sides_is_refused():
    with pytest.raises(UsageError, match="patient b is both in training and in test"):
        PatientSplit(("a", "b"), ("c",), ("b ",))


def test_a_side_without_patients_is_refused():
    with pytest.raises(UsageError, match="no patient for validation"):
        PatientSplit(("a",), ())


@pytest.mark.parametrize("shares", [(0, 0), (1, 0), (0.5, 0.5), (0.2, -0.1), (float("nan"), 0)])
def test_shares_without_sense(shares):
    with pytest.raises(UsageError, match="make no sense"):
        split_patients(["a", "b", "c"], *shares)


def test_too_few_patients_and_unknown_ones():
    with pytest.raises(UsageError, match="series: 1, too few"):
        split_patients(["a", "a"])
    with pytest.raises(UsageError, match="patient z has no series"):
        split_patients(["a", "b", "c"], test_patients=["z"])
    with pytest.raises(UsageError, match="too few"):
        split_patients(["a", "b"], test_patients=["a"])
