"""Samples put together to batches, made while the network is busy with the one before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from .fit_options import Samples

if TYPE_CHECKING:
    import torch

KEPT_BYTES = 1_500_000_000
"""Validation samples up to this size are made once and kept."""


def training_batches(samples: Samples, epoch: int, batch: int, seed: int, workers: int = 0) -> Iterator[Batch]:
    """The batches of one epoch, in an order that seed and epoch alone decide.

    Parameters
    ----------
    samples : Samples
    epoch : int
        From 0.
    batch : int
    seed : int
    workers : int
        Processes that make samples; with 0, a thread does.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(samples)).tolist()
    parts = _parts(order, batch)
    if workers:
        return _by_processes(_Epoch(samples, epoch), parts, workers)
    return _ahead(samples, epoch, parts)


def validation_batches(samples: Samples, batch: int) -> Iterator[Batch]:
    """The validation set, which is the same in every epoch."""
    return _ahead(samples, 0, _parts(list(range(len(samples))), batch))


Batch = tuple["torch.Tensor", "torch.Tensor"]
"""Images, float32 (samples, channels, rows, columns), and classes, uint8 (samples, rows, columns)."""


class KeptSamples:
    """Samples that are made once, as far as they fit into memory; for validation.

    Parameters
    ----------
    samples : Samples
    most_bytes : int
    """

    def __init__(self, samples: Samples, most_bytes: int = KEPT_BYTES):
        self._samples = samples
        self._left = most_bytes
        self._kept: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """One sample."""
        if (epoch, index) in self._kept:
            return self._kept[epoch, index]
        made = self._samples.sample(epoch, index)
        size = made[0].nbytes + made[1].nbytes
        if size <= self._left:
            self._left -= size
            self._kept[epoch, index] = made
        return made


def _parts(order: list[int], batch: int) -> list[list[int]]:
    """Batches of equal size as far as possible: batch normalization cannot learn from a single small sample."""
    count = max(1, -(-len(order) // batch))
    return [part.tolist() for part in np.array_split(np.asarray(order, int), count)]


def _made(samples: Samples, epoch: int, indices: list[int]) -> Batch:
    import torch

    made = [samples.sample(epoch, index) for index in indices]
    images = np.stack([np.asarray(image, np.float32) for image, _label in made])
    labels = np.stack([np.asarray(label, np.uint8) for _image, label in made])
    return torch.from_numpy(images), torch.from_numpy(labels)


def _ahead(samples: Samples, epoch: int, parts: list[list[int]]) -> Iterator[Batch]:
    """The next batch is made in a thread; whoever stops early waits for no more than that one."""
    with ThreadPoolExecutor(1, thread_name_prefix="samples") as maker:
        coming = maker.submit(_made, samples, epoch, parts[0])
        for part in parts[1:]:
            ready = coming.result()
            coming = maker.submit(_made, samples, epoch, part)
            yield ready
        yield coming.result()


class _Epoch:
    """Samples of one epoch, as torch's loader asks for them."""

    def __init__(self, samples: Samples, epoch: int):
        self.samples, self.epoch = samples, epoch

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, label = self.samples.sample(self.epoch, index)
        return np.asarray(image, np.float32), np.asarray(label, np.uint8)


def _by_processes(samples: _Epoch, parts: list[list[int]], workers: int) -> Iterator[Batch]:
    import torch
    from torch.utils.data import DataLoader

    own = torch.Generator()  # else the loader draws from the one that dropout draws from
    yield from DataLoader(samples, batch_sampler=parts, num_workers=workers, generator=own)
