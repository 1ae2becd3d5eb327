"""Which images a source holds, from their headers alone: series, multi-frame files, and other image files."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..dicom.flat import NO_IMAGE, read_flat_instance
from ..dicom.header import RefusedFileError
from ..dicom.instance import Instance
from ..dicom.problem import Problem
from ..dicom.series import Series, series_from_files
from ..dicom.sources import FolderSource, SeriesSource, open_source
from ..dicom.stacks import Stack
from ..errors import UsageError
from ..volume import SeriesIdentity
from .headers import header_facts
from .images import is_other_image

ONE_PICTURE = ("CT", "MR", "PT")
"""Without a place in space the slices of these have no order: a single one is a picture, several are refused."""
SEVERAL_STACKS = ("MG",)
"""One series may hold several views, each a stack of its own (tomosynthesis)."""


@dataclass(frozen=True)
class SeriesFilter:
    """Which series are of interest.

    Parameters
    ----------
    modalities : tuple of str
        Empty: any. Files that state none pass.
    description, exclude : str
        Regular expressions looked for in the series description, in whatever case; empty: any, none.
    body_parts : tuple of str
        Body Part Examined; empty: any.
    min_slices : int
        Fewest slices (or frames).

    Raises
    ------
    UsageError
        If an expression is not a regular one.
    """

    modalities: tuple[str, ...] = ()
    description: str = ""
    exclude: str = ""
    body_parts: tuple[str, ...] = ()
    min_slices: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", tuple(one.upper() for one in self.modalities))
        object.__setattr__(self, "body_parts", tuple(one.upper() for one in self.body_parts))
        for text in (self.description, self.exclude):
            check_pattern(text)

    def wants(self, identity: SeriesIdentity, slices: int) -> bool:
        """Whether a series passes."""
        text = identity.series_description
        return (
            (not self.modalities or not identity.modality or identity.modality.upper() in self.modalities)
            and (not self.description or re.search(self.description, text, re.IGNORECASE) is not None)
            and (not self.exclude or re.search(self.exclude, text, re.IGNORECASE) is None)
            and (not self.body_parts or identity.body_part.upper() in self.body_parts)
            and slices >= self.min_slices
        )


def check_pattern(text: str) -> None:
    """Raise UsageError where `text` is not a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        msg = f"'{text}' is not a regular expression ({error}); write a part of the series description."
        raise UsageError(msg) from error


@dataclass(frozen=True)
class FoundImage:
    """One image: a series' stack, a multi-frame file, or a file that is no DICOM.

    Parameters
    ----------
    identity : SeriesIdentity
        `series_uid` is the file's name for what is no DICOM.
    files : tuple of str
    slices : int
        Slices or frames.
    pixels : int
        Voxels in all, to tell the larger of two.
    facts : mapping
        See `Case.facts`.
    is_dicom : bool
    is_scout : bool
        A localizer: it shows where the slices of others lie.
    """

    identity: SeriesIdentity
    files: tuple[str, ...]
    slices: int
    pixels: int
    facts: Mapping[str, str | float] = field(default_factory=dict)
    is_dicom: bool = True
    is_scout: bool = False


@dataclass(frozen=True)
class Found:
    """What a source holds, what of it cannot be read, and series of a database that nobody asked for by name."""

    images: tuple[FoundImage, ...]
    problems: tuple[str, ...] = ()
    unopened: tuple[str, ...] = ()


def find_images(
    source: str | Path | Iterable[str | Path] | SeriesSource,
    wanted: SeriesFilter | None = None,
    names: Collection[str] | None = None,
) -> Found:
    """Every image of a source that the filter lets through.

    Parameters
    ----------
    source : path, sequence of path, or source of series
        A folder of anything, a file, a Slicer database, several of them, or an open source.
    wanted : SeriesFilter, optional
        In a Slicer database, files of series that do not pass are not opened.
    names : collection of str, optional
        Series, study and patient identifiers of interest: in a Slicer database, files of others are not opened.

    Raises
    ------
    SourceError
        If the source cannot be opened.
    """
    wanted = wanted or SeriesFilter()
    if not isinstance(source, (str, os.PathLike)) and not hasattr(source, "series"):
        return _find_in_several([os.fspath(one) for one in source], wanted, names)
    opened = open_source(source) if isinstance(source, (str, os.PathLike)) else source
    series, unopened = _chosen_series(opened, wanted, names)
    refused = opened.problems if series or not unopened else ()
    return replace(_found(series, refused, wanted), unopened=unopened)


def _find_in_several(paths: list[str], wanted: SeriesFilter, names: Collection[str] | None) -> Found:
    """Folders and databases one by one; files together, since several of them make a series."""
    files = [path for path in paths if not os.path.isdir(path) and not path.endswith(".sql")]  # noqa: PTH112
    parts = [find_images(path, wanted, names) for path in paths if path not in set(files)]
    if files:
        parts.append(_found(*series_from_files(files), wanted))
    images = [image for part in parts for image in part.images]
    return Found(
        tuple(_named_apart(sorted(images, key=_order))), tuple(line for part in parts for line in part.problems)
    )


def _found(series: Iterable[Series], refused: Iterable[Problem], wanted: SeriesFilter) -> Found:
    images = [image for one in series for image in _stacks(one)]
    placed = {one.identity.series_uid for one in series}
    refused = list(refused)
    lines: list[str] = []
    images += _flat_images([problem.path for problem in refused if problem.is_dicom], placed, lines)
    images += [_other(problem.path) for problem in refused if not problem.is_dicom and is_other_image(problem.path)]
    kept = [image for image in images if wanted.wants(image.identity, image.slices)]
    if len(kept) < len(images):
        lines.append(f"{len(images) - len(kept)} of {len(images)} images were left out by the series filter.")
    return Found(tuple(_named_apart(sorted(kept, key=_order))), tuple(lines))


def _chosen_series(
    source: SeriesSource, wanted: SeriesFilter, names: Collection[str] | None
) -> tuple[list[Series], tuple[str, ...]]:
    """The readable series, and those not opened because the database itself says that nobody asked for them."""
    if isinstance(source, FolderSource) or not hasattr(source, "summaries"):
        return source.series(), ()
    loose = replace(wanted, min_slices=0)  # a multi-frame file is one file of many frames
    asked = [one.identity for one in source.summaries() if loose.wants(one.identity, 0)]
    named = [
        identity
        for identity in asked
        if names is None or not {identity.series_uid, identity.study_uid, identity.patient_id.strip()}.isdisjoint(names)
    ]
    opened = {identity.series_uid for identity in named}
    left = tuple(identity.series_uid for identity in asked if identity.series_uid not in opened)
    return [one for uid in dict.fromkeys(i.series_uid for i in named) for one in source.series(uid)], left


def _stacks(series: Series) -> Iterable[FoundImage]:
    several = series.identity.modality in SEVERAL_STACKS
    for stack in series.stacks if several else series.stacks[:1]:
        if not stack.is_localizer or stack is series.stacks[0]:
            yield _placed(series.identity, stack)


def _placed(identity: SeriesIdentity, stack: Stack) -> FoundImage:
    count, rows, columns = stack.shape
    facts = header_facts(stack.slices[0][0].path) | {
        "slices": float(count),
        "rows": float(rows),
        "columns": float(columns),
        "spacing_mm": round(stack.geometry.slice_spacing, 3),
        "pixel_mm": round(stack.geometry.pixel_spacing[0], 4),
    }
    named, pixels = _with_name(identity, stack.slices[0][0]), count * rows * columns
    return FoundImage(named, stack.paths, count, pixels, facts, is_scout=stack.is_localizer)


def _with_name(identity: SeriesIdentity, instance: Instance) -> SeriesIdentity:
    if identity.series_uid:
        return identity
    return replace(identity, series_uid=instance.sop_instance_uid or Path(instance.path).name)


def _flat_images(paths: Iterable[str], placed: set[str], lines: list[str]) -> list[FoundImage]:
    """Images of files that the reader of volumes refused, where they need no place; the others are listed."""
    instances: list[Instance] = []
    others = 0
    for path in paths:
        try:
            instance = read_flat_instance(path)
        except RefusedFileError as error:
            if error.reason.endswith(NO_IMAGE):
                others += 1
            else:
                lines.append(f"{path} was left out: {error.reason}.")
            continue
        if instance.facts.identity.series_uid in placed:
            lines.append(f"{path} was left out: it states no place in space, and other slices of its series do.")
            continue
        instances.append(instance)
    if others:
        lines.append(f"{others} DICOM files are no images (reports, segmentations, plans) and were passed over.")
    counts: dict[str, int] = {}
    for instance in instances:
        uid = instance.facts.identity.series_uid
        counts[uid] = counts.get(uid, 0) + 1
    found = []
    for instance in instances:
        identity = instance.facts.identity
        if identity.modality in ONE_PICTURE and identity.series_uid and counts[identity.series_uid] > 1:
            lines.append(f"{instance.path} was left out: {identity.modality} slices without a place have no order.")
        else:
            found.append(_flat(instance))
    return found


def _flat(instance: Instance) -> FoundImage:
    pixels, frames = instance.pixels, len(instance.frames)
    facts = header_facts(instance.path) | {
        "slices": float(frames),
        "rows": float(pixels.rows),
        "columns": float(pixels.columns),
        "pixel_mm": round(instance.frames[0].spacing[0], 4),
    }
    identity = _with_name(instance.facts.identity, instance)
    return FoundImage(identity, (instance.path,), frames, frames * pixels.rows * pixels.columns, facts)


def _other(path: str) -> FoundImage:
    identity = SeriesIdentity(series_uid=Path(path).name, modality="")
    return FoundImage(identity, (path,), MANY, MANY, {}, is_dicom=False)


MANY = 1 << 30
"""Slices of a file that is not opened before it is needed: more than any filter asks for."""


def _order(image: FoundImage) -> tuple:
    identity = image.identity
    return identity.patient_id, identity.study_uid, identity.series_uid, image.files


def _named_apart(images: list[FoundImage]) -> list[FoundImage]:
    """Files of one name in several folders are called by folder and name."""
    names: dict[str, int] = {}
    for image in images:
        if not image.is_dicom:
            names[image.identity.series_uid] = names.get(image.identity.series_uid, 0) + 1
    return [
        replace(image, identity=replace(image.identity, series_uid="/".join(Path(image.files[0]).parts[-2:])))
        if not image.is_dicom and names[image.identity.series_uid] > 1
        else image
        for image in images
    ]
