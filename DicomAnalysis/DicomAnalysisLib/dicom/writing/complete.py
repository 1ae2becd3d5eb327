"""What the standard demands of a CT image and the source does not state.

==================================================  ==============================================================
What is missing                                     What is written
==================================================  ==============================================================
type 2 (may be empty): patient's name, birth date,  the attribute without a value
sex, study date, accession number, tube voltage …
SOP Class                                           CT Image Storage
Modality                                            CT
Study Instance UID, Frame of Reference UID          one made from the series UID, the same in all new objects
pixel description, plane, rescale                   as the reader took them (`facts`, `frames`)
rescale type absent or "unspecified"                HU
Patient's Sex that is not M, F or O                 empty
how the patient's identity was removed,             "Not stated"
where the source says that it was
a lossy compression's method and ratio              those of the file, where its transfer syntax is lossy
==================================================  ==============================================================
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import CTImageStorage
from pydicom.valuerep import format_number_as_ds

from ..facts import LOSSY, PixelFormat
from ..frames import Frame
from ..pixels import read_encoded
from ..stacks import Slice
from .identifiers import content_moment, derived_uid

TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SeriesNumber",
    "PatientPosition",
    "Manufacturer",
    "PositionReferenceIndicator",
    "InstanceNumber",
    "AcquisitionNumber",
)
_UNPAIRED = """
    ABDOMEN ABDOMENPELVIS AORTA BLADDER BRAIN CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS COCCYX COLON CSPINE
    CTSPINE ESOPHAGUS FACE HEAD HEADNECK HEART JAW LIVER LSPINE LSSPINE MAXILLA MEDIASTINUM NECK NECKCHEST
    NECKCHESTABDOMEN NECKCHESTABDPELV NOSE PANCREAS PELVIS PENIS PROSTATE RECTUM SKULL SPINE SPLEEN SSPINE STERNUM
    STOMACH THYMUS THYROID TLSPINE TONGUE TRACHEA TSPINE UTERUS WHOLEBODY
"""
UNPAIRED = frozenset(_UNPAIRED.split())
"""Body parts without a left and a right one (of PS3.16 annex L)."""
TYPE_2_SINGLE_FRAME = ("KVP", "SliceThickness")
_METHODS = {"1.2.840.10008.1.2.4.81": "ISO_14495_1", "1.2.840.10008.1.2.4.91": "ISO_15444_1"}
_JPEG = "ISO_10918_1"


def completed(dataset: Dataset, entry: Slice, frame_of_reference_uid: str) -> Dataset:
    """The same data set with what a new object must state (see the table above)."""
    instance, frame_number = entry
    single = instance.facts.frame is not None
    for keyword in TYPE_2 + (TYPE_2_SINGLE_FRAME if single else ()):
        if keyword not in dataset:
            dataset.add_new(tag_for_keyword(keyword), dictionary_VR(keyword), None)
    _complete_laterality(dataset)
    if dataset.PatientSex not in ("M", "F", "O"):
        dataset.PatientSex = None
    if not dataset.get("SOPClassUID"):
        dataset.SOPClassUID = CTImageStorage
    dataset.Modality = instance.facts.identity.modality
    dataset.FrameOfReferenceUID = frame_of_reference_uid
    identity = instance.facts.identity
    dataset.StudyInstanceUID = identity.study_uid or derived_uid("study", identity.series_uid)
    dataset.SeriesInstanceUID = identity.series_uid
    dataset.SOPInstanceUID = instance.sop_instance_uid
    _complete_deidentification(dataset)
    _complete_lossy(dataset, entry)
    describe_pixels(dataset, instance.pixels)
    if single:
        _state_frame(dataset, instance.frames[frame_number - 1])
    else:
        _complete_groups(dataset)
    return dataset


def _complete_laterality(dataset: Dataset) -> None:
    """Laterality is demanded of a body part that may be a paired one, and not allowed otherwise (PS3.3 C.7.3.1)."""
    groups = [*(dataset.get("SharedFunctionalGroupsSequence") or []), *_per_frame(dataset)]
    anatomy = [item for group in groups for item in group.get("FrameAnatomySequence") or []]
    is_stated = dataset.get("ImageLaterality") or any(item.get("FrameLaterality") for item in anatomy)
    if is_stated or dataset.get("BodyPartExamined") in UNPAIRED:
        dataset.pop("Laterality", None)
    else:
        dataset.setdefault("Laterality", None)


def _per_frame(dataset: Dataset) -> list[Dataset]:
    return list(dataset.get("PerFrameFunctionalGroupsSequence") or [])


def _complete_groups(dataset: Dataset) -> None:
    """What functional groups demand or may not hold (PS3.3 C.7.6.16, C.8.15.3)."""
    dataset.ContentDate, dataset.ContentTime = content_moment(dataset)
    for group in (*(dataset.get("SharedFunctionalGroupsSequence") or []), *_per_frame(dataset)):
        if "ReferencedImageEvidenceSequence" not in dataset:
            group.pop("ReferencedImageSequence", None)  # to which series they belong is not known
        for item in group.get("PixelValueTransformationSequence") or []:
            if dataset.Modality == "CT" and item.get("RescaleType", "US") == "US":
                item.RescaleType = "HU"  # what unspecified means for CT, and how the reader takes it


def describe_pixels(dataset: Dataset, pixels: PixelFormat) -> None:
    """State the layout of stored values as they are (PS3.3 C.7.6.3)."""
    dataset.SamplesPerPixel = 1
    if dataset.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.rows, pixels.columns
    dataset.BitsAllocated, dataset.BitsStored = pixels.bits_allocated, pixels.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = pixels.high_bit, int(pixels.signed)
    dataset.pop("PlanarConfiguration", None)  # of one sample there is no planar configuration


def _state_frame(dataset: Dataset, frame: Frame) -> None:
    """State plane and rescale of a single-frame image as the reader took them, where the source does not."""
    plane = {
        "ImagePositionPatient": frame.position,
        "ImageOrientationPatient": frame.orientation,
        "PixelSpacing": frame.spacing,
        "RescaleSlope": (frame.slope,),
        "RescaleIntercept": (frame.intercept,),
    }
    for keyword, values in plane.items():
        stated = dataset.get(keyword)
        stated = [stated] if len(values) == 1 else stated
        if not _are_numbers(stated, values):
            dataset.setdefault(keyword, None)
            dataset[keyword].value = [format_number_as_ds(float(value)) for value in values]
    if dataset.get("RescaleType", "US") == "US" and dataset.Modality == "CT":
        dataset.RescaleType = "HU"
    if dataset.get("SpacingBetweenSlices") and dataset.SpacingBetweenSlices < 0:
        dataset.SpacingBetweenSlices = format_number_as_ds(abs(float(dataset.SpacingBetweenSlices)))
    dataset.pop("NumberOfFrames", None)


def _are_numbers(stated: object, values: tuple[float, ...]) -> bool:
    try:
        return len(stated) == len(values) and all(abs(float(s) - v) < 1e-4 for s, v in zip(stated, values, strict=True))
    except (TypeError, ValueError):
        return False


def _complete_deidentification(dataset: Dataset) -> None:
    if dataset.get("PatientIdentityRemoved") != "YES" or dataset.get("DeidentificationMethodCodeSequence"):
        return
    if not dataset.get("DeidentificationMethod"):
        dataset.DeidentificationMethod = "Not stated"


def _complete_lossy(dataset: Dataset, entry: Slice) -> None:
    """Lossy compression stays stated for ever, whatever encoding follows (PS3.3 C.7.6.1.1.5)."""
    instance, frame_number = entry
    syntax = instance.facts.transfer_syntax
    if not instance.facts.is_lossy:
        return
    dataset.LossyImageCompression = "01"
    if syntax not in LOSSY and syntax != "1.2.840.10008.1.2.4.91":  # it was compressed before, and how is not known
        return
    if not dataset.get("LossyImageCompressionMethod"):
        dataset.LossyImageCompressionMethod = _METHODS.get(syntax, _JPEG)
    if not dataset.get("LossyImageCompressionRatio"):
        ratio = instance.pixels.frame_bytes / len(read_encoded(instance, frame_number))
        dataset.LossyImageCompressionRatio = format_number_as_ds(round(ratio, 2))
