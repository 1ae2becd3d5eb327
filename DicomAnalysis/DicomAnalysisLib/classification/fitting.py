"""Training a classifier: epochs, validation, early stopping, and going on after a kill.

What is given here are training and validation cases. Test cases never come here, so that nothing can be chosen by
them: neither the best epoch, nor weights of classes, nor the temperature.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..networks.checkpoint import NAME, load_checkpoint, save_checkpoint
from ..networks.curves import write_curves
from ..networks.fit_loop import repeatable
from ..networks.fit_options import EpochRecord, FitProgress, FitResult, TrainingCancelledError, TrainingError
from ..networks.history import write_history
from .cases import KeptCases
from .heads import Heads
from .learner import Learner, class_scores, mean_score
from .losses import prior_shifts
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
        self.learner.settle()
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


def epoch_value(score: float, loss: float) -> float:
    """By what epochs are compared; see `LOSS_SHARE`."""
    return score - LOSS_SHARE * min(loss, LARGEST_LOSS)
