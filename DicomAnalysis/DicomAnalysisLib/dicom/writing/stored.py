"""Stored values of one frame with masked voxels set to air, all others as they are in the source."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset

from ...preprocessing.cleaning import AIR_HU
from ..facts import PixelFormat
from ..frames import Frame
from ..instance import Instance
from ..pixels import read_encoded

MIN_BITS_STORED = 12


@dataclass(frozen=True)
class Air:
    """How air is stored in one frame.

    Attributes
    ----------
    stored : int
        The value to store.
    hu : float
        What it stands for: -1000 as nearly as the frame's values allow.
    """

    stored: int
    hu: float


def value_range(pixels: PixelFormat) -> tuple[int, int]:
    """Lowest and highest value that the bits stored can hold."""
    bits = pixels.bits_stored
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if pixels.signed else (0, (1 << bits) - 1)


def air_of(pixels: PixelFormat, frame: Frame, padding: tuple[int, int] | None) -> Air:
    """The stored value nearest to -1000 HU that the frame can hold and that is not declared to be padding.

    Parameters
    ----------
    pixels : PixelFormat
    frame : Frame
        Its slope and intercept are the slice's own.
    padding : tuple of int or None
        Lowest and highest stored padding value.
    """
    low, high = value_range(pixels)
    wanted = round((AIR_HU - frame.intercept) / frame.slope)
    stored = min(max(wanted, low), high)
    if padding is not None and padding[0] <= stored <= padding[1]:
        # Towards denser values first: below air there is nothing that a window would show otherwise.
        up, down = padding[1] + 1, padding[0] - 1
        order = (up, down) if frame.slope > 0 else (down, up)
        stored = next((value for value in order if low <= value <= high), stored)
    return Air(stored, stored * frame.slope + frame.intercept)


def is_copied(instance: Instance) -> bool:
    """Whether the words of an instance are copied bit for bit.

    Compressed ones have to be decoded; and a CT image has 16 bits allocated and 12 to 16 of them stored
    (PS3.3 C.8.2.1), so that values laid out otherwise are written as the same numbers in that layout.
    """
    pixels = instance.pixels
    return not instance.is_encapsulated and pixels.bits_allocated == 16 and pixels.bits_stored >= MIN_BITS_STORED


def output_format(instance: Instance, low: int, high: int) -> PixelFormat:
    """How the frames of an instance are stored when they are written uncompressed.

    Parameters
    ----------
    instance : Instance
    low, high : int
        Lowest and highest stored value: what is decoded may need another sign or more bits than the
        header states, for there the codestream decides.
    """
    stated = instance.pixels
    if is_copied(instance):
        return replace(stated, big_endian=False)
    for signed, allocated, bits in (
        (stated.signed, 16, max(stated.bits_stored, MIN_BITS_STORED)),
        (stated.signed, 16, 16),
        (not stated.signed, 16, 16),
        (stated.signed, 32, 32),
        (not stated.signed, 32, 32),
    ):
        choice = replace(
            stated, bits_allocated=allocated, bits_stored=bits, high_bit=bits - 1, signed=signed, big_endian=False
        )
        ends = value_range(choice)
        if bits <= allocated and ends[0] <= low and high <= ends[1]:
            break
    return choice


def native_words(instance: Instance, frame_number: int) -> np.ndarray:
    """The words of an uncompressed frame, bit for bit: unsigned, shape (rows, columns), little endian.

    Raises
    ------
    DecodingError
        As `pixels.read_encoded`.
    """
    pixels = instance.pixels
    kind = f"u{pixels.bits_allocated // 8}"
    data = read_encoded(instance, frame_number)
    if pixels.big_endian and pixels.bits_allocated > 8:
        words = np.frombuffer(data, ">" + kind)
    elif pixels.big_endian and instance.location.vr == b"OW" and len(data) % 2 == 0:
        words = np.frombuffer(data, np.uint16).byteswap().view(np.uint8)  # bytes were written as words
    else:
        words = np.frombuffer(data, "<" + kind)
    return words.reshape(pixels.rows, pixels.columns)


def frame_bytes(values: np.ndarray, pixels: PixelFormat, mask: np.ndarray, air: Air, overlay_in_pixels: bool) -> bytes:
    """One frame, little endian, with the voxels of `mask` set to air.

    Parameters
    ----------
    values : array of shape (rows, columns)
        Decoded values, or words from `native_words`.
    pixels : PixelFormat
        As `output_format` gave it.
    mask : array of bool, shape (rows, columns)
    air : Air
    overlay_in_pixels : bool
        Whether bits beside the stored ones are an overlay, which stays.

    Returns
    -------
    bytes
        Outside the mask, every bit of native words is the source's, used or not.
    """
    size = pixels.bits_allocated // 8
    if values.dtype.kind == "i":
        values = values.astype(f"<i{size}").view(f"<u{size}")
    words = values.astype(f"<u{size}")
    if mask.any():
        shift = pixels.high_bit + 1 - pixels.bits_stored
        every = (1 << pixels.bits_allocated) - 1
        value = (air.stored << shift) & every  # two's complement: unused high bits repeat the sign
        if overlay_in_pixels:
            used = ((1 << pixels.bits_stored) - 1) << shift
            words[mask] = (words[mask] & (every ^ used)) | (value & used)
        else:
            words[mask] = value
    return words.tobytes()


def has_overlay_in_pixels(dataset: Dataset) -> bool:
    """Whether an overlay lies in unused bits of the pixels (retired in DICOM 2004)."""
    return any(
        element.tag.group & 0xFF00 == 0x6000 and element.tag.element == 0x0102 and element.value for element in dataset
    )


def drop_overlay_in_pixels(dataset: Dataset) -> None:
    """Remove overlays whose bits were in compressed pixels, which hold them no longer."""
    groups = {e.tag.group for e in dataset if e.tag.group & 0xFF00 == 0x6000 and e.tag.element == 0x0102 and e.value}
    for element in list(dataset):
        if element.tag.group in groups:
            del dataset[element.tag]
