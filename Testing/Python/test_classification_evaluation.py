"""Scores of a classifier against scikit-learn and by hand; shortcuts that were planted, and what is not one."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from cohort_breast import make_breast
from DicomAnalysisLib.classification.cohort import BINARY, MULTICLASS, MULTILABEL, Case, Cohort, Split, Target, View
from DicomAnalysisLib.classification.evaluation import metrics
from DicomAnalysisLib.classification.evaluation.calibration import fit_temperature, reliability, with_temperature
from DicomAnalysisLib.classification.evaluation.evaluate import MOST_PICTURES, evaluate, sample
from DicomAnalysisLib.classification.evaluation.folds import patient_folds
from DicomAnalysisLib.classification.evaluation.intervals import PatientResamples, estimate, exact_bound
from DicomAnalysisLib.classification.evaluation.nuisance import WORDS, nuisance_features
from DicomAnalysisLib.classification.evaluation.parts import display_names
from DicomAnalysisLib.classification.evaluation.predictions import (
    Predictions,
    predictions_of,
    read_predictions,
    write_predictions,
)
from DicomAnalysisLib.classification.evaluation.result import ALONE, AS_GOOD, CHANCE, MAJORITY, SHORTCUT, UNTESTED
from DicomAnalysisLib.errors import SourceError, UsageError
from evaluation_cases import FINDING, made_cohort, picture
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, confusion_matrix, roc_auc_score

SCORES = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(truth for truth, _score in rows) < len(rows)
)


# --- scores -----------------------------------------------------------------------------------------------------


@given(SCORES)
def test_areas_are_those_of_scikit_learn(rows):
    truth, score = (np.array(values) for values in zip(*rows, strict=True))
    truth = truth.astype(int)
    assert metrics.auroc(truth, score) == pytest.approx(roc_auc_score(truth, score))
    assert metrics.average_precision(truth, score) == pytest.approx(average_precision_score(truth, score))


@given(SCORES, st.integers(0, 3))
def test_a_weight_is_a_case_that_many_times(rows, seed):
    truth, score = (np.array(values, float) for values in zip(*rows, strict=True))
    weights = np.random.default_rng(seed).integers(0, 4, len(truth))
    many = np.repeat(np.arange(len(truth)), weights)
    found = metrics.Ranking(truth, score).areas(weights[None])
    if 0 < truth[many].sum() < len(many):
        assert found[0][0] == pytest.approx(roc_auc_score(truth[many], score[many]))
        assert found[1][0] == pytest.approx(average_precision_score(truth[many], score[many]))
    else:
        assert math.isnan(found[0][0]) and math.isnan(found[1][0])


def test_areas_by_hand():
    # Pairs (positive over negative): 0.9 beats both, 0.4 beats 0.2 and loses to 0.6: 3 of 4.
    assert metrics.auroc([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.2]) == 0.75
    # Recall 1/2 at precision 1, the other half at precision 2/3.
    assert metrics.average_precision([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.2]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert metrics.auroc([1, 0], [0.3, 0.3]) == 0.5


def test_rates_by_hand():
    # 3 hits, 1 miss, 2 false alarms, 4 rightly negative.
    truth = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    said = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    found = metrics.rates(truth, said)
    got = [float(getattr(found, name)[0]) for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy")]
    assert got == pytest.approx([3 / 4, 4 / 6, 3 / 5, 4 / 5, 7 / 10])


def test_confusion_and_balanced_accuracy_are_those_of_scikit_learn():
    random = np.random.default_rng(3)
    truth, said = random.integers(0, 4, 200), random.integers(0, 4, 200)
    assert (metrics.confusion(truth, said, 4) == confusion_matrix(truth, said)).all()
    assert metrics.balanced_accuracy(truth, said, 4)[0] == pytest.approx(balanced_accuracy_score(truth, said))


def test_the_threshold_is_youdens_and_half_way_between_scores():
    assert metrics.best_threshold([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9]) == pytest.approx(0.4)
    assert metrics.best_threshold([1, 1], [0.2, 0.4]) is None
    assert metrics.best_threshold([1, 0], [0.2, 0.4]) is None  # no threshold is better than chance


# --- intervals --------------------------------------------------------------------------------------------------


def test_all_cases_of_a_patient_are_drawn_together():
    found = PatientResamples(["a", "b", "a", "c", "b"], 50, seed=1).weights
    assert (found[:, 0] == found[:, 2]).all() and (found[:, 1] == found[:, 4]).all()
    assert (found[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (found == PatientResamples(["a", "b", "a", "c", "b"], 50, seed=1).weights).all()
    assert not (found == PatientResamples(["a", "b", "a", "c", "b"], 50, seed=2).weights).all()


def test_images_of_one_patient_make_the_interval_no_narrower():
    random = np.random.default_rng(0)
    truth = np.arange(60) % 2
    score = truth + random.normal(0, 1, 60)
    once = metrics.Ranking(truth, score).areas(PatientResamples([str(k) for k in range(60)], 1000).weights)[0]
    truth10, score10 = np.repeat(truth, 10), np.repeat(score, 10)
    owners = np.repeat([str(k) for k in range(60)], 10)
    tenfold = metrics.Ranking(truth10, score10).areas(PatientResamples(owners, 1000).weights)[0]
    first, second = (estimate(0.5, values) for values in (once, tenfold))
    assert (first.low, first.high) == pytest.approx((second.low, second.high))
    images = metrics.Ranking(truth10, score10).areas(PatientResamples([str(k) for k in range(600)], 1000).weights)[0]
    wrong = estimate(0.5, images)
    assert wrong.high - wrong.low < 0.5 * (second.high - second.low)


def test_the_interval_covers_the_truth():
    random = np.random.default_rng(7)
    expected = 0.5 * (1 + math.erf(1 / 2))  # AUROC of normal scores one standard deviation apart
    covered = 0
    for trial in range(200):
        truth = np.arange(100) % 2
        score = truth + random.normal(0, 1, 100)
        resampled = metrics.Ranking(truth, score).areas(PatientResamples(np.arange(100), 300, trial).weights)[0]
        found = estimate(metrics.auroc(truth, score), resampled)
        covered += found.low <= expected <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_a_perfect_score_is_not_certain():
    # Clopper and Pearson's 95 % interval of 10 successes in 10: 0.6915 to 1 (any table of it).
    assert exact_bound(1.0, 10) == pytest.approx((0.6915, 1.0), abs=1e-4)
    assert exact_bound(0.0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert exact_bound(0.9, 10) is None
    found = estimate(1.0, np.ones(100), exact_bound(1.0, 10))
    assert (found.low, found.high) == pytest.approx((0.6915, 1.0), abs=1e-4) and "exact" in found.note
    assert estimate(1.0, np.ones(100)).low is None


def test_a_thousand_resamples_of_two_thousand_patients_take_under_two_seconds():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 2000)
    start = time.process_time()
    resamples = PatientResamples([f"p{k}" for k in range(2000)], 1000)
    metrics.Ranking(truth, truth + random.normal(0, 1, 2000)).areas(resamples.weights)
    metrics.rates(truth, random.integers(0, 2, 2000), resamples.weights)
    assert time.process_time() - start < 2


# --- calibration ------------------------------------------------------------------------------------------------


def test_calibration_error_by_hand():
    # Two bins: 0.25 said and 1/2 was so (4 cases), 0.95 said and 1 was so (2 cases).
    found = reliability([0, 1, 0, 1, 1, 1], [0.25, 0.25, 0.25, 0.25, 0.95, 0.95])
    assert found.error == pytest.approx((4 * 0.25 + 2 * 0.05) / 6)
    assert found.counts == (4, 2) and found.was == (0.5, 1.0)


@pytest.mark.parametrize("kind", [BINARY, MULTICLASS, MULTILABEL])
def test_the_temperature_that_was_applied_is_found_again(kind):
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (4000, 3 if kind == MULTICLASS else 2))
    if kind == MULTILABEL:
        true_chance = 1 / (1 + np.exp(-logits))
        truth = (random.random(logits.shape) < true_chance).astype(int)
    else:
        true_chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        drawn = (true_chance.cumsum(axis=1) < random.random((4000, 1))).sum(axis=1)
        truth = np.eye(logits.shape[1], dtype=int)[drawn]
    too_sure = with_temperature(kind, true_chance, 0.5)
    assert fit_temperature(kind, truth, too_sure) == pytest.approx(2, rel=0.1)
    assert with_temperature(kind, too_sure, 2) == pytest.approx(true_chance, abs=1e-3)


# --- predictions ------------------------------------------------------------------------------------------------


def test_predictions_come_back_from_their_file(tmp_path):
    cohort, _split, predictions, _pictures = made_cohort(40)
    path = tmp_path / "predictions.csv"
    write_predictions(path, predictions)
    header = path.read_text(encoding="utf-8").splitlines()[0]
    assert (
        header
        == "case_id,patient_id,part,true finding:normal,p finding:normal,true finding:abnormal,p finding:abnormal"
    )
    found = read_predictions(path, cohort.targets)
    assert found.case_ids == predictions.case_ids and found.parts == predictions.parts
    assert (found.truth["finding"] == predictions.truth["finding"]).all()
    np.testing.assert_allclose(found.probabilities["finding"], predictions.probabilities["finding"], rtol=1e-8)


def test_identifiers_that_a_spreadsheet_would_run_or_change_come_back(tmp_path):
    target = Target("t", MULTILABEL, ("x",))
    names = ("=1+1", "007", "-3", "'quoted", 'a,b\n"c"')
    table = Predictions(
        (target,), names, names, ("test",) * 5, {"t": np.ones((5, 1), int)}, {"t": np.full((5, 1), 0.5)}
    )
    write_predictions(tmp_path / "p.csv", table)
    assert ",'=1+1" in "," + (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()[1]
    assert read_predictions(tmp_path / "p.csv", (target,)).case_ids == names


def test_what_is_no_prediction_is_refused(tmp_path):
    cohort, _split, predictions, _pictures = made_cohort(40)
    with pytest.raises(UsageError, match="softmax"):
        replace(predictions, probabilities={"finding": predictions.probabilities["finding"] * 0.5})
    with pytest.raises(UsageError, match="twice"):
        replace(predictions, case_ids=predictions.case_ids[:1] * len(predictions))
    with pytest.raises(UsageError, match="no probability"):
        replace(predictions, probabilities={"finding": predictions.probabilities["finding"] * np.nan})
    (tmp_path / "other.csv").write_text("case_id,patient_id,part\n1,1,test\n", encoding="utf-8")
    with pytest.raises(SourceError, match="lacks the column 'p finding:normal'"):
        read_predictions(tmp_path / "other.csv", cohort.targets)


def test_labels_that_were_joined_otherwise_are_refused():
    cohort, split, predictions, _pictures = made_cohort(60)
    turned = {"finding": np.roll(predictions.truth["finding"], 1, axis=0)}
    with pytest.raises(UsageError, match="is not the cohort's"):
        evaluate(cohort, split, replace(predictions, truth=turned), pictures=False)


def test_predictions_of_another_split_are_refused():
    cohort, split, predictions, _pictures = made_cohort(60)
    other = Split(split.test, split.validation, split.training, 1)
    with pytest.raises(UsageError, match="says"):
        evaluate(cohort, other, predictions, pictures=False)


def test_a_split_of_cases_that_the_cohort_lost_is_refused(plain):
    cohort, split, predictions, _found = plain
    lost = cohort.subset(case.case_id for case in cohort.cases if case.case_id != split.training[0])
    with pytest.raises(
        UsageError, match=f"1 cases of the split are not in the cohort, the first '{split.training[0]}'"
    ):
        evaluate(lost, split, predictions, pictures=False)


def test_a_case_that_was_dropped_is_told():
    cohort, split, predictions, _pictures = made_cohort(60)
    first = predictions.parts.index("test")
    kept = predictions.take([row for row in range(len(predictions)) if row != first])
    found = evaluate(cohort, split, kept, pictures=False)
    assert any(line.startswith("1 of ") and "have no prediction" in line for line in found.problems)


# --- evaluation -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    cohort, split, predictions, _pictures = made_cohort(240, seed=2)
    return cohort, split, predictions, evaluate(cohort, split, predictions, pictures=False)


def test_the_scores_of_an_evaluation_are_those_of_scikit_learn(plain):
    _cohort, _split, predictions, found = plain
    test = predictions.of_part("test")
    truth, score = test.truth["finding"][:, 1], test.probabilities["finding"][:, 1]
    one = found.target("finding").classes[0]
    assert one.auroc.value == pytest.approx(roc_auc_score(truth, score))
    assert one.average_precision.value == pytest.approx(average_precision_score(truth, score))
    assert (found.target("finding").confusion == confusion_matrix(truth, score >= one.threshold)).all()
    hits, misses, alarms, right = one.counts
    assert one.sensitivity.value == pytest.approx(hits / (hits + misses))
    assert one.ppv.value == pytest.approx(hits / (hits + alarms))
    assert one.npv.value == pytest.approx(right / (right + misses))
    assert one.auroc.low < one.auroc.value < one.auroc.high


def test_the_threshold_does_not_know_the_test_part(plain):
    cohort, split, predictions, found = plain
    rows = [row for row, part in enumerate(predictions.parts) if part == "test"]
    changed = predictions.probabilities["finding"].copy()
    changed[rows] = changed[rows][:, ::-1]
    other = evaluate(cohort, split, replace(predictions, probabilities={"finding": changed}), pictures=False)
    assert other.target("finding").classes[0].threshold == found.target("finding").classes[0].threshold
    assert "validation" in found.target("finding").classes[0].threshold_source


def test_the_same_seed_gives_the_same_numbers(plain):
    cohort, split, predictions, found = plain
    again = evaluate(cohort, split, predictions, pictures=False)
    assert repr(again.tables()) == repr(found.tables())
    other = evaluate(cohort, split, predictions, pictures=False, seed=5)
    assert other.target("finding").network.auroc != found.target("finding").network.auroc


def test_the_majority_class_stands_beside_the_network():
    cohort, split, predictions, _pictures = made_cohort(240, prevalence=0.22)
    score = evaluate(cohort, split, predictions, pictures=False).target("finding")
    majority = next(model for model in score.models if model.name == MAJORITY)
    one = score.classes[0]
    assert majority.accuracy.value == pytest.approx(1 - one.prevalence)
    assert majority.auroc.value == 0.5 and majority.balanced_accuracy.value == 0.5
    assert majority.average_precision.value == pytest.approx(one.prevalence)


def test_what_is_too_rare_has_no_number():
    cohort, split, predictions, _pictures = made_cohort(150, places=6, prevalence=0.3)
    score = evaluate(cohort, split, predictions, pictures=False).target("where")
    rare = [one for one in score.classes if one.positive_patients < 5]
    assert rare and all(one.auroc.value is None and one.sensitivity.value is None for one in rare)
    assert all(f"{one.positive_patients} positive" in one.reason for one in rare)
    estimable = [one.auroc.value for one in score.classes if one.positive_patients >= 5]
    if estimable:
        assert score.network.auroc.value == pytest.approx(np.mean(estimable))


def test_five_pictures_of_one_patient_are_not_five_patients():
    cohort, split, predictions, _pictures = made_cohort(60, seed=1, per_patient=10)
    score = evaluate(cohort, split, predictions, pictures=False).target("finding")
    assert not score.classes[0].estimable and score.network.accuracy.value is None


def test_one_of_several_classes():
    random = np.random.default_rng(4)
    target = Target("organ", MULTICLASS, ("head", "chest", "pelvis"))
    labels = random.integers(0, 3, 180)
    cases = [Case(f"c{k}", f"p{k}", "", (View("", "", ()),), {"organ": (int(y),)}) for k, y in enumerate(labels)]
    cohort = Cohort((target,), ("",), tuple(cases))
    ids = [case.case_id for case in cases]
    split = Split(tuple(ids[:80]), tuple(ids[80:110]), tuple(ids[110:]))
    logits = np.eye(3)[labels] * 2 + random.normal(0, 1, (180, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    parts = {name: part for part, names in split.parts.items() for name in names}
    told = {name: {"organ": chances[k]} for k, name in enumerate(ids) if parts[name] != "training"}
    score = evaluate(cohort, split, predictions_of(cohort, parts, told), pictures=False).target("organ")
    truth, said = labels[110:], chances[110:]
    assert score.network.auroc.value == pytest.approx(roc_auc_score(truth, said, multi_class="ovr", average="macro"))
    assert (score.confusion == confusion_matrix(truth, said.argmax(axis=1))).all()
    assert score.network.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(truth, said.argmax(axis=1)))
    assert len(score.classes) == 3


def test_calibration_before_and_after_a_models_own_temperature(plain):
    cohort, split, predictions, _found = plain
    score = evaluate(cohort, split, predictions, pictures=False, temperature={"finding": 2.0}).target("finding")
    test = predictions.of_part("test")
    raw = with_temperature(BINARY, test.probabilities["finding"], 0.5)[:, 1]
    assert score.before.error == pytest.approx(reliability(test.truth["finding"][:, 1], raw).error)
    assert score.temperature == 2.0


def test_parts_that_share_a_patient_or_pixels_are_told_without_their_names():
    cohort, split, predictions, _pictures = made_cohort(60)
    owner = {case.case_id: case.patient_id for case in cohort.cases}
    first, other = split.training[0], split.test[0]
    cases = tuple(replace(c, patient_id=owner[first]) if c.case_id == other else c for c in cohort.cases)
    patients = tuple(owner[first] if name == other else owner[name] for name in predictions.case_ids)
    digests = {split.training[1]: {b"same"}, split.test[1]: {b"same"}}
    shared = replace(cohort, cases=cases)
    found = evaluate(shared, split, replace(predictions, patient_ids=patients), pictures=False, digests=digests)
    assert len(found.leaks) == 2
    assert "is in training and in test" in found.leaks[0] and "Identical pixels" in found.leaks[1]
    assert not any(name in line for name in owner.values() for line in found.leaks)
    assert {row["kind"] for row in found.tables()["leaks"]} == {"patient", "pixels"}


def test_names_for_patients_cannot_be_found_by_trying_one_identifier():
    first, second = display_names(["1", "2", "3"]), display_names(["1", "2", "4"])
    assert first == display_names(["3", "2", "1", "1"]) and len(set(first.values())) == 3
    assert first["1"] != second["1"]


def test_folds_keep_patients_whole_and_spread_the_class():
    patients = np.repeat([f"p{k}" for k in range(50)], 2)
    truth = np.repeat(np.arange(50) < 10, 2).astype(int)
    folds = patient_folds(truth, patients, 0)
    assert (folds[::2] == folds[1::2]).all()
    assert np.bincount(folds[truth == 1]).tolist() == [4] * 5


# --- shortcuts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planted", "named"),
    [("noise", "noise"), ("table", "height of the table"), ("text", "text-like pixels in the upper left corner")],
)
def test_a_shortcut_that_was_planted_in_training_is_flagged(planted, named):
    cohort, split, predictions, pictures = made_cohort(240, seed=3, planted=planted)
    found = evaluate(cohort, split, predictions, pictures=pictures, resamples=400)
    flags = [flag for flag in found.flags if flag.kind == SHORTCUT]
    assert any(named in flag.factor + flag.text for flag in flags), [flag.text for flag in found.flags]
    factor = next(one for one in found.factors if named in one.name and one.kind == SHORTCUT)
    assert factor.training.value > 0.8 and factor.test.value < 0.65
    assert factor.follows.low > 0  # the predictions were made to follow it


def _breasts(planted: bool) -> tuple[Cohort, Split, Predictions, object]:
    """More than are looked at, few of them ill; predictions follow letters that are burnt in."""
    parts = {"training": make_breast(MOST_PICTURES + 30, 1, planted, 0.06), "test": make_breast(60, 2, False, 0.3)}
    random, cases, where, pixels, said = np.random.default_rng(0), [], {}, {}, {}
    for part, made in parts.items():
        for number, (patient, label) in enumerate(zip(made.patients, made.labels["lesion"].tolist(), strict=True)):
            cases.append(Case(patient, patient, f"1.2.{len(cases)}", (View("", patient, ()),), {"finding": (label,)}))
            where[patient], pixels[patient] = part, made.arrays[number]
            if part == "test":
                score = 2 * label + 2 * made.truth["burnt_in"][number] - 2 + random.normal()
                said[patient] = {"finding": (1 / (1 + np.exp(score)), 1 / (1 + np.exp(-score)))}
    cohort = Cohort((FINDING,), ("",), tuple(cases))
    split = Split(*(tuple(name for name in where if where[name] == p) for p in ("training", "validation", "test")))
    return cohort, split, predictions_of(cohort, where, said), lambda case: (pixels[case.case_id], (4.0, 1.6, 1.6))


def test_letters_that_go_with_a_rare_class_are_flagged():
    cohort, split, predictions, pictures = _breasts(planted=True)
    found = evaluate(cohort, split, predictions, pictures=pictures, resamples=300)
    factor = next(one for one in found.factors if one.name == "letters burnt in near an edge")
    assert factor.kind == SHORTCUT and factor.training.value > 0.75 and factor.test.value < 0.65
    assert factor.follows.low > 0


def test_a_rare_class_that_is_looked_at_whole_is_no_shortcut():
    cohort, split, predictions, pictures = _breasts(planted=False)
    found = evaluate(cohort, split, predictions, pictures=pictures, resamples=300)
    assert not [flag.text for flag in found.flags if flag.kind in (SHORTCUT, UNTESTED)]


def test_a_sample_has_all_of_a_rare_label():
    cases = [
        Case(f"c{n}", f"p{n}", f"1.2.{n}", (View("", f"1.3.{n}", ()),), {"finding": (int(n % 50 == 0),)})
        for n in range(2 * MOST_PICTURES)
    ]
    chosen = sample(cases, 0)
    assert len(chosen) == MOST_PICTURES and chosen == sample(cases, 0)
    assert sum(case.labels["finding"][0] for case in chosen) == 2 * MOST_PICTURES // 50
    assert [case.case_id for case in chosen] == sorted((c.case_id for c in chosen), key=lambda name: int(name[1:]))
    assert sample(cases[:10], 0) == cases[:10]


def test_without_a_shortcut_nothing_is_flagged():
    cohort, split, predictions, pictures = made_cohort(240, seed=4)
    found = evaluate(cohort, split, predictions, pictures=pictures, resamples=400)
    assert not found.flags, [flag.text for flag in found.flags]


def test_a_table_height_in_the_header_is_flagged_without_pictures():
    cohort, split, predictions, _pictures = made_cohort(240, seed=3, planted="table")
    found = evaluate(cohort, split, predictions, pictures=False)
    assert any(flag.kind == SHORTCUT and flag.factor == "table height" for flag in found.flags)


def test_a_label_that_the_scanner_tells_is_flagged_in_words():
    cohort, split, predictions, _pictures = made_cohort(240, seed=1, planted="scanner")
    found = evaluate(cohort, split, predictions, pictures=False)
    alone = [flag.text for flag in found.flags if flag.kind == ALONE]
    assert len(alone) == 1 and "The label can be told from the scanner alone" in alone[0]
    assert {flag.factor for flag in found.flags if flag.kind == AS_GOOD} & {"scanner", "all header tags"}
    model = next(model for model in found.target("finding").models if model.name == "scanner")
    assert model.auroc.low > 0.7 and model.training_auroc.low > 0.7


def test_a_tag_in_training_with_too_few_test_patients_is_told_as_such():
    cohort, split, predictions, _pictures = made_cohort(150, seed=3, planted="table")
    positive = {case.case_id for case in cohort.cases if case.labels["finding"] == (1,)}
    dropped = {name for name in split.test if name in positive}
    kept = [row for row, name in enumerate(predictions.case_ids) if name not in dropped]
    found = evaluate(cohort, split, predictions.take(kept), pictures=False)
    assert any(flag.kind == UNTESTED and flag.factor == "table height" for flag in found.flags)


def test_predictions_of_cross_validation_are_searched_too():
    cohort, _split, predictions, _pictures = made_cohort(160, seed=1, planted="scanner")
    told = {
        name: {"finding": row}
        for name, row in zip(predictions.case_ids, predictions.probabilities["finding"], strict=True)
    }
    everyone = Split((), (), predictions.case_ids)
    found = evaluate(cohort, everyone, predictions_of(cohort, dict.fromkeys(told, "test"), told), pictures=False)
    assert any(flag.kind == ALONE and "from the scanner alone" in flag.text for flag in found.flags)
    score = found.target("finding")
    assert "no validation cases" in score.classes[0].threshold_source
    assert score.temperature == 1 and score.temperature_source.startswith("none was fitted: there are no validation")


def test_a_network_that_guesses_is_said_to():
    cohort, split, predictions, _pictures = made_cohort(200, seed=6)
    chance = np.random.default_rng(0).random(len(predictions))
    guessed = replace(predictions, probabilities={"finding": np.stack([1 - chance, chance], axis=1)})
    found = evaluate(cohort, split, guessed, pictures=False)
    assert [flag.kind for flag in found.flags] == [CHANCE]


def test_nuisances_measure_what_they_say():
    random = np.random.default_rng(0)
    base = nuisance_features(picture(random, noise=10)[None], (5.0, 0.7, 0.8))
    assert set(base) == set(WORDS)
    assert base["noise_outside"] == pytest.approx(10, rel=0.1) and base["noise_inside"] == pytest.approx(10, rel=0.2)
    assert (base["slices"], base["rows"], base["columns"], base["spacing_columns"]) == (8, 64, 64, 0.8)
    assert base["background"] == pytest.approx(-1000, abs=2) and base["text_upper_left"] == 0
    table = nuisance_features(picture(random, noise=10, table_row=58)[None])
    assert table["support_row"] - base["support_row"] == pytest.approx(4 / 64, abs=1 / 64)
    text = nuisance_features(picture(random, noise=10, text=True)[None])
    assert text["text_upper_left"] > 0.02 and text["text_upper_right"] == 0
    assert text["text_letters"] > 0 and base["text_letters"] == 0
    views = nuisance_features([picture(random), np.zeros((1, 1, 1)), picture(random)])
    assert views["missing_views"] == 1
    flat = nuisance_features(np.zeros((1, 4, 8, 8)))
    assert math.isnan(flat["noise_inside"]) and flat["missing_views"] == 1


def test_a_picture_that_cannot_be_read_is_told_and_the_rest_is_done():
    cohort, split, predictions, pictures = made_cohort(100)

    def broken(case):
        if case.case_id == split.test[0]:
            raise SourceError("/scans/SMITH^ANNA/1.dcm is gone.")
        return pictures(case)

    found = evaluate(cohort, split, predictions, pictures=broken, resamples=100)
    assert any("not looked at for shortcuts: 1." in line for line in found.problems)
    assert "SMITH" not in str(found.problems), "the page of the report shows these lines"
    assert FINDING.name == found.targets[0].target.name
