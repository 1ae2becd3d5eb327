"""What commands say: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ..dicom.series import Problem


class Console:
    """Standard output and error of one command.

    Parameters
    ----------
    as_json : bool
        Results go out as one JSON document instead of text.
    """

    def __init__(self, as_json: bool = False):
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            # Names in headers may hold letters that the terminal's code page has not.
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(encoding="utf-8" if as_json else None, errors="backslashreplace")

    def progress(self, line: str) -> None:
        """One line on standard error; a closed pipe there stops no work."""
        try:
            sys.stderr.write(printable(line) + "\n")
            sys.stderr.flush()
        except BrokenPipeError:
            # What stays in the buffer would fail again at the interpreter's end, and change the exit status.
            silence_closed_output(sys.stderr)

    def line(self, line: str) -> None:
        """One line of a result on standard output, at once."""
        sys.stdout.write(printable(line) + "\n")
        sys.stdout.flush()

    def result(self, document: Mapping[str, object], lines: Iterable[str]) -> None:
        """The result of the command: the document with ``--json``, else the lines."""
        from ..files.json_text import json_text

        if self.as_json:
            sys.stdout.write(json_text(document))
        else:
            sys.stdout.writelines(printable(line) + "\n" for line in lines)
        sys.stdout.flush()

    def error(self, message: str) -> None:
        """Why the command ends without a result."""
        self.progress(f"dicom-analysis: {message}")
        if self.as_json:
            self.result({"error": message}, ())


def silence_closed_output(stream: TextIO | None = None) -> None:
    """After a closed pipe: let the last flush of `stream` (standard output) go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(null, (stream or sys.stdout).fileno())


def printable(text: str) -> str:
    """Text without control characters, which could rewrite what a terminal shows."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> list[str]:
    """Rows as aligned columns under a header; the columns in `right` are right-aligned."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        parts = [c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(parts).rstrip()

    return [line(cells[0]), line(["-" * width for width in widths]), *map(line, cells[1:])]


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Refused files, each with its reason."""
    if not problems:
        return []
    files = "1 file was" if len(problems) == 1 else f"{len(problems)} files were"
    return ["", f"{files} not read:", *(f"  {problem.path}: {problem.reason}" for problem in problems)]
