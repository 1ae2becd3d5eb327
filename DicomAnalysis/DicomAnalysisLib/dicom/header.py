"""The few header elements that reading and indexing need, from one 16 KB read of a file.

A walk of our own (`walker`) is used because it is ten times faster than parsing the whole
header and bounded in time and memory for hostile files; where it does not understand a
file, pydicom is asked. Both give the same values on every file they were compared on.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnreadableFileError
from . import tags
from .walker import DEFLATED, PIXEL_GROUP, UNDEFINED_LENGTH, Walked, walk
from .window import ImplausibleError, InflatedStream, NotDicomError, NotUnderstoodError

if TYPE_CHECKING:
    import pydicom

MAX_FUNCTIONAL_GROUPS = 32 * 1024 * 1024
"""Longest header of a multi-frame instance that is parsed: some 8,000 frames. In memory it grows up to sixtyfold."""


class RefusedFileError(UnreadableFileError):
    """A file that is not read, and why.

    Attributes
    ----------
    path, reason : str
    series_uid : str
        Where the header gave one.
    is_dicom : bool
        Whether the file is DICOM at all; a folder of anything holds other files, too.
    """

    def __init__(self, path: str, reason: str, series_uid: str = "", is_dicom: bool = True):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason, self.series_uid, self.is_dicom = path, reason, series_uid, is_dicom


class Header:
    """Wanted elements of one file, decoded when asked for."""

    __slots__ = ("_encodings", "path", "walked")

    def __init__(self, path: str, walked: Walked):
        self.path, self.walked = path, walked
        self._encodings: list[str] | None = None

    def __contains__(self, tag: int) -> bool:
        return tag in self.walked.elements

    def text(self, tag: int) -> str:
        """The value as text without padding; empty where absent."""
        value = self.walked.elements.get(tag)
        if not value:
            return ""
        text = value.decode("ascii") if value.isascii() and b"\x1b" not in value else self._decode(value)
        return text.strip("\0 ")

    def texts(self, tag: int) -> list[str]:
        """The backslash-separated values as text."""
        text = self.text(tag)
        return [part.strip("\0 ") for part in text.split("\\")] if text else []

    def numbers(self, tag: int) -> list[float] | None:
        """Values of a decimal or integer string (DS, IS); None where absent or where one is not a number.

        "inf" and "nan" are answered as such: whoever uses the number refuses it by name.
        """
        texts = self.texts(tag)
        try:
            return [float(text) for text in texts] if texts else None
        except ValueError:
            return None

    def integers(self, tag: int, signed: bool = False) -> list[int]:
        """Values of a binary integer (US, SS: two bytes each); empty where absent or odd."""
        value = self.walked.elements.get(tag) or b""
        order = "big" if self.walked.big_endian else "little"
        return [int.from_bytes(value[k : k + 2], order, signed=signed) for k in range(0, len(value) - 1, 2)]

    def integer(self, tag: int, default: int | None = None) -> int | None:
        """The first value of an unsigned binary integer."""
        values = self.integers(tag)
        return values[0] if values else default

    def whole(self, tag: int) -> int:
        """The first value of an integer string; 0 where absent or absurd."""
        values = self.numbers(tag)
        return int(values[0]) if values and abs(values[0]) < 2**31 else 0

    @property
    def is_deflated(self) -> bool:
        """Whether positions count inflated bytes."""
        return self.walked.transfer_syntax == DEFLATED

    def dataset(self) -> pydicom.Dataset:
        """The whole header as pydicom reads it: for nested functional groups.

        Raises
        ------
        RefusedFileError
            If the header is implausibly long or pydicom cannot read it.
        """
        walked = self.walked
        count = (walked.pixel_offset or walked.size) - walked.dataset_start
        if count > MAX_FUNCTIONAL_GROUPS:
            raise RefusedFileError(self.path, f"its header of {count} bytes is longer than a header can be")
        with open_pixels(self.path, walked.dataset_start if self.is_deflated else 0) as stream:
            stream.seek(walked.dataset_start)
            content = io.BytesIO(stream.read(count))
        from pydicom.filereader import read_dataset  # a third of a second that an index of regular files does not need

        try:
            return read_dataset(
                content, walked.implicit, not walked.big_endian, stop_when=lambda tag, _vr, _length: tag >= 0x7FE00000
            )
        except Exception as error:
            reason = f"its header cannot be parsed ({type(error).__name__})"
            raise RefusedFileError(self.path, reason) from error

    def _decode(self, value: bytes) -> str:
        from pydicom.charset import convert_encodings, decode_bytes

        if self._encodings is None:
            names = self.walked.elements.get(tags.SPECIFIC_CHARACTER_SET, b"").decode("ascii", "replace")
            try:
                self._encodings = convert_encodings([name.strip("\0 ") for name in names.split("\\")])
            except LookupError:
                self._encodings = ["iso8859"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # undecodable bytes become replacement characters
            try:
                return decode_bytes(value, self._encodings, set())
            except (UnicodeError, LookupError):
                return value.decode("utf-8", "replace")


def read_header(path: str | Path, wanted: Container[int] = tags.IMAGE_TAGS, stop_group: int = PIXEL_GROUP) -> Header:
    """Read the wanted elements of one file's header.

    Parameters
    ----------
    path : str or Path
    wanted : set of int
        Tags to keep (see `tags`).
    stop_group : int
        Last group of interest; the default looks for the pixel data.

    Raises
    ------
    RefusedFileError
        If the file cannot be opened, is not DICOM, or its structure is damaged; the reason says which.
    """
    path = os.fspath(path)
    try:
        with open_pixels(path) as stream:
            walked = walk(stream, os.fstat(stream.fileno()).st_size, wanted, stop_group)
    except OSError as error:
        raise RefusedFileError(path, f"it cannot be read ({error.strerror or error})", is_dicom=False) from error
    except NotDicomError as error:
        raise RefusedFileError(path, f"not DICOM: {error}", is_dicom=False) from error
    except ImplausibleError as error:
        raise RefusedFileError(path, f"implausible DICOM: {error}") from error
    except NotUnderstoodError as error:
        walked = _ask_pydicom(path, wanted)
        if walked is None:
            raise RefusedFileError(path, f"damaged DICOM: {error}") from error
    return Header(path, walked)


def open_pixels(path: str, deflated_from: int = 0) -> io.RawIOBase:
    """A file without buffering, or its inflated contents where it is deflated from some position on."""
    stream = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115 (once a slice; the caller closes it)
    return InflatedStream(stream, deflated_from) if deflated_from else stream


def is_regular_file(path: str | Path) -> bool:
    """Whether `path` is a file with contents: opening a pipe or a device could wait for ever."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 (one call; a Path would make two objects a file)
    except (OSError, ValueError):  # a name from a database may hold what no file's can, such as NUL
        return False


def _ask_pydicom(path: str, wanted: Container[int]) -> Walked | None:
    """The same facts from pydicom; None where it cannot find pixel data either."""
    import pydicom

    try:
        with open_pixels(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file is irregular: that is why it is asked
            dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            start, size = stream.tell(), os.fstat(stream.fileno()).st_size
            stream.seek(start)
            first = stream.read(12)
    except Exception:  # noqa: BLE001 (pydicom documents no limit to what damaged input may raise)
        return None
    implicit, little_endian = dataset.original_encoding
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    order = "<" if little_endian else ">"
    if len(first) < 12 or syntax == DEFLATED or struct.unpack(order + "HH", first[:4]) != (0x7FE0, 0x0010):
        return None
    header = 8 if implicit else 12
    length = struct.unpack(order + "L", first[header - 4 : header])[0]
    if length != UNDEFINED_LENGTH and start + header + length > size:
        return None
    raw = {int(tag): dataset.get_item(tag) for tag in dataset.keys() if tag in wanted}  # noqa: SIM118 (keeps them raw)
    return Walked(
        elements={tag: element.value if isinstance(element.value, bytes) else b"" for tag, element in raw.items()},
        transfer_syntax=syntax,
        implicit=implicit,
        big_endian=not little_endian,
        dataset_start=start,
        pixel_tag=tags.PIXEL_DATA,
        pixel_vr=b"" if implicit else first[4:6],
        pixel_offset=start + header,
        pixel_length=length,
        size=size,
        remarks=["its header is irregular and was read by pydicom"],
    )
