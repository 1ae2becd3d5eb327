"""The module's own test, which runs in the application, on the stand-ins."""

from __future__ import annotations

import pytest

pytest.importorskip("PySide6", reason="the panel's stand-ins need PySide6-Essentials (extra 'test')")

from panel_cases import run_application
from standins import FolderDatabase

slicer_app = pytest.fixture(run_application)


def test_the_modules_own_test_passes(slicer_app):
    from DicomAnalysis import DicomAnalysisTest

    DicomAnalysisTest().runTest()


def test_its_part_about_the_database_passes_on_files(slicer_app, tmp_path):
    """In the application the same is done with a database of Slicer's own."""
    from DicomAnalysisLib.phantom import write_dicom_series

    from DicomAnalysis import DicomAnalysisTest

    test = DicomAnalysisTest()
    test.setUp()
    write_dicom_series(test.phantom.volume, tmp_path)
    test.checkDatabase(FolderDatabase(tmp_path))
