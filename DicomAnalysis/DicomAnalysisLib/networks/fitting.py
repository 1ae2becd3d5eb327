"""Training a network: epochs, validation, early stopping, and going on after a kill."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .batches import KeptSamples
from .checkpoint import NAME, load_checkpoint, save_checkpoint
from .epoch_pictures import EpochPictures
from .fit_loop import Trainer, dice_of, repeatable
from .fit_options import EpochRecord, FitOptions, FitProgress, FitResult, Samples, TrainingCancelledError, TrainingError
from .history import write_history

if TYPE_CHECKING:
    import torch

Report = Callable[[FitProgress], None]


def fit(
    network: torch.nn.Module,
    training: Samples,
    validation: Samples,
    options: FitOptions,
    folder: Path,
    report: Report = lambda _progress: None,
    preview: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    *,
    resume: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    class_names: Sequence[str] = (),
    picture_channel: int = 0,
) -> FitResult:
    """Train a network.

    After every epoch the folder holds ``checkpoint.pt``, ``history.json``, ``history.csv`` and a strip
    of predictions, ``strips/epoch-NNN.png``; at the end also ``curves.png`` and ``training.gif``.
    The same network, samples and seed give the same numbers, bit for bit on the CPU with the same number of
    threads, also where the training was killed in between and resumed. (On CUDA deterministic algorithms are
    used as far as torch has them; other devices give other roundings.)

    Parameters
    ----------
    network : torch.nn.Module
        Gives logits (samples, classes, rows, columns). It ends with the weights of the best epoch, on the CPU,
        ready for inference.
    training, validation : Samples
        Of different patients. Validation samples are those of epoch 0.
    options : FitOptions
    folder : Path
    report : callable
        Told of every batch and epoch; what it raises stops the training.
    preview : sequence of samples
        Shown in the strips.
    resume : bool
        Go on from the checkpoint in the folder.
    cancelled : callable
        Asked before every batch.
    class_names : sequence of str
        Background first; for the history and the curves.
    picture_channel : int
        Of the image, to show in the strips.

    Returns
    -------
    FitResult

    Raises
    ------
    TrainingError
        If it cannot go on: nothing to resume, other options, no samples, numbers out of bounds.
    TrainingCancelledError
        If `cancelled` said so; the checkpoint of the last full epoch is there.
    """
    for name, samples in (("training", training), ("validation", validation)):
        if not len(samples):
            msg = f"There are no samples for {name}. Give more series, or leave fewer of them out."
            raise TrainingError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    with repeatable():
        run = _Run(network, training, KeptSamples(validation), options, folder)
        run.class_names = tuple(class_names)[1 : options.classes]
        if resume:
            run.load()
        first = len(run.history) + 1
        pictures = EpochPictures(folder, preview, picture_channel, run.class_names, options.tensorboard, first)
        try:
            return run.to_the_end(report, cancelled, pictures)
        finally:
            pictures.close()


class _Run:
    """One training with its history."""

    def __init__(
        self, network: torch.nn.Module, training: Samples, validation: KeptSamples, options: FitOptions, folder: Path
    ):
        self.network, self.training, self.validation = network, training, validation
        self.options, self.folder = options, folder
        self.batches = -(-len(training) // options.batch)
        self.trainer = Trainer(network, self.batches * options.epochs, options)
        self.history: list[EpochRecord] = []
        self.best: dict[str, torch.Tensor] = {}
        self.class_names: tuple[str, ...] = ()

    def load(self) -> None:
        """Go on where an earlier run stopped."""
        state = load_checkpoint(self.folder)
        different = self.options.differences(state["options"])
        sizes = [len(self.training), len(self.validation)]
        if state["samples"] != sizes:
            different.append("number of samples")
        if different:
            msg = (
                f"The training in {self.folder} was begun with another {', '.join(different)}. "
                "Resume it with the options it was begun with, or start in another folder."
            )
            raise TrainingError(msg)
        try:
            self.trainer.load_state(state["state"])
        except (RuntimeError, ValueError, KeyError) as error:
            msg = f"{self.folder / NAME} is of another network; start in another folder."
            raise TrainingError(msg) from error
        self.history = [EpochRecord.from_dict(values) for values in state["history"]]
        self.best = state["best"]

    def to_the_end(self, report: Report, cancelled: Callable[[], bool], pictures: EpochPictures) -> FitResult:
        """Do the epochs that are left."""
        begun, earlier = time.monotonic(), len(self.history)
        while not (stopped := self._why_stop(time.monotonic() - begun, earlier)):
            record = self._epoch(report, cancelled)
            pictures.add(record, self.trainer.predict)
            self._save()
            report(self._progress("validation", len(self.history) - 1, 1.0, record=record))
        self.network.load_state_dict(self.best)
        self.network.to("cpu").eval()
        warnings = pictures.finish(self.history)
        best = self._best_record()
        return FitResult(
            tuple(self.history),
            best.epoch,
            best.score,
            stopped,
            str(self.trainer.device),
            sum(record.seconds for record in self.history),
            warnings,
        )

    def _why_stop(self, seconds: float, earlier: int) -> str:
        """`seconds` have passed since this call began with `earlier` epochs; it does at least one."""
        if len(self.history) >= self.options.epochs:
            return "epochs"
        if self.history and len(self.history) - self._best_record().epoch >= self.options.patience:
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
        loss = self.trainer.train(self.training, number, told)
        report(self._progress("validation", number, 0.9, self.batches, self.batches, loss, start))
        validation_loss, counts = self.trainer.validate(self.validation, may_go_on)
        classes = dice_of(counts)
        known = [value for value in classes if value is not None]
        score = sum(known) / len(known) if known else 0.0
        is_best = not self.history or score > self._best_record().score + self.options.minimum_improvement
        record = EpochRecord(
            number + 1,
            loss,
            validation_loss,
            score,
            classes,
            self.trainer.learning_rate,
            time.monotonic() - start,
            is_best,
        )
        self.history.append(record)
        if is_best:
            self.best = {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}
        return record

    def _best_record(self) -> EpochRecord:
        return next(record for record in reversed(self.history) if record.is_best)

    def _save(self) -> None:
        write_history(self.folder, self.history, self.class_names)
        save_checkpoint(
            self.folder,
            {
                "state": copy.copy(self.trainer.state()),
                "best": self.best,
                "history": [asdict(record) | {"class_scores": list(record.class_scores)} for record in self.history],
                "options": asdict(self.options),
                "samples": [len(self.training), len(self.validation)],
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
