"""A model of several views in a cohort: a study is an item, with ledger, table and resume as for series."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohort_runs import command, finished, wait_for
from DicomAnalysisLib.batch.classification import classify_source
from DicomAnalysisLib.classification.images import read_image
from DicomAnalysisLib.classification.prediction import load_classifier
from DicomAnalysisLib.classification.recipe import recipe_named
from DicomAnalysisLib.classification.views import ViewRule
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.cohort.deidentify import Pseudonyms
from DicomAnalysisLib.cohort.engine.classifying import NetworkFeatures
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.options import CohortOptions
from DicomAnalysisLib.cohort.engine.plan import Plan
from DicomAnalysisLib.cohort.engine.status import look_at_run
from DicomAnalysisLib.cohort.learning.labelled import label_table
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.dicom.indexing.indexer import index_files
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.jobs import JobProcess, cohort_run_job
from flat_images import picture, write_flat

pytest.importorskip("pyarrow")
pytest.importorskip("torch")
pytest.importorskip("monai")

VIEWS = ("at 0", "at 30", "at 60")
RULES = tuple(f"{name}:primary={name.split()[1]},secondary=0" for name in VIEWS)
COLUMNS = ("p region:head", "p region:chest", "p region:pelvis")


def write_run(folder: Path, study: int, angle: int, name: str = "", frames: int = 1) -> Path:
    """One run of an angiography; its frames lie nowhere in space."""
    return write_flat(
        folder / f"{study}-{name or angle}.dcm",
        picture(study * 100 + angle + frames, (frames, 24, 20)),
        PatientID=f"P{study}",
        StudyInstanceUID=f"1.2.{study}",
        SeriesInstanceUID=f"1.2.{study}.{angle}.{frames}",
        PositionerPrimaryAngle=angle,
        PositionerSecondaryAngle=0,
        StationName=f"ROOM {study % 2}",
    )


def write_studies(folder: Path) -> None:
    """Four studies: all views; one missing; a longer run of one view, and a view nobody asked for; no view at all."""
    for study, angles in ((1, (60, 0, 30)), (2, (60, 0)), (3, (0, 30, 60, 90)), (4, (90,))):
        for number, angle in enumerate(angles):
            write_run(folder, study, angle, f"{7 * number % 5}")
    write_run(folder, 3, 30, "longer", frames=3)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("angiograms")
    write_studies(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), VIEWS)


def write_model(folder: Path, views: tuple[str, ...]) -> Path:
    from small_classifiers import REGION, write_classifier

    recipe = recipe_named("picture").changed("plane", shape=(32, 32))
    write_classifier(folder, (REGION,), "multiview/shared", recipe, views, {"region": 2.0})
    return folder


@pytest.fixture(scope="module")
def options(model) -> CohortOptions:
    return CohortOptions(task="classify", model=str(model), views=RULES, workers=1, device="cpu")


@pytest.fixture(scope="module")
def classified(source, options, tmp_path_factory):
    output = tmp_path_factory.mktemp("classified")
    return run_cohort(source, output, options), output


def table_of(output: Path, task: str = "classify"):
    return FeatureStore(output / task).read()


def test_the_probabilities_are_those_of_classify(source, model, classified, tmp_path) -> None:
    report, output = classified
    assert (report.done, report.skipped, report.failed, report.unit) == (3, 1, {}, "study")
    found = table_of(output)
    assert (found.series, found.patients, found.names) == (("1.2.1", "1.2.2", "1.2.3"), ("P1", "P2", "P3"), COLUMNS)
    rules = tuple(map(ViewRule.from_text, RULES))
    told = classify_source(source, tmp_path, load_classifier(model, "cpu"), view_rules=rules)
    by_case = {outcome.case_id: outcome.probabilities for outcome in told.outcomes}
    expected = [[by_case[uid][name.removeprefix("p ")] for name in found.names] for uid in found.series]
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    # The larger of two runs of one view; what is no view of the model is not among the files of the case.
    assert {Path(path).name for path in found.sources["1.2.3"]} == {"3-0.dcm", "3-longer.dcm", "3-4.dcm"}
    assert set(found.tags["modality"]) == {"XA"}
    assert found.tags["station"] == ("ROOM 1", "ROOM 0", "ROOM 1")


def test_a_missing_view_is_told_and_a_study_without_any_is_skipped(classified) -> None:
    report, output = classified
    (status,) = look_at_run(output)
    assert status.partial == {"1.2.2": "missing views: at 30"}
    assert report.partial == 1
    assert status.counts["skipped"] == 1


def test_any_number_of_workers_gives_the_same_table_and_nothing_is_done_twice(
    source, options, classified, tmp_path
) -> None:
    (file,) = classified[0].table
    report = run_cohort(source, tmp_path, replace(options, workers=3))
    (other,) = report.table
    assert other.read_bytes() == file.read_bytes()
    again = run_cohort(source, tmp_path, options)
    assert (again.done, again.kept, again.skipped) == (0, 4, 0)


def test_a_run_that_is_killed_goes_on_where_it_was(source, options, classified, tmp_path) -> None:
    arguments = ["--task", "classify", "--model", options.model, "--device", "cpu", "--workers", "1"]
    arguments += [word for rule in RULES for word in ("--view", rule)]
    with command(source, tmp_path, *arguments) as process:
        wait_for(lambda: finished(tmp_path) or process.poll() is not None)
        process.kill()
        process.wait()
    known = finished(tmp_path)
    report = run_cohort(source, tmp_path, options)
    assert report.kept >= len(known) > 0
    assert report.done + report.kept + report.skipped == 4
    assert table_of(tmp_path).series == table_of(classified[1]).series
    np.testing.assert_array_equal(table_of(tmp_path).values, table_of(classified[1]).values)


def test_a_study_that_comes_later_is_done_then(options, tmp_path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    write_studies(source)
    first = run_cohort(source, output, options)
    write_run(source, 5, 0)
    second = run_cohort(source, output, options)
    assert (first.done, second.done, second.kept) == (3, 1, 4)
    assert table_of(output).series[-1] == "1.2.5"


def test_features_are_those_of_the_network(source, model, options, tmp_path) -> None:
    report = run_cohort(source, tmp_path, replace(options, task="features", workers=2))
    assert report.done == 3
    found = table_of(tmp_path, "features")
    assert found.values.shape == (3, 128)
    assert len(np.unique(found.values, axis=0)) == 3
    views = {name: read_image(source / f"2-{file}.dcm") for name, file in (("at 0", 2), ("at 60", 0))}
    expected = NetworkFeatures(str(model), "cpu").measure(views)
    np.testing.assert_array_equal(found.values[1], np.float32([*expected.values()]))
    # Labels of studies meet them, as those of series meet the rows of other models.
    cohort = label_table(found, (["study_uid", "finding"], [["1.2.1", "a"], ["1.2.3", "b"], ["1.2.9", "a"]]))
    assert [case.case_id for case in cohort.cases] == ["1.2.1", "1.2.3"]
    assert cohort.unmatched_labels == ("1.2.9",)


def test_without_rules_the_headers_say_which_view(source, options, tmp_path) -> None:
    model = write_model(tmp_path / "model", tuple(f"primary {angle:+d} secondary +0" for angle in (0, 30, 60)))
    report = run_cohort(source, tmp_path / "output", replace(options, model=str(model), views=()))
    assert (report.done, report.skipped) == (3, 1)


def test_a_database_is_a_source_and_series_stand_for_their_studies(source, options, classified, tmp_path) -> None:
    index_files([source], tmp_path / "database")
    for n, place in enumerate((source, tmp_path / "database")):
        # A view alone would be another case: the whole study is classified.
        report = run_cohort(place, tmp_path / str(n), options, series_uids=["1.2.1.30.1", "1.2.1.0.1", "1.2.2.0.1"])
        assert report.done == 2
        assert table_of(tmp_path / str(n)).series == ("1.2.1", "1.2.2")
        np.testing.assert_array_equal(table_of(tmp_path / str(n)).values, table_of(classified[1]).values[:2])
        with pytest.raises(UsageError, match=r"no series 9\.9"):
            run_cohort(place, tmp_path / str(n), options, series_uid="9.9")


def test_studies_under_pseudonyms(source, options, classified, tmp_path) -> None:
    report = run_cohort(source, tmp_path / "output", replace(options, key=tmp_path / "key"))
    assert report.done == 3
    found, plain = table_of(tmp_path / "output"), table_of(classified[1])
    hide = Pseudonyms(bytes.fromhex((tmp_path / "key").read_text()))
    order = [found.series.index(hide.of("study", uid)) for uid in plain.series]
    np.testing.assert_array_equal(found.values[order], plain.values)
    assert not found.sources
    written = b"".join(path.read_bytes() for path in (tmp_path / "output").rglob("*") if path.is_file())
    assert b"1.2.1" not in written
    assert run_cohort(source, tmp_path / "output", replace(options, key=tmp_path / "key")).kept == 4


def test_a_study_of_which_a_file_goes_is_not_classified_by_the_rest(options, tmp_path) -> None:
    write_studies(tmp_path / "source")

    def tell(line: str) -> None:
        if line.endswith("4 studies"):
            (tmp_path / "source" / "1-0.dcm").unlink(missing_ok=True)

    report = run_cohort(tmp_path / "source", tmp_path / "output", options, progress=tell)
    assert (report.done, list(report.failed)) == (2, ["1.2.1"])
    assert "1 of its 3 files" in report.failed["1.2.1"]


def test_files_without_a_study_are_a_case_of_their_folder(options, tmp_path) -> None:
    for folder in ("a", "b"):
        for angle in (0, 30):
            write_flat(
                tmp_path / "source" / folder / f"{angle}.dcm",
                picture(angle),
                StudyInstanceUID="",
                SeriesInstanceUID=f"1.2.{folder == 'b':d}.{angle}",
                PositionerPrimaryAngle=angle,
                PositionerSecondaryAngle=0,
            )
    report = run_cohort(tmp_path / "source", tmp_path / "output", options)
    assert (report.done, report.partial) == (2, 2)
    assert len(table_of(tmp_path / "output")) == 2
    again = run_cohort(tmp_path / "source", tmp_path / "output", options)
    assert (again.done, again.kept) == (0, 2)


def test_the_plan_joins_the_files_of_a_study(source, tmp_path) -> None:
    plan = Plan(source, tmp_path, unit="study")
    assert plan.items == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    assert [len(plan.files(item)) for item in plan.items] == [3, 2, 5, 1]
    plan.close()


def test_mistakes_are_told(source, options, tmp_path, capsys) -> None:
    with pytest.raises(UsageError, match="cannot be understood"):
        replace(options, views=("LAO:angle=30",))
    with pytest.raises(UsageError, match="several views"):
        run_cohort(source, tmp_path, CohortOptions(views=RULES))
    arguments = ["cohort", "run", str(source), "--output", str(tmp_path / "output"), "--task", "classify", "--json"]
    assert main([*arguments, "--model", options.model, "--workers", "1", "--view", RULES[0], "--device", "cpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["unit"], told["done"], told["skipped"], told["partial"]) == ("study", 3, 1, 3)


def test_as_a_job(source, options, tmp_path) -> None:
    process = JobProcess(cohort_run_job(source, tmp_path, options))
    process.start()
    process.wait(60)
    assert process.state == "done", process.failure
    assert (process.value["done"], process.value["unit"]) == (3, "study")
