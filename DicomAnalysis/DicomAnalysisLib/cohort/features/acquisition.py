"""How a series was acquired, as text: what features and clusters are checked against, never features themselves."""

from __future__ import annotations

from collections.abc import Mapping

from ...dicom import tags
from ...dicom.header import RefusedFileError, read_header
from ...dicom.stacks import Stack

_HEADER: Mapping[str, int] = {
    "modality": tags.MODALITY,
    "manufacturer": 0x00080070,
    "institution": 0x00080080,
    "station": 0x00081010,
    "series_description": tags.SERIES_DESCRIPTION,
    "scanner_model": 0x00081090,
    "body_part": tags.BODY_PART_EXAMINED,
    "contrast": 0x00180010,
    "kvp": tags.KVP,
    "software": 0x00181020,
    "protocol": 0x00181030,
    "kernel": tags.CONVOLUTION_KERNEL,
    "patient_position": tags.PATIENT_POSITION,
}
FREE_TEXT = frozenset(
    ("institution", "station", "series_description", "contrast", "software", "protocol", "kernel", "body_part")
)
"""Tags into which people or scanners may write anything, a name or a date among it."""

_GEOMETRY = ("slices", "rows", "columns", "pixel_spacing_mm", "slice_spacing_mm", "tilt_degrees")
ACQUISITION_TAGS = (*_HEADER, *_GEOMETRY)
"""Their names; every series has all of them, empty where nothing is known."""

_WANTED = frozenset((*_HEADER.values(), tags.SPECIFIC_CHARACTER_SET))
_LONGEST = 64


def acquisition_tags(stack: Stack) -> dict[str, str]:
    """The tags of one stack: what the header of its first slice says, and the grid of its slices.

    Ages, dates and names are not among them.
    """
    geometry = stack.geometry
    found = dict.fromkeys(ACQUISITION_TAGS, "")
    try:
        header = read_header(stack.slices[0][0].path, _WANTED, stop_group=0x0018)
    except RefusedFileError:  # it was read a moment ago: a header that only says less than it should
        pass
    else:
        found |= {name: " ".join(header.text(tag).split())[:_LONGEST] for name, tag in _HEADER.items()}
    slices, rows, columns = stack.shape
    spacing = geometry.spacing_kji
    found |= {
        "modality": stack.slices[0][0].facts.identity.modality or found["modality"],
        "slices": str(slices),
        "rows": str(rows),
        "columns": str(columns),
        "pixel_spacing_mm": f"{spacing[1]:.3g}",
        "slice_spacing_mm": f"{spacing[0]:.3g}",
        "tilt_degrees": f"{geometry.tilt_degrees:.1f}",
    }
    return found
