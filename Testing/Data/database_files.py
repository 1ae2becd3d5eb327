"""DICOM databases in Slicer's format that hold no files: as many series as a test or benchmark wants."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from DicomAnalysisLib.dicom.indexing.schema import DATABASE_NAME, create_database

MODALITIES = ("CT", "CT", "CT", "MR", "SEG")
BODY_PARTS = ("HEAD", "CHEST", "ABDOMEN")


def uid(*words: object) -> str:
    """A UID that depends on the words alone."""
    return f"1.2.826.0.1.3680043.8.498.{int(hashlib.sha256(repr(words).encode()).hexdigest()[:30], 16)}"


def write_database(folder: Path | str, series: int, images: int = 1, patients: int | None = None) -> Path:
    """Write ``ctkDICOM.sql`` with made-up patients (two studies each), series and images; returns its path.

    The images name files that do not exist.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / DATABASE_NAME
    path.unlink(missing_ok=True)
    patients = patients or max(1, series // 12)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        create_database(connection)
        with connection:
            _fill(connection, series, images, patients)
    return path


def _fill(connection: sqlite3.Connection, series: int, images: int, patients: int) -> None:
    stamp = "2026-01-01T00:00:00.000"
    studies = 2 * patients
    _insert(
        connection,
        "Patients (UID, PatientsName, PatientID, InsertTimestamp)",
        ((n + 1, f"NAME^{n}", f"P-{n:05}", stamp) for n in range(patients)),
    )
    _insert(
        connection,
        "Studies (StudyInstanceUID, PatientsUID, StudyDate, StudyDescription, InsertTimestamp)",
        ((uid("study", n), n % patients + 1, f"{2010 + n % 15}0{n % 9 + 1}15", "CT", stamp) for n in range(studies)),
    )
    rows = (
        (
            uid(n),
            uid("study", n % studies),
            n // studies + 1,
            f"Series {n}",
            MODALITIES[n % 5],
            BODY_PARTS[n % 3],
            stamp,
        )
        for n in range(series)
    )
    names = "SeriesInstanceUID, StudyInstanceUID, SeriesNumber, SeriesDescription, Modality, BodyPartExamined"
    _insert(connection, f"Series ({names}, InsertTimestamp)", rows)
    names = "SOPInstanceUID, Filename, URL, SeriesInstanceUID, InsertTimestamp"
    files = ((uid(n, k), f"/nowhere/{n}/{k}.dcm", "", uid(n), stamp) for n in range(series) for k in range(images))
    _insert(connection, f"Images ({names})", files)


def _insert(connection: sqlite3.Connection, target: str, rows: object) -> None:
    marks = ", ".join("?" * (target.count(",") + 1))
    connection.executemany(f"INSERT INTO {target} VALUES ({marks})", rows)
