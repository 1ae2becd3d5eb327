"""A server is believed in nothing: each lie is a named error within bounds, and nothing of it stays behind."""

from __future__ import annotations

import base64
import gzip
import itertools
import logging
import os
import re
import sys
import time
import tracemalloc
from pathlib import Path

import pydicom
import pytest
from DicomAnalysisLib import cli
from DicomAnalysisLib.dicomweb import errors, incoming, transport
from DicomAnalysisLib.dicomweb.address import parse_address, shown
from DicomAnalysisLib.dicomweb.client import DicomWeb
from DicomAnalysisLib.dicomweb.credentials import Credentials, find_credentials
from DicomAnalysisLib.dicomweb.fetch import FetchReport, fetch
from DicomAnalysisLib.dicomweb.multipart import MultipartReader
from DicomAnalysisLib.dicomweb.query import Wanted, find_instances, find_series
from DicomAnalysisLib.dicomweb.retry import RetryPolicy
from DicomAnalysisLib.dicomweb.send import SendReport, send
from DicomAnalysisLib.errors import OutputError, UsageError
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pacs_servers import BOUNDARY, DROP, Reply, Request, Shelf, entry_of, serving

QUICK = RetryPolicy(first_wait_s=0.001, longest_wait_s=0.005)
SECRET = "swordfish-42"
MULTIPART = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("DICOM_ANALYSIS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", os.devnull)
    monkeypatch.setenv("DICOM_ANALYSIS_USER", "alice")
    monkeypatch.setenv("DICOM_ANALYSIS_PASSWORD", SECRET)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_dicom_series(make_head_phantom(shape=(3, 16, 16), spacing=(60.0, 14.0, 14.0)).volume, folder)
    return folder


@pytest.fixture
def shelf(source) -> Shelf:
    """What an honest server holds: a series of three instances."""
    return Shelf(sorted(source.glob("*.dcm")))


def fetch_from(script, output: Path, **keywords) -> FetchReport:
    """Fetch the series of the patient from a scripted server."""
    with serving(script) as server, DicomWeb(server.url, policy=QUICK, **keywords) as client:
        return fetch(client, Wanted(patient_id="PHANTOM"), output)


def send_to(script, paths: list[Path]) -> tuple[SendReport, list[Request]]:
    with serving(script) as server, DicomWeb(server.url, policy=QUICK) as client:
        return send(client, paths), server.requests


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_honest_server_is_believed(tmp_path, shelf):
    report = fetch_from(shelf, tmp_path)
    assert report.complete
    assert {path.stem: path.read_bytes() for path in files_below(tmp_path)} == shelf.objects


# ---------------------------------------------------------------- what is received


def _lies(shelf: Shelf) -> dict[str, tuple]:
    """Name to: what the server answers to a retrieval, the error, and words of its message."""
    first, second, _ = shelf.objects.values()
    other_series = pydicom.dcmread(pydicom.filebase.DicomBytesIO(first))
    other_series.SeriesInstanceUID = "1.2.3"
    buffer = pydicom.filebase.DicomBytesIO()
    other_series.save_as(buffer)
    stranger = buffer.getvalue()
    path_like = first.replace(shelf.uids[0].encode(), b"../../../evil".ljust(len(shelf.uids[0]), b"x"))
    html = {"Content-Type": "text/html"}
    endless = itertools.repeat(bytes(1 << 16))
    return {
        "announces a petabyte": (lambda uid: Reply(200, MULTIPART, b"", 10**15), "BadResponseError", "announces"),
        "announces more than the disk": (lambda uid: Reply(200, MULTIPART, b"", 40 * 1024**3), "OutputError", "room"),
        "never ends": (lambda uid: Reply(200, MULTIPART, endless, None), "BadResponseError", "begin like"),
        "a part never ends": (
            lambda uid: Reply(200, MULTIPART, itertools.chain([_part_head()], endless), None),
            "BadResponseError",
            "as one object",
        ),
        "a part's header never ends": (
            lambda uid: Reply(200, MULTIPART, itertools.chain([_part_head()[:-4]], endless), None),
            "BadResponseError",
            "too long a header",
        ),
        "a login page": (lambda uid: Reply(200, html, b"<html>please log in</html>"), "BadResponseError", "text/html"),
        "no boundary": (
            lambda uid: Reply(200, {"Content-Type": "multipart/related"}, first),
            "BadResponseError",
            "boundary",
        ),
        "another instance": (lambda uid: Reply.objects(second if uid != shelf.uids[1] else first), None, "another"),
        "another series": (lambda uid: Reply.objects(stranger), "BadResponseError", "another object"),
        "a path for a name": (lambda uid: Reply.objects(path_like), "BadResponseError", "another object"),
        "one twice": (lambda uid: Reply.objects(first, first), None, "than"),
        "more than asked": (lambda uid: Reply.objects(*shelf.objects.values(), first), None, "more objects"),
        "not DICOM": (lambda uid: Reply.objects(b"<html></html>" * 50), "BadResponseError", "not DICOM"),
        "an empty object": (lambda uid: Reply.objects(b""), "BadResponseError", "it is empty"),
        "a header cut short": (lambda uid: Reply.objects(first[:300]), "BadResponseError", "not DICOM"),
        "a picture": (lambda uid: Reply.objects(first, kind="image/jpeg"), "BadResponseError", "image/jpeg"),
        "compressed": (
            lambda uid: Reply(200, MULTIPART | {"Content-Encoding": "gzip"}, gzip.compress(bytes(10**7))),
            "BadResponseError",
            "compressed",
        ),
        "no last delimiter": (
            lambda uid: Reply.objects(*([shelf.objects[uid]] if uid in shelf.objects else []), end=False),
            "InterruptedTransferError",
            "last delimiter",
        ),
        "an unknown status": (lambda uid: Reply(299 + 1), "BadResponseError", "status 300"),
        "nothing at all": (lambda uid: Reply.objects(), "BadResponseError", "without the instance"),
    }


def _part_head() -> bytes:
    return f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()


LIES = (
    *("announces a petabyte", "announces more than the disk", "never ends", "a part never ends"),
    *("a part's header never ends", "a login page", "no boundary", "another instance", "another series"),
    *("a path for a name", "one twice", "more than asked", "not DICOM", "an empty object", "a header cut short"),
    *("a picture", "compressed", "no last delimiter", "an unknown status", "nothing at all"),
)


def test_every_lie_is_tried(shelf):
    assert set(LIES) == set(_lies(shelf))


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_objects(tmp_path, monkeypatch, shelf, name):
    answer, error, words = _lies(shelf)[name]
    shelf.retrieve = answer
    output = tmp_path / "a" / "b"
    if name == "announces more than the disk":
        monkeypatch.setattr(incoming.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    maximum = {"max_object_bytes": 1 << 20} if "never ends" in name else {}
    report = fetch_from(shelf, output, **maximum)
    outcome = report.series[0]
    assert not report.complete
    assert outcome.status == "failed"
    assert outcome.error == (error or "BadResponseError")
    assert words in outcome.reason
    assert outcome.series_uid in outcome.reason or "127.0.0.1" in outcome.reason
    kept = {path.stem: path.read_bytes() for path in files_below(tmp_path)}
    assert set(kept) <= set(shelf.uids), "nothing but what was asked for, and nothing half"
    assert all(contents == shelf.objects[uid] for uid, contents in kept.items())
    assert outcome.fetched == len(kept)


def test_an_answer_that_drips_is_not_waited_for(tmp_path, monkeypatch, shelf):
    """A byte now and then keeps every timeout from running out."""
    monkeypatch.setattr(transport, "STALL_S", 0.2)

    def drip():
        for _ in range(1000):
            time.sleep(0.02)
            yield b"-"

    shelf.retrieve = lambda uid: Reply(200, MULTIPART, drip(), None)
    with serving(shelf) as server, DicomWeb(server.url, policy=RetryPolicy(0)) as client:
        outcome = fetch(client, Wanted(patient_id="PHANTOM"), tmp_path).series[0]
    assert outcome.error == "InterruptedTransferError"
    assert "has stalled" in outcome.reason


def test_memory_does_not_grow_with_an_object(tmp_path, source):
    """48 MB in one object; what is held of it at a time is well below 2 MB."""
    size = 48 << 20
    dataset = pydicom.dcmread(source / "0001.dcm")
    del dataset.PixelData
    dataset.add_new(0x7FE00010, "OW", bytes(2))
    buffer = pydicom.filebase.DicomBytesIO()
    dataset.save_as(buffer)
    head = buffer.getvalue()[:-6] + size.to_bytes(4, "little")
    shelf = Shelf([source / "0001.dcm"])
    step = bytes(1 << 16)
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    body = [_part_head() + head, *itertools.repeat(step, size // len(step)), end]
    shelf.retrieve = lambda uid: Reply(200, MULTIPART, body)
    with serving(shelf) as server, DicomWeb(server.url, policy=QUICK) as client:
        find_series(client, Wanted(patient_id="PHANTOM"))  # what is loaded at first use is not counted
        tracemalloc.start()
        report = fetch(client, Wanted(patient_id="PHANTOM"), tmp_path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert report.complete
    assert report.series[0].bytes == len(head) + size
    assert peak < 2 << 20


def test_memory_does_not_grow_with_what_is_sent(tmp_path, source):
    path = tmp_path / "large.dcm"
    path.write_bytes((source / "0001.dcm").read_bytes())
    with path.open("r+b") as stream:
        stream.truncate(64 << 20)  # a hole; the header is what counts
    uid = pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID

    def script(request: Request) -> Reply:
        return Reply.json([]) if request.method == "GET" else stored(uid)

    with serving(script, keep_bodies=False) as server, DicomWeb(server.url, policy=QUICK) as client:
        find_instances(client, "1.2", "1.3")
        tracemalloc.start()
        report = send(client, [path])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert report.complete
    assert report.series[0].bytes == 64 << 20
    assert peak < 2 << 20


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(
        st.binary(max_size=300) | st.sampled_from([b"\r\n--", b"\r\n--scripte", b"--scripted"]), max_size=4
    ),
    cuts=st.lists(st.integers(0, 2000), max_size=30),
    preamble=st.sampled_from([b"", b"\r\n", b"some words\r\n"]),
)
def test_parts_do_not_depend_on_how_the_body_is_cut(contents, cuts, preamble):
    body = preamble + Reply.objects(*contents).body
    marks = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(marks) if end > start]
    parts = MultipartReader(iter(pieces), BOUNDARY, "it").parts()
    assert [b"".join(part.chunks) for part in parts] == contents


@settings(max_examples=60, deadline=None)
@given(contents=st.lists(st.binary(max_size=100), min_size=1, max_size=3), data=st.data())
def test_a_body_that_ends_early_is_never_whole(contents, data):
    body = Reply.objects(*contents).body
    cut = data.draw(st.integers(0, len(body) - len("--\r\n") - 1))
    with pytest.raises(errors.InterruptedTransferError):
        for part in MultipartReader(iter([body[:cut]]), BOUNDARY, "it").parts():
            b"".join(part.chunks)


# ---------------------------------------------------------------- what is listed


def _listings(shelf: Shelf) -> dict[str, tuple]:
    """Name to: the level, what the server answers there, the error, and words of its message."""
    one = next(iter(shelf.listed.values()))
    bad = errors.BadResponseError

    def level(name: str, reply):
        return lambda request: reply if request.parts[-1] == name else shelf(request)

    numbers = itertools.count()

    def no_end(request: Request) -> Reply:
        if request.parts[-1] != "instances":
            return shelf(request)
        return Reply.json([entry_of(one, SOPInstanceUID=f"1.2.{next(numbers)}") for _ in range(200)])

    json_type = {"Content-Type": "application/dicom+json"}
    return {
        "a path for a study": (
            level("studies", Reply.json([entry_of(one, StudyInstanceUID="../../etc")])),
            bad,
            "not a UID",
        ),
        "a path for a series": (
            level("series", Reply.json([entry_of(one, SeriesInstanceUID="..\\..\\evil")])),
            bad,
            "not a UID",
        ),
        "a path for an instance": (
            level("instances", Reply.json([entry_of(one, SOPInstanceUID="/etc/passwd")])),
            None,
            "not a UID",
        ),
        "an entry without UID": (level("instances", Reply.json([{}])), None, "not a UID"),
        "numbers and nulls": (level("studies", Reply.json([None, 3])), bad, "no list of DICOM entries"),
        "an object": (level("studies", Reply.json({"error": "?"})), bad, "no list of DICOM entries"),
        "not JSON": (level("studies", Reply(200, json_type, b"[{]")), bad, "not JSON"),
        "nested without end": (level("studies", Reply(200, json_type, b"[" * 200_000)), bad, "not JSON"),
        "too long": (level("studies", Reply(200, json_type, b" " * (17 << 20))), bad, "bytes"),
        "announces too much": (level("studies", Reply(200, json_type, b"", 10**12)), bad, "announces"),
        "without end": (no_end, None, "entries"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("a path for a study", "a path for a series", "a path for an instance", "an entry without UID"),
        *("numbers and nulls", "an object", "not JSON", "nested without end", "too long", "announces too much"),
        "without end",
    ],
)
def test_a_lie_about_what_there_is(tmp_path, monkeypatch, shelf, name):
    monkeypatch.setattr("DicomAnalysisLib.dicomweb.client.MAX_ENTRIES", 5000)
    script, error, words = _listings(shelf)[name]
    output = tmp_path / "a" / "b"
    if error is None:
        outcome = fetch_from(script, output).series[0]
        assert (outcome.status, outcome.error) == ("failed", "BadResponseError")
        assert words in outcome.reason
    else:
        with pytest.raises(error, match=words):
            fetch_from(script, output)
    assert not files_below(tmp_path)


def test_one_series_uid_in_two_studies(tmp_path, shelf):
    """Against the rules, but it happens: both are listed."""
    one = next(iter(shelf.listed.values()))
    studies = {"1.2.1": "CT", "1.2.2": "MR"}

    def query(level: str, request: Request) -> Reply:
        asked = [uid for uid in studies if uid in request.path] or studies
        return Reply.json([entry_of(one, StudyInstanceUID=uid, Modality=studies[uid]) for uid in asked])

    shelf.query = query
    with serving(shelf) as server, DicomWeb(server.url, policy=QUICK) as client:
        found, missing = find_series(client, Wanted(patient_id="PHANTOM"))
        assert [(series.study_uid, series.modality) for series in found] == list(studies.items())
        found, missing = find_series(client, Wanted(patient_id="PHANTOM", study_uids=("1.2.2", "1.2.3")))
    assert [series.study_uid for series in found] == ["1.2.2"]
    assert missing == ["study 1.2.3"]


def test_entries_of_other_patients_are_left_out(tmp_path, shelf):
    """A server may ignore what it does not understand in a query; what was not wanted is not fetched."""
    one = next(iter(shelf.listed.values()))
    foreign = entry_of(one, PatientID="SOMEONE-ELSE", StudyInstanceUID="1.2.3")
    honest = shelf.query

    def query(level: str, request: Request) -> Reply:
        return Reply.json([foreign]) if level == "studies" and "offset=0" in request.path else honest(level, request)

    shelf.query = query
    with pytest.raises(errors.NotOnServerError, match="nothing that matches"):
        fetch_from(shelf, tmp_path)


@pytest.mark.parametrize(("page", "knows_pages"), [(200, True), (70, True), (10_000, False), (200, False)])
def test_long_listings_are_read_to_their_end(monkeypatch, page, knows_pages):
    """Whatever a server makes of limit and offset."""
    dataset = pydicom.Dataset()
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality"):
        setattr(dataset, keyword, "CT" if keyword == "Modality" else "1.2")
    every = [entry_of(dataset, SOPInstanceUID=f"1.2.{number}") for number in range(450)]

    def script(request: Request) -> Reply:
        asked = dict(part.split("=") for part in request.path.partition("?")[2].split("&") if part)
        start = int(asked.get("offset", 0)) if knows_pages else 0
        limit = min(page, int(asked.get("limit", 10_000)))
        return Reply.json(every[start : start + limit] if "limit" in asked else every)

    with serving(script) as server, DicomWeb(server.url, policy=QUICK) as client:
        assert len(find_instances(client, "1.2", "1.3")) == len(every)


# ---------------------------------------------------------------- redirections and secrets


def test_another_server_gets_nothing(tmp_path, shelf, source):
    """Neither credentials nor data nor even a request."""
    with serving(shelf) as thief:
        for status in (301, 302, 307, 308):
            away = Reply(status, {"Location": f"{thief.url}/studies"})
            with pytest.raises(errors.RedirectError, match=r"redirects to another server, http://127\.0\.0\.1:\d+/"):
                fetch_from(lambda request, away=away: away, tmp_path)
            report, _ = send_to(lambda request, away=away: away, [source])
            assert {one.error for one in report.series} == {"RedirectError"}
        assert thief.requests == []


@pytest.mark.parametrize(
    "location", ["https://127.0.0.1/x", "//evil.example/", "file:///etc/passwd", "http://127.0.0.1:1/", "http://[", ""]
)
def test_redirections_that_are_not_followed(tmp_path, location):
    with pytest.raises(errors.RedirectError):
        fetch_from(lambda request: Reply(302, {"Location": location}), tmp_path)


def test_the_body_of_a_redirection_is_not_read(tmp_path):
    endless = itertools.repeat(bytes(1 << 16))
    with pytest.raises(errors.RedirectError):
        fetch_from(lambda request: Reply(302, {"Location": "https://other.example/"}, endless, None), tmp_path)


def test_redirections_in_a_circle_end(tmp_path):
    with pytest.raises(errors.RedirectError, match="more than 3 times"):
        fetch_from(lambda request: Reply(302, {"Location": request.path}), tmp_path)


def test_the_same_server_may_redirect_and_still_knows_us(tmp_path, shelf):
    def script(request: Request) -> Reply:
        assert request.headers["Authorization"].startswith("Basic ")
        if request.path.startswith("/dicom-web"):
            return Reply(307, {"Location": request.path.replace("/dicom-web", "/moved")})
        return shelf(request)

    assert fetch_from(script, tmp_path).complete


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500, 301])
def test_secrets_are_in_no_message_and_no_log(capsys, caplog, tmp_path, source, status):
    """Even where the server says them back."""
    caplog.set_level(logging.DEBUG)
    encoded = base64.b64encode(f"alice:{SECRET}".encode()).decode()
    seen = []

    def script(request: Request) -> Reply:
        seen.append(request.headers.get("Authorization"))
        said = {"Content-Type": f"text/{SECRET}x", "Location": f"http://alice:{SECRET}@other.example/?p={SECRET}"}
        return Reply(status, said if status == 301 else {"Content-Type": "text/html"}, f"{SECRET} {encoded}".encode())

    with serving(script) as server:
        for command in (("send", str(source)), ("fetch", "--patient-id", "PHANTOM", "--output", str(tmp_path))):
            assert cli.main([*command, "--server", server.url, "--retries", "0", "--verbose"]) == 1
    text = "".join(capsys.readouterr()) + caplog.text
    assert seen[0] == f"Basic {encoded}"
    assert SECRET not in text
    assert encoded not in text


def test_credentials_are_found_where_they_may_be(tmp_path):
    def header(user: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    user = {"DICOM_ANALYSIS_USER": "müller", "DICOM_ANALYSIS_PASSWORD": "p:w"}
    assert find_credentials("pacs", None, user | {"NETRC": os.devnull}).header == header("müller", "p:w")
    assert find_credentials("pacs", None, {"DICOM_ANALYSIS_TOKEN": "abc.def"}).header == "Bearer abc.def"
    netrc = tmp_path / "netrc"
    netrc.write_text("machine pacs login a password b\nmachine other login c password d\n", "utf-8")
    assert find_credentials("other", netrc, {}).header == header("c", "d")
    assert find_credentials("third", netrc, {}) is None
    assert find_credentials("pacs", None, {"NETRC": str(netrc)}).origin == str(netrc)
    assert find_credentials("pacs", netrc, user).header == header("müller", "p:w")
    assert "secret" not in repr(Credentials("Basic secret", "x"))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DICOM_ANALYSIS_USER": "a"}, "DICOM_ANALYSIS_PASSWORD is not"),
        ({"DICOM_ANALYSIS_PASSWORD": SECRET}, "DICOM_ANALYSIS_USER is not"),
        ({"DICOM_ANALYSIS_TOKEN": SECRET, "DICOM_ANALYSIS_USER": "a"}, "unset one"),
        ({"DICOM_ANALYSIS_TOKEN": SECRET + "\r\nX-Header: 1"}, "line end"),
        ({"DICOM_ANALYSIS_USER": "a:b", "DICOM_ANALYSIS_PASSWORD": SECRET}, "colon"),
        ({"NETRC": "there-is-no-such-file"}, "cannot be read"),
    ],
)
def test_credentials_that_cannot_be_used(environment, words):
    with pytest.raises(UsageError, match=words) as caught:
        find_credentials("pacs", None, environment)
    assert SECRET not in str(caught.value)


def test_a_damaged_netrc_file_is_not_quoted(tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine pacs\n{SECRET} {SECRET}\n", "utf-8")
    with pytest.raises(UsageError, match="cannot be understood at line") as caught:
        find_credentials("pacs", netrc, {})
    assert SECRET not in str(caught.value)


def test_without_requests_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(errors.PacsError, match=r"pip install 'dicom-analysis\[pacs\]'"):
        DicomWeb("https://pacs.example.org")


def test_addresses():
    assert str(parse_address("https://pacs.example.org/dicom-web/")) == "https://pacs.example.org/dicom-web"
    assert str(parse_address("http://[::1]:8042")) == "http://[::1]:8042"
    assert parse_address("http://[::1]:8042").is_loopback
    assert parse_address("http://127.0.0.1").is_loopback
    assert not parse_address("http://127.0.0.1.example.org").is_loopback
    assert parse_address("https://h/d").url("studies", "../x", "a/b?c#d") == "https://h/d/studies/..%2Fx/a%2Fb%3Fc%23d"
    assert shown("https://u:p@h:1/a?PatientID=7#x") == "https://h:1/a"
    for text in ("", "pacs", "ftp://pacs", "https://", "https://h/?a=b", "https://h:99999", "https://h:x", "file:///x"):
        with pytest.raises(UsageError):
            parse_address(text)


# ---------------------------------------------------------------- what is sent


def stored(*uids: str, failed: dict[str, int] | None = None, status: int = 200, warning: int | None = None) -> Reply:
    """An answer to STOW-RS."""

    def item(uid: str, tag: str = "", code: int | None = None) -> dict:
        entry = {"00081155": {"vr": "UI", "Value": [uid]}}
        return entry | ({tag: {"vr": "US", "Value": [code]}} if code is not None else {})

    document = {"00081199": {"vr": "SQ", "Value": [item(uid, "00081196", warning) for uid in uids]}}
    if failed:
        document["00081198"] = {"vr": "SQ", "Value": [item(uid, "00081197", code) for uid, code in failed.items()]}
    return Reply.json(document, status)


def _sent_uids(request: Request, shelf: Shelf) -> list[str]:
    return [uid for uid in shelf.uids if shelf.objects[uid] in request.body]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda uids: stored(*uids[:2], failed={uids[2]: 0x0122}), r"its SOP class is not supported \(0122\)"),
        (lambda uids: stored(*uids[:2], failed={uids[2]: 0xA700}), r"out of resources \(A700\)"),
        (lambda uids: stored(*uids[:2], failed={uids[2]: 0xC122}, status=202), r"its transfer syntax is not supported"),
        (lambda uids: stored(*uids[:2]), "did not confirm"),
        (lambda uids: stored(*uids, failed={uids[2]: 0xC000}), "cannot be understood"),
    ],
)
def test_what_is_refused_is_listed_and_the_rest_sent(shelf, source, answer, words):
    shelf.query = lambda level, request: Reply.json([])
    shelf.store = lambda request: answer(shelf.uids)
    report, _ = send_to(shelf, [source])
    outcome = report.series[0]
    assert (report.complete, outcome.sent, outcome.error) == (False, 2, "NotStoredError")
    assert [failure.path for failure in outcome.failures] == [str(source / "0003.dcm")]
    assert re.search(words, outcome.failures[0].reason)


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (lambda: stored(), "NotStoredError", "did not confirm"),
        (lambda: stored("1.2.3", "../../x"), "NotStoredError", "did not confirm"),
        (lambda: Reply(409), "NotStoredError", "gave no reason"),
        (lambda: Reply(200), "BadResponseError", "did not say"),
        (lambda: Reply.json([1, 2]), "BadResponseError", "did not say"),
        (lambda: Reply.json({"00081199": 7, "00081198": {"Value": [3]}}), "NotStoredError", "did not confirm"),
        (lambda: Reply(200, {"Content-Type": "text/html"}, b"<html>"), "BadResponseError", "not JSON"),
        (lambda: Reply(200, {}, b"{}", 10**14), "BadResponseError", "announces"),
        (lambda: Reply(400), "RefusedRequestError", "HTTP 400"),
        (lambda: Reply(403), "RefusedRequestError", "not allowed"),
        (lambda: Reply(404), "NotOnServerError", "HTTP 404"),
        (lambda: Reply(500), "ServerFailedError", "HTTP 500"),
        (lambda: Reply(503), "ServerUnavailableError", "HTTP 503"),
        (lambda: DROP, "ServerUnavailableError", "cannot be reached"),
    ],
)
def test_a_lie_about_what_was_stored(shelf, source, reply, error, words):
    shelf.query = lambda level, request: Reply.json([])
    shelf.store = lambda request: reply()
    report, requests = send_to(shelf, [source])
    outcome = report.series[0]
    assert (report.complete, outcome.sent, outcome.error) == (False, 0, error)
    assert words in outcome.reason
    assert len(outcome.failures) == 3
    assert len(requests) < 25


def test_what_is_too_much_at_once_is_sent_one_by_one(shelf, source):
    shelf.query = lambda level, request: Reply.json([])

    def store(request: Request) -> Reply:
        sent = _sent_uids(request, shelf)
        return Reply(413) if len(sent) > 1 else stored(*sent, warning=0xB000)

    shelf.store = store
    report, requests = send_to(shelf, [source])
    assert report.complete
    assert report.series[0].sent == 3
    assert report.series[0].warnings == ("the server coerced data elements (B000) in 3 objects",)
    assert [request.method for request in requests].count("POST") == 4


def test_a_server_that_may_only_be_sent_to(shelf, source):
    """Query is not allowed: all is sent, and that it was not asked stands in the warnings."""
    shelf.query = lambda level, request: Reply(403)
    shelf.store = lambda request: stored(*_sent_uids(request, shelf))
    report, _ = send_to(shelf, [source])
    assert report.complete
    assert "does not tell what it has" in report.series[0].warnings[0]


def test_the_body_is_what_the_standard_says(shelf, source):
    shelf.query = lambda level, request: Reply.json([])
    shelf.store = lambda request: stored(*shelf.uids)
    _, requests = send_to(shelf, [source])
    request = requests[-1]
    kind = request.headers["Content-Type"]
    assert kind.startswith('multipart/related; type="application/dicom"; boundary=')
    assert int(request.headers["Content-Length"]) == len(request.body)
    parts = MultipartReader(iter([request.body]), kind.partition("boundary=")[2], "it").parts()
    found = [(part.content_type, b"".join(part.chunks)) for part in parts]
    assert found == [("application/dicom", contents) for contents in shelf.objects.values()]


def test_what_is_sent_and_what_is_left_out(tmp_path, shelf, source):
    first = (source / "0001.dcm").read_bytes()
    (tmp_path / "copy-of-2").write_bytes((source / "0002.dcm").read_bytes())
    (tmp_path / "one.dcm").write_bytes(first)
    (tmp_path / "same.dcm").write_bytes(first)
    (tmp_path / "other-contents.dcm").write_bytes(first[:-2] + b"\1\1")
    (tmp_path / "notes.txt").write_text("nothing of DICOM", "utf-8")
    (tmp_path / "no-preamble.dcm").write_bytes(first[132:])
    (tmp_path / "cut.dcm").write_bytes(first[:400])
    (tmp_path / "folder-link").symlink_to(source)
    shelf.query = lambda level, request: Reply.json([])
    shelf.store = lambda request: stored(*_sent_uids(request, shelf))
    report, _ = send_to(shelf, [tmp_path])
    left_out = {Path(problem.path).name: (problem.is_dicom, problem.reason) for problem in report.problems}
    assert report.series[0].sent == 2
    assert not report.complete
    failures = {name for name, (is_failure, _) in left_out.items() if is_failure}
    assert failures == {"other-contents.dcm", "no-preamble.dcm", "cut.dcm"}
    assert "same SOP Instance UID" in left_out["same.dcm"][1]
    assert "no DICOM preamble" in left_out["no-preamble.dcm"][1]
    assert "link to a folder" in left_out["folder-link"][1]
    assert not left_out["notes.txt"][0]


def test_a_file_that_changes_while_it_is_sent(tmp_path, shelf, source):
    path = tmp_path / "grows.dcm"
    path.write_bytes((source / "0001.dcm").read_bytes())

    def query(level: str, request: Request) -> Reply:
        path.write_bytes(path.read_bytes() + b"more")  # between listing and sending
        return Reply.json([])

    shelf.query = query
    shelf.store = lambda request: stored(*shelf.uids)
    report, _ = send_to(shelf, [path])
    assert report.series[0].error == "SourceError"
    assert "changed while it was being sent" in report.series[0].reason


# ---------------------------------------------------------------- files that are being received


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path):
    dead = tmp_path / ".receiving-0123456789abcdef.part"
    dead.write_bytes(b"half")
    with incoming.receive_file(tmp_path) as living:
        living.write(b"data")
        assert incoming.remove_leftovers(tmp_path) == 1
        assert not dead.exists()
        living.finish()
        living.keep(tmp_path / "1.2.dcm")
    assert [path.name for path in tmp_path.iterdir()] == ["1.2.dcm"]


def test_a_full_or_read_only_disk_is_named(tmp_path, shelf):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", "utf-8")
    report = fetch_from(shelf, blocked)
    assert report.series[0].error == OutputError.__name__
    assert "Cannot write into" in report.series[0].reason


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_no_space_left(tmp_path, monkeypatch, shelf):
    honest = Path.open

    def full(path: Path, mode: str = "r", *arguments, **keywords):
        if path.suffix == ".part" and "x" in mode:
            path.touch()
            return honest(Path("/dev/full"), "wb")
        return honest(path, mode, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", full)
    report = fetch_from(shelf, tmp_path)
    assert report.series[0].error == OutputError.__name__
    assert "No space left on device" in report.series[0].reason
    assert not files_below(tmp_path)


def test_a_damaged_file_of_that_name_is_fetched_again(tmp_path, shelf):
    series = next(iter(shelf.listed.values())).SeriesInstanceUID
    folder = tmp_path / series
    folder.mkdir()
    (folder / f"{shelf.uids[0]}.dcm").write_bytes(b"")
    (folder / f"{shelf.uids[1]}.dcm").write_bytes(shelf.objects[shelf.uids[0]])  # another instance
    (folder / f"{shelf.uids[2]}.dcm").write_bytes(shelf.objects[shelf.uids[2]])
    report = fetch_from(shelf, tmp_path)
    assert (report.complete, report.series[0].fetched, report.series[0].already_there) == (True, 2, 1)
    assert {path.stem: path.read_bytes() for path in files_below(tmp_path)} == shelf.objects
