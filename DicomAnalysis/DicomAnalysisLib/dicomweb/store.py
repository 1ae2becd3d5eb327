"""What is sent in one STOW-RS request, and what the server says became of it (PS3.18 section 10.5)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import SourceError
from .address import shown
from .errors import BadResponseError, NotStoredError
from .transport import CHUNK, Answer

_REFERENCED, _FAILED = "00081199", "00081198"
_SOP_INSTANCE, _FAILURE, _WARNING = "00081155", "00081197", "00081196"

# PS3.4 section B.2.3, PS3.18 table I.2-2 and PS3.7 annex C.
_REASONS = {
    0x0110: "processing failed",
    0x0111: "it exists already",
    0x0117: "the instance is not valid",
    0x0122: "its SOP class is not supported",
    0x0124: "not authorised",
    0xA7: "out of resources",
    0xA9: "the data set does not match its SOP class",
    0xC1: "its transfer syntax is not supported",
    0xC: "it cannot be understood",
}
_CHANGES = {0xB000: "coerced data elements", 0xB006: "discarded elements", 0xB007: "found deviations from the standard"}


@dataclass(frozen=True)
class StoredFile:
    """A DICOM file to be sent, with what its header says.

    Attributes
    ----------
    path : str
    size : int
        Bytes.
    sop_class_uid, sop_uid, series_uid, study_uid : str
    """

    path: str
    size: int
    sop_class_uid: str
    sop_uid: str
    series_uid: str
    study_uid: str


@dataclass
class StoreAnswer:
    """What the server says became of the files of one request.

    Attributes
    ----------
    stored : set of str
        SOP Instance UIDs.
    failed : dict
        SOP Instance UID to reason.
    changed : dict
        SOP Instance UID to what the server changed in it.
    """

    stored: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)


class StoreBody:
    """The multipart message with files, read from disk while it is sent.

    Parameters
    ----------
    files : sequence of StoredFile
    boundary : str

    Raises
    ------
    SourceError
        While it is iterated: if a file cannot be read, or is not as long as it was.
    """

    def __init__(self, files: Sequence[StoredFile], boundary: str):
        self._files = files
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        self._end = f"--{boundary}--\r\n".encode("ascii")

    def __len__(self) -> int:
        return sum(len(self._head) + file.size + 2 for file in self._files) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for file in self._files:
            yield self._head
            yield from _contents(file)
            yield b"\r\n"
        yield self._end


def _contents(file: StoredFile) -> Iterator[bytes]:
    left = file.size
    try:
        with open(file.path, "rb", buffering=0) as stream:  # noqa: PTH123 (unbuffered)
            if os.fstat(stream.fileno()).st_size != file.size:
                left = -1
            while left > 0 and (data := stream.read(min(CHUNK, left))):
                left -= len(data)
                yield data
    except OSError as error:
        msg = f"{file.path} cannot be read ({error.strerror or error}); nothing of it was stored."
        raise SourceError(msg) from error
    if left:
        msg = f"{file.path} changed while it was being sent; send it again when it is complete."
        raise SourceError(msg)


def read_store_answer(answer: Answer) -> StoreAnswer:
    """Understand the answer to a STOW-RS request.

    Raises
    ------
    BadResponseError
        If it is no DICOM JSON object.
    NotStoredError
        If everything was refused without saying why.
    """
    document = answer.json()
    if document is None and answer.status == 409:
        msg = f"{shown(answer.url)} refused to store (HTTP 409) and gave no reason; see the server's log."
        raise NotStoredError(msg)
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        msg = f"{shown(answer.url)} did not say what became of the objects; run again to see what is there."
        raise BadResponseError(msg)
    found = StoreAnswer()
    for item in _items(document, _REFERENCED):
        uid = _value(item, _SOP_INSTANCE)
        if isinstance(uid, str):
            found.stored.add(uid)
            code = _value(item, _WARNING)
            if isinstance(code, int):
                found.changed[uid] = _CHANGES.get(code, "stored it with a warning") + f" ({code:04X})"
    for item in _items(document, _FAILED):
        uid = _value(item, _SOP_INSTANCE)
        if isinstance(uid, str):
            found.failed[uid] = _failure(_value(item, _FAILURE))
    found.stored -= found.failed.keys()
    return found


def _items(document: Mapping, tag: str) -> list[Mapping]:
    attribute = document.get(tag)
    items = attribute.get("Value") if isinstance(attribute, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _value(item: Mapping, tag: str) -> object:
    attribute = item.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _failure(code: object) -> str:
    if not isinstance(code, int) or not 0 <= code <= 0xFFFF:
        return "the server gave no reason"
    known = _REASONS.get(code) or _REASONS.get(code >> 8) or _REASONS.get(code >> 12)
    return f"{known or 'failed'} ({code:04X})"
