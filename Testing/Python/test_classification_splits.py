"""Patients are never divided, labels are spread evenly, and what two parts share is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from DicomAnalysisLib.classification.cohort import Case, Cohort, Split, Target, View
from DicomAnalysisLib.classification.splits import check_split, cross_validation_splits, leaks, split_patients
from DicomAnalysisLib.errors import UsageError
from hypothesis import given, settings
from hypothesis import strategies as st

FINDING = Target("finding", "binary", ("no", "yes"))
SITES = Target("sites", "multilabel", ("a", "b", "c"))


def _case(name, patient, label, sites=(0, 0, 0), study="", series=""):
    view = View("", series or f"{name}.1", (f"{name}.dcm",))
    return Case(name, patient, study or f"{name}.0", (view,), {"finding": (label,), "sites": tuple(sites)})


def _cohort(labels, patients=None, sites=None):
    patients = [f"P{n}" for n in range(len(labels))] if patients is None else patients
    cases = tuple(
        _case(f"c{n}", patient, label, (0, 0, 0) if sites is None else sites[n])
        for n, (label, patient) in enumerate(zip(labels, patients, strict=True))
    )
    return Cohort((FINDING, SITES), ("",), cases)


cases = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 1), st.tuples(*[st.integers(0, 1)] * 3)), min_size=8, max_size=60
).filter(lambda rows: len({patient for patient, _, _ in rows}) >= 5)


@given(cases, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_patients_are_never_divided_and_order_does_not_matter(rows, seed, order):
    cohort = _cohort([r[1] for r in rows], [f"P{r[0]}" for r in rows], [r[2] for r in rows])
    split = split_patients(cohort, seed=seed)
    assert sorted(one for part in split.parts.values() for one in part) == sorted(c.case_id for c in cohort.cases)
    assert all(split.parts.values())
    check_split(cohort, split)
    assert leaks(cohort, split) == []
    shuffled = list(cohort.cases)
    order.shuffle(shuffled)
    assert split_patients(replace(cohort, cases=tuple(shuffled)), seed=seed) == split


@settings(max_examples=30)
@given(cases, st.integers(2, 5), st.integers(1, 3), st.integers(0, 99))
def test_cross_validation_tests_every_case_once_in_each_repeat(rows, folds, repeats, seed):
    cohort = _cohort([r[1] for r in rows], [f"P{r[0]}" for r in rows], [r[2] for r in rows])
    splits = cross_validation_splits(cohort, folds, repeats, seed)
    assert len(splits) == folds * repeats
    for repeat in range(repeats):
        tested = [one for split in splits[repeat * folds : (repeat + 1) * folds] for one in split.test]
        assert sorted(tested) == sorted(case.case_id for case in cohort.cases)
    for split in splits:
        assert split.training and split.validation
        check_split(cohort, split)
    assert cross_validation_splits(cohort, folds, repeats, seed) == splits


@pytest.mark.parametrize("seed", range(5))
def test_rare_labels_are_spread_by_their_shares(seed):
    generator = np.random.default_rng(seed)
    sites = (generator.random((400, 3)) < [0.03, 0.1, 0.4]).astype(int)
    cohort = _cohort((generator.random(400) < 0.05).astype(int).tolist(), sites=sites.tolist())
    split = split_patients(cohort, (0.6, 0.2, 0.2), seed)
    for part, share in (("training", 0.6), ("validation", 0.2), ("test", 0.2)):
        some = cohort.subset(split.parts[part])
        assert len(some) == pytest.approx(400 * share, abs=12)
        for target in ("finding", "sites"):
            total, here = cohort.labels_of(target).sum(axis=0), some.labels_of(target).sum(axis=0)
            assert np.abs(here - total * share).max() <= 2 + 0.03 * total.max()
    for one in cross_validation_splits(cohort, 5, 1, seed):
        positives = cohort.subset(one.test).labels_of("finding").sum()
        assert abs(positives - cohort.labels_of("finding").sum() / 5) <= 2


def test_another_seed_is_another_split():
    cohort = _cohort([n % 2 for n in range(40)])
    assert split_patients(cohort, seed=1) != split_patients(cohort, seed=2)
    assert split_patients(cohort, seed=1).seed == 1
    repeats = cross_validation_splits(cohort, 4, 2, seed=3)
    assert repeats[0].test != repeats[4].test and (repeats[0].seed, repeats[4].seed) == (3, 4)


def test_a_study_under_two_patient_ids_stays_together():
    cohort = _cohort([0, 1] * 10)
    shared = replace(cohort.cases[3], study_uid=cohort.cases[8].study_uid)
    cohort = replace(cohort, cases=(*cohort.cases[:3], shared, *cohort.cases[4:]))
    for seed in range(6):
        split = split_patients(cohort, seed=seed)
        assert any({"c3", "c8"} <= set(part) for part in split.parts.values())


def test_the_same_pixels_under_other_names_stay_together_and_are_found():
    cohort = _cohort([0, 1] * 10)
    digests = {case.case_id: frozenset([case.case_id.encode()]) for case in cohort.cases}
    digests["c3"] |= {b"twin"}
    digests["c8"] |= {b"twin"}
    known = replace(cohort, digests=digests)
    apart = Split(("c3",), ("c1",), ("c8", "c2"))
    assert leaks(cohort, apart) == []
    for found in (leaks(known, apart), leaks(cohort, apart, digests)):
        assert [(leak.kind, leak.cases, leak.parts) for leak in found] == [
            ("pixels", ("c3", "c8"), ("training", "test"))
        ]
        assert "Identical pixels" in str(found[0]) and "c3" in str(found[0])
    for seed in range(6):
        assert any({"c3", "c8"} <= set(part) for part in split_patients(known, seed=seed).parts.values())
        assert leaks(known, split_patients(known, seed=seed)) == []


def test_what_a_given_split_shares_is_named_by_kind():
    a, b = _case("a", "P1", 0, study="S1", series="U1"), _case("b", " P1", 1, study="S2", series="U2")
    c, d = _case("c", "P2", 1, study="S1", series="U3"), _case("d", "P3", 0, study="S3", series="U3")
    cohort = Cohort((FINDING, SITES), ("",), (a, b, c, d))
    found = {(leak.kind, leak.what, leak.parts) for leak in leaks(cohort, Split(("a",), ("c",), ("b", "d")))}
    assert found == {
        ("patient", "P1", ("training", "test")),
        ("study", "S1", ("training", "validation")),
        ("series", "U3", ("validation", "test")),
    }
    assert {leak.kind for leak in leaks(cohort, Split(("a",), ("c",), ("a",)))} >= {"case", "patient"}


def test_a_patient_on_both_sides_is_refused_by_name():
    cohort = _cohort([0, 1, 0, 1], ["P7", "P8", "P7", "P9"])
    with pytest.raises(UsageError, match=r"P7 is both in training \(c0\) and test \(c2\)"):
        check_split(cohort, Split(("c0",), ("c1",), ("c2", "c3")))
    with pytest.raises(UsageError, match="c9"):
        check_split(cohort, Split(("c9",), (), ()))


def test_test_patients_can_be_named():
    cohort = _cohort([n % 2 for n in range(20)], [f"P{n // 2}" for n in range(20)])
    split = split_patients(cohort, test_patients=("P3", "P7"))
    assert split.test == ("c14", "c15", "c6", "c7")
    assert split.training and split.validation
    with pytest.raises(UsageError, match="P99"):
        split_patients(cohort, test_patients=("P99",))


def test_without_a_test_share_there_is_no_test_part():
    split = split_patients(_cohort([0, 1] * 5), (0.8, 0.2, 0.0))
    assert not split.test and len(split.validation) == 2


def test_cases_without_patient_id_are_one_patient():
    cohort = _cohort([0, 1] * 6, [""] * 6 + [f"P{n}" for n in range(6)])
    split = split_patients(cohort)
    assert any({f"c{n}" for n in range(6)} <= set(part) for part in split.parts.values())
    with pytest.raises(UsageError, match="12 cases have no patient ID"):
        split_patients(_cohort([0, 1] * 6, [""] * 12))


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.5), (float("nan"), 0.5, 0.5)]
)
def test_shares_that_make_no_sense_are_refused(fractions):
    with pytest.raises(UsageError):
        split_patients(_cohort([0, 1] * 5), fractions)


def test_too_few_patients_are_refused():
    with pytest.raises(UsageError, match="3 parts need as many"):
        split_patients(_cohort([0, 1, 1], ["P1", "P1", "P2"]))
    with pytest.raises(UsageError, match="5 parts need as many"):
        cross_validation_splits(_cohort([0, 1, 1, 0]), 5)
    with pytest.raises(UsageError, match="no cross-validation"):
        cross_validation_splits(_cohort([0, 1, 1, 0]), 1)


def test_cohorts_and_targets_say_what_they_do_not_have():
    cohort = _cohort([0, 1])
    with pytest.raises(UsageError, match="no label 'size'"):
        cohort.labels_of("size")
    with pytest.raises(UsageError, match="no case x"):
        cohort.subset(["x"])
    for kind, classes in (("binary", ("a",)), ("binary", ("a", "b", "c")), ("multiclass", ("a",)), ("x", ("a", "b"))):
        with pytest.raises(UsageError):
            Target("t", kind, classes)
    assert FINDING.indicators(np.array([1, 0])).tolist() == [[0, 1], [1, 0]]
    assert SITES.indicators(cohort.labels_of("sites")).shape == (2, 3)
