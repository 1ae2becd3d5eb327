"""Reports of a cohort, and the commands that write them."""

import json
import re

import numpy as np
import pytest
from dicom_slices import ct_slice, write_slice
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.cohort.clustering.analysis import cluster_table
from DicomAnalysisLib.cohort.clustering.explorer import read_explorer
from DicomAnalysisLib.cohort.clustering.options import KMEANS, PCA, ClusteringOptions
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.reporting.cohort_examples import montage_png, read_example
from DicomAnalysisLib.reporting.cohort_plots import embedding_png
from DicomAnalysisLib.reporting.cohort_report import clustering_html
from feature_tables import make_table, planted
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The output of a run: a store of features, and labels that a station gives away."""
    folder = tmp_path_factory.mktemp("cohort")
    values, truth = planted("separated", 240, 100, seed=2)
    table = make_table(values, {"station": tuple("ICU" if t < 4 else "CT1" for t in truth)}, per_patient=1)
    FeatureStore(folder / "features").append(table)
    lines = [
        "series_uid,finding",
        *(f"{u},{'yes' if t < 4 else 'no'}" for u, t in zip(table.series, truth, strict=True)),
    ]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def test_cluster_command_writes_clusters_and_a_page_that_needs_nothing(run, tmp_path, capsys):
    labels = ["--labels", str(run / "labels.csv"), "--target", "finding"]
    assert main(["cohort", "cluster", str(run), "--output", str(tmp_path), *labels, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "clusters"
    assert len(told["clusters"]) == 8
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "8 clusters in 240 series" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert "consists of the station" in page
    assert read_explorer(tmp_path).labels["finding"].count("yes") > 0


def test_learn_command_says_leakage_first(run, tmp_path, capsys):
    command = ["cohort", "learn", str(run / "features"), "--labels", str(run / "labels.csv"), "--output", str(tmp_path)]
    assert main([*command, "--threads", "1"]) == 0
    assert capsys.readouterr().out.startswith("Leakage: the acquisition tag 'station' equals the label 'finding'")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.index("Leakage:") < page.index("XGBoost reaches")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert len(list(tmp_path.glob("xgboost-*.json"))) == 1


def test_a_table_without_features_is_a_clear_error(tmp_path, capsys):
    assert main(["cohort", "cluster", str(tmp_path), "--output", str(tmp_path / "out")]) != 0
    assert "cohort run --task features" in capsys.readouterr().err


def test_examples_are_the_middle_slices_of_their_series(tmp_path):
    files = tuple(str(path) for path in write_example(tmp_path))
    example = read_example("1.2.3", files)
    assert example.view is not None, example.words
    assert example.view.sides == "RLAP"
    assert example.words.startswith("L ")
    assert read_example("1.2.3", ()).words == "no files are known"
    (tmp_path / "broken.dcm").write_bytes(b"no dicom")
    lost = read_example("1.2.3", (str(tmp_path / "broken.dcm"),))
    assert lost.view is None
    assert "not read" in lost.words
    assert montage_png([example, lost]).startswith(b"\x89PNG")


def test_why_there_is_no_picture_is_said_without_the_path(tmp_path):
    """A report is passed on, and folders are called after patients."""
    folder = tmp_path / "DOE^JOHN"
    folder.mkdir()
    slice_ = ct_slice(np.zeros((32, 32), np.int16), syntax=JPEG2000Lossless)
    slice_.PixelData = encapsulate([b"\xff\x4f\xff\x51 no picture" * 9])
    slice_["PixelData"].is_undefined_length = True
    slice_.save_as(folder / "1.dcm", enforce_file_format=True)
    example = read_example("1.2.3", [str(folder / "1.dcm")])
    assert example.view is None
    assert "pixel data cannot be read" in example.words
    assert "DOE" not in example.words


def test_pictures_are_in_the_page_and_text_is_escaped(tmp_path):
    files = tuple(str(path) for path in write_example(tmp_path))
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(size=(40, 4)), random.normal(size=(40, 4)) + 9]).astype(np.float32)
    tags = {"protocol": ("<b>head</b>",) * 40 + ("neck",) * 40}
    table = make_table(values, tags, sources={f"1.2.3.{k}": files for k in range(80)})
    options = ClusteringOptions(method=KMEANS, display=PCA, sample=50, references=2, repeats=1, examples=2)
    page = clustering_html(cluster_table(table, options))
    assert "Examples of cluster 2." in page
    assert "<b>head" not in page
    assert "&lt;b&gt;head" in page


def test_any_text_can_be_a_group():
    """A superscript two is a digit that is no decimal number."""
    groups = ["B 2", "B 10", "B²", "_none", "$x$ ٣", ""]
    assert embedding_png(np.zeros((6, 2)), groups, "Coloured by kernel", "not stated", "pca").startswith(b"\x89PNG")


def write_example(folder):
    random = np.random.default_rng(0)
    return [write_slice(folder, random.integers(-50, 90, (32, 32)).astype(np.int16), n) for n in range(1, 6)]
