"""Names of files and folders made from what stands in DICOM headers, which may be anything."""

from __future__ import annotations

import hashlib
import re

# PS3.5 section 9.1: digits and dots, at most 64 characters. Leading zeros are wrong but harmless here.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_safe_uid(text: str) -> bool:
    """Whether `text` is a DICOM UID, and therefore safe as a file name on every system."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def safe_name(text: str, kind: str = "series") -> str:
    """A file name for an identifier: a valid UID as it is, anything else made safe and unique.

    The same text gives the same name, different texts give different names, and no name
    leads out of the folder it is put in or is reserved on Windows.

    Parameters
    ----------
    text : str
        Usually a UID from a header; may be empty or hostile.
    kind : str
        What the name is for; begins the names of identifiers that are not UIDs.
    """
    if is_safe_uid(text):
        return text
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-")[:40].rstrip(".-")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return "-".join(part for part in (kind, readable, digest) if part)
