"""What an output folder tells about a batch, and the request that is kept there."""

from __future__ import annotations

import pytest
from DicomAnalysisLib.batch.overview import look_at
from DicomAnalysisLib.batch.request import NAME, BatchRequest, read_request
from DicomAnalysisLib.cohort.ledger import open_ledger
from DicomAnalysisLib.errors import OutputError, UsageError
from DicomAnalysisLib.segmentation.options import SegmentationOptions


def result_folder(output, uid):
    (output / uid).mkdir(parents=True)
    (output / uid / "result.json").write_text("{}", encoding="utf-8")


def test_the_ledger_tells_what_is_left(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.add(["1.1", "1.2", "1.3", "1.4", "1.5", "1.1/stack-2"], "segment")
        for item, state in (("1.1", "done"), ("1.2", "failed"), ("1.3", "skipped"), ("1.5", "done")):
            ledger.start(item, "segment", "options", item)
            ledger.finish(item, "segment", state, "why" * (state == "failed"), {"segments": {"Headrest": 1.0}})
    result_folder(tmp_path, "1.1")  # that of 1.5 was removed
    seen = look_at(tmp_path)
    assert seen.done == {"1.1": "Headrest"}
    assert seen.failed == {"1.2": "why"}
    assert seen.skipped == {"1.3"}
    assert seen.left(["1.1", "1.2", "1.3", "1.4", "1.5"]) == ["1.4", "1.5"]


def test_what_was_classified_into_the_same_folder_is_another_matter(tmp_path):
    with open_ledger(tmp_path) as ledger:
        for task, item, state in (
            ("segment", "1.1", "done"),
            ("classify", "1.1", "failed"),
            ("classify", "1.2", "done"),
        ):
            ledger.start(item, task, "options", item)
            ledger.finish(item, task, state, "", {"segments": {"Metal": 1.0}})
    result_folder(tmp_path, "1.1")
    seen = look_at(tmp_path)
    assert (seen.done, seen.failed) == ({"1.1": "Metal"}, {})
    assert seen.left(["1.1", "1.2"]) == ["1.2"]


def test_results_without_a_ledger_count(tmp_path):
    result_folder(tmp_path, "1.9")
    (tmp_path / "other").mkdir()
    assert look_at(tmp_path).done == {"1.9": ""}
    assert look_at(tmp_path / "nowhere").done == {}


def test_looking_writes_nothing_and_waits_for_nobody(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.add(["1.1"], "segment")
        before = sorted(path.name for path in tmp_path.iterdir())
        look_at(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    (tmp_path / "ledger.sqlite").write_bytes(b"no database")
    assert look_at(tmp_path).done == {}


def test_a_request_comes_back_as_it_was(tmp_path):
    options = SegmentationOptions(("metal",), "outside", metal_threshold_hu=1800.0)
    request = BatchRequest("/data/ctkDICOM.sql", ("1.2", "1.3"), options)
    request.save(tmp_path / "out")
    assert read_request(tmp_path / "out") == request


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"options": 3, "series_uids": [], "source": ""}'])
def test_what_is_no_request_is_none(tmp_path, text):
    assert read_request(tmp_path) is None
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    assert read_request(tmp_path) is None


def test_a_request_of_another_version_is_refused(tmp_path):
    (tmp_path / NAME).write_text(
        '{"options": {"tasks": ["metal"], "sharpness": 3}, "series_uids": [], "source": ""}', encoding="utf-8"
    )
    with pytest.raises(UsageError, match="another version"):
        read_request(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        BatchRequest("x", ()).save(tmp_path / "file" / "out")
