"""What the README shows for Slicer's Python console, run as it stands there.

On stand-ins for the application (see `standins`) and real MRML; the series come from a folder that
stands in for the DICOM database, paths are those of the test.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import REPOSITORY

pytest.importorskip("PySide6", reason="the application's stand-ins need PySide6-Essentials (extra 'test')")

from DicomAnalysisLib.mrml import segmentation_node_to_masks
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from panel_cases import run_application
from standins import FolderDatabase

HEADING = "### In the Python console"


def snippets() -> list[str]:
    """The Python blocks of the section, in their order."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = readme.partition(HEADING)[2]
    section = re.split(r"^#{1,3} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def slicer_app(monkeypatch):
    yield from run_application(monkeypatch)


@pytest.fixture
def console(slicer_app, tmp_path, monkeypatch):
    """A console with a DICOM database of two heads; runs a snippet and keeps what it defines."""
    import slicer

    for number in range(2):
        volume = make_head_phantom(shape=(24, 96, 96), spacing=(6.0, 2.4, 2.4), seed=number).volume
        volume = replace(volume, identity=replace(volume.identity, patient_id=f"P{number}"))
        write_dicom_series(volume, tmp_path / "dicom" / str(number), series_uid=f"1.2.3.{number}")
    monkeypatch.setattr(slicer, "dicomDatabase", FolderDatabase(tmp_path / "dicom"))
    monkeypatch.setattr(slicer.util, "saveNode", save_node)
    names = {"slicer": slicer}

    def run(code: str) -> dict:
        exec(compile(code.replace("/path/to", tmp_path.as_posix()), "README.md", "exec"), names)
        return names

    return run


def save_node(node, path):
    """What the application's `saveNode` comes down to; that one needs the application."""
    storage = node.CreateDefaultStorageNode()
    storage.SetFileName(path)
    assert storage.WriteData(node)


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_the_section_is_there():
    assert len(snippets()) == 5


def test_from_the_database_to_saved_results(console, tmp_path, capsys):
    load, background, results, batch, _train = snippets()
    truth = make_head_phantom(shape=(24, 96, 96), spacing=(6.0, 2.4, 2.4), seed=0)

    names = console(load)
    assert [one.files for one in names["series"]] == [24, 24]
    printed = capsys.readouterr().out
    assert "Head phantom" in printed
    assert "1.2.3.0" in printed
    first = names["nodes"]
    masks = segmentation_node_to_masks(first.segmentationNode, names["volumeNode"])
    assert dice(masks["Headrest"], truth.headrest) > 0.8
    threshold, volume_ml = map(float, printed.splitlines()[-1].split())
    assert 2000 < threshold < 3071
    assert 500 < volume_ml < 1500

    names = console(background)
    printed = capsys.readouterr().out
    assert re.search(r"^\d+% \w+, seconds left: ", printed, re.MULTILINE)
    assert "headrest" in printed
    assert names["nodes"].segmentationNode is first.segmentationNode, "the same nodes, updated"
    again = segmentation_node_to_masks(first.segmentationNode, names["volumeNode"])
    np.testing.assert_array_equal(again["Headrest"], masks["Headrest"])

    names = console(results)
    assert names["curve"].chart_node is not None
    restored = segmentation_node_to_masks(first.segmentationNode, names["volumeNode"])
    np.testing.assert_array_equal(restored["Metal"], masks["Metal"])
    for name in ("head.seg.nrrd", "head without headrest.nrrd", "measurements.tsv"):
        assert (tmp_path / name).stat().st_size > 100

    names = console(batch)
    printed = capsys.readouterr().out
    for uid in ("1.2.3.0", "1.2.3.1"):
        assert f"{uid} running\n{uid} done" in printed
        assert (tmp_path / "results" / uid / "result.json").is_file()
    assert "{'done': 2}" in printed
    found = names["logic"].results(names["volumeNode"])
    loaded = segmentation_node_to_masks(found.segmentationNode, names["volumeNode"])
    np.testing.assert_array_equal(loaded["Headrest"], masks["Headrest"])
    np.testing.assert_array_equal(loaded["Metal"], masks["Metal"])


def test_from_the_database_to_a_network_of_ones_own(console, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="training needs the extra 'network'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the child: threads would wait for each other
    load, *_others, train = snippets()
    names = console(load + "\nuids = [one.identity.series_uid for one in series]")
    names = console(train)
    printed = capsys.readouterr().out
    assert "'epoch': 2" in printed
    assert "Model headrest" in printed
    assert (tmp_path / "model" / "model" / "weights.safetensors").is_file()
    assert names["nodes"].result.method == "network"


def test_every_other_python_example_of_the_readme_is_known():
    """The library's example is run by test_demo; a new one needs a test of its own."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    others = [block for block in blocks if block not in snippets()]
    assert ["open_source" in block for block in others] == [True]


def test_every_call_that_is_shown_is_documented():
    from inspect import getdoc

    import slicer  # noqa: F401 (the stand-ins are not needed to read a docstring)
    from standins import application

    with application():
        from DicomAnalysis import DicomAnalysisLogic

        for name in set(re.findall(r"logic\.(\w+)\(", "".join(snippets()))):
            assert getdoc(getattr(DicomAnalysisLogic, name)), name
