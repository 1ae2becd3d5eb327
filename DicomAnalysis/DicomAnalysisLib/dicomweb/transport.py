"""Requests to one server, with answers that are read piece by piece and within bounds."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .address import Address, redirect_target, shown
from .credentials import Credentials
from .errors import BadResponseError, InterruptedTransferError, RedirectError
from .failures import ASK_FOR_ROOT, connection_error, status_error, transfer_error
from .session import make_session

if TYPE_CHECKING:
    import requests

CHUNK = 256 * 1024
"""Bytes read or sent at once."""
MAX_JSON = 16 * 1024 * 1024
"""Longest JSON answer; a page of a query is well below 1 MB."""
MAX_REDIRECTS = 3
STALL_S, STALL_BYTES = 60.0, 16 * 1024
"""An answer of which less than this arrives in this time has stalled."""
CONNECT_TIMEOUT_S = 10.0
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Answer:
    """An answer whose headers are there and whose body is still to be read, once.

    Attributes
    ----------
    url : str
        What was asked for.
    status : int
    content_type : str
        Media type in lower case, without parameters.
    boundary : str
        Of a multipart body; else empty.
    length : int or None
        Bytes the server announces.
    shows_its_end : bool
        Whether a body that was cut off can be told from a whole one.
    """

    def __init__(self, url: str, response: requests.Response, errors: tuple[type[Exception], ...]):
        self.url, self._response, self._errors = url, response, errors
        self.status = response.status_code
        header = Message()
        header["Content-Type"] = response.headers.get("Content-Type", "application/octet-stream")[:1000]
        self.content_type = header.get_content_type()[:80]
        self.boundary = str(header.get_param("boundary", "") or "")
        announced = response.headers.get("Content-Length", "")
        self.length = int(announced) if announced.isascii() and announced.isdecimal() and len(announced) < 20 else None
        self.shows_its_end = self.length is not None or bool(response.raw.chunked)

    def refuse_if_longer(self, limit: int) -> None:
        """Refuse a body whose announced length is beyond `limit` bytes.

        Raises
        ------
        BadResponseError
        """
        if (self.length or 0) > limit:
            raise self._too_long(limit)

    def chunks(self, limit: int) -> Iterator[bytes]:
        """The body in pieces of at most `CHUNK` bytes.

        Raises
        ------
        BadResponseError
            If it is, or says it is, longer than `limit` bytes, or is compressed.
        InterruptedTransferError
            If it ends before the announced length, or comes too slowly to go on.
        """
        self.refuse_if_longer(limit)
        if self._response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            msg = f"{shown(self.url)} answered with a compressed body that was not asked for."
            raise BadResponseError(msg)
        total = recent = 0
        since = time.monotonic()
        while data := self._read():
            total, recent = total + len(data), recent + len(data)
            if total > limit:
                raise self._too_long(limit)
            yield data
            now = time.monotonic()
            if now - since > STALL_S:
                if recent < STALL_BYTES:
                    msg = f"The answer of {shown(self.url)} has stalled: {recent} bytes in {now - since:.0f} s."
                    raise InterruptedTransferError(msg)
                since, recent = now, 0

    def json(self) -> object:
        """The body as JSON; None where it is empty.

        Raises
        ------
        BadResponseError
            If it is no JSON, or longer than `MAX_JSON`.
        """
        body = b"".join(self.chunks(MAX_JSON))
        if not body.strip():
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            msg = f"{shown(self.url)} answered with {self.content_type} that is not JSON. {ASK_FOR_ROOT}"
            raise BadResponseError(msg) from error

    def _read(self) -> bytes:
        try:
            return self._response.raw.read1(CHUNK, decode_content=False)
        except self._errors as error:
            raise transfer_error(self.url, error) from error

    def _too_long(self, limit: int) -> BadResponseError:
        announced = f"announces {self.length}" if (self.length or 0) > limit else "sent more than the allowed"
        return BadResponseError(f"{shown(self.url)} {announced} bytes; at most {limit} were expected.")


class Transport:
    """Requests to one server.

    Parameters
    ----------
    address : Address
    credentials : Credentials, optional
    ca_bundle : path, optional
        PEM file of the CA certificates that are trusted, in place of the system's.
    timeout_s : float
        Longest wait for the server to begin, or to go on with, an answer.

    Raises
    ------
    UsageError
        If credentials would travel over a network without TLS, or the CA bundle cannot be read.
    PacsError
        If the package requests is missing.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials | None = None,
        *,
        ca_bundle: Path | None = None,
        timeout_s: float = 60.0,
    ):
        self.address, self.credentials, self._timeout_s = address, credentials, timeout_s
        if credentials is not None and not self.is_private:
            msg = (
                f"{address} would get the credentials from {credentials.origin} unencrypted; give its https address. "
                "Plain http with credentials is for this machine alone (or the end of an ssh tunnel on it)."
            )
            raise UsageError(msg)
        self._session = make_session(address, credentials, ca_bundle)

        import requests
        import urllib3

        self._errors = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)

    @property
    def is_private(self) -> bool:
        """Whether nobody between here and the server can read what travels."""
        return self.address.scheme == "https" or self.address.is_loopback

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @contextlib.contextmanager
    def request(
        self,
        method: str,
        *path: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        body: Iterable[bytes] | None = None,
        accepted: tuple[int, ...] = (),
    ) -> Iterator[Answer]:
        """Make a request; the answer can be read within the block.

        Parameters
        ----------
        method : str
        path : str
            Parts of the path below the root of the service.
        headers, params : mapping
        body : iterable of bytes with a length
            Iterated anew for each attempt.
        accepted : tuple of int
            Statuses of 400 and above that the caller understands.

        Raises
        ------
        PacsError
            The kind of it says what went wrong; see `errors`.
        """
        url = self.address.url(*path)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(method, url, headers, params, body)
            with contextlib.closing(response):
                status = response.status_code
                if status not in _REDIRECTS:
                    if status >= 400 and status not in accepted:
                        raise status_error(url, status, response.headers, self.credentials, self.is_private)
                    if status < 200 or HTTPStatus.MULTIPLE_CHOICES <= status < 400:
                        msg = f"{shown(url)} answered with the unexpected HTTP status {status}."
                        raise BadResponseError(msg)
                    yield Answer(url, response, self._errors)
                    return
                url, params = self._follow(method, url, response), None
        msg = f"{shown(url)}: the server redirected more than {MAX_REDIRECTS} times; check the address."
        raise RedirectError(msg)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        body: Iterable[bytes] | None,
    ) -> requests.Response:
        timeouts = (min(CONNECT_TIMEOUT_S, self._timeout_s), self._timeout_s)
        try:
            return self._session.request(
                method,
                url,
                params=params,
                headers=headers,
                data=body,
                timeout=timeouts,
                allow_redirects=False,
                stream=True,
            )
        except self._errors as error:
            raise connection_error(url, error) from error

    def _follow(self, method: str, url: str, response: requests.Response) -> str:
        """Where to go after a redirection: to the same server, or nowhere."""
        target, origin = redirect_target(url, response.headers.get("Location", ""))
        if origin != self.address.origin:
            msg = (
                f"{shown(url)} redirects to another server, {shown(target)}; it gets neither credentials nor data "
                "from here. If that is the right address, give it as --server."
            )
            raise RedirectError(msg)
        if method != "GET" and response.status_code not in (307, 308):
            msg = f"{shown(url)} redirects what is sent to {shown(target)}; give the final address as --server."
            raise RedirectError(msg)
        return target
