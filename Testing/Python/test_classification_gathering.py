"""Which images are classified together: by their headers and names, whatever order they come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from DicomAnalysisLib.classification.finding import find_images
from DicomAnalysisLib.classification.gathering import gather_cases, view_of
from DicomAnalysisLib.classification.labels import CohortOptions, build_cohort
from DicomAnalysisLib.classification.views import ViewRule
from flat_images import picture, write_flat
from hypothesis import given, settings
from hypothesis import strategies as st

VIEWS = ("at 0", "at 30", "at 60")
RULES = tuple(ViewRule(name, primary=float(name.split()[1]), secondary=0.0) for name in VIEWS)


def write_angiogram(folder: Path, study: int, angle: int, name: str = "", frames: int = 1) -> str:
    """One run; its Series Instance UID."""
    uid = f"1.2.{study}.{angle}.{frames}"
    write_flat(
        folder / str(study) / f"{name or angle}.dcm",
        picture(study * 100 + angle + frames, (frames, 24, 20)),
        PatientID=f"P{study}",
        StudyInstanceUID=f"1.2.{study}",
        SeriesInstanceUID=uid,
        PositionerPrimaryAngle=angle,
        PositionerSecondaryAngle=0,
    )
    return uid


@pytest.fixture(scope="module")
def angiograms(tmp_path_factory):
    """Three studies: all views, one missing, and one with a longer run of a view and a view that nobody asked for."""
    folder = tmp_path_factory.mktemp("angiograms")
    for study, angles in ((1, (60, 0, 30)), (2, (60, 0)), (3, (0, 30, 60, 90))):
        for number, angle in enumerate(angles):
            write_angiogram(folder, study, angle, f"{7 * number % 5}")
    write_angiogram(folder, 3, 30, "longer", frames=3)
    return folder


@pytest.fixture(scope="module")
def found(angiograms):
    return find_images(angiograms).images


def uids(case):
    return {name: image.identity.series_uid for name, image in case.images.items()}


def test_a_case_of_one_view_is_an_image(found):
    cases, left_out = gather_cases(found, ("",))
    assert [case.case_id for case in cases] == [image.identity.series_uid for image in found]
    assert all(case.series_uids == (case.case_id,) for case in cases)
    assert not left_out


def test_views_of_a_study_are_joined_in_the_models_order_and_missing_ones_missing(found):
    cases, left_out = gather_cases(found, VIEWS, RULES)
    assert {case.case_id: uids(case) for case in cases} == {
        "1.2.1": {"at 0": "1.2.1.0.1", "at 30": "1.2.1.30.1", "at 60": "1.2.1.60.1"},
        "1.2.2": {"at 0": "1.2.2.0.1", "at 60": "1.2.2.60.1"},
        "1.2.3": {"at 0": "1.2.3.0.1", "at 30": "1.2.3.30.3", "at 60": "1.2.3.60.1"},
    }
    assert [list(case.images) for case in cases] == [list(VIEWS), ["at 0", "at 60"], list(VIEWS)]
    assert left_out == [
        "1.2.3.90.1 was left out: nothing says which view it is.",
        "1.2.3.30.1 was left out: it is smaller than 1.2.3.30.3, or comes after it, and view at 30 has one image.",
    ]


def test_without_rules_the_headers_say_which_view(found):
    names = tuple(f"primary {angle:+d} secondary +0" for angle in (0, 30, 60))
    cases, left_out = gather_cases(found, names)
    assert [len(case.images) for case in cases] == [3, 2, 3]
    assert any("its view 'primary +90 secondary +0' is none of primary +0" in line for line in left_out)


@given(st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_order_of_images_means_nothing(found, draw):
    mixed = list(found)
    draw.shuffle(mixed)
    cases, left_out = gather_cases(mixed, VIEWS, RULES)
    expected, expected_left_out = gather_cases(found, VIEWS, RULES)
    assert sorted(cases, key=lambda case: case.case_id) == sorted(expected, key=lambda case: case.case_id)
    assert sorted(left_out) == sorted(expected_left_out)


def test_labelled_cases_are_made_of_the_same_images(angiograms, found):
    """What is trained on and what is classified is chosen in one way."""
    labels = (["study_uid", "finding"], [[f"1.2.{study}", str(study % 2)] for study in (1, 2, 3)])
    cohort = build_cohort(angiograms, labels, CohortOptions(views=RULES))
    cases, _left_out = gather_cases(found, cohort.view_names, RULES)
    assert {case.case_id: case.series_uids for case in cases} == {one.case_id: one.series_uids for one in cohort.cases}


def write_pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 24), dtype=np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(folder / name))


def test_files_are_views_by_their_names_and_folders(tmp_path):
    write_pictures(tmp_path / "case-1", "front.png", "inside.png", "notes.png")
    write_pictures(tmp_path / "case-2", "p2_inside.png")
    views = ("front", "side", "inside")
    cases, left_out = gather_cases(find_images(tmp_path).images, views)
    assert {case.case_id: list(case.images) for case in cases} == {
        "case-1": ["front", "inside"],
        "case-2": ["inside"],
    }
    assert left_out == ["notes.png was left out: nothing says which view it is."]


def test_folders_of_one_name_in_two_places_are_two_cases(tmp_path):
    """A front view of one hospital's case 1 never meets the side view of another's."""
    write_pictures(tmp_path / "here" / "case-1", "front.png")
    write_pictures(tmp_path / "there" / "case-1", "side.png")
    cases, _left_out = gather_cases(find_images(tmp_path).images, ("front", "side"))
    assert {case.case_id: list(case.images) for case in cases} == {
        "here/case-1": ["front"],
        "there/case-1": ["side"],
    }


def test_of_two_names_that_fit_the_longer_one_is_meant(tmp_path):
    write_pictures(tmp_path, "x-CC-L.png")
    [image] = find_images(tmp_path).images
    assert view_of(image, ("L", "CC-L")) == view_of(image, ("CC-L", "L")) == "CC-L"
