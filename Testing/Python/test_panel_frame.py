"""What the pages share: tabs, choices, progress strip, scene, sample data, and what opening the panel imports."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from panel_cases import ScriptedJob, golden_record, nodes, open_panel, run_application
from standins import FolderDatabase

MODULE = Path(__file__).resolve().parents[2] / "DicomAnalysis"
UI_FILES = sorted((MODULE / "Resources" / "UI").glob("*.ui"))

slicer_app = pytest.fixture(run_application)
opened = pytest.fixture(open_panel)


def bound_names():
    """Parameter names in the .ui files."""
    found = []
    for path in UI_FILES:
        properties = ElementTree.parse(path).iter("property")
        found += [one.findtext("string") for one in properties if one.get("name") == "SlicerParameterName"]
    return found


class TestPages:
    def test_every_page_has_its_tab(self, opened):
        tabs = opened.ui.pageTabs
        titles = [tabs.tabText(index) for index in range(tabs.count)]
        assert titles == ["Segment", "DICOM database", "Train", "Classify", "Agreement", "Cohort", "Settings and log"]

    def test_a_page_without_its_library_part_is_not_shown(self, slicer_app):
        from DicomAnalysisPanels import PAGES, Page, Pages
        from PySide6 import QtWidgets
        from standins.pythonqt import wrap

        pages = (
            *PAGES[-1:],
            Page("Later", "Settings.ui", "settings:SettingsPanel", "DicomAnalysisLib.not_there_yet.part"),
        )
        tabs = wrap(QtWidgets.QTabWidget())
        assert [page.title for page in Pages(tabs, lambda name: str(MODULE / "Resources" / name), pages).pages] == [
            "Settings and log"
        ]

    def test_every_page_in_the_list_is_there(self, slicer_app):
        import importlib

        from DicomAnalysisPanels import PAGES
        from DicomAnalysisPanels.pages import PagePanel

        for ui, panel in [part for page in PAGES for part in ((page.ui, page.panel), *page.parts)]:
            module, name = panel.split(":")
            assert (MODULE / "Resources" / "UI" / ui).is_file()
            assert issubclass(getattr(importlib.import_module(f"DicomAnalysisPanels.{module}"), name), PagePanel)


class TestChoices:
    def test_every_parameter_has_its_widget_and_every_widget_its_parameter(self, slicer_app):
        from DicomAnalysisPanels import DicomAnalysisParameterNode

        assert sorted(bound_names()) == sorted(DicomAnalysisParameterNode.__annotations__)

    @pytest.mark.parametrize("name", bound_names())
    def test_widget_and_parameter_follow_each_other(self, opened, name):
        """Both ways, for every bound widget."""
        widget = next(one for one in vars(opened.ui).values() if one.property("SlicerParameterName") == name)
        before = getattr(opened.parameters, name)
        kind = type(opened.parameters).__annotations__[name]
        other = opened.scene.AddNewNodeByClass(kind.__name__, "one") if before is None else _other_value(opened, before)
        setattr(opened.parameters, name, other)
        assert _shown(widget, other) == other
        _operate(widget, before)
        assert getattr(opened.parameters, name) == before

    def test_a_saved_scene_brings_them_back(self, opened, tmp_path):
        from DicomAnalysisPanels import MetalRegion, RunPlace

        parameters = opened.parameters
        parameters.metalRegion, parameters.runPlace = MetalRegion.ALL, RunPlace.BESIDE
        parameters.metalThreshold, parameters.seriesFilter = 2500.0, "head of a patient"
        parameters.outputFolder, parameters.createCleanedVolume = str(tmp_path / "a folder"), False
        path = tmp_path / "scene.mrml"
        opened.scene.SetURL(str(path))
        opened.scene.Commit(str(path))
        opened.scene.Clear(False)
        assert opened.ui.regionSelector.currentIndex == 0
        opened.scene.SetURL(str(path))
        opened.scene.Import()
        restored = opened.logic.getParameterNode()
        assert (restored.metalRegion, restored.runPlace) == (MetalRegion.ALL, RunPlace.BESIDE)
        assert (restored.metalThreshold, restored.seriesFilter) == (2500.0, "head of a patient")
        assert (restored.outputFolder, restored.createCleanedVolume) == (str(tmp_path / "a folder"), False)
        assert opened.ui.regionSelector.currentIndex == 2
        assert opened.ui.thresholdSpinBox.value == 2500
        assert opened.ui.outputLineEdit.text == str(tmp_path / "a folder")
        assert not opened.ui.createCleanedVolumeCheckBox.checked

    def test_the_choices_of_a_closed_scene_stay_away(self, opened):
        """`connectGui` gives no tag in Slicer, so that it could not be undone: see `parameters.bind`."""
        opened.ui.regionSelector.currentIndex = 2
        opened.scene.Clear(False)
        assert opened.ui.regionSelector.currentIndex == 0
        opened.ui.createCleanedVolumeCheckBox.click()
        assert opened.ui.regionSelector.currentIndex == 0
        assert not opened.logic.getParameterNode().createCleanedVolume

    def test_opening_the_panel_again_changes_no_choice(self, opened):
        opened.ui.regionSelector.currentIndex = 2
        for _ in range(3):
            opened.panel.enter()
        assert opened.ui.regionSelector.currentIndex == 2

    def test_closing_the_scene_empties_the_panel(self, opened):
        opened.ui.segmentHeadrestButton.click()
        opened.ui.showTableButton.click()
        layout = opened.app.layoutManager().layout
        opened.scene.Clear(False)
        assert not opened.ui.segmentHeadrestButton.enabled
        assert not opened.ui.undoButton.enabled
        assert opened.ui.statusLabel.text == ""
        assert opened.app.layoutManager().layout != layout


class TestProgress:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (None, "Remaining time: not known yet"),
            (0.4, "Almost done"),
            (42.4, "About 42 s left"),
            (134, "About 2 min left"),
            (2.2 * 3600, "About 2.2 h left"),
        ],
    )
    def test_remaining_time_in_words(self, slicer_app, seconds, text):
        from DicomAnalysisPanels.progress import remaining_text

        assert remaining_text(seconds) == text

    def test_the_strip_is_there_while_something_runs(self, opened):
        ui, tasks, window = opened.ui, opened.tasks, opened.panel.parent.qobject
        strip = ui.progressFrame.qobject
        assert not strip.isVisibleTo(window)
        progress = SimpleNamespace(value=0.25, stage="reading", message="1.2.3")
        job = SimpleNamespace(state="running", progress=progress, remaining_seconds=30.0, failure=None, log="")

        def begin(onProgress, onDone):  # noqa: N803
            job.tell, job.end = onProgress, onDone
            return job

        tasks.start("Work", begin, lambda result: setattr(job, "taken", result))
        assert strip.isVisibleTo(window)
        job.tell(job)
        assert ui.progressBar.value == 250
        assert ui.stageLabel.text == "Work: reading · 1.2.3"
        assert ui.remainingLabel.text == "About 30 s left"
        job.result = 42
        job.end(job)
        assert job.taken == 42
        assert not strip.isVisibleTo(window)

    @pytest.mark.parametrize("broken", ["on_result", "on_end"])
    def test_what_cannot_be_shown_does_not_keep_the_panel_busy(self, opened, broken):
        def refuse(*_result):
            raise ValueError("no such column")

        job, told = ScriptedJob(), []
        opened.tasks.start("Work", job, **{broken: refuse})
        opened.tasks.listeners.append(lambda: told.append(opened.tasks.title))
        with contextlib.suppress(ValueError):
            job.end({})
        assert not opened.tasks.title
        assert told[-1] == "", "buttons are told"
        assert opened.ui.segmentBothButton.enabled
        assert opened.tasks.message.startswith("Work: ") == (broken == "on_result")

    def test_one_task_at_a_time(self, opened):
        opened.tasks.title = "Work"
        with pytest.raises(RuntimeError, match="Still busy: Work"):
            opened.tasks.run_here("More work", lambda: None)


class TestSampleData:
    def test_phantoms_are_offered_and_made_on_the_spot(self, opened):
        import SampleData
        from DicomAnalysisPanels.sample_data import CATEGORY

        from DicomAnalysis import registerSampleData

        for slot in opened.app.at_startup:
            slot()
        registerSampleData()
        sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory(CATEGORY)
        assert [source.sampleName for source in sources] == ["DicomAnalysisHeadPhantom", "DicomAnalysisBodyPhantom"]
        for source in sources:
            assert Path(source.thumbnailFileName).is_file()
            assert "://" not in source.uris  # nothing to be downloaded
        node = sources[1].customDownloader(sources[1])
        assert node in nodes(opened.scene, "vtkMRMLScalarVolumeNode")
        assert node.GetName() == "Body phantom"


class TestImport:
    def test_opening_the_panel_imports_nothing_that_slicer_does_not_ship(self):
        """Nor anything heavy: Slicer reads the module at every start."""
        code = (
            f"import sys; sys.path[:0] = [{str(MODULE)!r}, {str(Path(__file__).parent)!r}]\n"
            "from standins import application\n"
            "with application() as running:\n"
            "    import DicomAnalysis\n"
            "    assert not any(name.startswith('DicomAnalysisLib') for name in sys.modules)\n"
            "    panel = running.widget()\n"
            "    panel.enter()\n"
            "    print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
            "    for index in range(panel.ui.pageTabs.count):\n"
            "        panel.ui.pageTabs.currentIndex = index\n"
            "    print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        opened, every_page = (set(line.split()) for line in done.stdout.splitlines()[-2:])
        heavy = {"torch", "monai", "sklearn", "skimage", "xgboost", "hdbscan", "highdicom", "matplotlib", "cc3d"}
        assert not heavy & every_page
        assert not {"SimpleITK", "imagecodecs", "nrrd", "scipy", "pydicom"} & opened

    def test_the_face_is_the_only_room_that_knows_qt(self):
        for path in (MODULE / "DicomAnalysisLib").rglob("*.py"):
            words = path.read_text(encoding="utf-8")
            assert "import qt" not in words, path
            assert "import ctk" not in words, path
            assert "ScriptedLoadableModule" not in words, path


class TestWords:
    def test_texts_are_marked_for_translation(self):
        """What a user reads goes through `_`: texts, tooltips, titles and messages set from Python."""
        for path in (MODULE / "DicomAnalysisPanels").glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for text in _texts_set(node):
                    pytest.fail(f"{path.name}:{node.lineno} shows {text!r} without marking it for translation")

    @pytest.mark.parametrize("path", UI_FILES, ids=lambda p: p.stem)
    def test_buttons_and_choices_say_what_they_do(self, path):
        """In the .ui file, or from Python where it depends on what there is."""
        from_python = "\n".join(p.read_text(encoding="utf-8") for p in (MODULE / "DicomAnalysisPanels").glob("*.py"))
        for widget in ElementTree.parse(path).iter("widget"):
            if widget.get("class") in ("QPushButton", "QToolButton", "QCheckBox", "QComboBox", "QLineEdit"):
                told = [one for one in widget.findall("property") if one.get("name") == "toolTip"]
                assert told or f"ui.{widget.get('name')}" in from_python, widget.get("name")


class TestStandins:
    @pytest.fixture(autouse=True)
    def _with_record(self):
        if golden_record() is None:
            pytest.skip("needs the record of a real Slicer's widgets")

    def test_what_the_real_widgets_lack_is_refused(self, opened):
        button = opened.ui.segmentMetalButton
        with pytest.raises(AttributeError, match="no attribute"):
            button.setIconText("x")
        with pytest.raises(AttributeError, match="no property"):
            button.caption = "x"
        with pytest.raises(ValueError, match="no signal"):
            button.connect("pushed()", print)

    def test_slots_get_the_arguments_that_pythonqt_gives_them(self, opened):
        got = []
        button = opened.ui.segmentMetalButton
        button.connect("clicked(bool)", lambda: got.append("none"))
        button.connect("clicked(bool)", lambda checked, more=1: got.append((checked, more)))
        button.connect("clicked(bool)", lambda *values: got.append(values))
        button.connect("clicked(bool)", got.append)  # no Python function: gets all
        button.click()
        assert got == ["none", (False, 1), (False,), False]

    def test_every_kind_of_widget_is_in_the_record(self):
        classes = {widget.get("class") for path in UI_FILES for widget in ElementTree.parse(path).iter("widget")}
        assert classes <= set(golden_record())

    def test_the_database_has_the_real_ones_names(self):
        names = {name for name in dir(FolderDatabase) if not name.startswith("_")}
        assert names <= set(golden_record()["ctkDICOMDatabase"]["python_attributes"])


def _other_value(opened, value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value + 1500.0
    if isinstance(value, int):
        return value + 15
    if isinstance(value, str):
        return f"{value}x y"
    if hasattr(value, "GetID"):
        return opened.scene.AddNewNodeByClass(value.GetClassName(), "another")
    return list(type(value))[-1]


def _shown(widget, like):
    """What a widget shows, as a value like another one."""
    kind = widget.className()
    if kind == "QComboBox":
        return list(type(like))[widget.currentIndex]
    if kind == "qMRMLNodeComboBox":
        return widget.currentNode()
    return getattr(
        widget, {"QCheckBox": "checked", "QLineEdit": "text", "QDoubleSpinBox": "value", "QSpinBox": "value"}[kind]
    )


def _operate(widget, value):
    """Set a widget as a user would."""
    kind = widget.className()
    if kind == "QComboBox":
        widget.currentIndex = list(type(value)).index(value)
    elif kind == "qMRMLNodeComboBox":
        widget.setCurrentNode(value)
    elif kind == "QCheckBox":
        widget.click()
    else:
        setattr(widget, "text" if kind == "QLineEdit" else "value", value)


def _texts_set(node):
    """String constants with letters that are assigned to what a user reads."""
    if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)):
        return []
    if node.targets[0].attr not in ("text", "toolTip", "title", "placeholderText"):
        return []
    value = node.value
    return [value.value] if isinstance(value, ast.Constant) and any(map(str.isalpha, str(value.value))) else []
