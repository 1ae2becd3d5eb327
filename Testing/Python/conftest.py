"""Fixtures every layer's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that a run judges the change alone; HYPOTHESIS_PROFILE=search looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real DICOM series; a user's clone has none, and the test skips."""
    return _shared("data")


@pytest.fixture(scope="session")
def slicer_golden() -> Path:
    """What a real Slicer answered for the same series."""
    return _shared("slicer-golden")


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the real series beside the checkout ({folder.parent.name}/{name}), which are not there")
    return folder
