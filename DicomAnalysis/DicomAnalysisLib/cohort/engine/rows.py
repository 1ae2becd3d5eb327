"""Rows of a cohort's table: one for each stack of a series, or for each image that lies nowhere in space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...dicom.header import RefusedFileError
from ...dicom.reader import read_stack
from ...dicom.series import Series
from ...dicom.stacks import Stack
from ...files.names import safe_name
from ...volume import Volume
from ..features.acquisition import acquisition_tags, tags_of_image


@dataclass(frozen=True)
class Row:
    """One row of the table: a stack of a series."""

    series: str
    patient: str
    values: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[str, ...]


def volumes_of(series: Sequence[Series]) -> Iterator[tuple[Series, str, Stack, Volume]]:
    """Every stack but scouts, one after the other, with the name of its row."""
    return ((one, name, stack, read_stack(stack, one.identity, one.warnings)) for one, name, stack in stacks_of(series))


def stacks_of(series: Sequence[Series]) -> list[tuple[Series, str, Stack]]:
    """Every stack but scouts, with the name of its row: the series UID, then ``/stack-2`` and so on.

    A UID that several studies or patients use is followed by ``/study-2`` and so on.
    """
    found = []
    for number, one in enumerate(series, start=1):
        base = one.key if number == 1 else f"{one.key}/study-{number}"
        for place, stack in enumerate(one.stacks, start=1):
            if not stack.is_localizer:
                found.append((one, base if place == 1 else f"{base}/stack-{place}", stack))
    return found


def row_of(one: Series, name: str, stack: Stack, values: Mapping[str, float]) -> Row:
    """The row of a stack."""
    return Row(name, one.identity.patient_id, values, acquisition_tags(stack), stack.paths)


def flat_rows(files: Sequence[str], measure: Callable[[Volume], Mapping[str, float]]) -> list[Row]:
    """The rows of images that lie nowhere in space, one for each file; none where there is no such image."""
    from ...dicom.flat import read_flat

    rows: list[Row] = []
    for path in files:
        try:
            volume = read_flat(path)
        except RefusedFileError:
            continue
        identity = volume.identity
        base = safe_name(identity.series_uid)
        name = base if not rows else f"{base}/stack-{len(rows) + 1}"
        tags = tags_of_image(path, identity.modality, volume.shape, None)
        rows.append(Row(name, identity.patient_id, measure(volume), tags, (path,)))
    return rows
