"""Prepared cases for training: read once, kept in memory in the pixels that the network looks at.

A case whose image cannot be read goes together with its label, and is listed. Nothing is ever joined by its place in
a list: image and labels are one `KeptCase`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import DicomAnalysisError
from .heads import Heads
from .losses import label_table

if TYPE_CHECKING:
    import torch

KEPT_BYTES = 3_000_000_000
"""Reduced images up to this size stay in memory; others are read again from the cache of prepared images."""


class PreparedSamples(Protocol):
    """What gives prepared images: `dataset.CohortDataset`, or anything like it."""

    def __len__(self) -> int:
        """How many cases."""

    def sample(self, index: int) -> object:
        """A `dataset.Sample`: ``case_id``, ``images`` (V, D, H, W), ``present`` (V,), ``labels``."""


@dataclass(frozen=True)
class LeftOutCase:
    """A case that is not used, and why."""

    case_id: str
    reason: str


@dataclass(frozen=True)
class KeptCase:
    """One case as the network takes it.

    Attributes
    ----------
    case_id : str
    index : int
        In the source, from where it is read again.
    images : Tensor or None
        float32 (V, D, H, W), reduced; None where memory did not hold it.
    present : float32 array, (V,)
    labels : int64 array, (label columns of all targets,)
    """

    case_id: str
    index: int
    images: torch.Tensor | None
    present: np.ndarray
    labels: np.ndarray


Batch = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
"""Images (cases, V, D, H, W), present (cases, V) and labels (cases, columns)."""


class KeptCases:
    """The cases of one part of a split.

    Parameters
    ----------
    samples : PreparedSamples
    heads : Heads
    reduce : callable
        Of the network, `architectures.base`.
    told : callable
        Called with how many cases are read, and of how many; what it raises stops.
    most_bytes : int

    Attributes
    ----------
    left_out : tuple of LeftOutCase
    """

    def __init__(
        self,
        samples: PreparedSamples,
        heads: Heads,
        reduce: Callable[[torch.Tensor], torch.Tensor] = lambda images: images,
        told: Callable[[int, int], None] = lambda _done, _of: None,
        most_bytes: int = KEPT_BYTES,
    ):
        self._samples, self._reduce = samples, reduce
        self._cases: list[KeptCase] = []
        left_out, left = [], most_bytes
        for index in range(len(samples)):
            told(index, len(samples))
            try:
                sample = samples.sample(index)
            except DicomAnalysisError as error:
                left_out.append(LeftOutCase(_case_id(samples, index), str(error)))
                continue
            images = self._reduced(sample.images)
            size = images.numel() * images.element_size()
            kept, left = (images, left - size) if size <= left else (None, left)
            labels = label_table(heads, sample.labels)
            self._cases.append(
                KeptCase(str(sample.case_id), index, kept, np.asarray(sample.present, np.float32), labels)
            )
        self.left_out = tuple(left_out)

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def case_ids(self) -> tuple[str, ...]:
        """In the order of the cases."""
        return tuple(case.case_id for case in self._cases)

    @property
    def labels(self) -> np.ndarray:
        """int64 (cases, label columns)."""
        return np.stack([case.labels for case in self._cases])

    def batches(self, parts: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """Batches of cases, the next one made while the network is busy with the one before."""
        if not parts:
            return
        with ThreadPoolExecutor(1, thread_name_prefix="cases") as maker:
            coming = maker.submit(self._batch, parts[0])
            for part in parts[1:]:
                ready = coming.result()
                coming = maker.submit(self._batch, part)
                yield ready
            yield coming.result()

    def _batch(self, part: Sequence[int]) -> Batch:
        import torch

        cases = [self._cases[place] for place in part]
        images = stack([self._images(case) for case in cases])
        present = torch.from_numpy(np.stack([case.present for case in cases]))
        return images, present, torch.from_numpy(np.stack([case.labels for case in cases]))

    def _images(self, case: KeptCase) -> torch.Tensor:
        return self._reduced(self._samples.sample(case.index).images) if case.images is None else case.images

    def _reduced(self, images: np.ndarray) -> torch.Tensor:
        import torch

        with torch.no_grad():
            return self._reduce(torch.from_numpy(np.ascontiguousarray(images, np.float32))[None])[0].contiguous()


def stack(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Images (V, D, H, W) as one batch; where numbers of slices differ, the shorter end with empty slices."""
    import torch
    from torch.nn import functional

    most = max(one.shape[1] for one in images)
    return torch.stack([functional.pad(one, (0, 0, 0, 0, 0, most - one.shape[1])) for one in images])


def spread_order(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """An order of cases, by chance, in which every kind of label comes as evenly as it can.

    So no batch lacks a class that the others have, as far as there are enough of it.
    """
    random = np.random.default_rng((seed, epoch))
    place = np.empty(len(labels))
    _kinds, kind = np.unique(labels, axis=0, return_inverse=True)
    for one in range(kind.max(initial=-1) + 1):
        members = random.permutation(np.flatnonzero(kind.reshape(-1) == one))
        place[members] = (np.arange(len(members)) + random.random()) / len(members)
    return np.lexsort((random.random(len(labels)), place))


def parts_of(order: np.ndarray, batch: int) -> list[list[int]]:
    """Batches of equal size as far as possible: batch normalisation cannot learn from a single case."""
    count = max(1, -(-len(order) // batch))
    return [part.tolist() for part in np.array_split(np.asarray(order, int), count) if len(part)]


def _case_id(samples: object, index: int) -> str:
    """Which case could not be read: the dataset knows."""
    ids = getattr(samples, "case_ids", None)
    return str(ids[index]) if ids is not None else f"case {index}"
