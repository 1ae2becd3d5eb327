"""The tables of Slicer's DICOM database: ``ctkDICOM.sql``, schema 0.8.1, and ``ctkDICOMTagCache.sql``.

Columns, types and indexes are those that the application itself makes, so that it opens the
database without converting it. The display properties are the application's defaults: which
columns its DICOM browser shows, under which name and in which order.
"""

from __future__ import annotations

import sqlite3

VERSION = "0.8.1"
DATABASE_NAME = "ctkDICOM.sql"
TAG_CACHE_NAME = "ctkDICOMTagCache.sql"

_TEXT, _UID = "VARCHAR(255) NULL", "VARCHAR(64) NOT NULL"
_STAMP, _SHOWN = "VARCHAR(20) NOT NULL", "DATETIME NULL"

TABLES: dict[str, tuple[str, ...]] = {
    "SchemaInfo": ("Version VARCHAR(1024) NOT NULL",),
    "Images": (
        f"SOPInstanceUID {_UID}",
        "Filename VARCHAR(1024) NULL",
        "URL VARCHAR(2048) NULL",
        f"SeriesInstanceUID {_UID}",
        f"InsertTimestamp {_STAMP}",
        f"DisplayedFieldsUpdatedTimestamp {_SHOWN}",
        "PRIMARY KEY ('SOPInstanceUID')",
    ),
    "Patients": (
        "UID INTEGER PRIMARY KEY AUTOINCREMENT",
        f"PatientsName {_TEXT}",
        f"PatientID {_TEXT}",
        "PatientsBirthDate DATE NULL",
        "PatientsBirthTime TIME NULL",
        "PatientsSex VARCHAR(1) NULL",
        "PatientsAge VARCHAR(10) NULL",
        f"PatientsComments {_TEXT}",
        f"InsertTimestamp {_STAMP}",
        f"DisplayedPatientsName {_TEXT}",
        "DisplayedNumberOfStudies INT NULL",
        "DisplayedLastStudyDate DATE NULL",
        f"DisplayedFieldsUpdatedTimestamp {_SHOWN}",
        "Connections VARCHAR(2048) NULL",
    ),
    "Studies": (
        f"StudyInstanceUID {_UID}",
        "PatientsUID INT NOT NULL",
        f"StudyID {_TEXT}",
        "StudyDate DATE NULL",
        "StudyTime VARCHAR(20) NULL",
        f"StudyDescription {_TEXT}",
        f"AccessionNumber {_TEXT}",
        f"ModalitiesInStudy {_TEXT}",
        f"InstitutionName {_TEXT}",
        f"ReferringPhysician {_TEXT}",
        f"PerformingPhysiciansName {_TEXT}",
        f"InsertTimestamp {_STAMP}",
        "DisplayedNumberOfSeries INT NULL",
        f"DisplayedFieldsUpdatedTimestamp {_SHOWN}",
        "PRIMARY KEY ('StudyInstanceUID')",
    ),
    "Series": (
        f"SeriesInstanceUID {_UID}",
        f"StudyInstanceUID {_UID}",
        "SeriesNumber INT NULL",
        "SeriesDate DATE NULL",
        "SeriesTime VARCHAR(20) NULL",
        f"SeriesDescription {_TEXT}",
        "Modality VARCHAR(20) NULL",
        f"BodyPartExamined {_TEXT}",
        "FrameOfReferenceUID VARCHAR(64) NULL",
        "AcquisitionNumber INT NULL",
        f"ContrastAgent {_TEXT}",
        "ScanningSequence VARCHAR(45) NULL",
        "EchoNumber INT NULL",
        "TemporalPosition INT NULL",
        f"InsertTimestamp {_STAMP}",
        "DisplayedCount INT NULL",
        "DisplayedSize VARCHAR(20) NULL",
        "DisplayedNumberOfFrames INT NULL",
        f"DisplayedFieldsUpdatedTimestamp {_SHOWN}",
        "PRIMARY KEY ('SeriesInstanceUID')",
    ),
    "Directories": ("Dirname VARCHAR(1024)", "PRIMARY KEY ('Dirname')"),
    "ColumnDisplayProperties": (
        "TableName VARCHAR(64) NOT NULL",
        "FieldName VARCHAR(64) NOT NULL",
        f"DisplayedName {_TEXT}",
        "Visibility INT NULL DEFAULT 1",
        "Weight INT NULL",
        f"Format {_TEXT}",
        "PRIMARY KEY ('TableName', 'FieldName')",
    ),
    "DisplayedFieldGeneratorRules": (
        "Name VARCHAR(64) NOT NULL",
        "Enabled INT NULL DEFAULT 1",
        "Options VARCHAR(255) NULL",
        "PRIMARY KEY ('Name')",
    ),
}
"""Table to its columns and keys."""

INDEXES = {
    "ImagesFilenameIndex": ("Images", "Filename"),
    "ImagesSeriesIndex": ("Images", "SeriesInstanceUID"),
    "SeriesStudyIndex": ("Series", "StudyInstanceUID"),
    "StudiesPatientIndex": ("Studies", "PatientsUID"),
}
"""Index to its table and column."""

_FIT = '{"resizeMode":"resizeToContents"}'
_FIT_ASCENDING = '{"resizeMode":"resizeToContents", "sort": "ascending"}'
_WIDE = '{"resizeMode":"stretch"}'

_SHOWN_COLUMNS: dict[str, dict[str, tuple[str, int, str]]] = {
    "Patients": {
        "PatientID": ("Patient ID", 2, ""),
        "PatientsBirthDate": ("Birth date", 3, _FIT),
        "PatientsSex": ("Sex", 4, _FIT),
        "InsertTimestamp": ("Date added", 7, '{"sort": "descending"}'),
        "DisplayedPatientsName": ("Patient name", 1, _WIDE),
        "DisplayedNumberOfStudies": ("Studies", 5, _FIT),
        "DisplayedLastStudyDate": ("Last study date", 6, ""),
    },
    "Studies": {
        "StudyID": ("Study ID", 2, ""),
        "StudyDate": ("Study date", 1, _FIT_ASCENDING),
        "StudyDescription": ("Study description", 3, _WIDE),
        "InsertTimestamp": ("Date added", 5, ""),
        "DisplayedNumberOfSeries": ("Series", 4, _FIT),
    },
    "Series": {
        "SeriesNumber": ("Series #", 1, _FIT_ASCENDING),
        "SeriesDescription": ("Series description", 2, _WIDE),
        "Modality": ("Modality", 3, _FIT),
        "InsertTimestamp": ("Date added", 6, ""),
        "DisplayedSize": ("Size", 4, _FIT),
        "DisplayedCount": ("Count", 5, _FIT),
    },
}
"""Name, order and format of the columns that the DICOM browser shows."""

_HIDDEN_COLUMNS = {
    "Patients": {
        "PatientsName": "Patient name",
        "PatientsBirthTime": "Birth time",
        "PatientsAge": "Age",
        "PatientsComments": "Comments",
    },
    "Studies": {
        "StudyTime": "Study time",
        "AccessionNumber": "Accession #",
        "ModalitiesInStudy": "Modalities",
        "InstitutionName": "Institution",
        "ReferringPhysician": "Referring physician",
        "PerformingPhysiciansName": "Performing physician",
    },
    "Series": {
        "SeriesDate": "Series date",
        "SeriesTime": "Series time",
        "BodyPartExamined": "Body part",
        "AcquisitionNumber": "Acquisition #",
        "ContrastAgent": "Contrast agent",
        "ScanningSequence": "Scanning sequence",
        "EchoNumber": "Echo #",
        "TemporalPosition": "Temporal position",
        "DisplayedNumberOfFrames": "Number of frames",
    },
}
"""Names of columns that a user can switch on."""


def columns(table: str) -> list[str]:
    """The column names of a table, in order."""
    names = (declaration.split()[0] for declaration in TABLES[table])
    return [name for name in names if name != "PRIMARY"]


def create_database(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty database, with the display properties that Slicer starts with."""
    for table, declarations in TABLES.items():
        connection.execute(f"CREATE TABLE '{table}' ({', '.join(map(_quoted, declarations))})")
    for index, (table, column) in INDEXES.items():
        connection.execute(f"CREATE INDEX '{index}' ON '{table}' ('{column}')")
    connection.execute("INSERT INTO SchemaInfo VALUES (?)", (VERSION,))
    connection.executemany("INSERT INTO ColumnDisplayProperties VALUES (?, ?, ?, ?, ?, ?)", _display_properties())


def create_tag_cache(connection: sqlite3.Connection, database: str) -> None:
    """Make the table of an empty tag cache, attached under the name `database`."""
    connection.execute(
        f"CREATE TABLE {database}.TagCache (SOPInstanceUID, Tag, Value, PRIMARY KEY (SOPInstanceUID, Tag))"
    )


def _quoted(declaration: str) -> str:
    name, _, kind = declaration.partition(" ")
    return declaration if name == "PRIMARY" else f"'{name}' {kind}"


def _display_properties() -> list[tuple[str, str, str, int, int, str]]:
    rows = []
    for table in ("Patients", "Studies", "Series"):
        for column in columns(table):
            hidden = (_HIDDEN_COLUMNS[table].get(column, ""), 0, "")
            name, weight, layout = _SHOWN_COLUMNS[table].get(column, hidden)
            rows.append((table, column, name, int(column in _SHOWN_COLUMNS[table]), weight, layout))
    return rows
