"""The pages of the module: small classes that join widgets to the logic. A face: they may use `slicer.app`."""

from .load import LoadPanel
from .parameters import DicomAnalysisParameterNode, MetalRegion
from .segment import SegmentPanel

__all__ = ["DicomAnalysisParameterNode", "LoadPanel", "MetalRegion", "SegmentPanel"]
