"""Where the results of a batch go: never where they would be read again as images."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError


def output_inside(source: Path | None, output: Path) -> Path | None:
    """The output folder where it lies inside the source, so that what is in it is not to be read again; else None.

    Parameters
    ----------
    source : Path or None
        None for a source that has no place of its own.
    output : Path

    Raises
    ------
    UsageError
        If both are the same folder.
    """
    if source is None or not source.is_dir():
        return None
    source, output = source.resolve(), output.resolve()
    if source == output:
        msg = f"The output folder {output} is the source; choose another one."
        raise UsageError(msg)
    return output if output.is_relative_to(source) else None


def lies_in(path: str | Path, folder: Path | None) -> bool:
    """Whether a file lies anywhere in a folder that `output_inside` gave; in None lies nothing."""
    return folder is not None and Path(path).resolve().is_relative_to(folder)


def lies_among(path: str | Path, folder: Path) -> bool:
    """Whether a result folder is also that of an image, or one above it."""
    return Path(path).resolve().parent.is_relative_to(folder.resolve())


def refuse_to_write_among(path: str | Path, folder: Path) -> None:
    """Raise UsageError where an image `lies_among` the results that are to be written."""
    if lies_among(path, folder):
        msg = f"the results would be written among the images in {folder}; choose another output folder"
        raise UsageError(msg)
