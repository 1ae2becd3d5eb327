"""Writing files so that a reader sees the old file or the whole new one, never a part."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError

_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\..+")


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` when the block succeeds.

    The temporary name keeps the suffix, for writers that choose a format by it. It is
    removed when the block fails. Missing folders are made.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name[-100:]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(NotADirectoryError):  # a file is where the folder should be
            temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a file has a name that `atomic_path` gives: what a process leaves that is killed while it writes."""
    return _TEMPORARY.fullmatch(path.name) is not None


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place, with all that was put into it, when the block succeeds.

    Where `path` is there already, its other files stay. The temporary folder is removed when the block fails.

    Raises
    ------
    OutputError
        If the folder or a file in it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name[-100:]}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.is_dir():
            for file in sorted(temporary.iterdir()):
                file.replace(path / file.name)
        else:
            temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 with unchanged line ends to `path` in one step."""
    write_bytes(path, text.encode("utf-8"))


def make_folder(path: Path | str) -> Path:
    """A folder and those above it, made where they are missing.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def cannot_write(path: Path, error: OSError) -> OutputError:
    """What is told of a file or folder that cannot be written."""
    return OutputError(f"Cannot write {path}: {error.strerror or error}. Choose an output folder that can be written.")
