"""Cohorts of many tiny series, made fast: one file each, of one patient in three, cut from one template."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from dicom_slices import ct_slice
from pydicom.dataset import Dataset

MATRIX = 12
_SERIES, _PATIENT, _NUMBER = "1.2.826.0.1.8.1{:08d}", "PAT-{:08d}", 99_999_999
SCANNERS = ("SCANNER_A", "SCANNER_B")


def series_uid(number: int) -> str:
    """Series Instance UID of a series."""
    return _SERIES.format(number)


def patient_id(number: int) -> str:
    """Patient ID of a series: three series in a row are of one patient."""
    return _PATIENT.format(number // 3)


def write_cohort(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Write series of one slice each: a disc of 40 to 60 HU in air, of a size that is the series' own.

    Every file has a patient's name, birth date and study date, which no table may repeat.
    """
    template = _template()
    pixels = MATRIX * MATRIX * 2
    paths = []
    for number in range(first, first + count):
        sub = folder / f"{number // 1000:04d}"
        sub.mkdir(parents=True, exist_ok=True)
        head = template[:-pixels]
        for pattern, value in (
            (_SERIES.format(_NUMBER), series_uid(number)),
            (_PATIENT.format(_NUMBER), patient_id(number)),
            ("SCANNER_X", SCANNERS[number % 2]),
        ):
            head = head.replace(pattern.encode(), value.encode())
        path = sub / f"{number:08d}.dcm"
        path.write_bytes(head + _disc(number).tobytes())
        paths.append(path)
    return paths


def write_giant(folder: Path, number: int, edge: int) -> Path:
    """A series of one slice of `edge` x `edge` pixels, all 0: a sparse file, which takes no space."""
    dataset = _dataset(np.zeros((1, 1), np.int16))
    dataset.Rows = dataset.Columns = edge
    dataset.PixelSpacing = [0.3, 0.3]
    dataset.SeriesInstanceUID, dataset.PatientID = series_uid(number), patient_id(number)
    size = edge * edge * 2
    dataset.PixelData = b"PIXELS!!"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    head = buffer.getvalue().removesuffix(b"PIXELS!!")
    path = folder / f"giant-{number}.dcm"
    with path.open("wb") as file:
        file.write(head[:-4] + size.to_bytes(4, "little"))
        file.truncate(len(head) + size)
    return path


def _template() -> bytes:
    buffer = io.BytesIO()
    _dataset(np.zeros((MATRIX, MATRIX), np.int16)).save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    assert data.endswith(b"\0" * MATRIX * MATRIX * 2)
    return data


def _dataset(stored: np.ndarray) -> Dataset:
    dataset = ct_slice(
        stored,
        SOPInstanceUID=_SERIES.format(_NUMBER) + ".1",
        SeriesInstanceUID=_SERIES.format(_NUMBER),
        StudyInstanceUID=_SERIES.format(_NUMBER) + ".2",
        PatientID=_PATIENT.format(_NUMBER),
        PatientName="SECRET^PERSON",
        PatientBirthDate="19510203",
        StudyDate="20210304",
        SeriesDescription="Scan of 20210304",
        StationName="SCANNER_X",
        Manufacturer="Maker",
        PixelSpacing=[4, 4],
        SliceThickness=4,
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = _SERIES.format(_NUMBER) + ".1"
    return dataset


def _disc(number: int) -> np.ndarray:
    y, x = np.mgrid[:MATRIX, :MATRIX] - (MATRIX - 1) / 2
    inside = np.hypot(y, x) < 2.5 + (number % 7) / 3
    return np.where(inside, 40 + number % 21, -1000).astype(np.int16)
