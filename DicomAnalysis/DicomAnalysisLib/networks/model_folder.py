"""A model as a folder: ``manifest.json`` and ``weights.safetensors``.

The manifest holds the description, the card, size and SHA-256 of the weights, and the SHA-256 of
itself. All of it is checked before a byte of the weights is parsed, so that what was cut short
or changed on its way is refused with its reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError, UsageError
from ..files.atomic import atomic_folder
from ..files.json_text import json_text
from .architectures import ModelDescription, build_network
from .card import ModelCard

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FORMAT = "dicom-analysis-model/1"
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
SHIPPED = Path(__file__).parent / "models"

_LARGEST_MANIFEST = 4_000_000
_CHUNK = 1 << 20
_AGAIN = "Get the model again, or train it again."


@dataclass(frozen=True)
class Manifest:
    """What a model's folder says about it; known without torch.

    Attributes
    ----------
    folder : Path
    description : ModelDescription
    card : ModelCard
    weights : Path
    size : int
        Bytes of the weights.
    sha256 : str
        Of the weights.
    """

    folder: Path
    description: ModelDescription
    card: ModelCard
    weights: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be run.

    Attributes
    ----------
    description : ModelDescription
    card : ModelCard
    sha256 : str
        Of the weights' file; empty where they come from no file.
    folder : Path or None
    network : torch.nn.Module
        On the CPU, in evaluation mode.
    """

    description: ModelDescription
    card: ModelCard
    sha256: str
    folder: Path | None
    network: Module


def save_model(folder: Path | str, network: Module, description: ModelDescription, card: ModelCard) -> Manifest:
    """Write a model so that a reader sees none of it or all of it.

    The same weights and the same words give the same bytes.

    Returns
    -------
    Manifest
        As it is read back.

    Raises
    ------
    ModelError
        If a weight is not finite, or the network is not the one that is described.
    OutputError
        If the folder cannot be written.
    """
    from safetensors.torch import save

    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    put_weights(build_network(description), state, "the network that is to be saved")
    with atomic_folder(folder) as temporary:
        weights = temporary / WEIGHTS
        weights.write_bytes(save(state))  # as a file of ours, readable as the user has it
        document = {
            "format": FORMAT,
            "model": description.to_dict(),
            "weights": {"file": WEIGHTS, "bytes": weights.stat().st_size, "sha256": file_sha256(weights)},
            "card": card.to_dict(),
        }
        document = json.loads(json_text(document))
        (temporary / MANIFEST).write_text(
            json_text(document | {"manifest_sha256": _document_sha256(document)}), encoding="utf-8", newline="\n"
        )
        read_manifest(temporary)  # what cannot be read back is not written
    return read_manifest(folder)


def read_manifest(folder: Path | str) -> Manifest:
    """Description and card of a model's folder. Neither torch nor the weights are needed.

    Raises
    ------
    ModelError
        If the manifest is missing, changed, of another format, or names a file elsewhere.
    """
    folder = Path(folder)
    file = folder / MANIFEST
    document = read_json(file)
    if document.get("format") != FORMAT:
        msg = f"{file} is of the format {str(document.get('format'))[:60]!r}; this version reads {FORMAT}."
        raise ModelError(msg)
    said = document.pop("manifest_sha256", None)
    if said != _document_sha256(document):
        msg = f"{file} was changed after the model was made: its SHA-256 is not the one it states. {_AGAIN}"
        raise ModelError(msg)
    weights = document.get("weights")
    if not (
        isinstance(weights, Mapping)
        and isinstance(weights.get("file"), str)
        and isinstance(weights.get("bytes"), int)
        and isinstance(weights.get("sha256"), str)
    ):
        msg = f"{file} does not say which file holds the weights, how large it is and what its SHA-256 is. {_AGAIN}"
        raise ModelError(msg)
    return Manifest(
        folder=folder,
        description=ModelDescription.from_dict(document.get("model")),
        card=ModelCard.from_dict(document.get("card")),
        weights=_inside(folder, weights["file"]),
        size=weights["bytes"],
        sha256=weights["sha256"],
    )


def check_weights(manifest: Manifest) -> None:
    """Compare the weights' file with its manifest, size first, without parsing it.

    Raises
    ------
    ModelError
        If it is missing, cut short, or changed.
    """
    try:
        size = manifest.weights.stat().st_size
        if size != manifest.size:
            msg = f"{manifest.weights} has {size} bytes; its manifest says {manifest.size}. {_AGAIN}"
            raise ModelError(msg)
        found = file_sha256(manifest.weights)
    except OSError as error:
        msg = f"The weights {manifest.weights} cannot be read: {error.strerror or error}. {_AGAIN}"
        raise ModelError(msg) from error
    if found != manifest.sha256:
        msg = f"{manifest.weights} was changed: its SHA-256 is {found}, its manifest says {manifest.sha256}. {_AGAIN}"
        raise ModelError(msg)


def load_model(folder: Path | str) -> LoadedModel:
    """Read a model's folder, after its hashes were found right.

    Raises
    ------
    ModelError
        If a file is missing, cut short or changed, or does not fit the network it describes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    manifest = read_manifest(folder)
    check_weights(manifest)
    try:
        state = load_file(manifest.weights)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        msg = f"{manifest.weights} is not a safetensors file that can be read: {error}. {_AGAIN}"
        raise ModelError(msg) from error
    network = build_network(manifest.description)
    put_weights(network, state, str(manifest.weights))
    return LoadedModel(manifest.description, manifest.card, manifest.sha256, manifest.folder, network)


def put_weights(network: Module, state: Mapping[str, Tensor], where: str) -> None:
    """Give a network its weights, and set it to evaluation.

    Parameters
    ----------
    network : torch.nn.Module
    state : mapping of str to torch.Tensor
    where : str
        Where the weights are from, for the message.

    Raises
    ------
    ModelError
        If names, shapes or types are not those of the network, or a number is not finite.
    """
    own = network.state_dict()
    wrong = sorted(own.keys() ^ state.keys()) or [
        name for name, tensor in own.items() if tensor.shape != state[name].shape
    ]
    if wrong:
        msg = (
            f"The weights in {where} are not those of the network that the description names: "
            f"{len(wrong)} of {len(own)} differ, for example {wrong[0]}."
        )
        raise ModelError(msg)
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        msg = f"The weights in {where} hold values that are not finite, for example in {broken[0]}. {_AGAIN}"
        raise ModelError(msg)
    network.load_state_dict(dict(state))
    network.eval()


def shipped_models() -> tuple[Manifest, ...]:
    """The models that come with the program, by name."""
    return tuple(read_manifest(file.parent) for file in sorted(SHIPPED.glob(f"*/{MANIFEST}")))


def shipped_model(name: str) -> Path | None:
    """The folder of a model that comes with the program; None if there is none of this name."""
    folder = SHIPPED / name
    return folder if (folder / MANIFEST).is_file() else None


def find_model(name_or_folder: Path | str) -> Path:
    """The folder of a model: one of the user's, given by its path, or one that is shipped, by its name.

    Raises
    ------
    UsageError
        If it is neither.
    """
    folder = Path(name_or_folder)
    if (folder / MANIFEST).is_file():
        return folder
    names = sorted(file.parent.name for file in SHIPPED.glob(f"*/{MANIFEST}"))
    if str(name_or_folder) in names:
        return SHIPPED / str(name_or_folder)
    shipped = f"Models that come with the program: {', '.join(names)}." if names else "No model comes with the program."
    msg = f"There is no model {name_or_folder}: no folder with a {MANIFEST}, nor the name of one. {shipped}"
    raise UsageError(msg)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in parts."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_json(file: Path, what: str = "manifest") -> dict[str, object]:
    """One JSON object from a small file.

    Raises
    ------
    ModelError
        If it is missing, too large, or not one.
    """
    try:
        if file.stat().st_size > _LARGEST_MANIFEST:
            msg = f"{file} is too large to be a model's {what}."
            raise ModelError(msg)
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"The model's {what} {file} cannot be read: {error.strerror or error}. {_AGAIN}"
        raise ModelError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{file} is not JSON: {error}. {_AGAIN}"
        raise ModelError(msg) from error
    if not isinstance(document, dict):
        msg = f"{file} is not a model's {what}. {_AGAIN}"
        raise ModelError(msg)
    return document


def _document_sha256(document: Mapping[str, object]) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder itself, however it is called and whatever it links to."""
    path = folder / name
    plain = name not in ("", ".", "..") and not set(name) & set("/\\:\0")
    if not plain or path.resolve().parent != folder.resolve():
        msg = f"{folder / MANIFEST} names {name[:100]!r}, which is not in the model's folder. Do not use this model."
        raise ModelError(msg)
    return path
