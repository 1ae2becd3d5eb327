"""What a run that was ended in the middle leaves behind."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ..files.atomic import is_temporary
from ..files.classification_folder import RESULT as CLASSIFICATION
from ..files.classification_folder import remove_classification
from ..files.result_folder import RESULT, remove_result


def remove_unfinished(output: Path, folder: Path) -> None:
    """Remove a result folder's half-written files; a finished result stays, as do files that are not ours.

    Parameters
    ----------
    output : Path
        The folder of all results, which stays.
    folder : Path
        The result folder, inside `output`; it and its parents go where nothing is left in them.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if is_temporary(path) and path.is_file():
            path.unlink(missing_ok=True)
        elif is_temporary(path):
            shutil.rmtree(path, ignore_errors=True)
    if not (folder / RESULT).is_file():
        remove_result(folder)
    if not (folder / CLASSIFICATION).is_file():
        remove_classification(folder)
    inside = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    above = [path for path in (folder, *folder.parents) if output in path.parents]
    for path in (*inside, *above):
        with contextlib.suppress(OSError):  # something is left in it
            path.rmdir()
