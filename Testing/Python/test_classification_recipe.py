"""Recipes, the cache of what they make, and the samples that networks see."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_slices import write_slice
from DicomAnalysisLib.classification.cache import Entry, PreparedCache, content_hash, pixel_digests
from DicomAnalysisLib.classification.cohort import Case, Cohort, Target, View
from DicomAnalysisLib.classification.dataset import CohortDataset, prepare_cohort, stacked
from DicomAnalysisLib.classification.images import read_image
from DicomAnalysisLib.classification.prepared import Prepared
from DicomAnalysisLib.classification.recipe import RECIPES, Recipe, Step, recipe_named
from DicomAnalysisLib.errors import ModelError, OutputError, SourceError, UsageError
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume
from flat_images import picture, write_flat
from hypothesis import given, settings
from hypothesis import strategies as st

FINDING = Target("finding", "binary", ("no", "yes"))
SMALL = RECIPES["ct-volume"].changed("fixed_grid", shape=(8, 16, 16))


def _volume(voxels, modality="CT", spacing=(3.0, 1.5, 1.0), directions=None, positions=None) -> Volume:
    directions = np.eye(3)[::-1].T if directions is None else directions  # columns: k, j, i
    if positions is None:
        positions = np.arange(len(voxels))[:, None] * directions[:, 0] * spacing[0] + [5.0, -7.0, 11.0]
    geometry = StackGeometry(directions[:, 2], directions[:, 1], spacing[1:], positions, spacing[0])
    return Volume(voxels, geometry, SeriesIdentity(series_uid="1.2.3", modality=modality))


def _chest(seed: int = 0, shape=(20, 60, 70)) -> Volume:
    """A body with two lungs over a table, in noise."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    generator = np.random.default_rng(seed)
    hu = np.where(((j - 27) / 18) ** 2 + ((i - 35) / 25) ** 2 + 0 * k < 1, 40, -1000)
    for middle in (23, 47):
        hu[np.broadcast_to((((j - 27) / 10) ** 2 + ((i - middle) / 7) ** 2 < 1), hu.shape)] = -850
    hu[:, 50:52] = 150
    return _volume((hu + generator.normal(0, 20, hu.shape)).astype(np.int16), spacing=(5.0, 5.0, 5.0))


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_makes_what_it_says_and_travels_as_json(name):
    recipe = RECIPES[name]
    volume = _chest()
    if not name.startswith("ct"):
        volume = replace(volume, identity=replace(volume.identity, modality="MR"))
    made = recipe.apply(volume)
    assert made.dtype == np.float32 and made.shape == recipe.shape
    assert made.min() >= 0 and made.max() <= 1 and made.std() > 0.01
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe and again.hash == recipe.hash
    assert np.array_equal(again.apply(volume), made)


def test_background_is_exactly_zero_and_the_table_is_gone():
    made = RECIPES["ct-volume"].prepare(_chest())
    back = np.linalg.inv(made.to_source)
    table = back @ [10, 51, 35, 1]
    body = back @ [10, 12, 35, 1]
    lung = back @ [10, 27, 23, 1]
    assert table[1] >= 127 or made.voxels[tuple(np.rint(table[:3]).astype(int))] == 0
    assert made.voxels[tuple(np.rint(body[:3]).astype(int))] == pytest.approx(1040 / 1400, abs=0.03)
    assert made.voxels[tuple(np.rint(lung[:3]).astype(int))] == pytest.approx(150 / 1400, abs=0.03)
    assert (made.voxels == 0).mean() > 0.2


def test_the_height_of_the_table_changes_nothing():
    low, high = _chest(), _chest()
    moved = np.roll(high.voxels.copy(), 3, axis=1)
    moved[:, :3] = -1000
    first, second = RECIPES["ct-volume"].apply(low), RECIPES["ct-volume"].apply(high.with_voxels(moved))
    assert np.abs(first - second).mean() < 0.01


directions = st.permutations([0, 1, 2]).flatmap(
    lambda order: st.tuples(st.just(order), st.sampled_from([-1.0, 1.0]), st.sampled_from([-1.0, 1.0]))
)


@settings(max_examples=25)
@given(
    directions,
    st.tuples(st.integers(4, 12), st.integers(4, 12), st.integers(4, 12)),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    st.booleans(),
)
def test_the_way_back_leads_to_the_voxels_a_cell_was_made_of(axes, shape, tilt, keep_slices):
    """Voxels that hold their own place: a cell's value is the place that `to_source` leads to."""
    order, first, second = axes
    matrix = np.zeros((3, 3))
    matrix[order[1], 1], matrix[order[2], 2] = first, second
    matrix[:, 0] = np.cross(matrix[:, 2], matrix[:, 1])
    count = 10
    step = 3.0 * matrix[:, 0] + 0.4 * tilt[0] * matrix[:, 1] + 0.4 * tilt[1] * matrix[:, 2]
    k, j, i = np.meshgrid(np.arange(count), np.arange(14), np.arange(17), indexing="ij")
    steps = [Step("canonical", {"keep_slices": keep_slices})]
    steps.append(Step("slices", {"count": 5}) if keep_slices else Step("fixed_grid", {"shape": shape}))
    steps += [Step("plane", {"shape": shape[1:]})] if keep_slices else []
    recipe = Recipe("places", tuple(steps))
    made = {}
    for axis, values in enumerate((k, j, i)):
        volume = _volume(
            (values + 100).astype(np.float32), "MR", directions=matrix, positions=np.arange(count)[:, None] * step
        )
        made[axis] = recipe.prepare(volume)
    index = np.indices(made[0].voxels.shape).reshape(3, -1)
    place = made[0].to_source @ np.vstack([index, np.ones(index.shape[1])])
    values = np.stack([made[axis].voxels.reshape(-1) - 100 for axis in range(3)])
    inner = np.all((place[1:3].T > 1.5) & (place[1:3].T < [11.5, 14.5]), axis=1)
    if keep_slices:
        inner &= np.abs(place[0] - np.repeat(made[0].source_slices, np.prod(shape[1:]))) < 0.1
        assert values[0][inner] == pytest.approx(place[0][inner], abs=0.1)
    else:
        inner &= (place[0] > 1.5) & (place[0] < count - 2.5)
    coarse = np.linalg.norm(made[0].to_source[:3, :3], axis=1).max() > 2  # the filter reaches over the border
    for axis in (0, 1, 2):
        assert values[axis][inner] == pytest.approx(place[axis][inner], abs=1.0 if coarse else 0.1)


def test_uneven_slices_know_their_exact_depth():
    distances = np.array([0.0, 2.0, 4.0, 9.0, 14.0, 19.0])
    positions = np.zeros((6, 3))
    positions[:, 2] = distances
    values = np.broadcast_to(distances[:, None, None] + 50, (6, 8, 8)).astype(np.float32)
    recipe = Recipe("grid", (Step("fixed_grid", {"shape": (40, 8, 8)}),))
    made = recipe.prepare(_volume(values, "MR", positions=positions))
    for slice_index, depth in enumerate(made.slice_depths[1:-1], start=1):
        low = int(np.floor(depth))
        share = depth - low
        value = made.voxels[low, 4, 4] * (1 - share) + made.voxels[low + 1, 4, 4] * share
        assert value == pytest.approx(distances[slice_index] + 50, abs=0.1)


def test_slices_are_named_in_the_volume_s_own_order():
    downwards = np.array([[0.0, 0, 1.0], [0, 1.0, 0], [-1.0, 0, 0]])
    downwards[:, 2] *= -1  # rows to the right, so that slices run to the feet
    values = np.broadcast_to(np.arange(9)[:, None, None] * 10 + 5, (9, 6, 6)).astype(np.float32)
    recipe = Recipe("s", (Step("canonical", {"keep_slices": True}), Step("slices", {"count": 3})))
    made = recipe.prepare(_volume(values, "MR", directions=downwards))
    assert made.source_slices == (7, 4, 1)
    assert [made.voxels[d, 0, 0] for d in range(3)] == [75, 45, 15]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Step("sharpen"), "no step 'sharpen'"),
        (lambda: Step("window", {"width": 3}), "no parameter 'width'"),
        (lambda: Step("window", {"low": "much"}), "no 'low'"),
        (lambda: Step("plane", {"shape": (0, 4)}), "no 'shape'"),
        (lambda: Step("slices", {"count": 2.5}), "no 'count'"),
        (lambda: Step("canonical", {"keep_slices": 1}), "no 'keep_slices'"),
        (lambda: RECIPES["ct-volume"].changed("clahe", tiles=3), "no step 'clahe'"),
        (lambda: recipe_named("ct"), "no recipe 'ct'"),
        (lambda: Recipe("x", (Step("foreground", {"method": "magic"}),)).apply(_chest()), "no foreground 'magic'"),
    ],
)
def test_what_is_no_recipe_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        change()


def test_damaged_recipes_are_refused():
    good = RECIPES["ct-volume"].to_dict()
    for bad in ({}, {**good, "version": 99}, {**good, "steps": [{"step": "x"}]}, {**good, "steps": 5}):
        with pytest.raises(ModelError):
            Recipe.from_dict(bad)


def test_a_changed_parameter_is_another_recipe_and_a_changed_name_is_not():
    recipe = RECIPES["ct-volume"]
    assert recipe.changed("window", low=-900).hash != recipe.hash
    assert Recipe("other", recipe.steps).hash == recipe.hash
    assert (
        Step("window") == Step("window", {"low": -1000}) and len({Step("window"), Step("window", {"low": -1000})}) == 1
    )
    assert len({one.hash for one in RECIPES.values()}) == len(RECIPES)


def _entry(value: float, size: int = 10) -> Entry:
    voxels = np.full((size, 10, 10), value, np.float32)
    return Entry(Prepared(voxels, np.eye(4), (1, 2, 3), (1, 2), (0.5,)), np.zeros((2, 16), np.uint8))


def test_the_cache_gives_back_what_was_put(tmp_path):
    cache = PreparedCache(tmp_path)
    assert cache.get("ab" * 32, "cd" * 32) is None
    cache.put("ab" * 32, "cd" * 32, _entry(3))
    found = cache.get("ab" * 32, "cd" * 32)
    assert np.array_equal(found.prepared.voxels, _entry(3).prepared.voxels)
    assert found.prepared.source_shape == (1, 2, 3) and found.prepared.source_slices == (1, 2)
    assert found.prepared.slice_depths == (0.5,) and found.slice_digests.shape == (2, 16)
    assert cache.get("ab" * 32, "ef" * 32) is None
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_a_damaged_entry_is_made_again(tmp_path):
    cache = PreparedCache(tmp_path)
    cache.put("ab" * 32, "cd" * 32, _entry(3))
    path = cache.path("ab" * 32, "cd" * 32)
    for damage in (b"", b"PK\x03\x04 no archive", path.read_bytes()[:-200]):
        path.write_bytes(damage)
        assert cache.get("ab" * 32, "cd" * 32) is None
        assert not path.exists()


def test_no_bit_that_is_turned_makes_another_image_or_an_error(tmp_path):
    """Also not one that makes the archive say that it is encrypted, or packed in another way."""
    cache, random = PreparedCache(tmp_path), np.random.default_rng(0)
    cache.put("ab" * 32, "cd" * 32, _entry(3))
    path = cache.path("ab" * 32, "cd" * 32)
    whole = path.read_bytes()
    directory = range(whole.index(b"PK\x01\x02"), len(whole))  # what is read first, and decides how the rest is read
    for place in (*directory, *random.integers(0, len(whole), 200)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            found = cache.get("ab" * 32, "cd" * 32)
            assert found is None or np.array_equal(found.prepared.voxels, _entry(3).prepared.voxels)


def test_the_least_recently_used_entries_go(tmp_path):
    one = len(_entry(0).prepared.voxels.tobytes()) + 2000
    cache = PreparedCache(tmp_path, max_bytes=4 * one)
    names = [f"{n:02d}" * 32 for n in range(4)]
    for age, name in enumerate(names[:3]):
        cache.put(name, "r" * 64, _entry(1))
        os.utime(cache.path(name, "r" * 64), (1000 + age, 1000 + age))
    assert cache.get(names[0], "r" * 64) is not None  # used: the second is now the oldest
    for name in (names[3], "44" * 32):
        cache.put(name, "r" * 64, _entry(1))
    assert cache.size() <= 4 * one
    assert cache.get(names[1], "r" * 64) is None
    assert cache.get(names[0], "r" * 64) is not None and cache.get("44" * 32, "r" * 64) is not None
    with pytest.raises(UsageError):
        PreparedCache(tmp_path, 0)


def _hammer(folder: str, seed: int) -> None:
    cache = PreparedCache(folder, max_bytes=40_000)
    generator = np.random.default_rng(seed)
    for _ in range(60):
        n = int(generator.integers(8))
        found = cache.get(f"{n:02d}" * 32, "r" * 64)
        assert found is None or (found.prepared.voxels == n).all()
        cache.put(f"{n:02d}" * 32, "r" * 64, _entry(n))


def test_two_processes_share_a_cache(tmp_path):
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    workers = [context.Process(target=_hammer, args=(str(tmp_path), seed)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".npz"]


def test_content_is_bytes_not_names_or_times(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    before = content_hash([first, second])
    assert content_hash([second, first]) == before
    status = first.stat()
    first.write_bytes(b"3")
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time, other content
    assert content_hash([first, second]) != before
    with pytest.raises(SourceError, match="cannot be read"):
        content_hash([tmp_path / "none"])


@pytest.mark.parametrize("ending", ["mhd", "nhdr"])
def test_headers_of_the_same_bytes_are_not_the_same_image(tmp_path, ending):
    sitk = pytest.importorskip("SimpleITK")
    cases = []
    for seed in range(2):
        path = tmp_path / f"P{seed}" / f"scan.{ending}"
        path.parent.mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(picture(seed, (5, 24, 20)).astype(np.int16)), str(path))
        cases.append(Case(f"case {seed}", f"P{seed}", "", (View("", path.name, (str(path),)),), {"finding": (seed,)}))
    headers = [Path(case.views[0].files[0]) for case in cases]
    assert headers[0].read_bytes() == headers[1].read_bytes()
    recipe = RECIPES["picture"]
    dataset = CohortDataset(Cohort((FINDING,), ("",), tuple(cases)), None, recipe, PreparedCache(tmp_path / "cache"))
    for index, header in enumerate(headers):
        assert np.array_equal(dataset.sample(index).images[0], recipe.apply(read_image(header)))
    before = content_hash([headers[0]])
    next(one for one in headers[0].parent.iterdir() if one != headers[0]).write_bytes(
        next(one for one in headers[1].parent.iterdir() if one != headers[1]).read_bytes()
    )
    assert content_hash([headers[0]]) != before, "other voxels under the same header"


def test_pixels_are_the_same_under_other_names_and_types():
    voxels = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    first = pixel_digests(voxels)
    assert np.array_equal(first, pixel_digests(voxels[::-1].astype(np.float32)))
    air = np.full((3, 9, 9), -2000)
    air[:, 2:7, 2:7], air[1, 4, 4] = -1000, -999
    assert len(pixel_digests(air)) == 0  # what is empty is alike in everybody
    assert not set(map(bytes, first)) & set(map(bytes, pixel_digests(voxels + 1)))
    assert len(set(map(bytes, first)) & set(map(bytes, pixel_digests(voxels[1:3])))) == 2


def _series(folder, seed: int, count: int = 6) -> tuple[str, ...]:
    folder.mkdir(parents=True)
    body = _chest(seed, (count, 60, 70)).voxels
    stated = {"SeriesInstanceUID": f"1.2.{seed}", "StudyInstanceUID": f"1.3.{seed}", "PatientID": f"P{seed}"}
    return tuple(str(write_slice(folder, body[k], k, **stated)) for k in range(count))


def _cohort(tmp_path, count: int = 3) -> Cohort:
    cases = tuple(
        Case(f"c{n}", f"P{n}", f"1.{n}", (View("", f"1.2.{n}", _series(tmp_path / str(n), n)),), {"finding": (n % 2,)})
        for n in range(1, count + 1)
    )
    return Cohort((FINDING,), ("",), cases)


def test_samples_hold_their_own_label_with_and_without_a_cache(tmp_path):
    cohort = _cohort(tmp_path)
    plain = CohortDataset(cohort, ["c3", "c1"], SMALL, memory_bytes=0)
    assert len(plain) == 2 and plain.case_ids == ("c3", "c1")
    expected = {case.case_id: SMALL.apply(read_image(case.views[0].files)) for case in cohort.cases}
    cache = PreparedCache(tmp_path / "cache")
    for _ in range(2):  # written, then read
        dataset = CohortDataset(cohort, ["c3", "c1"], SMALL, cache)
        for index, case_id in enumerate(dataset.case_ids):
            sample = dataset.sample(index)
            assert sample.case_id == case_id and sample.images.shape == (1, 8, 16, 16)
            assert np.array_equal(sample.images[0], expected[case_id])
            assert sample.labels["finding"].tolist() == [int(case_id[1]) % 2]
            assert sample.present.tolist() == [1] and sample.present.dtype == np.float32
    assert len(list((tmp_path / "cache").glob("??/*.npz"))) == 2
    CohortDataset(cohort, ["c1"], SMALL.changed("window", low=-900), cache).sample(0)
    assert len(list((tmp_path / "cache").glob("??/*.npz"))) == 3


def test_a_dataset_travels_to_worker_processes(tmp_path):
    dataset = CohortDataset(_cohort(tmp_path, 1), None, SMALL, PreparedCache(tmp_path / "cache"))
    first = dataset.sample(0)
    again = copy.deepcopy(dataset)  # by the same protocol
    assert np.array_equal(again.sample(0).images, first.images) and again.recipe == SMALL


def test_memory_saves_reading(tmp_path):
    cohort = _cohort(tmp_path, 1)
    dataset = CohortDataset(cohort, None, SMALL)
    first = dataset.sample(0)
    for path in cohort.cases[0].views[0].files:
        Path(path).unlink()
    assert np.array_equal(dataset.sample(0).images, first.images)
    first.images[:] = 7  # a training may write to its batch
    assert dataset.sample(0).images.max() <= 1


def test_an_unreadable_image_takes_its_label_with_it(tmp_path):
    cohort = _cohort(tmp_path)
    for path in cohort.cases[1].views[0].files:
        Path(path).write_bytes(b"broken")
    dataset = CohortDataset(cohort, None, SMALL)
    with pytest.raises(SourceError, match="c2"):
        dataset.sample(1)
    seen = []
    usable = prepare_cohort(cohort, SMALL, report=lambda done, count: seen.append((done, count)))
    assert [case.case_id for case in usable.cases] == ["c1", "c3"]
    assert usable.labels_of("finding").reshape(-1).tolist() == [1, 1]
    assert any(line.startswith("c2 was left out with its label") for line in usable.problems)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert set(usable.digests) == {"c1", "c3"} and len(usable.digests["c1"]) == 6


def test_an_image_of_which_nothing_is_left_takes_its_label_with_it(tmp_path):
    """Such a picture is a constant: what a network says of it says nothing of the patient."""
    files = [str(write_flat(tmp_path / f"{n}.dcm", picture(n, (1, 20, 30)) * np.uint16(n > 0))) for n in range(3)]
    single = tuple(Case(f"c{n}", f"P{n}", "", (View("", f"1.{n}", (files[n],)),), {"finding": (0,)}) for n in range(3))
    usable = prepare_cohort(Cohort((FINDING,), ("",), single), RECIPES["picture"])
    assert [case.case_id for case in usable.cases] == ["c1", "c2"]
    assert any(line.startswith("c0: the recipe picture leaves nothing of the image") for line in usable.problems)

    views = tuple(View(name, name, (files[n],)) for n, name in enumerate("ab"))
    several = Cohort((FINDING,), ("a", "b"), (Case("x", "P", "", views, {"finding": (0,)}),))
    assert prepare_cohort(several, RECIPES["picture"]).cases[0].missing_views == ("a",)


def test_a_cache_that_cannot_be_written_is_no_fault_of_the_images(tmp_path):
    cohort, cache = _cohort(tmp_path), PreparedCache(tmp_path / "cache")
    for number in range(256):
        (cache.folder / f"{number:02x}").write_text("in the way", "utf-8")
    with pytest.raises(OutputError):
        prepare_cohort(cohort, SMALL, cache)


def test_a_missing_or_unreadable_view_is_masked_and_named(tmp_path):
    files = [str(write_flat(tmp_path / f"{n}.dcm", picture(n, (3, 20, 30)))) for n in range(2)]
    (tmp_path / "bad.dcm").write_bytes(b"broken")
    views = (View("a", "1", (files[0],)), View("b", "", ()), View("c", "2", (files[1],)))
    broken = (View("a", "1", (files[0],)), View("b", "3", (str(tmp_path / "bad.dcm"),)), View("c", "2", (files[1],)))
    cases = tuple(
        Case(name, name, "", parts, {"finding": (label,)}) for name, parts, label in (("x", views, 0), ("y", broken, 1))
    )
    cohort = Cohort((FINDING,), ("a", "b", "c"), cases)
    recipe = RECIPES["xa-views"].changed("plane", shape=(16, 24))
    usable = prepare_cohort(cohort, recipe)
    dataset = CohortDataset(usable, None, recipe)
    for index in range(2):
        sample = dataset.sample(index)
        assert sample.images.shape == (3, 1, 16, 24)
        assert sample.present.tolist() == [1, 0, 1]
        assert not sample.images[1].any() and sample.images[0].any() and sample.images[2].any()
        assert not np.array_equal(sample.images[0], sample.images[2])
    assert any("y, view b" in line and "masked" in line for line in usable.problems)


def test_views_are_never_exchanged(tmp_path):
    """Each view of each case comes out in its own place."""
    files = {
        (p, v): str(write_flat(tmp_path / f"{p}{v}.dcm", picture(10 * p + v, (1, 16, 16))))
        for p in range(3)
        for v in range(4)
    }
    cases = tuple(
        Case(
            f"p{p}", f"p{p}", "", tuple(View(f"v{v}", f"{p}.{v}", (files[p, v],)) for v in range(4)), {"finding": (0,)}
        )
        for p in range(3)
    )
    cohort = Cohort((FINDING,), tuple(f"v{v}" for v in range(4)), cases)
    recipe = Recipe("as it is", (Step("plane", {"shape": (16, 16)}),))
    dataset = CohortDataset(cohort, ["p2", "p0", "p1"], recipe)
    for index, p in enumerate((2, 0, 1)):
        for v in range(4):
            assert np.array_equal(dataset.sample(index).images[v], picture(10 * p + v, (1, 16, 16)).astype(np.float32))


def test_cases_that_are_not_there_are_refused(tmp_path):
    cohort = _cohort(tmp_path, 1)
    for cases in (["c9"], ["c1", "c1"]):
        with pytest.raises(UsageError):
            CohortDataset(cohort, cases, SMALL)
    with pytest.raises(IndexError):
        CohortDataset(cohort, None, SMALL)[1]


def test_the_documentation_s_examples_run(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "Documentation" / "classification-data.md").read_text("utf-8")
    lines = ["series_uid,finding"]
    for n in range(1, 9):
        _series(tmp_path / "series" / str(n), n, 3)
        lines.append(f"1.2.{n},{'yes' if n % 3 == 0 else 'no'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines), "utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "classification-data.md", "exec"), names)
    assert "(1, 64, 128, 128)" in capsys.readouterr().out
    assert all(f"`{name}`" in text for name in RECIPES)


def test_views_of_several_lengths_end_with_empty_slices():
    images = stacked([np.ones((2, 3, 3), np.float32), None, np.ones((4, 3, 3), np.float32)], (None, 3, 3))
    assert images.shape == (3, 4, 3, 3)
    assert images[0, :2].all() and not images[0, 2:].any() and not images[1].any()


def test_real_chest_and_head(shared_data):
    """Tilted, uneven and cropped series fill the grid with a body and nothing else."""
    for name in ("head-ge-tilt-uneven", "chest-lidc314-implicit"):
        volume = read_image(sorted((shared_data / name).glob("*.dcm")))
        made = SMALL.changed("fixed_grid", shape=(16, 48, 48)).prepare(volume)
        assert made.voxels.max() == 1 and 0.1 < (made.voxels > 0).mean() < 0.9
        middle = made.to_source @ [7.5, 23.5, 23.5, 1]
        assert all(0 <= place < count for place, count in zip(middle[:3], volume.shape, strict=True))
