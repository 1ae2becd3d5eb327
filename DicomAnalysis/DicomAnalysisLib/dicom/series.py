"""Files into series: grouping by identifiers, and what is odd about a series as a whole."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..volume import SeriesIdentity
from .header import RefusedFileError, is_regular_file
from .instance import Instance, read_instance
from .problem import Problem
from .stacks import Stack, build_stacks

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


@dataclass(frozen=True, eq=False)
class Series:
    """The readable images of one series.

    Attributes
    ----------
    identity : SeriesIdentity
    stacks : tuple of Stack
        Largest first, scouts last: axial stack, scout, reformat, other matrix, each on its own.
    warnings : tuple of str
        What is odd about the series as a whole; each stack has its own warnings beside.
    """

    identity: SeriesIdentity
    stacks: tuple[Stack, ...]
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A name for files and folders: the series UID where it is a valid one, else made from a digest.

        A valid UID is told from one that holds a path or other text (PS3.5 section 9.1).
        """
        identity = self.identity
        if is_valid_uid(identity.series_uid):
            return identity.series_uid
        first = self.stacks[0].slices[0][0]
        text = "\n".join((identity.series_uid, identity.study_uid, identity.patient_id, first.sop_instance_uid))
        return f"series-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file of every stack."""
        return tuple(dict.fromkeys(path for stack in self.stacks for path in stack.paths))


def is_valid_uid(uid: str) -> bool:
    """Whether a UID is at most 64 characters of digits and dots (PS3.5 section 9.1)."""
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None


def series_from_files(paths: Iterable[str | Path]) -> tuple[list[Series], tuple[Problem, ...]]:
    """Read the headers of some files and sort them into series.

    Parameters
    ----------
    paths : iterable of path
        In any order; a file named twice counts once.

    Returns
    -------
    list of Series
        Ordered by patient, study and series UID, whatever the order of the files.
    tuple of Problem
        Files that are no readable images, each with its reason, ordered by path.
    """
    instances: list[Instance] = []
    problems: list[Problem] = []
    for path in sorted({os.fspath(path) for path in paths}):
        if not is_regular_file(path):
            problems.append(Problem(path, _why_no_file(path)))
            continue
        try:
            instances.append(read_instance(path))
        except RefusedFileError as error:
            problems.append(Problem(path, error.reason, error.series_uid, error.is_dicom))
    return group_into_series(instances), tuple(problems)


def _why_no_file(path: str) -> str:
    if os.path.exists(path):  # noqa: PTH110 (a string will do)
        return "it is not a file"
    return "the link leads nowhere" if os.path.lexists(path) else "the file is missing"


def group_into_series(instances: Iterable[Instance]) -> list[Series]:
    """Sort instances into series by series, study and patient identifier.

    Files without a series UID are grouped by folder, so that unrelated ones do not mix.
    One series UID in several studies or patients gives several series, each with a warning.
    """
    groups: dict[tuple[str, str, str, str], list[Instance]] = defaultdict(list)
    for instance in instances:
        identity = instance.facts.identity
        folder = "" if identity.series_uid else os.path.dirname(instance.path)  # noqa: PTH120 (a string will do)
        groups[identity.patient_id, identity.study_uid, identity.series_uid, folder].append(instance)
    uses = Counter(key[2] for key in groups if key[2])
    return [_make_series(groups[key], uses[key[2]]) for key in sorted(groups)]


def _make_series(instances: list[Instance], uses: int) -> Series:
    stacks = build_stacks(instances)
    identity = stacks[0].slices[0][0].facts.identity
    return Series(identity, stacks, tuple(_describe(identity, stacks, uses)))


def _describe(identity: SeriesIdentity, stacks: tuple[Stack, ...], uses: int) -> Iterable[str]:
    uid = identity.series_uid
    if not uid:
        yield "The files have no series instance UID: those of one folder are taken as one series."
    elif not is_valid_uid(uid):
        yield "The series instance UID is not a valid one (digits and dots, 64 at most): it is kept as text."
    if uses > 1:
        yield f"The series instance UID is used by {uses} different studies or patients: they are kept apart."
    if len(stacks) > 1:
        shapes = "; ".join(
            f"{'scout, ' if stack.is_localizer else ''}{len(stack)} x {stack.shape[1]} x {stack.shape[2]}"
            for stack in stacks[:6]
        )
        more = "; …" if len(stacks) > 6 else ""
        yield f"The series holds {len(stacks)} stacks of slices that do not fit together ({shapes}{more})."
