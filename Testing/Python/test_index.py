"""Files into Slicer's database: held to one that Slicer wrote, and to its own promises."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from conftest import REPOSITORY
from dicom_slices import SERIES_UID, STUDY_UID, ramp, write_series, write_slice
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.dicom.database import DatabaseSource
from DicomAnalysisLib.dicom.indexing import conventions, schema
from DicomAnalysisLib.dicom.indexing.indexer import index_files
from DicomAnalysisLib.dicom.indexing.memory import MEMORY_NAME
from DicomAnalysisLib.dicom.sources import FolderSource, open_source
from DicomAnalysisLib.errors import OutputError, SourceError
from pydicom.uid import generate_uid

TABLES = ("SchemaInfo", "Images", "Patients", "Studies", "Series", "Directories", "ColumnDisplayProperties")
TIMES = {"InsertTimestamp", "DisplayedFieldsUpdatedTimestamp"}


def query(path: Path, statement: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(statement, values).fetchall()


def rows(folder: Path, table: str) -> list[dict]:
    columns = [row[1] for row in query(folder / schema.DATABASE_NAME, f"PRAGMA table_info('{table}')")]
    return [
        dict(zip(columns, row, strict=True))
        for row in query(folder / schema.DATABASE_NAME, f"SELECT * FROM {table} ORDER BY rowid")
    ]


def cached(folder: Path) -> dict[tuple[str, str], str]:
    return {(uid, tag): value for uid, tag, value in query(folder / schema.TAG_CACHE_NAME, "SELECT * FROM TagCache")}


@pytest.fixture(scope="module")
def golden(slicer_golden) -> Path:
    return slicer_golden / "slicer-database"


@pytest.fixture(scope="module")
def like_golden(golden, shared_data, tmp_path_factory) -> Path:
    """The files that Slicer put into the golden database, in its order: one series copied, 17 in place."""
    uids = {}
    for name in ("head-phantom-derived-dup-missing-mixed", "cohort-tcga-luad-single-slices"):
        for path in sorted((shared_data / name).glob("*.dcm")):
            uids[pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID] = path
    folder = tmp_path_factory.mktemp("like golden")
    images = rows(golden, "Images")
    copies = [uids[row["SOPInstanceUID"]] for row in images if not Path(row["Filename"]).is_absolute()]
    index_files(copies, folder, copy=True)
    index_files([uids[row["SOPInstanceUID"]] for row in images if Path(row["Filename"]).is_absolute()], folder)
    return folder


class TestLikeSlicer:
    def test_every_table_column_type_and_index(self, golden, like_golden) -> None:
        for name in (schema.DATABASE_NAME, schema.TAG_CACHE_NAME):
            objects = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2"
            assert query(like_golden / name, objects) == query(golden / name, objects)
            for (table,) in query(golden / name, "SELECT name FROM sqlite_master WHERE type = 'table'"):
                for pragma in ("table_info", "index_list"):
                    assert query(like_golden / name, f"PRAGMA {pragma}('{table}')") == query(
                        golden / name, f"PRAGMA {pragma}('{table}')"
                    )
            for (index,) in query(golden / name, "SELECT name FROM sqlite_master WHERE type = 'index'"):
                info = f"PRAGMA index_xinfo('{index}')"
                assert query(like_golden / name, info) == query(golden / name, info)

    @pytest.mark.parametrize("table", TABLES)
    def test_every_row_and_value(self, golden, like_golden, table: str) -> None:
        ours, theirs = rows(like_golden, table), rows(golden, table)
        if table == "ColumnDisplayProperties":
            ours, theirs = (
                sorted(some, key=lambda row: (row["TableName"], row["FieldName"])) for some in (ours, theirs)
            )
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            for column, value in their.items():
                if column in TIMES:
                    assert len(our[column]) == len(value)
                    assert type(our[column]) is type(value)
                    assert [c for c in our[column] if not c.isdigit()] == [c for c in value if not c.isdigit()]
                elif column == "Filename" and Path(value).is_absolute():
                    assert Path(our[column]).name == Path(value).name
                    assert Path(our[column]).is_absolute()
                else:
                    assert (our[column], type(our[column])) == (value, type(value)), column

    def test_values_of_the_tag_cache(self, golden, like_golden) -> None:
        ours, theirs = cached(like_golden), cached(golden)
        pixels = conventions.tag_name(0x7FE00010)
        uids = {row["SOPInstanceUID"] for row in rows(golden, "Images")}
        assert set(ours) == {(uid, conventions.tag_name(tag)) for uid in uids for tag in conventions.CACHED_TAGS}
        compared = 0
        for key, value in ours.items():
            if key[1] == pixels:
                # Slicer's import asks for "7fe0,0010", which its look-up of "7FE0,0010" does not find; what it
                # writes when it then looks at the file is this.
                assert value == conventions.NOT_STORED
            else:
                assert value == theirs[key]
                compared += 1
        assert compared == 30 * len(uids)

    def test_copies_have_slicer_s_names(self, golden, like_golden) -> None:
        names = sorted(p.relative_to(golden).as_posix() for p in (golden / "dicom").rglob("*.dcm"))
        assert sorted(p.relative_to(like_golden).as_posix() for p in (like_golden / "dicom").rglob("*.*")) == names
        for name in names:
            assert (like_golden / name).read_bytes() == (golden / name).read_bytes()

    def test_adding_to_slicer_s_own_does_no_harm(self, golden, tmp_path, shared_data) -> None:
        folder = tmp_path / "database"
        shutil.copytree(golden, folder, copy_function=shutil.copyfile)
        before = {table: rows(folder, table) for table in TABLES}
        cache = cached(folder)
        report = index_files([shared_data / "mixed-orientation-single-slices", folder], folder)
        assert report.added == 10
        assert report.updated == 0
        assert len([p for p in report.problems if p.is_dicom]) == 0
        for table, old in before.items():
            assert rows(folder, table)[: len(old)] == old
        assert cache.items() <= cached(folder).items()


def test_our_reader_reads_the_same_series_from_it(shared_data, tmp_path) -> None:
    source = shared_data / "head-philips-phantom"
    index_files([source], tmp_path / "database")
    there = open_source(tmp_path / "database")
    assert isinstance(there, DatabaseSource)
    for one, other in zip(there.series(), FolderSource(source).series(), strict=True):
        assert one.identity == other.identity
        assert [stack.shape for stack in one.stacks] == [stack.shape for stack in other.stacks]
        assert sorted(one.paths) == sorted(other.paths)
    assert {problem.reason for problem in there.problems} == {
        problem.reason for problem in FolderSource(source).problems if problem.is_dicom
    }


@pytest.fixture
def series(tmp_path) -> Path:
    """Three slices of one series."""
    folder = tmp_path / "files"
    write_series(folder, [(0.0, 0.0, z) for z in range(3)], PatientName="Doe^Jane", SeriesDescription="thin")
    return folder


class TestAgain:
    def test_a_second_run_opens_nothing(self, series, tmp_path, monkeypatch) -> None:
        (series / "notes.txt").write_text("no image")
        first = index_files([series], tmp_path / "database")
        assert (first.added, first.unchanged, len(first.problems)) == (3, 0, 1)
        monkeypatch.setattr(os, "open", None)
        second = index_files([series], tmp_path / "database")
        assert (second.added, second.updated, second.unchanged) == (0, 0, 3)
        assert second.problems == first.problems
        assert (second.patients, second.studies, second.series, second.images) == (1, 1, 1, 3)

    @pytest.mark.parametrize("content", [None, b"", b"not a database", b"SQLite format 3\0" + bytes(200)])
    def test_the_memory_may_be_deleted_or_damaged(self, series, tmp_path, content) -> None:
        index_files([series], tmp_path / "database")
        before = rows(tmp_path / "database", "Images")
        memory = tmp_path / "database" / MEMORY_NAME
        memory.unlink()
        if content is not None:
            memory.write_bytes(content)
        report = index_files([series], tmp_path / "database")
        assert (report.added, report.updated, report.unchanged) == (0, 0, 3)
        assert rows(tmp_path / "database", "Images") == before
        assert index_files([series], tmp_path / "database").unchanged == 3

    def test_a_changed_file_is_written_anew(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database")
        for path in sorted(series.iterdir()):
            instance = pydicom.dcmread(path)
            instance.PatientName, instance.SeriesDescription = "Anonymous", "renamed"
            instance.save_as(path)
        report = index_files([series], tmp_path / "database")
        assert (report.added, report.updated, report.images) == (0, 3, 3)
        (patient,) = rows(tmp_path / "database", "Patients")
        assert patient["PatientsName"] == "Anonymous"
        assert b"Doe" not in (tmp_path / "database" / schema.DATABASE_NAME).read_bytes().replace(b"\0", b"")
        assert rows(tmp_path / "database", "Series")[0]["SeriesDescription"] == "renamed"
        assert {v for (_u, tag), v in cached(tmp_path / "database").items() if tag == "0008,103E"} == {"renamed"}

    def test_a_moved_file_is_found_again(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database")
        moved = tmp_path / "elsewhere"
        series.rename(moved)
        report = index_files([moved], tmp_path / "database")
        assert (report.added, report.updated, report.images) == (0, 3, 3)
        assert {Path(row["Filename"]).parent for row in rows(tmp_path / "database", "Images")} == {moved}

    def test_what_was_removed_in_slicer_comes_back(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database")
        with closing(sqlite3.connect(tmp_path / "database" / schema.DATABASE_NAME)) as connection, connection:
            for table in ("Images", "Series", "Studies", "Patients"):
                connection.execute(f"DELETE FROM {table}")
        report = index_files([series], tmp_path / "database")
        assert (report.added, report.images, report.patients) == (3, 3, 1)

    def test_a_duplicate_leaves_the_first(self, series, tmp_path) -> None:
        copy = series / "a copy.dcm"
        shutil.copyfile(series / "001.dcm", copy)
        for _ in range(2):
            report = index_files([series], tmp_path / "database")
            assert [problem.path for problem in report.duplicates] == [str(copy)]
            assert report.images == 3
        (series / "001.dcm").unlink()
        assert index_files([series], tmp_path / "database").updated == 1

    def test_more_files_of_a_series_are_counted(self, series, tmp_path) -> None:
        index_files([series / "001.dcm"], tmp_path / "database")
        assert rows(tmp_path / "database", "Series")[0]["DisplayedCount"] == 1
        index_files([series], tmp_path / "database")
        assert rows(tmp_path / "database", "Series")[0]["DisplayedCount"] == 3
        other = tmp_path / "other"
        other.mkdir()
        uid = "1.2.3"
        write_slice(other, ramp(9), 9, SeriesInstanceUID=uid, PatientName="Doe^Jane", StudyDate="20240229")
        write_slice(
            other, ramp(8), 8, SeriesInstanceUID=uid + ".1", StudyInstanceUID=uid + ".2", PatientName="Doe^Jane"
        )
        report = index_files([other], tmp_path / "database")
        assert (report.patients, report.studies, report.series, report.images) == (1, 2, 3, 5)
        (patient,) = rows(tmp_path / "database", "Patients")
        assert patient["DisplayedNumberOfStudies"] == 2
        counts = {
            row["StudyInstanceUID"]: row["DisplayedNumberOfSeries"] for row in rows(tmp_path / "database", "Studies")
        }
        assert counts == {STUDY_UID: 2, uid + ".2": 1}


class TestCopy:
    def test_copies_are_whole_and_the_sources_untouched(self, series, tmp_path) -> None:
        report = index_files([series], tmp_path / "database", copy=True)
        assert report.added == 3
        names = [row["Filename"] for row in rows(tmp_path / "database", "Images")]
        assert all(name.startswith("dicom/") and not Path(name).is_absolute() for name in names)
        copies = sorted((tmp_path / "database" / name).read_bytes() for name in names)
        assert copies == sorted(path.read_bytes() for path in series.iterdir())
        assert index_files([series], tmp_path / "database", copy=True).unchanged == 3
        assert not list(tmp_path.rglob("*.part"))

    def test_files_in_place_become_copies(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database")
        report = index_files([series], tmp_path / "database", copy=True)
        assert (report.updated, report.images) == (3, 3)
        shutil.rmtree(series)
        assert len(open_source(tmp_path / "database").series()[0].paths) == 3

    def test_a_copy_that_went_missing_is_made_again(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database", copy=True)
        first = tmp_path / "database" / rows(tmp_path / "database", "Images")[0]["Filename"]
        first.unlink()
        index_files([series], tmp_path / "database", copy=True)
        assert first.is_file()

    def test_the_database_folder_itself_may_be_indexed(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database", copy=True)
        report = index_files([tmp_path / "database"], tmp_path / "database")
        assert (report.added, report.updated, report.unchanged, report.problems) == (0, 0, 3, ())

    def test_what_a_killed_run_left_is_tidied(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database", copy=True)
        (folder,) = {path.parent for path in (tmp_path / "database" / "dicom").rglob("*.dcm")}
        old, fresh = folder / "x.dcm.1.part", folder / "y.dcm.2.part"
        for path in (old, fresh):
            path.write_bytes(b"half")
        os.utime(old, (1, 1))
        write_slice(series, ramp(7), 7)
        index_files([series], tmp_path / "database", copy=True)
        assert not old.exists()
        assert fresh.exists()  # another process may be writing it


class TestRefused:
    @pytest.mark.parametrize(
        ("version", "hint"), [("0.9.0", "update this program"), ("0.7.0", "open it once in Slicer")]
    )
    def test_another_schema_is_refused(self, series, tmp_path, version, hint) -> None:
        index_files([series], tmp_path / "database")
        path = tmp_path / "database" / schema.DATABASE_NAME
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE SchemaInfo SET Version = ?", (version,))
        before = path.read_bytes()
        with pytest.raises(SourceError, match=hint):
            index_files([series], tmp_path / "database")
        assert path.read_bytes() == before

    def test_other_files_of_that_name_are_refused(self, series, tmp_path) -> None:
        path = tmp_path / "database" / schema.DATABASE_NAME
        path.parent.mkdir()
        path.write_bytes(b"These are not the rows you are looking for. " * 100)
        before = path.read_bytes()
        with pytest.raises(SourceError, match="no SQLite database"):
            index_files([series], path.parent)
        assert path.read_bytes() == before
        path.unlink()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE Notes (Text)")
        with pytest.raises(SourceError, match="not one of Slicer's"):
            index_files([series], path.parent)

    def test_a_database_with_triggers_is_refused(self, series, tmp_path) -> None:
        index_files([series], tmp_path / "database")
        with closing(sqlite3.connect(tmp_path / "database" / schema.DATABASE_NAME)) as connection, connection:
            connection.execute("CREATE TRIGGER T AFTER INSERT ON Images BEGIN DELETE FROM Patients; END")
        write_slice(series, ramp(7), 7)
        with pytest.raises(SourceError, match="not a whole database"):
            index_files([series], tmp_path / "database")

    def test_a_wrong_path_makes_no_database(self, tmp_path) -> None:
        with pytest.raises(SourceError, match="no file or folder"):
            index_files([tmp_path / "nowhere"], tmp_path / "database")
        assert not (tmp_path / "database").exists()

    def test_a_database_in_use_is_waited_for_and_then_named(self, series, tmp_path, monkeypatch) -> None:
        from DicomAnalysisLib.dicom.indexing import database_file

        index_files([series / "001.dcm"], tmp_path / "database")
        monkeypatch.setattr(database_file, "BUSY_SECONDS", 0.2)
        with closing(sqlite3.connect(tmp_path / "database" / schema.DATABASE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(OutputError, match="in use by another program"):
                index_files([series], tmp_path / "database")
            other.execute("ROLLBACK")
        assert index_files([series], tmp_path / "database").added == 2

    def test_files_without_identifiers_are_named(self, tmp_path) -> None:
        for number, missing in enumerate(("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")):
            write_slice(tmp_path, ramp(), number, name=f"{missing}.dcm", **{missing: None})
        report = index_files([tmp_path], tmp_path / "database")
        assert report.images == 0
        reasons = {Path(p.path).stem: p.reason for p in report.problems}
        assert "no SOP instance UID" in reasons["SOPInstanceUID"]
        assert "no study instance UID" in reasons["StudyInstanceUID"]
        assert "no series instance UID" in reasons["SeriesInstanceUID"]


class TestConventions:
    def index_one(self, tmp_path: Path, **attributes: object) -> Path:
        write_slice(tmp_path, ramp(), 1, **attributes)
        folder = tmp_path / "database"
        index_files([tmp_path / "001.dcm"], folder)
        return folder

    def test_text_in_every_character_set(self, tmp_path) -> None:
        name = "Müller^Jörg"
        folder = self.index_one(
            tmp_path, SpecificCharacterSet="ISO_IR 100", PatientName=name, SeriesDescription="Schädel"
        )
        (patient,) = rows(folder, "Patients")
        assert (patient["PatientsName"], patient["DisplayedPatientsName"]) == (name, "Müller, Jörg")
        assert rows(folder, "Series")[0]["SeriesDescription"] == "Schädel"
        assert "Schädel" in cached(folder).values()

    def test_latin_1_where_none_is_stated(self, tmp_path) -> None:
        path = write_slice(tmp_path, ramp(), 1, PatientName="Mxller^A", SeriesDescription="xy")
        path.write_bytes(path.read_bytes().replace(b"Mxller", b"M\xfcller"))
        index_files([path], tmp_path / "database")
        assert rows(tmp_path / "database", "Patients")[0]["PatientsName"] == "Müller^A"

    def test_a_person_s_displayed_name(self) -> None:
        assert conventions.displayed_name("Doe^Jane^Mary^Dr^PhD") == "Doe, Jane Mary, PhD (Dr)"
        assert conventions.displayed_name("Doe") == "Doe"
        assert conventions.displayed_name("Yamada^Tarou=山田^太郎") == "Yamada, Tarou"

    def test_whoever_has_no_name_or_number(self, tmp_path) -> None:
        folder = self.index_one(tmp_path, PatientID=None)
        (patient,) = rows(folder, "Patients")
        assert (patient["PatientID"], patient["PatientsName"]) == (STUDY_UID, STUDY_UID)

    def test_dates_that_are_none(self, tmp_path) -> None:
        folder = self.index_one(tmp_path, PatientBirthDate="19850230", StudyDate="", SeriesDate="20240229")
        assert rows(folder, "Patients")[0]["PatientsBirthDate"] is None
        assert rows(folder, "Patients")[0]["DisplayedLastStudyDate"] == ""
        assert rows(folder, "Series")[0]["SeriesDate"] == "2024-02-29"

    def test_numbers_that_are_none(self, tmp_path) -> None:
        path = write_slice(tmp_path, ramp(), 1, SeriesNumber=77)
        path.write_bytes(path.read_bytes().replace(b"IS\x02\x0077", b"IS\x02\x00ab"))
        index_files([path], tmp_path / "database")
        assert rows(tmp_path / "database", "Series")[0]["SeriesNumber"] == 0

    def test_radiotherapy_objects_have_names(self, tmp_path) -> None:
        folder = self.index_one(tmp_path, Modality="RTSTRUCT", StructureSetLabel="Organs", PixelData=None)
        assert rows(folder, "Series")[0]["SeriesDescription"] == "Organs"
        assert ("7FE0,0010", conventions.NOT_IN_INSTANCE) in {(tag, v) for (_u, tag), v in cached(folder).items()}

    def test_long_texts_are_not_stored(self, tmp_path) -> None:
        folder = self.index_one(tmp_path, SeriesDescription=None, ImageType=["A" * 15] * 1000)
        values = {tag: value for (_uid, tag), value in cached(folder).items()}
        assert values["0008,0008"] == conventions.NOT_STORED

    def test_a_series_of_two_patients_is_named(self, tmp_path) -> None:
        write_slice(tmp_path, ramp(), 1, PatientID="A")
        write_slice(tmp_path, ramp(), 2, PatientID="B")
        report = index_files([tmp_path], tmp_path / "database")
        assert len(report.warnings) == 1
        assert SERIES_UID in report.warnings[0]
        assert report.images == 2

    @pytest.mark.skipif(sys.platform != "linux", reason="file names are text on other systems")
    def test_a_name_that_is_no_text_is_copied_only(self, tmp_path) -> None:
        folder = tmp_path / os.fsdecode(b"f\xff")
        folder.mkdir()
        write_slice(folder, ramp())
        report = index_files([folder], tmp_path / "database")
        assert "not UTF-8" in report.problems[0].reason
        assert index_files([folder], tmp_path / "database", copy=True).added == 1


class TestCommand:
    def test_json(self, series, tmp_path, capsys) -> None:
        (series / "notes.txt").write_text("no image")
        assert main(["index", str(series), "--database", str(tmp_path / "database"), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["added"] == 3
        assert document["totals"] == {"patients": 1, "studies": 1, "series": 1, "images": 3}
        assert document["problems"][0]["path"].endswith("notes.txt")
        assert main(["list", str(tmp_path / "database"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["series"][0]["files"] == 3

    def test_a_damaged_file_is_a_failure_and_named(self, series, tmp_path, capsys) -> None:
        (series / "002.dcm").write_bytes((series / "002.dcm").read_bytes()[:700])
        assert main(["index", str(series), "--database", str(tmp_path / "database")]) == 1
        out = capsys.readouterr().out
        assert "2 added" in out
        assert "002.dcm: damaged DICOM" in out

    def test_nothing_to_index_is_a_failure(self, tmp_path) -> None:
        (tmp_path / "notes.txt").write_text("no image")
        assert main(["index", str(tmp_path), "--database", str(tmp_path / "database")]) == 1

    def test_no_name_in_what_is_said(self, series, tmp_path, capsys) -> None:
        main(["index", str(series), "--database", str(tmp_path / "database"), "--verbose"])
        captured = capsys.readouterr()
        assert "Doe" not in captured.out + captured.err

    def test_two_at_once(self, tmp_path) -> None:
        for part in ("a", "b"):
            uid = generate_uid(entropy_srcs=["series", part])
            write_series(tmp_path / part, [(0.0, 0.0, z) for z in range(40)], SeriesInstanceUID=uid)
            for path in (tmp_path / part).iterdir():
                instance = pydicom.dcmread(path)
                uid = generate_uid(entropy_srcs=[part, path.name])
                instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = uid
                instance.save_as(path)
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "DicomAnalysis")}
        for _ in range(2):
            command = [sys.executable, "-m", "DicomAnalysisLib", "index", "--database", str(tmp_path / "database")]
            both = [
                subprocess.Popen([*command, str(tmp_path / part)], env=environment) for part in ("a", "b", "a", "b")
            ]
            assert [one.wait(60) for one in both] == [0] * 4
            assert len(rows(tmp_path / "database", "Images")) == 80
            assert [row["DisplayedCount"] for row in rows(tmp_path / "database", "Series")] == [40, 40]
            assert len(rows(tmp_path / "database", "Patients")) == 1
