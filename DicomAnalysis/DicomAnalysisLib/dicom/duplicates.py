"""Whether slices dropped as duplicates hold the same pixels as the ones kept in their place."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import DecodingError
from .pixels import read_encoded, read_stored
from .stacks import DroppedSlice, Stack

MAX_COMPARED = 64
"""Dropped slices whose pixels are decoded for comparison; more would cost as much as the series."""


def compare_dropped(stack: Stack, voxels: np.ndarray) -> Iterable[str]:
    """Warn of dropped slices whose pixels differ from those kept, by how much.

    Parameters
    ----------
    stack : Stack
    voxels : array of shape (k, j, i)
        The values read for the kept slices.
    """
    index = {(id(instance), number): k for k, (instance, number) in enumerate(stack.slices)}
    different, unread = [], []
    for dropped in stack.dropped[:MAX_COMPARED]:
        kept = voxels[index[id(dropped.kept), dropped.kept_frame_number]]
        try:
            largest = _largest_difference(dropped, kept)
        except DecodingError:
            unread.append(dropped.instance.sop_instance_uid)
            continue
        if largest:
            different.append(f"{dropped.instance.sop_instance_uid} (by up to {largest:g})")
    if different:
        yield f"Pixels of {len(different)} slice(s) left out differ from the ones kept: {', '.join(different[:10])}."
    if unread:
        yield f"{len(unread)} slice(s) left out as duplicates cannot be decoded: {', '.join(unread[:10])}."
    if len(stack.dropped) > MAX_COMPARED:
        yield f"Pixels of the first {MAX_COMPARED} of {len(stack.dropped)} slices left out were compared."


def _largest_difference(dropped: DroppedSlice, kept: np.ndarray) -> float:
    frame = dropped.instance.frames[dropped.frame_number - 1]
    kept_frame = dropped.kept.frames[dropped.kept_frame_number - 1]
    same_rescale = (frame.slope, frame.intercept) == (kept_frame.slope, kept_frame.intercept)
    same_syntax = dropped.instance.facts.transfer_syntax == dropped.kept.facts.transfer_syntax
    if same_rescale and same_syntax and dropped.instance.pixels == dropped.kept.pixels:
        ours = read_encoded(dropped.kept, dropped.kept_frame_number)
        if read_encoded(dropped.instance, dropped.frame_number) == ours:
            return 0.0
    values = read_stored(dropped.instance, dropped.frame_number) * frame.slope + frame.intercept
    return float(np.abs(values - kept).max())
