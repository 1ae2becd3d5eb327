"""Comparing two sets of segmentation files: which belong together, which segments, and their metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import DicomAnalysisError, TaskError, UsageError
from ...files.names import is_safe_uid
from .segment_files import Segmentation, find_segmentations, read_segmentation_file
from .segment_metrics import MaskComparison, compare_masks
from .segment_study import SegmentRow, SegmentStudy

PAIR = "pair"
"""Identifier where two single files are compared, whatever they are called."""


def compare_segmentations(
    first: str | Path,
    second: str | Path,
    segments: Sequence[str] = (),
    pattern: str = "",
    names: tuple[str, str] = ("first", "second"),
    progress: Callable[[int, int, str], None] | None = None,
) -> SegmentStudy:
    """Compare the segmentations of two folders; the second is the reference.

    Parameters
    ----------
    first, second : path
        Folders (or single files), also result folders of ``dicom-analysis segment``: see `find_segmentations`.
    segments : sequence of str
        Only these.
    pattern : str
        As for `find_segmentations`.
    names : tuple of two str
        Of the raters or methods.
    progress : callable, optional
        ``progress(pairs done, pairs in all, identifier)``.

    Raises
    ------
    SourceError
        If a folder holds no segmentation.
    TaskError
        If no identifier is in both.
    UsageError
        If no file has a wanted segment.
    """
    sets = find_segmentations(first, pattern), find_segmentations(second, pattern)
    if Path(first).is_file() and Path(second).is_file():
        sets = tuple({PAIR: next(iter(one.values()))} for one in sets)
    common = [key for key in sets[0] if key in sets[1]]
    if not common:
        examples = ", ".join(next(iter(one)) for one in sets)
        msg = (
            f"No identifier is in both {first} and {second}; they are made of the files' names, such as {examples}. "
            "A pattern can take the part that both have."
        )
        raise TaskError(msg)
    rows: list[SegmentRow] = []
    problems: list[str] = []
    for number, key in enumerate(common):
        if progress:
            progress(number, len(common), key)
        paths = sets[0][key], sets[1][key]
        if len(paths[0]) != len(paths[1]):
            counts = " and ".join(f"{len(one)} of {name}" for one, name in zip(paths, names, strict=True))
            problems.append(f"{key}: {counts}; those without a partner are left out")
        for repeat, pair in enumerate(zip(*paths, strict=False), start=1):
            try:
                rows += _compare(key, repeat, pair, segments, names)
            except DicomAnalysisError as error:
                problems.append(f"{key}: {error}")
    _require_segments(rows, problems, segments)
    alone = [tuple(key for key in one if key not in other) for one, other in (sets, sets[::-1])]
    return SegmentStudy(names, tuple(rows), *alone, tuple(problems))


def _compare(
    key: str, repeat: int, paths: tuple[Path, Path], segments: Sequence[str], names: tuple[str, str]
) -> list[SegmentRow]:
    files = tuple(read_segmentation_file(path) for path in paths)
    rows = []
    for name, places, remark in _partners(*files):
        if segments and name not in segments:
            continue
        masks = [file.mask(place) for file, place in zip(files, places, strict=True)]
        remarks = [remark] if remark else []
        for file, place, who in zip(files, places, names, strict=True):
            if place not in file.places and file.is_named:
                remarks.append(f"{who} has no segment of this name")
        rows.append(_row(key, repeat, name, compare_masks(*masks, names), remarks, paths))
    return rows


def _partners(first: Segmentation, second: Segmentation) -> list[tuple[str, tuple[str, str], str]]:
    """Which segments are compared: name shown, name in each file, remark."""
    if len(first.places) == len(second.places) == 1:
        one, other = next(iter(first.places)), next(iter(second.places))
        if one != other:
            shown = other if second.is_named or not first.is_named else one
            remark = f"{one} is compared with {other}: each file has one segment"
            return [(shown, (one, other), remark)]
    if first.is_named != second.is_named:
        named, bare = (first, second) if first.is_named else (second, first)
        values = {value: name for name, (_layer, value) in named.places.items()}
        known = {name: values.get(value, name) for name, (_layer, value) in bare.places.items()}
        of_bare = {shown: name for name, shown in known.items()}
        shown = dict.fromkeys([*named.places, *of_bare])
        pairs = [(name, of_bare.get(name, name)) for name in shown]
        return [(name, (name, bare_name) if named is first else (bare_name, name), "") for name, bare_name in pairs]
    return [(name, (name, name), "") for name in dict.fromkeys([*second.places, *first.places])]


def _row(
    key: str, repeat: int, name: str, found: MaskComparison, remarks: Sequence[str], paths: tuple[Path, Path]
) -> SegmentRow:
    remark = "; ".join(text for text in (found.reason, *remarks, *found.notes) if text)
    uid = key.partition("/")[0]  # before the number of a further stack
    return SegmentRow(
        key,
        uid if is_safe_uid(uid) and "." in uid else "",
        repeat,
        name,
        found.dice,
        found.hausdorff95_mm,
        found.surface_distance_mm,
        found.volume_first_ml,
        found.volume_second_ml,
        found.volume_difference_ml,
        found.volume_difference_percent,
        remark,
        *map(str, paths),
    )


def _require_segments(rows: Sequence[SegmentRow], problems: Sequence[str], segments: Sequence[str]) -> None:
    if not rows and problems:
        msg = f"No pair of segmentations could be compared. The first reason: {problems[0]}"
        raise TaskError(msg)
    missing = [name for name in segments if all(row.segment != name for row in rows)]
    if missing:
        msg = f"No segmentation has a segment {missing[0]!r}."
        raise UsageError(msg)
    if not rows:
        msg = "The segmentations have no segments."
        raise TaskError(msg)
