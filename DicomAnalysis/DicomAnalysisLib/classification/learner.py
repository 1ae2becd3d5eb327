"""A network while it learns: one epoch of training, one pass over validation, and the scores of that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..networks.devices import autocast_dtype, choose_device
from ..networks.epoch_loop import memory_explained
from ..networks.fit_loop import LARGEST_GRADIENT, LearningState, one_cycle
from ..networks.fit_options import TrainingError
from .augmentation import augment
from .cases import KeptCases, parts_of, spread_order
from .evaluation.metrics import auroc
from .heads import Heads
from .losses import class_weights, indicators, make_loss
from .options import ClassifierOptions

if TYPE_CHECKING:
    import torch


SETTLED_BY = 128
"""Training cases, as they are, by which normalisation is measured before validation."""


class Learner(LearningState):
    """A network with all that changes while it learns.

    Parameters
    ----------
    network : torch.nn.Module
        Moved to the device.
    training : KeptCases
    heads : Heads
    options : ClassifierOptions
    """

    def __init__(self, network: torch.nn.Module, training: KeptCases, heads: Heads, options: ClassifierOptions):
        import torch

        self.options, self.training, self.heads = options, training, heads
        self.device = choose_device(options.device)
        # On the CPU learning in 16 bits gains little and costs accuracy.
        self.dtype = autocast_dtype(self.device) if self.device.type == "cuda" else None
        self.network = channels_last(network.to(self.device))
        self.batches = len(parts_of(np.arange(len(training)), options.batch))
        steps = self.batches * options.epochs + 1
        rate = options.largest_rate
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=options.weight_decay)
        self.schedule = one_cycle(self.optimizer, rate, steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.weights = weights_of(heads, training) if options.balance == "weights" else {}
        self.loss = make_loss(heads, options.balance, self.weights)

    def train(self, epoch: int, told: Callable[[int, int, float], None]) -> float:
        """One epoch (from 0) of training; the mean loss.

        Raises
        ------
        TrainingError
            If the numbers leave all bounds, or the memory of the device is too small.
        """
        import torch

        options = self.options
        torch.manual_seed(int(np.random.SeedSequence((options.seed, epoch)).generate_state(1)[0]))  # dropout
        self.network.train()
        parts = parts_of(spread_order(self.training.labels, options.seed, epoch), options.batch)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        seen = 0
        for number, (part, batch) in enumerate(zip(parts, self.training.batches(parts), strict=True), start=1):
            with memory_explained(f"{options.batch} cases"):
                total += self._step(np.asarray(part), epoch, *batch) * len(part)
            seen += len(part)
            mean = float(total) / seen
            if not math.isfinite(mean):
                msg = (
                    f"The loss is no longer a number (epoch {epoch + 1}, batch {number}); what was reached before is "
                    f"kept. Lower the learning rate (now {options.largest_rate:g}) and start in another folder."
                )
                raise TrainingError(msg)
            told(number, len(parts), mean)
        return float(total) / max(1, seen)

    def settle(self) -> None:
        """Measure batch normalisation's means and variances on training cases as they are.

        Running averages are those of augmented images, which turning makes smoother, and lag behind weights that
        change quickly: a network that tells its training batches well may then tell nothing of what it is to be used
        on (Wu and Johnson 2021, arXiv 2105.07576).
        """
        import torch

        layers = [one for one in self.network.modules() if isinstance(one, torch.nn.modules.batchnorm._BatchNorm)]
        if not layers:
            return
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean over all batches
        self.network.train()
        chosen = spread_order(self.training.labels, self.options.seed, 0)[:SETTLED_BY]
        with torch.no_grad():
            for images, present, _labels in self.training.batches(parts_of(chosen, max(8, self.options.batch))):
                with memory_explained(f"{self.options.batch} cases"):
                    self._forward(images.to(self.device), present)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum

    def validate(self, cases: KeptCases, told: Callable[[], None] = lambda: None) -> tuple[float, np.ndarray]:
        """Mean loss, and logits, float32 (cases, outputs) in the order of the cases."""
        import torch

        self.network.eval()
        logits, total = [], 0.0
        with torch.inference_mode():
            for images, present, labels in cases.batches(parts_of(np.arange(len(cases)), self.options.batch)):
                with memory_explained(f"{self.options.batch} cases"):
                    found = self._forward(images.to(self.device), present).float()
                    total += float(self.loss(found, labels.to(self.device))) * len(images)
                logits.append(found.cpu().numpy())
                told()
        return total / max(1, len(cases)), np.concatenate(logits)

    def _step(
        self, indices: np.ndarray, epoch: int, images: torch.Tensor, present: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        import torch

        options = self.options
        images = augment(images.to(self.device), indices, options.augmentation, options.seed, epoch)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self._forward(images, present).float(), labels.to(self.device))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return loss.detach()

    def _forward(self, images: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            return self.network.score(images, present.to(self.device))


def weights_of(heads: Heads, training: KeptCases) -> dict[str, np.ndarray]:
    """Weights of classes by target, from the training cases alone."""
    found, start, labels = {}, 0, training.labels
    for head in heads:
        columns = labels[:, start : start + head.target.columns]
        found[head.target.name] = class_weights(head.target, columns)
        start += head.target.columns
    return found


def class_scores(heads: Heads, logits: np.ndarray, labels: np.ndarray) -> tuple[float | None, ...]:
    """AUROC of every judged class; None where the cases lack positives or negatives.

    Parameters
    ----------
    heads : Heads
    logits : array, (cases, outputs)
    labels : int array, (cases, label columns)
    """
    scores: list[float | None] = []
    start = 0
    for head in heads:
        truth = indicators(head, labels, start)
        start += head.target.columns
        chances = head.probabilities(logits)
        for index in range(len(head.target.classes) - len(head.judged), len(head.target.classes)):
            known = truth[:, index] >= 0
            value = float(auroc(truth[known, index], chances[known, index]))
            scores.append(value if math.isfinite(value) else None)
    return tuple(scores)


def mean_score(scores: tuple[float | None, ...]) -> float:
    """Mean of what is known; 0.5, that of guessing, where nothing is."""
    known = [one for one in scores if one is not None]
    return sum(known) / len(known) if known else 0.5


def channels_last(network: torch.nn.Module) -> torch.nn.Module:
    """The network with its convolutions' weights as the fast kernels read them, in 2-D and 3-D alike."""
    import torch

    for parameter in network.parameters():
        if parameter.ndim in (4, 5):
            layout = torch.channels_last if parameter.ndim == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return network
