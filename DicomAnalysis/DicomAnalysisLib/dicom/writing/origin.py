"""The source of new objects: which slices they are made of, and what its first header states."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import CTImageStorage

from ...errors import UnreadableFileError
from ...volume import StackGeometry, Volume
from .. import tags
from ..header import read_header
from ..series import is_valid_uid
from ..stacks import Slice, Stack
from .complete import TYPE_2, TYPE_2_SINGLE_FRAME, completed
from .identifiers import UnfitSourceError, content_moment, derived_uid
from .repair import repaired

MAIN_TAGS = tags.IMAGE_TAGS | {
    tag_for_keyword(keyword)
    for keyword in (
        *TYPE_2,
        *TYPE_2_SINGLE_FRAME,
        *("SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime"),
        *("StudyDescription", "WindowCenter", "WindowWidth", "PatientIdentityRemoved", "DeidentificationMethod"),
    )
}
"""What is taken over of a header that cannot be read as a whole."""


@dataclass(frozen=True, eq=False)
class Origin:
    """What new objects take over and refer to.

    Attributes
    ----------
    slices : tuple of (Instance, int)
        Instance and frame number of each slice of the volume.
    geometry : StackGeometry
        Of these slices.
    header : Dataset
        The first slice's, repaired and completed, without pixel data.
    stack_number : int
        1 for the main stack of the series.
    """

    slices: tuple[Slice, ...]
    geometry: StackGeometry
    header: Dataset
    stack_number: int = 1

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return str(self.header.StudyInstanceUID)

    @property
    def series_uid(self) -> str:
        """Series Instance UID of the source."""
        return str(self.header.SeriesInstanceUID)

    @property
    def frame_of_reference_uid(self) -> str:
        """The source's, or the one that all new objects of this source share where it states none."""
        return str(self.header.FrameOfReferenceUID)

    @property
    def rows_columns(self) -> tuple[int, int]:
        """Matrix of a slice."""
        pixels = self.slices[0][0].pixels
        return pixels.rows, pixels.columns

    @cached_property
    def moment(self) -> tuple[str, str]:
        """Date and time that new objects state as theirs."""
        return content_moment(self.header)

    @cached_property
    def class_uids(self) -> dict[str, str]:
        """SOP Class UID by file."""
        paths = dict.fromkeys(instance.path for instance, _ in self.slices)
        classes = {path: read_header(path, {tags.SOP_CLASS_UID}).text(tags.SOP_CLASS_UID) for path in paths}
        return {path: uid if is_valid_uid(uid) else str(CTImageStorage) for path, uid in classes.items()}

    @property
    def is_multiframe(self) -> bool:
        """Whether references need frame numbers."""
        return any(instance.facts.frame is None for instance, _ in self.slices)


def origin_of(stack: Stack, volume: Volume, stack_number: int = 1) -> Origin:
    """The origin of what was made from `volume`, which was read from `stack`.

    Raises
    ------
    UnfitSourceError
        If nothing may refer to the source: it has no or invalid UIDs, or the same SOP Instance UID for
        several slices; or if its header cannot be read as a whole.
    """
    slices = _slices_of(stack, volume)
    _refuse_bad_identifiers(slices)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's words on odd values: they are put right
        header = read_repaired(slices[0])
    return Origin(slices, volume.geometry, header, stack_number)


def read_repaired(entry: Slice) -> Dataset:
    """The whole header of a slice's file, repaired and completed (see `repair` and `complete`).

    What pydicom has to say on odd values it says as warnings, which are the caller's to silence (silencing
    is not safe in threads).

    Raises
    ------
    RefusedFileError
        If the file is no longer what it was.
    """
    instance = entry[0]
    dataset, big_endian = _read_whole(instance.path)
    fixed = repaired(dataset, big_endian)
    identity = instance.facts.identity
    uid = identity.frame_of_reference_uid
    if not is_valid_uid(uid):
        uid = derived_uid("frame of reference", identity.series_uid)
    return completed(fixed, entry, uid)


def _read_whole(path: str) -> tuple[Dataset, bool]:
    """A file's header as pydicom reads it, and whether binary values are big endian.

    Irregular headers are read by pydicom from the start; where it cannot read one either, the elements that matter
    are taken from our own walk over the file.
    """
    header = read_header(path, MAIN_TAGS)
    big_endian = header.walked.big_endian
    with contextlib.suppress(Exception):  # pydicom documents no limit to what damaged input may raise
        try:
            dataset = header.dataset()
        except UnreadableFileError:
            dataset = None
        return dataset or pydicom.dcmread(path, stop_before_pixels=True, force=True), big_endian
    dataset = Dataset()
    for tag, value in header.walked.elements.items():
        dataset[tag] = RawDataElement(BaseTag(tag), dictionary_VR(tag), len(value), value, 0, False, not big_endian)
    return dataset, big_endian


def _slices_of(stack: Stack, volume: Volume) -> tuple[Slice, ...]:
    """The slices of the stack that the volume holds: those that could not be read are not in it."""
    entries = iter(stack.slices)
    found = []
    for uid, number, position in zip(
        volume.sop_instance_uids, volume.frame_numbers, volume.geometry.positions, strict=True
    ):
        for instance, frame_number in entries:
            place = instance.frames[frame_number - 1].position
            if (instance.sop_instance_uid, frame_number) == (uid, number) and np.array_equal(place, position):
                found.append((instance, frame_number))
                break
    if not found or len(found) != len(volume.voxels):
        msg = "The volume was not read from this stack of slices, so that nothing written could refer to them."
        raise UnfitSourceError(msg)
    return tuple(found)


def _refuse_bad_identifiers(slices: tuple[Slice, ...]) -> None:
    identity = slices[0][0].facts.identity
    named = {"series instance UID": identity.series_uid}
    if identity.study_uid:  # one that is missing is made (see `complete`); one that is wrong names another study
        named["study instance UID"] = identity.study_uid
    named |= {f"SOP instance UID of {instance.path}": instance.sop_instance_uid for instance, _ in slices}
    for what, uid in named.items():
        if not is_valid_uid(uid):
            state = "is not a valid one" if uid else "is missing"
            msg = f"The {what} {state}, so that no DICOM object can refer to it; put it right in the source."
            raise UnfitSourceError(msg)
    files = {instance.path: instance.sop_instance_uid for instance, _ in slices}
    uid, uses = Counter(files.values()).most_common(1)[0]
    if uses > 1:
        msg = f"{uses} slices have the same SOP instance UID {uid}, so that no DICOM object can refer to one of them."
        raise UnfitSourceError(msg)
