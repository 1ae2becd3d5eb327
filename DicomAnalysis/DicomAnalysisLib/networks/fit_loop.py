"""One epoch of a training, and one pass over the validation set."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .batches import training_batches, validation_batches
from .devices import autocast_dtype, choose_device
from .epoch_loop import memory_explained
from .fit_options import FitOptions, Samples, TrainingError

if TYPE_CHECKING:
    import torch

WEIGHT_DECAY = 1e-4
LARGEST_GRADIENT = 5.0
WARM_UP = 0.1


class LearningState:
    """What goes on learning after a kill: `network`, `optimizer`, `schedule` and `scaler`, set by who learns."""

    @property
    def learning_rate(self) -> float:
        """At the present step."""
        return float(self.schedule.get_last_lr()[0])

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on from here."""
        parts = {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from an earlier state."""
        for name in ("network", "optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(state[name])


class Trainer(LearningState):
    """A network with all that changes while it learns.

    Parameters
    ----------
    network : torch.nn.Module
        Moved to the device.
    steps : int
        Of the whole training, for the learning rate's schedule.
    options : FitOptions
    """

    def __init__(self, network: torch.nn.Module, steps: int, options: FitOptions):
        import torch

        self.options = options
        self.device = choose_device(options.device)
        self.dtype = _type_of(options, self.device)
        with memory_explained(str(options.batch)):
            self.network = network.to(self.device)
            if self.device.type == "cuda":
                self.network = self.network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=WEIGHT_DECAY)
        self.schedule = one_cycle(self.optimizer, options.learning_rate, steps + 1)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.loss = make_loss(options.loss)

    def train(self, samples: Samples, epoch: int, told: Callable[[int, int, float], None]) -> float:
        """One epoch (from 0) of training.

        Parameters
        ----------
        samples : Samples
        epoch : int
        told : callable
            Called with batch, batches and the mean loss so far; may raise to stop.

        Returns
        -------
        float
            Mean loss over the samples.

        Raises
        ------
        TrainingError
            If the numbers leave all bounds, or the memory of the device is too small.
        """
        import torch

        options = self.options
        torch.manual_seed(int(np.random.SeedSequence((options.seed, epoch)).generate_state(1)[0]))  # dropout
        self.network.train()
        total, seen, batches = 0.0, 0, max(1, math.ceil(len(samples) / options.batch))
        for number, batch in enumerate(
            training_batches(samples, epoch, options.batch, options.seed, options.workers), start=1
        ):
            with memory_explained(str(options.batch)):
                loss = self._step(*batch)
            if not math.isfinite(loss):
                msg = (
                    f"The loss is no longer a number (epoch {epoch + 1}, batch {number}); what was reached before is "
                    f"kept. Lower the learning rate (now {options.learning_rate:g}) and start in another folder."
                )
                raise TrainingError(msg)
            total, seen = total + loss * len(batch[0]), seen + len(batch[0])
            told(number, batches, total / seen)
        return total / max(1, seen)

    def validate(self, samples: Samples, told: Callable[[], None]) -> tuple[float, np.ndarray]:
        """Mean loss over the validation set, and its counts.

        Returns
        -------
        loss : float
        counts : array of int64, shape (classes, 3)
            Voxels in both, in the truth and in the prediction, summed over the whole set.
        """
        import torch

        self.network.eval()
        total, seen, counts = 0.0, 0, np.zeros((self.options.classes, 3), np.int64)
        with torch.inference_mode():
            for images, labels in validation_batches(samples, self.options.batch):
                with memory_explained(str(self.options.batch)):
                    logits, truth = self._forward(images), labels.to(self.device)
                    total += float(self.loss(logits.float(), truth)) * len(images)
                    counts += _counts(logits.argmax(1), truth, self.options.classes)
                seen += len(images)
                told()
        return total / max(1, seen), counts

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Classes, uint8 (rows, columns), of one image."""
        import torch

        self.network.eval()
        with torch.inference_mode():
            logits = self._forward(torch.from_numpy(np.asarray(image, np.float32)[None]))
        return logits.argmax(1)[0].to(torch.uint8).cpu().numpy()

    def _forward(self, images: torch.Tensor) -> torch.Tensor:
        import torch

        kwargs = {"memory_format": torch.channels_last} if self.device.type == "cuda" else {}
        images = images.to(self.device, **kwargs)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            return self.network(images)

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self._forward(images).float(), labels.to(self.device))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return float(loss.detach())


def one_cycle(optimizer: torch.optim.Optimizer, rate: float, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    """The learning rate's rise and fall over all steps, up to `rate`."""
    import torch

    steps = max(2, steps)
    warm_up = max(WARM_UP, min(1.0, 2 / steps))  # a rise of no step is a division by zero in torch
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=warm_up, cycle_momentum=False
    )


def make_loss(name: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss of logits (samples, classes, rows, columns) and classes, uint8 (samples, rows, columns).

    MONAI's Dice and cross-entropy, each over the whole batch: most slices lack some class, and the
    Dice of a class in a single slice without it says nothing.
    """
    import torch
    from monai.losses import DiceCELoss

    dice = 0.0 if name == "ce" else 1.0
    loss = DiceCELoss(softmax=True, include_background=False, batch=True, lambda_dice=dice)

    def of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        # One-hot here: with class numbers, CUDA's cross-entropy of images is not deterministic.
        classes = torch.arange(logits.shape[1], device=logits.device, dtype=labels.dtype)
        return loss(logits, (labels[:, None] == classes[None, :, None, None]).to(logits.dtype))

    return of


def dice_of(counts: np.ndarray) -> tuple[float | None, ...]:
    """Dice of each foreground class from its counts; None for one that is neither there nor found."""
    return tuple(2 * int(both) / int(truth + found) if truth + found else None for both, truth, found in counts[1:])


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Let torch use deterministic algorithms where it has them, and leave its settings as they were."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = False  # 6 % of a step, for memory that nobody reads
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        with torch.random.fork_rng(enabled=True):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        torch.utils.deterministic.fill_uninitialized_memory = fill


def _counts(found: torch.Tensor, truth: torch.Tensor, classes: int) -> np.ndarray:
    import torch

    pairs = torch.bincount((truth.long() * classes + found).flatten().cpu(), minlength=classes * classes)
    table = pairs.reshape(classes, classes).numpy()
    return np.stack([np.diag(table), table.sum(1), table.sum(0)], axis=1)


def _type_of(options: FitOptions, device: torch.device) -> torch.dtype | None:
    import torch

    if isinstance(options.amp, str):
        return getattr(torch, options.amp)
    return autocast_dtype(device) if options.amp else None
