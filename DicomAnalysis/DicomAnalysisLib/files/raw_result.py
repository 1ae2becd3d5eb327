"""A SegmentationResult as one raw mask a segment beside a JSON file: a child process's way to hand it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..errors import SourceError
from ..segmentation.result import Piece, Segment, SegmentationResult
from ..segments import KINDS
from .atomic import atomic_path, write_text
from .json_text import json_text

MASKS, RESULT = "{name}.mask", "segmentation.json"


def write_raw_result(folder: Path | str, result: SegmentationResult) -> Path:
    """Write masks (one byte a voxel, 0 or 1, C order (k, j, i)) and, last, the JSON file; returns its path.

    Raises
    ------
    OutputError
        If something cannot be written.
    """
    folder = Path(folder)
    for segment in result.segments:
        with atomic_path(folder / MASKS.format(name=segment.kind.name)) as path:
            np.ascontiguousarray(segment.mask).view(np.uint8).tofile(path)
    document = {field.name: getattr(result, field.name) for field in fields(result) if field.name != "segments"}
    document["shape"] = result.segments[0].mask.shape
    document["segments"] = [
        {"name": segment.kind.name, "measurements": dict(segment.measurements), "pieces": segment.pieces}
        for segment in result.segments
    ]
    write_text(folder / RESULT, json_text(document))
    return folder / RESULT


def read_raw_result(folder: Path | str) -> SegmentationResult:
    """The result that `write_raw_result` wrote, in memory of its own: the files may go.

    Raises
    ------
    SourceError
        If the files are not there or do not fit together.
    """
    folder = Path(folder)
    try:
        document = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        shape = tuple(document.pop("shape"))
        segments = tuple(_segment(folder, shape, entry) for entry in document.pop("segments"))
        tuples = {name: tuple(document.pop(name)) for name in ("tasks", "warnings", "uncertain_slices")}
        return SegmentationResult(segments=segments, **tuples, **document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"The result handed back in {folder} cannot be read ({type(error).__name__}); start the task again."
        raise SourceError(msg) from error


def _segment(folder: Path, shape: tuple[int, ...], entry: Mapping) -> Segment:
    mask = np.fromfile(folder / MASKS.format(name=entry["name"]), bool).reshape(shape)
    pieces = tuple(Piece(**_with_tuples(piece)) for piece in entry["pieces"])
    return Segment(KINDS[entry["name"]], mask, entry["measurements"], pieces)


def _with_tuples(values: Mapping) -> dict[str, object]:
    """JSON's lists as the tuples they were."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
