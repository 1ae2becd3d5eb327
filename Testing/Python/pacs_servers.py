"""Servers that the tests of `fetch` and `send` talk to, all on this machine.

`Orthanc` is the real PACS; `ScriptedServer` answers whatever a test says, honest or not;
`Proxy` stands before a real server and drops, delays or cuts what passes through it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom

USER, PASSWORD = "alice", "correct-horse-battery"
BOUNDARY = "scripted"


class Orthanc:
    """Orthanc with its DICOMweb plugin, in a folder and on a port of its own.

    Raises
    ------
    FileNotFoundError
        If it is not installed.
    """

    def __init__(self, folder: Path):
        program = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
        if program is None or not plugin.exists():
            msg = "Orthanc is not installed: apt-get install orthanc orthanc-dicomweb"
            raise FileNotFoundError(msg)
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"
        settings = {
            "Name": "Test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "Plugins": [str(plugin)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "KeepAlive": True,
            "SyncStorageArea": False,
        }
        configuration = folder / "orthanc.json"
        configuration.write_text(json.dumps(settings), "utf-8")
        with (folder / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen([program, str(configuration)], stdout=log, stderr=log, cwd=folder)
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "orthanc.log").read_text("utf-8", "replace")[-3000:])

    def stop(self) -> None:
        """End it at once: what it stored is not needed any more, and an orderly end takes seconds."""
        self._process.kill()
        self._process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def make_certificate(folder: Path, name: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """A self-signed certificate: the file a client trusts, and the one with the key that a server needs."""
    certificate, key, both = folder / "ca.pem", folder / "key.pem", folder / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    command = [*command.split(), "-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return certificate, both


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def parts(self) -> list[str]:
        return [part for part in self.path.partition("?")[0].split("/") if part]


@dataclass
class Reply:
    """What is answered.

    With `length` None the end of the connection ends the body; a body shorter than `length` is cut off.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    length: int | None = -1  # the length of the body

    @classmethod
    def json(cls, document: object, status: int = 200) -> Reply:
        return cls(status, {"Content-Type": "application/dicom+json"}, json.dumps(document).encode())

    @classmethod
    def objects(cls, *contents: bytes, kind: str = "application/dicom", end: bool = True) -> Reply:
        head = f"--{BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode()
        body = b"".join(head + one + b"\r\n" for one in contents) + (f"--{BOUNDARY}--\r\n".encode() if end else b"")
        return cls(200, {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}, body)


DROP = object()
"""Answered: nothing, the connection is closed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address) -> None:
        """A client that goes away is what these tests are about."""


class _Serving:
    """A server in a thread; what it was asked stands in `requests`."""

    def __init__(self, certificate: Path | None = None):
        serving = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments) -> None:
                pass

            def do_GET(self) -> None:
                serving.handle(self)

            do_POST = do_GET  # noqa: N815

        self.requests: list[Request] = []
        self._http = _Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._http.server_port}/dicom-web"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class ScriptedServer(_Serving):
    """Answers what `script` says to each request.

    Parameters
    ----------
    script : callable
        From `Request` to `Reply` or `DROP`.
    keep_bodies : bool
        Whether what is sent is kept, or read and forgotten.
    """

    def __init__(self, script: Callable[[Request], Reply], certificate: Path | None = None, keep_bodies: bool = True):
        self._script, self._keep = script, keep_bodies
        super().__init__(certificate)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        request = Request(handler.command, handler.path, dict(handler.headers))
        left = int(handler.headers.get("Content-Length", 0))
        while left > 0 and (data := handler.rfile.read(min(left, 1 << 18))):
            left -= len(data)
            request.body += data if self._keep else b""
        self.requests.append(request)
        reply = self._script(request)
        if reply is DROP:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        chunks = [reply.body] if isinstance(reply.body, bytes) else reply.body
        length = sum(map(len, chunks)) if reply.length == -1 else reply.length
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        for chunk in chunks:
            handler.wfile.write(chunk)


class Shelf:
    """Answers queries and retrievals for some files as an honest server does; a test overrides what it wants."""

    def __init__(self, paths: Iterable[Path]):
        self.objects: dict[str, bytes] = {}
        self.listed: dict[str, pydicom.Dataset] = {}
        for path in paths:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            self.objects[dataset.SOPInstanceUID] = path.read_bytes()
            self.listed[dataset.SOPInstanceUID] = dataset

    @property
    def uids(self) -> list[str]:
        return list(self.objects)

    def __call__(self, request: Request) -> Reply:
        parts = request.parts
        if request.method == "POST":
            return self.store(request)
        if parts[-1] in ("studies", "series", "instances"):
            return self.query(parts[-1], request)
        return self.retrieve(parts[-1])

    def query(self, level: str, request: Request) -> Reply:
        if "offset=0" not in request.path:
            return Reply.json([])
        tag = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID", "instances": "SOPInstanceUID"}[level]
        entries = {one[tag].value: entry_of(one) for one in self.listed.values()}
        return Reply.json(list(entries.values()))

    def retrieve(self, uid: str) -> Reply:
        wanted = [self.objects[uid]] if uid in self.objects else list(self.objects.values())
        return Reply.objects(*wanted)

    def store(self, request: Request) -> Reply:
        return Reply.json({})


def entry_of(dataset: pydicom.Dataset, **changed: str) -> dict:
    """What a query answers about one instance."""
    keys = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality")
    values = {key: changed.get(key, str(dataset[key].value)) for key in keys}
    tags = {key: f"{pydicom.datadict.tag_for_keyword(key):08X}" for key in keys}
    return {tags[key]: {"vr": "UI", "Value": [value]} for key, value in values.items()}


class Proxy(_Serving):
    """Passes requests on to a real server, and speaks TLS for it where it has a certificate.

    (Orthanc's handbook advises to put a server before it for TLS; that of Debian 12 crashes with its own.)

    Attributes
    ----------
    fault : callable
        Asked for each request: None, a `Reply` or `DROP` in place of the server's answer, a number of bytes after
        which the answer's body is cut, or a `threading.Event` that the body is held for after its first half.
    """

    def __init__(self, target: str, certificate: Path | None = None):
        scheme, _, rest = target.partition("//")
        assert scheme == "http:"
        self._target = rest.partition("/")[0]
        self.fault: Callable[[Request], object] = lambda request: None
        super().__init__(certificate)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        request = Request(handler.command, handler.path, dict(handler.headers))
        request.body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append(request)
        handler.close_connection = True
        fault = self.fault(request)
        if isinstance(fault, Reply):
            handler.send_response(fault.status)
            for name, value in fault.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.send_header("Connection", "close")
            handler.end_headers()
            return
        status, headers, body = self._ask(request)
        if fault is DROP:  # after the server has done its work
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in ("connection", "keep-alive", "content-length", "transfer-encoding"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        if isinstance(fault, int):
            body = body[:fault]
        elif isinstance(fault, threading.Event):
            half = len(body) // 2
            handler.wfile.write(body[:half])
            fault.wait(30)
            body = body[half:]
        handler.wfile.write(body)

    def _ask(self, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=30)
        with contextlib.closing(connection):
            headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "connection")}
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()


@contextlib.contextmanager
def serving(script: Callable[[Request], Reply], **keywords) -> Iterator[ScriptedServer]:
    with ScriptedServer(script, **keywords) as server:
        yield server
