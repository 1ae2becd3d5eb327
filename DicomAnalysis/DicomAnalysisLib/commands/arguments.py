"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_source(parser: argparse.ArgumentParser) -> None:
    """What to read, and which series of it."""
    parser.add_argument("source", type=_existing, metavar="SOURCE", help="a DICOM file, a folder, or a database folder")
    parser.add_argument("--series", metavar="UID", help="only the series with this Series Instance UID")


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every command takes."""
    parser.add_argument("--json", action="store_true", help="print one JSON document; progress goes to standard error")
    parser.add_argument(
        "--verbose", action="store_true", help="log details and tracebacks, which may quote DICOM headers"
    )


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        msg = f"there is no file or folder {text}"
        raise argparse.ArgumentTypeError(msg)
    return path
