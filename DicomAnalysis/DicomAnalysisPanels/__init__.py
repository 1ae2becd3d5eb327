"""The pages of the module: small classes that join widgets to the logic. A face: they may use `slicer.app`.

`pages.PAGES` lists them; a page is a `.ui` file, a panel class and the library part that it needs.
"""

from .log import Log
from .logic import DicomAnalysisLogic, SegmentationNodes
from .pages import PAGES, Page, Pages, Shared
from .parameters import DicomAnalysisParameterNode, MetalRegion, RunPlace, bind
from .progress import ProgressPanel
from .sample_data import register_sample_data
from .tasks import TaskRunner

__all__ = [
    "PAGES",
    "DicomAnalysisLogic",
    "DicomAnalysisParameterNode",
    "Log",
    "MetalRegion",
    "Page",
    "Pages",
    "ProgressPanel",
    "RunPlace",
    "SegmentationNodes",
    "Shared",
    "TaskRunner",
    "bind",
    "register_sample_data",
]
