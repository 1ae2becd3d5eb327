"""What a training was asked to do, kept in its output folder: whoever resumes it has nothing to remember."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...files.atomic import write_text
from ...files.json_text import json_text
from .options import TrainingOptions

NAME = "request.json"


@dataclass(frozen=True)
class TrainingRequest:
    """Source, task and options of a training.

    Attributes
    ----------
    source : str
        A file, a folder or a DICOM database; empty where `files` says which files.
    files : tuple of str
    series_uids : tuple of str or None
        Only these series.
    task : str
    options : TrainingOptions
    """

    source: str
    files: tuple[str, ...]
    series_uids: tuple[str, ...] | None
    task: str
    options: TrainingOptions

    def save(self, folder: Path | str) -> None:
        """Write it into the output folder."""
        write_text(Path(folder) / NAME, json_text(self))


def is_request(folder: Path | str) -> bool:
    """Whether a training was begun in a folder."""
    return (Path(folder) / NAME).is_file()


def read_request(folder: Path | str) -> TrainingRequest:
    """What the training in a folder was asked to do.

    Raises
    ------
    UsageError
        If none was begun there, or what is there cannot be read.
    """
    path = Path(folder) / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        uids = values["series_uids"]
        return TrainingRequest(
            values["source"],
            tuple(values["files"]),
            None if uids is None else tuple(uids),
            values["task"],
            TrainingOptions(**values["options"]),
        )
    except FileNotFoundError as error:
        msg = f"No training was begun in {folder}; start one."
        raise UsageError(msg) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} cannot be read ({type(error).__name__}); start the training in another folder."
        raise UsageError(msg) from error
