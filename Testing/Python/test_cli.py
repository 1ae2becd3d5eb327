"""The terminal face as its users and their scripts see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib import __version__, cli
from DicomAnalysisLib.commands import MODULES
from DicomAnalysisLib.commands.console import printable, table
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series

SHAPE, SPACING = (16, 64, 64), (8.0, 3.6, 3.6)


def dicom_analysis(*arguments: object, **keywords: object) -> subprocess.CompletedProcess:
    """Run the command as a user does."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
    command = [sys.executable, "-m", "DicomAnalysisLib", *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "encoding": "utf-8", "timeout": 120, "env": environment}
    return subprocess.run(command, check=False, **(settings | keywords))


def in_process(capsys, *arguments: object) -> tuple[int, dict, str]:
    """Run the command with ``--json`` in this process: exit status, document, progress."""
    status = cli.main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out, parse_constant=lambda name: pytest.fail(name)), captured.err


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("head")
    write_dicom_series(make_head_phantom(shape=SHAPE, spacing=SPACING).volume, folder)
    return folder


def test_version_and_help():
    assert dicom_analysis("--version").stdout.strip() == f"dicom-analysis {__version__}"
    text = dicom_analysis("--help").stdout
    assert all(command in text for command in ("demo", "list", "info", "segment"))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("info",),
        ("info", "there-is-no-such-folder"),
        ("segment", "."),
        ("segment", ".", "--output", "x", "--task", "liver"),
        ("segment", ".", "--output", "x", "--threshold-hu", "high"),
    ],
)
def test_usage_errors_end_with_2(arguments):
    finished = dicom_analysis(*arguments)
    assert finished.returncode == 2
    assert "usage:" in finished.stderr
    assert not finished.stdout


def test_an_unknown_series_is_a_usage_error_with_json(capsys, head):
    status, document, progress = in_process(capsys, "info", head, "--series", "1.2.3")
    assert status == 2
    assert "1.2.3" in document["error"]
    assert "1.2.3" in progress


@pytest.mark.parametrize("mistake", [(), ("--series", "1.2.3"), ("--method", "network", "--model", "nowhere")])
def test_a_mistake_ends_with_2_and_leaves_no_file(tmp_path, capsys, head, mistake):
    """The output named is the source, the series is not there, nor is the network."""
    output = tmp_path if mistake else head
    before = set(output.iterdir())
    status, document, _ = in_process(capsys, "segment", head, "--output", output, *mistake)
    assert status == 2
    assert document["error"]
    assert set(output.iterdir()) == before


def test_list_info_and_segment_for_people(tmp_path, head):
    listed = dicom_analysis("list", head)
    assert listed.returncode == 0
    assert "64 x 64" in listed.stdout
    (head / "read me.txt").write_text("not DICOM")
    info = dicom_analysis("info", head, "--plot", tmp_path / "plot.png")
    (head / "read me.txt").unlink()
    assert info.returncode == 0, "a file that is not DICOM is no failure"
    assert "16 slices, 64 rows, 64 columns" in info.stdout
    assert "read me.txt: not DICOM" in info.stdout
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    segmented = dicom_analysis("segment", head, "--output", tmp_path / "out", "--masks-png")
    assert segmented.returncode == 0
    assert "Headrest" in segmented.stdout
    assert "[1/1]" in segmented.stderr
    (folder,) = (tmp_path / "out").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "cleaned.nrrd",
        "masks",
        "measurements.csv",
        "measurements.dcm",
        "preview.png",
        "result.json",
        "segmentation.dcm",
        "segmentation.seg.nrrd",
    }


def test_json_is_one_document_on_standard_output(tmp_path, head):
    finished = dicom_analysis(
        "segment", head, "--output", tmp_path / "out", "--task", "metal", "--region", "all", "--json"
    )
    document = json.loads(finished.stdout)
    assert document["complete"]
    assert document["options"]["tasks"] == ["metal"]
    assert document["options"]["region"] == "all"
    (series,) = document["series"]
    assert series["status"] == "done"
    assert Path(series["folder"]).is_dir()
    assert "[1/1]" in finished.stderr


def test_a_database_is_listed_without_opening_its_files(capsys, slicer_golden):
    database = slicer_golden / "slicer-database"
    status, document, _ = in_process(capsys, "list", database)
    assert status == 0
    assert sum(series["files"] for series in document["series"]) == 46
    local = next(series["series_uid"] for series in document["series"] if series["files"] > 1)
    status, document, _ = in_process(capsys, "list", database, "--series", local)
    assert [stack["shape"][0] for stack in document["series"][0]["stacks"]] == [25, 1, 1]
    status, document, _ = in_process(capsys, "info", database)
    assert status == 1, "the files of the other series are missing"
    assert len(document["problems"]) == 17
    assert all("missing" in problem["reason"] for problem in document["problems"])


def test_info_of_json_has_what_the_contract_names(capsys, head):
    status, document, _ = in_process(capsys, "info", head)
    assert status == 0
    (entry,) = document["series"]
    assert entry["shape"] == list(SHAPE)
    assert entry["spacing_mm"] == pytest.approx(SPACING)
    assert {"maximum", "mean", "maximum_without_padding", "mean_without_padding", "warnings"} <= set(entry)
    assert np.multiply(entry["center_lps_mm"], [-1, -1, 1]) == pytest.approx(entry["center_ras_mm"])


def test_several_plots_have_their_series_in_their_names(tmp_path, capsys):
    for number in (1, 2):
        volume = make_head_phantom(shape=(3, 32, 32), spacing=(20.0, 7.0, 7.0), seed=number).volume
        write_dicom_series(volume, tmp_path / str(number), series_uid=f"1.2.{number}")
    in_process(capsys, "info", tmp_path, "--plot", tmp_path / "plot.png")
    assert {path.name for path in tmp_path.glob("*.png")} == {"plot-1.2.1.png", "plot-1.2.2.png"}


def test_a_failed_series_ends_with_1(tmp_path, capsys, head):
    for path in head.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    dataset = pydicom.dcmread(tmp_path / "0001.dcm")
    dataset.save_as(tmp_path / "0001.dcm")
    (tmp_path / "0001.dcm").write_bytes((tmp_path / "0001.dcm").read_bytes()[:-200])
    for command in (("info", tmp_path), ("segment", tmp_path, "--output", tmp_path / "out")):
        status, document, _ = in_process(capsys, *command)
        assert status == 1
        assert [Path(problem["path"]).name for problem in document["problems"]] == ["0001.dcm"]
        assert len(document["series"]) == 1


def test_an_empty_folder_has_nothing_to_do(tmp_path, capsys):
    for command in (("info", tmp_path), ("segment", tmp_path, "--output", tmp_path / "out")):
        assert in_process(capsys, *command)[0] == 1
    assert in_process(capsys, "list", tmp_path)[0] == 0


def test_a_closed_pipe_is_no_traceback(head):
    for closed in ("stdout", "stderr"):
        reading, writing = os.pipe()
        os.close(reading)
        other = "stderr" if closed == "stdout" else "stdout"
        finished = dicom_analysis("info", head, capture_output=False, **{closed: writing, other: subprocess.PIPE})
        os.close(writing)
        assert "Traceback" not in (getattr(finished, other) or "")
        assert "Error" not in (getattr(finished, other) or "")
        if closed == "stderr":
            assert finished.returncode == 0, "progress that nobody reads stops no work"


def test_output_that_cannot_be_written_is_told(tmp_path, capsys, head):
    (tmp_path / "file").write_text("in the way")
    status, document, _ = in_process(capsys, "segment", head, "--output", tmp_path / "file" / "out")
    assert status == 1
    assert "Cannot" in document["series"][0]["reason"]


def test_non_ascii_paths(tmp_path, head):
    folder = tmp_path / "Schädel – 頭"
    folder.mkdir()
    for path in head.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis"), **ascii_only}
    finished = dicom_analysis("segment", folder, "--output", folder / "Ergebnis ä", env=environment)
    assert finished.returncode == 0, finished.stderr


def test_every_command_says_what_it_is():
    parser = cli.make_parser()
    for name in MODULES:
        module = __import__(f"DicomAnalysisLib.commands.{name}", fromlist=["NAME"])
        assert module.NAME in parser.format_help()
        assert module.HELP
        assert callable(module.run)


def test_the_parser_imports_nothing_heavy():
    heavy = "torch monai sklearn skimage scipy highdicom matplotlib SimpleITK imagecodecs cc3d PIL pydicom"
    code = (
        "import sys; from DicomAnalysisLib import cli; cli.make_parser(); "
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert finished.stdout.strip() == "[]"


def test_tables_line_up_and_terminals_are_not_rewritten():
    assert table(("a", "bb"), [("ccc", 1), ("d", 22)], right=(1,)) == ["a    bb", "---  --", "ccc   1", "d    22"]
    assert printable("x\x1b[31m\r\ny") == "x�[31m��y"


def test_every_real_and_odd_file_through_info(capsys, shared_data):
    """No traceback, no hang; every file is in a series or named with its reason."""
    status, document, _ = in_process(capsys, "info", shared_data / "odd")
    assert status == 1, "some are broken"
    assert all(problem["reason"] for problem in document["problems"])
    refused = {Path(problem["path"]).name for problem in document["problems"]}
    assert {
        "truncated_pixels.dcm",
        "rows_cols_65535_bomb.dcm",
        "iop_zero.dcm",
        "text.dcm",
        "ipp_inf_nan.dcm",
    } <= refused
    errors = [entry["error"] for entry in document["series"] if "error" in entry]
    assert any("j2k_garbage_codestream.dcm" in error for error in errors)
    assert all("unexpected" not in error for error in errors)
    described = [entry for entry in document["series"] if "error" not in entry]
    assert len(described) >= 15


@pytest.mark.parametrize(
    "name", ["odd", "head-philips-phantom", "head-ge-tilt-uneven", "mixed-orientation-single-slices"]
)
def test_segment_on_real_and_odd_series(tmp_path, capsys, shared_data, name):
    status, document, _ = in_process(capsys, "segment", shared_data / name, "--output", tmp_path / "out", "--masks-png")
    statuses = {series["status"] for series in document["series"]}
    assert "done" in statuses
    assert status == (1 if name == "odd" else 0)
    for series in document["series"]:
        assert "unexpected" not in series["reason"]
        assert series["reason"] or series["status"] == "done"
        if series["status"] == "done":
            folder = Path(series["folder"])
            assert folder.is_relative_to(tmp_path / "out")
            result = json.loads((folder / "result.json").read_text("utf-8"))
            assert result["series_uid"] == series["series_uid"]
            assert all((folder / file).exists() for file in result["files"].values())
