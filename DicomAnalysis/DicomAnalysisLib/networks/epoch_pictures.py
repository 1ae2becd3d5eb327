"""What is drawn during a training: strips and, on request, TensorBoard's logs; curves and animation at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from .curves import write_curves
from .fit_options import EpochRecord
from .strips import draw_strip, write_animation, write_strip

LOG_FOLDER = "tensorboard"


class EpochPictures:
    """Pictures of one training.

    Parameters
    ----------
    folder : Path
    preview : sequence of samples
        The few that are shown, in every epoch the same.
    channel : int
        Of the image, to show.
    class_names : sequence of str
        Of the foreground classes.
    tensorboard : bool
    first_epoch : int
        From 1; what an earlier run logged of it and of later ones does not count.

    Raises
    ------
    UsageError
        If logs are asked for and TensorBoard is not installed.
    """

    def __init__(
        self,
        folder: Path,
        preview: Sequence[tuple[np.ndarray, np.ndarray]],
        channel: int,
        class_names: Sequence[str],
        tensorboard: bool,
        first_epoch: int = 1,
    ):
        self._folder, self._preview, self._channel, self._class_names = folder, preview, channel, class_names
        self._log = _tensorboard(folder / LOG_FOLDER, first_epoch) if tensorboard else None

    def add(self, record: EpochRecord, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        """Draw what the network now makes of the preview, and log the epoch."""
        strip = None
        if self._preview:
            images, truths = zip(*self._preview, strict=True)
            strip = draw_strip([image[self._channel] for image in images], truths, [predict(image) for image in images])
            write_strip(self._folder, record.epoch, strip)
        if self._log is not None:
            self._write_log(record, strip)

    def finish(self, history: Sequence[EpochRecord]) -> tuple[str, ...]:
        """Draw the curves and join the strips; returns warnings."""
        write_animation(self._folder, [record.epoch for record in history])
        try:
            write_curves(self._folder, history, self._class_names)
        except ImportError:
            return ("The curves were not drawn, for matplotlib is not installed; the numbers are in history.csv.",)
        return ()

    def close(self) -> None:
        """Complete the logs."""
        if self._log is not None:
            self._log.close()

    def _write_log(self, record: EpochRecord, strip: np.ndarray | None) -> None:
        self._log.add_scalars(
            "loss", {"training": record.training_loss, "validation": record.validation_loss}, record.epoch
        )
        self._log.add_scalar("dice/mean", record.score, record.epoch)
        for index, value in enumerate(record.class_scores):
            name = self._class_names[index] if index < len(self._class_names) else f"class {index + 1}"
            if value is not None:
                self._log.add_scalar(f"dice/{name}", value, record.epoch)
        self._log.add_scalar("learning rate", record.learning_rate, record.epoch)
        if strip is not None:
            self._log.add_image("predictions", strip, record.epoch, dataformats="HWC")
        self._log.flush()


def require_tensorboard() -> None:
    """Refuse to log for TensorBoard where it is not installed.

    Raises
    ------
    UsageError
        If it is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        msg = (
            "Logs for TensorBoard were asked for, but the package tensorboard is not installed: "
            "install it (pip install tensorboard), or train without these logs; curves and strips are drawn anyway."
        )
        raise UsageError(msg) from error


def _tensorboard(folder: Path, first_epoch: int) -> Any:
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_epoch)
