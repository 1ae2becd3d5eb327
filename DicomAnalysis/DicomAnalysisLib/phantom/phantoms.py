"""The two phantoms: a head in its holder, a trunk on its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.uid import generate_uid

from ..volume import SeriesIdentity, Volume
from .body import body_parts
from .head import head_parts
from .render import Part, expose, paint, stack_geometry

ROLES = ("patient", "headrest", "metal")


@dataclass(frozen=True, eq=False)
class Phantom:
    """A CT volume and what each of its voxels is.

    Attributes
    ----------
    volume : Volume
        HU, int16, as a scanner would have acquired it.
    patient, headrest, metal : array of bool, shape (k, j, i)
        Whether a voxel's centre lies in the patient (cavities included), in the holder or
        table with its foam and pads, or in metal. Taken before blur and noise. Patient and
        headrest exclude each other; metal lies inside the patient.
    """

    volume: Volume
    patient: np.ndarray
    headrest: np.ndarray
    metal: np.ndarray


def make_head_phantom(
    shape: tuple[int, int, int] = (60, 256, 256),
    spacing: tuple[float, float, float] = (2.5, 0.9, 0.9),
    seed: int = 0,
    tilt_degrees: float = 0.0,
    contact: bool = True,
    metal: bool = True,
    noise_hu: float = 9.0,
    padding_hu: int | None = None,
    ears_touch: bool = False,
) -> Phantom:
    """CT of a head in a U-shaped holder.

    Parameters
    ----------
    shape : tuple of int
        (slices, rows, columns). 150 mm along z and 230 mm in plane hold all of it.
    spacing : tuple of float
        mm between slices along their normal, between rows, between columns.
    seed : int
        Varies size and turn of the head slightly, and the noise.
    tilt_degrees : float
        Gantry tilt about the x axis.
    contact : bool
        Whether the head presses on the pad on some of the slices, or lies free of it on all.
    metal : bool
        Whether there are a dental filling and a screw in the skull.
    noise_hu : float
        Standard deviation of the noise in soft tissue.
    padding_hu : int, optional
        Value outside the circular field of view, for example -2000 or -3024.
    ears_touch : bool
        Whether the ears press on the holder's walls.

    Returns
    -------
    Phantom
    """
    rng = np.random.default_rng(seed)
    parts = head_parts(rng, contact=contact, ears_touch=ears_touch, metal=metal)
    geometry = stack_geometry(shape, spacing, (1.5, 13.0, 0.0), tilt_degrees)
    name = f"head/{shape}/{spacing}/{seed}/{tilt_degrees}/{contact}/{metal}/{noise_hu}/{padding_hu}/{ears_touch}"
    return _expose(parts, geometry, shape, rng, noise_hu, padding_hu, name, "Head phantom", "HEAD")


def make_body_phantom(
    shape: tuple[int, int, int] = (60, 256, 256),
    spacing: tuple[float, float, float] = (5.0, 1.9, 1.9),
    seed: int = 0,
    tilt_degrees: float = 0.0,
    contact: bool = True,
    metal: bool = False,
    noise_hu: float = 14.0,
    padding_hu: int | None = None,
) -> Phantom:
    """CT of chest and upper abdomen, arms beside the trunk, on a curved table with a mattress.

    Parameters are those of `make_head_phantom`; `metal` puts wires in the sternum and two
    screws in a vertebra. 300 mm along z and 480 mm in plane hold all of it.
    """
    rng = np.random.default_rng(seed)
    parts = body_parts(rng, contact=contact, metal=metal)
    geometry = stack_geometry(shape, spacing, (2.0, 25.0, 0.0), tilt_degrees)
    name = f"body/{shape}/{spacing}/{seed}/{tilt_degrees}/{contact}/{metal}/{noise_hu}/{padding_hu}"
    return _expose(parts, geometry, shape, rng, noise_hu, padding_hu, name, "Body phantom", "CHEST")


def _expose(
    parts: Sequence[Part],
    geometry: object,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    noise_hu: float,
    padding_hu: int | None,
    name: str,
    description: str,
    body_part: str,
) -> Phantom:
    painting = paint(parts, geometry, shape[1:], ROLES)
    voxels = expose(painting, geometry, rng, noise_hu=noise_hu, padding_hu=padding_hu)
    patient, headrest, metal = (painting.masks[role] for role in ROLES)
    patient |= metal
    headrest &= ~patient
    if padding_hu is not None:
        seen = voxels != padding_hu
        patient, headrest, metal = patient & seen, headrest & seen, metal & seen

    def uid(what: object) -> str:
        return generate_uid(entropy_srcs=["DicomAnalysis phantom", name, str(what)])

    identity = SeriesIdentity(
        series_uid=uid("series"),
        study_uid=uid("study"),
        patient_id="PHANTOM",
        frame_of_reference_uid=uid("frame of reference"),
        series_description=description,
        body_part=body_part,
        patient_position="HFS",
    )
    volume = Volume(
        voxels,
        geometry,
        identity,
        sop_instance_uids=tuple(uid(k) for k in range(len(voxels))),
        frame_numbers=(1,) * len(voxels),
        padding_values=() if padding_hu is None else (float(padding_hu),),
    )
    return Phantom(volume, patient, headrest, metal)
