"""What new objects say of their source: stand-ins from which highdicom takes it, and the true references."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import format_number_as_ds

from .identifiers import derived_uid
from .origin import Origin

_NOT_TAKEN_OVER = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "NumberOfFrames",
    "SpecificCharacterSet",
    "ContributingEquipmentSequence",
)


def stand_ins(origin: Origin) -> list[Dataset]:
    """One small single-frame data set a slice, from which highdicom takes what it needs.

    highdicom reads one multi-frame instance in the order of its frames; our slices may come from several
    instances, in any order, some left out. So every slice appears as an image of its own, and
    `seg` then puts the true references in place. A stand-in's SOP Instance UID tells its slice.
    """
    rows, columns = origin.rows_columns
    geometry = origin.geometry
    orientation = [decimal(value) for value in (*geometry.row_direction, *geometry.column_direction)]
    shared = {
        "SOPClassUID": CTImageStorage,
        "StudyInstanceUID": origin.study_uid,
        "SeriesInstanceUID": origin.series_uid,
        "FrameOfReferenceUID": origin.frame_of_reference_uid,
        "Modality": origin.header.Modality,
        "Rows": rows,
        "Columns": columns,
        "ImageOrientationPatient": orientation,
        "PixelSpacing": [decimal(value) for value in geometry.pixel_spacing],
        "SliceThickness": decimal(thickness(origin)),
    }
    images = []
    for k, position in enumerate(geometry.positions):
        image = Dataset()
        for keyword, value in shared.items():
            setattr(image, keyword, value)
        image.SOPInstanceUID = place_holder(k)
        image.ImagePositionPatient = [decimal(value) for value in position]
        images.append(image)
    _take_over(origin.header, images[0])
    return images


def _take_over(header: Dataset, image: Dataset) -> None:
    """Give a stand-in what the header states of patient, study and acquisition.

    Not the patient's name: highdicom quotes in warnings and log what it does not like about one.
    """
    image.PatientName = None
    for element in header:
        if element.tag not in image and element.keyword not in _NOT_TAKEN_OVER:
            image.add(element)


def place_holder(k: int) -> str:
    """SOP Instance UID of the stand-in of slice `k`."""
    return f"2.25.{k + 1}"


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
