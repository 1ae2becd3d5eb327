"""One file, and the series it is of, as the rows they add to the database."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..header import RefusedFileError
from .conventions import (
    CACHED_TAGS,
    MAX_TEXT,
    NOT_IN_INSTANCE,
    PATIENT_COLUMNS,
    PLACE,
    RADIOTHERAPY_NAMES,
    SERIES_COLUMNS,
    STUDY_COLUMNS,
    CacheRows,
    column_value,
    decode,
    displayed_name,
    tag_name,
)

CACHE_STATEMENT = "INSERT OR REPLACE INTO cache.TagCache VALUES " + ", ".join(
    f"(?1, '{tag_name(tag)}', ?{CacheRows.ORDER.index(tag) + 2})" for tag in sorted(CACHED_TAGS)
)
"""Writes all rows of one instance, sorted as their index is; the parameters are its UID and its values."""

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"

Row = dict[str, str | int | None]


class Facts:
    """What the tables hold of a series, its study and its patient, from the first file of it.

    Parameters
    ----------
    row : list of str
        The file's values in the tag cache.
    values : tuple of bytes
        Raw values of `INDEX_TAGS`; empty where absent.
    present : tuple of bool
        Which of them the header has.
    """

    def __init__(self, row: list[str], values: tuple[bytes, ...], present: tuple[bool, ...]):
        self._row, self._values, self._present = row, values, present
        self.study_uid, self.patient_id = row[CacheRows.STUDY], patient_id(row)

    @cached_property
    def patient(self) -> Row:
        """Its row in Patients; an empty name is the patient's ID."""
        row = self._columns(PATIENT_COLUMNS)
        row["PatientID"] = self.patient_id
        row["PatientsName"] = row["PatientsName"] or self.patient_id
        row["DisplayedPatientsName"] = displayed_name(str(row["PatientsName"]))
        return row

    @cached_property
    def study(self) -> Row:
        """Its row in Studies."""
        return self._columns(STUDY_COLUMNS)

    @cached_property
    def series(self) -> Row:
        """Its row in Series."""
        row = self._columns(SERIES_COLUMNS)
        names = RADIOTHERAPY_NAMES.get(str(row["Modality"]))
        if names:
            found = [self._text(tag) for tag in names[:2]]
            row["SeriesDescription"] = next(filter(None, found), names[2])
        rows, columns = self._row[CacheRows.ROWS], self._row[CacheRows.COLUMNS]
        row["DisplayedSize"] = None if NOT_IN_INSTANCE in (rows, columns) else f"{columns}x{rows}"
        return row

    def _columns(self, columns: dict[str, int]) -> Row:
        values, present = self._values, self._present
        return {
            column: column_value(column, values[PLACE[tag]] if present[PLACE[tag]] else None, values[0])
            for column, tag in columns.items()
        }

    def _text(self, tag: int) -> str:
        return decode(self._values[PLACE[tag]], self._values[0])[:MAX_TEXT]


@dataclass(slots=True)
class Record:
    """A file that goes into the database.

    Attributes
    ----------
    path : str
    size, mtime_ns : int
        When its header was read.
    row : list of str
        Values of its rows in the tag cache, in the order of `CacheRows.ORDER`.
    facts : Facts
        Shared by all files of the series.
    name : str
        For ``Images.Filename``.
    is_changed : bool
        Whether an earlier run has seen it otherwise.
    """

    path: str
    size: int
    mtime_ns: int
    row: list[str]
    facts: Facts
    name: str = ""
    is_changed: bool = False

    @property
    def sop_uid(self) -> str:
        """SOP Instance UID."""
        return self.row[CacheRows.SOP]

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.row[CacheRows.STUDY]

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return self.row[CacheRows.SERIES]

    @property
    def patient_id(self) -> str:
        """Patient ID, or what stands for it."""
        return patient_id(self.row)


def patient_id(row: list[str]) -> str:
    """The Patient ID in a row of the cache, or the study's UID where there is none, as Slicer has it."""
    patient = row[CacheRows.PATIENT]
    return row[CacheRows.STUDY] if patient == NOT_IN_INSTANCE else patient


def check_identifiers(path: str, row: list[str]) -> None:
    """Refuse a file that the database has no place for.

    Raises
    ------
    RefusedFileError
        If it lacks an identifier.
    """
    for place, what in ((CacheRows.SOP, "SOP"), (CacheRows.STUDY, "study"), (CacheRows.SERIES, "series")):
        if row[place].startswith("__"):
            reason = f"it has no {what} instance UID, without which it has no place in a database"
            if row[CacheRows.SOP_CLASS] == _MEDIA_DIRECTORY:
                reason = "it is a DICOMDIR; the files that it lists are indexed by themselves"
            raise RefusedFileError(
                path, reason, "" if row[CacheRows.SERIES].startswith("__") else row[CacheRows.SERIES]
            )
