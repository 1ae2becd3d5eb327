"""Encoders of single pictures, (pictures, channels, rows, columns) to maps: VGG-16, ResNet, and a small one."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of the convolutions; 0 halves rows and columns (Simonyan and Zisserman 2015, configuration D)."""


def vgg16(channels: int = 1) -> tuple[Module, int]:
    """VGG-16's 13 convolutions with batch normalisation; published weights fit without and with it.

    Returns
    -------
    encoder : torch.nn.Module
    channels : int
        Of its maps.
    """
    from torch import nn

    layers, before = [], channels
    for after in _VGG16:
        if after == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        before = after
    network = nn.Sequential(*layers)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return network, before


def resnet(depth: int, dimensions: int = 2, channels: int = 1, width: float = 1.0) -> tuple[Module, int]:
    """MONAI's ResNet18 or ResNet50 up to its last maps.

    Its names are those of torchvision and MedicalNet, whose weights fit.
    """
    from monai.networks.nets import ResNet
    from torch import nn

    block, layers = {18: ("basic", [2, 2, 2, 2]), 50: ("bottleneck", [3, 4, 6, 3])}[depth]
    planes = [int(width * one) for one in (64, 128, 256, 512)]
    network = ResNet(
        block,
        layers,
        planes,
        spatial_dims=dimensions,
        n_input_channels=channels,
        conv1_t_size=7,
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
    )
    names = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")
    encoder = nn.Sequential()
    for name in names:
        encoder.add_module(name, getattr(network, name))
    return encoder, planes[-1] * (4 if block == "bottleneck" else 1)


def small2d(channels: int = 1, widths: tuple[int, ...] = (16, 32, 64, 128)) -> tuple[Module, int]:
    """Four steps of halved pictures, by convolutions with steps of two; 0.3 million parameters."""
    from torch import nn

    layers: list[Module] = []

    def add(before: int, after: int, size: int, step: int) -> None:
        convolution = nn.Conv2d(before, after, size, step, size // 2, bias=False)
        layers.extend((convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)))

    add(channels, widths[0], 5, 2)
    for before, after in pairwise(widths):
        add(before, after, 3, 2)
        add(after, after, 3, 1)
    return nn.Sequential(*layers), widths[-1]
