"""multipart/related messages (RFC 2046 section 5.1, PS3.18 section 8.6), a piece at a time.

What is in memory is one piece and the length of a delimiter, however long a part is. Parts are
ended by delimiters alone; lengths that a part's header claims are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser

from .errors import BadResponseError, InterruptedTransferError

MAX_HEADERS = 16 * 1024
"""Longest header of a part, and longest preamble."""
MAX_BOUNDARY = 200
"""The standard allows 70 characters; some servers take more."""


@dataclass(frozen=True)
class Part:
    """One part: its media type (empty where not stated) and its contents, to be read before the next part."""

    content_type: str
    chunks: Iterator[bytes]


class MultipartReader:
    """The parts of a multipart message.

    Parameters
    ----------
    chunks : iterator of bytes
        The body, cut anywhere.
    boundary : str
        From the Content-Type of the message.
    name : str
        What the message is, for error messages.

    Raises
    ------
    BadResponseError
        If there is no boundary.
    """

    def __init__(self, chunks: Iterator[bytes], boundary: str, name: str):
        if not 1 <= len(boundary) <= MAX_BOUNDARY or not boundary.isascii():
            msg = f"{name} answered with a multipart message without a usable boundary."
            raise BadResponseError(msg)
        self._chunks, self._name = chunks, name
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The first delimiter may stand at the very beginning, without the line end of its own.
        self._buffer = b"\r\n"

    def parts(self) -> Iterator[Part]:
        """The parts in order; what is left unread of one is passed over.

        Raises
        ------
        InterruptedTransferError
            If the message ends without its closing delimiter.
        BadResponseError
            If it is not formed as a multipart message.
        """
        self._skip_preamble()
        while not self._at_end():
            content_type = self._read_headers()
            body = self._until_delimiter()
            yield Part(content_type, body)
            for _ in body:
                pass
        for _ in self._chunks:  # read to the end, so that the connection can be used again
            pass

    def _skip_preamble(self) -> None:
        skipped = 0
        for data in self._until_delimiter():
            skipped += len(data)
            if skipped > MAX_HEADERS:
                msg = f"{self._name} answered with something that does not begin like a multipart message."
                raise BadResponseError(msg)

    def _until_delimiter(self) -> Iterator[bytes]:
        keep = len(self._delimiter) - 1
        while True:
            buffer = self._buffer
            end = buffer.find(self._delimiter)
            if end >= 0:
                self._buffer = buffer[end + len(self._delimiter) :]
                if end:
                    yield buffer[:end]
                return
            if len(buffer) > keep:
                self._buffer = buffer[-keep:]
                yield buffer[:-keep]
            self._load()

    def _at_end(self) -> bool:
        """Whether the delimiter just passed is the closing one; else go to the end of its line."""
        while len(self._buffer) < 2:
            self._load()
        if self._buffer.startswith(b"--"):
            return True
        line = self._find(b"\r\n")
        if self._buffer[:line].strip(b" \t"):
            msg = f"{self._name} answered with a multipart message whose delimiters are followed by something else."
            raise BadResponseError(msg)
        self._buffer = self._buffer[line:]
        return False

    def _read_headers(self) -> str:
        end = self._find(b"\r\n\r\n")
        headers = BytesHeaderParser().parsebytes(self._buffer[2 : end + 2])
        self._buffer = self._buffer[end + 4 :]
        return headers.get_content_type() if "Content-Type" in headers else ""

    def _find(self, what: bytes) -> int:
        """Where `what` begins in the buffer, which grows to at most `MAX_HEADERS` for it."""
        while (at := self._buffer.find(what)) < 0:
            if len(self._buffer) > MAX_HEADERS:
                msg = f"{self._name} answered with a multipart message whose part has too long a header."
                raise BadResponseError(msg)
            self._load()
        return at

    def _load(self) -> None:
        data = next(self._chunks, b"")
        if not data:
            msg = f"The answer of {self._name} broke off: its last delimiter is missing."
            raise InterruptedTransferError(msg)
        self._buffer += data
