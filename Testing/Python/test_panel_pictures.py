"""Every page at several widths, with long words in it: nothing is cut. The pictures are for looking at.

pytest Testing/Python/test_panel_pictures.py --basetemp=pictures
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from database_files import write_database
from panel_cases import open_panel, run_application

slicer_app = pytest.fixture(run_application)
opened = pytest.fixture(open_panel)

WIDTHS = (400, 430, 640)
PAGES = ("segment", "database", "train", "classify", "agreement", "cohort", "settings")
LONG = "a name that goes on and on, as they do in some hospitals, until nothing else is left of the line"


@pytest.fixture
def full(opened, tmp_path, monkeypatch):
    """Everything filled in, with long words."""
    import slicer

    database = write_database(tmp_path / "database", 60, 7)
    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(isOpen=True, databaseFilename=str(database)))
    opened.node.SetName(LONG)
    opened.ui.segmentBothButton.click()
    opened.panel.pages.panels[0].results.say(
        f"{opened.ui.statusLabel.text}\nPlease look: {LONG}.\nPlease look: {LONG}."
    )
    opened.ui.pageTabs.currentIndex = 1
    opened.ui.checkShownButton.click()
    opened.ui.outputLineEdit.text = f"/{LONG}"
    opened.ui.thresholdSpinBox.value = 12345
    opened.ui.batchLabel.text = f"57 of 60 series: 51 done, 6 failed. Resume does the rest. {LONG}"
    opened.parameters.ownNetwork = f"/{LONG}"
    train(opened, tmp_path / "training")
    look_into_cohort(opened, tmp_path / "cohort")
    opened.panel.log.add(f"Started: {LONG}")
    opened.tasks.say(f"Segment headrest and metal: {LONG}.")
    progress = SimpleNamespace(value=0.4, stage="preparing the volume", message="1.2.826.0.1.3680043.8.498." + "7" * 30)
    opened.tasks.title = "Segment 57 series"
    opened.tasks.job = SimpleNamespace(state="running", progress=progress, remaining_seconds=5000.0)
    opened.panel.progress.update()
    page = opened.panel.pages.panels[PAGES.index("train")]
    assert page.widgets.status.text and not page.widgets.strip.qobject.pixmap().isNull()
    yield opened
    opened.tasks.job = None


def train(opened, folder):
    """The page *Train* as it is when a training has ended."""
    from DicomAnalysisLib.networks.strips import draw_strip, write_strip
    from DicomAnalysisPanels.train import result_text

    random = np.random.default_rng(0)
    images = [random.normal(size=(128, 128)) for _ in range(5)]
    classes = [np.pad(np.ones((40, 40), np.uint8), 44) for _ in range(5)]
    strip = write_strip(folder, 3, draw_strip(images, classes, classes))
    page = opened.panel.pages.panels[PAGES.index("train")]
    opened.parameters.trainFolder = opened.parameters.trainOutput = f"/{LONG}"
    numbers = {"training_loss": 0.9, "validation_loss": 1.1, "score": 0.7, "is_best": True}
    page._about, page._is_known = page.folder, True  # as it has just seen the output folder
    page.on_epoch(SimpleNamespace(record={"epoch": 3, **numbers}, strip=str(strip)))
    values = {"series": 12, "patients": {"training": 9}, "stopped": "patience", "best_epoch": 3, "best_score": 0.9}
    page._say(result_text({**values, "left_out": [1, 2], "warnings": [LONG, LONG]}))


def look_into_cohort(opened, folder):
    """The page *Cohort* as it is when everything was done, and one series could not be measured."""
    from DicomAnalysisLib.cohort.clustering.explorer import Explorer, ExplorerCluster
    from DicomAnalysisPanels.cohort_logic import CohortClusters
    from PIL import Image

    uids = tuple("1.2.826.0.1.3680043.8.498." + f"{n}" * 30 for n in range(6))
    section = opened.panel.pages.panels[PAGES.index("cohort")]
    opened.parameters.cohortOutput = opened.parameters.cohortFolder = opened.parameters.cohortLabels = f"/{LONG}"
    folder.mkdir()
    montage = folder / "montage.png"
    Image.new("RGB", (594, 430), (40, 44, 52)).save(montage)
    sentence = "Cluster 1 consists of the station 'A SCANNER'."
    one = ExplorerCluster(1, 4, 3, LONG, uids[:4], sentence)
    findings = ("2 clusters in 6 series; 2 series (33%) belong to none.", sentence, LONG, "Silhouette 0.42.")
    explorer = Explorer(
        uids,
        uids,
        np.zeros((6, 2), np.float32),
        np.array([1, 1, 1, 1, 0, 0]),
        {"finding": ("yes",) * 6},
        (one,),
        "clusters",
        findings,
        "umap",
    )
    counts = {"done": 61234, "skipped": 12, "failed": 1, "pending": 700}
    failed = {uids[0]: f"quarantined after 2 tries: {LONG}"}
    status = SimpleNamespace(counts=counts, failed=failed, is_running=False)
    opened.logic.cohortStatus = lambda _folder: status
    section.shown()
    section.clusters.show(CohortClusters(explorer, folder, folder, montage, {1: montage}))
    opened.ui.cohortExamplesTable.selectRow(1)
    section._learned = f"'finding': XGBoost reaches AUROC 0.91. {LONG}"
    section.update()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut(full, tmp_path, page, width):
    from PySide6 import QtWidgets

    window = full.panel.parent.qobject
    window.layout().setContentsMargins(0, 0, 0, 0)
    full.ui.pageTabs.currentIndex = PAGES.index(page)
    window.resize(width, 1000)
    window.show()
    for _ in range(3):
        full.app.processEvents()
    assert window.grab().save(str(tmp_path / f"{page}-{width}.png"))
    assert window.width() <= width + 1, "the page does not become as narrow as that"
    for button in window.findChildren(QtWidgets.QPushButton):
        if button.isVisible():
            assert button.width() >= button.sizeHint().width(), button.text()
    for label in window.findChildren(QtWidgets.QLabel):
        if label.isVisible() and label.text():
            needed = label.heightForWidth(label.width()) if label.wordWrap() else label.sizeHint().height()
            assert label.height() >= needed, label.text()
            assert label.wordWrap() or label.width() >= label.sizeHint().width(), label.text()
    for box in window.findChildren(QtWidgets.QCheckBox):
        if box.isVisible():
            assert box.width() >= box.sizeHint().width(), box.text()


def test_names_of_pages_are_read_in_full(opened):
    """There are more pages than tabs fit: they are chosen from a list, which shows every name in full."""
    selector, tabs = opened.ui.pageSelector.qobject, opened.ui.pageTabs.qobject
    opened.panel.parent.qobject.resize(WIDTHS[0], 800)
    opened.panel.parent.qobject.show()
    opened.app.processEvents()
    assert [selector.itemText(index) for index in range(selector.count())] == [
        tabs.tabText(index) for index in range(tabs.count())
    ]
    assert selector.sizeHint().width() <= selector.width()
    assert not tabs.tabBar().isVisible()
    for index in range(selector.count()):
        selector.setCurrentIndex(index)
        assert tabs.currentIndex() == index
    tabs.setCurrentIndex(0)
    assert selector.currentIndex() == 0
