"""UIDs, numbers, descriptions and dates of new objects: all follow from the source, none from chance."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable

import numpy as np
from pydicom import Dataset

from ... import __version__
from ...errors import OutputError

PROGRAM = "DicomAnalysis"
CLEANED, SEGMENTATION, MEASUREMENTS = 1, 2, 3
"""Kinds of new series, the last digit of their series number."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/DicomAnalysis/SlicerDicomAnalysis")
_UNKNOWN_SOURCE_NUMBER = 90
_LONGEST_DESCRIPTION = 64
_DATE = re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
UNKNOWN_DATE, UNKNOWN_TIME = "19000101", "000000"


class UnfitSourceError(OutputError):
    """A DICOM object cannot be made of this source; the message says why. Other results can."""


def derived_uid(*what: object) -> str:
    """A UID that is the same whenever it is made from the same things by the same version.

    Name-based UUID (RFC 4122, version 5) in the form that PS3.5 annex B.2 gives UUIDs as UIDs.
    """
    name = "\n".join((__version__, *(str(part) for part in what)))
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


IMPLEMENTATION_CLASS_UID = f"2.25.{uuid.uuid5(_NAMESPACE, PROGRAM).int}"


def masks_digest(masks: Iterable[np.ndarray]) -> str:
    """A digest of masks of bool, shape (k, j, i), in their order."""
    digest = hashlib.sha256()
    for mask in masks:
        digest.update(str(mask.shape).encode())
        for plane in mask:
            digest.update(np.packbits(plane))
    return digest.hexdigest()


def series_number(source: object, kind: int, stack: int = 1) -> int:
    """Series Number of a new series: the source's, then a digit for the stack (from 0) and one for the kind.

    Series 4 gives 401 (cleaned), 402 (segmentation), 403 (measurements), its second stack 411 and
    so on; a source without a usable number counts as 90.
    """
    try:
        number = int(str(source))
    except ValueError:
        number = 0
    if not 0 < number < 10_000_000:
        number = _UNKNOWN_SOURCE_NUMBER
    return 100 * number + 10 * min(stack - 1, 9) + kind


def series_description(source: str, suffix: str) -> str:
    """The source's description with a suffix, shortened so that the suffix stays (LO: 64 characters)."""
    room = _LONGEST_DESCRIPTION - len(suffix) - 1
    return f"{source[:room].rstrip()} {suffix}".strip()


def content_moment(header: Dataset) -> tuple[str, str]:
    """Date (YYYYMMDD) and time (HHMMSS…) that new objects state as theirs: the source's.

    The first usable of Content, Acquisition, Series and Study Date, each with its time; where the
    source states none, 1900-01-01.
    """
    for name in ("Content", "Acquisition", "Series", "Study"):
        date = str(header.get(f"{name}Date") or "")
        if _DATE.fullmatch(date):
            time = str(header.get(f"{name}Time") or "")
            return date, time if _TIME.fullmatch(time) else UNKNOWN_TIME
    moment = str(header.get("AcquisitionDateTime") or "")
    if _DATE.fullmatch(moment[:8]):
        return moment[:8], moment[8:14] if _TIME.fullmatch(moment[8:14]) else UNKNOWN_TIME
    return UNKNOWN_DATE, UNKNOWN_TIME
