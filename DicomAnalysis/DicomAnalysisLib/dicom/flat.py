"""Images that state no place in space: X-ray angiography, mammography, radiography, single pictures.

`instance.read_instance` refuses them, because nothing can be measured in a volume that lies nowhere.
A classifier needs no place: here their frames are taken in the order of the file, on a plane made up
for them, and everything else (pixel format, rescale, decoding in a child process) is as for any image.

================================  =======================================================================
What is odd                       What is done
================================  =======================================================================
no Pixel Spacing                  Imager Pixel Spacing (PS3.3 C.8.7.10), else 1 mm with a remark
MONOCHROME1                       kept as stored in the file here; `read_flat` turns it, with a warning
several frames                    one slice each, 1 mm apart unless the header says otherwise
colour, 1-bit, look-up table      refused: values are no measurements of one quantity
================================  =======================================================================
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import DecodingError
from ..volume import StackGeometry, Volume
from . import tags
from .facts import LOSSY, NO_IMAGES, Facts, pixel_format, read_identity
from .frames import MAX_RESCALE, Frame
from .header import Header, RefusedFileError, read_header
from .instance import Instance, locate
from .pixels import read_slice

IMAGER_PIXEL_SPACING = 0x00181164
NO_IMAGE = "object, not an image"
"""How the reason ends for reports, segmentations and plans."""
MAX_FRAMES = 100_000
MAX_FLAT_BYTES = 4 * 1024**3
"""Of the float32 array of one file; a longer run is not read into memory."""
_TAGS = tags.IMAGE_TAGS | {IMAGER_PIXEL_SPACING}
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def read_flat_instance(path: str | Path) -> Instance:
    """Read the facts of one image file that need not say where it lies; pixels are not touched.

    Returns
    -------
    Instance
        Frames k = 0, 1, … lie at (0, 0, k x thickness), which is made up.

    Raises
    ------
    RefusedFileError
        If the file is no image of one quantity; the reason says which.
    """
    header = read_header(path, _TAGS)
    remarks = list(header.walked.remarks)
    try:
        _refuse(header)
        pixels = pixel_format(header, remarks)
        frames = _frames(header, remarks)
        location = locate(header, _facts(header, pixels, remarks), len(frames))
    except ValueError as error:
        raise RefusedFileError(header.path, str(error), header.text(tags.SERIES_INSTANCE_UID)) from None
    return Instance(
        path=header.path,
        sop_instance_uid=header.text(tags.SOP_INSTANCE_UID),
        instance_number=header.whole(tags.INSTANCE_NUMBER),
        facts=_facts(header, pixels, remarks),
        frames=frames,
        location=location,
        remarks=tuple(remarks),
    )


def read_flat(path: str | Path) -> Volume:
    """The frames of one such file as a volume, in the order of the file.

    MONOCHROME1, which is meant to be shown inverted, is turned, so that in every file the same
    things are bright.

    Returns
    -------
    Volume
        Rescaled values, float32 of shape (frames, rows, columns); its warnings say what was made up.

    Raises
    ------
    RefusedFileError
        If the file is no image of one quantity.
    DecodingError
        If a frame cannot be decoded, or the run is too long for memory.
    """
    instance = read_flat_instance(path)
    shape = (len(instance.frames), instance.pixels.rows, instance.pixels.columns)
    if np.prod(shape, dtype=np.int64) * 4 > MAX_FLAT_BYTES:
        msg = (
            f"{os.fspath(path)}: {shape[0]} frames of {shape[1]} x {shape[2]} do not fit in memory; use a shorter run."
        )
        raise DecodingError(msg)
    voxels = np.empty(shape, np.float32)
    for k in range(shape[0]):
        read_slice(instance, k + 1, voxels[k])
    warnings = ["The image states no place in space: its frames are in the order of the file."]
    warnings += [f"{remark[0].upper()}{remark[1:]}." for remark in instance.remarks]
    if header_photometric(path) == "MONOCHROME1":
        frame = instance.frames[0]
        low, high = (frame.slope * stored + frame.intercept for stored in _stored_range(instance))
        np.subtract(np.float32(low + high), voxels, out=voxels)
        warnings.append("MONOCHROME1 (meant to be shown inverted) was turned, so that high values are bright.")
    frame = instance.frames[0]
    positions = np.array([one.position for one in instance.frames])
    geometry = StackGeometry(_AXIAL[:3], _AXIAL[3:], frame.spacing, positions, frame.thickness or 1.0)
    return Volume(
        voxels,
        geometry,
        instance.facts.identity,
        (instance.sop_instance_uid,) * shape[0],
        tuple(range(1, shape[0] + 1)),
        warnings=tuple(warnings),
    )


def header_photometric(path: str | Path) -> str:
    """Photometric Interpretation of a file; empty where absent."""
    wanted = {tags.PHOTOMETRIC_INTERPRETATION}
    return read_header(path, wanted, tags.PHOTOMETRIC_INTERPRETATION >> 16).text(tags.PHOTOMETRIC_INTERPRETATION)


def _refuse(header: Header) -> None:
    modality = header.text(tags.MODALITY)
    reason = ""
    if header.text(tags.SOP_CLASS_UID).startswith("1.2.840.10008.1.3.10"):
        reason = "it is a DICOMDIR, an index of other files"
    elif modality in NO_IMAGES:
        reason = f"it is a {modality} {NO_IMAGE}"
    elif not header.walked.pixel_tag:
        reason = "it has no pixel data"
    elif header.walked.pixel_tag != tags.PIXEL_DATA:
        reason = "its pixels are floating-point numbers, which are not supported"
    elif header.integer(tags.SAMPLES_PER_PIXEL, 1) != 1 or header.text(tags.PHOTOMETRIC_INTERPRETATION) not in (
        "",
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        reason = "it is a colour image"
    elif tags.MODALITY_LUT_SEQUENCE in header:
        reason = "its values go through a look-up table, which is not supported"
    if reason:
        raise ValueError(reason)


def _facts(header: Header, pixels: object, remarks: list[str]) -> Facts:
    syntax = header.walked.transfer_syntax
    return Facts(
        identity=read_identity(header),
        transfer_syntax=syntax,
        image_type=tuple(header.texts(tags.IMAGE_TYPE)),
        acquisition_number=header.whole(tags.ACQUISITION_NUMBER),
        pixels=pixels,
        frame=None,
        padding=None,
        is_lossy=syntax in LOSSY or header.text(tags.LOSSY_IMAGE_COMPRESSION) == "01",
        remarks=tuple(remarks),
    )


def _frames(header: Header, remarks: list[str]) -> tuple[Frame, ...]:
    counts = header.numbers(tags.NUMBER_OF_FRAMES) or [1.0]
    if not 1 <= counts[0] <= MAX_FRAMES:
        msg = f"its number of frames is {header.text(tags.NUMBER_OF_FRAMES)[:16]!r}"
        raise ValueError(msg)
    spacing = header.numbers(tags.PIXEL_SPACING) or header.numbers(IMAGER_PIXEL_SPACING)
    if not spacing or len(spacing) < 2 or not all(1e-4 < value < 1e3 for value in spacing[:2]):
        remarks.append("no pixel spacing: taken as 1 mm")
        spacing = [1.0, 1.0]
    slope, intercept = _number(header, tags.RESCALE_SLOPE, 1.0), _number(header, tags.RESCALE_INTERCEPT, 0.0)
    thickness = _number(header, tags.SLICE_THICKNESS, 1.0)
    thickness = thickness if 0 < thickness < 1e3 else 1.0
    plane = Frame((0.0, 0.0, 0.0), _AXIAL, (spacing[0], spacing[1]), thickness, slope or 1.0, intercept, ())
    return tuple(plane.at((0.0, 0.0, k * thickness)) for k in range(int(counts[0])))


def _number(header: Header, tag: int, default: float) -> float:
    values = header.numbers(tag)
    if not values:
        return default
    if not abs(values[0]) < MAX_RESCALE:
        msg = f"its {tags.name(tag)} of {values[0]:g} cannot be right"
        raise ValueError(msg)
    return values[0]


def _stored_range(instance: Instance) -> tuple[int, int]:
    bits = instance.pixels.bits_stored
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if instance.pixels.signed else (0, (1 << bits) - 1)
