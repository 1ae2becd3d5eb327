"""Series from files, folders, Slicer's database file and the application's database object."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from dicom_slices import ramp, write_series, write_slice
from DicomAnalysisLib.dicom.reader import read_series, read_volume
from DicomAnalysisLib.dicom.sources import (
    ApplicationSource,
    DatabaseSource,
    FolderSource,
    open_source,
    series_from_files,
)
from DicomAnalysisLib.errors import SourceError

COPIED = "1.2.826.0.1.3680043.8.498.13195438394407221364095276924959107689"


# --- files and folders --------------------------------------------------------------------------


def test_a_file_a_folder_and_a_list_of_files_are_the_same_series(tmp_path):
    paths = write_series(tmp_path / "deep" / "deeper", [(0, 0, z) for z in range(3)])
    by_folder = open_source(tmp_path).series()
    by_files, problems = series_from_files(reversed([*paths, paths[0]]))
    assert problems == ()
    assert [len(series.stacks[0]) for series in (*by_folder, *by_files)] == [3, 3]
    assert by_folder[0].paths == by_files[0].paths == tuple(map(str, paths))
    assert len(open_source(paths[1]).series()[0].stacks[0]) == 1


def test_the_kind_of_source_is_recognised(tmp_path, slicer_golden):
    assert isinstance(open_source(tmp_path), FolderSource)
    assert isinstance(open_source(write_slice(tmp_path, ramp())), FolderSource)
    for database in (slicer_golden / "slicer-database", slicer_golden / "slicer-database" / "ctkDICOM.sql"):
        assert isinstance(open_source(database), DatabaseSource)


def test_a_folder_of_anything_names_what_it_refuses(tmp_path):
    write_series(tmp_path / "ct", [(0, 0, z) for z in range(3)])
    (tmp_path / "notes.txt").write_text("what the patient said")
    write_slice(tmp_path, ramp(), name="no-place.dcm", ImagePositionPatient=None)
    source = open_source(tmp_path)
    assert [len(series.stacks[0]) for series in source.series()] == [3]
    notes, no_place = sorted(source.problems, key=lambda problem: problem.is_dicom)
    assert Path(notes.path).name == "notes.txt"
    assert not notes.is_dicom
    assert no_place.is_dicom
    assert "no image position" in no_place.reason
    assert no_place.series_uid


def test_several_series_come_in_an_order_of_their_own(tmp_path):
    for name, patient, uid in (("c", "A", "1.9"), ("a", "B", "1.2"), ("b", "A", "1.3")):
        (tmp_path / name).mkdir()
        write_slice(tmp_path / name, ramp(), PatientID=patient, SeriesInstanceUID=uid)
    source = open_source(tmp_path)
    assert [(one.identity.patient_id, one.identity.series_uid) for one in source.series()] == [
        ("A", "1.3"),
        ("A", "1.9"),
        ("B", "1.2"),
    ]
    (chosen,) = source.series("1.9")
    assert chosen.identity.series_uid == "1.9"
    assert source.series("1.8") == []


def test_long_and_non_ascii_paths(tmp_path):
    folder = tmp_path / "Müller-頭部-Ω" / ("x" * 200) / ("y" * 100)
    write_series(folder, [(0, 0, z) for z in range(2)])
    volume = read_volume(tmp_path)
    assert volume.shape == (2, 6, 5)
    assert np.array_equal(volume.voxels[1], ramp(2))


def test_names_that_are_no_text(tmp_path):
    path = write_slice(tmp_path, ramp())
    strange = os.fsencode(tmp_path) + b"/\xff\xfe.dcm"
    try:
        path.rename(os.fsdecode(strange))
    except OSError:
        pytest.skip("this file system allows only names that are text")
    assert len(open_source(tmp_path).series()) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are a POSIX thing")
def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.dcm")
    source = open_source(tmp_path)
    assert source.series() == []
    assert [problem.reason for problem in source.problems] == ["it is not a file"]


def test_links_to_files_are_followed_and_links_to_folders_are_named(tmp_path):
    outside = tmp_path / "outside"
    paths = write_series(outside, [(0, 0, z) for z in range(2)])
    inside = tmp_path / "inside"
    inside.mkdir()
    try:
        (inside / "one.dcm").symlink_to(paths[0])
        (inside / "circle").symlink_to(inside)
        (inside / "dangling.dcm").symlink_to(tmp_path / "nothing")
    except OSError:
        pytest.skip("links cannot be made here")
    source = open_source(inside)
    assert len(source.series()[0].stacks[0]) == 1
    reasons = {Path(problem.path).name: problem.reason for problem in source.problems}
    assert "not followed" in reasons["circle"]
    assert reasons["dangling.dcm"] == "the link leads nowhere"


def test_files_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    write_slice(tmp_path, ramp())

    def refuse(path: str) -> None:  # root, who runs the tests in a container, may read everything
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("DicomAnalysisLib.dicom.header.open_pixels", refuse)
    (problem,) = open_source(tmp_path).problems
    assert problem.reason == "it cannot be read (Permission denied)"


def test_what_is_not_there_says_so(tmp_path):
    with pytest.raises(SourceError, match="no file or folder"):
        open_source(tmp_path / "missing")
    _, (problem,) = series_from_files([tmp_path / "missing.dcm"])
    assert problem.reason == "the file is missing"


# --- a database that Slicer wrote ---------------------------------------------------------------


@pytest.fixture
def database(slicer_golden, tmp_path) -> Path:
    """A copy of the real one, so that nothing can touch the original."""
    folder = tmp_path / "database"
    shutil.copytree(slicer_golden / "slicer-database", folder, copy_function=shutil.copyfile)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def edit(database: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(database / "ctkDICOM.sql")) as connection, connection:
        connection.execute(statement, values)


def test_a_real_database_gives_its_copied_series_and_names_the_missing_files(slicer_golden, shared_data):
    source = open_source(slicer_golden / "slicer-database")
    assert source.schema == "0.8.1"
    (series,) = source.series()
    assert series.identity.series_uid == COPIED
    volumes = read_series(series)
    (original,) = open_source(shared_data / "head-phantom-derived-dup-missing-mixed").series()
    for volume, expected in zip(volumes, read_series(original), strict=True):
        assert np.array_equal(volume.voxels, expected.voxels)
        assert np.array_equal(volume.geometry.positions, expected.geometry.positions)
    missing = [problem for problem in source.problems if problem.reason == "the file is missing"]
    assert len(missing) == 17
    assert all(problem.series_uid and problem.path.startswith("/data/") for problem in missing)


def test_a_database_is_described_without_opening_files(slicer_golden):
    summaries = open_source(slicer_golden / "slicer-database").summaries()
    assert len(summaries) == 18
    (copied,) = (one for one in summaries if one.identity.series_uid == COPIED)
    assert copied.files == 29
    assert copied.identity.modality == "CT"
    assert copied.identity.patient_id == "PLASTIC"
    assert copied.identity.series_description == "DERIVED dup+missing+mixed"
    assert copied.identity.body_part == "BRAIN"
    assert (copied.study_date, copied.study_description) == ("20150206", "1A TRAUMA/PLAIN HEAD DM")
    assert copied.series_number == "201"


def test_one_series_opens_its_own_files_only(database):
    source = open_source(database / "ctkDICOM.sql")
    (series,) = source.series(COPIED)
    assert len(series.stacks[0]) == 25
    assert source.problems == ()
    assert source.series("1.2.3") == []


def test_absolute_names_of_files_indexed_in_place(database, tmp_path):
    path = write_slice(tmp_path, ramp(), SeriesInstanceUID="1.2.3")
    edit(database, "UPDATE Images SET Filename = ? WHERE Filename LIKE '/data/%ID_0008%'", str(path))
    assert any(series.identity.series_uid == "1.2.3" for series in open_source(database).series())


def test_remote_items_and_names_that_climb_out_are_named(database, tmp_path):
    write_slice(tmp_path, ramp(), name="secret.dcm")
    edit(database, "UPDATE Images SET Filename = '../secret.dcm' WHERE Filename LIKE '%ID_0008%'")
    edit(database, "UPDATE Images SET Filename = '', URL = 'https://pacs/1' WHERE Filename LIKE '%ID_0025%'")
    edit(database, "UPDATE Images SET Filename = '..\\secret.dcm' WHERE Filename LIKE '%ID_0010%'")
    source = open_source(database)
    assert len(source.series()) == 1
    reasons = {problem.path: problem.reason for problem in source.problems}
    assert "leads out of the database folder" in reasons["../secret.dcm"]
    assert "leads out of the database folder" in reasons["..\\secret.dcm"]
    assert "on a server" in reasons["https://pacs/1"]


def test_a_database_is_never_written_to(database):
    before = {path: path.stat().st_mtime_ns for path in database.rglob("*")}
    content = (database / "ctkDICOM.sql").read_bytes()
    source = open_source(database)
    source.series(), source.summaries()
    assert (database / "ctkDICOM.sql").read_bytes() == content
    assert {path: path.stat().st_mtime_ns for path in database.rglob("*")} == before


def test_a_database_that_is_open_for_writing_elsewhere_is_read(database):
    with closing(sqlite3.connect(database / "ctkDICOM.sql")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert len(open_source(database).series()) == 1


def test_a_path_with_signs_that_mean_something_in_a_uri(slicer_golden, tmp_path):
    folder = tmp_path / "a?b#c%20é"
    folder.mkdir()
    shutil.copyfile(slicer_golden / "slicer-database" / "ctkDICOM.sql", folder / "ctkDICOM.sql")
    assert len(open_source(folder).summaries()) == 18


@pytest.mark.parametrize("content", [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_named(tmp_path, content):
    (tmp_path / "ctkDICOM.sql").write_bytes(content)
    with pytest.raises(SourceError, match=r"ctkDICOM\.sql"):
        open_source(tmp_path)


def test_a_database_without_the_tables_is_named(tmp_path):
    with closing(sqlite3.connect(tmp_path / "ctkDICOM.sql")) as connection, connection:
        connection.execute("CREATE TABLE SchemaInfo (Version TEXT)")
        connection.execute("INSERT INTO SchemaInfo VALUES ('0.5.3')")
    with pytest.raises(SourceError, match=r"schema 0\.5\.3.*lacks Images"):
        open_source(tmp_path)


# --- the application's database object ----------------------------------------------------------


class OpenDatabase:
    """The methods of ``slicer.dicomDatabase`` that are used, over real files; counts what was asked for."""

    def __init__(self, files: dict[str, list[str]]):
        self.files = files
        self.asked: list[str] = []

    def patients(self) -> tuple[str, ...]:
        return ("1",)

    def studiesForPatient(self, patient: str) -> tuple[str, ...]:  # noqa: N802
        return ("study",)

    def seriesForStudy(self, study: str) -> tuple[str, ...]:  # noqa: N802
        return tuple(self.files)

    def filesForSeries(self, series: str, hits: int = -1) -> tuple[str, ...]:  # noqa: N802
        self.asked.append(series)
        return tuple(self.files.get(series, ()))[: hits if hits > 0 else None]


def test_the_applications_database(tmp_path):
    head = [str(path) for path in write_series(tmp_path / "head", [(0, 0, z) for z in range(4)])]
    chest = [str(path) for path in write_series(tmp_path / "chest", [(0, 0, z) for z in range(3)], PatientID="A")]
    gone = str(tmp_path / "gone.dcm")
    database = OpenDatabase({"1": [*head, gone, ""], "2": chest})
    source = ApplicationSource(database)
    (series,) = source.series("1")
    assert database.asked == ["1"]
    assert len(series.stacks[0]) == 4
    assert [(problem.path, problem.series_uid) for problem in source.problems] == [("", "1"), (gone, "1")]
    assert [one.identity.patient_id for one in source.series()] == ["A", "TEST"]


def test_the_applications_list_is_read_from_its_file(database):
    class InUse:
        databaseFilename = str(database / "ctkDICOM.sql")  # noqa: N815

    assert ApplicationSource(InUse()).summaries() == open_source(database).summaries()


def test_a_database_in_memory_is_asked_by_its_methods(tmp_path):
    from standins.database import FolderDatabase

    write_series(tmp_path, [(0, 0, z) for z in range(4)], SeriesDescription="Head", StudyDescription="CT of the head")
    (summary,) = ApplicationSource(FolderDatabase(tmp_path)).summaries()
    assert summary.identity.series_description == "Head"
    assert summary.study_description == "CT of the head"
    assert summary.files == 4


def test_one_instance_is_enough_to_describe_a_series(tmp_path, monkeypatch):
    paths = write_series(tmp_path, [(0, 0, z) for z in range(4)], SeriesDescription="Head")
    source = ApplicationSource(OpenDatabase({"1": list(map(str, paths))}))
    opened = []
    from DicomAnalysisLib.dicom import database as module

    real = module.read_header
    monkeypatch.setattr(module, "read_header", lambda path, *rest, **kw: opened.append(path) or real(path, *rest, **kw))
    summary = source.describe("1")
    assert (summary.identity.series_description, summary.files) == ("Head", 4)
    assert len(opened) == 1


def test_a_series_whose_files_are_gone_says_so(tmp_path):
    source = ApplicationSource(OpenDatabase({"1": [str(tmp_path / "gone.dcm")]}))
    with pytest.raises(SourceError, match="Series 1: none of its 1 files"):
        source.describe("1")
