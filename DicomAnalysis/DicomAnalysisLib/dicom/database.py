"""Slicer's DICOM database: its SQLite file read-only, or the application's own object.

Format: ``ctkDICOM.sql``, schema 0.8.1. ``Images.Filename`` is relative to the database
folder for files copied into it, absolute for files indexed in place, and empty for
items that are still on a server.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from ..errors import SourceError
from ..volume import SeriesIdentity
from .facts import read_identity
from .header import RefusedFileError, read_header
from .series import Problem, Series, series_from_files
from .sqlite_files import connect, is_interrupted, undo_interrupted

SCHEMA = "0.8.1"
_SERIES_FIELDS = ("FrameOfReferenceUID", "Modality", "SeriesDescription", "BodyPartExamined")


@dataclass(frozen=True)
class SeriesSummary:
    """One series as the database describes it, without opening its files.

    Attributes
    ----------
    identity : SeriesIdentity
    files : int
        Images the database knows of.
    study_date, study_description, series_number : str
        As the database keeps them; empty where it does not know.
    """

    identity: SeriesIdentity
    files: int
    study_date: str = ""
    study_description: str = ""
    series_number: str = ""


class _FilesBySeries:
    """What both kinds of database share: files named by series, read when asked for."""

    def __init__(self) -> None:
        self._read: dict[str, list[Series]] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}

    def _uids(self) -> list[str]:
        raise NotImplementedError

    def _files(self, uid: str) -> tuple[list[str], list[Problem]]:
        raise NotImplementedError

    def paths(self, uid: str) -> list[str]:
        """The files of a series that are on this machine; none is opened."""
        return self._files(uid)[0]

    def series(self, uid: str | None = None) -> list[Series]:
        """The readable series; with `uid` only the files of that one are opened."""
        uids = self._uids() if uid is None else [uid]
        for one in uids:
            if one not in self._read:
                paths, problems = self._files(one)
                self._read[one], refused = series_from_files(paths)
                known = [Problem(p.path, p.reason, p.series_uid or one, p.is_dicom) for p in refused]
                self._problems[one] = (*problems, *known)
        found = [series for one in uids for series in self._read[one]]
        return sorted(found, key=lambda s: (s.identity.patient_id, s.identity.study_uid, s.identity.series_uid))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Files refused or missing in the series read so far (all of them, where none was asked for)."""
        if not self._read:
            self.series()
        return tuple(problem for one in sorted(self._problems) for problem in self._problems[one])


class DatabaseSource(_FilesBySeries):
    """A database that Slicer wrote, opened read-only: the application may have it open at the same time.

    Parameters
    ----------
    path : str or Path
        ``ctkDICOM.sql``, or the folder that holds it.

    Raises
    ------
    SourceError
        If the file is no such database or cannot be read.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        path = Path(path)
        self.path = (path / "ctkDICOM.sql" if path.is_dir() else path).absolute()
        rows = self._query("SELECT Version FROM SchemaInfo")
        self.schema = str(rows[0][0]) if rows else ""
        self._check_columns()

    def summaries(self) -> list[SeriesSummary]:
        """Every series as the database describes it; no file is opened.

        Two queries, however many series and images there are: 20,000 series of 100 images take half a second.
        """
        rows = self._query(
            "SELECT s.SeriesInstanceUID, s.StudyInstanceUID, p.PatientID, s.FrameOfReferenceUID, s.Modality, "
            "s.SeriesDescription, s.BodyPartExamined, t.StudyDate, t.StudyDescription, s.SeriesNumber FROM Series s "
            "LEFT JOIN Studies t ON t.StudyInstanceUID = s.StudyInstanceUID "
            "LEFT JOIN Patients p ON p.UID = t.PatientsUID "
            "ORDER BY p.PatientID, s.StudyInstanceUID, s.SeriesInstanceUID"
        )
        # Counted on the index alone: three times as fast as joining the images to the rest.
        images = dict(self._query("SELECT SeriesInstanceUID, COUNT(*) FROM Images GROUP BY SeriesInstanceUID"))
        return [_summary(row, images.get(row[0], 0)) for row in rows]

    def _uids(self) -> list[str]:
        return [row[0] for row in self._query("SELECT DISTINCT SeriesInstanceUID FROM Images ORDER BY 1")]

    def _files(self, uid: str) -> tuple[list[str], list[Problem]]:
        rows = self._query("SELECT Filename, URL FROM Images WHERE SeriesInstanceUID = ? ORDER BY Filename", (uid,))
        paths: list[str] = []
        problems: list[Problem] = []
        for name, url in rows:
            if not name:
                problems.append(Problem(url or "", "it is on a server and has not been fetched yet", uid))
            elif _leaves_folder(name):
                problems.append(Problem(name, "its relative name leads out of the database folder", uid))
            else:
                paths.append(os.fspath(self.path.parent / name))
        return paths, problems

    def _check_columns(self) -> None:
        needed = {
            "Images": {"SOPInstanceUID", "Filename", "URL", "SeriesInstanceUID"},
            "Series": {"SeriesInstanceUID", "StudyInstanceUID", "Modality", "SeriesDescription"},
            "Studies": {"StudyInstanceUID", "PatientsUID"},
            "Patients": {"UID", "PatientID"},
        }
        for table, columns in needed.items():
            present = {row[1] for row in self._query(f"PRAGMA table_info('{table}')")}
            if missing := columns - present:
                msg = (
                    f"{self.path}: the database (schema {self.schema or 'unknown'}) lacks "
                    f"{table}.{sorted(missing)[0]}; open it once in Slicer 5.8 or newer, "
                    f"which updates it to schema {SCHEMA}."
                )
                raise SourceError(msg)

    def _query(self, statement: str, values: tuple = ()) -> list[tuple]:
        try:
            try:
                return self._read_rows(statement, values)
            except sqlite3.OperationalError as error:
                if not is_interrupted(error):
                    raise
                undo_interrupted(self.path)
                return self._read_rows(statement, values)
        except sqlite3.Error as error:
            msg = f"{self.path}: the DICOM database cannot be read ({error}); check that it is one that Slicer wrote."
            raise SourceError(msg) from error

    def _read_rows(self, statement: str, values: tuple) -> list[tuple]:
        with closing(connect(self.path)) as connection:
            return connection.execute(statement, values).fetchall()


def _summary(row: tuple, files: int) -> SeriesSummary:
    values = ["" if value is None else str(value) for value in row]
    return SeriesSummary(SeriesIdentity(*values[:7]), files, *values[7:])


def _leaves_folder(name: str) -> bool:
    """Whether a relative name climbs out of the folder; absolute names are what Slicer writes for files in place."""
    path = PureWindowsPath(name)  # understands both kinds of separators
    return not Path(name).is_absolute() and (path.is_absolute() or bool(path.drive) or ".." in path.parts)


class ApplicationSource(_FilesBySeries):
    """The database that is open in Slicer.

    Parameters
    ----------
    database : object
        ``slicer.dicomDatabase``, or anything with its methods ``patients()``, ``studiesForPatient(patient)``,
        ``seriesForStudy(study)`` and ``filesForSeries(series)``.
    """

    def __init__(self, database: Any):
        super().__init__()
        self._database = database

    def summaries(self) -> list[SeriesSummary]:
        """Every series as the database describes it; no file is opened.

        The database's own file is asked, read-only, beside the application; the application
        itself only where there is no such file (a database in memory).
        """
        path = str(getattr(self._database, "databaseFilename", "") or "")
        if path and Path(path).is_file():
            return DatabaseSource(path).summaries()
        return [
            self._ask(patient, study, series)
            for patient in self._database.patients()
            for study in self._database.studiesForPatient(patient)
            for series in self._database.seriesForStudy(study)
        ]

    def _ask(self, patient: str, study: str, uid: str) -> SeriesSummary:
        database = self._database
        identity = SeriesIdentity(
            *(uid, study, database.fieldForPatient("PatientID", patient)),
            *(database.fieldForSeries(field, uid) for field in _SERIES_FIELDS),
        )
        return SeriesSummary(
            identity,
            len(database.instancesForSeries(uid)),
            *(database.fieldForStudy(field, study) for field in ("StudyDate", "StudyDescription")),
            database.fieldForSeries("SeriesNumber", uid),
        )

    def describe(self, uid: str) -> SeriesSummary:
        """A series from the header of one of its instances: reading them all is what makes large databases slow.

        Raises
        ------
        SourceError
            If none of its files can be read.
        """
        files = list(self._database.filesForSeries(uid))
        for path in files:
            try:
                header = read_header(path, stop_group=0x0028)
            except RefusedFileError:
                continue
            return SeriesSummary(read_identity(header), len(files))
        msg = f"Series {uid}: none of its {len(files)} files can be read; import it into the DICOM database again."
        raise SourceError(msg)

    def _uids(self) -> list[str]:
        database = self._database
        return sorted(
            {
                series
                for patient in database.patients()
                for study in database.studiesForPatient(patient)
                for series in database.seriesForStudy(study)
            }
        )

    def _files(self, uid: str) -> tuple[list[str], list[Problem]]:
        names = list(self._database.filesForSeries(uid))
        remote = [Problem("", "it is on a server and has not been fetched yet", uid) for name in names if not name]
        return [name for name in names if name], remote
