"""``dicom-analysis body-region SOURCE``: which part of the body every CT series shows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import DicomAnalysisError
from .arguments import add_source
from .console import Console, problem_lines, table

if TYPE_CHECKING:
    from ..dicom.series import Series

NAME = "body-region"
HELP = "which part of the body every CT series shows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_source(parser)
    parser.add_argument("--slices", action="store_true", help="look at every slice and list them, not at a few of them")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Tell the regions; 1 when a series could not be told, or there is none."""
    from ..dicom.sources import open_source
    from ..run import choose_series

    source = open_source(arguments.source)
    entries = []
    for series in choose_series(source, arguments.series):
        console.progress(series.identity.series_uid)
        entries.append(_tell(series, every=arguments.slices))
    rows = [(one["series_uid"], one.get("region", "?"), _share(one), one.get("error", _shown(one))) for one in entries]
    lines = table(("Series", "Region", "Share", "Shows"), rows, right=(2,)) if rows else ["No readable series."]
    if arguments.slices:
        for one in entries:
            lines += ["", f"Series {one['series_uid']}", *(_slice_line(part) for part in one.get("slices", ()))]
    document = {"source": arguments.source, "series": entries, "problems": source.problems}
    console.result(document, [*lines, *problem_lines(source.problems)])
    return int(not entries or any("error" in one for one in entries))


def _tell(series: Series, every: bool) -> dict[str, object]:
    from ..classification.body_region.labels import REGIONS
    from ..classification.body_region.use import SAMPLED_SLICES, body_region
    from ..dicom.reader import read_stack

    try:
        volume = read_stack(series.stacks[0], series.identity, series.warnings)
        found = body_region(volume, None if every else SAMPLED_SLICES)
    except DicomAnalysisError as error:
        return {"series_uid": series.identity.series_uid, "error": str(error)}
    chances = [
        {name: round(float(one), 4) for name, one in zip(REGIONS, row, strict=True)} for row in found.probabilities
    ]
    slices = [
        {"slice": k + 1, "region": region, "probabilities": chance}
        for k, region, chance in zip(found.slices, found.slice_regions, chances, strict=True)
    ]
    return {
        "series_uid": series.identity.series_uid,
        "region": found.region,
        "confidence": round(found.confidence, 4),
        "shown": list(found.shown),
        "slices": slices,
        "model": {"name": found.model, "version": found.version, "sha256": found.sha256},
    }


def _share(entry: dict) -> str:
    return f"{entry['confidence']:.0%}" if "confidence" in entry else ""


def _shown(entry: dict) -> str:
    return ", ".join(entry["shown"]) or "nothing for sure"


def _slice_line(part: dict) -> str:
    return f"  slice {part['slice']:4d}  {part['region']:8s} {part['probabilities'][part['region']]:.0%}"
