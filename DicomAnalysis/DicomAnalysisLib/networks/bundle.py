"""Models from and to MONAI bundles (docs.monai.io, "MONAI Bundle specification").

Of a bundle's configuration only the network's class and its plain keyword values are used. Its
expressions are code, and none of them is executed; its weights are read as tensors alone.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..files.atomic import write_bytes, write_text
from ..files.json_text import json_text
from .architectures import OWN_NETWORKS, ModelDescription, build_network, check_plain
from .card import ModelCard
from .model_folder import LoadedModel, file_sha256, put_weights, read_json

if TYPE_CHECKING:
    from torch import Tensor

METADATA = Path("configs/metadata.json")
INFERENCE = Path("configs/inference.json")
WEIGHTS = Path("models/model.pt")
README = Path("docs/README.md")
LICENCE = Path("LICENSE")

_OURS = "dicom_analysis"
_NETWORKS = "monai.networks.nets."
_NETWORK_KEYS = ("network_def", "network", "net", "model")
_STATE_KEYS = ("state_dict", "model", "network")


def export_bundle(model: LoadedModel, folder: Path | str) -> Path:
    """Write a model as a MONAI bundle, which `import_bundle` and MONAI read.

    Parameters
    ----------
    model : LoadedModel
    folder : path
        Files of a bundle that is there are replaced, the weights first and the metadata last.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If the network is not MONAI's.
    OutputError
        If the folder cannot be written.
    """
    import torch

    network = str(model.description.architecture["network"])
    if network.startswith(tuple(OWN_NETWORKS)):
        msg = (
            f"The network {network} of the model {model.description.name} is this program's own; MONAI could not build "
            "it from a bundle. Copy the model's folder instead."
        )
        raise ModelError(msg)
    folder = Path(folder)
    stream = io.BytesIO()  # into a file torch would also write the file's name
    torch.save(model.network.state_dict(), stream)
    write_bytes(folder / WEIGHTS, stream.getvalue())
    write_text(folder / INFERENCE, json_text(_inference(model.description)))
    write_text(folder / README, model.card.to_markdown(model.description))
    write_text(folder / LICENCE, f"The weights in this bundle are under the licence {model.card.licence}.\n")
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    write_text(folder / METADATA, json_text(_metadata(model, digest)))
    return folder


def import_bundle(folder: Path | str) -> LoadedModel:
    """Read a MONAI bundle.

    Parameters
    ----------
    folder : path
        With ``configs/metadata.json``, ``configs/inference.json`` and ``models/model.pt``.

    Returns
    -------
    LoadedModel
        `sha256` is that of ``model.pt``. A bundle that this program exported has its whole description
        and card; of others `input` and `output` are what ``network_data_format`` says.

    Raises
    ------
    ModelError
        If a file is missing, changed or cut short, the weights hold anything but tensors, or the
        network is not a class of ``monai.networks.nets`` with plain keyword values.
    """
    folder = Path(folder)
    metadata = read_json(folder / METADATA, "metadata")
    inference = folder / INFERENCE
    try:
        architecture = _architecture(read_json(inference, "configuration"))
        description, card = _what_it_is(metadata, architecture)
    except ModelError as error:
        msg = f"The MONAI bundle {folder} cannot be used. {error}"
        raise ModelError(msg) from error
    weights = folder / WEIGHTS
    ours = metadata.get(_OURS)
    try:
        sha256 = file_sha256(weights)
    except OSError as error:
        msg = (
            f"The bundle's weights {weights} cannot be read: {error.strerror or error}. "
            "Weights as TorchScript (model.ts) are not read; export them as a state dictionary."
        )
        raise ModelError(msg) from error
    if isinstance(ours, Mapping) and sha256 != ours.get("weights_sha256"):
        msg = f"{weights} was changed: its SHA-256 is not the one in {METADATA.name}. Get the bundle again."
        raise ModelError(msg)
    state = _read_state(weights)
    network = build_network(description)
    put_weights(network, state, str(weights))
    return LoadedModel(description, card, sha256, folder, network)


def _read_state(weights: Path) -> Mapping[str, Tensor]:
    """The tensors of a checkpoint; nothing that it holds is executed."""
    import torch

    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        msg = (
            f"{weights} holds something other than tensors, which could be code, and was not loaded. "
            "Save the network's state dictionary: torch.save(network.state_dict(), 'model.pt')."
        )
        raise ModelError(msg) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        msg = f"{weights} cannot be read as weights: {error}. Get the bundle again."
        raise ModelError(msg) from error
    for key in _STATE_KEYS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    is_state = isinstance(state, Mapping) and state and all(isinstance(one, torch.Tensor) for one in state.values())
    if not is_state:
        msg = f"{weights} does not hold the tensors of a network. Save the network's state dictionary in it."
        raise ModelError(msg)
    return state


def _architecture(config: Mapping[str, object]) -> dict[str, object]:
    """The network's class and arguments of a bundle's configuration."""
    definition = next((config[key] for key in _NETWORK_KEYS if isinstance(config.get(key), Mapping)), None)
    if definition is None:
        msg = f"{INFERENCE.name} defines no network_def with a _target_ and plain values."
        raise ModelError(msg)
    arguments = dict(definition)
    target = arguments.pop("_target_", None)
    arguments.pop("_desc_", None)
    if not isinstance(target, str):
        msg = f"The network_def of {INFERENCE.name} names no _target_."
        raise ModelError(msg)
    name = target.rpartition(".")[2]
    if target != name and not target.startswith(_NETWORKS):
        msg = f"The network_def of {INFERENCE.name} names {target[:100]!r}; only classes of {_NETWORKS[:-1]} are built."
        raise ModelError(msg)
    arguments = {key: _looked_up(value, config) for key, value in arguments.items()}
    check_plain(arguments)
    return {"network": name} | arguments


def _looked_up(value: object, config: Mapping[str, object]) -> object:
    """What ``@name`` stands for, where it is a value of the configuration itself."""
    if isinstance(value, str) and value.startswith("@") and value[1:] in config:
        return config[value[1:]]
    return [_looked_up(item, config) for item in value] if isinstance(value, list) else value


def _what_it_is(metadata: Mapping[str, object], architecture: dict[str, object]) -> tuple[ModelDescription, ModelCard]:
    ours = metadata.get(_OURS)
    if isinstance(ours, Mapping):
        description = ModelDescription.from_dict(ours.get("model"))
        if dict(description.architecture) != architecture:
            msg = f"{METADATA.name} and {INFERENCE.name} describe different networks."
            raise ModelError(msg)
        return description, ModelCard.from_dict(ours.get("card"))
    channels = _described(metadata, "outputs", "pred").get("channel_def")
    names = sorted(channels.items(), key=lambda item: str(item[0]).zfill(9)) if isinstance(channels, Mapping) else []
    image = _described(metadata, "inputs", "image")
    keys = ("type", "format", "modality", "num_channels", "spatial_shape", "value_range")
    values = {
        "name": str(metadata.get("name") or "bundle"),
        "version": str(metadata.get("version") or ""),
        "task": str(metadata.get("task") or ""),
        "architecture": architecture,
        "input": {key: image[key] for key in keys if key in image and not _is_expression(image[key])},
        "output": {"classes": [str(name) for _, name in names]},
    }
    sets = {"training_sets": [{"name": str(metadata["data_source"]), "licence": "not said"}]}
    card = ModelCard.from_dict(
        {
            "intended_use": str(metadata.get("intended_use") or ""),
            "licence": str(metadata.get("copyright") or "not said"),
            "remarks": f"Imported from a MONAI bundle. {metadata.get('description') or ''}".strip(),
            **(sets if metadata.get("data_source") else {}),
        }
    )
    return ModelDescription.from_dict(values), card


def _is_expression(value: object) -> bool:
    """Whether it is not plain, as the shapes of some bundles are, which say ``16*n`` in words of their own."""
    try:
        check_plain(value)
    except ModelError:
        return True
    return False


def _described(metadata: Mapping[str, object], *path: str) -> Mapping[str, object]:
    found = metadata.get("network_data_format")
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _inference(description: ModelDescription) -> dict[str, object]:
    arguments = {key: value for key, value in description.to_dict()["architecture"].items() if key != "network"}
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": description.architecture["network"], **arguments},
        "network": "$@network_def.to(@device)",
        "weights": f"$torch.load(@bundle_root + '/{WEIGHTS.as_posix()}', map_location=@device, weights_only=True)",
        "initialize": ["$@network.load_state_dict(@weights)", "$@network.eval()"],
        "inferer": {"_target_": "SimpleInferer"},
    }


def _metadata(model: LoadedModel, digest: str) -> dict[str, object]:
    import monai
    import numpy as np
    import torch

    description, card = model.description, model.card
    architecture = description.architecture
    dimensions = architecture.get("spatial_dims", 2)
    common = {"type": "image", "format": "hounsfield", "dtype": "float32", "is_patch_data": False}
    image = {"num_channels": architecture.get("in_channels", 1), "spatial_shape": ["*"] * dimensions}
    prediction = {
        "num_channels": len(description.classes) or architecture.get("out_channels", 1),
        "spatial_shape": ["*"] * dimensions,
        "value_range": [],
        "channel_def": {str(number): name for number, name in enumerate(description.classes)},
    }
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": description.version,
        "name": description.name,
        "changelog": {description.version: "exported"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {},
        "task": description.task,
        "description": f"{description.task}, as slices; prepared as {_OURS}.model.input says.",
        "authors": "",
        "copyright": card.licence,
        "data_source": "; ".join(one.name for one in card.training_sets),
        "intended_use": card.intended_use,
        "network_data_format": {
            "inputs": {"image": common | image | {"modality": "CT", "value_range": [], "channel_def": {"0": "image"}}},
            "outputs": {"pred": common | {"format": "segmentation"} | prediction},
        },
        _OURS: {"model": description.to_dict(), "card": card.to_dict(), "weights_sha256": digest},
    }
