"""Which header elements Slicer's DICOM database keeps, and in which form."""

from __future__ import annotations

import datetime
import re
import struct
import warnings

from .. import tags

CACHED_TAGS = tuple(
    int(tag.replace(",", ""), 16)
    for tag in (
        *("0008,0008", "0008,0016", "0008,0018", "0008,0020", "0008,0021", "0008,0033", "0008,0060", "0008,103E"),
        *("0008,1090", "0008,1115", "0010,0020", "0018,1060", "0018,9089", "0020,000D", "0020,000E", "0020,0010"),
        *("0020,0011", "0020,0012", "0020,0013", "0020,0031", "0020,0032", "0020,0037", "0020,0052", "0028,0004"),
        *("0028,0008", "0028,0010", "0028,0011", "0028,0030", "0028,1050", "0028,1051", "7FE0,0010"),
    )
)
"""What Slicer's loaders ask of every instance.

The application caches 26 more, which serve to fill the tables' displayed columns and no other
purpose; here those columns are filled when the row is written. A tag without a row is looked
up in the file by the application.
"""

NOT_IN_INSTANCE = "__TAG_NOT_IN_INSTANCE__"
"""Value of a cached tag that is absent or empty."""
NOT_STORED = "__VALUE_IS_NOT_STORED__"
"""Value of a cached tag that is there but not kept: pixel data, or longer than `MAX_TEXT`."""
MAX_TEXT = 10_240
"""Longest value kept, the limit of an LT element (PS3.5 section 6.2)."""

PATIENT_COLUMNS = {
    "PatientsName": 0x00100010,
    "PatientID": tags.PATIENT_ID,
    "PatientsBirthDate": 0x00100030,
    "PatientsBirthTime": 0x00100032,
    "PatientsSex": 0x00100040,
    "PatientsComments": 0x00104000,
}
STUDY_COLUMNS = {
    "StudyInstanceUID": tags.STUDY_INSTANCE_UID,
    "StudyID": 0x00200010,
    "StudyDate": 0x00080020,
    "StudyTime": 0x00080030,
    "StudyDescription": 0x00081030,
    "AccessionNumber": 0x00080050,
    "ModalitiesInStudy": 0x00080061,
    "InstitutionName": 0x00080080,
    "ReferringPhysician": 0x00080090,
    "PerformingPhysiciansName": 0x00081050,
}
SERIES_COLUMNS = {
    "SeriesInstanceUID": tags.SERIES_INSTANCE_UID,
    "StudyInstanceUID": tags.STUDY_INSTANCE_UID,
    "SeriesNumber": 0x00200011,
    "SeriesDate": 0x00080021,
    "SeriesTime": 0x00080031,
    "SeriesDescription": tags.SERIES_DESCRIPTION,
    "Modality": tags.MODALITY,
    "BodyPartExamined": tags.BODY_PART_EXAMINED,
    "FrameOfReferenceUID": tags.FRAME_OF_REFERENCE_UID,
    "AcquisitionNumber": tags.ACQUISITION_NUMBER,
    "ContrastAgent": 0x00180010,
    "ScanningSequence": 0x00180020,
    "EchoNumber": 0x00180086,
    "TemporalPosition": tags.TEMPORAL_POSITION_IDENTIFIER,
}
WHOLE_COLUMNS = frozenset(("SeriesNumber", "AcquisitionNumber", "EchoNumber", "TemporalPosition"))
DATE_COLUMNS = frozenset(("PatientsBirthDate", "SeriesDate"))
RADIOTHERAPY_NAMES = {
    "RTPLAN": (0x300A0003, 0x300A0002, "Unnamed RT Plan"),
    "RTSTRUCT": (0x30060004, 0x30060002, "Unnamed RT Structure Set"),
    "RTIMAGE": (0x30020003, 0x30020002, "Unnamed RT Image"),
}
"""Modality to the elements that name a radiotherapy object (name, label), and what stands for neither."""

INDEX_TAGS = tuple(
    dict.fromkeys(
        (
            tags.SPECIFIC_CHARACTER_SET,
            *(tag for tag in CACHED_TAGS if tag != tags.PIXEL_DATA),
            *PATIENT_COLUMNS.values(),
            *STUDY_COLUMNS.values(),
            *SERIES_COLUMNS.values(),
            *(tag for names in RADIOTHERAPY_NAMES.values() for tag in names[:2]),
        )
    )
)
"""Every element that indexing reads, in the order of the values of a scanned header."""
PLACE = {tag: place for place, tag in enumerate(INDEX_TAGS)}

_UNSIGNED_SHORTS = frozenset((tags.ROWS, tags.COLUMNS))
_DOUBLES = frozenset((0x00189089,))
_SEQUENCES = frozenset((0x00081115,))
_LONG_TEXTS = frozenset((0x00104000,))
_CACHED_PLACES = tuple(PLACE[tag] for tag in CACHED_TAGS if tag != tags.PIXEL_DATA)
_BINARY_PLACES = {
    PLACE[tag]: tag for tag in CACHED_TAGS if tag in _UNSIGNED_SHORTS or tag in _DOUBLES or tag in _SEQUENCES
}
_TEXT_PLACES = tuple(place for place in _CACHED_PLACES if place not in _BINARY_PLACES)
_COLUMNS = {place: number for number, place in enumerate((*_TEXT_PLACES, *_BINARY_PLACES))}
"""Place of a value to its column in a row of the cache."""
_MAX_CACHE, _MAX_KEPT = 50_000, 256
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,10}")


def tag_name(tag: int) -> str:
    """The tag as the cache writes it: ``0008,103E``."""
    return f"{tag >> 16:04X},{tag & 0xFFFF:04X}"


class _CachedTexts(dict):
    """Raw value to the text that the tag cache holds, for one character set."""

    def __init__(self, character_set: bytes):
        super().__init__()
        self._character_set = character_set

    def __missing__(self, value: bytes) -> str:
        text = decode(value, self._character_set) or NOT_IN_INSTANCE
        if len(text) > MAX_TEXT:
            return NOT_STORED
        if len(value) <= _MAX_KEPT:
            if len(self) >= _MAX_CACHE:
                self.clear()
            self[value] = text
        return text


class _CachedBinaries(dict):
    """Tag, byte order and raw value of a binary element to its text."""

    def __missing__(self, key: tuple[int, bool, bytes]) -> str:
        tag, big_endian, value = key
        if tag in _SEQUENCES:
            return NOT_IN_INSTANCE
        order = ">" if big_endian else "<"
        code, width = ("d", 8) if tag in _DOUBLES else ("H", 2)
        numbers = struct.unpack(f"{order}{len(value) // width}{code}", value[: len(value) // width * width])
        text = "\\".join(map(repr, numbers[:64])) or NOT_IN_INSTANCE
        if len(self) < _MAX_CACHE:
            self[key] = text
        return text


class CacheRows:
    """Header values to the values of an instance's rows in the tag cache."""

    ORDER = (
        *(INDEX_TAGS[place] for place in _TEXT_PLACES),
        *_BINARY_PLACES.values(),
        tags.PIXEL_DATA,
    )
    """The tags of a row, in order."""
    SOP, STUDY, SERIES, PATIENT, SOP_CLASS, ROWS, COLUMNS = map(
        ORDER.index,
        (
            *(tags.SOP_INSTANCE_UID, tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.PATIENT_ID),
            *(tags.SOP_CLASS_UID, tags.ROWS, tags.COLUMNS),
        ),
    )
    """Where some of them stand in a row."""

    def __init__(self) -> None:
        self._texts: dict[bytes, _CachedTexts] = {}
        self._binaries = _CachedBinaries()

    def row(self, values: tuple[bytes, ...], big_endian: bool, has_pixels: bool) -> list[str]:
        """The texts of `ORDER` for the values of `INDEX_TAGS`."""
        texts, binaries = self._for(values[0]), self._binaries
        row = [texts[values[place]] for place in _TEXT_PLACES]
        row += [binaries[tag, big_endian, values[place]] for place, tag in _BINARY_PLACES.items()]
        row.append(NOT_STORED if has_pixels else NOT_IN_INSTANCE)
        return row

    def like(self, row: list[str], character_set: bytes, varying: list[tuple[int, slice]], data: bytes) -> list[str]:
        """The row of a little-endian file that begins with `data` and is like that of `row` but for some values."""
        texts = self._for(character_set)
        row = row.copy()
        for place, span in varying:
            column = _COLUMNS.get(place)
            if column is None:
                continue
            if place in _BINARY_PLACES:
                row[column] = self._binaries[_BINARY_PLACES[place], False, data[span]]
            else:
                row[column] = texts[data[span]]
        return row

    def _for(self, character_set: bytes) -> _CachedTexts:
        texts = self._texts.get(character_set)
        if texts is None:
            texts = _CachedTexts(character_set)
            if len(self._texts) < 64:
                self._texts[character_set] = texts
        return texts


def decode(value: bytes, character_set: bytes = b"", long_text: bool = False) -> str:
    """A text element as the database keeps it: without padding, values joined by backslashes.

    Parameters
    ----------
    value : bytes
    character_set : bytes
        Raw value of Specific Character Set; Latin 1 where there is none, as in Slicer.
    long_text : bool
        An ST, LT or UT element: one value, whose leading spaces matter.
    """
    if b"\0" in value:
        value = value.partition(b"\0")[0]
    plain = value.isascii() and b"\x1b" not in value
    text = value.decode("ascii") if plain else _decode_foreign(value, character_set)
    if long_text:
        return text.rstrip(" ")
    text = text.strip(" ")
    if " " in text and "\\" in text:
        text = "\\".join(part.strip(" ") for part in text.split("\\"))
    return text


def _decode_foreign(value: bytes, character_set: bytes) -> str:
    from pydicom.charset import convert_encodings, decode_bytes

    names = [name.strip("\0 ") for name in character_set.decode("ascii", "replace").split("\\")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unknown character sets: Latin 1 is taken
        try:
            text = decode_bytes(value, convert_encodings(names), set())
        except (UnicodeError, LookupError):
            text = value.decode("latin-1")
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def column_value(column: str, value: bytes | None, character_set: bytes = b"") -> str | int | None:
    """What a column of Patients, Studies or Series holds for a raw element value (None: absent).

    Whole numbers are integers, 0 where absent; birth and series dates are ISO dates, NULL
    where they are none; everything else is the element's first value as text.
    """
    if column in WHOLE_COLUMNS:
        number = _INTEGER.match(decode(value or b"")) if value else None
        whole = int(number[0]) if number else 0
        return whole if -(2**31) <= whole < 2**31 else 0
    if value is None:
        return None
    if column == "PatientsComments":
        return decode(value, character_set, long_text=True)[:MAX_TEXT]
    text = decode(value, character_set).partition("\\")[0].strip(" ")
    if column in DATE_COLUMNS:
        return _iso_date(text)
    return text[:MAX_TEXT]


def last_study_date(value: str | int | None) -> str:
    """A study date as the patient's last: ISO, or empty where it is no date."""
    text = str(value or "")
    return _iso_date(text.replace("-", "")) or ""


def _iso_date(text: str) -> str | None:
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return None
    try:
        return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return None


def displayed_name(name: str) -> str:
    """A person name for people: ``Last, First Middle, Suffix (Prefix)``, of the alphabetic group."""
    parts = [part.strip(" ") for part in name.partition("=")[0].split("^")]
    last, first, middle, prefix, suffix = (parts + [""] * 5)[:5]
    given = " ".join(part for part in (first, middle) if part)
    text = f"{last}, {given}" if last and given else last or given
    text += f", {suffix}" if suffix else ""
    return text + (f" ({prefix})" if prefix else "")
