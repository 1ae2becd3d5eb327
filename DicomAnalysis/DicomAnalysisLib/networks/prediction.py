"""Running a network over slices: fast, in order, and to the end also where a graphics card is too small."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError, TaskError, UsageError
from .architectures import size_multiple
from .devices import autocast_dtype, choose_device, is_out_of_memory
from .folding import fold_batch_norm

if TYPE_CHECKING:
    import torch

    from .model_folder import LoadedModel

# Pixels of a batch, as slices of 256 x 256. On the CPU more at once gains nothing and leaves its caches.
_CPU_PIXELS = 4 * 256 * 256
_GPU_PIXELS = 64 * 256 * 256
_MOST_SLICES = 256


class Predictor:
    """A model on a device.

    On the CPU the result of a run is the same to the bit whatever `batch` is, which is for graphics
    cards alone: there the sums of a convolution may be taken in another order.

    Parameters
    ----------
    model : LoadedModel
        Its network is copied, not changed.
    device : str
        As for `choose_device`.
    batch : int, optional
        Slices at once on a graphics card; without it as many as suit their size.

    Attributes
    ----------
    warnings : list of str
        What could not be done as asked, in words for the result.

    Raises
    ------
    UsageError
        If there is no such device, or the batch is not a positive number.
    ModelError
        If the network is not one for slices.
    """

    def __init__(self, model: LoadedModel, device: str = "auto", batch: int | None = None):
        if batch is not None and batch < 1:
            msg = f"A batch of {batch} slices cannot be computed. Give 1 or more."
            raise UsageError(msg)
        dimensions = model.description.architecture.get("spatial_dims", 2)
        if dimensions != 2:
            msg = f"The model {model.description.name} works in {dimensions} dimensions; slices have 2."
            raise ModelError(msg)
        self.warnings: list[str] = []
        self._batch = batch
        self._most = _MOST_SLICES
        self._name = model.description.name
        self._classes = len(model.description.classes)
        self._multiple = size_multiple(model.description)
        self._network = fold_batch_norm(model.network)
        self._move(choose_device(device))

    @property
    def device(self) -> str:
        """Where slices are computed; after a run, where the last one was."""
        return str(self._device)

    def run(self, slices: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Probabilities of the classes, slice by slice in the order of the slices.

        Parameters
        ----------
        slices : iterable of float32 array, (C, H, W)
            Prepared as the model's description says; sizes may differ. They are taken as they
            are needed, a batch at a time.

        Yields
        ------
        float32 array, (classes, H, W)
            They add up to 1 in every pixel.

        Raises
        ------
        ModelError
            If the network does not take such slices, or gives other classes than described.
        TaskError
            If the memory does not hold a single slice.
        """
        for shape, group in itertools.groupby(slices, key=np.shape):
            if len(shape) != 3:
                msg = f"The model {self._name} takes slices as (channels, rows, columns), not of the shape {shape}."
                raise ModelError(msg)
            while chunk := list(itertools.islice(group, self._at_once(shape))):
                yield from self._predict(np.stack(chunk).astype(np.float32, copy=False))

    def _predict(self, stack: np.ndarray) -> Iterator[np.ndarray]:
        rows, columns = stack.shape[-2:]
        # The border's values go on: a border of zeros would be an edge that the image has not.
        padding = [(0, -size % self._multiple) for size in (rows, columns)]
        padded = np.pad(stack, [(0, 0), (0, 0), *padding], mode="edge") if any(padding[0] + padding[1]) else stack
        done = 0
        while done < len(padded):
            part = padded[done : done + self._at_once(stack.shape[1:])]
            probabilities = self._attempt(part)
            if probabilities is None:
                self._retreat(len(part))
                continue
            done += len(part)
            for one in probabilities:
                yield np.ascontiguousarray(one[:, :rows, :columns])

    def _at_once(self, shape: tuple[int, ...]) -> int:
        """How many slices of a shape go through at once."""
        pixels = _CPU_PIXELS if self._device.type == "cpu" else _GPU_PIXELS
        fitting = max(1, pixels // max(1, shape[-2] * shape[-1]))
        wanted = self._batch if self._batch and self._device.type != "cpu" else fitting
        return min(wanted, self._most)

    def _attempt(self, part: np.ndarray) -> np.ndarray | None:
        """Probabilities of one batch; None where the memory did not suffice."""
        import torch

        try:
            with torch.inference_mode():
                probabilities = self._forward(torch.from_numpy(part))
                if self._dtype is torch.float16 and not probabilities.isfinite().all():
                    self._dtype = None
                    self.warnings.append(
                        f"In 16 bits the model {self._name} leaves all bounds; "
                        "it goes on in 32 bits, which takes longer."
                    )
                    probabilities = self._forward(torch.from_numpy(part))
                return probabilities.cpu().numpy()
        except RuntimeError as error:
            if is_out_of_memory(error):
                return None
            msg = f"The model {self._name} cannot be run on slices of the shape {part.shape[1:]}: {error}"
            raise ModelError(msg) from error

    def _forward(self, images: torch.Tensor) -> torch.Tensor:
        import torch

        weight = next(self._network.parameters())
        images = images.to(device=weight.device, memory_format=torch.channels_last)
        autocast = contextlib.nullcontext() if self._dtype is None else torch.autocast(self._device.type, self._dtype)
        with autocast:
            scores = self._network(images)
        is_tensor = isinstance(scores, torch.Tensor)
        if not is_tensor or scores.ndim != 4 or scores.shape[1] != (self._classes or scores.shape[1]):
            found = f"channels {tuple(scores.shape[1:])}" if is_tensor else type(scores).__name__
            msg = f"The model {self._name} gives {found} where its description names {self._classes} classes."
            raise ModelError(msg)
        if scores.shape[2:] != images.shape[2:]:
            msg = (
                f"The model {self._name} makes {tuple(scores.shape[2:])} of {tuple(images.shape[2:])} pixels. "
                "Its description needs the right input.multiple."
            )
            raise ModelError(msg)
        return torch.softmax(scores.float(), dim=1)

    def _retreat(self, size: int) -> None:
        """After the memory did not suffice for `size` slices: fewer at once, then the CPU."""
        import torch

        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if size > 1:
            self._most = size // 2
            self.warnings.append(
                f"The memory of {self.device} did not hold {size} slices at once for the model {self._name}; "
                f"it goes on with {self._most} at once."
            )
        elif self._device.type != "cpu":
            self.warnings.append(
                f"The memory of {self.device} did not hold one slice for the model {self._name}; "
                "it goes on on the CPU, which takes longer."
            )
            self._most = _MOST_SLICES
            self._move(torch.device("cpu"))
        else:
            msg = (
                f"The memory does not hold one slice for the model {self._name}. "
                "Close other programs, or use the classical method."
            )
            raise TaskError(msg)

    def _move(self, device: torch.device) -> None:
        import torch

        self._device = device
        self._dtype = autocast_dtype(device)
        try:
            # Measured: channels last is faster on the CPU and on tensor cores alike.
            self._network = self._network.to(device, memory_format=torch.channels_last)
        except RuntimeError as error:
            if device.type == "cpu" or not is_out_of_memory(error):
                raise
            self._network = self._network.cpu()
        else:
            return
        self._retreat(1)
