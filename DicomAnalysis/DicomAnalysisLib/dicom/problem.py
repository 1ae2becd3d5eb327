"""A file that was not read, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A file that was not read, and why.

    Attributes
    ----------
    path, reason : str
    series_uid : str
        The series it belongs to, where its header says so.
    is_dicom : bool
        Whether the file is DICOM at all: in a folder of anything, other files are no failure.
    """

    path: str
    reason: str
    series_uid: str = ""
    is_dicom: bool = True
