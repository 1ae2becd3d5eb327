"""Sample data of our own: phantoms that are made on the spot, so that nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

CATEGORY = "DICOM Analysis"

MADE_HERE = "made-here:"
"""Begins the address of a sample; Sample Data asks for one, and this one leads nowhere."""

SAMPLES = (
    ("DicomAnalysisHeadPhantom", "head", "HeadPhantom.png"),
    ("DicomAnalysisBodyPhantom", "body", "BodyPhantom.png"),
)
"""Name, kind (see `DicomAnalysisLogic.loadPhantom`) and picture."""


def register_sample_data(load: Callable[[str], object], icons: Path | str) -> None:
    """Offer the phantoms in the module *Sample Data*; a second call changes nothing.

    Parameters
    ----------
    load : callable
        Given a kind of phantom, loads it.
    icons : path
        The folder of the pictures.
    """
    if importlib.util.find_spec("SampleData") is None:
        return  # an application made from Slicer may lack the module
    import SampleData

    known = {source.sampleName for source in SampleData.SampleDataLogic.sampleDataSourcesByCategory(CATEGORY)}
    for name, kind, picture in SAMPLES:
        if name not in known:
            SampleData.SampleDataLogic.registerCustomSampleDataSource(
                category=CATEGORY,
                sampleName=name,
                uris=f"{MADE_HERE}{kind}",
                fileNames=f"{name}.nrrd",
                nodeNames=name,
                customDownloader=lambda _source, kind=kind: load(kind),
                thumbnailFileName=str(Path(icons) / picture),
            )
