"""How a series was acquired, as text: what features and clusters are checked against, never features themselves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ...dicom import tags
from ...dicom.header import RefusedFileError, read_header
from ...dicom.stacks import Stack
from ...volume import StackGeometry

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
    first = stack.slices[0][0]
    return tags_of_image(first.path, first.facts.identity.modality, stack.shape, stack.geometry)


def tags_of_image(
    path: str, modality: str, shape: tuple[int, int, int], geometry: StackGeometry | None
) -> dict[str, str]:
    """The same of one file; without a geometry for an image that lies nowhere in space."""
    found = dict.fromkeys(ACQUISITION_TAGS, "")
    with suppress(RefusedFileError):  # it was read a moment ago; at worst less is known of it
        header = read_header(path, _WANTED, stop_group=0x0018)
        found |= {name: " ".join(header.text(tag).split())[:_LONGEST] for name, tag in _HEADER.items()}
        if numbers := header.numbers(tags.KVP):  # 120, 120.0 and 000120 are one voltage
            found["kvp"] = f"{numbers[0]:g}"
    found["modality"] = modality or found["modality"]
    found |= dict(zip(("slices", "rows", "columns"), map(str, shape), strict=True))
    if geometry is not None:
        spacing = geometry.spacing_kji
        found["pixel_spacing_mm"] = f"{spacing[1]:.3g}"
        found["slice_spacing_mm"] = f"{spacing[0]:.3g}"
        found["tilt_degrees"] = f"{round(geometry.tilt_degrees, 1) + 0.0:.1f}"  # never -0.0
    return found
