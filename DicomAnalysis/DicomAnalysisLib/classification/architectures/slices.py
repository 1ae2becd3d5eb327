"""Networks that look at every slice with the same 2-D encoder, and pool over slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import FEATURES, ClassifierDescription
from .base import encode_some, mean_and_max, network_class, put_back
from .encoders import resnet, small2d, vgg16

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SMALL_GRID = (1_000_000, 128, 128)
"""Every slice stays."""

SHARPNESS = 4.0
"""Of the soft maximum over slices: 0 is their mean, infinity their maximum."""


def build(description: ClassifierDescription) -> Module:
    """The network of a description."""
    return {"attention": _attention, "conv": _conv, "slicewise": _slicewise}[description.pooling](description)


def make_encoder(variant: str, small: bool) -> tuple[Module, int]:
    """Encoder and the channels of its maps."""
    if variant == "vgg16":
        return _narrow_vgg() if small else vgg16()
    if variant == "resnet50":
        return resnet(50, width=0.25 if small else 1.0)
    return small2d() if small else small2d(widths=(32, 64, 128, 256))


def _narrow_vgg() -> tuple[Module, int]:
    """VGG's plan with a quarter of its channels, and its first convolution with steps of two."""
    from torch import nn

    layers = [nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    before = 16
    for after in (24, 24, 0, 48, 48, 0, 96, 96):
        if after:
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before = after
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers), before


def _slice_class() -> type[Module]:
    import torch

    class SliceNetwork(network_class()):
        """The parts that all poolings share."""

        def __init__(self, description: ClassifierDescription):
            small = description.size == "small"
            super().__init__(description.outputs, SMALL_GRID if small else None, description.dropout)
            self.encoder, self.channels = make_encoder(description.variant, small)
            self.explained_layer = "encoder"

        def encode(self, reduced: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """Maps of the slices that are not empty, their places, and which slices are (cases, slices)."""
            pictures = reduced.flatten(0, 2)[:, None]
            full = pictures.flatten(1).ne(0).any(1)
            maps, places = encode_some(self.encoder, pictures, full)
            there = torch.zeros(len(pictures), dtype=torch.bool, device=maps.device)
            there[places] = True
            return maps, places, there.reshape(len(reduced), -1)

    return SliceNetwork


def _vector_class() -> type[Module]:
    from torch import nn

    class VectorNetwork(_slice_class()):
        """Every slice becomes one vector."""

        def __init__(self, description: ClassifierDescription):
            super().__init__(description)
            self.projection = nn.Sequential(nn.Linear(2 * self.channels, FEATURES), nn.ReLU(inplace=True))

        def vectors(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
            """Vectors (cases, slices, `FEATURES`), and which slices are there, (cases, slices)."""
            maps, places, there = self.encode(reduced)
            vectors = put_back(self.projection(mean_and_max(maps)), places, there.numel())
            return vectors.reshape(*there.shape, -1), there

    return VectorNetwork


def _attention(description: ClassifierDescription) -> Module:
    from torch import nn

    class AttentionNetwork(_vector_class()):
        """Gated attention over slices (Ilse, Tomczak and Welling 2018)."""

        def __init__(self) -> None:
            super().__init__(description)
            self.value = nn.Sequential(nn.Linear(FEATURES, 64), nn.Tanh())
            self.gate = nn.Sequential(nn.Linear(FEATURES, 64), nn.Sigmoid())
            self.attention = nn.Linear(64, 1)

        def embed(self, reduced: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002
            vectors, there = self.vectors(reduced)
            return (self.weights(vectors, there)[..., None] * vectors).sum(1)

        def weights(self, vectors: Tensor, there: Tensor) -> Tensor:
            """What each slice counts, (cases, slices); they add up to 1."""
            logits = self.attention(self.value(vectors) * self.gate(vectors))[..., 0].float()
            return logits.masked_fill(~there, -1e4).softmax(1)

        def slice_weights(self, images: Tensor) -> Tensor:
            """How much the network looks at each slice, (cases, slices)."""
            return self.weights(*self.vectors(self.reduce(images)))

    return AttentionNetwork()


def _conv(description: ClassifierDescription) -> Module:
    import torch
    from torch import nn

    class ConvNetwork(_slice_class()):
        """A convolution of 1x3x3 on the stacked maps, then mean and largest over slices and positions."""

        def __init__(self) -> None:
            super().__init__(description)
            self.pool = nn.Sequential(
                nn.Conv3d(self.channels, FEATURES, (1, 3, 3), padding=(0, 1, 1), bias=False),
                nn.BatchNorm3d(FEATURES),
                nn.ReLU(inplace=True),
            )
            self.projection = nn.Sequential(nn.Linear(2 * FEATURES, FEATURES), nn.ReLU(inplace=True))

        def embed(self, reduced: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002
            maps, places, there = self.encode(reduced)
            pooled = mean_and_max(self.pool(maps[:, :, None]))
            vectors = put_back(pooled, places, there.numel()).reshape(*there.shape, -1)
            means, largest = vectors.chunk(2, -1)  # of what is not negative: an absent slice changes no maximum
            number = there.sum(1, keepdim=True).clamp(min=1)
            return self.projection(torch.cat([means.sum(1) / number, largest.amax(1)], 1))

    return ConvNetwork()


def _slicewise(description: ClassifierDescription) -> Module:
    class SlicewiseNetwork(_vector_class()):
        """Every slice is scored alone; the volume's logits are a soft maximum of the slices'."""

        def __init__(self) -> None:
            super().__init__(description)

        def embed(self, reduced: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002
            vectors, there = self.vectors(reduced)
            return vectors.sum(1) / there.sum(1, keepdim=True).clamp(min=1)

        def score(self, reduced: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002
            vectors, there = self.vectors(reduced)
            logits = self.head(self.dropout(vectors)).float().masked_fill(~there[..., None], -1e4)
            number = there.sum(1, keepdim=True).clamp(min=1).float()
            return ((SHARPNESS * logits).logsumexp(1) - number.log()) / SHARPNESS

        def slice_logits(self, images: Tensor) -> Tensor:
            """Logits of every slice, (cases, slices, outputs); an empty slice's mean nothing."""
            return self.head(self.vectors(self.reduce(images))[0])

        def slice_weights(self, images: Tensor) -> Tensor:
            """How much each slice counts for the largest output, (cases, slices)."""
            vectors, there = self.vectors(self.reduce(images))
            logits = self.head(vectors).float().amax(2).masked_fill(~there, -1e4)
            return (SHARPNESS * logits).softmax(1)

    return SlicewiseNetwork()
