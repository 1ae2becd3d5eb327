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
from .checkpoint import load_checkpoint, save_checkpoint
from .epoch_loop import EpochLoop, Report, go_on_unless
from .epoch_pictures import EpochPictures
from .fit_loop import Trainer, dice_of, repeatable
from .fit_options import EpochRecord, FitOptions, FitResult, Samples, TrainingError
from .history import write_history

if TYPE_CHECKING:
    import torch


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


class _Run(EpochLoop):
    """One training of a segmentation network."""

    def __init__(
        self, network: torch.nn.Module, training: Samples, validation: KeptSamples, options: FitOptions, folder: Path
    ):
        super().__init__(folder, options.epochs, options.patience, options.minutes)
        self.network, self.training, self.validation, self.options = network, training, validation, options
        self.batches = -(-len(training) // options.batch)
        self.trainer = Trainer(network, self.batches * options.epochs, options)
        self.class_names: tuple[str, ...] = ()

    def load(self) -> None:
        """Go on where an earlier run stopped."""
        state = load_checkpoint(self.folder)
        different = self.options.differences(state["options"])
        sizes = [len(self.training), len(self.validation)]
        if state["samples"] != sizes:
            different.append("number of samples")
        self.restore(state, self.trainer.load_state, different, "the options")

    def to_the_end(self, report: Report, cancelled: Callable[[], bool], pictures: EpochPictures) -> FitResult:
        """Do the epochs that are left."""
        begun, earlier = time.monotonic(), len(self.history)
        while not (stopped := self.why_stop(time.monotonic() - begun, earlier)):
            record = self._epoch(report, cancelled)
            pictures.add(record, self.trainer.predict)
            self._save()
            report(self.progress("validation", len(self.history) - 1, 1.0, record=record))
        self.network.load_state_dict(self.best)
        self.network.to("cpu").eval()
        warnings = pictures.finish(self.history)
        return self.result(stopped, self.trainer.device, warnings)

    def _epoch(self, report: Report, cancelled: Callable[[], bool]) -> EpochRecord:
        start, number = time.monotonic(), len(self.history)

        def told(batch: int, batches: int, loss: float) -> None:
            report(self.progress("training", number, 0.9 * batch / batches, batch, batches, loss, start))
            go_on_unless(cancelled)

        go_on_unless(cancelled)
        loss = self.trainer.train(self.training, number, told)
        report(self.progress("validation", number, 0.9, self.batches, self.batches, loss, start))
        validation_loss, counts = self.trainer.validate(self.validation, lambda: go_on_unless(cancelled))
        classes = dice_of(counts)
        known = [value for value in classes if value is not None]
        score = sum(known) / len(known) if known else 0.0
        is_best = not self.history or score > self.best_record().score + self.options.minimum_improvement
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
        self.add(record, self.network)
        return record

    def _save(self) -> None:
        write_history(self.folder, self.history, self.class_names)
        save_checkpoint(
            self.folder,
            {
                "state": copy.copy(self.trainer.state()),
                **self.kept(),
                "options": asdict(self.options),
                "samples": [len(self.training), len(self.validation)],
            },
        )
