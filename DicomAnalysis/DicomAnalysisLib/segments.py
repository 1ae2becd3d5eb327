"""The segments this project makes: names, label values, colours and DICOM codes.

Ground floor: data only, so that the DICOM writers, the MRML sink and the tasks agree.
Codes are SNOMED CT as in Slicer's "Segmentation category and type - DICOM master list".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded concept: value, scheme, meaning (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str


PHYSICAL_OBJECT = Code("260787004", "SCT", "Physical object")
TISSUE = Code("85756007", "SCT", "Tissue")
ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")


@dataclass(frozen=True)
class SegmentKind:
    """One kind of segment.

    Parameters
    ----------
    name : str
        What users see, in Slicer and in DICOM SEG.
    label : int
        Value in a labelmap that holds all segments; stable across versions.
    color : tuple of float
        RGB from 0 to 1.
    category, type : Code
        DICOM segmented property category and type.
    """

    name: str
    label: int
    color: tuple[float, float, float]
    category: Code
    type: Code


# There is no code for a headrest: it is coded as the table it belongs to and named Headrest.
HEADREST = SegmentKind("Headrest", 1, (0.20, 0.60, 0.95), PHYSICAL_OBJECT, Code("86407004", "SCT", "Table"))
METAL = SegmentKind("Metal", 2, (0.98, 0.75, 0.10), PHYSICAL_OBJECT, Code("40388003", "SCT", "Implant"))
BONE = SegmentKind("Bone", 3, (0.95, 0.84, 0.57), ANATOMICAL_STRUCTURE, Code("272673000", "SCT", "Bone"))

KINDS = {kind.name: kind for kind in (HEADREST, METAL, BONE)}
