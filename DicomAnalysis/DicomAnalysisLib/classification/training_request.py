"""What the training of a classifier was asked to do, kept in its output folder for whoever resumes it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import UsageError
from ..files.atomic import write_text
from ..files.json_text import json_text
from .options import ClassifierOptions

NAME = "request.json"


@dataclass(frozen=True)
class ClassifierRequest:
    """Source, labels and options of a training.

    Attributes
    ----------
    source : str
        A file, a folder or a DICOM database; empty where `files` says which files.
    files : tuple of str
    labels : str
        A CSV file; empty where `header` and `rows` hold the table.
    header : tuple of str
    rows : tuple of tuple of str
    options : ClassifierOptions
    columns : tuple of str
        Label columns, as ``--target`` takes them.
    views : tuple of str or None
        As ``--view`` takes them.
    """

    source: str
    files: tuple[str, ...] = ()
    labels: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    options: ClassifierOptions = field(default_factory=ClassifierOptions)
    columns: tuple[str, ...] = ()
    views: tuple[str, ...] | None = None

    @property
    def table(self) -> str | tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """The labels as a job takes them."""
        return self.labels or (self.header, self.rows)

    def save(self, folder: Path | str) -> None:
        """Write it into the output folder."""
        write_text(Path(folder) / NAME, json_text({**asdict(self), "options": self.options.to_dict()}))


def is_request(folder: Path | str) -> bool:
    """Whether a training was begun in a folder."""
    return (Path(folder) / NAME).is_file()


def read_request(folder: Path | str) -> ClassifierRequest:
    """What the training in a folder was asked to do.

    Raises
    ------
    UsageError
        If none was begun there, or what is there cannot be read.
    """
    path = Path(folder) / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return ClassifierRequest(
            values["source"],
            tuple(values["files"]),
            values["labels"],
            tuple(values["header"]),
            tuple(tuple(row) for row in values["rows"]),
            ClassifierOptions.from_dict(values["options"]),
            tuple(values["columns"]),
            None if values["views"] is None else tuple(values["views"]),
        )
    except FileNotFoundError as error:
        msg = f"No training of a classifier was begun in {folder}; start one."
        raise UsageError(msg) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} cannot be read ({type(error).__name__}); start the training in another folder."
        raise UsageError(msg) from error
