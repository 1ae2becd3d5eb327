"""Source headers in a form that may be written again.

What real files hold is not always what PS3.5 section 6.2 allows: texts that are too long, dates that are none,
lower case in code strings, numbers of twenty digits, value representations of another element, private
elements whose meaning nobody knows once the pixels have changed. New objects are checked by
others; what they take over from the source is put right where the meaning is plain, else left out.
"""

from __future__ import annotations

import re

from pydicom import DataElement, Dataset, config
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import format_number_as_ds, validate_value

MAX_DEPTH = 50
"""Deeper nested sequences are left out: no image header has more than a few levels."""

_SHORTENED = {"LO": 64, "SH": 16, "ST": 1024, "LT": 10240}
_NEVER_SHORTENED = ("PatientID", "AccessionNumber", "StudyID", "IssuerOfPatientID")
_SINGLE_VALUED_TEXT = ("ST", "LT", "UT")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_WORDS = {"OW": 2, "OL": 4, "OF": 4, "OV": 8, "OD": 8}
_TEXT = ("LO", "SH", "ST", "LT", "UT", "UC", "PN")
_LEFT_OUT = frozenset(
    (
        "InstanceCreationDate",  # of the source's file, not of the new one
        "InstanceCreationTime",
        "InstanceCreatorUID",
        "SpecificCharacterSet",  # set again for what the values need
        "DigitalSignaturesSequence",  # no longer valid
        "MACParametersSequence",
        "IconImageSequence",  # shows the image before
        "SmallestImagePixelValue",  # may no longer be true
        "LargestImagePixelValue",
        "SmallestPixelValueInSeries",
        "LargestPixelValueInSeries",
        "PixelDataProviderURL",
        "DataSetTrailingPadding",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
    )
)


def repaired(source: Dataset, big_endian: bool = False) -> Dataset:
    """A data set of what may be written again, texts decoded, without pixel data.

    Parameters
    ----------
    source : Dataset
        As read from a file, up to the pixel data.
    big_endian : bool
        Whether words of binary values are in that order.

    Returns
    -------
    Dataset
        A new one, with the Specific Character Set that its texts need.
    """
    dataset = _repair_items(source, big_endian, MAX_DEPTH)
    original = source.get("SpecificCharacterSet")
    if not is_ascii(dataset):
        dataset.SpecificCharacterSet = "ISO_IR 192"
    elif isinstance(original, str) and original in python_encoding:
        dataset.SpecificCharacterSet = original
    return dataset


def _repair_items(source: Dataset, big_endian: bool, depth: int) -> Dataset:
    target = Dataset()
    for tag in sorted(source.keys()):
        if not _is_wanted(tag):
            continue
        try:
            element = source[tag]
            fixed = _repair_element(element, big_endian, depth)
        except Exception:  # noqa: BLE001 (pydicom documents no limit to what a damaged value may raise)
            continue  # what cannot be taken apart means nothing to others either
        if fixed is not None:
            target.add(fixed)
    if target.get("CodeValue") and not target.get("CodeMeaning"):
        target.CodeMeaning = str(target.CodeValue)[:64]
    return target


def _is_code(item: Dataset) -> bool:
    """Whether an item of a code sequence says which code it is (PS3.3 section 8)."""
    if item.get("CodeValue"):
        return bool(item.get("CodingSchemeDesignator"))
    return bool(item.get("LongCodeValue") or item.get("URNCodeValue"))


def _is_wanted(tag: BaseTag) -> bool:
    """Whether an element has a meaning in the standard that holds for a new object as well."""
    if tag.is_private or tag.element == 0 or tag.group < 0x0008 or tag.group >= 0x7FE0:
        return False
    is_overlay = tag.group & 0xFF01 == 0x6000  # repeating groups, which the dictionary lists once
    return (is_overlay or dictionary_has_tag(tag)) and keyword_for_tag(tag) not in _LEFT_OUT


def _repair_element(element: DataElement, big_endian: bool, depth: int) -> DataElement | None:
    """The element as it may be written; None where nothing of it may."""
    vr = dictionary_VR(element.tag)
    if vr == "SQ":
        return _repair_sequence(element, big_endian, depth)
    if " or " in vr:
        vr = element.VR if element.VR in vr.split(" or ") else ""
    if not vr or element.VR in ("SQ", "UN"):
        return None
    if element.is_empty:
        return DataElement(element.tag, vr, None)
    if vr in _WORDS:
        return DataElement(element.tag, vr, _swapped(element.value, _WORDS[vr]) if big_endian else element.value)
    values = list(element.value) if isinstance(element.value, (MultiValue, list)) else [element.value]
    if vr in _SINGLE_VALUED_TEXT and len(values) > 1:
        values = ["\\".join(map(str, values))]
    fixed = [_repair_value(vr, value, keyword_for_tag(element.tag)) for value in values]
    if any(value is None for value in fixed) or not any(value != "" for value in fixed):
        fixed = [None]  # the place of a value in a list has a meaning: all or none
    return DataElement(element.tag, vr, fixed if len(fixed) > 1 else fixed[0], validation_mode=config.IGNORE)


def _repair_sequence(element: DataElement, big_endian: bool, depth: int) -> DataElement | None:
    if element.VR != "SQ" or not depth:
        return None
    items = [_repair_items(item, big_endian, depth - 1) for item in element.value]
    if element.keyword.endswith("CodeSequence"):
        items = [item for item in items if _is_code(item)]
        if not items:
            return None
    return DataElement(element.tag, "SQ", items)


def _repair_value(vr: str, value: object, keyword: str) -> object:
    """The value as the standard allows it; None where there is no way."""
    if vr == "DS":
        return _decimal(value)
    if vr == "IS":
        return _whole(value)
    if vr in ("DA", "TM", "DT", "AS", "CS", "UI", "AE", "UR"):
        value = str(value).strip("\0 ")
        value = value.upper() if vr == "CS" else value
        if vr in ("DA", "TM", "DT") and "-" in value[1:-5]:
            return None  # a range, which is for queries
    elif vr in _TEXT:
        value = (_CONTROL_BUT_LINES if vr in _SINGLE_VALUED_TEXT else _CONTROL).sub("", str(value)).rstrip(" ")
        if vr == "PN":
            return value
        if vr in _SHORTENED and keyword not in _NEVER_SHORTENED:
            value = value[: _SHORTENED[vr]]
        if keyword in _NEVER_SHORTENED:
            return value
    try:
        validate_value(vr, value, config.RAISE)
    except ValueError:
        return None
    return value


def _decimal(value: object) -> str | None:
    text = str(getattr(value, "original_string", value)).strip("\0 ")
    try:
        validate_value("DS", text, config.RAISE)
    except ValueError:
        try:
            return format_number_as_ds(float(text))
        except (ValueError, OverflowError):
            return None
    return text


def _whole(value: object) -> int | None:
    try:
        number = int(float(str(value)))
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 2**31 else None


def _swapped(value: bytes, size: int) -> bytes:
    """Words of `size` bytes in the other order."""
    whole = len(value) // size * size
    swapped = bytearray(value)
    for byte in range(size):
        swapped[byte:whole:size] = value[size - 1 - byte : whole : size]
    return bytes(swapped)


def is_ascii(dataset: Dataset) -> bool:
    """Whether all texts of a data set, nested ones too, are of the default character repertoire."""
    for element in dataset:
        if element.VR == "SQ":
            if not all(is_ascii(item) for item in element.value):
                return False
        elif element.VR in _TEXT and not str(element.value).isascii():
            return False
    return True
