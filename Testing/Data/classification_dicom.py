"""The generated cohorts as DICOM with a ``labels.csv``: the way a user's cohort comes.

Training cases carry the nuisance in their headers, too, where a scanner would write it. One folder may hold several
cohorts of other seeds: `write_*` returns the rows of labels, `write_labels` writes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cohort_breast
import cohort_chest
import cohort_vessels
import numpy as np
from classification_cohorts import MadeCohort, write_labels
from dicom_slices import ct_slice
from flat_images import write_flat
from pydicom.uid import generate_uid

MULTI_FRAME_WORD = "1.2.840.10008.5.1.4.1.1.7.3"


def write_chest_dicom(
    folder: Path, count: int = 12, seed: int = 0, planted: bool = True, prevalence: float = 0.5, cohort: Any = None
) -> Path:
    """A CT series of a file a slice for each patient; labelled by series.

    Returns
    -------
    Path
        Of ``labels.csv``, columns series_uid, patient_id and finding.
    """
    cohort = cohort or cohort_chest.make_chest(count, seed, planted, prevalence)
    return write_labels(folder, ["series_uid", "patient_id", "finding"], chest_rows(folder, cohort))


def chest_rows(folder: Path, cohort: MadeCohort) -> list[list[object]]:
    """Write the series; the rows of their labels."""
    dz, dy, dx = cohort_chest.SPACING_MM
    rows = []
    for n, patient in enumerate(cohort.patients):
        volume, height = cohort.arrays[n, 0], float(cohort.truth["table_height_mm"][n])
        place = folder / patient
        place.mkdir(parents=True, exist_ok=True)
        extent = np.array(volume.shape[:0:-1]) * (dx, dy)
        common = {
            **_identity(patient),
            "FrameOfReferenceUID": generate_uid(entropy_srcs=[patient, "frame"]),
            "BodyPartExamined": "CHEST",
            "PixelSpacing": [dy, dx],
            "SliceThickness": dz,
            "TableHeight": f"{height:.1f}",
            "KVP": 120,
        }
        for k, pixels in enumerate(volume):
            position = [-extent[0] / 2, -extent[1] / 2, k * dz]
            uid = generate_uid(entropy_srcs=[patient, "instance", str(k)])
            instance = ct_slice(pixels, k + 1, ImagePositionPatient=position, SOPInstanceUID=uid, **common)
            instance.save_as(place / f"{k:03d}.dcm", enforce_file_format=True)
        rows.append([common["SeriesInstanceUID"], patient, cohort_chest.CLASSES[cohort.labels["finding"][n]]])
    return rows


def write_breast_dicom(
    folder: Path, count: int = 12, seed: int = 0, planted: bool = True, prevalence: float = 0.25, cohort: Any = None
) -> Path:
    """One multi-frame MG file for each patient; labelled by patient.

    Returns
    -------
    Path
        Of ``labels.csv``, columns patient_id and lesion.
    """
    cohort = cohort or cohort_breast.make_breast(count, seed, planted, prevalence)
    return write_labels(folder, ["patient_id", "lesion"], breast_rows(folder, cohort))


def breast_rows(folder: Path, cohort: MadeCohort) -> list[list[object]]:
    """Write the files; the rows of their labels."""
    dz, dy, dx = cohort_breast.SPACING_MM
    rows = []
    for n, patient in enumerate(cohort.patients):
        write_flat(
            folder / f"{patient}.dcm",
            cohort.arrays[n, 0].astype(np.uint16),
            "MG",
            **_identity(patient),
            SOPClassUID=MULTI_FRAME_WORD,
            SOPInstanceUID=generate_uid(entropy_srcs=[patient, "instance"]),
            PixelSpacing=[dy, dx],
            ImagerPixelSpacing=None,
            SliceThickness=dz,
            BodyPartExamined="BREAST",
        )
        rows.append([patient, cohort_breast.CLASSES[cohort.labels["lesion"][n]]])
    return rows


def write_vessels_dicom(
    folder: Path, count: int = 12, seed: int = 0, planted: bool = True, prevalence: float = 0.5, cohort: Any = None
) -> Path:
    """One XA file for each view that is there; labelled by study.

    Returns
    -------
    Path
        Of ``labels.csv``, columns study_uid, aneurysm, and one of 0 and 1 for each place.
    """
    cohort = cohort or cohort_vessels.make_vessels(count, seed, planted, prevalence)
    columns = ["study_uid", "aneurysm", *cohort_vessels.PLACES]
    return write_labels(folder, columns, vessel_rows(folder, cohort))


def vessel_rows(folder: Path, cohort: MadeCohort) -> list[list[object]]:
    """Write the views; the rows of their labels."""
    rows = []
    for n, patient in enumerate(cohort.patients):
        identity = _identity(patient)
        for v in np.flatnonzero(cohort.truth["present"][n]):
            primary, secondary = cohort_vessels.ANGLES[v]
            write_flat(
                folder / patient / f"{v}.dcm",
                cohort.arrays[n, v].astype(np.uint16),
                "XA",
                **identity
                | {
                    "SeriesInstanceUID": generate_uid(entropy_srcs=[patient, "series", str(v)]),
                    "SOPInstanceUID": generate_uid(entropy_srcs=[patient, "instance", str(v)]),
                },
                PositionerPrimaryAngle=primary,
                PositionerSecondaryAngle=secondary,
                BodyPartExamined="HEAD",
            )
        label = cohort_vessels.CLASSES[cohort.labels["aneurysm"][n]]
        rows.append([identity["StudyInstanceUID"], label, *cohort.labels["place"][n].tolist()])
    return rows


def _identity(patient: str) -> dict[str, object]:
    return {
        "PatientID": patient,
        "StudyInstanceUID": generate_uid(entropy_srcs=[patient, "study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=[patient, "series"]),
    }
