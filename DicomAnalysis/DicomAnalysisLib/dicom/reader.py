"""Series to volumes: the pixels of ordered slices as Hounsfield units in one array."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import DecodingError, SourceError
from ..volume import SeriesIdentity, Volume
from .decoding.pool import decoders, inside_warning
from .duplicates import compare_dropped
from .padding import find_padding
from .pixels import DoesNotFitError, read_slice
from .series import Series
from .stacks import Stack, without


def read_series(series: Series) -> list[Volume]:
    """Read every stack of a series.

    Returns
    -------
    list of Volume
        One for each stack, largest first; the series' warnings stand before the stack's.

    Raises
    ------
    DecodingError
        If no slice of a stack can be decoded (see `read_stack`).
    """
    return [read_stack(stack, series.identity, series.warnings) for stack in series.stacks]


def read_stack(
    stack: Stack,
    identity: SeriesIdentity,
    warnings: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Volume:
    """Read the pixels of one stack.

    Parameters
    ----------
    stack : Stack
    identity : SeriesIdentity
    warnings : sequence of str
        Put before the stack's own warnings.
    progress : callable, optional
        Called as ``progress(slices read, slices in all)``; it may raise to stop the reading.

    Returns
    -------
    Volume
        int16 where slope and intercept of every slice are whole numbers and all values fit, else float32.

    Raises
    ------
    DecodingError
        If no slice can be decoded; the message names the first file. Single slices that cannot are
        left out and named in the warnings, as files with damaged headers are.
    """
    try:
        if not _is_whole(stack):
            raise DoesNotFitError
        voxels, unreadable = _read_voxels(stack, np.int16, progress)
    except DoesNotFitError:
        voxels, unreadable = _read_voxels(stack, np.float32, progress)
    if unreadable:
        voxels, stack = _leave_out(voxels, stack, unreadable)
    return Volume(
        voxels=voxels,
        geometry=stack.geometry,
        identity=identity,
        sop_instance_uids=tuple(instance.sop_instance_uid for instance, _ in stack.slices),
        frame_numbers=tuple(number for _, number in stack.slices),
        padding_values=find_padding(voxels, stack.slices),
        warnings=(
            *warnings,
            *(f"A slice was left out. {error}" for error in unreadable.values()),
            *stack.warnings,
            *compare_dropped(stack, voxels),
            *_decoded_inside(stack),
            *_remarks(stack),
        ),
    )


def read_volume(paths: str | Path | Iterable[str | Path]) -> Volume:
    """Read the largest stack of the only series of a file, folder, database or list of files.

    Raises
    ------
    SourceError
        If there is no readable series, or more than one.
    DecodingError
        If pixel data cannot be read.

    Examples
    --------
    >>> volume = read_volume("ct-head")          # doctest: +SKIP
    >>> volume.voxels.shape, volume.voxels.dtype  # doctest: +SKIP
    ((300, 512, 512), dtype('int16'))
    """
    from .sources import open_source, series_from_files

    if isinstance(paths, (str, os.PathLike)):
        source = open_source(paths)
        series, problems, where = source.series(), source.problems, os.fspath(paths)
    else:
        paths = list(paths)
        series, problems = series_from_files(paths)
        where = f"{len(paths)} files"
    if not series:
        first = f" The first file's reason: {problems[0].path}: {problems[0].reason}." if problems else ""
        msg = f"There is no readable image series in {where}.{first}"
        raise SourceError(msg)
    if len(series) > 1:
        uids = ", ".join(one.identity.series_uid for one in series[:5])
        msg = f"There are {len(series)} series in {where} ({uids}…); choose one with open_source() and read_stack()."
        raise SourceError(msg)
    return read_stack(series[0].stacks[0], series[0].identity, series[0].warnings)


def _is_whole(stack: Stack) -> bool:
    """Whether slope and intercept of every slice are whole numbers that 16-bit arithmetic can use."""
    frames = (instance.frames[number - 1] for instance, number in stack.slices)
    rescales = {(frame.slope, frame.intercept) for frame in frames}
    return all(slope == int(slope) and intercept == int(intercept) for slope, intercept in rescales)


def _read_voxels(
    stack: Stack, dtype: type, progress: Callable[[int, int], None] | None
) -> tuple[np.ndarray, dict[int, DecodingError]]:
    """All slices in one array, and which of them could not be read."""
    voxels = np.empty(stack.shape, dtype)
    count = len(stack)
    unreadable: dict[int, DecodingError] = {}

    def read(k: int) -> None:
        instance, number = stack.slices[k]
        try:
            read_slice(instance, number, voxels[k])
        except DecodingError as error:
            unreadable[k] = error

    if any(instance.is_encapsulated for instance, _ in stack.slices):
        with decoders() as children, ThreadPoolExecutor(min(children.size, count)) as pool:  # each waits for a child
            _report(pool.map(read, range(count)), count, progress)
    else:  # native pixels come at the speed of memory, which more threads do not raise
        _report(map(read, range(count)), count, progress)
    return voxels, dict(sorted(unreadable.items()))


def _leave_out(voxels: np.ndarray, stack: Stack, unreadable: dict[int, DecodingError]) -> tuple[np.ndarray, Stack]:
    """Close the ranks where slices could not be read; their places remain as gaps."""
    left = [k for k in range(len(stack)) if k not in unreadable]
    if not left:
        raise next(iter(unreadable.values()))
    for target, k in enumerate(left):
        if target != k:
            voxels[target] = voxels[k]
    return voxels[: len(left)], without(stack, unreadable)


def _report(reading: Iterable[None], count: int, progress: Callable[[int, int], None] | None) -> None:
    for done, _ in enumerate(reading, start=1):
        if progress is not None:
            progress(done, count)


def _decoded_inside(stack: Stack) -> Iterable[str]:
    if any(instance.is_encapsulated for instance, _ in stack.slices) and (warning := inside_warning()):
        yield warning


def _remarks(stack: Stack) -> Iterable[str]:
    """What was odd about the files, each remark once with the number of files."""
    instances = {id(instance): instance for instance, _ in stack.slices}.values()
    counts = Counter(remark for instance in instances for remark in instance.remarks)
    for remark, count in counts.items():
        files = "in the file" if len(instances) == 1 else f"in {count} of {len(instances)} files"
        yield f"{remark[0].upper()}{remark[1:]} ({files})."
