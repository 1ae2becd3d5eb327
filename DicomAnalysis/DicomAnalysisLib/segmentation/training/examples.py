"""Examples from a folder or database: every CT series that can be read and labelled, and what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...dicom.reader import read_stack
from ...dicom.segmentation_file import read_segmentation
from ...dicom.series import Series
from ...dicom.sources import SeriesSource, open_source
from ...errors import DicomAnalysisError, UsageError
from ...volume import Volume
from .example import Example, LeftOut, headrest_example, store
from .labels import classical_labels, labels_with
from .own_segmentations import find_segmentation, read_labelmap, require_segment

CLASSICAL, OWN, BOTH = "classical", "own", "both"


@dataclass(frozen=True)
class ExampleSet:
    """What can be learned from, and what was left out and why."""

    examples: tuple[Example, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """Patient IDs, sorted, each once."""
        return tuple(sorted({example.patient_id for example in self.examples}))


def collect_examples(
    source: Path | str | SeriesSource,
    task: str = "headrest",
    labels: str = CLASSICAL,
    segmentations: Path | None = None,
    cache: Path | None = None,
    report: Callable[[float, str], None] = lambda _share, _text: None,
    series_uids: Sequence[str] | None = None,
) -> ExampleSet:
    """Read and label every series of a source.

    Of series with the same images one is taken: copies are often of "patients" with an ID of their own, and one
    on either side of a split would make a score of memory.

    Parameters
    ----------
    source : path or SeriesSource
        A file, a folder or a database.
    task : str
        ``headrest`` or ``metal``.
    labels : str
        ``classical``; ``own``: only series with a segmentation of the user's; ``both``: the user's where there is one.
    segmentations : Path, optional
        Folder of the user's segmentations, see `own_segmentations.find_segmentation`.
    cache : Path, optional
        Where slices are kept; without it they stay in memory.
    report : callable
        Told the share that is done and the series.
    series_uids : sequence of str, optional
        Only these series.

    Raises
    ------
    UsageError
        If the labels ask for segmentations and none are given, or nothing is left to learn from.
    """
    if labels not in (CLASSICAL, OWN, BOTH):
        msg = f"Unknown labels {labels!r}; choose {CLASSICAL}, {OWN} or {BOTH}."
        raise UsageError(msg)
    if labels != CLASSICAL and segmentations is None:
        msg = f"Labels {labels!r} need a folder of segmentations."
        raise UsageError(msg)
    opened = open_source(source) if isinstance(source, (str, Path)) else source
    series = opened.series()
    if series_uids is not None:
        series = [one for one in series if one.identity.series_uid in series_uids]
    examples: list[Example] = []
    left_out = list(_unread(opened, series, series_uids))
    uid_of: dict[bytes, str] = {}
    for number, one in enumerate(series):
        report(number / len(series), one.identity.series_uid)
        try:
            example, skipped = _example(one, task, labels, segmentations)
        except DicomAnalysisError as error:
            left_out.append(LeftOut(one.identity.series_uid, (), str(error)))
            continue
        left_out += (*skipped, *_further_stacks(one))
        if example is None:
            continue
        digest = hashlib.sha256(np.ascontiguousarray(example.hu)).digest()
        if digest in uid_of:
            left_out.append(LeftOut(example.series_uid, (), f"its images are those of the series {uid_of[digest]}"))
        else:
            uid_of[digest] = example.series_uid
            examples.append(store(example, cache / f"{number:05d}") if cache else example)
    report(1.0, "")
    if not examples:
        reasons = "; ".join(dict.fromkeys(item.reason for item in left_out)) or "there is no series"
        where = source if isinstance(source, (str, Path)) else "the series that were given"
        msg = f"Nothing to learn from in {where}: {reasons}."
        raise UsageError(msg)
    return ExampleSet(tuple(examples), tuple(left_out))


def _unread(source: SeriesSource, series: Sequence[Series], series_uids: Sequence[str] | None) -> Iterator[LeftOut]:
    """DICOM files that cannot be read, and series that were asked for and are not there."""
    there = {one.identity.series_uid for one in series}
    refused = [one for one in source.problems if one.is_dicom]
    if series_uids is not None:
        refused = [one for one in refused if one.series_uid in series_uids]
        for uid in series_uids:
            if uid not in there:
                yield LeftOut(uid, (), "there is no readable image of it in the source")
    for one in refused:
        yield LeftOut(one.series_uid, (), f"the file {one.path} alone: {one.reason}")


def _further_stacks(series: Series) -> Iterator[LeftOut]:
    for number, stack in enumerate(series.stacks[1:], start=2):
        reason = f"its stack {number} alone ({len(stack)} slices): of a series the main stack is learned from"
        yield LeftOut(series.identity.series_uid, (), reason)


def _example(
    series: Series, task: str, labels: str, segmentations: Path | None
) -> tuple[Example | None, Sequence[LeftOut]]:
    """The example of a series' main stack, and what of it is left out."""
    uid = series.identity.series_uid
    stack = series.stacks[0]
    if stack.is_localizer or series.identity.modality != "CT":
        return None, [LeftOut(uid, (), "it is no CT series" if not stack.is_localizer else "it is a scout image")]
    volume = read_stack(stack, series.identity, series.warnings)
    path = find_segmentation(segmentations, uid) if segmentations is not None and labels != CLASSICAL else None
    if path is None and labels == OWN:
        return None, [LeftOut(uid, (), "there is no segmentation of it")]
    own = None if path is None else _own(path, volume, {"headrest": "Headrest", "metal": "Metal"}[task])
    if task == "metal":
        from .metal_examples import metal_example

        return metal_example(volume, own), ()
    found = labels_with(volume, own) if own is not None else classical_labels(volume)
    if not found.patient.any():
        return None, [LeftOut(uid, (), "no patient was found in it")]
    example = headrest_example(volume, found.patient, found.support, found.uncertain)
    if found.uncertain:
        reason = "patient and support touch, and the classical method cannot tell them apart"
        if not len(example.usable):
            return None, [LeftOut(uid, (), reason)]
        return example, [LeftOut(uid, found.uncertain, reason)]
    return example, ()


def _own(path: Path, volume: Volume, name: str) -> np.ndarray:
    """The user's segment on the volume's slices."""
    if path.suffix == ".dcm":
        found = read_segmentation(path, volume)
        require_segment(path, name, [segment.kind.name for segment in found])
        return next(segment.mask for segment in found if segment.kind.name == name)
    return read_labelmap(path, volume, name)
