"""MONAI bundles: what we write MONAI runs, what others wrote is read, and no code of theirs is executed."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from DicomAnalysisLib import cli
from DicomAnalysisLib.errors import ModelError
from DicomAnalysisLib.networks import model_folder
from DicomAnalysisLib.networks.bundle import export_bundle, import_bundle
from DicomAnalysisLib.networks.model_folder import load_model, save_model
from DicomAnalysisLib.networks.prediction import Predictor
from small_models import CARD, DESCRIPTION, random_model, random_network

torch = pytest.importorskip("torch", reason="torch is not installed (pip install '.[network]')")
torch.set_num_threads(1)


@pytest.fixture
def bundle(tmp_path) -> Path:
    return export_bundle(random_model(), tmp_path / "bundle")


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A bundle as others write theirs: with expressions, references, a full target and no word of ours."""
    folder = tmp_path / "foreign"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    metadata = {
        "version": "0.5.3",
        "name": "Table",
        "task": "find the table",
        "copyright": "CC-BY-4.0",
        "data_source": "somewhere.example",
        "intended_use": "research",
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1, "spatial_shape": ["16*n", "16*n"]}},
            "outputs": {"pred": {"channel_def": {"0": "background", "1": "table"}}},
        },
    }
    network = {
        "_target_": "monai.networks.nets.UNet",
        "_desc_": "a network",
        "spatial_dims": "@dims",
        "in_channels": 1,
        "out_channels": 2,
        "channels": [4, 8],
        "strides": [2],
    }
    config = {
        "imports": ["$import os", "$os.abort()"],
        "dims": 2,
        "device": "$os.abort()",
        "network_def": network,
        "network": "$@network_def.to(@device)",
    }
    _write(folder / "configs/metadata.json", metadata)
    _write(folder / "configs/inference.json", config)
    from monai.networks.nets import UNet

    state = UNet(2, 1, 2, (4, 8), (2,)).state_dict()
    torch.save({"model": state}, folder / "models/model.pt")
    return folder


def _write(file: Path, document: object) -> None:
    file.write_text(json.dumps(document), encoding="utf-8")


def _change(folder: Path, name: str, change) -> None:
    file = folder / "configs" / name
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    _write(file, document)


class TestOurs:
    def test_comes_back_as_it_was(self, bundle):
        model = import_bundle(bundle)
        assert (model.description, model.card, model.folder) == (DESCRIPTION, CARD, bundle)
        expected = random_network().state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.network.state_dict().items())
        assert model.sha256 == hashlib.sha256((bundle / "models/model.pt").read_bytes()).hexdigest()

    def test_a_network_that_monai_has_not_is_not_exported(self, bundle, tmp_path):
        model = import_bundle(bundle)
        own = replace(model.description, architecture={"network": "classifier:slices/vgg16"})
        with pytest.raises(ModelError, match=r"classifier:slices/vgg16.*Copy the model's folder"):
            export_bundle(replace(model, description=own), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_has_what_a_bundle_has(self, bundle):
        files = {file.relative_to(bundle).as_posix() for file in bundle.rglob("*") if file.is_file()}
        assert files == {
            *("configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md", "LICENSE"),
        }
        assert "Weights are random & small." in (bundle / "docs/README.md").read_text(encoding="utf-8")
        assert "Apache-2.0" in (bundle / "LICENSE").read_text(encoding="utf-8")

    def test_is_the_same_again_and_may_be_written_over(self, bundle, tmp_path):
        again = export_bundle(random_model(), tmp_path / "again")
        before = {file.relative_to(bundle): file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
        assert all((again / name).read_bytes() == data for name, data in before.items())
        export_bundle(random_model(seed=3), bundle)
        assert (bundle / "models/model.pt").read_bytes() != before[Path("models/model.pt")]
        import_bundle(bundle)

    def test_monai_runs_it_to_the_same_numbers(self, bundle):
        from monai.bundle import ConfigParser

        parser = ConfigParser()
        parser.read_config(bundle / "configs/inference.json")
        parser.read_meta(bundle / "configs/metadata.json")
        parser["bundle_root"] = str(bundle)
        parser["device"] = "cpu"
        parser.get_parsed_content("initialize")
        image = np.random.default_rng(0).random((1, 32, 32), dtype=np.float32)
        with torch.inference_mode():
            scores = parser.get_parsed_content("inferer")(
                torch.from_numpy(image[None]), parser.get_parsed_content("network")
            )
        [found] = Predictor(import_bundle(bundle), "cpu").run([image])
        np.testing.assert_allclose(found, torch.softmax(scores, 1)[0].numpy(), atol=2e-2)


class TestForeign:
    def test_is_read(self, foreign):
        model = import_bundle(foreign)
        assert model.description.architecture["network"] == "UNet"
        assert model.description.architecture["spatial_dims"] == 2
        assert model.description.classes == ("background", "table")
        assert model.description.input == {"modality": "CT", "num_channels": 1, "spatial_shape": ["16*n", "16*n"]}
        assert model.card.intended_use == "research"
        assert model.card.licence == "CC-BY-4.0"
        [found] = Predictor(model, "cpu").run([np.zeros((1, 31, 20), np.float32)])
        assert found.shape == (2, 31, 20)

    def test_becomes_a_model_folder(self, foreign, tmp_path):
        model = import_bundle(foreign)
        save_model(tmp_path / "m", model.network, model.description, model.card)
        assert load_model(tmp_path / "m").description == model.description

    def test_classes_without_names(self, foreign):
        _change(foreign, "metadata.json", lambda document: document.pop("network_data_format"))
        assert import_bundle(foreign).description.classes == ()


class Evil:
    """What runs when a pickle is loaded as pickles are."""

    def __reduce__(self):
        return (Path.write_text, (Path("pwned"), "x"))


class TestRefusals:
    @pytest.mark.parametrize("protocol", [2, 4])
    @pytest.mark.parametrize("kind", ["pickle", "torch"])
    def test_a_pickle_with_code(self, foreign, kind, protocol, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        weights = foreign / "models/model.pt"
        if kind == "pickle":
            weights.write_bytes(pickle.dumps(Evil(), protocol=protocol))
        else:
            torch.save({"conv.weight": Evil()}, weights, pickle_protocol=protocol)
        with pytest.raises(ModelError, match="was not loaded"):
            import_bundle(foreign)
        assert not (tmp_path / "pwned").exists()

    def test_a_changed_byte_of_ours(self, bundle):
        weights = bundle / "models/model.pt"
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
        with pytest.raises(ModelError, match="was changed: its SHA-256"):
            import_bundle(bundle)

    @pytest.mark.parametrize("keep", [0, 10, 1000, -100])
    def test_truncated_weights(self, foreign, keep):
        weights = foreign / "models/model.pt"
        weights.write_bytes(weights.read_bytes()[:keep])
        with pytest.raises(ModelError, match=r"model\.pt"):
            import_bundle(foreign)

    @pytest.mark.parametrize("name", ["configs/metadata.json", "configs/inference.json", "models/model.pt"])
    def test_a_missing_file(self, foreign, name):
        (foreign / name).unlink()
        with pytest.raises(ModelError, match="cannot be read: No such file"):
            import_bundle(foreign)

    @pytest.mark.parametrize("state", [{}, {"a": 1}, [1, 2], {"model": {"x": "y"}}])
    def test_weights_that_are_none(self, foreign, state):
        torch.save(state, foreign / "models/model.pt")
        with pytest.raises(ModelError, match="does not hold the tensors"):
            import_bundle(foreign)

    def test_a_torchscript_is_not_run(self, foreign):
        torch.jit.save(torch.jit.script(torch.nn.Identity()), foreign / "models/model.pt")
        with pytest.raises(ModelError, match=r"model\.pt"):
            import_bundle(foreign)

    def test_a_zip_of_something_else(self, foreign):
        with zipfile.ZipFile(foreign / "models/model.pt", "w") as archive:
            archive.writestr("archive/data.pkl", b"no")
        with pytest.raises(ModelError, match=r"model\.pt"):
            import_bundle(foreign)

    def test_weights_of_another_network(self, foreign):
        _change(foreign, "inference.json", lambda document: document["network_def"].update(channels=[4, 16]))
        with pytest.raises(ModelError, match="not those of the network"):
            import_bundle(foreign)

    @pytest.mark.parametrize(
        "target", ["os.system", "NoSuchNet", "builtins.eval", "monai.networks.nets.os", "$UNet", "", None, 5]
    )
    def test_an_unknown_class(self, foreign, target):
        _change(foreign, "inference.json", lambda document: document["network_def"].update(_target_=target))
        with pytest.raises(ModelError, match=r"no network|only classes|names no _target_|expression"):
            import_bundle(foreign)

    @pytest.mark.parametrize(
        "value",
        ["$__import__('os').abort()", "@device", "@nothing", {"_target_": "os.system"}, [[{"_mode_": "x"}]], "%a"],
    )
    def test_what_is_not_plain(self, foreign, value):
        _change(foreign, "inference.json", lambda document: document["network_def"].update(act=value))
        with pytest.raises(ModelError, match=r"foreign cannot be used.*plain|not the name of a value|expression"):
            import_bundle(foreign)

    @pytest.mark.parametrize("config", [{}, {"network_def": "$x"}, {"network_def": {"a": 1}}])
    def test_no_network(self, foreign, config):
        _write(foreign / "configs/inference.json", config)
        with pytest.raises(ModelError, match=r"cannot be used"):
            import_bundle(foreign)

    def test_two_files_that_disagree(self, bundle):
        _change(bundle, "inference.json", lambda document: document["network_def"].update(num_res_units=2))
        with pytest.raises(ModelError, match="describe different networks"):
            import_bundle(bundle)


class TestCommand:
    @pytest.fixture
    def run(self, capsys):
        def run(*arguments):
            status = cli.main(["models", *map(str, arguments), "--json"])
            return status, json.loads(capsys.readouterr().out)

        return run

    @pytest.fixture
    def folder(self, tmp_path):
        save_model(tmp_path / "small", random_network(), DESCRIPTION, CARD)
        return tmp_path / "small"

    def test_list(self, run, folder, monkeypatch, capsys):
        monkeypatch.setattr(model_folder, "SHIPPED", folder.parent)
        status, document = run("list")
        assert status == 0
        assert [one["model"]["name"] for one in document["models"]] == ["small"]
        assert cli.main(["models", "list"]) == 0
        assert "small  1        headrest  0.0 MB" in capsys.readouterr().out

    def test_show(self, run, folder, capsys):
        status, document = run("show", folder)
        assert status == 0
        assert document["card"]["known_failures"] == list(CARD.known_failures)
        assert cli.main(["models", "show", str(folder)]) == 0
        text = capsys.readouterr().out
        assert "# Model small, version 1" in text
        assert document["sha256"] in text

    def test_there_and_back(self, run, folder, tmp_path):
        assert run("export", folder, tmp_path / "bundle") == (0, {"bundle": str(tmp_path / "bundle")})
        status, document = run("import", tmp_path / "bundle", tmp_path / "back")
        assert status == 0
        assert document["folder"] == str(tmp_path / "back")
        for name in ("manifest.json", "weights.safetensors"):
            assert (folder / name).read_bytes() == (tmp_path / "back" / name).read_bytes()

    def test_failures(self, run, folder, tmp_path, capsys):
        assert run("show", "no-such-model")[0] == 2
        (folder / "weights.safetensors").write_bytes(b"")
        status, document = run("show", folder)
        assert status == 1
        assert "0 bytes" in document["error"]
        assert run("import", tmp_path, tmp_path / "x")[0] == 1
        for arguments in ([], ["fly"], ["export", "x"]):
            with pytest.raises(SystemExit) as ended:
                cli.main(["models", *arguments])
            assert ended.value.code == 2
        capsys.readouterr()
