"""Labels learned from features: joined by identifier, split by patient, compared, and leakage said."""

import json

import numpy as np
import pytest
from DicomAnalysisLib.classification.targets import LabelColumns
from DicomAnalysisLib.cohort.learning.analysis import learn_table
from DicomAnalysisLib.cohort.learning.labelled import label_table, label_texts
from DicomAnalysisLib.cohort.learning.options import LearningOptions
from DicomAnalysisLib.cohort.learning.outputs import load_boosted, predict, write_learning
from DicomAnalysisLib.cohort.learning.result import MAJORITY, NETWORK, XGBOOST
from DicomAnalysisLib.errors import ModelError, UsageError
from feature_tables import make_table

QUICK = LearningOptions(
    depths=(2,), rates=(0.3,), columns=(1.0,), rounds=60, trees=40, strengths=(0.1,), resamples=200, threads=1
)


def planted(count=360, seed=1):
    """Features of which two tell the label together, one by its size and one by its distance from the middle."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 8)).astype(np.float32)
    values[random.random(values.shape) < 0.05] = np.nan
    known = np.nan_to_num(values)
    truth = ((known[:, 0] > -0.4) & (np.abs(known[:, 1]) < 1)).astype(int)
    return values, truth


def rows_of(table, truth):
    return ("series_uid", "finding"), [(uid, ("no", "yes")[t]) for uid, t in zip(table.series, truth, strict=True)]


def test_boosting_beats_a_network_on_a_planted_tabular_signal(tmp_path):
    values, truth = planted()
    random = np.random.default_rng(3)
    table = make_table(values, {"station": tuple(random.choice(["A", "B"], len(truth)))}, per_patient=1)
    score = np.clip(0.5 + 0.2 * (truth - 0.5) + random.normal(0, 0.2, len(truth)), 0.01, 0.99)
    lines = ["case_id,patient_id,part,true finding:no,p finding:no,true finding:yes,p finding:yes"]
    for k in range(180, 360):
        part = "validation" if k < 250 else "test"
        lines.append(
            f"{table.series[k]},{table.patients[k]},{part},{1 - truth[k]},{1 - score[k]},{truth[k]},{score[k]}"
        )
    path = tmp_path / "predictions.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    learned = learn_table(table, rows_of(table, truth), options=QUICK, predictions=path)
    assert set(learned.split.test) == set(table.series[250:])
    assert set(learned.split.validation) == set(table.series[180:250])
    one = learned.targets[0]
    boosted, network = one.score(XGBOOST).auroc, one.score(NETWORK).auroc
    assert boosted.value >= network.value
    assert boosted.value > 0.9
    assert one.against_network.low > 0
    assert one.score(MAJORITY).auroc.value == pytest.approx(0.5)
    assert {item.feature for item in one.importances["finding"][:2]} == {"feature 0", "feature 1"}
    assert not learned.leakage()
    assert any("better than the network's own head" in text for text in learned.findings())


def test_a_scanner_that_is_the_label_is_said_to_be(tmp_path):
    values, truth = planted(240)
    stations = tuple(("CT-A", "CT-B")[t] for t in truth)
    table = make_table(values, {"station": stations, "kernel": ("B30f",) * len(truth)}, per_patient=1)
    learned = learn_table(table, rows_of(table, truth), options=QUICK)
    assert learned.is_leaking
    assert "'station' equals the label 'finding'" in learned.findings()[0]
    assert "CT-A" in learned.findings()[0]
    write_learning(tmp_path, learned)
    told = json.loads((tmp_path / "learning.json").read_text("utf-8"))
    assert told["is_leaking"] is True
    assert told["targets"][0]["tags"][0]["kind"] == "equals"


def test_a_protocol_that_predicts_the_label_is_said_to(tmp_path):
    values, truth = planted(300)
    random = np.random.default_rng(5)
    wrong = random.random(len(truth)) < 0.08
    protocols = tuple(("head", "trauma")[t ^ w] for t, w in zip(truth, wrong, strict=True))
    table = make_table(values, {"protocol": protocols}, per_patient=1)
    learned = learn_table(table, rows_of(table, truth), options=QUICK)
    assert not learned.is_leaking
    assert "'protocol' alone predicts the label" in learned.leakage()[0]


def test_a_tag_that_is_stated_for_one_class_alone_predicts_the_label():
    """A contrast agent stands in the header only where one was given: that nothing is stated tells as much."""
    values, truth = planted(240)
    table = make_table(values, {"contrast": tuple(("", "OMNIPAQUE")[t] for t in truth)}, per_patient=1)
    learned = learn_table(table, rows_of(table, truth), options=QUICK)
    assert "'contrast' alone predicts the label" in learned.leakage()[0]
    assert learned.targets[0].leaks[0].auroc.value == 1


def test_patients_are_never_divided_and_a_seed_gives_one_answer(tmp_path):
    values, truth = planted(240)
    truth = np.repeat(truth[::3], 3)
    values[:, 2] += truth
    table = make_table(values, per_patient=3)
    first, second = (learn_table(table, rows_of(table, truth), options=QUICK) for _ in range(2))
    parts = [{learned_patient(table, uid) for uid in part} for part in first.split.parts.values()]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    for name, probabilities in first.targets[0].probabilities.items():
        assert np.array_equal(probabilities, second.targets[0].probabilities[name]), name


def learned_patient(table, uid):
    return table.patients[table.series.index(uid)]


def test_boosters_are_json_and_come_back(tmp_path):
    random = np.random.default_rng(2)
    values = random.normal(size=(240, 5)).astype(np.float32)
    names = np.array(["a", "b", "c"])[np.digitize(values[:, 3], (-0.4, 0.4))]
    table = make_table(values, per_patient=1)
    rows = ("series_uid", "organ"), list(zip(table.series, names.tolist(), strict=True))
    learned = learn_table(table, rows, options=QUICK)
    written = write_learning(tmp_path, learned)
    assert not [path for path in written if path.suffix in (".pkl", ".pickle", ".joblib")]
    boosted, features = load_boosted(tmp_path, "organ")
    again = predict(boosted, features, table.select(learned.split.test))
    assert np.allclose(again, learned.targets[0].probabilities[XGBOOST], atol=1e-6)
    assert learned.targets[0].score(XGBOOST).auroc.value > 0.95
    with pytest.raises(ModelError, match="no boosted trees"):
        load_boosted(tmp_path, "liver")


def test_labels_are_joined_by_identifier_and_what_is_left_is_listed():
    table = make_table(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    rows = [("P00000", "", "yes"), ("", table.series[3], "no"), ("", "1.2.9", "no"), ("P00001", table.series[5], "no")]
    cohort = label_table(table, (("patient_id", "series_uid", "finding"), rows))
    assert [case.case_id for case in cohort.cases] == [table.series[0], table.series[1], table.series[3]]
    assert "1.2.9" in cohort.unmatched_labels
    assert any("contradict" in line for line in cohort.problems)
    assert label_texts(table, cohort)["finding"] == ("yes", "yes", "", "no", "", "")
    with pytest.raises(UsageError, match="Not one label row"):
        label_table(table, (("series_uid", "finding"), [("9.9", "yes"), ("9.8", "no")]))


def test_several_labels_at_once():
    random = np.random.default_rng(4)
    values = random.normal(size=(240, 4)).astype(np.float32)
    flags = (values[:, :2] > 0).astype(int)
    table = make_table(values, per_patient=1)
    rows = ("series_uid", "left", "right"), [(u, *map(str, f)) for u, f in zip(table.series, flags, strict=True)]
    learned = learn_table(table, rows, (LabelColumns("side", ("left", "right")),), QUICK)
    one = learned.targets[0]
    assert one.score(XGBOOST).auroc.value > 0.95
    assert one.importances["side: left"][0].feature == "feature 0"
    assert one.importances["side: right"][0].feature == "feature 1"
