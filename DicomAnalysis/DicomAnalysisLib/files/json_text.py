"""Results as JSON that every parser reads: no NaN, no infinity, no numpy types."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np


def plain(value: object) -> object:
    """`value` in JSON's own types.

    Numpy scalars become numbers, arrays and tuples lists, dataclasses objects, paths
    strings; NaN and infinity become null, for JSON (RFC 8259, section 6) has neither.

    Raises
    ------
    TypeError
        If a value has no JSON form.
    """
    if value is None or isinstance(value, (bool, str)):
        # A lone surrogate from a badly encoded header has no UTF-8 form.
        return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return plain(str(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return [plain(item) for item in value]
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


def json_text(value: object) -> str:
    """`value` as one indented JSON document, ended by a line feed."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
