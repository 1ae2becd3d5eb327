"""The body region of slices and series, in numpy, and the warning where a tool was made for others."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from conftest import REPOSITORY
from DicomAnalysisLib import cli
from DicomAnalysisLib.classification.body_region import grid, network, use
from DicomAnalysisLib.classification.body_region.labels import MADE_FOR, REGIONS
from DicomAnalysisLib.classification.body_region.made_slices import made_slices
from DicomAnalysisLib.dicom.reader import read_stack
from DicomAnalysisLib.dicom.sources import open_source
from DicomAnalysisLib.errors import ModelError, TaskError, UsageError
from DicomAnalysisLib.networks.model_folder import SHIPPED, find_model, load_model, read_manifest
from DicomAnalysisLib.phantom import make_head_phantom, write_dicom_series
from DicomAnalysisLib.segmentation import segment
from DicomAnalysisLib.segmentation.options import SegmentationOptions
from DicomAnalysisLib.volume import SeriesIdentity, StackGeometry, Volume

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "monai", "safetensors"))


def volume_of(slices, step=4.0, turned=False, **identity):
    """Slices as an axial stack."""
    sign = -1.0 if turned else 1.0
    voxels = np.ascontiguousarray(slices[:, ::-1, ::-1] if turned else slices)
    positions = np.stack([np.zeros(len(slices)), np.zeros(len(slices)), 5.0 * np.arange(len(slices))], 1)
    geometry = StackGeometry((sign, 0, 0), (0, sign, 0), (step, step), positions, 5.0)
    return Volume(voxels, geometry, SeriesIdentity(series_uid="1.2.3", **identity))


@pytest.fixture(scope="module")
def pelvis():
    return made_slices("pelvis", 6, np.random.default_rng(3)).astype(np.int16)


class TestCells:
    def test_are_means_of_what_they_cover(self):
        rng = np.random.default_rng(0)
        pixels = rng.integers(-900, 400, (128, 128)).astype(np.int16)
        fine = np.kron(pixels, np.ones((4, 4), np.int16))
        coarse, same = grid.slice_cells(pixels, (4.0, 4.0)), grid.slice_cells(fine, (1.0, 1.0))
        assert np.abs(coarse - same).max() < 0.5

    def test_the_middle_of_the_body_is_in_the_middle(self):
        pixels = np.full((300, 200), -1000, np.int16)
        pixels[20:60, 150:190] = 50
        cells = grid.slice_cells(pixels, (1.0, 2.0))
        rows, columns = np.nonzero(cells > -500)
        assert abs(rows.mean() - 63.5) < 0.6 and abs(columns.mean() - 63.5) < 0.6
        assert np.ptp(rows) == 9 and np.ptp(columns) == 19

    def test_outside_is_air_and_an_empty_slice_is_no_error(self):
        assert np.allclose(grid.slice_cells(np.full((10, 10), 40), (1.0, 1.0))[0], grid.AIR_HU)
        assert np.allclose(grid.slice_cells(np.full((10, 10), -1000), (1.0, 1.0)), grid.AIR_HU)


class TestNetwork:
    @pytest.mark.skipif(not HAS_TORCH, reason="needs the extra 'network'")
    def test_numpy_and_torch_agree(self):
        import torch

        images = grid.channels(made_slices("pelvis", 4, np.random.default_rng(1)))
        with torch.inference_mode():
            logits = load_model(find_model("body-region")).network(torch.from_numpy(images)).double()
        loaded = network.load_network()
        expected = torch.softmax(logits / loaded.temperature, 1).numpy()
        assert np.abs(loaded.probabilities(images) - expected).max() < 1e-4

    def test_a_folder_of_its_name_is_not_taken_for_the_shipped_model(self, tmp_path, monkeypatch):
        (tmp_path / "body-region").mkdir()
        (tmp_path / "body-region" / "manifest.json").write_text("{}", encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        assert network.load_network().sha256 == read_manifest(find_model(SHIPPED / "body-region")).sha256

    @pytest.mark.skipif(not HAS_TORCH, reason="needs the extra 'network'")
    def test_channels_are_those_of_the_training(self):
        import torch
        from DicomAnalysisLib.classification.body_region.augmentation import windowed

        cells = made_slices("neck", 3, np.random.default_rng(1))
        assert np.abs(windowed(torch.from_numpy(cells)).numpy() - grid.channels(cells)).max() < 1e-5

    def test_neither_torch_nor_monai_is_needed(self):
        code = (
            f"import sys; sys.path.insert(0, {str(REPOSITORY / 'DicomAnalysis')!r})\n"
            "sys.modules['torch'] = sys.modules['monai'] = sys.modules['safetensors'] = None\n"
            "from DicomAnalysisLib.phantom import make_head_phantom\n"
            "from DicomAnalysisLib.classification.body_region.use import body_region\n"
            "print(body_region(make_head_phantom().volume).model)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "body-region\n"

    def test_it_is_small(self):
        assert read_manifest(find_model("body-region")).size < 500_000

    @pytest.mark.parametrize("damage", [b"", b"\x00" * 7, b"\xff" * 40, b"\x02\x00\x00\x00\x00\x00\x00\x00{]"])
    def test_what_is_no_safetensors_file_is_refused(self, tmp_path, damage):
        (tmp_path / "w").write_bytes(damage)
        with pytest.raises(ModelError, match="not a safetensors file"):
            network.read_safetensors(tmp_path / "w")

    def test_arrays_beyond_the_file_are_refused(self, tmp_path):
        header = b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'
        (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
        with pytest.raises(ModelError, match="outside the file"):
            network.read_safetensors(tmp_path / "w")

    def test_another_model_is_refused(self):
        with pytest.raises(ModelError, match="tells other regions"):
            network.load_network("headrest")
        with pytest.raises(UsageError):
            network.load_network("no such")


class TestUse:
    def test_probabilities_of_every_slice(self, pelvis):
        found = use.body_region(volume_of(pelvis), slices=None)
        assert found.probabilities.shape == (6, len(REGIONS))
        assert np.allclose(found.probabilities.sum(1), 1, atol=1e-5)
        assert found.slices == tuple(range(6)) and set(found.slice_regions) <= set(REGIONS)
        assert found.region in found.shown and found.sha256

    def test_a_few_slices_stand_for_a_series(self, pelvis):
        many = np.repeat(pelvis, 20, axis=0)
        assert use.body_region(volume_of(many)).slices == tuple(
            np.linspace(0, len(many) - 1, use.SAMPLED_SLICES).round().astype(int)
        )

    def test_which_way_the_pixels_run_means_nothing(self, pelvis):
        one, other = use.body_region(volume_of(pelvis)), use.body_region(volume_of(pelvis, turned=True))
        assert np.abs(one.probabilities - other.probabilities).max() < 0.02

    def test_padding_is_air(self, pelvis):
        padded = np.pad(pelvis, ((0, 0), (20, 20), (20, 20)), constant_values=-1000)
        seen = replace(volume_of(np.where(padded == -1000, -2000, padded).astype(np.int16)), padding_values=(-2000.0,))
        assert use.body_region(seen).region == use.body_region(volume_of(padded)).region

    @pytest.mark.parametrize(
        ("change", "message"), [({"modality": "MR"}, "not CT"), ({"step": 0.1}, "too little to tell")]
    )
    def test_what_cannot_be_told_is_refused(self, pelvis, change, message):
        with pytest.raises(TaskError, match=message):
            use.body_region(volume_of(pelvis, **change))

    def test_reformats_are_refused(self, pelvis):
        volume = volume_of(pelvis)
        sagittal = replace(volume.geometry, row_direction=np.array([0, 1, 0]), column_direction=np.array([0, 0, -1]))
        with pytest.raises(TaskError, match="not axial"):
            use.body_region(replace(volume, geometry=sagittal))

    def test_milliseconds_a_slice(self):
        """Of 512 x 512 pixels; measured in this process's own time, other programs do not count."""
        rng = np.random.default_rng(0)
        volume = volume_of(rng.integers(-1000, 300, (9, 512, 512)).astype(np.int16), step=0.8)
        use.body_region(volume)
        start = time.process_time()
        use.body_region(volume)
        assert (time.process_time() - start) / 9 < 0.05


class TestRealSeries:
    @pytest.mark.parametrize(
        ("name", "region"),
        [
            ("chest-lidc314-implicit", "chest"),
            ("abdomen-cptacpda-biliary-stent", "abdomen"),
            ("head-ge-tilt-uneven", "head"),
        ],
    )
    def test_are_told(self, shared_data, name, region):
        """What it has learned from; how well others are told stands on its card."""
        series = open_source(shared_data / name).series()[0]
        volume = read_stack(series.stacks[0], series.identity)
        found = use.body_region(volume)
        assert found.region == region
        assert use.region_warnings(volume, ("headrest", "metal")) == ()


class TestWarning:
    def test_only_where_every_slice_is_elsewhere(self, monkeypatch, pelvis):
        """A probability for each region is given, as a network would."""

        def told(rows):
            chances = np.full((len(rows), len(REGIONS)), 0.001)
            for row, region in zip(chances, rows, strict=True):
                row[REGIONS.index(region)] = 0.994
            monkeypatch.setattr(use, "slice_probabilities", lambda *_: chances)
            return use.region_warnings(volume_of(pelvis), ("headrest", "metal"))

        (warning,) = told(["pelvis"] * 6)
        assert "pelvis" in warning and "headrest was made for head, neck, chest and abdomen" in warning
        assert len(told(["limb"] * 3 + ["pelvis"] * 3)) == 1
        assert told(["pelvis"] * 5 + ["abdomen"]) == ()
        assert told(["none"] * 6) == told(["head"] * 6) == ()

    def test_tools_that_work_everywhere_are_never_warned_of(self, pelvis):
        assert "metal" not in MADE_FOR
        assert use.region_warnings(volume_of(pelvis), ("metal", "bone")) == ()

    def test_silent_where_it_cannot_be_told(self, pelvis):
        assert use.region_warnings(volume_of(pelvis, modality="MR"), ("headrest",)) == ()

    def test_segments_are_the_same_with_and_without_it(self, monkeypatch):
        volume, options = make_head_phantom().volume, SegmentationOptions(("headrest",))
        plain = segment(volume, options)
        monkeypatch.setattr("DicomAnalysisLib.segmentation.task.region_warnings", lambda *_: ("elsewhere",))
        warned = segment(volume, options)
        assert warned.warnings == (*plain.warnings, "elsewhere")
        assert np.array_equal(plain.segments[0].mask, warned.segments[0].mask)


def test_the_command_tells_every_series(tmp_path, capsys):
    write_dicom_series(make_head_phantom(shape=(12, 96, 96), spacing=(8.0, 2.4, 2.4)).volume, tmp_path / "head")
    assert cli.main(["body-region", str(tmp_path), "--slices", "--json"]) == 0
    [series] = json.loads(capsys.readouterr().out)["series"]
    assert series["region"] in REGIONS
    assert [one["slice"] for one in series["slices"]] == list(range(1, 13))
    assert len(series["model"]["sha256"]) == 64
    assert cli.main(["body-region", str(tmp_path)]) == 0
    assert series["series_uid"] in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert cli.main(["body-region", str(tmp_path / "empty")]) == 1
