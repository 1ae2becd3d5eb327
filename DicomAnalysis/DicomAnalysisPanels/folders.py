"""Files and folders that a user chooses: asked for, looked at, opened; and why a folder cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .parameters import TrainSource


def choose_folder(parameters: Any, name: str, title: str) -> bool:
    """Ask the user for a folder and keep it as the parameter of this name; False where none was chosen."""
    chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, getattr(parameters, name))
    if chosen:
        setattr(parameters, name, chosen)
    return bool(chosen)


def choose_file(parameters: Any, name: str, title: str, pattern: str) -> bool:
    """Ask the user for a file and keep it as the parameter of this name; False where none was chosen."""
    chosen = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, getattr(parameters, name), pattern)
    chosen = chosen[0] if isinstance(chosen, tuple) else chosen  # PythonQt gives the name alone
    if chosen:
        setattr(parameters, name, chosen)
    return bool(chosen)


def open_outside(path: Path | str) -> None:
    """Show a folder in the system's file manager, a report in its browser."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))


def is_folder(path: Path | str) -> bool:
    """Whether there is such a folder; an empty name, and one that may not be looked at, is none."""
    try:
        return bool(path) and Path(path).is_dir()
    except OSError:
        return False


def is_file(path: Path | str) -> bool:
    """Whether there is such a file; an empty name, and one that may not be looked at, is none."""
    try:
        return bool(path) and Path(path).is_file()
    except OSError:
        return False


def why_no_output(folder: str) -> str:
    """Why results cannot go to a folder, or be looked for in it; empty where they can.

    What only writing shows (a full disk, a file in the folder's place) is told by whoever writes.
    """
    if not folder:
        return _("Choose an output folder.")
    if not Path(folder).is_absolute():
        return _("Give the whole path of the output folder.")
    try:
        Path(folder, "model").stat()  # not the folder itself: that can be seen where it must not be opened
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return _("The output folder cannot be used: {reason}.").format(reason=error.strerror or error)
    return ""


class SeriesSource:
    """Which series a page works on: those that are checked on the page *DICOM database*, or those of a folder.

    Parameters
    ----------
    page : PagePanel
    source, folder : str
        Names of the parameters that hold the choice, and the folder.
    """

    def __init__(self, page: Any, source: str, folder: str):
        self._page, self._source, self._folder = page, source, folder

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return getattr(self._page.parameters, self._source) is TrainSource.FOLDER

    @property
    def chosen(self) -> str | tuple[str, ...]:
        """The folder, or the UIDs of the checked series: what calls of the logic take."""
        if self.is_folder:
            return getattr(self._page.parameters, self._folder).strip()
        return tuple(self._page.shared.checked())

    def why_none(self, no_folder: str, none_checked: str) -> str:
        """The one or the other where nothing is chosen; else empty."""
        if not self.is_folder:
            return "" if self.chosen else none_checked
        return "" if is_folder(self.chosen) or is_file(self.chosen) else no_folder

    def browse(self, title: str) -> None:
        """Ask the user for a folder, which is then what is worked on."""
        if choose_folder(self._page.parameters, self._folder, title):
            setattr(self._page.parameters, self._source, TrainSource.FOLDER)
