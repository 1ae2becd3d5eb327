"""Training a classifier: epochs, validation, early stopping, and going on after a kill.

What is given here are training and validation cases. Test cases never come here, so that nothing can be chosen by
them: neither the best epoch, nor weights of classes, nor the temperature.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..networks.checkpoint import NAME, load_checkpoint, save_checkpoint
from ..networks.curves import write_curves
from ..networks.devices import autocast_dtype, choose_device
from ..networks.fit_loop import LARGEST_GRADIENT, WARM_UP, repeatable
from ..networks.fit_options import EpochRecord, FitProgress, FitResult, TrainingCancelledError, TrainingError
from ..networks.history import write_history
from .augmentation import augment
from .cases import KeptCases, parts_of, spread_order
from .evaluation.metrics import auroc
from .heads import Heads
from .losses import class_weights, indicators, make_loss, prior_shifts
from .options import ClassifierOptions

if TYPE_CHECKING:
    import torch

MEASURE = "AUROC"

LOSS_SHARE, LARGEST_LOSS = 0.2, 1.0
"""The best epoch has the largest mean AUROC less this share of its loss (no more than that), both of validation
patients: among few patients many epochs order all of them rightly, and the loss says which is sure for good reason."""

IMPROVEMENT = 1e-4

Report = Callable[[FitProgress], None]


def fit_classifier(
    network: torch.nn.Module,
    training: KeptCases,
    validation: KeptCases,
    heads: Heads,
    options: ClassifierOptions,
    folder: Path,
    report: Report = lambda _progress: None,
    *,
    resume: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train a network.

    After every epoch the folder holds ``checkpoint.pt``, ``history.json`` and ``history.csv``; at the end also
    ``curves.png``. The same network, cases and options give the same weights, bit for bit on the CPU with the same
    number of threads, also where the training was killed in between and resumed.

    Parameters
    ----------
    network : torch.nn.Module
        From `architectures.build_classifier`. It ends with the weights of the best epoch, on the CPU, in evaluation.
    training, validation : KeptCases
        Of different patients.
    heads : Heads
    options : ClassifierOptions
    folder : Path
    report : callable
        Told of every batch and epoch; what it raises stops the training.
    resume : bool
        Go on from the checkpoint in the folder.
    cancelled : callable
        Asked before every batch.

    Returns
    -------
    FitResult
        Scores are the mean AUROC of the judged classes on validation patients.

    Raises
    ------
    TrainingError
        If it cannot go on: nothing to resume, other options, no cases, numbers out of bounds.
    TrainingCancelledError
        If `cancelled` said so; the checkpoint of the last full epoch is there.
    """
    for name, cases in (("training", training), ("validation", validation)):
        if not len(cases):
            msg = f"There are no cases for {name}. Give more patients, or change the shares."
            raise TrainingError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    with repeatable():
        run = _Run(Learner(network, training, heads, options), validation, folder)
        if resume:
            run.load()
        return run.to_the_end(report, cancelled)


class Learner:
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
        warm_up = max(WARM_UP, min(1.0, 2 / steps))  # a rise of no step is a division by zero in torch
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=options.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rate, total_steps=steps, pct_start=warm_up, cycle_momentum=False
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.weights = weights_of(heads, training) if options.balance == "weights" else {}
        self.loss = make_loss(heads, options.balance, self.weights)

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
            with _memory_explained(options):
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

    def validate(self, cases: KeptCases, told: Callable[[], None] = lambda: None) -> tuple[float, np.ndarray]:
        """Mean loss, and logits, float32 (cases, outputs) in the order of the cases."""
        import torch

        self.network.eval()
        logits, total = [], 0.0
        with torch.inference_mode():
            for images, present, labels in cases.batches(parts_of(np.arange(len(cases)), self.options.batch)):
                with _memory_explained(self.options):
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


class _Run:
    """One training with its history."""

    def __init__(self, learner: Learner, validation: KeptCases, folder: Path):
        self.learner, self.validation, self.folder = learner, validation, folder
        self.options, self.heads = learner.options, learner.heads
        self.history: list[EpochRecord] = []
        self.best: dict[str, torch.Tensor] = {}

    def load(self) -> None:
        """Go on where an earlier run stopped."""
        state = load_checkpoint(self.folder)
        different = self.options.differences(state["options"])
        if state["cases"] != self._cases():
            different.append("set of cases")
        if different:
            names = ", ".join(name.replace("_", " ") for name in different)
            msg = (
                f"The training in {self.folder} was begun with another {names}. "
                "Resume it with what it was begun with, or start in another folder."
            )
            raise TrainingError(msg)
        try:
            self.learner.load_state(state["state"])
        except (RuntimeError, ValueError, KeyError) as error:
            msg = f"{self.folder / NAME} is of another network; start in another folder."
            raise TrainingError(msg) from error
        self.history = [EpochRecord.from_dict(values) for values in state["history"]]
        self.best = state["best"]

    def to_the_end(self, report: Report, cancelled: Callable[[], bool]) -> FitResult:
        """Do the epochs that are left."""
        begun, earlier = time.monotonic(), len(self.history)
        while not (stopped := self._why_stop(time.monotonic() - begun, earlier)):
            record = self._epoch(report, cancelled)
            self._save()
            report(self._progress("validation", len(self.history) - 1, 1.0, record=record))
        network = self.learner.network
        network.load_state_dict(self.best)
        network.to("cpu").eval()
        shifts = prior_shifts(self.heads, self.learner.weights)
        if shifts.any():
            import torch

            network.shift_logits(torch.from_numpy(shifts))
        best = self._best_record()
        return FitResult(
            tuple(self.history),
            best.epoch,
            best.score,
            stopped,
            str(self.learner.device),
            sum(record.seconds for record in self.history),
            tuple(self._draw()),
        )

    def _why_stop(self, seconds: float, earlier: int) -> str:
        """`seconds` have passed since this call began with `earlier` epochs; it does at least one."""
        if len(self.history) >= self.options.epochs:
            return "epochs"
        if self.history and len(self.history) - self._best_record().epoch >= self.options.patience_used:
            return "patience"
        limit = self.options.minutes
        return "minutes" if len(self.history) > earlier and limit is not None and seconds >= 60 * limit else ""

    def _epoch(self, report: Report, cancelled: Callable[[], bool]) -> EpochRecord:
        start, number = time.monotonic(), len(self.history)

        def may_go_on() -> None:
            if cancelled():
                msg = "The training was stopped; resume it to go on from its last full epoch."
                raise TrainingCancelledError(msg)

        def told(batch: int, batches: int, loss: float) -> None:
            report(self._progress("training", number, 0.9 * batch / batches, batch, batches, loss, start))
            may_go_on()

        may_go_on()
        loss = self.learner.train(number, told)
        batches = self.learner.batches
        report(self._progress("validation", number, 0.9, batches, batches, loss, start))
        validation_loss, logits = self.learner.validate(self.validation, may_go_on)
        if not (math.isfinite(validation_loss) and np.isfinite(logits).all()):
            msg = (
                f"The validation's numbers left all bounds in epoch {number + 1}; what was reached before is kept. "
                f"Lower the learning rate (now {self.options.largest_rate:g}) and start in another folder."
            )
            raise TrainingError(msg)
        scores = class_scores(self.heads, logits, self.validation.labels)
        score = mean_score(scores)
        former = self._best_record() if self.history else None
        best = epoch_value(former.score, former.validation_loss) if former else -math.inf
        record = EpochRecord(
            number + 1,
            loss,
            validation_loss,
            score,
            scores,
            self.learner.learning_rate,
            time.monotonic() - start,
            epoch_value(score, validation_loss) > best + IMPROVEMENT,
        )
        self.history.append(record)
        if record.is_best:
            state = self.learner.network.state_dict()
            self.best = {key: value.detach().cpu().clone() for key, value in state.items()}
        return record

    def _best_record(self) -> EpochRecord:
        return next(record for record in reversed(self.history) if record.is_best)

    def _draw(self) -> Iterator[str]:
        try:
            write_curves(self.folder, self.history, self.heads.judged, measure=MEASURE)
        except ImportError:
            yield "The curves were not drawn: install matplotlib."

    def _cases(self) -> list[list[str]]:
        return [list(self.learner.training.case_ids), list(self.validation.case_ids)]

    def _save(self) -> None:
        write_history(self.folder, self.history, self.heads.judged, measure=MEASURE)
        save_checkpoint(
            self.folder,
            {
                "state": self.learner.state(),
                "best": self.best,
                "history": [asdict(record) | {"class_scores": list(record.class_scores)} for record in self.history],
                "options": self.options.to_dict(),
                "cases": self._cases(),
            },
        )

    def _progress(
        self,
        stage: str,
        epoch: int,
        share: float,
        batch: int = 0,
        batches: int = 0,
        loss: float | None = None,
        start: float | None = None,
        record: EpochRecord | None = None,
    ) -> FitProgress:
        """`share` is that of the epoch."""
        epochs = self.options.epochs
        full = [one.seconds for one in self.history[-5:]]
        spent = 0.0 if start is None else time.monotonic() - start
        a_whole = sum(full) / len(full) if full else spent / share if share >= 0.1 else None
        left = None if a_whole is None else max(0.0, a_whole * (epochs - epoch - share))
        return FitProgress((epoch + share) / epochs, stage, epoch + 1, epochs, batch, batches, loss, left, record)


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


def epoch_value(score: float, loss: float) -> float:
    """By what epochs are compared; see `LOSS_SHARE`."""
    return score - LOSS_SHARE * min(loss, LARGEST_LOSS)


@contextmanager
def _memory_explained(options: ClassifierOptions) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        msg = (
            f"The memory of the graphics card is too small for a batch of {options.batch} cases. "
            "Choose a smaller batch, the size small or the device cpu, and start in another folder."
        )
        raise TrainingError(msg) from error
