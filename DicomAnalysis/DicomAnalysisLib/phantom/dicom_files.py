"""Volumes as CT Image Storage instances (PS3.3 A.3), one file a slice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid
from pydicom.valuerep import format_number_as_ds

from ..errors import OutputError
from ..volume import SeriesIdentity, Volume

INTERCEPT = -1024


def write_dicom_series(
    volume: Volume,
    folder: Path | str,
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    description: str | None = None,
    series_uid: str | None = None,
    series_number: int = 2,
) -> list[Path]:
    """Write a volume as a CT series.

    Parameters
    ----------
    volume : Volume
        Whole HU. Identity and UIDs are taken from it; what is missing is derived from the
        voxels, so that the same volume always gives the same files.
    folder : path
        Made when absent; files are called ``0001.dcm`` and so on, foot to head.
    transfer_syntax : str
        A native (uncompressed) transfer syntax, deflated, or RLE Lossless.
    description : str, optional
        Series Description in place of the volume's.
    series_uid : str, optional
        Series Instance UID in place of the volume's; SOP Instance UIDs follow from it.
    series_number : int

    Returns
    -------
    list of Path
        One file a slice, in the volume's order.

    Raises
    ------
    OutputError
        If the voxels are not whole numbers that 16 bits hold at an intercept of -1024.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stored, pixel = _stored_values(volume)
    paths = []
    for k in range(len(stored)):
        instance = _instance(volume, k, stored[k], pixel, description, series_uid, series_number)
        path = folder / f"{k + 1:04d}.dcm"
        _save(instance, path, UID(transfer_syntax))
        paths.append(path)
    return paths


def _stored_values(volume: Volume) -> tuple[np.ndarray, dict[str, object]]:
    """Stored values and the attributes of the Image Pixel module that describe them."""
    voxels = volume.voxels
    if not np.issubdtype(voxels.dtype, np.integer) and not np.array_equal(voxels, np.rint(voxels)):
        msg = "The volume has fractions of HU; only whole numbers can be written with a rescale slope of 1."
        raise OutputError(msg)
    low, high = int(voxels.min()) - INTERCEPT, int(voxels.max()) - INTERCEPT
    signed = low < 0
    limits = (-(2**15), 2**15 - 1) if signed else (0, 2**16 - 1)
    if low < limits[0] or high > limits[1]:
        msg = f"HU from {voxels.min()} to {voxels.max()} do not fit 16 bits with a rescale intercept of {INTERCEPT}."
        raise OutputError(msg)
    bits = 16 if signed or high > 4095 else 12
    stored = (voxels.astype(np.int32) - INTERCEPT).astype(np.int16 if signed else np.uint16)
    pixel = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(signed)}
    if volume.padding_values:
        pixel["PixelPaddingValue"] = int(volume.padding_values[0]) - INTERCEPT
    return stored, pixel


def _instance(
    volume: Volume,
    k: int,
    stored: np.ndarray,
    pixel: dict[str, object],
    description: str | None,
    series_uid: str | None,
    series_number: int,
) -> Dataset:
    identity, geometry = volume.identity, volume.geometry
    uids = _uids(volume, series_uid)
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = uids["instances"][k]
    _describe_patient_and_study(ds, identity, uids["study"])
    ds.Modality = identity.modality or "CT"
    ds.SeriesInstanceUID = uids["series"]
    ds.SeriesNumber = series_number
    ds.SeriesDescription = description if description is not None else identity.series_description
    ds.BodyPartExamined = identity.body_part or "HEAD"
    ds.PatientPosition = identity.patient_position or "HFS"
    ds.FrameOfReferenceUID = uids["frame"]
    ds.PositionReferenceIndicator = ""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AcquisitionNumber = 1
    ds.InstanceNumber = k + 1
    ds.KVP = 120
    ds.GantryDetectorTilt = _decimal(geometry.tilt_degrees)
    ds.ConvolutionKernel = "STANDARD"
    ds.SliceThickness = _decimal(geometry.slice_thickness)
    ds.SliceLocation = _decimal(geometry.distances[k])
    ds.ImagePositionPatient = [_decimal(v) for v in geometry.positions[k]]
    ds.ImageOrientationPatient = [_decimal(v) for v in (*geometry.row_direction, *geometry.column_direction)]
    ds.PixelSpacing = [_decimal(v) for v in geometry.pixel_spacing]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated = 16
    for keyword, value in pixel.items():
        setattr(ds, keyword, value)
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = (40, 400)
    ds.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _describe_patient_and_study(ds: Dataset, identity: SeriesIdentity, study_uid: str) -> None:
    ds.PatientName = "Phantom^Head" if identity.body_part in ("", "HEAD") else "Phantom^Body"
    ds.PatientID = identity.patient_id or "PHANTOM"
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.StudyInstanceUID = study_uid
    ds.StudyID = "1"
    ds.StudyDescription = "DicomAnalysis phantom"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.Manufacturer = "DicomAnalysis"
    ds.ManufacturerModelName = "Phantom"


def _uids(volume: Volume, series_uid: str | None) -> dict[str, object]:
    """UIDs of the volume, completed from its voxels where it has none."""
    identity = volume.identity
    digest = hashlib.sha256(volume.voxels.tobytes() + volume.geometry.positions.tobytes()).hexdigest()

    def uid(*what: object) -> str:
        return str(generate_uid(entropy_srcs=["DicomAnalysis", *(str(w) for w in what)]))

    series = series_uid or identity.series_uid or uid(digest, "series")
    instances = volume.sop_instance_uids
    if series_uid or not instances:
        instances = tuple(uid(series, k) for k in range(len(volume.voxels)))
    return {
        "series": series,
        "study": identity.study_uid or uid(digest, "study"),
        "frame": identity.frame_of_reference_uid or uid(digest, "frame of reference"),
        "instances": instances,
    }


def _decimal(value: float) -> str:
    """A number as a Decimal String of at most 16 characters."""
    return format_number_as_ds(float(value) + 0.0)


def _save(instance: Dataset, path: Path, syntax: UID) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = instance.SOPClassUID
    meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax.is_compressed else syntax
    meta.ImplementationVersionName = "DICOMANALYSIS"
    instance.file_meta = meta
    if syntax == RLELossless:
        instance.compress(syntax, generate_instance_uid=False)
    elif syntax.is_encapsulated:
        msg = f"Phantoms are written uncompressed, deflated or as RLE Lossless, not as {syntax.name}."
        raise OutputError(msg)
    elif not syntax.is_little_endian:
        instance.PixelData = np.frombuffer(instance.PixelData, "<u2").astype(">u2").tobytes()
    temporary = path.with_name(path.name + ".part")
    instance.save_as(temporary, enforce_file_format=True)
    temporary.replace(path)
