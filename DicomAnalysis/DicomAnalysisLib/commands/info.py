"""``dicom-analysis info SOURCE``: extent, place and values of every series."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DicomAnalysisError
from .arguments import add_source
from .console import Console, problem_lines

if TYPE_CHECKING:
    from ..dicom.series import Series

NAME = "info"
HELP = "shape, spacing, values and centre of every series"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_source(parser)
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="PNG",
        help="draw the maximum of every slice; of several series each gets its UID added to the name",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Describe the series; 1 when a series or a file of one could not be read, or there is none."""
    from ..dicom.sources import open_source
    from ..run import choose_series, is_damaged_image

    source = open_source(arguments.source)
    found = choose_series(source, arguments.series)
    jobs = [(series, index) for series in found for index in range(len(series.stacks))]
    entries = []
    for number, (series, index) in enumerate(jobs, start=1):
        console.progress(f"[{number}/{len(jobs)}] {series.identity.series_uid}")
        plot = _plot_path(arguments.plot, series, index, len(jobs))
        entries.append(_describe_stack(series, index, plot))
    failed = not entries or any("error" in entry for entry in entries) or any(map(is_damaged_image, source.problems))
    document = {"source": arguments.source, "series": entries, "problems": source.problems}
    lines = [line for entry in entries for line in info_lines(entry)] or ["No readable series."]
    console.result(document, [*lines, *problem_lines(source.problems)])
    return int(failed)


def _describe_stack(series: Series, index: int, plot: Path | None) -> dict[str, object]:
    from ..dicom.reader import read_stack
    from ..reporting.info import describe

    stack = series.stacks[index]
    place = {"stack": index + 1, "stacks": len(series.stacks), "localizer": stack.is_localizer}
    try:
        entry = describe(read_stack(stack, series.identity, series.warnings)) | place
        if plot is not None:
            from ..reporting.plots import plot_slice_maximum

            plot_slice_maximum(entry, plot)
            entry["plot"] = plot
    except DicomAnalysisError as error:
        return {"series_uid": series.identity.series_uid, **place, "error": str(error)}
    return entry


def _plot_path(wanted: Path | None, series: Series, index: int, jobs: int) -> Path | None:
    if wanted is None or jobs == 1:
        return wanted
    stack = f"-stack-{index + 1}" if index else ""
    return wanted.with_name(f"{wanted.stem}-{series.key}{stack}.png")


def info_lines(entry: dict) -> Iterator[str]:
    """One stack for people."""
    scout = ", scout" if entry["localizer"] else ""
    stack = f", stack {entry['stack']} of {entry['stacks']}" if entry["stacks"] > 1 else ""
    yield f"Series {entry['series_uid'] or '(no UID)'}{stack}{scout}"
    if "error" in entry:
        yield f"  not read     {entry['error']}"
        yield ""
        return
    slices, rows, columns = entry["shape"]
    dz, dy, dx = entry["spacing_mm"]
    orientation = entry["orientation"]
    tilt = f", gantry tilt {entry['tilt_degrees']:+.1f} degrees" if abs(entry["tilt_degrees"]) > 0.1 else ""
    gaps = "" if entry["is_regular"] else " (median; unevenly spaced)"
    yield f"  modality     {entry['modality']}  {entry['series_description'][:60]}"
    yield f"  shape        {slices} slice{'s' * (slices > 1)}, {rows} rows, {columns} columns"
    yield f"  spacing      {dz:.3f} mm between slices{gaps}, {dy:.4f} mm rows, {dx:.4f} mm columns"
    yield f"  orientation  {orientation['plane']} ({orientation['axes']}){tilt}"
    yield f"  values       minimum {entry['minimum']:g}, maximum {entry['maximum']:g}, mean {entry['mean']:.2f}"
    if entry["padding_voxels"]:
        values = ", ".join(f"{value:g}" for value in entry["padding_values"])
        if entry["mean_without_padding"] is None:
            yield f"  padding      every voxel is {values}"
        else:
            yield (
                f"               minimum {entry['minimum_without_padding']:g}, maximum "
                f"{entry['maximum_without_padding']:g}, mean {entry['mean_without_padding']:.2f} "
                f"without {entry['padding_voxels']} voxels of padding ({values})"
            )
    yield f"  centre       LPS {_point(entry['center_lps_mm'])} mm, RAS {_point(entry['center_ras_mm'])} mm"
    for warning in entry["warnings"]:
        yield f"  warning      {warning}"
    if "plot" in entry:
        yield f"  plot         {entry['plot']}"
    yield ""


def _point(values: list[float]) -> str:
    return "(" + ", ".join(f"{round(value, 2) + 0.0:.2f}" for value in values) + ")"
