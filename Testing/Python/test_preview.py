"""Pictures: the right way up for every acquisition, in true proportions, without a name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from DicomAnalysisLib.reporting.info import describe
from DicomAnalysisLib.reporting.planes import acquired_view, plane_of, reformatted_view
from DicomAnalysisLib.reporting.plots import plot_slice_maximum
from DicomAnalysisLib.reporting.preview import choose_slices, draw_preview, write_preview
from DicomAnalysisLib.segmentation.result import Segment, SegmentationResult
from DicomAnalysisLib.segments import HEADREST, METAL
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from PIL import Image

SIZE_MM = np.array([120.0, 160.0, 200.0])
"""Extent of the test object in x, y and z: no two alike."""


def marked(points: np.ndarray) -> np.ndarray:
    """A field in LPS with a bright mark left, posterior and superior of the middle."""
    inside = (np.abs(points) <= SIZE_MM / 2).all(axis=-1)
    mark = (np.abs(points - np.array([40.0, 50.0, 60.0])) <= 12).all(axis=-1)
    return np.where(mark, 900, np.where(inside, 0, -1000)).astype(np.int16)


def acquire(row, column, spacing=(3.0, 2.5), gaps=5.0, tilt=0.0) -> Volume:
    """A volume of the field on slices of any orientation, large enough to hold the object."""
    row, column = np.array(row, float), np.array(column, float)
    normal = np.cross(row, column)
    step = normal + np.tan(np.radians(tilt)) * column
    along = np.arange(-120, 121, gaps) if np.isscalar(gaps) else np.cumsum(gaps) - np.sum(gaps) / 2
    shape = (len(along), int(300 / spacing[0]), int(300 / spacing[1]))
    corner = -(shape[2] - 1) / 2 * spacing[1] * row - (shape[1] - 1) / 2 * spacing[0] * column
    geometry = StackGeometry(row, column, spacing, corner + along[:, None] * step)
    k, j, i = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return Volume(marked(geometry.index_to_lps(np.stack([i, j, k], axis=-1))), geometry, SeriesIdentity("1.2.3"))


def result_of(volume: Volume) -> SegmentationResult:
    return SegmentationResult(
        ("headrest", "metal"),
        (Segment(HEADREST, np.zeros(volume.shape, bool)), Segment(METAL, volume.voxels > 500, {"volume_ml": 1.5})),
        500.0,
    )


ORIENTATIONS = {
    "axial": ([1, 0, 0], [0, 1, 0]),
    "axial, feet first": ([-1, 0, 0], [0, 1, 0]),
    "axial, prone": ([-1, 0, 0], [0, -1, 0]),
    "axial, rows front to back": ([0, 1, 0], [1, 0, 0]),
    "coronal": ([1, 0, 0], [0, 0, -1]),
    "coronal, upside down": ([1, 0, 0], [0, 0, 1]),
    "sagittal": ([0, 1, 0], [0, 0, -1]),
    "sagittal, from the right": ([0, -1, 0], [0, 0, -1]),
}


def quadrant_and_size(view, pixel_value=500):
    """Where the mark is (down, right) and the object's size in mm."""
    marks = np.argwhere(view.image > pixel_value)
    body = np.argwhere(view.image > -500)
    middle = body.mean(axis=0)
    size = (body.max(axis=0) - body.min(axis=0) + 1) * view.pixel_mm
    return np.sign(marks.mean(axis=0) - middle).tolist(), size


SCREEN = {
    "axial": ([1, 1], "RLAP", (1, 0)),
    "coronal": ([-1, 1], "RLSI", (2, 0)),
    "sagittal": ([-1, 1], "APSI", (2, 1)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_acquired_slices_stand_as_a_radiologist_expects(name):
    volume = acquire(*ORIENTATIONS[name])
    plane = plane_of(volume.geometry.normal)
    assert name.startswith(plane)
    quadrant, sides, axes = SCREEN[plane]
    with_mark = int(np.argmax((volume.voxels > 500).sum(axis=(1, 2))))
    view = acquired_view(volume, with_mark, [(METAL, volume.voxels > 500)])
    found, size = quadrant_and_size(view)
    assert found == quadrant
    assert view.sides == sides
    assert size == pytest.approx(SIZE_MM[list(axes)], abs=5)
    np.testing.assert_array_equal(view.masks[0][1], view.image > 500)


@pytest.mark.parametrize("plane", SCREEN)
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_reformats_stand_as_a_radiologist_expects(name, plane):
    volume = acquire(*ORIENTATIONS[name])
    view = reformatted_view(volume, plane, np.array([40.0, 50.0, 60.0]), [(METAL, volume.voxels > 500)])
    quadrant, sides, axes = SCREEN[plane]
    found, size = quadrant_and_size(view)
    assert found == quadrant
    assert view.sides == sides
    assert size == pytest.approx(SIZE_MM[list(axes)], abs=8)
    assert view.masks[0][1].sum() * np.prod(view.pixel_mm) == pytest.approx(24 * 24, rel=0.35)


@pytest.mark.parametrize("gaps", [4.0, [3.0, 7.0] * 26])
def test_tilted_and_uneven_stacks_are_not_skewed(gaps):
    tilted = acquire([1, 0, 0], [0, np.cos(0.3), np.sin(0.3)], gaps=gaps, tilt=-17.2)
    view = reformatted_view(tilted, "sagittal", np.zeros(3), [])
    inset = [int(8 / view.pixel_mm[0]), -int(8 / view.pixel_mm[0])]  # half the widest gap is blurred
    corners = view.image[np.ix_(*[np.flatnonzero((view.image > -500).any(axis=a))[inset] for a in (1, 0)])]
    assert (corners > -500).all(), "the box is upright, its corners are filled"
    assert quadrant_and_size(reformatted_view(tilted, "sagittal", np.array([40.0, 0, 0]), []))[1] == pytest.approx(
        SIZE_MM[[2, 1]], abs=9
    )


def test_slices_with_most_of_each_segment_are_shown():
    volume = acquire([1, 0, 0], [0, 1, 0])
    result = result_of(volume)
    chosen = choose_slices(volume, result)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 6
    assert int(np.argmax(result.segments[1].mask.sum(axis=(1, 2)))) in chosen


@pytest.mark.parametrize("slices", [1, 2, 3, 7])
def test_short_stacks_have_a_picture(tmp_path, slices):
    volume = acquire([1, 0, 0], [0, 1, 0])
    short = Volume(volume.voxels[30 : 30 + slices], volume.geometry.select(slice(30, 30 + slices)))
    write_preview(tmp_path / "p.png", short, result_of(short))
    picture = np.asarray(Image.open(tmp_path / "p.png"))
    assert picture.shape[0] > 800
    assert picture.std() > 10


def test_segments_are_drawn_in_their_colours_and_bytes_repeat(tmp_path):
    volume = acquire([1, 0, 0], [0, 1, 0])
    result = result_of(volume)
    picture = np.asarray(draw_preview(volume, result)).reshape(-1, 3)
    color = (np.array(METAL.color) * 255).astype(np.uint8)
    assert (picture == color).all(axis=1).sum() > 300
    for name in ("a.png", "b.png"):
        write_preview(tmp_path / name, volume, result)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_hostile_identifiers_are_drawn_harmlessly():
    volume = acquire([1, 0, 0], [0, 1, 0], gaps=40.0)
    odd = Volume(volume.voxels, volume.geometry, SeriesIdentity("../\x00\x1b[31m\ud800" + "é" * 500))
    assert draw_preview(odd, result_of(odd)).size[0] < 3000


def test_the_longest_identifier_fits_into_the_narrowest_picture():
    """64 digits, the most that DICOM allows, beside a single slice: cut off nowhere, written over nothing."""
    volume = acquire(*ORIENTATIONS["axial"], gaps=np.array([5.0]))
    named = replace(volume, identity=SeriesIdentity("8" * 64))
    plain, long = (np.asarray(draw_preview(v, result_of(v)).convert("L"), int) for v in (volume, named))
    rows, columns = np.nonzero(plain != long)
    assert (plain[:32, 200:] == plain[0, 0]).all(), "nothing else stands in the identifier's line"
    assert rows.max() < 32, "the line of facts below is as it was"
    assert columns.max() < plain.shape[1] - 8


def test_plot_of_slice_maxima(tmp_path):
    description = describe(acquire([1, 0, 0], [0, 1, 0])) | {"series_uid": "$x^2$ \ud800 <b>"}
    plot_slice_maximum(description, tmp_path / "plot.png")
    picture = Image.open(tmp_path / "plot.png")
    assert picture.size == (990, 462)
    assert np.asarray(picture.convert("L")).std() > 10
