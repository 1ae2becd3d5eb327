"""What the header of one file says that a network could cheat with, and what names its view."""

from __future__ import annotations

import re
from pathlib import Path

from ..dicom import tags
from ..dicom.header import Header, RefusedFileError, read_header

_TEXTS = {
    "modality": tags.MODALITY,
    "manufacturer": 0x00080070,
    "model": 0x00081090,
    "station": 0x00081010,
    "institution": 0x00080080,
    "software": 0x00181020,
    "kernel": tags.CONVOLUTION_KERNEL,
    "protocol": 0x00181030,
    "sex": 0x00100040,
    "body_part": tags.BODY_PART_EXAMINED,
    "description": tags.SERIES_DESCRIPTION,
    "photometric": tags.PHOTOMETRIC_INTERPRETATION,
    "view_position": 0x00185101,
    "laterality": 0x00200060,
    "image_laterality": 0x00200062,
}
_NUMBERS = {
    "kvp": tags.KVP,
    "tube_current": 0x00181151,
    "table_height": 0x00181130,
    "slice_thickness": tags.SLICE_THICKNESS,
    "magnetic_field": 0x00180087,
    "primary_angle": 0x00181510,
    "secondary_angle": 0x00181511,
}
_AGE, _BIRTH_DATE, _STUDY_DATE = 0x00101010, 0x00100030, 0x00080020
_WANTED = frozenset((*_TEXTS.values(), *_NUMBERS.values(), _AGE, _BIRTH_DATE, _STUDY_DATE, tags.SPECIFIC_CHARACTER_SET))
_OLDEST = 120
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def header_facts(path: str | Path) -> dict[str, str | float]:
    """Facts of one DICOM file: texts and numbers; what the header does not state is not there.

    Names and birth dates are not among them; age is in years, the study's date is kept as its year.
    """
    try:
        header = read_header(path, _WANTED, stop_group=0x0028)
    except RefusedFileError:  # the file was read a moment ago; what it no longer says cannot be a fact
        return {}
    facts: dict[str, str | float] = {}
    for name, tag in _TEXTS.items():
        if text := header.text(tag):
            facts[name] = text
    for name, tag in _NUMBERS.items():
        if (values := header.numbers(tag)) and abs(values[0]) < 1e9:
            facts[name] = values[0]
    facts |= _age(header)
    year = header.text(_STUDY_DATE)[:4]
    if year.isdigit():
        facts["study_year"] = float(year)
    if "image_laterality" in facts:
        facts["laterality"] = facts.pop("image_laterality")
    return facts


def _age(header: Header) -> dict[str, float]:
    """Patient's Age (AS, PS3.5 section 6.2) in years; many files lack it and have the dates that it is made of."""
    found = re.fullmatch(r"(\d{1,3})([DWMY])", header.text(_AGE).upper())
    if found:
        return {"age": round(int(found[1]) * _YEARS[found[2]], 2)}
    dates = header.text(_BIRTH_DATE), header.text(_STUDY_DATE)
    if not all(re.fullmatch(r"\d{8}", one) for one in dates):
        return {}
    years = (int(dates[1]) - int(dates[0])) // 10_000  # as people count: by birthdays
    return {"age": float(years)} if 0 <= years <= _OLDEST else {}
