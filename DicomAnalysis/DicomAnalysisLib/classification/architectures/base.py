"""What all classifying networks share: a coarser look for the small size, features of one length, one last layer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from . import FEATURES

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Grid = tuple[int, int, int] | None
"""Slices, rows and columns at most, about; None looks at every pixel."""


@functools.cache
def network_class() -> type[Module]:
    """The base class of the networks; it is made when torch is first needed."""
    import torch
    from torch import nn
    from torch.nn import functional

    class ClassifierNetwork(nn.Module):
        """Images to logits by way of `FEATURES` numbers.

        Whoever trains calls `reduce` once a case and keeps its result; `score` goes on from there.
        """

        explained_layer = ""

        def __init__(self, outputs: int, grid: Grid, dropout: float):
            super().__init__()
            self.grid = grid
            self.dropout = nn.Dropout(dropout)
            self.head = nn.Linear(FEATURES, outputs)

        def reduce(self, images: Tensor) -> Tensor:
            """Images in the pixels that the network looks at: means over blocks of whole numbers of pixels."""
            if self.grid is None:
                return images
            factors = [max(1, round(size / most)) for size, most in zip(images.shape[2:], self.grid, strict=True)]
            if max(factors) == 1:
                return images
            return functional.avg_pool3d(images, factors, ceil_mode=True, count_include_pad=False)

        def embed(self, reduced: Tensor, present: Tensor) -> Tensor:
            """Features (cases, `FEATURES`) of images that were reduced."""
            raise NotImplementedError

        def score(self, reduced: Tensor, present: Tensor) -> Tensor:
            """Logits of images that were reduced."""
            return self.head(self.dropout(self.embed(reduced, present)))

        def features(self, images: Tensor, present: Tensor) -> Tensor:
            """What the last layer sees, (cases, `FEATURES`)."""
            return self.embed(self.reduce(images), present)

        def forward(self, images: Tensor, present: Tensor) -> Tensor:
            """Logits (cases, outputs)."""
            return self.score(self.reduce(images), present)

        def shift_logits(self, shifts: Tensor) -> None:
            """Add a constant to every output, (outputs,); see `losses.prior_shifts`."""
            with torch.no_grad():
                self.head.bias += shifts.to(self.head.bias)

    return ClassifierNetwork


def encode_some(encoder: Module, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of the pictures that are wanted alone; an empty slice or a missing view costs and changes nothing.

    Parameters
    ----------
    encoder : torch.nn.Module
    images : Tensor, (pictures, 1, rows, columns)
    wanted : Tensor of bool, (pictures,)

    Returns
    -------
    maps : Tensor, (wanted pictures, channels, rows, columns)
    places : Tensor of int64
        Their places among the pictures.
    """
    places = wanted.nonzero()[:, 0]
    if not len(places):  # an empty case still gets an answer, that of an empty picture
        places = places.new_zeros(1)
    return encoder(images[places]), places


def put_back(values: Tensor, places: Tensor, count: int) -> Tensor:
    """Values (wanted, numbers) at their places among `count`, zero elsewhere."""
    return values.new_zeros(count, values.shape[1]).index_copy(0, places, values)


def mean_and_max(maps: Tensor) -> Tensor:
    """Over all positions, (pictures, 2 x channels): what is everywhere, and what is anywhere."""
    import torch

    flat = maps.flatten(2)
    return torch.cat([flat.mean(2), flat.amax(2)], 1)
