"""Pretrained weights (ImageNet, MedicalNet) from a local file or a URL with its SHA-256, kept after the first time.

Nothing is fetched unless the user names an address. Files are read as tensors alone; nothing in them is executed.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DicomAnalysisError, ModelError, UsageError
from ..files.atomic import atomic_path
from ..networks.model_folder import file_sha256

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

AT_RANDOM = "random start"
FEWEST = 0.5
"""Of the convolutions of the encoder: a file that fits fewer is not one for it."""

LARGEST_DOWNLOAD = 4_000_000_000
TIMEOUT = 30.0
_WRAPPERS = ("module.", "model.", "encoder.", "backbone.", "features.", "network.")


class UnreachableError(DicomAnalysisError):
    """Weights could not be fetched: no network, a proxy, or the address is gone."""


def load_pretrained(network: Module, weights: str, sha256: str = "", cache: Path | None = None) -> str:
    """Give a network's encoder pretrained weights; what they do not cover stays as it was drawn.

    Parameters
    ----------
    network : torch.nn.Module
        From `architectures.build_classifier`.
    weights : str
        A file or a URL (https); empty for none.
    sha256 : str
        What the file must have; a URL needs it.
    cache : Path, optional
        Where downloads are kept; the user's cache folder by default.

    Returns
    -------
    str
        What the network starts from, in words for the result.

    Raises
    ------
    UsageError
        If there is no such file, its SHA-256 is another, or a URL comes without one.
    ModelError
        If it cannot be read or fits this network too little.
    """
    if not weights:
        return AT_RANDOM
    if weights.startswith(("http://", "https://")):
        try:
            file = fetch(weights, sha256, cache or cache_folder())
        except UnreachableError as error:
            return f"{AT_RANDOM}: {error}"
    else:
        file = _local(weights, sha256)
    taken, of = put_encoder_weights(network, read_weights(file), str(file))
    return f"pretrained weights {file.name}, SHA-256 {file_sha256(file)}: {taken} of {of} convolutions"


def fetch(url: str, sha256: str, cache: Path) -> Path:
    """A file from a URL, from the cache where it was fetched before.

    Raises
    ------
    UsageError
        If no SHA-256 is given, or the file has another.
    UnreachableError
        If it cannot be reached.
    """
    wanted = sha256.lower()
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        msg = f"The weights at {url} need their SHA-256 (64 hexadecimal digits), so that it is known what is loaded."
        raise UsageError(msg)
    ending = ".safetensors" if url.partition("?")[0].endswith(".safetensors") else ".pth"
    file = cache / f"{wanted}{ending}"
    if file.is_file() and file_sha256(file) == wanted:
        return file
    with atomic_path(file) as temporary:
        _download(url, temporary)
        found = file_sha256(temporary)
        if found != wanted:
            msg = f"The file at {url} has the SHA-256 {found}, not {wanted}; it is not used. Ask its source."
            raise UsageError(msg)
    return file


def cache_folder() -> Path:
    """Where fetched weights are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "dicom-analysis" / "weights"


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors by name, of a safetensors file or of one that torch saved (``weights_only``).

    Raises
    ------
    ModelError
        If it is neither.
    """
    import torch

    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds
        msg = f"{file} cannot be read as weights ({type(error).__name__}). Give a .safetensors or .pth file of tensors."
        raise ModelError(msg) from error
    for name in ("state_dict", "model", "network"):
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping):
        msg = f"{file} holds no weights by name. Give a .safetensors or .pth file of tensors."
        raise ModelError(msg)
    return {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor)}


def put_encoder_weights(network: Module, state: Mapping[str, Tensor], where: str) -> tuple[int, int]:
    """Put weights where name and shape fit; VGG's, whose numbering differs with normalisation, by their order.

    A first convolution for colours is summed over them: a grey picture is one of three equal channels.

    Returns
    -------
    int, int
        Convolutions that were filled, and how many there are.

    Raises
    ------
    ModelError
        If fewer than half of them fit.
    """
    import torch
    from torch.nn import Conv2d, Conv3d

    encoder = dict(network.named_modules())[network.explained_layer]
    own = encoder.state_dict()
    convolutions = [name for name, module in encoder.named_modules() if isinstance(module, (Conv2d, Conv3d))]
    given = {_bare(name): value for name, value in state.items()}
    numbered = [name for name, value in given.items() if name.endswith("weight") and value.ndim in (4, 5)]
    places = {f"{name}.weight" for name in convolutions}
    by_name = {name: value for name, value in given.items() if name in own and _fitted(value, own[name]) is not None}
    fitting = sum(name in by_name for name in places)
    if fitting < len(places):  # by order, if every one fits in its turn
        pairs = list(zip(convolutions, numbered, strict=False))
        in_order = {f"{mine}.weight": given[theirs] for mine, theirs in pairs}
        if len(numbered) == len(convolutions) and all(_fitted(v, own[n]) is not None for n, v in in_order.items()):
            biases = {f"{mine}.bias": given.get(theirs.removesuffix("weight") + "bias") for mine, theirs in pairs}
            in_order |= {n: v for n, v in biases.items() if v is not None and n in own and v.shape == own[n].shape}
            by_name, fitting = in_order, len(places)
    if fitting < FEWEST * len(places):
        msg = (
            f"The weights in {where} fit {fitting} of {len(places)} convolutions of this network. "
            "Give weights of the same architecture and the size standard, or none."
        )
        raise ModelError(msg)
    with torch.no_grad():
        for name, value in by_name.items():
            own[name].copy_(_fitted(value, own[name]))
    return fitting, len(places)


def _fitted(value: Tensor, own: Tensor) -> Tensor | None:
    if value.shape == own.shape:
        return value
    colours = value.ndim in (4, 5) and value.ndim == own.ndim and value.shape[1] == 3 and own.shape[1] == 1
    if colours and value.shape[0] == own.shape[0] and value.shape[2:] == own.shape[2:]:
        return value.sum(1, keepdim=True)
    return None


def _bare(name: str) -> str:
    """Without what wrappers put in front."""
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _local(weights: str, sha256: str) -> Path:
    file = Path(weights)
    if not file.is_file():
        msg = f"There is no file with weights {weights}. Give a file, or an address that begins with https://."
        raise UsageError(msg)
    if sha256 and (found := file_sha256(file)) != sha256.lower():
        msg = f"{weights} has the SHA-256 {found}, not {sha256}; it is not used."
        raise UsageError(msg)
    return file


def _download(url: str, file: Path) -> None:
    if not url.startswith("https://") and not re.match(r"http://(127\.0\.0\.1|localhost)[:/]", url):
        msg = f"Weights are fetched over https alone, not from {url}."
        raise UsageError(msg)
    size = 0
    with file.open("wb") as out:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                while chunk := answer.read(1 << 20):
                    size += len(chunk)
                    if size > LARGEST_DOWNLOAD:
                        msg = f"The file at {url} is larger than {LARGEST_DOWNLOAD // 10**9} GB; it is not used."
                        raise UsageError(msg)
                    out.write(chunk)
        except (OSError, http.client.HTTPException) as error:
            msg = f"the weights at {url} could not be fetched ({getattr(error, 'reason', None) or error})"
            raise UnreachableError(msg) from error
