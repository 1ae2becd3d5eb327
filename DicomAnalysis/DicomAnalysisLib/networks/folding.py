"""Batch normalisation taken into the convolutions before it: the same function with fewer passes over memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module, Sequential


def fold_batch_norm(network: Module) -> Module:
    """A copy of a network, in evaluation mode, whose convolutions hold the batch normalisation that follows them.

    In evaluation a batch normalisation scales and shifts every channel by constants, which
    a convolution can do at no cost. Only where a convolution is followed by its normalisation
    in a plain sequence is anything changed; results differ by rounding (about 1e-6).
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *transposed)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    network = copy.deepcopy(network).eval()
    for sequence in [one for one in network.modules() if _is_plain_sequence(one)]:
        for (owner, name), (next_owner, next_name) in itertools.pairwise(list(_steps(sequence))):
            conv, norm = getattr(owner, name), getattr(next_owner, next_name)
            # A subclass, parametrised weights for example, may compute something else.
            if type(conv) not in convolutions or type(norm) not in norms or norm.running_mean is None:
                continue
            is_transposed = type(conv) in transposed
            if is_transposed and conv.groups > 1:
                continue
            setattr(owner, name, fuse_conv_bn_eval(conv, norm, transpose=is_transposed))
            setattr(next_owner, next_name, nn.Identity())
    return network


def _is_plain_sequence(module: Module) -> bool:
    from torch.nn import Sequential

    return isinstance(module, Sequential) and type(module).forward is Sequential.forward


def _steps(sequence: Sequential) -> Iterator[tuple[Module, str]]:
    """Owner and name of every module that is called, in order, those of inner sequences in their places."""
    for name, module in sequence.named_children():
        if _is_plain_sequence(module):
            yield from _steps(module)
        else:
            yield sequence, name
