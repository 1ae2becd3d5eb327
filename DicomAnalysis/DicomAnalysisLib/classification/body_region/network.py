"""The body-region network in numpy: convolutions, one linear layer, softmax."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...errors import ModelError
from ...networks.model_folder import Manifest, check_weights, find_model, read_manifest, shipped_model
from .grid import CELL_MM, CELLS, WINDOWS_HU
from .labels import REGIONS

MODEL = "body-region"
EPSILON = 1e-5
"""Of the batch normalisation, PyTorch's default."""


@dataclass(frozen=True)
class Layer:
    """A 3 x 3 convolution of stride 2, batch normalisation folded in; `rectified` unless it is the last one."""

    weights: np.ndarray
    bias: np.ndarray
    rectified: bool

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images of shape (slices, channels, n, n) to half the rows and columns."""
        padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
        out = np.tensordot(patches, self.weights, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        out += self.bias[:, None, None]
        return np.maximum(out, 0) if self.rectified else out


@dataclass(frozen=True)
class RegionNetwork:
    """The network that ships, or one of the same kind.

    Attributes
    ----------
    layers : tuple of Layer
    weights, bias : array
        Of the linear layer.
    temperature : float
        What the outputs are divided by, so that the probabilities are as often right as they say.
    name, version, sha256 : str
    """

    layers: tuple[Layer, ...]
    weights: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0
    name: str = MODEL
    version: str = ""
    sha256: str = ""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probability of each region, shape (slices, regions), of what `grid.channels` gives."""
        for layer in self.layers:
            images = layer(images)
        logits = images.reshape(len(images), -1) @ self.weights.T + self.bias
        scaled = logits / self.temperature
        exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)


def load_network(model: Path | str = MODEL) -> RegionNetwork:
    """A body-region model, read once.

    Raises
    ------
    UsageError
        If there is none of that name.
    ModelError
        If its files were changed, or are those of another kind of network.
    """
    # A folder that happens to have the name must not stand for the shipped model.
    folder = (shipped_model(MODEL) if model == MODEL else None) or find_model(model)
    return _load(folder, (folder / "manifest.json").stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(folder: Path, _changed: int) -> RegionNetwork:
    manifest = read_manifest(folder)
    check_weights(manifest)
    return from_state(read_safetensors(manifest.weights), manifest)


def from_state(state: Mapping[str, np.ndarray], manifest: Manifest) -> RegionNetwork:
    """The network of a MONAI ``Classifier``'s weights.

    Raises
    ------
    ModelError
        If weights are missing, or the model sees slices in another way than this program prepares them.
    """
    description = manifest.description
    expected = {"cells": CELLS, "cell_mm": CELL_MM, "windows_hu": [list(window) for window in WINDOWS_HU]}
    if description.classes != REGIONS or any(description.input.get(key) != value for key, value in expected.items()):
        msg = f"The model {description.name} in {manifest.folder} tells other regions, or from other input. Use ours."
        raise ModelError(msg)
    depth = len(description.architecture["channels"])
    try:
        layers = tuple(_layer(state, f"net.layer_{n}.", n == depth - 1) for n in range(depth))
        linear = state["final.1.weight"], state["final.1.bias"]
    except KeyError as error:
        msg = f"The weights of the model in {manifest.folder} lack {error}. Get the model again."
        raise ModelError(msg) from error
    temperature = float(description.output.get("temperature", 1.0))
    return RegionNetwork(layers, *linear, temperature, description.name, description.version, manifest.sha256)


def _layer(state: Mapping[str, np.ndarray], name: str, is_last: bool) -> Layer:
    weights, bias = state[name + "conv.weight"], state[name + "conv.bias"]
    if is_last:
        return Layer(weights, bias, rectified=False)
    norm = name + "adn.N."
    scale = state[norm + "weight"] / np.sqrt(state[norm + "running_var"] + EPSILON)
    shift = (bias - state[norm + "running_mean"]) * scale + state[norm + "bias"]
    return Layer(weights * scale[:, None, None, None], shift, rectified=True)


_TYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8")}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file; for where the package of that name is not installed (Slicer's own Python).

    Raises
    ------
    ModelError
        If it is not such a file.
    """
    data = path.read_bytes()
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        return {name: _array(data, start, entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} is not a safetensors file that can be read: {error}. Get the model again."
        raise ModelError(msg) from error


def _array(data: bytes, start: int, entry: Mapping[str, object]) -> np.ndarray:
    kind, shape, (first, last) = _TYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    if not 0 <= first <= last <= len(data) - start or last - first != math.prod(shape) * kind.itemsize:
        msg = "an array lies outside the file"
        raise ValueError(msg)
    array = np.frombuffer(data, kind, math.prod(shape), start + first).reshape(shape)
    return array.astype(np.float32) if kind.kind == "f" else array
