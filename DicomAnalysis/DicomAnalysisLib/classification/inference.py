"""A trained network as fast as it answers: normalisation taken into convolutions, layouts that the kernels like.

The results are those of the network as it was trained, but for rounding.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from ..networks.devices import autocast_dtype, choose_device
from ..networks.folding import fold_batch_norm
from .cases import KeptCases, parts_of
from .learner import channels_last

if TYPE_CHECKING:
    import torch


class FastNetwork:
    """A copy of a classifier's network on a device, for inference alone.

    Parameters
    ----------
    network : torch.nn.Module
        From `architectures.build_classifier`; not changed.
    device : str
        As for `networks.devices.choose_device`.
    short : bool
        Compute in 16 bits where the device gains by it; on the CPU probabilities may move by a percent.
    """

    def __init__(self, network: torch.nn.Module, device: str = "cpu", short: bool = False):
        self.device = choose_device(device)
        wanted = short or self.device.type == "cuda"
        self.dtype = autocast_dtype(self.device) if wanted else None
        self.network = channels_last(fold(network).to(self.device))

    def logits(self, images: torch.Tensor, present: torch.Tensor, reduced: bool = False) -> np.ndarray:
        """float32 (cases, outputs).

        Parameters
        ----------
        images : float32 Tensor, (cases, views, slices, rows, columns)
        present : float32 Tensor, (cases, views)
        reduced : bool
            Whether the network's ``reduce`` was done.
        """
        import torch

        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            images, present = images.to(self.device), present.to(self.device)
            found = self.network.score(images if reduced else self.network.reduce(images), present)
            return found.float().cpu().numpy()

    def of_cases(self, cases: KeptCases, batch: int = 8) -> np.ndarray:
        """Logits of kept cases, in their order."""
        parts = parts_of(np.arange(len(cases)), batch)
        found = [self.logits(images, present, True) for images, present, _labels in cases.batches(parts)]
        return np.concatenate(found)


def fold(network: torch.nn.Module) -> torch.nn.Module:
    """A copy in evaluation mode whose convolutions hold the normalisation after them, also in residual blocks."""
    from torch.nn import BatchNorm2d, BatchNorm3d, Conv2d, Conv3d, Identity
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network = fold_batch_norm(copy.deepcopy(network))
    for block in [one for one in network.modules() if type(one).__name__ in ("ResNetBlock", "ResNetBottleneck")]:
        for number in (1, 2, 3):  # as MONAI's blocks call them, each convolution right before its normalisation
            convolution, norm = getattr(block, f"conv{number}", None), getattr(block, f"bn{number}", None)
            if type(convolution) in (Conv2d, Conv3d) and type(norm) in (BatchNorm2d, BatchNorm3d):
                setattr(block, f"conv{number}", fuse_conv_bn_eval(convolution, norm))
                setattr(block, f"bn{number}", Identity())
    return network
