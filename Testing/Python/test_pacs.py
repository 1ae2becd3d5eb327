"""Series to a real PACS and back: the same objects, resumed where interrupted, over TLS that is verified."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib import cli
from DicomAnalysisLib.dicom.reader import read_volume
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.dicomweb.client import DicomWeb
from DicomAnalysisLib.dicomweb.errors import CredentialsError, InterruptedTransferError, ServerUnavailableError
from DicomAnalysisLib.dicomweb.fetch import fetch
from DicomAnalysisLib.dicomweb.query import Wanted, find_instances
from DicomAnalysisLib.dicomweb.retry import RetryPolicy
from DicomAnalysisLib.dicomweb.send import batches, send
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from pacs_servers import DROP, PASSWORD, USER, Orthanc, Proxy, Reply, Request, free_port, make_certificate, serving

SHAPE, SPACING = (40, 48, 48), (4.0, 4.8, 4.8)
FETCH = ("fetch", "--study", "1.2", "--output", "x", "--server")
QUICK = RetryPolicy(first_wait_s=0.001, longest_wait_s=0.005)


@pytest.fixture(scope="module")
def phantom():
    return make_head_phantom(shape=SHAPE, spacing=SPACING).volume


@pytest.fixture(scope="module")
def source(tmp_path_factory, phantom) -> Path:
    """A CT series of 40 slices."""
    folder = tmp_path_factory.mktemp("source")
    write_dicom_series(phantom, folder)
    return folder


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """A PACS; what tests of this file store in it stays until its end."""
    try:
        server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def fresh(tmp_path, phantom) -> Path:
    """A CT series that the PACS has never seen."""
    folder = tmp_path / "fresh"
    write_dicom_series(phantom, folder, series_uid=str(pydicom.uid.generate_uid()))
    return folder


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    """A user's environment, without what the developer's own may hold."""
    for name in [name for name in os.environ if name.startswith("DICOM_ANALYSIS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", os.devnull)
    monkeypatch.setenv("DICOM_ANALYSIS_USER", USER)
    monkeypatch.setenv("DICOM_ANALYSIS_PASSWORD", PASSWORD)


def run(capsys, *arguments: object) -> tuple[int, dict, str]:
    """The command with ``--json`` in this process: exit status, document, progress."""
    status = cli.main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert PASSWORD not in captured.out + captured.err
    return status, json.loads(captured.out), captured.err


def uids_of(folder: Path) -> tuple[str, str, dict[str, Path]]:
    """Study and series of the files in a folder, and each file by its SOP Instance UID."""
    files = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path for path in folder.glob("*.dcm")}
    first = pydicom.dcmread(next(iter(files.values())), stop_before_pixels=True)
    return first.StudyInstanceUID, first.SeriesInstanceUID, files


def assert_same_objects(fetched: Path, sent: Path) -> None:
    """Every object that was sent is there, under the name of its UID, with the same data set."""
    _, _, originals = uids_of(sent)
    assert {path.name for path in fetched.iterdir()} == {f"{uid}.dcm" for uid in originals}
    for uid, original in originals.items():
        assert pydicom.dcmread(fetched / f"{uid}.dcm") == pydicom.dcmread(original)


# ---------------------------------------------------------------- there and back


def test_source_there_and_back(capsys, tmp_path, orthanc, source):
    study, series, files = uids_of(source)
    status, document, _ = run(capsys, "send", source, "--server", orthanc.url)
    assert (status, document["complete"]) == (0, True)
    sent = document["series"][0]
    assert (sent["sent"], sent["already_there"], sent["instances"]) == (len(files), 0, len(files))
    assert sent["bytes"] == sum(path.stat().st_size for path in files.values())

    status, document, _ = run(capsys, "fetch", "--list", "--patient-id", "PHANTOM", "--server", orthanc.url)
    assert status == 0
    assert {"study_uid": study, "series_uid": series, "modality": "CT", "instances": len(files)} in document["series"]

    status, document, _ = run(capsys, "fetch", "--study", study, "--server", orthanc.url, "--output", tmp_path)
    assert (status, document["complete"], document["missing"]) == (0, True, [])
    assert_same_objects(tmp_path / series, source)
    assert np.array_equal(read_volume(tmp_path / series).voxels, read_volume(source).voxels)

    for command in (("fetch", "--series", series, "--output", tmp_path), ("send", source)):
        status, document, _ = run(capsys, *command, "--server", orthanc.url)
        again = document["series"][0]
        assert status == 0
        assert again["already_there"] == len(files)
        assert not again.get("sent", again.get("fetched"))


def test_results_there_and_back(capsys, tmp_path, orthanc, fresh):
    """Source, SEG, structured report and cleaned series: the same objects, voxel by voxel and code by code."""
    _, series, _ = uids_of(fresh)
    assert run(capsys, "segment", fresh, "--output", tmp_path / "results", "--write-dicom")[0] == 0
    made = tmp_path / "results" / series
    status, document, _ = run(capsys, "send", fresh, made, "--server", orthanc.url)
    assert (status, document["complete"], len(document["series"])) == (0, True, 4)
    left_out = {Path(problem["path"]).name for problem in document["problems"]}
    assert left_out == {path.name for path in made.iterdir() if path.is_file() and path.suffix != ".dcm"}

    fetched = tmp_path / "fetched"
    wanted = [word for one in document["series"] for word in ("--series", one["series_uid"])]
    assert run(capsys, "fetch", *wanted, "--server", orthanc.url, "--output", fetched)[0] == 0
    for folder in (fresh, made / "cleaned-dicom"):
        _, uid, _ = uids_of(folder)
        assert_same_objects(fetched / uid, folder)
        assert np.array_equal(read_volume(fetched / uid).voxels, read_volume(folder).voxels)
    for name in ("segmentation.dcm", "measurements.dcm"):
        original = pydicom.dcmread(made / name)
        back = pydicom.dcmread(fetched / original.SeriesInstanceUID / f"{original.SOPInstanceUID}.dcm")
        assert back == original
        assert codes_of(back) == codes_of(original)
    sent = highdicom.seg.segread(made / "segmentation.dcm")
    back = highdicom.seg.segread(next((fetched / sent.SeriesInstanceUID).iterdir()))
    for number in sent.segment_numbers:
        one, other = (segmentation.get_volume(segment_numbers=[number]) for segmentation in (sent, back))
        assert one.array.any()
        assert np.array_equal(one.array, other.array)
        assert np.array_equal(one.affine, other.affine)


def codes_of(dataset: pydicom.Dataset) -> list[tuple[str, str, str]]:
    """Every coded concept of a data set, in order."""
    items = [item for element in dataset.iterall() if element.VR == "SQ" for item in element.value]
    codes = [(i.CodeValue, i.CodingSchemeDesignator, i.CodeMeaning) for i in items if "CodeValue" in i]
    assert codes
    return codes


def test_for_people(capsys, tmp_path, orthanc, source):
    _, series, files = uids_of(source)
    assert cli.main(["send", str(source), "--server", orthanc.url]) == 0
    assert cli.main(["fetch", "--series", series, "--server", orthanc.url, "--output", str(tmp_path)]) == 0
    text = capsys.readouterr()
    assert f"{series}  CT        done         {len(files)}" in text.out
    assert f"[1/1] series {series}" in text.err
    assert "Phantom^Head" not in text.out + text.err


def test_what_is_fetched_can_be_narrowed(capsys, tmp_path, orthanc, source):
    study, series, _ = uids_of(source)
    run(capsys, "send", source, "--server", orthanc.url)
    for wanted in (("--study", study, "--series", series), ("--patient-id", "PHANTOM", "--modality", "CT")):
        status, document, _ = run(capsys, "fetch", "--list", *wanted, "--server", orthanc.url)
        assert status == 0
        assert series in [one["series_uid"] for one in document["series"]]
    for nothing in (
        ("--study", study, "--series", "1.2.3"),
        ("--patient-id", "PHANTOM", "--modality", "MR"),
        ("--patient-id", "PHANTO"),
        ("--patient-id", "NOBODY", "--study", study),
        ("--study", "1.2.3"),
        ("--series", "1.2.3"),
    ):
        status, document, _ = run(capsys, "fetch", *nothing, "--output", tmp_path, "--server", orthanc.url)
        assert status == 1
        assert "nothing that matches" in document["error"]
    assert not any(tmp_path.iterdir())


def test_what_is_missing_by_name_is_listed_and_the_rest_fetched(capsys, tmp_path, orthanc, source):
    _, series, _ = uids_of(source)
    run(capsys, "send", source, "--server", orthanc.url)
    wanted = ("--series", series, "--series", "1.2.3")
    status, document, _ = run(capsys, "fetch", *wanted, "--output", tmp_path, "--server", orthanc.url)
    assert status == 1
    assert document["missing"] == ["series 1.2.3"]
    assert document["series"][0]["status"] == "done"
    assert_same_objects(tmp_path / series, source)


# ---------------------------------------------------------------- interrupted


def test_a_server_that_fails_for_a_while_is_asked_again(tmp_path, orthanc, fresh):
    study, series, files = uids_of(fresh)
    with Proxy(orthanc.url) as proxy:
        kinds = [Reply(503, {"Retry-After": "0"}), DROP, Reply(500), DROP]

        def first_requests_fail(request: Request):
            same = [one for one in proxy.requests if (one.method, one.path) == (request.method, request.path)]
            return kinds[len(same) - 1] if len(same) <= len(kinds) else None

        proxy.fault = first_requests_fail
        lines: list[str] = []
        with DicomWeb(proxy.url, policy=QUICK, tell=lines.append) as server:
            report = send(server, [fresh])
            assert report.complete
            assert find_instances(server, study, series)
            assert fetch(server, Wanted(series_uids=(series,)), tmp_path).complete
    assert_same_objects(tmp_path / series, fresh)
    assert sum("Trying again" in line for line in lines) >= 3 * len(kinds)
    assert report.series[0].sent == len(files)


@pytest.mark.parametrize(("cut", "whole"), [(0, 0), (60, 0), (4000, 0), (30_000, 4), (-1, SHAPE[0])])
def test_an_answer_that_is_cut_off_is_completed(tmp_path, orthanc, source, cut, whole):
    """The body of every retrieval is cut once; what came whole is not asked for again."""
    _, series, files = uids_of(source)
    with DicomWeb(orthanc.url) as server:
        send(server, [source])
    with Proxy(orthanc.url) as proxy:

        def cut_once(request: Request):
            is_first = sum(one.path == request.path for one in proxy.requests) == 1
            return cut if is_first and _is_retrieval(request) else None

        proxy.fault = cut_once
        with DicomWeb(proxy.url, policy=QUICK) as server:
            report = fetch(server, Wanted(series_uids=(series,)), tmp_path)
        retrieved = [request.parts[-1] for request in proxy.requests if _is_retrieval(request)]
    assert report.complete
    assert report.series[0].fetched == len(files)
    assert_same_objects(tmp_path / series, source)
    assert retrieved.count(series) == 1
    assert len(set(files) - set(retrieved)) == whole
    assert all(retrieved.count(uid) <= 2 for uid in files)


def _is_retrieval(request: Request) -> bool:
    return request.method == "GET" and request.parts[-1] not in ("studies", "series", "instances")


def test_a_server_that_keeps_failing_is_given_up(tmp_path, orthanc, source):
    _, series, files = uids_of(source)
    with DicomWeb(orthanc.url) as server:
        send(server, [source])
    with Proxy(orthanc.url) as proxy:
        proxy.fault = lambda request: 100 if _is_retrieval(request) else None
        with DicomWeb(proxy.url, policy=QUICK) as server:
            report = fetch(server, Wanted(series_uids=(series,)), tmp_path)
        assert len(proxy.requests) < 30
    outcome = report.series[0]
    assert (report.complete, outcome.status, outcome.fetched) == (False, "failed", 0)
    assert outcome.error == InterruptedTransferError.__name__
    assert f"{len(files)} of {len(files)} objects are missing" in outcome.reason
    assert not list((tmp_path / series).iterdir())


def start_command(*arguments: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
    command = [sys.executable, "-m", "DicomAnalysisLib", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def kill_when(process: subprocess.Popen, condition, how: signal.Signals = signal.SIGKILL) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    process.wait()


def test_a_killed_fetch_is_completed_by_the_next(capsys, tmp_path, orthanc, source):
    _, series, files = uids_of(source)
    folder = tmp_path / series
    with DicomWeb(orthanc.url) as server:
        send(server, [source])
    with Proxy(orthanc.url) as proxy:
        release = threading.Event()
        proxy.fault = lambda request: release if _is_retrieval(request) else None
        process = start_command("fetch", "--series", series, "--output", tmp_path, "--server", proxy.url)
        kill_when(process, lambda: len(list(folder.glob("*.dcm"))) >= 15 and list(folder.glob(".receiving-*")))
        release.set()
    there = {path.stem for path in folder.glob("*.dcm")}
    assert 15 <= len(there) < len(files)
    assert list(folder.glob(".receiving-*.part")), "it was killed within an object"
    for uid in there:  # what has its name is whole
        assert (folder / f"{uid}.dcm").stat().st_size >= files[uid].stat().st_size
        assert pydicom.dcmread(folder / f"{uid}.dcm") == pydicom.dcmread(files[uid])

    with Proxy(orthanc.url) as proxy:
        fetching = ("fetch", "--series", series, "--output", tmp_path, "--server", proxy.url)
        status, document, _ = run(capsys, *fetching)
        asked = {request.parts[-1] for request in proxy.requests if _is_retrieval(request)}
    assert status == 0
    assert (document["series"][0]["already_there"], document["series"][0]["fetched"]) == (
        len(there),
        len(files) - len(there),
    )
    assert asked == set(files) - there
    assert_same_objects(folder, source)


def test_a_fetch_that_the_user_interrupts_leaves_nothing_half(tmp_path, orthanc, source):
    _, series, files = uids_of(source)
    folder = tmp_path / series
    with DicomWeb(orthanc.url) as server:
        send(server, [source])
    with Proxy(orthanc.url) as proxy:
        release = threading.Event()
        proxy.fault = lambda request: release if _is_retrieval(request) else None
        process = start_command("fetch", "--series", series, "--output", tmp_path, "--server", proxy.url)
        kill_when(process, lambda: list(folder.glob("*.dcm")) and list(folder.glob(".receiving-*")), signal.SIGINT)
        release.set()
    assert process.returncode == 130
    assert {path.stem for path in folder.iterdir()} < set(files)


def test_a_killed_send_is_completed_by_the_next(capsys, orthanc, fresh):
    study, series, files = uids_of(fresh)
    with Proxy(orthanc.url) as proxy:
        release = threading.Event()

        def hold_second_batch(request: Request):
            return release if sum(one.method == "POST" for one in proxy.requests) == 2 else None

        proxy.fault = hold_second_batch
        process = start_command("send", fresh, "--server", proxy.url)
        kill_when(process, lambda: sum(one.method == "POST" for one in proxy.requests) == 2)
        release.set()
    with DicomWeb(orthanc.url) as server:
        deadline = time.monotonic() + 10
        while len(there := find_instances(server, study, series)) < 16 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert 16 <= len(there) < len(files)
    status, document, _ = run(capsys, "send", fresh, "--server", orthanc.url)
    assert status == 0
    assert document["series"][0]["already_there"] + document["series"][0]["sent"] == len(files)
    with DicomWeb(orthanc.url) as server:
        assert set(find_instances(server, study, series)) == set(files)


def test_files_of_one_request_are_bounded(source):
    class File:
        def __init__(self, size):
            self.size = size

    sizes = [1] * 40 + [20_000_000, 5, 10_000_000, 10_000_000]
    found = [[file.size for file in batch] for batch in batches([File(size) for size in sizes])]
    assert [size for batch in found for size in batch] == sizes
    assert all(len(batch) <= 16 and (sum(batch) <= 16 * 1024 * 1024 or len(batch) == 1) for batch in found)


# ---------------------------------------------------------------- who we are


@pytest.mark.parametrize("command", ["fetch", "send"])
def test_a_wrong_password_is_said_and_not_repeated(capsys, caplog, monkeypatch, tmp_path, orthanc, source, command):
    monkeypatch.setenv("DICOM_ANALYSIS_PASSWORD", "wrong-secret")
    caplog.set_level(logging.DEBUG)
    arguments = (source,) if command == "send" else ("--patient-id", "PHANTOM", "--output", tmp_path)
    status = cli.main([command, *map(str, arguments), "--server", orthanc.url, "--verbose", "--json"])
    captured = capsys.readouterr()
    text = captured.out + captured.err + caplog.text
    assert status == 1
    assert "refused the credentials from DICOM_ANALYSIS_USER and DICOM_ANALYSIS_PASSWORD (HTTP 401)" in text
    assert "Trying again" not in text
    assert "wrong-secret" not in text


def test_without_credentials_it_is_said_how_to_give_them(capsys, monkeypatch, tmp_path, orthanc):
    monkeypatch.delenv("DICOM_ANALYSIS_USER")
    monkeypatch.delenv("DICOM_ANALYSIS_PASSWORD")
    status, document, _ = run(capsys, "fetch", "--study", "1.2", "--output", tmp_path, "--server", orthanc.url)
    assert status == 1
    assert "set DICOM_ANALYSIS_USER and DICOM_ANALYSIS_PASSWORD, or DICOM_ANALYSIS_TOKEN" in document["error"]


def test_credentials_of_a_netrc_file(capsys, monkeypatch, tmp_path, orthanc, source):
    monkeypatch.delenv("DICOM_ANALYSIS_USER")
    monkeypatch.delenv("DICOM_ANALYSIS_PASSWORD")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n", "utf-8")
    assert run(capsys, "send", source, "--server", orthanc.url, "--netrc", netrc)[0] == 0
    monkeypatch.setenv("NETRC", str(netrc))
    assert run(capsys, "fetch", "--list", "--patient-id", "PHANTOM", "--server", orthanc.url)[0] == 0


def test_one_refusal_ends_the_run(tmp_path, orthanc, source, monkeypatch):
    """Ten series must not mean ten wrong passwords: accounts are locked after some."""
    for number in range(3):
        volume = make_head_phantom(shape=(2, 16, 16), spacing=(60.0, 14.0, 14.0)).volume
        write_dicom_series(volume, tmp_path / str(number), series_uid=f"1.2.826.0.1.3680043.8.498.{number + 1}")
    monkeypatch.setenv("DICOM_ANALYSIS_PASSWORD", "wrong-secret")
    with Proxy(orthanc.url) as proxy:
        with DicomWeb(proxy.url, policy=QUICK) as server:
            report = send(server, [tmp_path])
        assert len(proxy.requests) == 1
    assert [one.error for one in report.series] == [CredentialsError.__name__] * 3


# ---------------------------------------------------------------- TLS


def test_tls_is_verified(capsys, monkeypatch, tmp_path, orthanc, certificate, fresh):
    trusted, server_file = certificate
    _, series, _ = uids_of(fresh)
    stranger, _ = make_certificate(tmp_path)
    fetched = tmp_path / "fetched"
    with Proxy(orthanc.url, server_file) as server:
        sending = ("send", fresh, "--server", server.url)
        for untrusting in ((), ("--ca-bundle", stranger)):
            status, document, progress = run(capsys, *sending, *untrusting)
            assert status == 1
            assert document["series"][0]["error"] == "CertificateError"
            assert "is not trusted" in document["series"][0]["reason"]
            assert "Trying again" not in progress
        # The certificate is for 127.0.0.1; the same server by another name is not it.
        by_name = ("send", fresh, "--server", server.url.replace("127.0.0.1", "localhost"), "--ca-bundle", trusted)
        status, document, _ = run(capsys, *by_name)
        assert status == 1
        assert "is not trusted: Hostname mismatch" in document["series"][0]["reason"]
        assert not server.requests

        status, document, _ = run(capsys, *sending, "--ca-bundle", trusted)
        assert (status, document["series"][0]["sent"]) == (0, SHAPE[0])
        monkeypatch.setenv("DICOM_ANALYSIS_CA_BUNDLE", str(trusted))
        assert run(capsys, "fetch", "--series", series, "--server", server.url, "--output", fetched)[0] == 0
    assert_same_objects(fetched / series, fresh)


def test_no_option_and_no_variable_switches_verification_off(monkeypatch, certificate):
    help_text = subprocess.run(
        [sys.executable, "-m", "DicomAnalysisLib", "fetch", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "DicomAnalysis")},
    ).stdout
    assert not [word for word in ("insecure", "no-verify", "password PASSWORD") if word in help_text]
    for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    with serving(lambda request: Reply.json([]), certificate=certificate[1]) as server:
        with DicomWeb(server.url, policy=RetryPolicy(0)) as client, pytest.raises(Exception, match="is not trusted"):
            client.search("studies", key="0020000D")
        assert not server.requests
        with DicomWeb(server.url, ca_bundle=certificate[0]) as client:
            assert client.search("studies", key="0020000D") == []


# ---------------------------------------------------------------- no server


def test_a_server_that_is_down(capsys, tmp_path, source):
    url = f"http://127.0.0.1:{free_port()}/dicom-web"
    status, document, progress = run(
        capsys, "fetch", "--study", "1.2.3", "--output", tmp_path, "--server", url, "--retries", 1
    )
    assert status == 1
    assert f"{url}/studies/1.2.3/series cannot be reached: Connection refused" in document["error"]
    assert progress.count("Trying again") == 1
    status, document, _ = run(capsys, "send", source, "--server", url, "--retries", 0)
    assert status == 1
    assert document["series"][0]["error"] == ServerUnavailableError.__name__
    assert len(document["series"][0]["failures"]) == SHAPE[0]


def test_a_server_that_does_not_answer_in_time(tmp_path):
    release = threading.Event()
    with serving(lambda request: release.wait(20) and Reply.json([])) as server:
        client = DicomWeb(server.url, timeout_s=0.2, policy=RetryPolicy(0))
        with client, pytest.raises(ServerUnavailableError, match="no answer in time"):
            client.search("studies", key="0020000D")
        release.set()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("fetch", "--output", "x", "--server", "https://pacs"), "Say what to fetch"),
        (("fetch", "--study", "1.2", "--server", "https://pacs"), "--output DIR"),
        (("fetch", "--study", "1.2", "--output", "x"), "--server URL"),
        (("fetch", "--study", "../1", "--output", "x", "--server", "https://pacs"), "not a DICOM UID"),
        (("fetch", "--patient-id", "A*", "--output", "x", "--server", "https://pacs"), "exactly"),
        ((*FETCH, "pacs:8042"), "not the address"),
        ((*FETCH, "https://me:secret-1@pacs"), "netrc"),
        ((*FETCH, "http://pacs.example/d"), "unencrypted"),
        ((*FETCH, "https://pacs", "--ca-bundle", "gone"), "CA bundle"),
        (
            (*FETCH, "https://pacs", "--ca-bundle", __file__),
            "CA bundle",
        ),
    ],
)
def test_mistakes_of_the_user(capsys, arguments, reason):
    status, document, progress = run(capsys, *arguments)
    assert status == 2
    assert reason in document["error"]
    assert "secret-1" not in progress + document["error"]


def test_what_was_fetched_can_be_indexed_at_once(capsys, tmp_path, orthanc, source):
    """The folder, and the database it is added to, are what every other command takes."""
    _, series, files = uids_of(source)
    run(capsys, "send", source, "--server", orthanc.url)
    output, database = tmp_path / "files", tmp_path / "database"
    fetching = ("fetch", "--series", series, "--server", orthanc.url, "--output", output, "--database", database)
    status, document, _ = run(capsys, *fetching)
    assert (status, document["database"]["added"]) == (0, len(files))
    for place in (output, database):
        assert [one.identity.series_uid for one in open_source(place).series()] == [series]
    status, document, _ = run(capsys, *fetching)
    assert (status, document["database"]["added"], document["database"]["unchanged"]) == (0, 0, len(files))
    database.rename(tmp_path / "moved")
    database.write_text("not a folder", "utf-8")
    status, document, _ = run(capsys, *fetching)
    assert status == 1
    assert document["series"][0]["status"] == "done"
    assert document["database"]["error"]
