"""What parent and child say to each other through pipes."""

from __future__ import annotations

import io
import struct

READY = b"DicomAnalysis decoder\n"
"""First words of a child; whatever else an interpreter prints on its way is not them."""

REQUEST = struct.Struct("<64sHHBBB??I")
"""Transfer syntax; rows, columns, bits allocated, bits stored, high bit, signed, big endian; bytes that follow."""
ANSWER = struct.Struct("<4sI")
"""The array's type (``<i2``) or `FAILED`; bytes that follow: its values, or why there are none."""
FAILED = b"fail"

TYPES = {b"|u1\0": 1, b"|i1\0": 1, b"<u2\0": 2, b"<i2\0": 2, b"<u4\0": 4, b"<i4\0": 4}
"""Types that are accepted, and their width."""


def read_exactly(stream: io.RawIOBase, buffer: memoryview) -> bool:
    """Fill a buffer; False where the stream ends before."""
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done:])
        if not count:
            return False
        done += count
    return True


def write_all(stream: io.RawIOBase, data: bytes | memoryview) -> None:
    """Write everything, in however many pieces."""
    view = memoryview(data)
    while len(view):
        view = view[stream.write(view) or 0 :]
