"""Headrest, metal and bone: functions of a Volume and options that return a SegmentationResult."""

from .options import SegmentationOptions
from .result import Piece, Segment, SegmentationResult

__all__ = ["Piece", "Segment", "SegmentationOptions", "SegmentationResult", "segment"]


def __getattr__(name: str) -> object:
    # The task itself needs scipy; naming its options must not.
    if name == "segment":
        from .task import segment

        return segment
    raise AttributeError(name)
