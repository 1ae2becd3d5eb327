"""The report: whole, self-contained, escaped, without patients' identifiers; its files are those it names."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from DicomAnalysisLib.classification.cohort import MULTICLASS, Case, Cohort, Split, Target, View
from DicomAnalysisLib.classification.evaluation.evaluate import evaluate
from DicomAnalysisLib.classification.evaluation.predictions import predictions_of
from DicomAnalysisLib.errors import OutputError
from DicomAnalysisLib.reporting import html
from DicomAnalysisLib.reporting.classification_report import HTML_NAME, report_html, write_report
from evaluation_cases import made_cohort

HOSTILE = '<script>alert("x")</script>&$a^2$'


class Reader(HTMLParser):
    """Collects what a browser would make of a page, and whether every element is closed."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def evaluation():
    cohort, split, predictions, _pictures = made_cohort(200, seed=3, planted="table", places=8)
    return evaluate(cohort, split, predictions, pictures=False, resamples=200)


@pytest.fixture(scope="module")
def written(evaluation, tmp_path_factory):
    return write_report(evaluation, tmp_path_factory.mktemp("report") / "new folder")


def test_what_is_written_is_what_is_returned(written):
    files = {written.html, *written.figures, *written.tables}
    assert written.html.name == HTML_NAME and set(written.html.parent.iterdir()) == files
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written.figures)
    names = {path.stem for path in written.tables}
    assert names >= {"models", "classes", "confusion", "calibration", "shortcuts", "flags", "patients"}
    assert [path.name for path in written.figures] == [
        "1-finding-curves.png",
        "1-finding-confusion.png",
        "1-finding-calibration.png",
        "2-where-curves.png",
        "2-where-classes.png",
        "2-where-calibration.png",
    ]


def test_the_page_is_whole_and_fetches_nothing(written):
    text = written.html.read_text(encoding="utf-8")
    reader = Reader(text)
    assert not reader.open
    assert not {tag for tag, _attributes in reader.tags} & {"script", "link", "iframe", "object", "form"}
    for _tag, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"https?://|url\(|@import", text)


def test_the_page_can_be_heard_and_read_on_any_screen(written):
    reader = Reader(written.html.read_text(encoding="utf-8"))
    assert ("html", {"lang": "en"}) in reader.tags
    pictures = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(pictures) == len(written.figures) and all(len(picture["alt"]) > 20 for picture in pictures)
    heads = [attributes for tag, attributes in reader.tags if tag == "th"]
    assert heads and all(head["scope"] in ("col", "row") for head in heads)
    text = written.html.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text and "viewport" in text


def test_the_page_says_what_was_found(written, evaluation):
    text = written.html.read_text(encoding="utf-8")
    assert "majority class" in text and "not estimable" in text and "percentile bootstrap over patients" in text
    assert "on validation cases" in text and "Shortcut in training: table height (header tag)" in text
    assert evaluation.target("finding").network.auroc.text() in text
    assert "Training, validation and test are separate" in text


def test_identifiers_stand_in_the_tables_of_patients_alone(written, evaluation):
    for path in (written.html, *written.tables):
        known = path.name in ("patients.csv", "leaks.csv")
        assert ("-secret" in path.read_text(encoding="utf-8")) == (known and path.name == "patients.csv")
    rows = list(csv.DictReader(io.StringIO((written.html.parent / "patients.csv").read_text(encoding="utf-8"))))
    assert {row["part"] for row in rows} == {"training", "validation", "test"}
    text = written.html.read_text(encoding="utf-8")
    assert all(row["display"] in text for row in rows)


def test_tables_hold_what_the_evaluation_says(written, evaluation):
    rows = list(csv.DictReader(io.StringIO((written.html.parent / "models.csv").read_text(encoding="utf-8"))))
    network = rows[0]
    assert network["model"] == "network"
    assert float(network["auroc"]) == pytest.approx(evaluation.target("finding").network.auroc.value, rel=1e-5)
    classes = list(csv.DictReader(io.StringIO((written.html.parent / "classes.csv").read_text(encoding="utf-8"))))
    rare = [row for row in classes if row["note"].startswith("not estimable")]
    assert rare and all(row["auroc"] == "" and row["sensitivity"] == "" for row in rare)


def test_the_same_evaluation_makes_the_same_files_twice_in_one_folder(evaluation, tmp_path):
    evaluation = replace(evaluation, targets=evaluation.targets[:1])
    first = write_report(evaluation, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert write_report(evaluation, tmp_path) == first
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_leak_is_the_first_thing_read(evaluation):
    line = "Patient P-1 is in training and in test."
    text = report_html(replace(evaluation, leaks=(line,), targets=evaluation.targets[:1]))
    assert "Warning: the parts of the split are not separate" in text and line in text
    assert "are separate" not in text.replace("are not separate", "")


def test_a_folder_that_cannot_be_written_is_told(evaluation, tmp_path):
    evaluation = replace(evaluation, targets=())
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match="Cannot write"):
        write_report(evaluation, tmp_path / "file")


def test_hostile_names_are_text(tmp_path):
    target = Target(HOSTILE, MULTICLASS, (HOSTILE + "0", "b" * 200, "=1+1"))
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 90)
    cases = [
        Case(f"c{k}", f"{HOSTILE}{k}", "", (View("", "", ()),), {HOSTILE: (int(y),)}, {HOSTILE: f"{HOSTILE}{k % 4}"})
        for k, y in enumerate(labels)
    ]
    ids = [case.case_id for case in cases]
    split = Split(tuple(ids[:40]), tuple(ids[40:55]), tuple(ids[55:]))
    parts = {name: part for part, names in split.parts.items() for name in names}
    chances = {name: {HOSTILE: random.dirichlet((1, 1, 1))} for name in ids[40:]}
    cohort = Cohort((target,), ("",), tuple(cases))
    found = evaluate(cohort, split, predictions_of(cohort, parts, chances), pictures=False, resamples=50)
    files = write_report(found, tmp_path)
    text = files.html.read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text
    assert all(path.parent == tmp_path and re.fullmatch(r"[A-Za-z0-9.-]+", path.name) for path in files.figures)
    assert "\n=1+1" not in (tmp_path / "classes.csv").read_text(encoding="utf-8").replace(",", "\n")


def test_an_evaluation_without_a_number_is_still_a_report(tmp_path):
    cohort, split, predictions, _pictures = made_cohort(14, seed=1)
    found = evaluate(cohort, split, predictions, pictures=False, resamples=50)
    text = write_report(found, tmp_path).html.read_text(encoding="utf-8")
    assert "No score can be given" in text
    assert "Expected calibration error, 10 bins: not estimable." in text
    assert not list(tmp_path.glob("*-calibration.png")) and not (tmp_path / "calibration.csv").exists()


def test_a_small_threshold_is_not_nothing():
    """At a prevalence of a few in a thousand every case is at or above 0.00."""
    cohort, split, predictions, _pictures = made_cohort(200, seed=3)
    rare = {
        name: row[1] / 250 for name, row in zip(predictions.case_ids, predictions.probabilities["finding"], strict=True)
    }
    told = {name: {"finding": (1 - chance, chance)} for name, chance in rare.items()}
    parts = dict(zip(predictions.case_ids, predictions.parts, strict=True))
    found = evaluate(cohort, split, predictions_of(cohort, parts, told), pictures=False, resamples=50)
    threshold = found.targets[0].classes[0].threshold
    assert 0 < threshold < 0.005
    assert f">{threshold:.3g}</td>" in report_html(found)


def test_parts_of_pages_escape_what_is_not_html():
    assert html.escaped('<b a="c">&') == "&lt;b a=&quot;c&quot;&gt;&amp;"
    assert html.escaped(html.Html("<b>")) == "<b>" and html.escaped(None) == ""
    assert html.element("p", "<", class_='"') == '<p class="&quot;">&lt;</p>'
    assert html.escaped("\ud800") == "?"
    page = html.page("<t>", [html.table(("<a>",), [("<b>",)], "<c>"), html.figure(b"x", '"<d>')])
    Reader(page)
    assert not re.search(r"<[abcdt]>", page)
