"""The parent's side: children started when needed, one for each frame in work, replaced when they crash."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import codecs
from ..codecs import CodecError
from ..facts import PixelFormat
from . import protocol
from .interpreter import find_interpreter

logger = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
"""How long children wait for another series before they are ended."""
MAX_INSIDE_BYTES = 64 * 1024 * 1024
"""Largest frame that is decoded inside this process, where there can be no child."""
_START_SECONDS = 60.0
_LIBRARY = Path(__file__).resolve().parents[3]
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from DicomAnalysisLib.dicom.decoding.child import main; main()"
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
"""Halves the time to import numpy; a child uses one core."""
_PIPE_BYTES = 1024 * 1024


class _EndedError(Exception):
    """A child is no more, or never was."""


class _Child:
    """One child process."""

    def __init__(self, interpreter: str):
        options = {} if os.name == "nt" else {"pipesize": _PIPE_BYTES}
        if os.name == "nt":
            options["creationflags"] = subprocess.CREATE_NO_WINDOW
        command = [interpreter, "-c", _PROGRAM, str(_LIBRARY)]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "bufsize": 0}
        try:
            self._process = subprocess.Popen(command, env=os.environ | _ONE_THREAD, **streams, **options)
        except OSError as error:
            raise _EndedError(str(error)) from error
        # A launcher that hangs must not hang us.
        too_late = threading.Timer(_START_SECONDS, self._process.kill)
        too_late.daemon = True
        too_late.start()
        try:
            self._wait_until_ready()
        finally:
            too_late.cancel()

    def _wait_until_ready(self) -> None:
        said = b""
        while not said.endswith(protocol.READY):
            more = self._process.stdout.read(1) if len(said) < 65536 else b""
            if not more:
                self.end()
                msg = "the child process did not start"
                raise _EndedError(msg)
            said += more

    def decode(self, data: bytes, transfer_syntax: str, pixels: PixelFormat, target: np.ndarray | None) -> np.ndarray:
        """As `decode_frame`.

        Raises
        ------
        CodecError
            If the child says that the frame is damaged.
        _EndedError
            If the child ended.
        """
        head = protocol.REQUEST.pack(
            transfer_syntax.encode("ascii", "replace")[:64],
            *(pixels.rows, pixels.columns, pixels.bits_allocated, pixels.bits_stored, pixels.high_bit),
            *(pixels.signed, pixels.big_endian, len(data)),
        )
        try:
            protocol.write_all(self._process.stdin, head + data if len(data) < 65536 else head)
            if len(data) >= 65536:
                protocol.write_all(self._process.stdin, data)
            return self._answer(pixels, target)
        except (OSError, ValueError) as error:  # a closed pipe, or one to a child that has ended
            raise _EndedError(str(error)) from error

    def _answer(self, pixels: PixelFormat, target: np.ndarray | None) -> np.ndarray:
        stream: io.RawIOBase = self._process.stdout
        head = bytearray(protocol.ANSWER.size)
        if not protocol.read_exactly(stream, memoryview(head)):
            raise _EndedError
        kind, length = protocol.ANSWER.unpack(head)
        if kind == protocol.FAILED and length < 65536:
            reason = bytearray(length)
            if not protocol.read_exactly(stream, memoryview(reason)):
                raise _EndedError
            raise CodecError(reason.decode("utf-8", "replace"))
        width = protocol.TYPES.get(kind)
        if width is None or length != pixels.rows * pixels.columns * width:
            raise _EndedError
        dtype = np.dtype(kind.rstrip(b"\0").decode())
        if target is not None and target.itemsize == width and target.nbytes == length:
            values = target.view(dtype)
        else:
            values = np.empty((pixels.rows, pixels.columns), dtype)
        if not protocol.read_exactly(stream, memoryview(values.reshape(-1).view(np.uint8))):
            raise _EndedError
        return values if sys.byteorder == "little" else values.byteswap().view(dtype.newbyteorder())

    def end(self) -> None:
        """End the child and take its leave."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)


class DecoderPool:
    """Some children, started when they are needed.

    Parameters
    ----------
    interpreter : str or None
        What to start; None: there is none, and frames are decoded in this process.
    size : int
        How many there are, at most.
    """

    def __init__(self, interpreter: str | None, size: int):
        self._interpreter, self.size = interpreter, size
        self._free: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @property
    def is_inside(self) -> bool:
        """Whether frames are decoded in this process, because no child can be started."""
        return self._interpreter is None

    def decode(self, data: bytes, transfer_syntax: str, pixels: PixelFormat, target: np.ndarray | None) -> np.ndarray:
        """As `decode_frame`; waits until a child is free."""
        if self._interpreter is None:
            return self._decode_inside(data, transfer_syntax, pixels)
        child = self._free.get()
        try:
            if child is None:
                try:
                    child = _Child(self._interpreter)
                except _EndedError:
                    logger.warning("%s cannot be started: compressed frames are decoded inside", self._interpreter)
                    self._interpreter = None
                    return self._decode_inside(data, transfer_syntax, pixels)
            return child.decode(data, transfer_syntax, pixels, target)
        except _EndedError:
            child.end()
            child = None
            msg = "its decoder crashed or was stopped, which damaged pixel data can make it do"
            raise CodecError(msg) from None
        finally:
            self._free.put(child)

    def close(self) -> None:
        """End the children that are free."""
        children = []
        with contextlib.suppress(queue.Empty):
            while True:
                children.append(self._free.get_nowait())
        for child in children:
            self._free.put(None)
            if child is not None:
                child.end()

    @staticmethod
    def _decode_inside(data: bytes, transfer_syntax: str, pixels: PixelFormat) -> np.ndarray:
        if pixels.rows * pixels.columns * 4 > MAX_INSIDE_BYTES:
            msg = (
                f"a frame of {pixels.rows} x {pixels.columns} pixels is too large to be decoded without a child process"
            )
            raise CodecError(msg)
        return codecs.decode_frame(data, transfer_syntax, pixels)


class _Shared:
    """The pool of this process, how large it is to be, and when it is to end."""

    def __init__(self, size: int = 0) -> None:
        self.size = size or os.cpu_count() or 1
        self.lock = threading.Lock()
        self.users = 0
        self.pool: DecoderPool | None = None
        self.ending: threading.Timer | None = None


_shared = _Shared()


def limit_decoders(count: int) -> None:
    """Have so many children at most, not one for each core; for a process that shares them, before its first frame."""
    _shared.size = count


@contextlib.contextmanager
def decoders() -> Iterator[DecoderPool]:
    """The children of this process, for as long as they are used; afterwards they wait a while for the next series."""
    shared = _shared
    with shared.lock:
        shared.users += 1
        if shared.ending is not None:
            shared.ending.cancel()
            shared.ending = None
        if shared.pool is None:
            shared.pool = DecoderPool(find_interpreter(), shared.size)
        pool = shared.pool
    try:
        yield pool
    finally:
        with shared.lock:
            shared.users -= 1
            if not shared.users and not pool.is_inside:
                shared.ending = threading.Timer(IDLE_SECONDS, _end_idle, (shared,))
                shared.ending.daemon = True
                shared.ending.start()


def decode_frame(
    data: bytes, transfer_syntax: str, pixels: PixelFormat, target: np.ndarray | None = None
) -> np.ndarray:
    """Stored values of one compressed frame, decoded in a child process (see `codecs.decode_frame`).

    Parameters
    ----------
    data, transfer_syntax, pixels
        As `codecs.decode_frame`.
    target : array of shape (rows, columns), optional
        Contiguous integers; the values are read straight into it where they are as wide.

    Returns
    -------
    array of shape (rows, columns)
        A view of `target` where that was used.

    Raises
    ------
    CodecError
        If the frame is damaged, or its decoder crashes, takes too long or too much memory.
    """
    with decoders() as pool:
        return pool.decode(data, transfer_syntax, pixels, target)


def inside_warning() -> str | None:
    """What to say of frames that had to be decoded in this process; None where they had not."""
    pool = _shared.pool
    if pool is None or not pool.is_inside:
        return None
    return (
        "Compressed pixel data were decoded inside this program, because no Python interpreter was found to do it "
        "beside it: a damaged file could have ended the program."
    )


def end_children() -> None:
    """End all children that are not at work."""
    with _shared.lock:
        if _shared.pool is not None:
            _shared.pool.close()


def _end_idle(shared: _Shared) -> None:
    with shared.lock:
        if not shared.users and shared.pool is not None:
            shared.pool.close()


def _forget() -> None:
    """In a process forked from this one: the children are its parent's."""
    global _shared
    _shared = _Shared(_shared.size)


atexit.register(end_children)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
