"""Decoding one compressed frame to stored values.

Which decoder, and why:

- **imagecodecs** (BSD-3-Clause) where it is installed: the fastest on every syntax measured (JPEG
  Lossless a third, JPEG-LS less than half of SimpleITK's time), it releases the GIL so that frames decode
  on all cores, it takes memory in and gives an array out, and its codecs are the maintained ones: libjpeg-turbo
  (all of JPEG: baseline, 12 bit, progressive, lossless), CharLS, OpenJPEG, and an RLE decoder of its own.
- **pydicom's** own decoder (MIT) for RLE and **SimpleITK** (Apache-2.0) for the rest where imagecodecs is
  absent, as inside Slicer, which bundles both: the frame is wrapped in a minimal file without
  rescale, so that stored values come back.
- Not pylibjpeg-libjpeg (GPL-3), and not python-gdcm (it aborts the process on damaged JPEG-LS).

`decode_frame` is the one door through which untrusted compressed data pass; it is called in a child
process (see `decoding`), which imports this module and waits for nothing that it does not need.
Before a decoder sees a frame, the dimensions that its codestream declares are compared with
those of the header: what would decode to more than the slice that was asked for is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .facts import PixelFormat

RLE = "1.2.840.10008.1.2.5"
JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 52, 53, 54, 55, 56, 57, 58, 70))
JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))
JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203))

_SOC_SIZ = b"\xff\x4f\xff\x51"
_JPEG_FRAMES = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
_EOI = b"\xff\xd9"


class CodecError(Exception):
    """One frame cannot be decoded; the message says why."""


@dataclass(frozen=True)
class Codestream:
    """What a compressed frame says of itself."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool


def is_supported(transfer_syntax: str) -> bool:
    """Whether frames of a compressed transfer syntax can be decoded."""
    return transfer_syntax == RLE or transfer_syntax in JPEG | JPEG_LS | JPEG_2000


def warm_up() -> None:
    """Load what decodes frames, so that the first one takes no longer than the others."""
    try:
        import imagecodecs
    except ImportError:
        return
    for name in ("jpeg8_decode", "jpeg2k_decode", "jpegls_decode", "dicomrle_decode"):
        getattr(imagecodecs, name)


def decode_frame(data: bytes, transfer_syntax: str, pixels: PixelFormat) -> np.ndarray:
    """Stored values of one compressed frame.

    Parameters
    ----------
    data : bytes
        The frame's fragments, joined.
    transfer_syntax : str
    pixels : PixelFormat
        From the header. Where the codestream contradicts it in sign or precision, the codestream is
        believed: a signed JPEG 2000 stream holds signed values, and an unsigned one that fills
        the stored bits of a signed header holds two's complement.

    Returns
    -------
    array of shape (rows, columns)
        8-, 16- or 32-bit integers, signed as they are meant.

    Raises
    ------
    CodecError
        If the frame is damaged, cut short or not of the declared size, or no decoder is installed.
    """
    shape = (pixels.rows, pixels.columns)
    if transfer_syntax == RLE:
        stored = _decode_rle(data, pixels)
        return two_s_complement(stored, pixels.bits_stored, pixels.signed)
    stream = describe(data, transfer_syntax)
    if (stream.rows, stream.columns) != shape or stream.components != 1:
        msg = (
            f"its frame is {stream.rows} x {stream.columns} with {stream.components} component(s), "
            f"its header says {pixels.rows} x {pixels.columns} with 1"
        )
        raise CodecError(msg)
    stored = _decode_jpeg_family(data, transfer_syntax, stream)
    if stored.shape != shape:
        msg = f"decoding gave {stored.shape}, not {shape}"
        raise CodecError(msg)
    if stream.signed or stored.dtype.kind == "i":
        return stored
    full = stream.precision >= pixels.bits_stored
    return two_s_complement(stored, min(stream.precision, pixels.bits_stored), pixels.signed and full)


def two_s_complement(stored: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Keep the lowest `bits` of unsigned values and read them as signed where `signed`; in place where it can."""
    width = stored.dtype.itemsize * 8
    if not signed:
        if bits < width and stored.size and int(stored.max()) >> bits:
            stored = np.bitwise_and(stored, (1 << bits) - 1)
        return stored
    values = stored.view(stored.dtype.str.replace("u", "i"))
    if bits < width:
        values = (values << (width - bits)) >> (width - bits)
    return values


def describe(data: bytes, transfer_syntax: str) -> Codestream:
    """Read size and precision from a codestream's own header.

    Raises
    ------
    CodecError
        If the data do not begin like such a stream, or end before it does.
    """
    if transfer_syntax in JPEG_2000:
        return _describe_jpeg_2000(data)
    if transfer_syntax in JPEG | JPEG_LS:
        return _describe_jpeg(data)
    msg = f"transfer syntax {transfer_syntax} is not supported"
    raise CodecError(msg)


def _describe_jpeg_2000(data: bytes) -> Codestream:
    start = data.find(_SOC_SIZ, 0, 4096)  # some vendors wrap the codestream in a JP2 container
    if start < 0 or len(data) < start + 45:
        msg = "its frame is not JPEG 2000"
        raise CodecError(msg)
    right, bottom, left, top = struct.unpack_from(">4L", data, start + 8)
    components, depth = struct.unpack_from(">HB", data, start + 40)
    return Codestream(bottom - top, right - left, components, (depth & 0x7F) + 1, bool(depth & 0x80))


def _describe_jpeg(data: bytes) -> Codestream:
    position = 2
    while data.startswith(b"\xff\xd8") and position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _JPEG_FRAMES:
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, position + 4)
            # libjpeg pads a stream that was cut with grey and only warns; the end marker tells.
            if _EOI not in data[-64:]:
                msg = "its frame is cut short"
                raise CodecError(msg)
            return Codestream(rows, columns, components, precision, False)
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    msg = "its frame is not JPEG"
    raise CodecError(msg)


def _decode_rle(data: bytes, pixels: PixelFormat) -> np.ndarray:
    dtype = np.dtype(f"<u{pixels.bits_allocated // 8}")
    try:
        import imagecodecs

        decoded = imagecodecs.dicomrle_decode(data, dtype)
    except ImportError:
        decoded = _pydicom_rle(data, pixels)
    except (RuntimeError, ValueError) as error:
        msg = f"its RLE frame is damaged ({error})"
        raise CodecError(msg) from error
    if len(decoded) < pixels.frame_bytes:
        msg = f"its RLE frame is cut short: {len(decoded)} of {pixels.frame_bytes} bytes"
        raise CodecError(msg)
    count = pixels.rows * pixels.columns
    return np.frombuffer(bytearray(decoded), dtype, count).reshape(pixels.rows, pixels.columns)


def _decode_jpeg_family(data: bytes, transfer_syntax: str, stream: Codestream) -> np.ndarray:
    try:
        import imagecodecs
    except ImportError:
        return _simpleitk_decode(data, transfer_syntax, stream)
    if transfer_syntax in JPEG_2000:
        decode = imagecodecs.jpeg2k_decode
    elif transfer_syntax in JPEG_LS:
        decode = imagecodecs.jpegls_decode
    else:
        decode = imagecodecs.jpeg8_decode
    try:
        return decode(data)
    except (RuntimeError, ValueError) as error:
        msg = f"its frame is damaged ({error})"
        raise CodecError(msg) from error


def _pydicom_rle(data: bytes, pixels: PixelFormat) -> bytes:
    from pydicom.pixels import get_decoder
    from pydicom.uid import RLELossless

    options = {
        "transfer_syntax_uid": RLELossless,
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_allocated,
        "pixel_representation": 0,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    item = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(data)) + data
    try:
        decoded, _ = get_decoder(RLELossless).as_array(item, index=0, raw=True, **options)
    except (RuntimeError, ValueError, AttributeError) as error:
        msg = f"its RLE frame is damaged ({error})"
        raise CodecError(msg) from error
    return decoded.astype(f"<u{pixels.bits_allocated // 8}").tobytes()


def _simpleitk_decode(data: bytes, transfer_syntax: str, stream: Codestream) -> np.ndarray:
    """Decode through a file of one frame that says what the codestream says: SimpleITK reads files only."""
    import tempfile
    from pathlib import Path

    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import generate_uid

    try:
        import SimpleITK as sitk
    except ImportError:
        msg = "no decoder is installed; install imagecodecs or SimpleITK"
        raise CodecError(msg) from None
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=["frame"])
    dataset.Modality = "OT"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = stream.rows, stream.columns, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 if stream.precision <= 8 else 16 if stream.precision <= 16 else 32
    dataset.BitsStored, dataset.HighBit = stream.precision, stream.precision - 1
    dataset.PixelRepresentation = int(stream.signed)
    dataset.PixelData = encapsulate([data])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.dcm"
        dataset.save_as(path, enforce_file_format=True)
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError as error:
            msg = "its frame is damaged"
            raise CodecError(msg) from error
        return sitk.GetArrayFromImage(image).reshape(-1, stream.columns)
