"""A task that a tiny network learns in seconds: bright squares, dark squares, and noise between them."""

from __future__ import annotations

import numpy as np

SIZE = 32


class BrightSquares:
    """Samples as `networks.fitting` takes them."""

    def __init__(self, count=24, seed=0, noise=0.3):
        self.count, self.seed, self.noise = count, seed, noise

    def __len__(self):
        return self.count

    def sample(self, epoch, index):
        random = np.random.default_rng((self.seed, epoch, index))
        label = np.zeros((SIZE, SIZE), np.uint8)
        for value in (1, 2):
            row, column = random.integers(0, SIZE - 10, 2)
            label[row : row + 10, column : column + 10] = value
        image = np.choose(label, (0.0, 1.0, -1.0)) + random.normal(0, self.noise, label.shape)
        return image[None].astype(np.float32), label


def tiny_network(seed=0):
    """A U-Net of a few thousand weights; with dropout, which is random too."""
    import torch
    from monai.networks.nets import UNet

    torch.manual_seed(seed)
    return UNet(2, 1, 3, (4, 8), (2,), num_res_units=1, norm="BATCH", dropout=0.1)
