"""Reading a file piece by piece: what is in memory is bounded, whatever the file claims."""

from __future__ import annotations

import io
import zlib

from . import tags

FIRST_READ = 16 * 1024


class NotDicomError(Exception):
    """The file is not DICOM at all."""


class NotUnderstoodError(Exception):
    """The structure is not what the standard says, or the file ends too early."""


class ImplausibleError(Exception):
    """The file is formed as the standard says, but beyond any size that makes sense."""


def read_fully(stream: io.RawIOBase, count: int) -> bytes:
    """`count` bytes, fewer only at the end of the file (one system call may return less on network drives)."""
    data = stream.read(count) or b""
    while len(data) < count:
        more = stream.read(count - len(data))
        if not more:
            break
        data += more
    return data


class Window:
    """The part of a stream that is in memory, moved along as the walk proceeds."""

    def __init__(self, stream: io.RawIOBase, size: int, data: bytes, base: int):
        self.stream, self.size, self.data, self.base = stream, size, data, base

    def load(self, position: int, count: int) -> int:
        """Make `count` bytes from `position` present (fewer where the file ends); their offset in `data`."""
        offset = position - self.base
        if offset < 0 or offset + count > len(self.data):
            self.stream.seek(position)
            self.data = read_fully(self.stream, max(count, 4 * FIRST_READ))
            self.base, offset = position, 0
        return offset

    def check_length(self, tag: int, value: int, length: int) -> None:
        """Refuse an element whose value would go beyond the end of the file."""
        if value + length > self.size:
            left = max(self.size - value, 0)
            msg = f"the element {tags.name(tag)} claims {length} bytes, but the file ends after {left}"
            raise NotUnderstoodError(msg)


class InflatedStream(io.RawIOBase):
    """A deflated data set read forward, without ever holding more than a step of it.

    Position 0 is the start of the file: the bytes before `start` are not deflated.
    """

    _STEP = 1024 * 1024

    def __init__(self, stream: io.RawIOBase, start: int):
        self._stream, self._start = stream, start
        self._rewind()

    def _rewind(self) -> None:
        self._stream.seek(self._start)
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._position = self._start

    def close(self) -> None:
        """Close the file as well."""
        self._stream.close()
        super().close()

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position counted from the start of the file."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation
        if position < self._position:
            self._rewind()
        while self._position < position and self.read(min(self._STEP, position - self._position)):
            pass
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Up to `count` inflated bytes (at most one step where `count` is negative)."""
        pieces = []
        missing = self._STEP if count < 0 else count
        while missing > 0:
            packed = self._inflate.unconsumed_tail or self._stream.read(64 * 1024)
            if self._inflate.eof or not packed:
                break
            try:
                pieces.append(self._inflate.decompress(packed, missing))
            except zlib.error as error:
                msg = f"its deflated data are damaged ({error})"
                raise NotUnderstoodError(msg) from error
            missing -= len(pieces[-1])
        data = b"".join(pieces)
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        """Fill as much of `buffer` as there is data for."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
