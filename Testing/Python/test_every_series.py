"""Every real series and every odd file, once from the terminal to the files, and the files scored."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import SHARED
from DicomAnalysisLib import cli
from DicomAnalysisLib.dicom.sources import open_source

LARGEST_PATIENT_LOSS_PPM, LEAST_SUPPORT_FOUND, LARGEST_AIR_SHARE = 200.0, 0.98, 0.35
UNDECODABLE = {
    "1.2.840.113704.1.111.1944.1206107618.6": "CT_phantom_truncated_j2k",
    "1.2.826.0.1.3680043.8.498.9605988843276452422478384184023080803": "j2k_garbage_codestream",
}
REFERENCES = sorted(path.parent.name for path in (SHARED / "data").glob("*/reference-patient.npz"))


@pytest.fixture(scope="module")
def run(shared_data, tmp_path_factory) -> dict:
    """The JSON document of one `segment` over everything."""
    folder = tmp_path_factory.mktemp("every")
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.setattr("sys.stdout.write", written.append, raising=False)
        status = cli.main(["segment", str(shared_data), "--output", str(folder / "out"), "--json"])
    document = json.loads("".join(written))
    document["status"] = status
    return document


def test_all_is_done_or_has_its_reason(run):
    assert run["status"] == 1, "the damaged ones are told"
    failed = {series["series_uid"]: series["reason"] for series in run["series"] if series["status"] == "failed"}
    assert set(failed) == set(UNDECODABLE)
    assert all(UNDECODABLE[uid] in reason for uid, reason in failed.items())
    skipped = {series["reason"] for series in run["series"] if series["status"] == "skipped"}
    assert skipped == {"a scout image"}
    assert all(problem["reason"] for problem in run["problems"])


def test_every_image_file_is_in_a_series_or_refused_by_name(run, shared_data):
    refused = {problem["path"] for problem in run["problems"]}
    used = {path for series in open_source(shared_data).series() for path in series.paths}
    files = {str(path) for path in shared_data.rglob("*") if path.is_file()}
    assert refused.isdisjoint(used)
    # The same instance copied or repeated at one place is left out of its stack and named in the stack's warnings.
    unnamed = files - refused - used
    dropped = "".join(warning for series in run["series"] for warning in series["warnings"])
    assert not unnamed or "duplicate" in dropped
    assert len(unnamed) <= 20


def test_cleaned_volumes_keep_what_is_not_headrest(run):
    """Both files of a series lie on one grid, air is where the headrest was and nowhere new."""
    for series in run["series"][::6]:
        if series["status"] == "done":
            folder = Path(series["folder"])
            cleaned = sitk.ReadImage(str(folder / "cleaned.nrrd"))
            labels = sitk.ReadImage(str(folder / "segmentation.seg.nrrd"))
            assert cleaned.GetSize() == labels.GetSize()
            np.testing.assert_allclose(cleaned.GetOrigin(), labels.GetOrigin())
            np.testing.assert_allclose(cleaned.GetDirection(), labels.GetDirection())


@pytest.mark.parametrize("name", REFERENCES)
def test_score(run, shared_data, name):
    (source,) = open_source(shared_data / name).series()
    (folder,) = {
        Path(series["folder"])
        for series in run["series"]
        if series["series_uid"] == source.identity.series_uid and series["stack"] == 1
    }
    scored = _scorer().score(str(shared_data / name), str(folder / "segmentation.seg.nrrd"))
    assert scored["patient_lost_ppm"] <= LARGEST_PATIENT_LOSS_PPM
    assert scored["support_found"] >= LEAST_SUPPORT_FOUND
    assert scored["air_share"] <= LARGEST_AIR_SHARE


def _scorer():
    specification = importlib.util.spec_from_file_location("score", SHARED / "tools" / "score_segmentation.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
