"""What a batch was asked to do, kept in its output folder so that it can be resumed in another session."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import UsageError
from ..files.atomic import make_folder, write_text
from ..files.json_text import json_text
from ..segmentation.options import SegmentationOptions

NAME = "batch.json"


@dataclass(frozen=True)
class BatchRequest:
    """One batch over chosen series.

    Attributes
    ----------
    source : str
        A DICOM database, folder or file; empty where `files` are given.
    files : tuple of str
        Files by name, for a source that has no place of its own (a database in memory).
    series_uids : tuple of str
    options : SegmentationOptions
    """

    source: str
    series_uids: tuple[str, ...]
    options: SegmentationOptions = field(default_factory=SegmentationOptions)
    files: tuple[str, ...] = ()

    def save(self, folder: Path | str) -> None:
        """Write the request into the output folder, which is made where it is missing.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        write_text(make_folder(folder) / NAME, json_text(asdict(self)))


def read_request(folder: Path | str) -> BatchRequest | None:
    """The request that an output folder holds; None where it holds none that can be read.

    Raises
    ------
    UsageError
        If its options are not those of this version.
    """
    try:
        document = json.loads((Path(folder) / NAME).read_text(encoding="utf-8"))
        options = {**document["options"], "tasks": tuple(document["options"]["tasks"])}
        uids, files = tuple(map(str, document["series_uids"])), tuple(map(str, document.get("files", ())))
        source = str(document["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        return BatchRequest(source, uids, SegmentationOptions(**options), files)
    except TypeError as error:
        msg = f"The batch in {folder} was started by another version ({error}); start it again."
        raise UsageError(msg) from error


def require_request(folder: Path | str) -> BatchRequest:
    """`read_request` where there has to be one.

    Raises
    ------
    UsageError
        If the folder holds none, or one of another version.
    """
    request = read_request(folder)
    if request is None:
        msg = f"No batch was begun in {folder}, so there is none to resume; start one, or choose its output folder."
        raise UsageError(msg)
    return request
