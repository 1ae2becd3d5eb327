"""Networks for several views of a case, some of which may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import FEATURES, ClassifierDescription
from .base import encode_some, mean_and_max, network_class, put_back
from .encoders import resnet, small2d, vgg16

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SMALL_GRID = (1_000_000, 128, 128)

OF_A_VIEW, KEPT_CHANNELS, KEPT_GRID = 64, 16, 8
"""Numbers made of a view; and the channels and positions of its maps they are made of. Where something is in
a view says where it is in the body, so positions are kept and not averaged away."""


def build(description: ClassifierDescription) -> Module:
    """The network of a description."""
    return {"shared": _shared, "early": _early}[description.variant](description)


def _shared(description: ClassifierDescription) -> Module:
    import torch
    from torch import nn

    small, views = description.size == "small", description.views

    class SharedNetwork(network_class()):
        """One encoder for all views; what it makes of them is put side by side, missing ones as zeros."""

        def __init__(self) -> None:
            super().__init__(description.outputs, SMALL_GRID if small else None, description.dropout)
            self.encoder, channels = small2d() if small else resnet(18)
            self.explained_layer = "encoder"
            self.narrow = nn.Sequential(
                nn.Conv2d(channels, KEPT_CHANNELS, 1, bias=False),
                nn.BatchNorm2d(KEPT_CHANNELS),
                nn.ReLU(inplace=True),
                nn.AdaptiveMaxPool2d(KEPT_GRID),
                nn.Flatten(),
            )
            self.of_view = nn.Linear(KEPT_CHANNELS * KEPT_GRID**2 + 2 * channels, OF_A_VIEW)
            self.view_embedding = nn.Parameter(torch.zeros(views, OF_A_VIEW))
            self.fuse = nn.Sequential(nn.Linear((views + 2) * OF_A_VIEW, FEATURES), nn.ReLU(inplace=True))

        def embed(self, reduced: Tensor, present: Tensor) -> Tensor:
            cases, _views, slices = reduced.shape[:3]
            pictures = reduced.flatten(0, 2)[:, None]
            there = (present > 0)[:, :, None].expand(cases, views, slices).flatten()
            maps, places = encode_some(self.encoder, pictures, there)
            made = self.of_view(torch.cat([self.narrow(maps), mean_and_max(maps)], 1))
            made = put_back(made, places, len(pictures)).reshape(cases, views, slices, -1).amax(2)
            mask = present.to(made)[..., None]
            vectors = torch.relu(made + self.view_embedding) * mask
            mean = vectors.sum(1) / mask.sum(1).clamp(min=1)
            return self.fuse(torch.cat([vectors.flatten(1), mean, vectors.amax(1)], 1))

    return SharedNetwork()


def _early(description: ClassifierDescription) -> Module:
    import torch
    from torch import nn

    small, views = description.size == "small", description.views

    class EarlyNetwork(network_class()):
        """Views as channels; which of them are there is told beside."""

        def __init__(self) -> None:
            super().__init__(description.outputs, SMALL_GRID if small else None, description.dropout)
            self.encoder, channels = small2d(views) if small else vgg16(views)
            self.explained_layer = "encoder"
            self.projection = nn.Sequential(nn.Linear(2 * channels + views, FEATURES), nn.ReLU(inplace=True))

        def embed(self, reduced: Tensor, present: Tensor) -> Tensor:
            pictures = reduced.mean(2) * present.to(reduced)[:, :, None, None]
            maps = self.encoder(pictures)
            return self.projection(torch.cat([mean_and_max(maps), present.to(maps)], 1))

    return EarlyNetwork()
