"""Hostile input of our own making: small files, and seeded ways to damage them.

The same seed gives the same bytes on every machine, so that a case can be made again from
its kind and its number alone.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from dicom_slices import ct_slice, ramp
from DicomAnalysisLib.dicom.indexing.indexer import index_files
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

SMALL = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
}
_LENGTHS = (0, 1, 2, 3, 0x7F, 0xFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_MARKS = (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x00081140, 0x52009230, 0x7FE00010)
_VALUES = (b"\0\0", b"\xff\xff", b"\x7f\xff", b"1E308", b"-1E-9", b"nan", b"\\\\", b"\x1b$B", b"../..", b"9" * 16)


def small_files(folder: Path) -> dict[str, Path]:
    """One slice of a 24 x 24 phantom in each transfer syntax of `SMALL`, and one with nested sequences."""
    volume = make_head_phantom(shape=(8, 24, 24), spacing=(16.0, 9.6, 9.6)).volume
    files = {name: write_dicom_series(volume, folder / name, transfer_syntax=uid)[3] for name, uid in SMALL.items()}
    inner = Dataset()
    inner.CodeValue = "1"
    outer = Dataset()
    outer.AnatomicRegionSequence = Sequence([inner, inner])
    nested = ct_slice(ramp(1, (24, 24)), ReferencedImageSequence=Sequence([outer, outer]))
    nested["ReferencedImageSequence"].is_undefined_length = True
    files["nested"] = folder / "nested.dcm"
    nested.save_as(files["nested"], enforce_file_format=True)
    return files


def small_database(folder: Path, files: list[Path]) -> Path:
    """A database of Slicer's format that knows `files`: the path of ``ctkDICOM.sql``."""
    return index_files(files, folder).database


def _pixels_at(content: bytes) -> int:
    """Where the pixel data element begins; the end of the file for deflated ones."""
    at = content.find(b"\xe0\x7f\x10\x00")
    return at if at > 0 else len(content)


def header_bytes(content: bytes, rng: random.Random) -> bytes:
    """One to six bytes of the header changed, or a value of it overwritten."""
    mutant, end = bytearray(content), _pixels_at(content)
    for _ in range(rng.randint(1, 6)):
        where = rng.randrange(end)
        if rng.random() < 0.8:
            mutant[where] = rng.randrange(256)
        else:
            value = rng.choice(_VALUES)
            mutant[where : where + len(value)] = value
    return bytes(mutant)


def lengths(content: bytes, rng: random.Random) -> bytes:
    """The length of one or two elements replaced, in its 16-bit or its 32-bit form."""
    mutant = bytearray(content)
    places = [k + 2 for k in range(132, _pixels_at(content) - 8) if content[k : k + 2].isupper()] or [140]
    for _ in range(rng.randint(1, 2)):
        where = rng.choice(places) if rng.random() < 0.8 else rng.randrange(132, len(content) - 4)
        if rng.random() < 0.5:
            struct.pack_into("<H", mutant, where, rng.choice(_LENGTHS) & 0xFFFF)
        else:
            struct.pack_into("<L", mutant, where, rng.choice(_LENGTHS))
    return bytes(mutant)


def sequences(content: bytes, rng: random.Random) -> bytes:
    """Items, delimiters and openings of sequences put in, overwritten, or nested in each other."""
    mutant = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        tag = rng.choice(_MARKS)
        mark = struct.pack("<HHL", tag >> 16, tag & 0xFFFF, rng.choice(_LENGTHS))
        if rng.random() < 0.3:
            opening = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
            mark = (opening + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)) * rng.randint(1, 200)
        where = rng.randrange(132, len(mutant) - 8)
        mutant[where : where + rng.choice((0, 8))] = mark
    return bytes(mutant)


def pixel_data(content: bytes, rng: random.Random) -> bytes:
    """Bytes of the pixel data and of its element's header changed, taken out or repeated."""
    mutant = bytearray(content)
    start = min(_pixels_at(content), len(content) - 200)
    for _ in range(rng.randint(1, 8)):
        where = rng.randrange(start, max(start + 1, min(len(mutant), start + rng.choice((24, 100, 100_000)))))
        chance = rng.random()
        if chance < 0.6:
            mutant[where] = rng.randrange(256)
        elif chance < 0.8:
            del mutant[where : where + rng.randint(1, 64)]
        else:
            mutant[where:where] = mutant[where : where + rng.randint(1, 64)]
    return bytes(mutant)


def truncation(content: bytes, rng: random.Random) -> bytes:
    """Cut short, or a part taken out of the middle."""
    where = rng.randrange(len(content))
    return content[:where] if rng.random() < 0.5 else content[:where] + content[where + rng.randint(1, 400) :]


def sqlite_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes of a SQLite file changed: in its header, its pages' headers, its schema or anywhere; or it is cut short."""
    mutant = bytearray(content)
    page = struct.unpack_from(">H", content, 16)[0] or 4096
    for _ in range(rng.randint(1, 12)):
        first = rng.choice(
            (0, 16, 100, page * rng.randrange(max(1, len(content) // page)), rng.randrange(len(content)))
        )
        mutant[min(len(mutant) - 1, first + rng.randrange(32))] = rng.randrange(256)
    return bytes(mutant[: rng.randrange(len(mutant))] if rng.random() < 0.1 else mutant)


KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "header bytes": header_bytes,
    "lengths": lengths,
    "sequences": sequences,
    "pixel data": pixel_data,
    "truncations": truncation,
    "SQLite file": sqlite_bytes,
}


def mutant(kind: str, number: int, content: bytes) -> bytes:
    """Case `number` of a kind."""
    return KINDS[kind](content, random.Random(f"{kind} {number}"))


def write_bombs(folder: Path) -> dict[str, Path]:
    """Files that claim, or would become, far more than they are."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = ramp(1, (24, 24)).astype(np.int16)
    claims = {
        "60,000 x 60,000 pixels": {"Rows": 60_000, "Columns": 60_000},
        "2,000,000,000 frames": {"NumberOfFrames": 2_000_000_000},
    }
    paths = {}
    for name, attributes in claims.items():
        paths[name] = folder / f"{len(paths)}.dcm"
        ct_slice(stored, **attributes).save_as(paths[name], enforce_file_format=True)
    whole = ct_slice(stored)
    whole.save_as(folder / "whole.dcm", enforce_file_format=True)
    content = (folder / "whole.dcm").read_bytes()
    (folder / "whole.dcm").unlink()
    start = 144 + struct.unpack_from("<L", content, 140)[0]
    paths["3,000 nested sequences"] = folder / "nested.dcm"
    opening = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    at = content.index(b"\x10\x00\x20\x00")  # Patient ID: the sequence stands in its place, before it
    paths["3,000 nested sequences"].write_bytes(content[:at] + opening * 3000 + closing * 3000 + content[at:])
    paths["deflated to a thousandth"] = folder / "deflate.dcm"
    meta = content[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    meta = meta.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99")
    meta = meta[:140] + struct.pack("<L", len(meta) - 144) + meta[144:]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    private = struct.pack("<HH2sHL", 0x0009, 0x1010, b"OB", 0, 1 << 30)
    packed = packer.compress(content[start:at] + private)
    zeros = bytes(1 << 20)
    packed += b"".join(packer.compress(zeros) for _ in range(256)) + packer.flush()  # 256 MB of the 1 GB it declares
    paths["deflated to a thousandth"].write_bytes(meta + packed)
    return paths
