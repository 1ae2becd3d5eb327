"""Measurements as a table: one row for each segment and each of its pieces."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from ..segmentation.result import Piece, Segment, SegmentationResult
from ..volume import SeriesIdentity
from .atomic import write_text
from .json_text import plain
from .spreadsheet import spreadsheet_safe

COLUMNS = (
    "series_uid",
    "patient_id",
    "segment",
    "piece",
    "voxels",
    "volume_ml",
    "components",
    "centroid_r_mm",
    "centroid_a_mm",
    "centroid_s_mm",
    "i_min",
    "i_max",
    "j_min",
    "j_max",
    "k_min",
    "k_max",
    "mean_hu",
    "max_hu",
    "location",
)


def write_measurements(path: Path | str, identity: SeriesIdentity, result: SegmentationResult) -> None:
    """Write the table as CSV (RFC 4180), UTF-8; `piece` is empty in the row of a whole segment.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    for row in measurement_rows(identity, result):
        writer.writerow({name: spreadsheet_safe(value) for name, value in row.items()})
    write_text(path, text.getvalue())


def measurement_rows(identity: SeriesIdentity, result: SegmentationResult) -> list[dict[str, object]]:
    """Rows of the table, keyed by `COLUMNS`; what was not measured is missing or None."""
    rows = []
    for segment in result.segments:
        whole = _row(identity, segment, segment.measurements)
        rows.append(whole)
        for number, piece in enumerate(segment.pieces, start=1):
            rows.append(_row(identity, segment, piece_measurements(piece)) | {"piece": number})
    return rows


def piece_measurements(piece: Piece) -> dict[str, object]:
    """A piece in JSON's types, for the result and the table."""
    return plain(piece)


def _row(identity: SeriesIdentity, segment: Segment, measured: Mapping[str, object]) -> dict[str, object]:
    measured = plain(measured)
    row = {"series_uid": identity.series_uid, "patient_id": identity.patient_id, "segment": segment.kind.name}
    row |= {name: measured[name] for name in COLUMNS if name in measured}
    row |= zip(COLUMNS[7:10], measured.get("centroid_ras_mm") or [], strict=False)
    row |= zip(COLUMNS[10:16], measured.get("bbox_ijk") or [], strict=False)
    return row
