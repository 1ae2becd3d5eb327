"""The demo, whole: what a new user sees first."""

from __future__ import annotations

import re

import pydicom
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib.demo import FILES, run_demo, score
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.phantom import make_head_phantom


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    lines = []
    folder = tmp_path_factory.mktemp("demo with a space")
    return run_demo(folder, lines.append), lines, folder


def test_demo_does_the_main_job_well(demo) -> None:
    scores = demo[0]["scores"]
    assert scores["headrest_dice"] > 0.9
    assert scores["metal_dice"] > 0.75
    assert scores["metal_pieces_found"] == 2
    assert scores["patient_voxels_lost"] <= 200e-6 * scores["patient_voxels"]
    assert scores["patient_unchanged"]
    assert scores["position_error_mm"] < 0.1


def test_demo_writes_dicom_and_every_result(demo) -> None:
    result, lines, folder = demo
    files = sorted((folder / "dicom").iterdir())
    assert len(files) == 60
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID
    (series,) = open_source(folder / "database").series()
    assert sorted(series.paths) == [str(path.resolve()) for path in files]
    assert result["results"] == (folder / "results" / uid).resolve()
    for name in FILES:
        assert (result["results"] / name).stat().st_size > 0
        assert any(name in line for line in lines)


def test_demo_tells_where_everything_is(demo) -> None:
    result, lines, _folder = demo
    text = "\n".join(lines)
    assert str(result["dicom"]) in text
    assert str(result["results"]) in text


def test_second_demo_gives_the_same(demo) -> None:
    result, _lines, folder = demo
    before = (result["results"] / "segmentation.seg.nrrd").read_bytes()
    again = run_demo(folder, lambda _line: None)
    assert again["scores"] == result["scores"]
    assert (again["results"] / "segmentation.seg.nrrd").read_bytes() == before


def test_the_readmes_python_example_runs(demo, capsys) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (example,) = (code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "open_source" in code)
    exec(compile(example.replace("demo/dicom", str(demo[2] / "dicom")), "README.md", "exec"), {})
    threshold, volume_ml = (float(word) for word in capsys.readouterr().out.split())
    assert 2000 < threshold < 3071
    assert 500 < volume_ml < 1500


def test_score_notices_another_phantom(demo) -> None:
    """The score is of what the files hold, not of what the program believes."""
    other = make_head_phantom(seed=5, contact=False, tilt_degrees=5.0)
    scores = score(other, demo[0]["results"])
    assert scores["headrest_dice"] < 0.8
    assert scores["position_error_mm"] > 1
    assert not scores["patient_unchanged"]
