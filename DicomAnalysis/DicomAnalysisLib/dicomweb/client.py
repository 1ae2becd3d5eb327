"""The three services of a DICOMweb server: query (QIDO-RS), retrieve (WADO-RS), store (STOW-RS); PS3.18 chapter 10."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .address import parse_address, shown
from .credentials import find_credentials
from .errors import BadResponseError
from .failures import ASK_FOR_ROOT
from .multipart import MultipartReader, Part
from .retry import RetryPolicy, with_retries
from .store import StoreAnswer, StoreBody, StoredFile, read_store_answer
from .transport import Answer, Transport

T = TypeVar("T")

DICOM, DICOM_JSON, MULTIPART = "application/dicom", "application/dicom+json", "multipart/related"
PAGE = 200
"""Entries asked for at once; some servers refuse to give more."""
MAX_ENTRIES = 1_000_000
"""A server that never ends its listing is given up after these."""
MAX_OBJECT_BYTES = 16 * 1024**3
"""Longest DICOM object that is received."""

# As stored on the server, if it can; else as it likes. Uncompressed is what it must be able to give.
_ACCEPT = (
    f'{MULTIPART}; type="{DICOM}"; transfer-syntax=*',
    f'{MULTIPART}; type="{DICOM}"',
    f"{DICOM}; transfer-syntax=*",
)


@dataclass(frozen=True)
class Retrieved:
    """DICOM objects on their way.

    Attributes
    ----------
    parts : iterator of Part
        One object each, to be read before the next.
    announced : int
        Bytes the server announces for all of them; 0 where it does not.
    """

    parts: Iterator[Part]
    announced: int


class DicomWeb:
    """One DICOMweb server.

    Parameters
    ----------
    server : str
        Root of the service.
    ca_bundle : path, optional
        PEM file of the CA certificates that are trusted, in place of the system's.
    netrc_file : path, optional
    timeout_s : float
        Longest wait for the server to begin, or to go on with, an answer.
    policy : RetryPolicy, optional
    tell : callable, optional
        Called with a line of text when something is tried again.
    max_object_bytes : int
        Longest object that is received.

    Raises
    ------
    UsageError
        If the address, the credentials or the CA bundle cannot be used.
    PacsError
        If the package requests is missing.
    """

    def __init__(
        self,
        server: str,
        *,
        ca_bundle: Path | None = None,
        netrc_file: Path | None = None,
        timeout_s: float = 60.0,
        policy: RetryPolicy | None = None,
        tell: Callable[[str], None] | None = None,
        max_object_bytes: int = MAX_OBJECT_BYTES,
    ):
        address = parse_address(server)
        credentials = find_credentials(address.host, netrc_file)
        self.transport = Transport(address, credentials, ca_bundle=ca_bundle, timeout_s=timeout_s)
        self.max_object_bytes = max_object_bytes
        self._policy = policy or RetryPolicy()
        self._tell = tell or (lambda _line: None)
        self._accept = 0

    def __enter__(self) -> DicomWeb:
        return self

    def __exit__(self, *_error: object) -> None:
        self.transport.close()

    def __str__(self) -> str:
        return shown(str(self.transport.address))

    def retrying(self, action: Callable[[], T]) -> T:
        """The result of `action`, tried again as the policy says."""
        return with_retries(self._policy, action, self._tell)

    def search(self, *path: str, key: str, params: Mapping[str, str] | None = None) -> list[dict]:
        """All entries of a listing, page by page, each entry once.

        Parameters
        ----------
        path : str
            ``"studies"``, or ``"studies", uid, "series"`` and so on.
        key : str
            Tag of the UID that tells entries apart, as eight hexadecimal digits.
        params : mapping
            What is searched for.

        Raises
        ------
        PacsError
        """
        found: dict[str, dict] = {}
        while True:
            page = {"limit": str(PAGE), "offset": str(len(found))}
            entries = self._page(path, dict(params or {}) | page)
            new = {uid: entry for entry in entries if (uid := text_of(entry, key)) not in found}
            if not new:
                break
            found |= new
            if len(found) > MAX_ENTRIES:
                msg = f"{self} lists more than {MAX_ENTRIES} entries; ask for less."
                raise BadResponseError(msg)
        if len(entries) >= PAGE:
            # It repeats itself where it was asked for the next page: it knows no pages.
            found |= {text_of(entry, key): entry for entry in self._page(path, params or {})}
        return list(found.values())

    @contextlib.contextmanager
    def retrieve(self, *path: str, objects: int = 1) -> Iterator[Retrieved]:
        """The DICOM objects of a study, series or instance, to be read within the block.

        Parameters
        ----------
        path : str
        objects : int
            How many there should be: bounds the length of the answer.

        Raises
        ------
        PacsError
        """
        with self._open_objects(path) as answer:
            limit = objects * (self.max_object_bytes + 64 * 1024)
            answer.refuse_if_longer(limit)
            if answer.content_type == MULTIPART:
                reader = MultipartReader(answer.chunks(limit), answer.boundary, shown(answer.url))
                yield Retrieved(reader.parts(), answer.length or 0)
            elif answer.content_type == DICOM and objects == 1 and answer.shows_its_end:
                yield Retrieved(iter((Part(DICOM, answer.chunks(limit)),)), answer.length or 0)
            else:
                msg = f"{shown(answer.url)} answered with {answer.content_type}, not with DICOM in a multipart message."
                raise BadResponseError(msg)

    def store(self, files: list[StoredFile]) -> StoreAnswer:
        """Send files in one request.

        Raises
        ------
        PacsError
        SourceError
            If a file cannot be read or changes meanwhile.
        """
        boundary = f"dicom-analysis-{secrets.token_hex(16)}"
        headers = {"Accept": DICOM_JSON, "Content-Type": f'{MULTIPART}; type="{DICOM}"; boundary={boundary}'}
        body = StoreBody(files, boundary)
        # 409: some or all were refused, and the answer says which and why.
        with self.transport.request("POST", "studies", headers=headers, body=body, accepted=(409,)) as answer:
            return read_store_answer(answer)

    def _page(self, path: tuple[str, ...], params: Mapping[str, str]) -> list[dict]:
        return self.retrying(lambda: self._ask_page(path, params))

    def _ask_page(self, path: tuple[str, ...], params: Mapping[str, str]) -> list[dict]:
        with self.transport.request("GET", *path, headers={"Accept": DICOM_JSON}, params=params) as answer:
            entries = answer.json()
        if entries is None:  # 204: nothing matches
            return []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            msg = f"{shown(answer.url)} answered with JSON that is no list of DICOM entries. {ASK_FOR_ROOT}"
            raise BadResponseError(msg)
        return entries

    @contextlib.contextmanager
    def _open_objects(self, path: tuple[str, ...]) -> Iterator[Answer]:
        """The answer in the first form that the server is able to give."""
        for index in range(self._accept, len(_ACCEPT)):
            headers = {"Accept": _ACCEPT[index]}
            accepted = (400, 406, 415) if index < len(_ACCEPT) - 1 else ()
            with self.transport.request("GET", *path, headers=headers, accepted=accepted) as answer:
                if answer.status < 400:
                    self._accept = index
                    yield answer
                    return


def text_of(entry: Mapping, tag: str) -> str:
    """The first value of a DICOM JSON attribute (PS3.18 annex F) as text; empty where absent or malformed."""
    attribute = entry.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    value = values[0] if isinstance(values, list) and values else None
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
