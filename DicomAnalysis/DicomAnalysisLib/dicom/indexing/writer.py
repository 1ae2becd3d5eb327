"""Images into Slicer's database and its tag cache."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from .conventions import MAX_TEXT, last_study_date
from .database_file import DatabaseFile
from .memory import REMEMBER_IMAGE, remember_problems
from .rows import CACHE_STATEMENT, Record, Row

_NEW, _UNCHANGED, _DUPLICATE = "new", "unchanged", "duplicate"
_CONNECTIONS = '{"allow":[""],"deny":[]}'
"""What Slicer writes for a patient whom every server may be asked about."""


class DatabaseWriter(DatabaseFile):
    """Adds images, and the patients, studies and series they need.

    Parameters
    ----------
    folder : Path
        The database's; made when absent.

    Attributes
    ----------
    added, updated, unchanged : int
        Images so far.
    duplicates : dict of str to str
        Files whose image is in the database from another file, and that file's name.
    shared : set of str
        Series whose UID several studies or patients use; their images stand under the first.
    """

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.added = self.updated = self.unchanged = 0
        self.duplicates: dict[str, str] = {}
        self.shared: set[str] = set()
        self._sop_uids: set[str] = set()
        self._owners: dict[str, tuple[str, str]] = {}
        self._touched: dict[str, set] = {"series": set(), "studies": set(), "patients": set()}
        self._left: set[str] = set()

    def add(self, records: Sequence[Record]) -> None:
        """Add images, and the patients, studies and series they need."""
        now = _Now()
        taken = [(record, self._take(record)) for record in records]
        self._clear_left()
        new = [record for record, kind in taken if kind == _NEW]
        for record in new:
            owner = self._owners.get(record.series_uid)
            if owner is None:
                owner = self._owners[record.series_uid] = self._add_series(record, now)
            if owner != (record.study_uid, record.patient_id):
                self.shared.add(record.series_uid)
        run = self.connection.executemany
        images = [(record.sop_uid, record.name, record.series_uid, now.stamp, now.shown) for record in new]
        run("INSERT INTO main.Images VALUES (?, ?, '', ?, ?, ?)", images)
        run(CACHE_STATEMENT, sorted((record.sop_uid, *record.row) for record in new))  # as the index is: faster
        kept = (record for record, kind in taken if kind != _DUPLICATE)
        run(REMEMBER_IMAGE, [(os.fsencode(r.path), r.size, r.mtime_ns, r.sop_uid) for r in kept])

    def finish(self, problems: Sequence[tuple] = ()) -> None:
        """Count what the DICOM browser shows, remember the refused files, and commit."""
        remember_problems(self.connection, problems)
        self._count(_Now().shown)
        self.connection.execute("COMMIT")

    def file_of(self, sop_uid: str) -> str | None:
        """The file name of an image; empty for one on a server, None where there is no such image."""
        return self._image(sop_uid)[0]

    def is_there(self, name: str) -> bool:
        """Whether the file that the database names exists."""
        return os.path.exists(os.path.join(self.folder, name))  # noqa: PTH110, PTH118 (names may hold anything)

    def _image(self, sop_uid: str) -> tuple[str | None, str, str]:
        """File name, time of insertion and series of an image; None where there is none."""
        statement = (
            "SELECT CAST(COALESCE(Filename, '') AS TEXT), CAST(InsertTimestamp AS TEXT), "
            "CAST(SeriesInstanceUID AS TEXT) FROM main.Images WHERE SOPInstanceUID = ?"
        )
        return self.connection.execute(statement, (sop_uid,)).fetchone() or (None, "", "")

    def _take(self, record: Record) -> str:
        """Whether the image is new (or its file replaces the one in the database), unchanged or a duplicate."""
        uid = record.sop_uid
        if uid in self._sop_uids:
            self.duplicates[record.path] = self.file_of(uid) or "another file"
            return _DUPLICATE
        known, inserted, series = (None, "", "") if self.is_empty else self._image(uid)
        if known is not None:
            if known == record.name and not record.is_changed and _holds(known, record.mtime_ns, inserted):
                self.unchanged += 1
                return _UNCHANGED
            is_copied = os.path.isabs(known) and not os.path.isabs(record.name)  # noqa: PTH117 (a string will do)
            if known not in ("", record.name) and not is_copied and self.is_there(known):
                self.duplicates[record.path] = known
                return _DUPLICATE
            self._left.add(series)
            self.connection.execute("DELETE FROM main.Images WHERE SOPInstanceUID = ?", (uid,))
            self.connection.execute("DELETE FROM cache.TagCache WHERE SOPInstanceUID = ?", (uid,))
        self._sop_uids.add(uid)
        self.added += known is None
        self.updated += known is not None
        return _NEW

    def _clear_left(self) -> None:
        """Take out series, studies and patients that images which are written anew have left empty.

        What their files say now may be something else: other names, another patient.
        """
        for uid in sorted(self._left):
            self._touched["series"].add(uid)
            study, patient, _ = self._series_owner(uid)
            self._touched["studies"].add(study)
            self._touched["patients"].add(patient)
            for table, key, value, rows, reference in (
                ("Series", "SeriesInstanceUID", uid, "Images", "SeriesInstanceUID"),
                ("Studies", "StudyInstanceUID", study, "Series", "StudyInstanceUID"),
                ("Patients", "UID", patient, "Studies", "PatientsUID"),
            ):
                self.connection.execute(
                    f"DELETE FROM main.{table} WHERE {key} = ?1 "
                    f"AND NOT EXISTS (SELECT 1 FROM main.{rows} WHERE {reference} = ?1)",
                    (value,),
                )
        self._left.clear()

    def _series_owner(self, uid: str) -> tuple[str | None, int | None, str | None]:
        """Study, patient's number and Patient ID of a series; None as far as the database lacks them."""
        statement = (
            "SELECT CAST(s.StudyInstanceUID AS TEXT), CAST(t.PatientsUID AS INTEGER), CAST(p.PatientID AS TEXT) "
            "FROM main.Series AS s LEFT JOIN main.Studies AS t ON t.StudyInstanceUID = s.StudyInstanceUID "
            "LEFT JOIN main.Patients AS p ON p.UID = t.PatientsUID WHERE s.SeriesInstanceUID = ?"
        )
        return self.connection.execute(statement, (uid,)).fetchone() or (None, None, None)

    def _add_series(self, record: Record, now: _Now) -> tuple[str, str]:
        """Add the series, and its study and patient, where they are not there yet; the study and patient it is of."""
        uid = record.series_uid
        study, patient, patient_id = self._series_owner(uid)
        if study is None or patient is None or patient_id is None:
            self.connection.execute("DELETE FROM main.Series WHERE SeriesInstanceUID = ?", (uid,))
            self._insert("Series", record.facts.series, now)
            study, patient_id = record.study_uid, record.patient_id
            patient = self._add_study(record, now)
        self._touched["series"].add(uid)
        self._touched["studies"].add(study)
        self._touched["patients"].add(patient)
        return study, patient_id

    def _add_study(self, record: Record, now: _Now) -> int:
        """Add the study where it is not there yet; the number of the patient it is of."""
        uid, row = record.study_uid, record.facts.study
        statement = (
            "SELECT CAST(t.PatientsUID AS INTEGER), CAST(COALESCE(t.StudyDescription, '') AS TEXT) "
            "FROM main.Studies AS t JOIN main.Patients AS p ON p.UID = t.PatientsUID WHERE t.StudyInstanceUID = ?"
        )
        known = self.connection.execute(statement, (uid,)).fetchone()
        if known is None:
            patient = self._patient(record, now)
            self.connection.execute("DELETE FROM main.Studies WHERE StudyInstanceUID = ?", (uid,))
            self._insert("Studies", row | {"PatientsUID": patient}, now)
            return patient
        description = str(row["StudyDescription"] or "")
        if description and description not in (known[1], *known[1].split(", ")):  # several are listed, as Slicer does
            text = f"{known[1]}, {description}" if known[1] else description
            statement = "UPDATE main.Studies SET StudyDescription = ? WHERE StudyInstanceUID = ?"
            self.connection.execute(statement, (text[:MAX_TEXT], uid))
        return known[0]

    def _patient(self, record: Record, now: _Now) -> int:
        """Add the patient, known by ID and name, where there is none yet; the row's number."""
        row = record.facts.patient
        statement = (
            "SELECT UID FROM main.Patients WHERE PatientID = ? AND (PatientsName = ? "
            "OR (COALESCE(PatientsName, '') = '' AND ? = PatientID)) ORDER BY UID"
        )
        values = (row["PatientID"], row["PatientsName"], row["PatientsName"])
        known = self.connection.execute(statement, values).fetchone()
        return known[0] if known else self._insert("Patients", row | {"Connections": _CONNECTIONS}, now)

    def _insert(self, table: str, row: Row, now: _Now) -> int:
        row = row | {"InsertTimestamp": now.stamp, "DisplayedFieldsUpdatedTimestamp": now.shown}
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        statement = f"INSERT INTO main.{table} ({names}) VALUES ({marks})"
        return int(self.connection.execute(statement, tuple(row.values())).lastrowid or 0)

    def _count(self, shown: str) -> None:
        """Fill the displayed counts of everything that was touched."""
        run = self.connection.executemany
        series = [(shown, uid) for uid in self._touched["series"]]
        run(
            "UPDATE main.Series SET DisplayedFieldsUpdatedTimestamp = ?1, DisplayedCount = "
            "(SELECT COUNT(*) FROM main.Images WHERE SeriesInstanceUID = ?2) WHERE SeriesInstanceUID = ?2",
            series,
        )
        studies = [(shown, uid) for uid in self._touched["studies"]]
        run(
            "UPDATE main.Studies SET DisplayedFieldsUpdatedTimestamp = ?1, DisplayedNumberOfSeries = "
            "(SELECT COUNT(*) FROM main.Series WHERE StudyInstanceUID = ?2) WHERE StudyInstanceUID = ?2",
            studies,
        )
        for patient in self._touched["patients"]:
            rows = self.connection.execute("SELECT StudyDate FROM main.Studies WHERE PatientsUID = ?", (patient,))
            dates = [last_study_date(row[0]) for row in rows]
            self.connection.execute(
                "UPDATE main.Patients SET DisplayedFieldsUpdatedTimestamp = ?, DisplayedNumberOfStudies = ?, "
                "DisplayedLastStudyDate = ? WHERE UID = ?",
                (shown, len(dates), max(dates, default=""), patient),
            )


class _Now:
    """The time in the two forms that the tables hold: local with milliseconds, and UTC."""

    def __init__(self) -> None:
        self.stamp = datetime.datetime.now().isoformat(timespec="milliseconds")
        self.shown = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _holds(name: str, mtime_ns: int, inserted: str) -> bool:
    """Whether a row still holds of its file.

    Slicer's own rule: a file in place must not have changed since it was inserted; copies belong to the database.
    """
    if not os.path.isabs(name):  # noqa: PTH117 (a string will do)
        return True
    try:
        return mtime_ns / 1e9 < datetime.datetime.fromisoformat(inserted).timestamp()
    except (ValueError, OverflowError, OSError):
        return False
