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

from ...errors import OutputError
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

    Raises
    ------
    OutputError
        If nothing can be written there.
    """

    def __init__(self, output: Path | str):
        folder = Path(output) / WORK
        name = f"{os.getpid()}-{secrets.token_hex(6)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._note_path = folder / f"at-{name}.txt"
            self._file = os.open(folder / f"journal-{name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self._note = os.open(self._note_path, os.O_WRONLY | os.O_CREAT, 0o644)
        except OSError as error:
            msg = f"Cannot write {folder}: {error.strerror or error}. Choose an output folder that can be written."
            raise OutputError(msg) from error

    def at(self, item: str) -> None:
        """Work on an item begins; empty: on none."""
        os.lseek(self._note, 0, os.SEEK_SET)
        os.write(self._note, item.encode("utf-8", "surrogateescape")[:_WIDTH].ljust(_WIDTH))

    def add(self, endings: Sequence[Ending], options: str) -> None:
        """Note endings in one step."""
        line = json.dumps({"options": options, "endings": [asdict(ending) for ending in endings]}) + "\n"
        os.write(self._file, line.encode("ascii"))

    def close(self) -> None:
        """No more is written; the journal stays for the ledger."""
        os.close(self._file)
        os.close(self._note)
        self._note_path.unlink(missing_ok=True)


def read_journals(output: Path | str, options: str) -> list[Ending]:
    """What workers have finished with the same options, as far as their journals go."""
    found: dict[str, Ending] = {}
    for path in sorted((Path(output) / WORK).glob(_JOURNAL)):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a last line that was cut short
                entry = json.loads(line)
                if entry["options"] == options:
                    found |= {ending["item"]: Ending(**ending) for ending in entry["endings"]}
    return list(found.values())


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
