"""Labels joined to images by identifier, and views by what the headers state."""

from __future__ import annotations

import random

import numpy as np
import pytest
from dicom_slices import ramp, write_slice
from DicomAnalysisLib.classification.cohort import Target
from DicomAnalysisLib.classification.finding import Found, FoundImage, SeriesFilter, find_images
from DicomAnalysisLib.classification.headers import header_facts
from DicomAnalysisLib.classification.images import read_image, without_ending
from DicomAnalysisLib.classification.labels import CohortOptions, build_cohort
from DicomAnalysisLib.classification.tables import read_table
from DicomAnalysisLib.classification.targets import LabelColumns
from DicomAnalysisLib.classification.views import ViewRule, view_name
from DicomAnalysisLib.errors import SourceError, UnreadableFileError, UsageError
from DicomAnalysisLib.volume import SeriesIdentity
from flat_images import picture, write_flat
from hypothesis import assume, given, settings
from hypothesis import strategies as st


def _cohort_folder(folder, patients=4, studies=1, series=1, **attributes):
    """A folder of CT series of three slices; rows of (patient, study, series)."""
    rows = []
    for p in range(patients):
        for t in range(studies):
            for s in range(series):
                uids = f"1.2.{p + 1}.{t + 1}", f"1.2.{p + 1}.{t + 1}.{s + 1}"
                name = f"{p}-{t}-{s}"
                (folder / name).mkdir(parents=True)
                for k in range(3 + s):
                    write_slice(
                        folder / name,
                        ramp(k),
                        k + 1,
                        ImagePositionPatient=[0, 0, 2 * k],
                        SOPInstanceUID=f"{uids[1]}.{k + 1}",
                        PatientID=f"P{p + 1}",
                        StudyInstanceUID=uids[0],
                        SeriesInstanceUID=uids[1],
                        SeriesDescription=f"series {s + 1}",
                        **attributes,
                    )
                rows.append((f"P{p + 1}", *uids))
    return rows


def _uids(study, number):
    return {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.{number}"}


def _csv(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", "utf-8")
    return path


def test_labels_are_joined_by_series_uid_whatever_the_order(tmp_path):
    rows = _cohort_folder(tmp_path / "ct", patients=6)
    truth = {series: int(n % 3 == 0) for n, (_, _, series) in enumerate(rows)}
    lines = list(truth.items())
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        cohort = build_cohort(tmp_path / "ct", _csv(tmp_path / "labels.csv", "SeriesInstanceUID,finding", lines))
        assert {case.case_id: case.labels["finding"][0] for case in cohort.cases} == truth
        assert [case.case_id for case in cohort.cases] == sorted(truth)
    assert cohort.targets == (Target("finding", "binary", ("0", "1")),)
    assert cohort.labels_of("finding").shape == (6, 1)
    assert not cohort.unmatched_labels and not cohort.unmatched_series
    first = cohort.cases[0]
    assert (first.patient_id, first.study_uid) == ("P1", "1.2.1.1")
    assert len(first.views[0].files) == 3
    assert first.facts["modality"] == "CT" and first.facts["slices"] == 3 and first.facts["spacing_mm"] == 2


def test_a_table_with_a_header_and_rows_gives_the_same_cohort(tmp_path):
    rows = _cohort_folder(tmp_path / "ct")
    lines = [(series, n % 2) for n, (_, _, series) in enumerate(rows)]
    by_file = build_cohort(tmp_path / "ct", _csv(tmp_path / "labels.csv", "series_uid,label", lines))
    by_table = build_cohort(tmp_path / "ct", (["series_uid", "label"], [[s, str(n)] for s, n in lines]))
    assert by_table == by_file


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_tabs_and_semicolons_part_columns_too(tmp_path, delimiter):
    rows = _cohort_folder(tmp_path / "ct", patients=2)
    path = _csv(tmp_path / "labels.csv", "patient_id,label", [(rows[0][0], "a b"), (rows[1][0], "ä")])
    path.write_text("\ufeff" + path.read_text("utf-8").replace(",", delimiter), "utf-8")
    assert build_cohort(tmp_path / "ct", path).targets[0].classes == ("a b", "ä")


def test_what_matches_nothing_is_listed_on_either_side(tmp_path):
    rows = _cohort_folder(tmp_path / "ct")
    lines = [(rows[0][2], 0), (rows[1][2], 1), ("1.2.99", 1)]
    cohort = build_cohort(tmp_path / "ct", (["series_uid", "label"], lines))
    assert len(cohort) == 2
    assert cohort.unmatched_labels == ("1.2.99",)
    assert cohort.unmatched_series == (rows[2][2], rows[3][2])


def test_by_patient_and_by_study_the_largest_series_is_taken_and_the_others_named(tmp_path):
    rows = _cohort_folder(tmp_path / "ct", patients=3, series=2)
    for column, level in (("patient_id", 0), ("study_uid", 1)):
        ids = sorted({row[level] for row in rows})
        cohort = build_cohort(tmp_path / "ct", ([column, "label"], [(one, n % 2) for n, one in enumerate(ids)]))
        assert [case.case_id for case in cohort.cases] == ids
        assert [case.views[0].series_uid for case in cohort.cases] == [f"1.2.{p}.1.2" for p in (1, 2, 3)]
        assert sum("1.2.2.1.1 was left out" in line for line in cohort.problems) == 1
    every = build_cohort(
        tmp_path / "ct", (["patient_id", "label"], [("P1", 0), ("P2", 1)]), CohortOptions(several="all")
    )
    assert [case.case_id for case in every.cases] == ["1.2.1.1.1", "1.2.1.1.2", "1.2.2.1.1", "1.2.2.1.2"]
    assert every.labels_of("label").reshape(-1).tolist() == [0, 0, 1, 1]


def test_duplicates_are_noted_and_contradictions_left_out(tmp_path):
    rows = _cohort_folder(tmp_path / "ct")
    uids = [row[2] for row in rows]
    lines = [(uids[0], 0), (uids[0], 0), (uids[1], 1), (uids[2], 0), (uids[2], 1)]
    path = _csv(tmp_path / "labels.csv", "series_uid,label", lines)
    cohort = build_cohort(tmp_path / "ct", path)
    assert [case.case_id for case in cohort.cases] == uids[:2]
    text = "\n".join(cohort.problems)
    assert f"{uids[0]} is listed twice with the same label (labels.csv, line 2; labels.csv, line 3)" in text
    assert f"{uids[2]} was left out: its labels contradict each other (labels.csv, line 5; labels.csv, line 6)" in text


def test_identifiers_of_one_row_must_agree(tmp_path):
    rows = _cohort_folder(tmp_path / "ct")
    lines = [(rows[0][2], "P1", 0), (rows[1][2], "P3", 1), (rows[2][2], "", 1)]
    cohort = build_cohort(tmp_path / "ct", (["series_uid", "patient_id", "label"], lines))
    assert [case.case_id for case in cohort.cases] == [rows[0][2], rows[2][2]]
    assert any("row 2" in line and "contradict each other" in line for line in cohort.problems)
    assert cohort.unmatched_labels == (rows[1][2],)


def test_rows_of_two_levels_do_not_count_a_series_twice(tmp_path):
    rows = _cohort_folder(tmp_path / "ct")
    header = ["series_uid", "patient_id", "label"]
    lines = [(rows[0][2], "", 0), ("", "P1", 0), (rows[1][2], "", 1), ("", "P2", 0), ("", "P3", 1)]
    cohort = build_cohort(tmp_path / "ct", (header, lines))
    assert [case.case_id for case in cohort.cases] == [rows[0][2], "P3"]
    assert sum("labelled as a case of both" in line for line in cohort.problems) == 2


def test_a_row_without_label_or_identifier_is_listed(tmp_path):
    rows = _cohort_folder(tmp_path / "ct")
    lines = [(rows[0][2], "yes"), (rows[1][2], "no"), (rows[2][2], ""), ("", "yes")]
    cohort = build_cohort(tmp_path / "ct", (["series_uid", "label"], lines))
    assert len(cohort) == 2
    assert cohort.targets[0].classes == ("no", "yes")
    assert any("states no label" in line for line in cohort.problems)
    assert any("row 4 states no identifier" in line for line in cohort.problems)


@pytest.mark.parametrize("unknown", ["NaN", "nan", "NA", "n/a", "#N/A", "<NA>", "NULL"])
def test_what_programs_write_for_an_unknown_label_is_no_class(tmp_path, unknown):
    rows = _cohort_folder(tmp_path / "ct", patients=4)
    written = ("0", "1.0", unknown, "01")
    lines = [(series, value) for (_, _, series), value in zip(rows, written, strict=True)]
    cohort = build_cohort(tmp_path / "ct", _csv(tmp_path / "labels.csv", "series_uid,label", lines))
    assert cohort.targets == (Target("label", "binary", ("0", "01")),)
    assert [case.labels["label"] for case in cohort.cases] == [(0,), (1,), (1,)]
    assert any("states no label" in line and rows[2][2] in line for line in cohort.problems)

    header = "series_uid,left,right"
    several = CohortOptions(labels=(LabelColumns("side", ("left", "right")),))
    lines = [(series, value, value) for (_, _, series), value in zip(rows, written, strict=True)]
    flags = build_cohort(tmp_path / "ct", _csv(tmp_path / "flags.csv", header, lines), several)
    assert len(flags) == 3 and any("states no label" in line for line in flags.problems)

    named = CohortOptions(labels=(LabelColumns("label", classes=("0", "1", unknown)),))
    lines = [(series, value) for (_, _, series), value in zip(rows, written, strict=True)]
    assert len(build_cohort(tmp_path / "ct", _csv(tmp_path / "labels.csv", "series_uid,label", lines), named)) == 4


def test_two_labels_of_one_name_are_refused():
    with pytest.raises(UsageError, match="Two labels have one name: finding, finding"):
        CohortOptions(labels=(LabelColumns("finding"), LabelColumns("finding", ("a", "b"))))


def test_kinds_of_labels(tmp_path):
    rows = _cohort_folder(tmp_path / "ct")
    header = ["patient_id", "grade", "sites", "left", "right", "age"]
    lines = [
        ("P1", "10", "neck;chest", 1, 0, 50),
        ("P2", "2.0", "none", 0, 0, 60),
        ("P3", "2", "chest", 1, 1, 61),
        ("P4", "33", "", 0, 1, 48),
    ]
    columns = (LabelColumns("grade"), LabelColumns("sites"), LabelColumns.from_text("side=left,right"))
    cohort = build_cohort(tmp_path / "ct", (header, lines), CohortOptions(labels=columns))
    assert cohort.targets == (
        Target("grade", "multiclass", ("2", "10", "33")),
        Target("sites", "multilabel", ("chest", "neck")),
        Target("side", "multilabel", ("left", "right")),
    )
    assert cohort.labels_of("grade").reshape(-1).tolist() == [1, 0, 0, 2]
    assert cohort.labels_of("sites").tolist() == [[1, 1], [0, 0], [1, 0], [0, 0]]
    assert cohort.labels_of("side").tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]
    assert cohort.cases[0].facts["age"] == 50
    assert any("sites: 1 rows name no class" in line for line in cohort.problems)
    assert len(rows) == 4


def test_classes_and_kind_can_be_stated(tmp_path):
    _cohort_folder(tmp_path / "ct", patients=2)
    table = (["patient_id", "label"], [("P1", "sick"), ("P2", "well")])
    stated = CohortOptions(labels=(LabelColumns("label", classes=("well", "sick"), kind="binary"),))
    assert build_cohort(tmp_path / "ct", table, stated).labels_of("label").reshape(-1).tolist() == [1, 0]
    fewer = CohortOptions(labels=(LabelColumns("label", classes=("well", "ill")),))
    assert any("'sick' is no class" in line for line in build_cohort(tmp_path / "ct", table, fewer).problems)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (["name", "label"], [("x", 1)], "no column of identifiers"),
        (["patient_id", "a", "b"], [("P1", 1, 2)], "Say which column"),
        (["patient_id", "label", "label"], [("P1", 1, 2)], "more than once"),
        (["patient_id", "label"], [("P1", 1), ("P2", 1)], "at least 2 classes"),
        (["patient_id", "label"], [("Q1", 0), ("Q2", 1)], "Not one of 2 label rows"),
        (["patient_id", "label"], [("P1", 0, 7)], "3 cells in a table of 2"),
        ([], [], "no header"),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path, header, rows, message):
    _cohort_folder(tmp_path / "ct", patients=2)
    with pytest.raises(UsageError, match=message):
        build_cohort(tmp_path / "ct", (header, rows))


def test_a_csv_that_is_no_text_or_not_there_says_so(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(SourceError, match="UTF-8"):
        read_table(tmp_path / "bad.csv")


def test_the_filter_chooses_series(tmp_path):
    _cohort_folder(tmp_path / "ct", patients=2, series=3, BodyPartExamined="CHEST")
    _cohort_folder(tmp_path / "mr", patients=1, Modality="MR")
    assert len(find_images(tmp_path).images) == 7 - 1  # the MR series has the UIDs of a CT series
    wanted = SeriesFilter(modalities=("ct",), description="SERIES [23]", min_slices=5, body_parts=("chest",))
    found = find_images([tmp_path / "ct", tmp_path / "mr"], wanted)
    assert [image.identity.series_uid for image in found.images] == ["1.2.1.1.3", "1.2.2.1.3"]
    with pytest.raises(UsageError, match="regular expression"):
        SeriesFilter(description="(")


def test_a_slicer_database_opens_only_the_series_that_pass(tmp_path):
    from DicomAnalysisLib.dicom.indexing.indexer import index_files

    rows = _cohort_folder(tmp_path / "ct", patients=2, series=2)
    index_files([tmp_path / "ct"], tmp_path / "database")
    options = CohortOptions(filter=SeriesFilter(description="series 1"))
    table = (["patient_id", "label"], [("P1", 0), ("P2", 1)])
    cohort = build_cohort(tmp_path / "database", table, options)
    assert [case.views[0].series_uid for case in cohort.cases] == ["1.2.1.1.1", "1.2.2.1.1"]
    assert cohort.cases == build_cohort(tmp_path / "ct", table, options).cases
    named = (["series_uid", "label"], [("1.2.1.1.1", 0), ("1.2.1.1.2", 1)])
    (tmp_path / "ct" / "1-0-0" / "001.dcm").write_bytes(b"not opened, so not missed")
    cohort = build_cohort(tmp_path / "database", named)
    assert cohort.unmatched_series == ("1.2.2.1.1", "1.2.2.1.2")
    assert not any("001.dcm" in line for line in cohort.problems)
    assert len(rows) == 4


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 1)), min_size=2, max_size=25),
    st.sampled_from(["series", "study", "patient"]),
    st.randoms(use_true_random=False),
)
def test_no_order_of_rows_or_images_changes_a_cohort(numbers, level, order):
    """And the label of every case is that of its own identifier."""
    images, truth = [], {}
    for n, (patient, study, label) in enumerate(numbers):
        identity = SeriesIdentity(f"1.{n}", f"2.{patient}.{study}", f"P{patient}")
        images.append(FoundImage(identity, (f"{n}.dcm",), 5, 100 + n))
        name = {"series": identity.series_uid, "study": identity.study_uid, "patient": identity.patient_id}[level]
        truth.setdefault(name, label)
    assume(len(set(truth.values())) == 2)
    rows = [(name, str(label)) for name, label in truth.items()]
    rows.append((rows[0][0], str(1 - int(rows[0][1]))))  # a contradiction
    rows.append(("nobody", "1"))
    columns = {"series": "series_uid", "study": "study_uid", "patient": "patient_id"}
    first = build_cohort(Found(tuple(images)), ([columns[level], "label"], rows)) if len(truth) > 1 else None
    order.shuffle(rows)
    order.shuffle(images)
    second = build_cohort(Found(tuple(images)), ([columns[level], "label"], rows))
    assert first.cases == second.cases
    assert {case.case_id: case.labels["label"][0] for case in second.cases} == dict(list(truth.items())[1:])
    assert second.unmatched_labels == ("nobody",)


# Views.


def _mammograms(folder, missing=()):
    for p in (1, 2, 3):
        for n, (side, position) in enumerate([("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]):
            if (p, f"{side} {position}") not in missing:
                write_flat(
                    folder / f"{p}{side}{position}.dcm",
                    picture(10 * p + n),
                    "MG",
                    PatientID=f"P{p}",
                    StudyInstanceUID=f"1.3.{p}",
                    SeriesInstanceUID=f"1.3.{p}.1",
                    ImageLaterality=side,
                    ViewPosition=position,
                )


def test_mammograms_of_one_series_are_views_by_side_and_position(tmp_path):
    _mammograms(tmp_path / "mg", missing={(2, "R CC")})
    table = (["study_uid", "label"], [("1.3.1", 0), ("1.3.2", 1), ("1.3.3", 0)])
    cohort = build_cohort(tmp_path / "mg", table, CohortOptions(views=()))
    assert cohort.view_names == ("L CC", "L MLO", "R CC", "R MLO")
    assert [case.missing_views for case in cohort.cases] == [(), ("R CC",), ()]
    assert any("1.3.2: missing views are masked: R CC" in line for line in cohort.problems)
    for case in cohort.cases:
        for view in case.views:
            assert not view.present or view.files[0].endswith(view.name.replace(" ", "") + ".dcm")


def test_angiograms_are_views_by_angle_within_a_tolerance(tmp_path):
    angles = {"frontal": (0, 0), "lateral": (90, 0), "oblique": (-30, 25)}
    for p in (1, 2):
        for n, (name, (primary, secondary)) in enumerate(angles.items()):
            write_flat(
                tmp_path / "xa" / f"{p}{name}.dcm",
                picture(10 * p + n, (4, 16, 18)),
                PatientID=f"P{p}",
                StudyInstanceUID=f"1.4.{p}",
                SeriesInstanceUID=f"1.4.{p}.{n + 1}",
                PositionerPrimaryAngle=primary + 2 * p,
                PositionerSecondaryAngle=secondary - p,
            )
    rules = tuple(ViewRule.from_text(f"{name}:primary={a},secondary={b}") for name, (a, b) in angles.items())
    table = (["patient_id", "aneurysm"], [("P2", "yes"), ("P1", "no")])
    cohort = build_cohort(tmp_path / "xa", table, CohortOptions(views=rules))
    assert cohort.view_names == tuple(angles)
    for case in cohort.cases:
        for view in case.views:
            assert view.files[0].endswith(f"{case.patient_id[1]}{view.name}.dcm")
    strict = tuple(ViewRule(name, primary=a, secondary=b, tolerance=3) for name, (a, b) in angles.items())
    cohort = build_cohort(
        tmp_path / "xa",
        (table[0], [("P1", "no")]),
        CohortOptions(labels=(LabelColumns("aneurysm", classes=("no", "yes")),), views=strict),
    )
    assert cohort.cases[0].missing_views == ()
    with pytest.raises(UsageError, match="cannot be understood"):
        ViewRule.from_text("x:angle=3")
    for text in ("x:primary=nan", "x:tolerance=inf"):
        with pytest.raises(UsageError, match="number of degrees"):
            ViewRule.from_text(text)
    with pytest.raises(UsageError, match="colon"):
        ViewRule("x:y", primary=3)


def test_a_view_column_names_views_of_files(tmp_path):
    import SimpleITK as sitk

    lines = []
    for p in (1, 2, 3):
        for view in ("top", "side"):
            name = f"{p}-{view}.png"
            sitk.WriteImage(sitk.GetImageFromArray(picture(p, (8, 9)).astype(np.uint8)), str(tmp_path / name))
            if (p, view) != (3, "side"):
                lines.append((name, f"P{p}", view, p % 2))
    random.Random(5).shuffle(lines)
    cohort = build_cohort(tmp_path, (["file", "patient_id", "view", "label"], lines))
    assert cohort.view_names == ("side", "top")
    assert [case.case_id for case in cohort.cases] == ["P1", "P2", "P3"]
    assert cohort.cases[2].missing_views == ("side",)
    assert [case.labels["label"][0] for case in cohort.cases] == [1, 0, 1]
    assert cohort.unmatched_series == ("3-side.png",)


def test_files_without_patient_are_patients_of_their_own_unless_the_table_says_more(tmp_path):
    import SimpleITK as sitk

    for n in range(4):
        sitk.WriteImage(sitk.GetImageFromArray(picture(n, (8, 9)).astype(np.uint8)), str(tmp_path / f"{n}.jpg"))
    lines = [(f"{n}", "AB"[n // 2], n % 2) for n in range(4)]
    alone = build_cohort(tmp_path, (["file", "who", "label"], lines), CohortOptions(labels=(LabelColumns("label"),)))
    assert alone.patients() == ("0", "1", "2", "3")
    assert any("Nothing says whose 4 cases" in line for line in alone.problems)
    options = CohortOptions(labels=(LabelColumns("label"),), group_column="who")
    together = build_cohort(tmp_path, (["file", "who", "label"], lines), options)
    assert together.patients() == ("A", "B") and not together.problems[1:]


def test_patient_ids_that_differ_in_case_or_blanks_are_one_patient(tmp_path):
    for number, patient in enumerate(("p1", "P1", " P1", "P2")):
        write_flat(tmp_path / f"{number}.dcm", picture(number), PatientID=patient, **_uids(f"1.2.{number}", number))
    lines = [(f"1.2.{number}.{number}", number % 2) for number in range(4)]
    cohort = build_cohort(tmp_path, (["series_uid", "label"], lines))
    assert [case.patient_id for case in cohort.cases] == ["P1", "P1", "P1", "P2"]
    assert cohort.patients() == ("P1", "P2")
    assert any("P1 and p1 differ in case alone" in line for line in cohort.problems)


def test_files_of_one_series_are_cases_of_their_own_where_files_are_labelled(tmp_path):
    for number in range(4):
        write_flat(tmp_path / f"{number}.dcm", picture(number), "MG", PatientID=f"P{number // 2}", **_uids("1.2", 1))
    cohort = build_cohort(tmp_path, (["file", "label"], [(f"{number}.dcm", number % 2) for number in range(4)]))
    found = {case.case_id: (case.labels["label"][0], case.patient_id) for case in cohort.cases}
    assert found == {f"1.2.1/{number}.dcm": (number % 2, f"P{number // 2}") for number in range(4)}
    assert not any("left out" in line for line in cohort.problems)


def test_age_or_sex_that_is_the_label_is_no_fact_beside_it(tmp_path):
    for number, sex in enumerate("MFMF"):
        own = {**_uids(f"1.2.{number}", number), "PatientSex": sex, "PatientAge": "050Y"}
        write_flat(tmp_path / f"{number}.dcm", picture(number), PatientID=f"P{number}", **own)
    table = ["patient_id", "Patient Sex", "finding"], [(f"P{n}", sex, n // 2) for n, sex in enumerate("MFMF")]
    for name, facts in (("Patient Sex", {"age": 50.0}), ("finding", {"age": 50.0, "sex": "M"})):
        cohort = build_cohort(tmp_path, table, CohortOptions(labels=(LabelColumns(name),)))
        assert {key: cohort.cases[0].facts.get(key) for key in ("age", "sex")} == {"sex": None} | facts


@pytest.mark.parametrize(
    ("age", "born", "studied", "years"),
    [
        ("061Y", "19500315", "20200101", 61.0),
        ("", "19500315", "20200314", 69.0),
        (None, "19500315", "20200315", 70.0),
        (None, "19500315", "", None),
        (None, "18000101", "20200315", None),
        (None, "20210101", "20200315", None),
        (None, "", "20200315", None),
    ],
)
def test_an_age_that_is_not_stated_is_that_of_the_dates(tmp_path, age, born, studied, years):
    dates = {"PatientAge": age, "PatientBirthDate": born, "StudyDate": studied}
    path = write_flat(tmp_path / "a.dcm", picture(0), **dates)
    facts = header_facts(path)
    assert facts.get("age") == years
    assert not any(str(value) == born for value in facts.values())


def test_a_group_column_that_is_filled_in_part_divides_no_patient(tmp_path):
    """Two studies of P0, and one row says who that is; of the anonymous ones no row speaks for another."""
    patients = ("P0", "P0", "P1", "P2", "anonymous", "anonymous", "anonymous")
    for number, patient in enumerate(patients):
        write_flat(tmp_path / f"{number}.dcm", picture(number), PatientID=patient, **_uids(f"1.2.{number}", number))
    who = ("Ann", "", "Ann", "", "Bob", "Carl", "")
    rows = [(f"1.2.{number}.{number}", one, number % 2) for number, one in enumerate(who)]
    cohort = build_cohort(tmp_path, (["series_uid", "who", "label"], rows), CohortOptions(group_column="who"))
    assert [case.patient_id for case in cohort.cases] == ["Ann", "Ann", "Ann", "P2", "Bob", "Carl", "anonymous"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    import SimpleITK as sitk

    for n, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(picture(n, (8, 9)).astype(np.uint8)), str(tmp_path / folder / "x.png"))
    cohort = build_cohort(tmp_path, (["file", "label"], [("b/x.png", 1), ("a/x.png", 0)]))
    assert [(case.case_id, case.labels["label"]) for case in cohort.cases] == [("a/x.png", (0,)), ("b/x.png", (1,))]
    with pytest.raises(UsageError, match=r"2 files called x\.png"):
        build_cohort(tmp_path, (["file", "label"], [("x.png", 1), ("x.png", 0)]))


@pytest.mark.parametrize(
    ("facts", "rules", "name"),
    [
        ({"laterality": "L", "view_position": "mlo"}, (), "L MLO"),
        ({"primary_angle": -31.0, "secondary_angle": 9.0}, (), "primary -30 secondary +10"),
        ({}, (), ""),
        ({"description": "T2 sag"}, (ViewRule("sagittal", description="SAG"),), "sagittal"),
        ({"primary_angle": 355.0}, (ViewRule("far", primary=20), ViewRule("near", primary=0)), "near"),
        ({"primary_angle": 50.0}, (ViewRule("a", primary=20),), ""),
    ],
)
def test_names_of_views(facts, rules, name):
    assert view_name(facts, rules) == name


# Images.


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("turned", [False, True])
def test_volumes_of_other_formats_lie_where_they_are(tmp_path, ending, turned):
    import SimpleITK as sitk

    voxels = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.7, 2.0))
    image.SetOrigin((1.0, -2.0, 3.0))
    if turned:  # slices run against the normal of rows and columns
        image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
    sitk.WriteImage(image, str(tmp_path / f"scan{ending}"))
    volume = read_image(tmp_path / f"scan{ending}")
    for k, j, i in ((0, 0, 0), (2, 3, 4), (1, 2, 3)):
        place = volume.geometry.index_to_lps(np.array([i, j, k]))
        index = image.TransformPhysicalPointToIndex(place.tolist())
        assert volume.voxels[k, j, i] == image.GetPixel(index)
    assert without_ending(f"a/scan{ending}") == "scan"


def test_colour_pictures_become_grey_and_bad_files_say_so(tmp_path):
    import SimpleITK as sitk

    colours = np.zeros((6, 7, 3), np.uint8)
    colours[..., 1] = 100
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "c.png"))
    volume = read_image(tmp_path / "c.png")
    assert volume.shape == (1, 6, 7) and volume.voxels[0, 0, 0] == pytest.approx(71.54, abs=0.01)
    assert any("grey" in line for line in volume.warnings)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableFileError, match=r"bad\.png"):
        read_image(tmp_path / "bad.png")
    sitk.WriteImage(sitk.Image([3, 3, 3, 3], sitk.sitkInt16), str(tmp_path / "four.nii"))
    with pytest.raises(UnreadableFileError, match="two or three axes"):
        read_image(tmp_path / "four.nii")


def test_runs_of_frames_keep_their_rescale_and_polarity(tmp_path):
    frames = picture(3, (5, 10, 12))
    path = write_flat(tmp_path / "run.dcm", frames, RescaleSlope=2, RescaleIntercept=-5)
    assert np.array_equal(read_image(path).voxels, 2.0 * frames - 5)
    inverted = write_flat(
        tmp_path / "inverted.dcm", frames, "MG", PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11
    )
    volume = read_image(inverted)
    assert np.array_equal(volume.voxels, 4095.0 - frames)
    assert any("MONOCHROME1" in line for line in volume.warnings)
    assert volume.geometry.pixel_spacing == (0.3, 0.3)


def test_compressed_runs_are_decoded(tmp_path):
    import pydicom
    from pydicom.uid import RLELossless

    frames = picture(4, (3, 10, 12))
    path = write_flat(tmp_path / "run.dcm", frames)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")
    assert np.array_equal(read_image(tmp_path / "rle.dcm").voxels, frames)


def test_real_files_of_many_kinds(shared_data):
    """Every image of the shared series, by identifier; what is broken is listed, nothing raises."""
    found = find_images([shared_data / "mammo", shared_data / "odd", shared_data / "head-ge-tilt-uneven"])
    modalities = {image.identity.modality for image in found.images}
    assert {"CT", "MG"} <= modalities
    assert any("truncated_pixels.dcm was left out" in line for line in found.problems)
    mammogram = next(image for image in found.images if image.identity.modality == "MG")
    assert read_image(mammogram.files).shape == (1, 466, 423)


WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8)
DEGREES = st.none() | st.floats(-360, 360)


@given(WORDS, st.sampled_from(("", "sag", "a{1,3}", ",", "x,primary=4", "a=b, c")), *[WORDS] * 2, *[DEGREES] * 2)
def test_a_rule_of_a_view_and_its_text_are_the_same(name, description, laterality, position, primary, secondary):
    assume(name.strip() and ":" not in name)
    for tolerance in (10.0, 2.5):
        rule = ViewRule(name, description, laterality, position, primary, secondary, tolerance)
        assert ViewRule.from_text(rule.to_text()) == rule
