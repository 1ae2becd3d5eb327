"""What new objects say of their source: a stand-in from which highdicom takes it, and the references."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import format_number_as_ds

from ...segments import Code
from .identifiers import derived_uid
from .origin import Origin

SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
_NOT_TAKEN_OVER = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "NumberOfFrames",
    "SpecificCharacterSet",
    "ContributingEquipmentSequence",
)


def stand_in(origin: Origin) -> Dataset:
    """A small single-frame data set in place of the first slice, from which highdicom takes what it needs.

    highdicom takes either single-frame instances or one multi-frame instance in the order of its frames; our
    slices may come from several multi-frame instances, in any order, some left out. So it is given one image, the
    positions of all slices beside it, and `seg` puts the references in place.
    """
    geometry = origin.geometry
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, origin.slices[0][0].sop_instance_uid
    image.StudyInstanceUID, image.SeriesInstanceUID = origin.study_uid, origin.series_uid
    image.FrameOfReferenceUID = origin.frame_of_reference_uid
    image.Modality = origin.header.Modality
    image.Rows, image.Columns = origin.rows_columns
    image.ImageOrientationPatient = [decimal(v) for v in (*geometry.row_direction, *geometry.column_direction)]
    image.ImagePositionPatient = [decimal(value) for value in geometry.positions[0]]
    image.PixelSpacing = [decimal(value) for value in geometry.pixel_spacing]
    image.SliceThickness = decimal(thickness(origin))
    # The patient's name is put in later: highdicom quotes in warnings and log what it does not like about one.
    image.PatientName = None
    for element in origin.header:
        if element.tag not in image and element.keyword not in _NOT_TAKEN_OVER:
            image.add(element)
    return image


def evidence(origin: Origin, made: Dataset) -> list[Dataset]:
    """An object made of the source and the source's instances, as far as references and the patient are concerned."""
    first = stand_in(origin)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        setattr(first, keyword, made[keyword].value)
    images = [first]
    for reference in instance_references(origin):
        image = Dataset()
        image.StudyInstanceUID, image.SeriesInstanceUID = origin.study_uid, origin.series_uid
        image.SOPClassUID = reference.ReferencedSOPClassUID
        image.SOPInstanceUID = reference.ReferencedSOPInstanceUID
        images.append(image)
    return images


def decimal(value: float) -> str:
    """A number as a decimal string of at most 16 characters."""
    return format_number_as_ds(float(value) + 0.0)


def thickness(origin: Origin) -> float:
    """Slice thickness in mm; the distance of the slices where none is stated."""
    instance, number = origin.slices[0]
    return instance.frames[number - 1].thickness or origin.geometry.slice_spacing


def tracking_id(origin: Origin, name: str) -> str:
    """The name under which segmentation and report speak of the same thing."""
    return f"{name} of stack {origin.stack_number}" if origin.stack_number > 1 else name


def tracking_uid(origin: Origin, name: str) -> str:
    """The UID under which segmentation and report speak of the same thing."""
    return derived_uid("tracking", origin.series_uid, origin.stack_number, name)


def source_reference(origin: Origin, k: int) -> Dataset:
    """SOP class and instance of slice `k`, with its frame where the instance has several (PS3.3 table 10-3)."""
    instance, number = origin.slices[k]
    item = Dataset()
    item.ReferencedSOPClassUID = origin.class_uids[instance.path]
    item.ReferencedSOPInstanceUID = instance.sop_instance_uid
    if instance.facts.frame is None:
        item.ReferencedFrameNumber = number
    return item


def instance_references(origin: Origin) -> list[Dataset]:
    """SOP class and instance of every source file, once each, in the order of the slices."""
    items = {}
    for k, (instance, _) in enumerate(origin.slices):
        if instance.path not in items:
            item = source_reference(origin, k)
            item.pop("ReferencedFrameNumber", None)
            items[instance.path] = item
    return list(items.values())


def code_item(code: Code) -> Dataset:
    """One item of a code sequence (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item
