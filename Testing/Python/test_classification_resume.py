"""Batches that classify, ended at any moment and resumed: nothing that was finished is lost or done again."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("torch", reason="classifiers need the extra 'network'")
pytest.importorskip("monai", reason="classifiers need the extra 'network'")

from classifier_volumes import IDENTITY, make_volume
from conftest import REPOSITORY
from DicomAnalysisLib.batch.classification import classify_source
from DicomAnalysisLib.classification.prediction import Classifier, load_classifier
from DicomAnalysisLib.classification.recipe import recipe_named
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.cohort import ledger as ledgers
from DicomAnalysisLib.cohort.ledger import open_ledger
from DicomAnalysisLib.files.classification_folder import kept_classification, read_classification
from DicomAnalysisLib.jobs import JobProcess, classify_series_job
from DicomAnalysisLib.phantom import write_dicom_series
from flat_images import picture, write_flat
from small_classifiers import REGION, volume_recipe, write_classifier

COUNT = 4
UIDS = [f"1.2.3.{number}" for number in range(COUNT)]
TASK = "classify"


def write_series(folder: Path, number: int, lesion: tuple[int, int, int] | None = None, slices: int = 8) -> None:
    identity = replace(IDENTITY, series_uid=f"1.2.3.{number}", study_uid=f"1.2.{number}", patient_id=f"P-{number}")
    volume = make_volume(lesion=lesion, shape=(slices, 48, 40))
    write_dicom_series(replace(volume, identity=identity), folder / str(number))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(COUNT):
        write_series(folder, number, (4, 20 + number, 20))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bright"
    write_classifier(folder, looks_for_bright=True, recipe=volume_recipe((8, 24, 24)))
    return folder


@pytest.fixture(scope="module")
def classifier(model):
    return load_classifier(model, "cpu")


def classify(source, output, classifier, resume=True, **more):
    """Whether each case was kept, by its name."""
    with open_ledger(output) as ledger:
        report = classify_source(source, output, classifier, ledger=ledger, resume=resume, **more)
    return {outcome.case_id: outcome.kept for outcome in report.outcomes}


def command(source: Path, output: Path, model: Path, *more: str) -> list[str]:
    return ["classify", str(source), "--output", str(output), "--model", str(model), "--device", "cpu", *more]


def written(output: Path) -> dict[str, int]:
    """When each result was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in output.glob("*/classification.json")}


def contents(output: Path) -> dict[str, object]:
    """Everything that results and tables hold, but times."""
    found: dict[str, object] = {}
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if path.name == "classification.json":
            document = json.loads(path.read_text("utf-8"))
            found[name] = {key: value for key, value in document.items() if key != "seconds"}
        elif path.is_file() and not name.startswith((ledgers.NAME, ledgers.LOCK)):
            found[name] = path.read_bytes()
    return found


def states(output: Path) -> dict[str, str]:
    with open_ledger(output, patience=5) as ledger:
        return {entry.item: entry.state for entry in ledger.entries(TASK)}


MOMENTS = {
    "while the second case is read": "at(batch, 'read_image', 2)",
    "when its explanation is written and its result is not": "at(folder, 'write_text', 1)",
    "when the result is written and the ledger does not know": "at(records.Records, 'finish', 1)",
    "when the table is about to be written": "at(batch, 'write_table', 1)",
}
"""Where a process is killed, each time further than the one before."""

KILLED = """
import os, signal, sys
sys.path.insert(0, {library!r})
from DicomAnalysisLib.batch import classification as batch, records
from DicomAnalysisLib.files import classification_folder as folder

def at(where, name, count):
    '''Kill this process when a function is called for the count-th time.'''
    original, calls = getattr(where, name), []
    def killing(*arguments, **keywords):
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **keywords)
    setattr(where, name, killing)

{moment}
from DicomAnalysisLib.cli import main
main({line!r})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_killed_at_every_kind_of_moment_it_comes_to_the_same_end(source, model, tmp_path, capsys):
    assert main(command(source, tmp_path / "whole", model, "--explain")) == 0
    output = tmp_path / "out"
    line = command(source, output, model, "--explain", "--resume")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done: dict[str, int] = {}
    counts = []
    for what, moment in MOMENTS.items():
        code = KILLED.format(library=str(REPOSITORY / "DicomAnalysis"), moment=moment, line=line)
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
        assert ended.returncode == -signal.SIGKILL, (what, ended.stderr.decode()[-2000:])
        now = written(output)
        assert done.items() <= now.items(), f"{what}: what was finished before is gone or was done again"
        done = now
        counts.append(len(done))
    assert counts == [1, 1, 2, COUNT]
    capsys.readouterr()
    assert main([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["kept"] for one in document["series"]] == [True] * COUNT
    assert written(output) == done
    assert contents(output) == contents(tmp_path / "whole"), "as if nothing had happened"
    assert set(states(output).values()) == {"done"}


def test_what_another_model_or_another_question_said_is_made_anew(source, model, tmp_path):
    output = tmp_path / "out"
    first = load_classifier(model, "cpu")
    assert classify(source, output, first) == dict.fromkeys(UIDS, False)
    before = written(output)
    assert classify(source, output, first) == dict.fromkeys(UIDS, True)
    assert written(output) == before
    assert classify(source, output, first, explain=True) == dict.fromkeys(UIDS, False)
    assert classify(source, output, first, explain=True) == dict.fromkeys(UIDS, True)
    assert classify(source, output, first, explain="occlusion") == dict.fromkeys(UIDS, False)
    assert classify(source, output, first, resume=False) == dict.fromkeys(UIDS, False)

    write_classifier(tmp_path / "other", recipe=volume_recipe((8, 24, 24)), seed=4)
    other = load_classifier(tmp_path / "other", "cpu")
    assert classify(source, output, other) == dict.fromkeys(UIDS, False)
    rows = list(csv.DictReader((output / "classification.csv").open(encoding="utf-8")))
    assert [row["model_sha256"] for row in rows] == [other.model.sha256] * COUNT
    write_classifier(tmp_path / "warm", recipe=volume_recipe((8, 24, 24)), seed=4, temperature={"finding": 2.0})
    warm = load_classifier(tmp_path / "warm", "cpu")
    assert warm.model.sha256 == other.model.sha256, "the same weights, calibrated otherwise"
    assert classify(source, output, warm) == dict.fromkeys(UIDS, False)


def test_only_what_is_whole_is_kept(source, classifier, tmp_path):
    classify(source, tmp_path, classifier, explain=True)
    (tmp_path / UIDS[0] / "explanation.nrrd").unlink()
    (tmp_path / UIDS[1] / "classification.json").write_text('{"series_uid": ', encoding="utf-8")
    (tmp_path / UIDS[2] / "classification.json").unlink()
    assert classify(source, tmp_path, classifier, explain=True) == dict(
        zip(UIDS, (False, False, False, True), strict=True)
    )
    assert classify(source, tmp_path, classifier, explain=True) == dict.fromkeys(UIDS, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"explanations": 3}', '{"explanations": [], "made_with": "0"}'])
def test_what_is_no_result_is_not_kept(tmp_path, text):
    (tmp_path / "classification.json").write_text(text, encoding="utf-8")
    assert kept_classification(tmp_path, "0") is None
    assert kept_classification(tmp_path, "") is None
    assert kept_classification(tmp_path / "nowhere", "0") is None


def test_without_a_ledger_too(source, classifier, tmp_path):
    classify_source(source, tmp_path, classifier)
    report = classify_source(source, tmp_path, classifier, resume=True)
    assert all(outcome.kept for outcome in report.outcomes)
    assert report.complete
    assert report.table is not None


def test_other_images_under_the_same_name_are_classified(classifier, tmp_path):
    source, output = tmp_path / "source", tmp_path / "out"
    for number in range(2):
        write_series(source, number)
    classify(source, output, classifier)
    source = source.rename(tmp_path / "moved")
    assert classify(source, output, classifier) == {UIDS[0]: True, UIDS[1]: True}, "moved, and still the same"
    sorted((source / "1").iterdir())[-1].unlink()
    assert classify(source, output, classifier) == {UIDS[0]: True, UIDS[1]: False}


def test_a_view_that_came_later_is_looked_at(tmp_path):
    def write(study: int, angle: int) -> None:
        write_flat(
            tmp_path / "source" / str(study) / f"{angle}.dcm",
            picture(study + angle),
            PatientID=f"P{study}",
            StudyInstanceUID=f"1.2.{study}",
            SeriesInstanceUID=f"1.2.{study}.{angle}",
            PositionerPrimaryAngle=angle,
            PositionerSecondaryAngle=0,
        )

    views = ("primary +0 secondary +0", "primary +30 secondary +0")
    recipe = recipe_named("picture").changed("plane", shape=(32, 32))
    write_classifier(tmp_path / "model", (REGION,), "multiview/shared", recipe, views)
    model = load_classifier(tmp_path / "model", "cpu")
    for study, angle in ((1, 0), (1, 30), (2, 30)):
        write(study, angle)
    output = tmp_path / "out"
    assert classify(tmp_path / "source", output, model) == {"1.2.1": False, "1.2.2": False}
    assert any("is missing" in line for line in read_classification(output / "1.2.2").warnings)
    write(2, 0)
    assert classify(tmp_path / "source", output, model) == {"1.2.1": True, "1.2.2": False}
    assert not any("is missing" in line for line in read_classification(output / "1.2.2").warnings)


def test_a_case_that_failed_is_tried_again(tmp_path):
    source, output = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in ("one.png", "two.png"):
        sitk.WriteImage(sitk.GetImageFromArray(picture(len(name))[0].astype(np.uint8)), str(source / name))
    whole = (source / "two.png").read_bytes()
    (source / "two.png").write_bytes(whole[:40])
    recipe = recipe_named("picture").changed("plane", shape=(32, 32))
    write_classifier(tmp_path / "model", network="slices/small2d", recipe=recipe)
    model = load_classifier(tmp_path / "model", "cpu")
    with open_ledger(output) as ledger:
        report = classify_source(source, output, model, ledger=ledger, resume=True)
    assert {one.case_id: one.status for one in report.outcomes} == {"one.png": "done", "two.png": "failed"}
    assert sorted(states(output).values()) == ["done", "failed"]
    assert "two.png" in (output / "not-classified.csv").read_text("utf-8")
    (source / "two.png").write_bytes(whole)
    assert classify(source, output, model) == {"one.png": True, "two.png": False}
    assert set(states(output).values()) == {"done"}
    assert not (output / "not-classified.csv").exists()
    rows = list(csv.DictReader((output / "classification.csv").open(encoding="utf-8")))
    assert [row["case_id"] for row in rows] == ["one.png", "two.png"]


def interrupted(source, output, classifier, monkeypatch, after: int, **more) -> None:
    """Ctrl+C while a case is classified."""
    original, calls = Classifier.predict, []

    def predict(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return original(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "predict", predict)
        with pytest.raises(KeyboardInterrupt):
            classify(source, output, classifier, **more)


def test_a_run_begun_anew_keeps_nothing_of_earlier_ones(source, classifier, tmp_path, monkeypatch):
    """What it had not come to is not taken for done by whoever resumes it."""
    classify(source, tmp_path, classifier)
    interrupted(source, tmp_path, classifier, monkeypatch, 1, resume=False)
    assert set(written(tmp_path)) == {UIDS[0]}
    rows = list(csv.DictReader((tmp_path / "classification.csv").open(encoding="utf-8")))
    assert [row["case_id"] for row in rows] == UIDS[:1]
    with open_ledger(tmp_path) as ledger:
        assert ledger.counts(TASK) == {"pending": 3, "running": 0, "done": 1, "failed": 0, "skipped": 0}
        assert not any(entry.interruptions for entry in ledger.entries()), "an interruption by hand is nobody's fault"
    assert classify(source, tmp_path, classifier) == dict(zip(UIDS, (True, False, False, False), strict=True))


def test_a_case_that_ends_the_process_comes_last_and_is_put_aside(source, classifier, tmp_path):
    def run(resume=True):
        with open_ledger(tmp_path) as ledger:
            return classify_source(source, tmp_path, classifier, ledger=ledger, resume=resume).outcomes

    def end_over(uid, times):
        with open_ledger(tmp_path) as ledger:
            for _ in range(times):
                ledger.start(uid, TASK, "0", uid)
                ledger.release(blame=True)

    end_over(UIDS[1], 1)
    assert [one.case_id for one in run()] == [UIDS[0], UIDS[2], UIDS[3], UIDS[1]]
    rows = list(csv.DictReader((tmp_path / "classification.csv").open(encoding="utf-8")))
    assert [row["case_id"] for row in rows] == UIDS, "the table does not tell"
    (tmp_path / UIDS[1] / "classification.json").unlink()
    end_over(UIDS[1], ledgers.MAX_INTERRUPTIONS)
    *others, last = run()
    assert [one.status for one in others] == ["done"] * 3
    assert (last.case_id, last.status, last.kept) == (UIDS[1], "failed", True)
    assert "ended 5 times" in last.reason
    assert all(one.status == "done" for one in run(resume=False)), "without resume it is tried again"


def test_images_are_not_taken_for_results(classifier, tmp_path):
    """The output folder is that above the images: nothing there is touched."""
    write_series(tmp_path / "data", 0)
    folder = (tmp_path / "data" / "0").rename(tmp_path / "data" / UIDS[0])
    (folder / "explanation.nrrd").write_text("mine", encoding="utf-8")
    with open_ledger(tmp_path / "data") as ledger:
        report = classify_source(folder, tmp_path / "data", classifier, ledger=ledger)
    reasons = {one.case_id: one.reason for one in report.outcomes if one.status == "failed"}
    assert "among the images" in reasons[UIDS[0]]
    assert (folder / "explanation.nrrd").read_text(encoding="utf-8") == "mine"


def test_two_runs_do_not_share_a_folder(source, model, tmp_path, capsys):
    with open_ledger(tmp_path):
        assert main(command(source, tmp_path, model)) == 1
    assert "Another run is at work" in capsys.readouterr().err
    assert not written(tmp_path)


def test_a_single_series_leaves_no_ledger(source, model, tmp_path, capsys):
    line = command(source, tmp_path, model, "--series", UIDS[0])
    assert main(line) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [UIDS[0], "classification.csv"]
    capsys.readouterr()
    assert main([*line, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["series"][0]["kept"], "the result folder alone says it"


def test_a_table_of_kept_results_is_that_of_new_ones(source, tmp_path):
    """Also where a probability is small, and explanations say something more about the grid."""
    write_classifier(tmp_path / "model", looks_for_bright=True, recipe=volume_recipe((8, 24, 24)))
    sure = load_classifier(tmp_path / "model", "cpu")
    sure._network.head.weight.data *= -40  # as sure as a float can say
    classify(source, tmp_path / "out", sure)
    before = (tmp_path / "out" / "classification.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "out" / "classification.csv").open(encoding="utf-8")))
    assert 0 < float(rows[0]["p finding:abnormal"]) < 1e-7
    assert all(classify(source, tmp_path / "out", sure).values())
    assert (tmp_path / "out" / "classification.csv").read_bytes() == before


class TestJob:
    def test_goes_on_where_a_run_was_interrupted(self, source, model, classifier, tmp_path, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        interrupted(source, tmp_path, classifier, monkeypatch, 2, resume=False)
        updates = []
        job = classify_series_job(source, tmp_path, model, device="cpu", resume=True)
        process = JobProcess(job, on_series=updates.append)
        process.start()
        assert process.wait().state == "done", process.failure
        assert [update.series_uid for update in updates if update.kept] == UIDS[:2]
        assert process.value["counts"] == {"done": COUNT}
        assert [update.status for update in updates if update.series_uid == UIDS[2]] == ["running", "done"]

    def test_leaves_nothing_half_written(self, source, model, tmp_path):
        """What the parent does when the child was cancelled or has ended by itself."""
        with open_ledger(tmp_path) as ledger:
            ledger.start(UIDS[0], TASK, "0", UIDS[0])
        (tmp_path / UIDS[0]).mkdir()
        np.save(tmp_path / UIDS[0] / ".0123abcd.explanation.npy", np.zeros(3))
        (tmp_path / UIDS[0] / "explanation.nrrd").write_text("half", encoding="utf-8")
        (tmp_path / UIDS[1]).mkdir()
        (tmp_path / UIDS[1] / "classification.json").write_text("{}", encoding="utf-8")
        classify_series_job(source, tmp_path, model).clean(True)
        assert not (tmp_path / UIDS[0]).exists()
        assert (tmp_path / UIDS[1] / "classification.json").is_file()
        assert states(tmp_path) == {UIDS[0]: "pending"}


def test_the_result_is_what_was_said(source, classifier, tmp_path):
    """A result that was kept is the one that a new run would give."""
    report = classify_source(source, tmp_path, classifier)
    again = classify_source(source, tmp_path, classifier, resume=True)
    for first, second in zip(report.outcomes, again.outcomes, strict=True):
        assert second.probabilities == pytest.approx(first.probabilities, rel=1e-8)
        assert replace(second, seconds=first.seconds, probabilities=first.probabilities, kept=False) == first
