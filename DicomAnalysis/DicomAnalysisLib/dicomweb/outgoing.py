"""Which files are sent: every DICOM object under some paths, of any kind."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..dicom import tags
from ..dicom.header import RefusedFileError, is_regular_file, read_header
from ..dicom.series import Problem
from ..errors import SourceError
from ..files.names import is_safe_uid
from .store import StoredFile

_UID_TAGS = frozenset((tags.SOP_CLASS_UID, tags.SOP_INSTANCE_UID, tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID))
_UID_GROUP = 0x0020
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


def find_files(paths: Iterable[Path | str]) -> tuple[list[StoredFile], list[Problem]]:
    """The DICOM objects under some files and folders, and what is left out.

    Folders are searched to the bottom; links to folders are not followed. Other files than
    DICOM are left out without harm inside a folder; named by the user they are a failure.

    Returns
    -------
    files : list of StoredFile
        Each SOP instance once, ordered by study, series and path.
    problems : list of Problem
        Those with ``is_dicom`` are failures.

    Raises
    ------
    SourceError
        If a path does not exist, or there is no DICOM object at all.
    """
    files: dict[str, StoredFile] = {}
    problems: list[Problem] = []
    for given in map(Path, paths):
        if not given.exists():
            msg = f"There is no file or folder {given}; check the path."
            raise SourceError(msg)
        for path in _walk(given, problems):
            try:
                file = read_identity(path)
                twin = files.setdefault(file.sop_uid, file)
                if not Path(twin.path).samefile(path):
                    reason = f"the same SOP Instance UID as {twin.path}, which is sent"
                    is_other = not filecmp.cmp(twin.path, path, shallow=False)
                    problems.append(Problem(path, reason, file.series_uid, is_other))
            except RefusedFileError as error:
                problems.append(Problem(path, error.reason, error.series_uid, error.is_dicom or given.is_file()))
            except OSError as error:  # it went away, or may not be read
                problems.append(Problem(path, f"it cannot be read ({error.strerror or error})"))
    if not files:
        reason = f" ({problems[0].path}: {problems[0].reason})" if problems else ""
        msg = f"There is no DICOM object to send{reason}."
        raise SourceError(msg)
    return sorted(files.values(), key=lambda file: (file.study_uid, file.series_uid, file.path)), problems


def read_identity(path: str) -> StoredFile:
    """What must be known of a file to send it.

    Raises
    ------
    RefusedFileError
        If it is no DICOM object that a PACS would take; the reason says why.
    OSError
        If it goes away meanwhile.
    """
    if not is_regular_file(path):
        raise RefusedFileError(path, "it is no regular file", is_dicom=False)
    header = read_header(path, _UID_TAGS, _UID_GROUP)
    uids = [header.text(tag) for tag in (tags.SOP_CLASS_UID, tags.SOP_INSTANCE_UID)]
    uids += [header.text(tag) for tag in (tags.SERIES_INSTANCE_UID, tags.STUDY_INSTANCE_UID)]
    if uids[0] == _MEDIA_DIRECTORY or os.path.basename(path).upper() == "DICOMDIR":  # noqa: PTH119
        raise RefusedFileError(path, "it is a DICOMDIR, which a PACS does not take", is_dicom=False)
    if not all(map(is_safe_uid, uids)):
        reason = "its SOP class, SOP instance, series or study has no valid UID"
        raise RefusedFileError(path, reason, uids[2])
    with open(path, "rb") as stream:  # noqa: PTH123
        if stream.read(132)[128:] != b"DICM":
            reason = "it has no DICOM preamble (PS3.10), which a PACS needs; write it again with a DICOM program"
            raise RefusedFileError(path, reason, uids[2])
    return StoredFile(path, os.stat(path).st_size, *uids)  # noqa: PTH116


def _walk(given: Path, problems: list[Problem]) -> Iterator[str]:
    def note(error: OSError) -> None:
        problems.append(Problem(str(error.filename), f"the folder cannot be listed ({error.strerror})"))

    if not given.is_dir():
        yield os.fspath(given)
        return
    for root, folders, names in os.walk(given, onerror=note):
        folders.sort()
        for name in folders:
            path = Path(root, name)
            if path.is_symlink():
                problems.append(Problem(str(path), "it is a link to a folder, which is not followed", is_dicom=False))
        for name in sorted(names):
            yield os.path.join(root, name)  # noqa: PTH118
