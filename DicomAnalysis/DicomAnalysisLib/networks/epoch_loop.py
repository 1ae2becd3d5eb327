"""What every training does between its epochs: when it stops, which was the best, how far it is, what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint import NAME
from .devices import is_out_of_memory
from .fit_options import EpochRecord, FitProgress, FitResult, TrainingCancelledError, TrainingError

if TYPE_CHECKING:
    import torch

Report = Callable[[FitProgress], None]


class EpochLoop:
    """One training with its history.

    Parameters
    ----------
    folder : Path
        Of the training, for messages.
    epochs, patience : int
    minutes : float or None
        No epoch begins after so many.
    """

    def __init__(self, folder: Path, epochs: int, patience: int, minutes: float | None):
        self.folder = folder
        self.epochs, self.patience, self.minutes = epochs, patience, minutes
        self.history: list[EpochRecord] = []
        self.best: dict[str, torch.Tensor] = {}

    def restore(
        self,
        state: Mapping[str, Any],
        load_state: Callable[[dict[str, Any]], None],
        different: Sequence[str],
        begun_with: str,
    ) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        state : mapping
            As `kept` made it, with the learner's ``state``.
        load_state : callable
        different : sequence of str
            What is not as it was.
        begun_with : str
            What to resume it with, for the message.

        Raises
        ------
        TrainingError
            If something is different, or the network is another one.
        """
        if different:
            msg = (
                f"The training in {self.folder} was begun with another {', '.join(different)}. "
                f"Resume it with {begun_with} it was begun with, or start in another folder."
            )
            raise TrainingError(msg)
        try:
            load_state(state["state"])
        except (RuntimeError, ValueError, KeyError) as error:
            msg = f"{self.folder / NAME} is of another network; start in another folder."
            raise TrainingError(msg) from error
        self.history = [EpochRecord.from_dict(values) for values in state["history"]]
        self.best = state["best"]

    def kept(self) -> dict[str, Any]:
        """The part of a checkpoint that `restore` reads."""
        history = [asdict(record) | {"class_scores": list(record.class_scores)} for record in self.history]
        return {"best": self.best, "history": history}

    def why_stop(self, seconds: float, earlier: int) -> str:
        """`seconds` have passed since this call began with `earlier` epochs; it does at least one."""
        if len(self.history) >= self.epochs:
            return "epochs"
        if self.history and len(self.history) - self.best_record().epoch >= self.patience:
            return "patience"
        in_time = self.minutes is None or seconds < 60 * self.minutes
        return "" if in_time or len(self.history) <= earlier else "minutes"

    def best_record(self) -> EpochRecord:
        """The last epoch that was the best so far."""
        return next(record for record in reversed(self.history) if record.is_best)

    def add(self, record: EpochRecord, network: torch.nn.Module) -> None:
        """An epoch is done; of the best one the weights are kept."""
        self.history.append(record)
        if record.is_best:
            self.best = {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}

    def progress(
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
        """How far it is; `share` is that of the epoch."""
        full = [one.seconds for one in self.history[-5:]]
        spent = 0.0 if start is None else time.monotonic() - start
        a_whole = sum(full) / len(full) if full else spent / share if share >= 0.1 else None
        left = None if a_whole is None else max(0.0, a_whole * (self.epochs - epoch - share))
        done = (epoch + share) / self.epochs
        return FitProgress(done, stage, epoch + 1, self.epochs, batch, batches, loss, left, record)

    def result(self, stopped: str, device: object, warnings: Sequence[str]) -> FitResult:
        """What the training came to."""
        best = self.best_record()
        seconds = sum(record.seconds for record in self.history)
        return FitResult(tuple(self.history), best.epoch, best.score, stopped, str(device), seconds, tuple(warnings))


@contextmanager
def memory_explained(batch: str) -> Iterator[None]:
    """Say in words that the memory, of the graphics card or of the computer, is too small for `batch`.

    Raises
    ------
    TrainingError
    """
    import torch

    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        msg = (
            f"The memory is too small for a batch of {batch}. "
            "Choose a smaller batch, the size small or the device cpu, and start in another folder."
        )
        raise TrainingError(msg) from error


def go_on_unless(cancelled: Callable[[], bool]) -> None:
    """Stop a training that was cancelled.

    Raises
    ------
    TrainingCancelledError
    """
    if cancelled():
        msg = "The training was stopped; resume it to go on from its last full epoch."
        raise TrainingCancelledError(msg)
