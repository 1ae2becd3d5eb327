"""Models as folders: read back as written, and refused when anything was changed on the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY
from DicomAnalysisLib import cli
from DicomAnalysisLib.errors import ModelError, UsageError
from DicomAnalysisLib.networks import model_folder
from DicomAnalysisLib.networks.architectures import (
    ModelDescription,
    build_network,
    parameter_count,
    size_multiple,
)
from DicomAnalysisLib.networks.card import ModelCard, Score
from DicomAnalysisLib.networks.model_folder import (
    find_model,
    load_model,
    read_manifest,
    save_model,
    shipped_models,
)
from small_models import CARD, DESCRIPTION, random_network

torch = pytest.importorskip("torch", reason="torch is not installed (pip install '.[network]')")
torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path) -> Path:
    save_model(tmp_path / "model", random_network(), DESCRIPTION, CARD)
    return tmp_path / "model"


class TestFolder:
    def test_is_read_back_as_it_was_written(self, folder):
        model = load_model(folder)
        assert model.description == DESCRIPTION
        assert model.card == CARD
        assert model.folder == folder
        assert model.sha256 == model_folder.file_sha256(folder / "weights.safetensors")
        assert not model.network.training
        expected = random_network().state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.network.state_dict().items())

    def test_the_same_model_gives_the_same_bytes(self, folder, tmp_path):
        save_model(tmp_path / "again", random_network(), DESCRIPTION, CARD)
        for name in ("manifest.json", "weights.safetensors"):
            assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    def test_holds_two_files_and_takes_the_place_of_another(self, folder):
        save_model(folder, random_network(seed=1), replace(DESCRIPTION, version="2"), CARD)
        assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "weights.safetensors"]
        assert load_model(folder).description.version == "2"

    def test_the_manifest_needs_no_torch(self, folder):
        code = (
            f"import sys; sys.path.insert(0, {str(REPOSITORY / 'DicomAnalysis')!r})\n"
            "sys.modules['torch'] = sys.modules['monai'] = sys.modules['safetensors'] = None\n"
            "from DicomAnalysisLib.networks.model_folder import read_manifest\n"
            f"print(read_manifest({str(folder)!r}).description.name)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "small\n"

    def test_a_network_that_is_not_the_described_one_is_not_saved(self, tmp_path):
        architecture = {**DESCRIPTION.architecture, "channels": [4, 8, 32]}
        with pytest.raises(ModelError, match="not those of the network"):
            save_model(tmp_path / "m", random_network(), replace(DESCRIPTION, architecture=architecture), CARD)
        assert not list(tmp_path.iterdir())

    def test_weights_that_are_not_finite_are_not_saved(self, tmp_path):
        network = random_network()
        next(network.parameters()).data.view(-1)[0] = float("nan")
        with pytest.raises(ModelError, match="not finite"):
            save_model(tmp_path / "m", network, DESCRIPTION, CARD)
        assert not list(tmp_path.iterdir())

    def test_a_score_that_is_no_number_is_not_saved(self, tmp_path):
        card = replace(CARD, scores=(Score("Dice", "nobody", float("nan")),))
        with pytest.raises(ModelError, match="card"):
            save_model(tmp_path / "m", random_network(), DESCRIPTION, card)
        assert not list(tmp_path.iterdir())


def _restate(folder: Path, change) -> None:
    """Change the manifest and its own hash with it, as one would who means harm."""
    file = folder / "manifest.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    del document["manifest_sha256"]
    change(document)
    document["manifest_sha256"] = model_folder._document_sha256(document)
    file.write_text(json.dumps(document), encoding="utf-8")


class TestRefusals:
    def test_a_changed_byte(self, folder):
        weights = folder / "weights.safetensors"
        data = bytearray(weights.read_bytes())
        data[-7] ^= 1
        weights.write_bytes(data)
        with pytest.raises(ModelError, match=r"weights\.safetensors was changed: its SHA-256 is"):
            load_model(folder)

    @pytest.mark.parametrize("keep", [0, 1, 100, -1])
    def test_a_truncated_file(self, folder, keep):
        weights = folder / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:keep])
        with pytest.raises(ModelError, match=r"has \d+ bytes; its manifest says \d+\. Get the model again"):
            load_model(folder)

    def test_nothing_is_parsed_before_it_is_checked(self, folder, monkeypatch):
        import safetensors.torch

        monkeypatch.setattr(safetensors.torch, "load_file", lambda *_: pytest.fail("parsed"))
        (folder / "weights.safetensors").write_bytes(b"x" * 1000)
        with pytest.raises(ModelError):
            load_model(folder)

    @pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json"])
    def test_a_missing_file(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(ModelError, match=f"{re.escape(name)} cannot be read: No such file"):
            load_model(folder)

    def test_an_edited_manifest(self, folder):
        file = folder / "manifest.json"
        file.write_text(file.read_text(encoding="utf-8").replace("Everything.", "Nothing."), encoding="utf-8")
        with pytest.raises(ModelError, match="was changed after the model was made"):
            read_manifest(folder)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "[" * 100_000, '{"format": "other/9"}', "\udcff"])
    def test_what_is_no_manifest(self, folder, text):
        (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ModelError, match=r"manifest\.json"):
            read_manifest(folder)

    def test_a_manifest_that_is_far_too_large(self, folder):
        with (folder / "manifest.json").open("wb") as stream:
            stream.truncate(1 << 32)
        with pytest.raises(ModelError, match="too large"):
            read_manifest(folder)

    @pytest.mark.parametrize(
        "name", ["../weights.safetensors", "/etc/passwd", "..", "", "a/b", "..\\x", "C:x", "weights\0"]
    )
    def test_a_path_that_leaves_the_folder(self, folder, name):
        _restate(folder, lambda document: document["weights"].update(file=name))
        with pytest.raises(ModelError, match="not in the model's folder"):
            read_manifest(folder)

    @pytest.mark.skipif(os.name == "nt", reason="links need a right that users of Windows have not")
    def test_a_link_that_leaves_the_folder(self, folder, tmp_path):
        (folder / "weights.safetensors").rename(tmp_path / "elsewhere")
        (folder / "weights.safetensors").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ModelError, match="not in the model's folder"):
            load_model(folder)

    @pytest.mark.parametrize("weights", [None, {}, {"file": "weights.safetensors", "bytes": "1", "sha256": 1}])
    def test_a_manifest_without_weights(self, folder, weights):
        _restate(folder, lambda document: document.update(weights=weights))
        with pytest.raises(ModelError, match="does not say which file"):
            read_manifest(folder)

    def test_weights_that_are_no_safetensors(self, folder):
        import hashlib

        data = b"\xff" * 64
        (folder / "weights.safetensors").write_bytes(data)
        said = {"bytes": 64, "sha256": hashlib.sha256(data).hexdigest()}
        _restate(folder, lambda document: document["weights"].update(said))
        with pytest.raises(ModelError, match="not a safetensors file"):
            load_model(folder)

    def test_weights_of_another_network(self, folder):
        _restate(folder, lambda document: document["model"]["architecture"].update(num_res_units=2))
        with pytest.raises(ModelError, match="are not those of the network"):
            load_model(folder)


class TestDescription:
    @pytest.mark.parametrize("key", ["name", "version", "task", "architecture", "input", "output"])
    def test_every_part_is_needed(self, key):
        values = DESCRIPTION.to_dict()
        del values[key]
        with pytest.raises(ModelError, match=f"not complete: {key} must be"):
            ModelDescription.from_dict(values)

    @pytest.mark.parametrize("values", [None, [], "UNet", 3])
    def test_must_be_an_object(self, values):
        with pytest.raises(ModelError, match="must be an object"):
            ModelDescription.from_dict(values)

    @pytest.mark.parametrize(
        "value", ["$import os", "@network_def", "%config::x", {"_target_": "os.system"}, [{"_mode_": 1}], float("inf")]
    )
    def test_only_plain_values(self, value):
        with pytest.raises(ModelError, match="holds"):
            ModelDescription.from_dict(DESCRIPTION.to_dict() | {"input": {"x": value}})
        with pytest.raises(ModelError, match="holds"):
            build_network(replace(DESCRIPTION, architecture={**DESCRIPTION.architecture, "act": value}))

    @pytest.mark.parametrize("name", ["NoNet", "__builtins__", "resnet18", "os", "Unet.forward", "", None, 3])
    def test_only_networks_of_monai(self, name):
        with pytest.raises(ModelError, match=r"no network .* in monai\.networks\.nets"):
            build_network(replace(DESCRIPTION, architecture={"network": name}))

    @pytest.mark.parametrize(
        "arguments", [{"channels": "x"}, {"channels": [1]}, {"no_such": 1}, {"spatial_dims": 9}, {"act": "nothing"}]
    )
    def test_arguments_that_do_not_fit(self, arguments):
        with pytest.raises(ModelError, match="cannot be built"):
            build_network(replace(DESCRIPTION, architecture={**DESCRIPTION.architecture, **arguments}))

    def test_no_network_fetches_weights(self, monkeypatch):
        import torch.hub
        from torch.utils import model_zoo

        for owner, name in ((torch.hub, "load_state_dict_from_url"), (model_zoo, "load_url")):
            monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("fetched"))
        dense = {"network": "DenseNet121", "spatial_dims": 2, "in_channels": 3, "out_channels": 2, "pretrained": True}
        with pytest.raises(ModelError, match="from elsewhere"):
            build_network(replace(DESCRIPTION, architecture=dense))
        by_itself = {"network": "EfficientNetBN", "model_name": "efficientnet-b0", "spatial_dims": 2, "num_classes": 2}
        build_network(replace(DESCRIPTION, architecture=by_itself))

    def test_sizes(self):
        assert parameter_count(random_network()) == sum(p.numel() for p in random_network().parameters())
        assert size_multiple(DESCRIPTION) == 4
        for architecture, multiple in (
            ({"network": "BasicUNet"}, 16),
            ({"network": "SegResNet"}, 8),
            ({"network": "SegResNet", "blocks_down": [1, 2, 2, 4, 4]}, 16),
            ({"network": "DynUNet", "strides": [[1, 1], [2, 2], [2, 1]]}, 4),
            ({"network": "Unknown"}, 32),
        ):
            assert size_multiple(replace(DESCRIPTION, architecture=architecture)) == multiple
        assert size_multiple(replace(DESCRIPTION, input={"multiple": 48})) == 48
        with pytest.raises(ModelError, match="whole number"):
            size_multiple(replace(DESCRIPTION, input={"multiple": 0}))


class TestCard:
    def test_markdown_says_it_all(self):
        text = CARD.to_markdown(DESCRIPTION)
        for part in ("# Model small, version 1", "Tests of this program.", "- Everything.", "0.25 to 0.75 (95%)"):
            assert part in text
        assert "| Score | Network | Interval | empty mask | classical | On |" in text
        assert "| Dice | 0.5 | 0.25 to 0.75 (95%) | 0 | 0.4 | two phantoms |" in text
        assert "a\\|b" in text

    def test_html_is_plain(self):
        import xml.etree.ElementTree as ElementTree

        text = CARD.to_html(DESCRIPTION)
        body = ElementTree.fromstring(text.replace('<meta charset="utf-8">', ""))
        assert [one.text for one in body.iter("h1")] == ["Model small, version 1"]
        assert "None <made>" in [one.text for one in body.iter("td")]
        assert "Weights are random & small." in [one.text for one in body.iter("li")]
        assert "http" not in re.sub(r">[^<]*<", "><", text)

    @pytest.mark.parametrize("values", [None, 3, {}, {"intended_use": "", "scores": [{"name": 1}]}, {"no": 1}])
    def test_what_is_no_card(self, values):
        with pytest.raises(ModelError, match="card cannot be read"):
            ModelCard.from_dict(values)


class TestFinding:
    def test_a_folder_by_its_path(self, folder):
        assert find_model(folder) == folder
        assert find_model(str(folder)) == folder

    def test_a_shipped_one_by_its_name(self, folder, monkeypatch):
        monkeypatch.setattr(model_folder, "SHIPPED", folder.parent)
        assert find_model("model") == folder
        assert [one.description.name for one in shipped_models()] == ["small"]
        with pytest.raises(UsageError, match="Models that come with the program: model"):
            find_model("other")

    @pytest.mark.parametrize("name", ["", ".", "../networks", "/", "no such"])
    def test_nothing_else(self, name):
        with pytest.raises(UsageError, match="There is no model"):
            find_model(name)

    def test_the_documentation_shows_their_cards(self, capsys):
        """Made by ``dicom-analysis models show NAME > Documentation/model-NAME.md``."""
        for manifest in shipped_models():
            name = manifest.folder.name
            assert cli.main(["models", "show", name]) == 0
            page = REPOSITORY / "Documentation" / f"model-{name}.md"
            assert page.read_text(encoding="utf-8") == capsys.readouterr().out

    def test_those_that_ship_are_whole_and_small(self):
        for manifest in shipped_models():
            model_folder.check_weights(manifest)
            assert manifest.card.intended_use
            assert manifest.card.known_failures
            assert manifest.card.training_sets
            assert all(one.licence for one in manifest.card.training_sets)
            assert all(one.low is not None and one.baselines for one in manifest.card.scores)
        assert sum(manifest.size for manifest in shipped_models()) < 10_000_000
