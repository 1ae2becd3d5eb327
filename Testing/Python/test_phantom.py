"""The phantom: repeatable, true to its masks, and valid DICOM that other readers agree on."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import series_variants
import SimpleITK as sitk
from DicomAnalysisLib.errors import OutputError
from DicomAnalysisLib.phantom import Phantom, make_body_phantom, make_head_phantom, write_dicom_series
from DicomAnalysisLib.phantom.shapes import box, ellipsoid, rod
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from scipy import ndimage

SMALL = {"shape": (24, 96, 96), "spacing": (6.25, 2.4, 2.4)}
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


@pytest.fixture(scope="module")
def head() -> Phantom:
    return make_head_phantom()


@pytest.fixture(scope="module")
def small() -> Phantom:
    return make_head_phantom(**SMALL)


@pytest.fixture(scope="module")
def body() -> Phantom:
    return make_body_phantom(shape=(60, 128, 128), spacing=(5.0, 3.8, 3.8), metal=True)


def test_same_arguments_give_the_same_voxels_and_identifiers(small: Phantom) -> None:
    again = make_head_phantom(**SMALL)
    assert np.array_equal(again.volume.voxels, small.volume.voxels)
    assert again.volume.identity == small.volume.identity
    assert again.volume.sop_instance_uids == small.volume.sop_instance_uids


def test_another_seed_gives_another_head(small: Phantom) -> None:
    other = make_head_phantom(**SMALL, seed=1)
    assert (other.patient != small.patient).sum() > 100
    assert other.volume.identity.series_uid != small.volume.identity.series_uid


@pytest.mark.parametrize("name", ["head", "body"])
def test_masks_agree_with_one_another(name: str, request: pytest.FixtureRequest) -> None:
    phantom = request.getfixturevalue(name)
    assert phantom.volume.voxels.dtype == np.int16
    for mask in (phantom.patient, phantom.headrest, phantom.metal):
        assert mask.dtype == bool
        assert mask.shape == phantom.volume.shape
        assert mask.any()
    assert not (phantom.patient & phantom.headrest).any()
    assert not (phantom.metal & ~phantom.patient).any()


def test_what_is_nothing_is_air(head: Phantom) -> None:
    nothing = ndimage.binary_erosion(~(head.patient | head.headrest), iterations=4)
    values = head.volume.voxels[nothing]
    assert abs(values.mean() + 1000) < 2
    # Streaks cross the air; nothing else does.
    assert (values > -900).mean() < 0.005


def test_densities_are_those_of_a_head(head: Phantom) -> None:
    hu = head.volume.voxels
    assert hu.max() == 3071, "the filling is clipped as by a 12-bit scanner"
    deep = ndimage.binary_erosion(head.patient, iterations=12)
    assert 25 < np.median(hu[deep & (hu > -50) & (hu < 100)]) < 65
    near_metal = ndimage.binary_dilation(head.metal, iterations=4)
    teeth = hu[head.patient & ~near_metal]
    assert 1900 < teeth.max() < 2700, "enamel is dense, but no metal"
    support = hu[ndimage.binary_erosion(head.headrest, iterations=1)]
    assert (support < -600).mean() > 0.5, "foam"
    assert (support > -300).mean() > 0.02, "carbon fibre"


def test_metal_stands_where_it_was_put(head: Phantom) -> None:
    hu, (filling, screw) = head.volume.voxels, _metal_centers(head)
    assert np.median(hu[head.metal]) > 2500
    assert filling[0] < -15, "the filling is on the right"
    assert filling[1] < -20, "and in front"
    assert screw[0] > 30, "the screw is on the left"
    assert screw[2] > 20, "and high up"
    assert filling[2] < -30


def _metal_centers(phantom: Phantom) -> list[np.ndarray]:
    pieces, count = ndimage.label(phantom.metal, np.ones((3, 3, 3)))
    assert count == 2
    centers = ndimage.center_of_mass(phantom.metal, pieces, [1, 2])
    return sorted((phantom.volume.geometry.index_to_lps(np.array(c[::-1])) for c in centers), key=lambda p: p[2])


def test_holder_touches_the_head_on_some_slices_only(head: Phantom) -> None:
    touching = (ndimage.binary_dilation(head.patient, _cross_in_plane()) & head.headrest).any(axis=(1, 2))
    assert 8 <= touching.sum() <= 30
    assert head.headrest.any(axis=(1, 2)).all(), "there is holder or table on every slice"
    free = make_head_phantom(**SMALL, contact=False)
    assert not (ndimage.binary_dilation(free.patient, _cross_in_plane()) & free.headrest).any()


def _cross_in_plane() -> np.ndarray:
    return ndimage.generate_binary_structure(2, 1)[None]


def test_every_flip_shows(head: Phantom) -> None:
    for mask in (head.patient, head.headrest, head.metal):
        for axis in range(3):
            assert (np.flip(mask, axis) != mask).sum() > 0.05 * mask.sum()


def test_without_metal_nothing_is_denser_than_teeth() -> None:
    phantom = make_head_phantom(**SMALL, metal=False)
    assert not phantom.metal.any()
    assert phantom.volume.voxels.max() < 2700


def test_padding_lies_outside_the_field_of_view() -> None:
    phantom = make_head_phantom(**SMALL, padding_hu=-2000)
    padding = phantom.volume.voxels == -2000
    assert phantom.volume.padding_values == (-2000.0,)
    assert 0.1 < padding.mean() < 0.3
    assert np.array_equal(phantom.volume.padding_mask(3), padding[3])
    assert not (padding & (phantom.patient | phantom.headrest | phantom.metal)).any()


def test_ears_belong_to_the_head_and_touch_the_holder_when_asked_to() -> None:
    phantom = make_head_phantom(shape=(30, 256, 256), spacing=(5.0, 0.9, 0.9), ears_touch=True)
    _pieces, count = ndimage.label(phantom.patient)
    assert count == 1
    touching = ndimage.binary_dilation(phantom.headrest, _cross_in_plane()) & phantom.patient
    assert np.flatnonzero(touching.any(axis=(0, 1))).min() < 60


def test_tilt_moves_the_slices_not_the_head(small: Phantom) -> None:
    tilted = make_head_phantom(**SMALL, tilt_degrees=18.0)
    geometry = tilted.volume.geometry
    assert geometry.tilt_degrees == pytest.approx(18.0, abs=1e-3)
    assert geometry.slice_spacing == pytest.approx(SMALL["spacing"][0], abs=1e-3)
    for straight, oblique in zip(_metal_centers(small), _metal_centers(tilted), strict=True):
        assert np.abs(straight - oblique).max() < 4.0


def test_body_lies_on_its_table_with_the_arms_beside_it(body: Phantom) -> None:
    columns = np.flatnonzero(body.patient.any(axis=(0, 1)))
    x = body.volume.geometry.index_to_lps(np.stack([columns, columns * 0, columns * 0], axis=1))[:, 0]
    assert x[0] < -200, "right arm"
    assert x[-1] > 200, "left arm"
    assert body.headrest.any(axis=(1, 2)).all()
    assert (ndimage.binary_dilation(body.patient, _cross_in_plane()) & body.headrest).any()
    free = make_body_phantom(shape=(6, 128, 128), spacing=(50.0, 3.8, 3.8), contact=False)
    assert not (ndimage.binary_dilation(free.patient, _cross_in_plane()) & free.headrest).any()
    lungs = (body.volume.voxels < -700) & body.patient
    assert lungs.mean() > 0.02


def test_shapes_measure_distances() -> None:
    zero = np.zeros(1, np.float32)
    assert box((0, 0, 0), (1, 2, 3)).distance(zero + 4, zero, zero)[0] == pytest.approx(3)
    assert ellipsoid((1, 0, 0), (5, 5, 5)).distance(zero, zero, zero)[0] == pytest.approx(-4)
    assert rod((0, 0, 0), (0, 0, 9), 2).distance(zero, zero + 5, zero + 3)[0] == pytest.approx(3)
    turned = box((10, 0, 0), (1, 2, 3)).turned(90)
    assert turned.distance(zero, zero + 10, zero)[0] == pytest.approx(-1)
    assert turned.low == pytest.approx([-2, 9, -3])
    mirrored = box((10, 0, 0), (1, 2, 3)).mirrored()
    assert mirrored.distance(zero - 10, zero, zero)[0] == pytest.approx(-1)
    assert (mirrored.low[0], mirrored.high[0]) == (-11, -9)


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless])
def test_series_reads_back_in_every_transfer_syntax(syntax: str, small: Phantom, tmp_path) -> None:
    files = write_dicom_series(small.volume, tmp_path, transfer_syntax=syntax)
    for k in (0, 11, 23):
        instance = pydicom.dcmread(files[k])
        assert instance.file_meta.TransferSyntaxUID == syntax
        hu = instance.pixel_array * float(instance.RescaleSlope) + float(instance.RescaleIntercept)
        assert np.array_equal(hu, small.volume.voxels[k])
        assert instance.SOPInstanceUID == small.volume.sop_instance_uids[k]
        assert np.allclose(instance.ImagePositionPatient, small.volume.geometry.positions[k], atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"padding_hu": -3024}])
def test_simpleitk_finds_the_same_voxels_in_the_same_place(options: dict, tmp_path) -> None:
    volume = make_head_phantom(**SMALL, **options).volume
    write_dicom_series(volume, tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.voxels)
    index = (95, 3, 20)
    ours = volume.geometry.index_to_lps(np.array(index))
    assert np.allclose(image.TransformIndexToPhysicalPoint(index), ours, atol=0.01)


def test_same_volume_gives_the_same_bytes(small: Phantom, tmp_path) -> None:
    first = write_dicom_series(small.volume, tmp_path / "a")
    second = write_dicom_series(small.volume, tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_a_series_uid_of_ones_own_gives_new_instances(small: Phantom, tmp_path) -> None:
    files = write_dicom_series(small.volume, tmp_path, series_uid="1.2.3", description="again")
    instance = pydicom.dcmread(files[0])
    assert (instance.SeriesInstanceUID, instance.SeriesDescription) == ("1.2.3", "again")
    assert instance.SOPInstanceUID not in small.volume.sop_instance_uids


def test_values_that_do_not_fit_are_refused(small: Phantom, tmp_path) -> None:
    with pytest.raises(OutputError, match="fractions"):
        write_dicom_series(small.volume.with_voxels(small.volume.voxels + np.float32(0.5)), tmp_path)
    with pytest.raises(OutputError, match="16 bits"):
        write_dicom_series(small.volume.with_voxels(small.volume.voxels.astype(np.int32) + 80_000), tmp_path)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian package dicom3tools)")
@pytest.mark.parametrize("options", [{}, {"padding_hu": -2000, "tilt_degrees": -15.0}])
def test_instances_conform_to_the_standard(options: dict, tmp_path) -> None:
    phantom = make_head_phantom(shape=(3, 64, 64), spacing=(40.0, 3.6, 3.6), **options)
    for syntax in (ExplicitVRLittleEndian, RLELossless):
        for path in write_dicom_series(phantom.volume, tmp_path, transfer_syntax=syntax):
            report = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
            assert "Error" not in report.stdout + report.stderr
            assert "Warning" not in report.stdout + report.stderr


VARIANTS = {
    "plain": 12,
    "shuffled": 12,
    "missing_slice": 11,
    "exact_duplicates": 14,
    "near_duplicates": 24,
    "uneven": 8,
    "tilted": 12,
    "padded": 12,
    "single_slice": 1,
    "mixed": 15,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_hold_what_they_say(name: str, tmp_path) -> None:
    case = getattr(series_variants, name)(tmp_path)
    files = [p for p in tmp_path.iterdir() if p.suffix != ".txt" and p.stat().st_size]
    assert len(files) == VARIANTS[name]
    by_uid = {}
    for path in files:
        instance = pydicom.dcmread(path)
        assert instance.SeriesInstanceUID == case.series_uid
        by_uid[instance.SOPInstanceUID] = instance
    for k, slice_ in enumerate(case.slices):
        instance = by_uid[case.phantom.volume.sop_instance_uids[slice_]]
        assert np.array_equal(instance.pixel_array.astype(int) - 1024, case.hu[k])
        assert np.allclose(instance.ImagePositionPatient, case.positions[k], atol=1e-4)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_variants_read_in_simpleitk(syntax: str, tmp_path) -> None:
    case = series_variants.compressed(tmp_path, syntax)
    image = sitk.ReadImage(str(tmp_path / "0004.dcm"))
    assert np.array_equal(sitk.GetArrayFromImage(image)[0], case.hu[3])


def test_multiframe_variant_holds_every_slice(tmp_path) -> None:
    case = series_variants.multiframe(tmp_path)
    instance = pydicom.dcmread(tmp_path / "multiframe.dcm")
    assert int(instance.NumberOfFrames) == len(case.slices)
    positions = [f.PlanePositionSequence[0].ImagePositionPatient for f in instance.PerFrameFunctionalGroupsSequence]
    order = np.argsort([p[2] for p in positions])
    assert np.array_equal(instance.pixel_array[order].astype(int) - 1024, case.hu)
