"""Pseudonyms: keyed hashes in the place of identifiers, so that tables can be given away and rows stay apart.

HMAC-SHA256 (RFC 2104) with a key that the user keeps. Without the key a pseudonym cannot be
traced back, nor checked against a list of patients; with it the same identifier has the same
pseudonym in every table. Nothing that holds a date, a path or free text is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from ..errors import OutputError, UsageError
from .features.acquisition import FREE_TEXT

KEY_BYTES = 32
_LENGTH = 32


class Pseudonyms:
    """Pseudonyms under one key.

    Parameters
    ----------
    key : bytes
        Secret; at least 16 bytes.
    """

    def __init__(self, key: bytes):
        if len(key) < 16:
            msg = "The key for pseudonyms is too short to keep anything secret; give a file that this program made."
            raise UsageError(msg)
        self._key = key

    def of(self, kind: str, identifier: str) -> str:
        """The pseudonym of an identifier: 32 hexadecimal digits; empty for an empty one.

        Parameters
        ----------
        kind : str
            ``series``, ``patient`` or ``study``, or the name of a tag: the same text as another kind of
            identifier has another pseudonym.
        identifier : str
        """
        if not identifier:
            return ""
        text = f"{kind}\0{identifier}".encode("utf-8", "surrogateescape")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:_LENGTH]

    def series(self, name: str, kind: str = "series") -> str:
        """The pseudonym of a series, or of a row of another kind; what names its stack (``/stack-2``) stays."""
        uid, slash, stack = name.partition("/")
        return self.of(kind, uid) + slash + stack

    def tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Acquisition tags with a pseudonym where anybody may have written anything: groups stay told apart."""
        return {name: self.of(name, text) if name in FREE_TEXT else text for name, text in tags.items()}


def read_or_make_key(path: Path | str, output: Path | str) -> bytes:
    """The key in a file, which is made, for its owner alone to read, where it is missing.

    Parameters
    ----------
    path : path
    output : path
        Folder that is going to be given away; the key must not lie in it.

    Raises
    ------
    UsageError
        If it lies in `output`, or holds no key.
    OutputError
        If it cannot be read or made.
    """
    path = Path(path)
    if path.resolve().is_relative_to(Path(output).resolve()):
        msg = f"The key {path} lies in the output folder and would be given away with the tables; keep it elsewhere."
        raise UsageError(msg)
    try:
        with contextlib.suppress(FileExistsError):
            _make_key(path)
        text = path.read_text("ascii").strip()
        key = bytes.fromhex(text)
    except OSError as error:
        msg = f"The key {path} cannot be read or made ({error.strerror or error}); name a file in a folder of your own."
        raise OutputError(msg) from error
    except ValueError as error:  # no ASCII, or no hexadecimal digits
        msg = f"{path} is no key of this program (64 hexadecimal digits); name another file, it is made where missing."
        raise UsageError(msg) from error
    if len(key) != KEY_BYTES:
        msg = f"{path} is no key of this program (64 hexadecimal digits); name another file, it is made where missing."
        raise UsageError(msg)
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
