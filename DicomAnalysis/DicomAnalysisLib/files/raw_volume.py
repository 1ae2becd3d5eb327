"""A Volume as a raw array file beside a JSON header: what another process maps into its memory at once.

The array file holds the voxels as they are in memory (C order, (k, j, i), the machine's own
byte order) and nothing else. The header holds shape, type, geometry, identity and warnings; its
numbers are written so that reading gives back the very same floats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..errors import OutputError, SourceError
from ..volume import SeriesIdentity, StackGeometry, Volume
from .atomic import write_text
from .json_text import json_text

VOXELS, HEADER = "voxels.raw", "volume.json"
SLAB_BYTES = 32 * 2**20
"""Written at a time, so that a caller with a window to keep alive can look after it in between."""


def write_raw_volume(folder: Path | str, volume: Volume) -> Iterator[float]:
    """Write a volume, slab by slab; the header comes last.

    Parameters
    ----------
    folder : path
        Exists already.
    volume : Volume

    Yields
    ------
    float
        The share that is written, from 0 to 1. The voxels are not copied on the way to the file,
        so they must not change until the last one.

    Raises
    ------
    OutputError
        If the files cannot be written, for example because the disk is full.
    """
    folder = Path(folder)
    voxels = volume.voxels
    step = max(1, SLAB_BYTES // max(1, voxels[0].nbytes))
    try:
        with (folder / VOXELS).open("wb", buffering=0) as file:
            for start in range(0, len(voxels), step):
                # One plane at a time where they are counted backwards: each is contiguous, the whole is not.
                for plane in voxels[start : start + step]:
                    _write_all(file, np.ascontiguousarray(plane))
                yield min(1.0, (start + step) / len(voxels))
    except OSError as error:
        megabytes = voxels.nbytes / 1e6
        msg = (
            f"The volume ({megabytes:.0f} MB) cannot be written to the temporary folder {folder}: "
            f"{error.strerror or error}. Make room there, or choose another temporary folder."
        )
        raise OutputError(msg) from error
    write_text(folder / HEADER, json_text(_header(volume)))


def read_raw_volume(folder: Path | str) -> Volume:
    """The volume that `write_raw_volume` wrote; its voxels are mapped from the file, not read.

    Raises
    ------
    SourceError
        If the files are not there or do not fit together.
    """
    folder = Path(folder)
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        voxels = np.memmap(folder / VOXELS, np.dtype(header["dtype"]), "r", shape=tuple(header["shape"]))
        geometry = header["geometry"]
        return Volume(
            voxels=voxels.view(np.ndarray),
            geometry=StackGeometry(**{**geometry, "pixel_spacing": tuple(geometry["pixel_spacing"])}),
            identity=SeriesIdentity(**header["identity"]),
            sop_instance_uids=tuple(header["sop_instance_uids"]),
            frame_numbers=tuple(header["frame_numbers"]),
            padding_values=tuple(header["padding_values"]),
            warnings=tuple(header["warnings"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"The volume handed over in {folder} cannot be read ({type(error).__name__}); start the task again."
        raise SourceError(msg) from error


def _write_all(file: object, plane: np.ndarray) -> None:
    """An unbuffered file may take less than it is given."""
    view = memoryview(plane).cast("B")
    while len(view):
        view = view[file.write(view) :]


def _header(volume: Volume) -> dict[str, object]:
    geometry = volume.geometry
    return {
        "dtype": volume.voxels.dtype.str,
        "shape": volume.shape,
        "geometry": {
            "row_direction": geometry.row_direction,
            "column_direction": geometry.column_direction,
            "pixel_spacing": geometry.pixel_spacing,
            "positions": geometry.positions,
            "slice_thickness": geometry.slice_thickness,
        },
        "identity": asdict(volume.identity),
        "sop_instance_uids": volume.sop_instance_uids,
        "frame_numbers": volume.frame_numbers,
        "padding_values": volume.padding_values,
        "warnings": volume.warnings,
    }
