"""Networks that see a volume at once: MONAI's DenseNet121 and ResNet18, and a small baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import FEATURES, ClassifierDescription
from .base import network_class

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SMALL_GRID = (32, 64, 64)

SMALLEST = 32
"""Slices, rows and columns below which a network that halves five times has nothing left; fewer are repeated."""


def build(description: ClassifierDescription) -> Module:
    """The network of a description."""
    from torch import nn

    small = description.size == "small"
    body, explained_layer = _BODIES[description.variant](small)

    class VolumeNetwork(network_class()):
        """A 3-D network on the only view."""

        def __init__(self) -> None:
            super().__init__(description.outputs, SMALL_GRID if small else None, description.dropout)
            self.body, self.relu, self.explained_layer = body, nn.ReLU(), f"body.{explained_layer}"

        def embed(self, reduced: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002 (a volume is there)
            for axis, size in enumerate(reduced.shape[2:], start=2):
                if size < SMALLEST:
                    reduced = reduced.repeat_interleave(-(-SMALLEST // size), axis)
            return self.relu(self.body(reduced))

    return VolumeNetwork()


def _densenet121(small: bool) -> tuple[Module, str]:
    from monai.networks.nets import DenseNet

    size = {"init_features": 24, "growth_rate": 12, "block_config": (3, 6, 8, 6)} if small else {}
    return DenseNet(spatial_dims=3, in_channels=1, out_channels=FEATURES, **size), "features"


def _resnet18(small: bool) -> tuple[Module, str]:
    from torch import nn

    from .encoders import resnet

    encoder, channels = resnet(18, 3, width=0.25 if small else 1.0)
    network = nn.Sequential()
    network.add_module("encoder", encoder)
    network.add_module("pool", nn.AdaptiveAvgPool3d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("projection", nn.Linear(channels, FEATURES))
    return network, "encoder"


def _small3d(small: bool) -> tuple[Module, str]:
    """The network of "3D image classification from CT scans" (Zunair, keras.io), 1.35 million parameters.

    Four times convolution, ReLU, halving, batch normalisation, with 64, 64, 128 and 256 channels; mean over positions;
    512 hidden units. Here borders are padded, so that any grid will do, and 128 features stand before the last layer.
    """
    from torch import nn

    widths = (16, 32, 64, 128) if small else (64, 64, 128, 256)
    hidden = 256 if small else 512
    layers, before = [], 1
    for after in widths:
        layers += [
            nn.Conv3d(before, after, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(2, ceil_mode=True),
            nn.BatchNorm3d(after),
        ]
        before = after
    network = nn.Sequential()
    network.add_module("encoder", nn.Sequential(*layers))
    network.add_module("pool", nn.AdaptiveAvgPool3d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("hidden", nn.Sequential(nn.Linear(before, hidden), nn.ReLU(inplace=True), nn.Dropout(0.3)))
    network.add_module("projection", nn.Linear(hidden, FEATURES))
    return network, "encoder"


_BODIES = {"densenet121": _densenet121, "resnet18": _resnet18, "small3d": _small3d}
