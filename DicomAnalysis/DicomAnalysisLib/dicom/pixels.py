"""Stored values of one frame into rescaled values of one slice, without a copy where there need be none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ..errors import DecodingError
from .codecs import CodecError, is_supported, two_s_complement
from .decoding.pool import decode_frame
from .fragments import FragmentError, index_frames
from .instance import Instance
from .window import NotUnderstoodError

INT16 = np.iinfo(np.int16)


class DoesNotFitError(Exception):
    """Rescaled values of a slice are beyond 16 bits; the volume must be read as float32."""


def read_slice(instance: Instance, frame_number: int, out: np.ndarray) -> None:
    """Read one frame and rescale it: ``out = slope * stored + intercept``.

    Parameters
    ----------
    instance : Instance
    frame_number : int
        Counted from 1.
    out : array of shape (rows, columns), int16 or float32, contiguous
        Where the values go; native 16-bit pixels are read straight into it.

    Raises
    ------
    DecodingError
        If the pixel data are damaged, cut short, or of a transfer syntax without decoder.
    DoesNotFitError
        If `out` is int16 and a value would not fit.
    """
    frame = instance.frames[frame_number - 1]
    with _named(instance, frame_number):
        if out.dtype == np.int16 and not instance.is_encapsulated and instance.pixels.bits_allocated == 16:
            stored = _read_native(instance, frame_number, out)
        elif instance.is_encapsulated:
            stored = _read_encapsulated(instance, frame_number, out if out.dtype == np.int16 else None)
        else:
            stored = read_stored(instance, frame_number)
    if out.dtype == np.int16:
        # Only masked pixels are sure to stay within the bits stored.
        bits = instance.pixels.bits_stored if not instance.is_encapsulated else stored.itemsize * 8
        _rescale_in_place(stored, bits, frame.slope, frame.intercept, out)
    else:
        out[...] = stored * frame.slope + frame.intercept


def read_stored(instance: Instance, frame_number: int) -> np.ndarray:
    """Stored values of one frame: integers of shape (rows, columns), signed as they are meant.

    Raises
    ------
    DecodingError
        As `read_slice`.
    """
    pixels = instance.pixels
    with _named(instance, frame_number):
        if instance.is_encapsulated:
            return _read_encapsulated(instance, frame_number)
        target = np.empty((pixels.rows, pixels.columns), f"u{pixels.bits_allocated // 8}")
        return _read_native(instance, frame_number, target)


def read_encoded(instance: Instance, frame_number: int) -> bytes:
    """The bytes of one frame as they are in the file: compressed, or plain.

    Raises
    ------
    DecodingError
        If the frame cannot be found or the file ends before it does.
    """
    with _named(instance, frame_number), instance.open() as stream:
        if not instance.is_encapsulated:
            length = instance.pixels.frame_bytes
            spans = [(instance.location.offset + (frame_number - 1) * length, length)]
        else:
            spans = _frame_spans(instance)[frame_number - 1]
        pieces = []
        for position, length in spans:
            stream.seek(position)
            pieces.append(stream.read(length))
            if len(pieces[-1]) < length:
                msg = "the file ends inside the frame"
                raise FragmentError(msg)
        return b"".join(pieces)


@contextlib.contextmanager
def _named(instance: Instance, frame_number: int) -> Iterator[None]:
    """Put the file's name to whatever goes wrong with its pixels."""
    try:
        yield
    except (CodecError, FragmentError, NotUnderstoodError, OSError) as error:
        where = f"{instance.path}, frame {frame_number}" if len(instance.frames) > 1 else instance.path
        msg = f"{where}: {error}; the pixel data cannot be read. Export or copy the file again, or leave it out."
        raise DecodingError(msg) from error


@lru_cache(maxsize=4)
def _frame_spans(instance: Instance) -> list[list[tuple[int, int]]]:
    where = instance.location
    with instance.open() as stream:
        return index_frames(stream, where.offset, where.size, len(instance.frames), where.offset_table)


def _read_encapsulated(instance: Instance, frame_number: int, target: np.ndarray | None = None) -> np.ndarray:
    """Decode a compressed frame, into `target` where its values are 16 bits wide."""
    syntax = instance.facts.transfer_syntax
    if not is_supported(syntax):
        msg = f"there is no decoder for its transfer syntax {syntax}"
        raise CodecError(msg)
    return decode_frame(read_encoded(instance, frame_number), syntax, instance.pixels, target)


def _read_native(instance: Instance, frame_number: int, target: np.ndarray) -> np.ndarray:
    """Read an uncompressed frame into `target` (any integer of the right width); the stored values, a view of it."""
    pixels = instance.pixels
    buffer = memoryview(target.reshape(-1).view(np.uint8))
    with instance.open() as stream:
        stream.seek(instance.location.offset + (frame_number - 1) * pixels.frame_bytes)
        done = 0
        while done < len(buffer):
            count = stream.readinto(buffer[done:])
            if not count:
                msg = f"the file ends after {done} of {len(buffer)} bytes of the frame"
                raise FragmentError(msg)
            done += count
    stored = target.view(f"u{pixels.bits_allocated // 8}")
    if pixels.big_endian:
        if pixels.bits_allocated > 8:
            stored.byteswap(inplace=True)
        elif instance.location.vr == b"OW" and stored.size % 2 == 0:
            stored.reshape(-1).view(np.uint16).byteswap(inplace=True)  # bytes were written as words
    shift = pixels.high_bit + 1 - pixels.bits_stored
    if shift:
        stored >>= shift
    return two_s_complement(stored, pixels.bits_stored, pixels.signed)


def _rescale_in_place(stored: np.ndarray, bits: int, slope: float, intercept: float, out: np.ndarray) -> None:
    """Whole-numbered rescale into int16; `stored` may be a view of `out`.

    Wrapping 16-bit arithmetic is exact whenever the result fits, whatever the intermediate.
    """
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if stored.dtype.kind == "i" else (0, (1 << bits) - 1)
    if not _fits(low, high, slope, intercept) and not _fits(int(stored.min()), int(stored.max()), slope, intercept):
        raise DoesNotFitError
    if stored.itemsize > 2:
        out[...] = stored.astype(np.int64) * int(slope) + int(intercept)
        return
    if stored.itemsize < 2:
        out[...] = stored
    elif not np.may_share_memory(stored, out):
        np.copyto(out.view(stored.dtype), stored)
    if slope != 1:
        np.multiply(out, _wrap(slope), out=out)
    if intercept:
        np.add(out, _wrap(intercept), out=out)


def _fits(low: int, high: int, slope: float, intercept: float) -> bool:
    ends = low * slope + intercept, high * slope + intercept
    return min(ends) >= INT16.min and max(ends) <= INT16.max


def _wrap(value: float) -> np.int16:
    """A whole number modulo 2**16, as 16-bit arithmetic sees it."""
    return np.uint16(int(value) & 0xFFFF).view(np.int16)
