"""The state of a training after its last full epoch, as a file that holds tensors and plain values alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.atomic import atomic_path
from .fit_options import TrainingError

NAME = "checkpoint.pt"
VERSION = 1


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state in one step: who is killed here leaves the last one whole.

    Parameters
    ----------
    folder : Path
    state : mapping
        State dictionaries, numbers, text, lists.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import torch

    with atomic_path(folder / NAME) as temporary:
        try:
            torch.save({"version": VERSION, **state}, temporary)
        except RuntimeError as error:  # so torch answers a full disk
            msg = (
                f"Cannot write {folder / NAME}: {str(error).splitlines()[0]}. "
                "The last one is kept; see that there is space on the disk, then resume."
            )
            raise OutputError(msg) from error


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read the state; nothing in the file is executed.

    Raises
    ------
    TrainingError
        If there is none, or it is not whole.
    """
    import torch

    path = folder / NAME
    if not path.is_file():
        msg = f"There is no training to resume in {folder}: it has no {NAME}. Start without resuming."
        raise TrainingError(msg)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state["version"]
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError, OSError, ...
        msg = f"{path} cannot be read ({type(error).__name__}); start the training again in an empty folder."
        raise TrainingError(msg) from error
    if version != VERSION:
        msg = f"{path} is of another version of the program; start the training again in an empty folder."
        raise TrainingError(msg)
    return state
