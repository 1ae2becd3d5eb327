"""Endings on disk before anybody is told: what a worker has finished survives the worker, and whoever started it.

Each worker appends to a journal of its own and says in a note which series it is at. The ledger is brought
up to date from them when a run begins, for the one that was killed before it could.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ... import __version__
from ...files.atomic import cannot_write
from ..entries import Ending

WORK = ".work"
_JOURNAL, _NOTE = "journal-*.jsonl", "at-*.txt"
_WIDTH = 160


class Journal:
    """Journal and note of one worker.

    Parameters
    ----------
    output : path
        Folder of the results.
    task, options : str
        What the ledger calls the task, and the hash of its options.

    Raises
    ------
    OutputError
        If nothing can be written there.
    """

    def __init__(self, output: Path | str, task: str, options: str):
        self._made_by = {"task": task, "options": options, "version": __version__}
        folder = Path(output) / WORK
        name = f"{os.getpid()}-{secrets.token_hex(6)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._note_path = folder / f"at-{name}.txt"
            self._file = os.open(folder / f"journal-{name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self._note = os.open(self._note_path, os.O_WRONLY | os.O_CREAT, 0o644)
        except OSError as error:
            raise cannot_write(folder, error) from error
        self._folder = folder

    def at(self, item: str) -> None:
        """Work on an item begins; empty: on none."""
        os.lseek(self._note, 0, os.SEEK_SET)
        self._write(self._note, item.encode("utf-8", "surrogateescape")[:_WIDTH].ljust(_WIDTH))

    def add(self, endings: Sequence[Ending]) -> None:
        """Note endings in one step."""
        line = json.dumps({**self._made_by, "endings": [asdict(ending) for ending in endings]}) + "\n"
        self._write(self._file, line.encode("ascii"))

    def close(self) -> None:
        """No more is written; the journal stays for the ledger."""
        os.close(self._file)
        os.close(self._note)
        self._note_path.unlink(missing_ok=True)

    def _write(self, descriptor: int, data: bytes) -> None:
        try:
            while data:  # a disk that is nearly full takes a part
                data = data[os.write(descriptor, data) :]
        except OSError as error:
            raise cannot_write(self._folder, error) from error


def read_journals(output: Path | str) -> dict[tuple[str, str], list[Ending]]:
    """What workers of this version have finished, as far as their journals go, by task and hash of its options."""
    found: dict[tuple[str, str], dict[str, Ending]] = {}
    for path in sorted((Path(output) / WORK).glob(_JOURNAL)):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a last line that was cut short
                entry = json.loads(line)
                if entry["version"] == __version__:
                    endings = {ending["item"]: Ending(**ending) for ending in entry["endings"]}
                    found.setdefault((entry["task"], entry["options"]), {}).update(endings)
    return {made_by: list(endings.values()) for made_by, endings in found.items()}


def read_notes(output: Path | str) -> list[str]:
    """The items that workers were at when they ended."""
    texts = (path.read_bytes().decode("utf-8", "surrogateescape") for path in (Path(output) / WORK).glob(_NOTE))
    return sorted({text.strip() for text in texts} - {""})


def remove_journals(output: Path | str) -> None:
    """After the ledger knows all that stands in them."""
    folder = Path(output) / WORK
    for pattern in (_JOURNAL, _NOTE):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else is in it
        folder.rmdir()
