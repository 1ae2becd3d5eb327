"""What can go wrong around a run: disks that are full, files that go, two runs at once, folders used twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from cohort_runs import command, finished, table_bytes, wait_for
from dicom_slices import SERIES_UID, ct_slice, ramp, write_series
from DicomAnalysisLib.cli import main
from DicomAnalysisLib.cohort.engine.driver import run_cohort
from DicomAnalysisLib.cohort.engine.journal import WORK, Journal
from DicomAnalysisLib.cohort.engine.options import CohortOptions
from DicomAnalysisLib.cohort.engine.run_file import RUN_FILE
from DicomAnalysisLib.cohort.engine.status import look_at_run
from DicomAnalysisLib.cohort.engine.supervisor import Supervisor
from DicomAnalysisLib.cohort.ledger import DONE, Ending, open_ledger
from DicomAnalysisLib.cohort.ledger import NAME as LEDGER
from DicomAnalysisLib.cohort.store import FeatureStore
from DicomAnalysisLib.commands.cohort_run import report_lines
from DicomAnalysisLib.errors import DicomAnalysisError, SourceError, TaskError, UsageError
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless
from small_cohorts import series_uid, write_cohort

pytest.importorskip("pyarrow")
SERIES = 40
ONE = CohortOptions(workers=1)
posix = pytest.mark.skipif(os.name == "nt", reason="signals of Linux and macOS")
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and file names of Linux")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, SERIES)
    return folder


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed")
    assert run_cohort(source, output, ONE).complete
    return output


@pytest.fixture
def earlier(undisturbed, tmp_path) -> Path:
    """The output of a run that is through."""
    return Path(shutil.copytree(undisturbed, tmp_path / "earlier"))


def broken_frame(path: Path) -> None:
    """A series whose pixel data cannot be decoded, which names the file."""
    frame = ct_slice(ramp(), syntax=JPEGLSLossless)
    frame.PixelData = encapsulate([b"no such thing"])
    frame["PixelData"].VR = "OB"
    frame["PixelData"].is_undefined_length = True
    frame.save_as(path, enforce_file_format=True)


def states(output: Path) -> dict[str, str]:
    with closing(sqlite3.connect(output / LEDGER)) as ledger:
        return dict(ledger.execute("SELECT item, state FROM entries"))


class TestDisk:
    @linux
    @pytest.mark.parametrize("size", [100, 5000, 13_000, 20_000])
    def test_where_there_is_no_room_the_run_says_so_and_no_series_is_blamed(
        self, source, undisturbed, tmp_path, size
    ) -> None:
        """The smaller ones stop the ledger, the larger ones the table."""
        with command(source, tmp_path / "output", "--workers", "2", file_bytes=size) as process:
            said = json.loads(process.communicate(timeout=120)[0])
        assert process.returncode == 1
        assert "Cannot write" in said["error"] or "cannot be used" in said["error"], said
        assert "remove the file" not in said["error"], "a ledger is not to be thrown away for want of room"
        report = run_cohort(source, tmp_path / "output", ONE)
        assert (report.complete, report.failed) == (True, {})
        assert table_bytes(tmp_path / "output") == table_bytes(undisturbed)

    @linux
    def test_a_list_of_files_that_finds_no_room_is_told(self, source, tmp_path) -> None:
        (file, *_) = source.rglob("*.dcm")
        code = (
            "import resource, sys; from pathlib import Path\n"
            "from DicomAnalysisLib.cohort.engine.plan import Plan\n"
            "from DicomAnalysisLib.errors import OutputError\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "folder, name = sys.argv[1].rsplit('/', 1)\n"
            "try: Plan([folder + '/.' * 1500 + '/' + name] * 8000, 'nowhere')\n"
            "except OutputError as error: print(error)\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code, str(file)], env=environment, capture_output=True, text=True)
        assert "temporary files" in done.stdout, done.stderr

    def test_a_table_is_on_the_disk_before_it_takes_the_place_of_another(self, tmp_path, monkeypatch) -> None:
        """Without that a power cut could leave an empty file for a whole table."""
        from test_cohort_store import table

        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
        path = FeatureStore(tmp_path).append(table())
        assert synced == [path.stat().st_size]

    @posix
    def test_a_run_that_is_killed_leaves_nothing_among_the_temporary_files(self, source, tmp_path) -> None:
        with command(source, tmp_path / "output", "--workers", "1", temporary=tmp_path / "temporary") as process:
            wait_for(lambda: finished(tmp_path / "output"))
            process.kill()
            process.wait()
        assert not list((tmp_path / "temporary").iterdir())

    @posix
    def test_a_ledger_that_was_cut_off_in_the_middle_of_a_change_can_be_looked_at(self, earlier) -> None:
        code = (
            "import os, sqlite3, sys\n"
            "ledger = sqlite3.connect(sys.argv[1]); ledger.execute('PRAGMA cache_size = 1')\n"
            "ledger.execute('UPDATE entries SET state = \"pending\", reason = ?', ('x' * 5000,))\n"
            "os.kill(os.getpid(), 9)\n"
        )
        subprocess.run([sys.executable, "-c", code, str(earlier / LEDGER)], check=False)
        assert (earlier / f"{LEDGER}-journal").stat().st_size
        (status,) = look_at_run(earlier)
        assert status.counts[DONE] == SERIES


class TestTable:
    def test_some_series_done_anew_cost_the_others_nothing(self, source, undisturbed, earlier) -> None:
        report = run_cohort(source, earlier, replace(ONE, anew=True), series_uid=series_uid(3))
        assert (report.done, report.kept) == (1, 0)
        assert FeatureStore(earlier / "features").read().series == tuple(map(series_uid, range(SERIES)))
        assert run_cohort(source, earlier, ONE).kept == SERIES
        assert FeatureStore(earlier / "features").read().series == tuple(map(series_uid, range(SERIES)))

    def test_rows_that_are_lost_are_made_again(self, source, undisturbed, earlier) -> None:
        store = FeatureStore(earlier / "features")
        whole = store.read()
        (path,) = store.folder.iterdir()
        path.unlink()
        kept = store.append(whole.rows(range(10)), 1)
        lost = store.append(whole.rows(range(10, SERIES)), 1)
        lost.write_bytes(lost.read_bytes()[:100])
        with pytest.raises(SourceError, match="Remove the file") as told:
            run_cohort(source, earlier, ONE)
        assert lost.name in str(told.value)
        lost.unlink()
        report = run_cohort(source, earlier, ONE)
        assert (report.kept, report.done) == (10, SERIES - 10)
        assert table_bytes(earlier) == table_bytes(undisturbed)
        assert not kept.exists()

    def test_what_fails_when_done_anew_is_no_longer_in_the_table(self, tmp_path) -> None:
        paths = write_cohort(tmp_path / "source", 4)
        run_cohort(tmp_path / "source", tmp_path / "output", ONE)
        paths[2].write_bytes(paths[2].read_bytes()[:-50])
        report = run_cohort(tmp_path / "source", tmp_path / "output", replace(ONE, anew=True))
        assert list(report.failed) == [series_uid(2)]
        table = FeatureStore(tmp_path / "output" / "features").read()
        assert table.series == tuple(series_uid(n) for n in (0, 1, 3))

    def test_what_was_finished_of_another_task_is_not_forgotten(self, source, earlier) -> None:
        """Features are killed before the ledger knows, then the folder gets another task, then features again."""
        options = json.loads((earlier / RUN_FILE).read_text())["options_hash"]
        item = series_uid(5)
        with closing(sqlite3.connect(earlier / LEDGER)) as ledger, ledger:
            ledger.execute("UPDATE entries SET state = 'running' WHERE item = ?", (item,))
        journal = Journal(earlier, "features", options)
        journal.add([Ending(item, DONE, outcome={"rows": 1, "seconds": 0.1})])
        journal.close()
        run_cohort(source, earlier, replace(ONE, task="segment"), series_uid=item)
        report = run_cohort(source, earlier, ONE)
        assert (report.kept, report.done) == (SERIES, 0)


class TestFiles:
    def gone_run(self, source: Path, output: Path, gone: list[Path], options: CohortOptions = ONE):
        """A run during which files go, once it has begun."""

        def tell(line: str) -> None:
            if line.endswith("series"):
                for path in gone:
                    path.unlink(missing_ok=True)

        report = run_cohort(source, output, options, progress=tell)
        assert not any(path.exists() for path in gone)
        return report

    def test_series_whose_files_go_are_failed_and_done_when_they_are_back(self, tmp_path) -> None:
        paths = write_cohort(tmp_path / "source", 6)
        kept = paths[4].read_bytes()
        report = self.gone_run(tmp_path / "source", tmp_path / "output", [paths[4]])
        assert (report.done, report.skipped, report.complete) == (5, 0, False)
        assert "--retry-failed" in report.failed[series_uid(4)]
        paths[4].write_bytes(kept)
        again = run_cohort(tmp_path / "source", tmp_path / "output", replace(ONE, retry_failed=True))
        assert (again.done, again.kept, again.complete) == (1, 5, True)

    def test_a_series_of_which_files_go_is_not_measured_by_the_rest(self, tmp_path) -> None:
        paths = write_series(tmp_path / "source", [(0, 0, z) for z in range(6)])
        report = self.gone_run(tmp_path / "source", tmp_path / "output", paths[3:5])
        ((_, reason),) = report.failed.items()
        assert "2 of its 6 files" in reason

    def test_a_file_that_cannot_be_read_is_no_missing_image(self, tmp_path) -> None:
        """In a database nothing was looked at before: what it names may be anything by now."""
        from DicomAnalysisLib.dicom.indexing.indexer import index_files

        paths = write_cohort(tmp_path / "source", 3)
        index_files([tmp_path / "source"], tmp_path / "database")
        paths[1].write_bytes(b"no DICOM any more")
        report = run_cohort(tmp_path / "database", tmp_path / "output", ONE)
        assert (report.done, report.skipped, list(report.failed)) == (2, 0, [series_uid(1)])

    def test_what_was_left_out_of_a_series_is_told(self, tmp_path, capsys) -> None:
        paths = write_series(tmp_path / "source", [(0, 0, z) for z in range(6)])
        paths[2].write_bytes(paths[2].read_bytes()[:-30])
        report = run_cohort(tmp_path / "source", tmp_path / "output", ONE)
        assert (report.done, report.partial, report.complete) == (1, 1, True)
        assert any("cohort status" in line for line in report_lines(report))
        (status,) = look_at_run(tmp_path / "output")
        assert "1 of its 6 files were left out" in status.partial[SERIES_UID]
        assert main(["cohort", "status", str(tmp_path / "output")]) == 0
        assert "1 of its 6 files" in capsys.readouterr().out
        assert run_cohort(tmp_path / "source", tmp_path / "output", ONE).partial == 1

    @linux
    def test_names_with_blanks_and_letters_of_all_kinds(self, tmp_path) -> None:
        source = tmp_path / "Größe und 名前" / os.fsdecode(b"latin-1 \xe9 name")
        paths = write_cohort(source, 5)
        for n, name in enumerate(
            ["a b.dcm", "ü\u0308.dcm", os.fsdecode(b"\xff\xfe.dcm"), "new\nline.dcm", "%20'\".dcm"]
        ):
            paths[n].rename(paths[n].with_name(name))
        broken_frame(source / os.fsdecode(b"\xff broken.dcm"))
        report = run_cohort(source.parent, tmp_path / "Ergebnis é 名", ONE)
        assert (report.done, list(report.failed)) == (5, [SERIES_UID])
        assert "broken.dcm" in report.failed[SERIES_UID]
        table = FeatureStore(tmp_path / "Ergebnis é 名" / "features").read()
        assert table.series == tuple(map(series_uid, range(5)))
        assert table.sources[series_uid(0)][0].endswith("a b.dcm")


class TestWorkers:
    @posix
    def test_only_one_run_at_a_time(self, source, undisturbed, tmp_path) -> None:
        with command(source, tmp_path / "output", "--workers", "1") as first:
            wait_for(lambda: (tmp_path / "output" / WORK).is_dir())
            first.send_signal(signal.SIGSTOP)
            with command(source, tmp_path / "output", "--workers", "1") as second:
                said = json.loads(second.communicate(timeout=60)[0])
            first.send_signal(signal.SIGCONT)
            assert second.returncode == 1
            assert "Another run is at work" in said["error"]
            assert first.wait(120) == 0
        assert table_bytes(tmp_path / "output") == table_bytes(undisturbed)

    @posix
    def test_a_worker_that_is_killed_while_it_starts_is_started_again(self, source, undisturbed, tmp_path) -> None:
        killed: list[int] = []
        over = threading.Event()

        def kill_the_first() -> None:
            while not killed and not over.wait(0.005):
                for one in psutil.Process().children():
                    with suppress(psutil.Error):
                        if any("engine.child" in text for text in one.cmdline()):
                            one.kill()
                            killed.append(one.pid)
                            break

        killer = threading.Thread(target=kill_the_first)
        killer.start()
        try:
            report = run_cohort(source, tmp_path, ONE)
        finally:
            over.set()
            killer.join()
        assert killed
        assert report.complete
        assert table_bytes(tmp_path) == table_bytes(undisturbed)

    def test_a_worker_that_never_starts_is_told(self, source, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr("DicomAnalysisLib.cohort.engine.supervisor._START", "import os; os._exit(3)")
        with pytest.raises(TaskError, match="exit code 3"):
            run_cohort(source, tmp_path, ONE)

    def test_what_nobody_thought_of_ends_the_run_and_does_not_hang_it(self, source, tmp_path, monkeypatch) -> None:
        def fail(*_arguments):
            raise RuntimeError("cannot start new thread")

        monkeypatch.setattr(Supervisor, "run", fail)
        caught: list[BaseException] = []

        def go() -> None:
            try:
                run_cohort(source, tmp_path, ONE)
            except DicomAnalysisError as error:
                caught.append(error)

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "it hangs"
        assert "RuntimeError" in str(caught[0])
        assert set(states(tmp_path).values()) == {"pending"}


class TestPseudonyms:
    def test_identifiers_and_pseudonyms_do_not_come_into_one_folder(self, source, earlier, tmp_path) -> None:
        key, other = tmp_path / "a.key", tmp_path / "b.key"
        with pytest.raises(UsageError, match="another output folder"):
            run_cohort(source, earlier, replace(ONE, key=key))
        hidden = tmp_path / "hidden"
        assert run_cohort(source, hidden, replace(ONE, key=key)).done == SERIES
        before = {path.name: path.read_bytes() for path in (hidden / "features").iterdir()}
        for options in (ONE, replace(ONE, key=other)):
            with pytest.raises(UsageError, match="another output folder"):
                run_cohort(source, hidden, options)
        assert run_cohort(source, hidden, replace(ONE, key=key)).kept == SERIES
        assert {path.name: path.read_bytes() for path in (hidden / "features").iterdir()} == before

    def test_no_pseudonyms_beside_results_of_segment(self, source, tmp_path) -> None:
        """The command `segment` names its folders by series, and keeps its ledger there."""
        with open_ledger(tmp_path / "output") as ledger:
            ledger.add([series_uid(0)], "segment")
        with pytest.raises(UsageError, match="another output folder"):
            run_cohort(source, tmp_path / "output", replace(ONE, key=tmp_path / "key"))

    def test_reasons_do_not_quote_the_names_of_files(self, tmp_path) -> None:
        paths = write_cohort(tmp_path / "of Jane Roe", 3)
        broken_frame(tmp_path / "of Jane Roe" / "Jane Roe frame.dcm")
        paths[0].write_bytes(paths[0].read_bytes()[:-50])
        paths[0].rename(paths[0].with_name("Jane Roe born 1951 scan.dcm"))
        gone = paths[1].rename(paths[1].with_name("Jane Roe gone.dcm"))
        lines: list[str] = []

        def tell(line: str) -> None:
            lines.append(line)
            if line.endswith("series"):
                gone.unlink(missing_ok=True)

        report = run_cohort(
            tmp_path / "of Jane Roe", tmp_path / "output", replace(ONE, key=tmp_path / "key"), progress=tell
        )
        assert len(report.failed) == 3
        assert not any("unexpected" in reason or "quarantined" in reason for reason in report.failed.values())
        said = "\n".join(lines) + repr(report.failed) + (tmp_path / "output" / LEDGER).read_bytes().decode("latin-1")
        assert [word for word in ("Jane", "Roe", "born", "1951") if word in said] == []
