"""Training a classifier: epochs, validation, early stopping, and going on after a kill.

What is given here are training and validation cases. Test cases never come here, so that nothing can be chosen by
them: neither the best epoch, nor weights of classes, nor the temperature.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..networks.checkpoint import load_checkpoint, save_checkpoint
from ..networks.curves import write_curves
from ..networks.epoch_loop import EpochLoop, Report, go_on_unless
from ..networks.fit_loop import repeatable
from ..networks.fit_options import EpochRecord, FitResult, TrainingError
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


class _Run(EpochLoop):
    """One training of a classifier."""

    def __init__(self, learner: Learner, validation: KeptCases, folder: Path):
        self.options, self.heads = learner.options, learner.heads
        super().__init__(folder, self.options.epochs, self.options.patience_used, self.options.minutes)
        self.learner, self.validation = learner, validation

    def load(self) -> None:
        """Go on where an earlier run stopped."""
        state = load_checkpoint(self.folder)
        different = self.options.differences(state["options"])
        if state["cases"] != self._cases():
            different.append("set of cases")
        names = [name.replace("_", " ") for name in different]
        self.restore(state, self.learner.load_state, names, "what")

    def to_the_end(self, report: Report, cancelled: Callable[[], bool]) -> FitResult:
        """Do the epochs that are left."""
        begun, earlier = time.monotonic(), len(self.history)
        while not (stopped := self.why_stop(time.monotonic() - begun, earlier)):
            record = self._epoch(report, cancelled)
            self._save()
            report(self.progress("validation", len(self.history) - 1, 1.0, record=record))
        network = self.learner.network
        network.load_state_dict(self.best)
        network.to("cpu").eval()
        shifts = prior_shifts(self.heads, self.learner.weights)
        if shifts.any():
            import torch

            network.shift_logits(torch.from_numpy(shifts))
        return self.result(stopped, self.learner.device, tuple(self._draw()))

    def _epoch(self, report: Report, cancelled: Callable[[], bool]) -> EpochRecord:
        start, number = time.monotonic(), len(self.history)

        def told(batch: int, batches: int, loss: float) -> None:
            report(self.progress("training", number, 0.9 * batch / batches, batch, batches, loss, start))
            go_on_unless(cancelled)

        go_on_unless(cancelled)
        loss = self.learner.train(number, told)
        self.learner.settle()
        batches = self.learner.batches
        report(self.progress("validation", number, 0.9, batches, batches, loss, start))
        validation_loss, logits = self.learner.validate(self.validation, lambda: go_on_unless(cancelled))
        if not (math.isfinite(validation_loss) and np.isfinite(logits).all()):
            msg = (
                f"The validation's numbers left all bounds in epoch {number + 1}; what was reached before is kept. "
                f"Lower the learning rate (now {self.options.largest_rate:g}) and start in another folder."
            )
            raise TrainingError(msg)
        scores = class_scores(self.heads, logits, self.validation.labels)
        score = mean_score(scores)
        former = self.best_record() if self.history else None
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
        self.add(record, self.learner.network)
        return record

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
                **self.kept(),
                "options": self.options.to_dict(),
                "cases": self._cases(),
            },
        )


def epoch_value(score: float, loss: float) -> float:
    """By what epochs are compared; see `LOSS_SHARE`."""
    return score - LOSS_SHARE * min(loss, LARGEST_LOSS)
