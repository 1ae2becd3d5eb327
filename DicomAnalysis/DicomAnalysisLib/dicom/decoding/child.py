"""The child process: decodes frame after frame until its input ends.

It imports as little as it can, for it is waited for.
"""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
from types import SimpleNamespace

from .. import codecs
from . import protocol

SPARE_BYTES = 192 * 1024 * 1024
"""Memory beside that for the frame: what a codec allocates whatever its size."""
TIMES = 10
"""How many times a frame's values, as 32-bit integers, a codec may need: JPEG 2000 takes the most."""
SECONDS, SECONDS_PER_MEGABYTE = 10.0, 1.0
"""Longest that a frame may take: a hundred times what the slowest codec does."""


def main() -> None:
    """Serve requests from standard input."""
    requests = io.FileIO(os.dup(0), "rb")
    answers = io.FileIO(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # what codecs print must not get in between
        os.dup2(null, descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all of its processes; the parent decides
    codecs.warm_up()
    base = address_space()
    protocol.write_all(answers, protocol.READY)
    head = bytearray(protocol.REQUEST.size)
    with open(os.devnull, "w") as silent:  # noqa: PTH123 (this process imports no pathlib)
        while protocol.read_exactly(requests, memoryview(head)):
            syntax, *fields, length = protocol.REQUEST.unpack(head)
            names = ("rows", "columns", "bits_allocated", "bits_stored", "high_bit", "signed", "big_endian")
            pixels = SimpleNamespace(**dict(zip(names, fields, strict=True)))
            pixels.frame_bytes = pixels.rows * pixels.columns * pixels.bits_allocated // 8
            data = bytearray(length)
            if not protocol.read_exactly(requests, memoryview(data)):
                break
            limit_memory(base, pixels.rows * pixels.columns * 4, length)
            megabytes = (pixels.frame_bytes + length) / 2**20
            faulthandler.dump_traceback_later(SECONDS + SECONDS_PER_MEGABYTE * megabytes, exit=True, file=silent)
            kind, answer = decode(bytes(data), syntax.rstrip(b"\0").decode(), pixels)
            faulthandler.cancel_dump_traceback_later()
            protocol.write_all(answers, protocol.ANSWER.pack(kind, len(answer)))
            protocol.write_all(answers, answer)


def decode(data: bytes, transfer_syntax: str, pixels: SimpleNamespace) -> tuple[bytes, bytes | memoryview]:
    """Kind and bytes of the answer."""
    try:
        values = codecs.decode_frame(data, transfer_syntax, pixels)
        # In place where they are contiguous and little-endian, as they nearly always are.
        values = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
        return values.dtype.str.encode(), memoryview(values.reshape(-1).view("u1"))
    except codecs.CodecError as error:
        return protocol.FAILED, str(error).encode("utf-8", "replace")
    except MemoryError:
        return protocol.FAILED, b"decoding it takes more memory than a frame of its size can need"
    except BaseException as error:  # noqa: BLE001 (codecs raise what is no Exception, and the parent waits)
        return protocol.FAILED, f"its decoder failed ({type(error).__name__}: {error})"[:500].encode("utf-8", "replace")


def address_space() -> int:
    """Bytes of this process's address space; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as stream:  # noqa: PTH123 (this process imports no pathlib)
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def limit_memory(base: int, frame: int, data: int) -> None:
    """Allow as much memory as a frame can need; without effect where the system does not tell or limit it."""
    if not base:
        return
    import resource

    wanted = base + SPARE_BYTES + TIMES * frame + 4 * data
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


if __name__ == "__main__":
    main()
    sys.exit(0)
